"""What the products are called and where they stand in the tree of categories. Knows nothing of pictures."""

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from facings.errors import DataError
from facings.strict_json import MAX_BYTES, parse

SCHEMA = "facings.taxonomy/1"
FIELDS = ("name", "category", "gtin", "plu", "sold_by")
SOLD_BY = ("piece", "weight")
Products = dict[str, dict[str, Any]]


def read_taxonomy(path: Path | str) -> Products:
    """Product id → `name`, `category` (list, coarse to fine), `gtin`, `plu`, `sold_by` ("piece" or "weight").

    Reads JSON (`{"schema": "facings.taxonomy/1", "products": {…}}`) or CSV with the column `product_id` and any of the
    fields; there `category` is `Coarse/Fine`, and a column `brand` serves where `category` is missing.

    Raises DataError for another schema, a missing id, or a value of the wrong kind.
    """
    path = Path(path)
    if not path.is_file():
        raise DataError(
            f"{path}: no such taxonomy; expected JSON or CSV with the fields product_id, {', '.join(FIELDS)}"
        )
    if path.stat().st_size > MAX_BYTES:
        raise DataError(f"{path}: more than {MAX_BYTES} bytes")
    try:
        text = path.read_text(encoding="utf-8-sig")
        records = _from_csv(text, path) if path.suffix.lower() == ".csv" else _from_json(text, path)
    except (UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{path}: not a table in UTF-8 ({fault})") from fault
    return {product: _entry(product, record, path) for product, record in records.items()}


def taxonomy_content(products: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What taxonomy.json holds, as `read_taxonomy` reads it."""
    return {"schema": SCHEMA, "products": dict(products)}


def bare_taxonomy(products: Iterable[str], categories: Mapping[str, tuple[str, ...]]) -> Products:
    """Entries for products of which no more than the category is known."""
    return {p: product_entry(p, category=list(categories.get(p, ()))) for p in sorted(set(products))}


def product_entry(name: str, *, category: list[str], sold_by: str = "piece") -> dict[str, Any]:
    """One entry with every field."""
    return {"name": name, "category": category, "gtin": None, "plu": None, "sold_by": sold_by}


def _from_json(text: str, path: Path) -> dict[str, Mapping[str, Any]]:
    try:
        content = parse(text)
    except ValueError as fault:
        raise DataError(f"{path}: not JSON ({fault})") from fault
    if (
        not isinstance(content, dict)
        or content.get("schema") != SCHEMA
        or not isinstance(content.get("products"), dict)
    ):
        raise DataError(f'{path}: expected {{"schema": "{SCHEMA}", "products": {{…}}}}')
    return dict(content["products"])


def _from_csv(text: str, path: Path) -> dict[str, Mapping[str, Any]]:
    reader = csv.DictReader(io.StringIO(text))
    if "product_id" not in (reader.fieldnames or ()):
        raise DataError(f"{path}: lacks the column 'product_id'; got {reader.fieldnames}")
    records: dict[str, Mapping[str, Any]] = {}
    for line, row in enumerate(reader, start=2):
        product = (row["product_id"] or "").strip()
        if not product or product in records:
            raise DataError(f"{path}, line {line}: product_id {product!r} is empty or occurs twice")
        category = row.get("category") or row.get("brand") or ""
        levels = [part.strip() for part in category.split("/") if part.strip()]
        records[product] = {**{name: row.get(name) or None for name in FIELDS}, "category": levels}
    return records


def _entry(product: str, record: Any, path: Path) -> dict[str, Any]:
    if not isinstance(record, Mapping):
        raise DataError(f"{path}: product {product!r} is {type(record).__name__}; expected an object")
    category = record.get("category") or []
    if not isinstance(category, list) or not all(isinstance(level, str) for level in category):
        raise DataError(f"{path}: product {product!r} has the category {category!r}; expected a list of names")
    sold_by = record.get("sold_by") or "piece"
    if sold_by not in SOLD_BY:
        raise DataError(f"{path}: product {product!r} is sold by {sold_by!r}; expected one of {', '.join(SOLD_BY)}")
    entry = product_entry(str(record.get("name") or product), category=category, sold_by=sold_by)
    return entry | {code: str(record[code]) if record.get(code) else None for code in ("gtin", "plu")}
