"""Hundreds of products to enroll out of one CSV file. Knows nothing of models."""

import csv
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facings.errors import DataError
from facings.runtime.enrolment import Request
from facings.runtime.parsing import find_pictures
from facings.runtime.product_catalogue import category_path, paths_of_parents
from facings.strict_json import shown

COLUMNS = ("product_id", "name", "category", "gtin", "plu", "sold_by", "photos")
NEEDED = ("product_id", "photos")
MAX_BYTES = 64 << 20
Paths = Mapping[str, tuple[str, ...]]


def read_requests(path: Path, *, categories: Paths | None = None, replace: bool = False) -> list[Request]:
    """One request a row of a CSV file with the columns `COLUMNS` (`NEEDED` must be there).

    `photos`: files, folders or patterns (`*.jpg`), separated by `;`, relative to the table. `categories`: known paths, from
    `read_categories`; a category may then be the last name alone.

    Raises DataError, with the line, for an unknown column, an empty cell that is needed, a product twice, or no photo.
    """
    requests: list[Request] = []
    lines: dict[str, int] = {}
    for line, row in _rows(path, COLUMNS, NEEDED):
        try:
            request = _request(path, row, categories, replace)
        except DataError as fault:
            raise DataError(f"{path}, line {line}: {fault}") from fault
        if request.product_id in lines:
            first = lines[request.product_id]
            raise DataError(
                f"{path}, line {line}: product {request.product_id!r} is in line {first} already; one row each"
            )
        lines[request.product_id] = line
        requests.append(request)
    if not requests:
        raise DataError(f"{path}: holds no product")
    return requests


def read_categories(path: Path) -> dict[str, tuple[str, ...]]:
    """Category → path from the root, out of a CSV file with the columns `category` and `parent` (empty for a root).

    Raises DataError for a category twice, an unknown parent or a cycle.
    """
    parents: dict[str, str | None] = {}
    for line, row in _rows(path, ("category", "parent"), ("category",)):
        if row["category"] in parents:
            raise DataError(f"{path}, line {line}: category {row['category']!r} occurs twice; one row each")
        parents[row["category"]] = row.get("parent") or None
    try:
        return paths_of_parents(parents)
    except DataError as fault:
        raise DataError(f"{path}: {fault}") from fault


def known_category(text: str, categories: Paths | None) -> tuple[str, ...]:
    """The path of a category that is written as its path or, where `categories` are given, as its name.

    Raises DataError for one that `categories` lack.
    """
    path = category_path(text)
    if categories is None or not path:
        return path
    if path[-1] not in categories or (len(path) > 1 and categories[path[-1]] != path):
        raise DataError(f"category {text!r} is not in the table of categories; add it there, with its parent")
    return categories[path[-1]]


def details_of(product_id: str, row: Mapping[str, str | None], categories: Paths | None) -> dict[str, Any]:
    """What the gallery keeps of a product, out of texts that may be empty."""
    return {
        "name": row.get("name") or product_id,
        "category": list(known_category(row.get("category") or "", categories)),
        "sold_by": row.get("sold_by") or "piece",
        "gtin": row.get("gtin") or None,
        "plu": row.get("plu") or None,
    }


def _request(path: Path, row: Mapping[str, str], categories: Paths | None, replace: bool) -> Request:
    photos: list[Path] = []
    for part in filter(None, (part.strip() for part in row["photos"].split(";"))):
        try:
            photos += _photos(path.parent, part)
        except (OSError, ValueError, NotImplementedError, IndexError) as fault:
            # pathlib's own words for a pattern that is absolute or has ** in a name, the system's for a name that is too long.
            raise DataError(f"photos {shown(part)}: cannot be looked for ({fault})") from fault
    told = any(row.get(name) for name in ("name", "category", "gtin", "plu", "sold_by"))
    details = details_of(row["product_id"], row, categories) if told else None
    return Request(row["product_id"], tuple(photos), details, replace)


def _photos(folder: Path, part: str) -> list[Path]:
    if not any(sign in part for sign in "*?["):
        return find_pictures([folder / part])
    matched = sorted(folder.glob(part))
    if not matched:
        raise DataError(f"photos {part!r}: no file matches in {folder}")
    return find_pictures(matched)


def _rows(path: Path, columns: tuple[str, ...], needed: tuple[str, ...]) -> list[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True)
            if os.fstat(file.fileno()).st_size > MAX_BYTES:
                raise DataError(f"{path}: more than {MAX_BYTES} bytes; split the table")
            names = tuple(reader.fieldnames or ())
            if twice := [name for place, name in enumerate(names) if name in names[:place]]:
                raise DataError(f"{path}: the column {shown(twice[0])} occurs twice")
            if missing := [name for name in needed if name not in names]:
                raise DataError(f"{path}: lacks the column {missing[0]!r}; it has {', '.join(names) or 'none'}")
            if strange := [name for name in names if name not in columns]:
                raise DataError(f"{path}: unknown column {shown(strange[0])}; known are {', '.join(columns)}")
            rows = []
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(f"{path}, line {reader.line_num}: not {len(names)} cells, as the first line has")
                cells = {name: value.strip() for name, value in row.items()}
                if empty := [name for name in needed if not cells[name]]:
                    raise DataError(f"{path}, line {reader.line_num}: {empty[0]} is empty")
                rows.append((reader.line_num, cells))
            return rows
    except (FileNotFoundError, IsADirectoryError) as fault:
        raise DataError(f"{path}: no such table") from fault
    except (UnicodeDecodeError, csv.Error) as fault:
        raise DataError(f"{path}: not a CSV file in UTF-8 ({fault})") from fault
