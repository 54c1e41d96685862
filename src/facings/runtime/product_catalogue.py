"""What is told of products fits together: codes are valid and nobody else's, categories form a tree.

Knows nothing of views or files. A category is a path of names from coarse to fine, as in GS1's Global Product
Classification (segment, family, class, brick).
"""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from facings.errors import DataError
from facings.runtime.product_codes import checked_gtin, checked_plu, gtin14

SOLD_BY = ("piece", "weight")
# Levels of a category; what is deeper is a mistake, or made to take time.
MAX_LEVELS = 32
Products = Mapping[str, Mapping[str, Any]]


def check_changed(before: Products, after: Products, changed: Collection[str]) -> None:
    """Check the products `changed` among all of `after`; what stood `before` and stays is taken as it is.

    Raises DataError for a wrong code, one that another product has, a wrong way of selling, or a category that does not fit
    the tree of the others.
    """
    new = [name for name in changed if name in after and after[name] != before.get(name)]
    if not new:
        return
    owners = {"gtin": _owners(after, "gtin"), "plu": _owners(after, "plu")}
    tree = CategoryTree()
    for name, entry in after.items():
        if name not in new:
            tree.add_unchecked(tuple(entry.get("category") or ()))
    for name in sorted(new):
        check_details(name, after[name])
        for code, found in owners.items():
            value = after[name].get(code)
            others = found.get(_same(code, value), []) if value else []
            if others := [other for other in others if other != name]:
                raise DataError(f"product {name!r}: {code.upper()} {value} belongs to {others[0]!r} already")
        try:
            tree.add(tuple(after[name].get("category") or ()))
        except DataError as fault:
            raise DataError(f"product {name!r}: {fault}") from fault


def check_details(name: str, entry: Mapping[str, Any]) -> None:
    """Raise DataError for details of one product that are wrong in themselves."""
    try:
        if entry.get("gtin"):
            checked_gtin(str(entry["gtin"]))
        if entry.get("plu"):
            checked_plu(str(entry["plu"]))
    except DataError as fault:
        raise DataError(f"product {name!r}: {fault}") from fault
    if entry.get("sold_by", "piece") not in SOLD_BY:
        raise DataError(f"product {name!r}: sold_by is {entry['sold_by']!r}; expected {' or '.join(SOLD_BY)}")


def category_path(text: str) -> tuple[str, ...]:
    """`Fruit/Apple` → ("Fruit", "Apple"). Raises DataError for an empty name inside."""
    names = tuple(part.strip() for part in text.split("/")) if text.strip() else ()
    if len(names) > MAX_LEVELS:
        raise DataError(f"category {text[:40]!r}…: {len(names)} levels; at most {MAX_LEVELS}")
    if not all(names):
        raise DataError(f"category {text!r}: an empty name; expected names from coarse to fine, e.g. Fruit/Apple")
    return names


def paths_of_parents(parents: Mapping[str, str | None]) -> dict[str, tuple[str, ...]]:
    """Path from the root of each category, from a table category → parent (None for a root).

    Raises DataError for a parent that the table lacks, a cycle, or more than MAX_LEVELS levels.
    """
    paths: dict[str, tuple[str, ...]] = {}
    for name in parents:
        line = [name]
        while (parent := parents[line[-1]]) is not None:
            if parent not in parents:
                raise DataError(f"category {line[-1]!r}: its parent {parent!r} is not in the table; add a row for it")
            if parent in line:
                raise DataError(
                    f"category {name!r}: a cycle, {' → '.join([*line, parent])}; one of them needs no parent"
                )
            line.append(parent)
            if len(line) > MAX_LEVELS:
                raise DataError(f"category {name!r}: lies below more than {MAX_LEVELS} levels")
        paths[name] = tuple(reversed(line))
    return paths


class CategoryTree:
    """Paths that are seen. A node is its path; names may occur again elsewhere, but not so that the tree turns over."""

    def __init__(self, paths: Iterable[tuple[str, ...]] = ()) -> None:
        self._inner: dict[str, set[tuple[str, ...]]] = {}
        self._last: dict[str, set[tuple[str, ...]]] = {}
        self._above: dict[tuple[str, str], tuple[str, ...]] = {}
        for path in paths:
            self.add(path)

    def add(self, path: tuple[str, ...]) -> None:
        """Raises DataError for a name twice in a path, a pair of names that elsewhere stand the other way round, or a name
        that ends a path in one place and has categories below it in another."""
        if twice := [name for place, name in enumerate(path) if name in path[:place]]:
            raise DataError(f"category {'/'.join(path)}: a cycle: {twice[0]!r} occurs twice")
        for place, name in enumerate(path):
            for coarse in path[:place]:
                if (name, coarse) in self._above:
                    other = "/".join(self._above[name, coarse])
                    raise DataError(f"category {'/'.join(path)}: a cycle: {other} has {name!r} above {coarse!r}")
        for place, name in enumerate(path):
            here, end = path[: place + 1], place == len(path) - 1
            others = (self._inner if end else self._last).get(name, set()) - {here}
            # A node may both end a product's path and have children, as long as it is one node.
            known = (self._last if end else self._inner).get(name, set()) | (self._inner if end else self._last).get(
                name, set()
            )
            if others and here not in known:
                other = "/".join(min(others))
                role, opposite = (
                    ("ends the path", "has categories below it") if end else ("has categories below it", "ends one")
                )
                raise DataError(
                    f"category {'/'.join(path)}: {name!r} {role} here, and in {other} it {opposite}; rename one"
                )
        self.add_unchecked(path)

    def add_unchecked(self, path: tuple[str, ...]) -> None:
        """Take a path in as it is."""
        for place, name in enumerate(path):
            nodes = self._last if place == len(path) - 1 else self._inner
            nodes.setdefault(name, set()).add(path[: place + 1])
            for coarse in path[:place]:
                self._above.setdefault((coarse, name), path)


def _owners(products: Products, code: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for name, entry in products.items():
        if value := entry.get(code):
            found.setdefault(_same(code, value), []).append(name)
    return found


def _same(code: str, value: Any) -> str:
    return gtin14(str(value)) if code == "gtin" else str(value)
