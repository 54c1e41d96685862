"""What a file says of products, by product id: each entry an object whose known fields have their types.

Knows nothing of whether codes are right or categories fit each other (`product_catalogue`): a file that comes out of a bundle is
taken as it is, as long as no reader of it can stumble.
"""

from typing import Any

from facings.strict_json import shown

ID_LENGTH = 200
NAME_LENGTH = 1000
MAX_LEVELS = 32
TEXTS = ("name", "gtin", "plu", "sold_by")


def checked_products(content: Any) -> dict[str, dict[str, Any]]:
    """Product id → `name`, `category` (list of names from coarse to fine), `gtin`, `plu`, `sold_by`, of which any may be missing or
    null; other fields pass. Raises ValueError for what is no such table."""
    if not isinstance(content, dict):
        raise ValueError(f"products is {shown(content)}; expected an object by product id")
    for name, entry in content.items():
        if not is_id(name):
            raise ValueError(f"{shown(name)} is no product id; expected 1 to {ID_LENGTH} characters")
        if not isinstance(entry, dict):
            raise ValueError(f"product {name!r} is {shown(entry)}; expected an object")
        for field in TEXTS:
            value = entry.get(field)
            if value is not None and (not isinstance(value, str) or len(value) > NAME_LENGTH):
                raise ValueError(f"product {name!r}: {field} is {shown(value)}; expected a text or null")
        category = entry.get("category")
        if category is not None and not _is_path(category):
            raise ValueError(f"product {name!r}: category is {shown(category)}; expected names from coarse to fine")
    return content


def checked_ids(content: Any, name: str, *, none: bool = False) -> tuple[Any, ...]:
    """A list of product ids, of null too where `none`. Raises ValueError for anything else; `name` is the list's."""
    if not isinstance(content, list):
        raise ValueError(f"{name} is {shown(content)}; expected a list")
    for value in content:
        if not is_id(value) and not (none and value is None):
            raise ValueError(f"{name} holds {shown(value)}; expected product ids")
    return tuple(content)


def is_id(value: Any) -> bool:
    """Whether it may be a product id in a file."""
    return isinstance(value, str) and 1 <= len(value) <= ID_LENGTH


def _is_path(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) <= MAX_LEVELS
        and all(isinstance(level, str) and len(level) <= NAME_LENGTH for level in value)
    )
