"""JSON from a stranger: what comes out is plain, finite, not deep, and no larger than its bytes let expect.

Knows nothing of what the content means. Python's own reader takes duplicate keys (the last one counts), NaN, infinite numbers,
halves of surrogate pairs and nesting up to its stack; other languages read each of these otherwise, or not at all.
"""

import json
import math
import re
from typing import Any

MAX_BYTES = 64 << 20
# A value takes up to 64 bytes of memory and some 3 bytes of text: values are counted before anything is made of them.
MAX_VALUES = 8_000_000
MAX_DEPTH = 64
SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def parse(data: bytes | str, *, max_bytes: int = MAX_BYTES, max_values: int = MAX_VALUES) -> Any:
    """The content of a JSON text in UTF-8.

    Raises ValueError, and nothing else: not JSON, more bytes or values than allowed, nested deeper than MAX_DEPTH, a key twice in
    one object, a number that 64 bits cannot hold, text that is no Unicode.

    >>> parse('{"a": [1, 2.5, null]}')
    {'a': [1, 2.5, None]}
    >>> parse('{"a": 1, "a": 2}')
    Traceback (most recent call last):
    ValueError: the key 'a' occurs twice in one object
    """
    if len(data) > max_bytes:
        raise ValueError(f"{len(data)} bytes; at most {max_bytes} are read")
    try:
        raw = data.encode("utf-8") if isinstance(data, str) else data
        # As an over-estimate: signs inside texts count too.
        if raw.count(b",") + raw.count(b"[") + raw.count(b"{") > max_values:
            raise ValueError(f"more than {max_values} values")
        content = json.loads(
            raw.decode("utf-8"),
            object_pairs_hook=_object,
            parse_float=_finite,
            parse_int=_whole,
            parse_constant=_constant,
        )
        if SURROGATE.search(raw):
            json.dumps(content, ensure_ascii=False).encode("utf-8")
    except RecursionError as fault:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from fault
    except UnicodeError as fault:
        raise ValueError(f"not Unicode ({fault.reason if hasattr(fault, 'reason') else fault})") from fault
    _check_depth(content)
    return content


def shown(value: Any, most: int = 80) -> str:
    """The value as a message may show it: a hostile one does not fill the screen.

    >>> shown("x" * 1000, most=12)
    "'xxxxxxxx..."
    """
    if isinstance(value, str) and len(value) > most:
        value = value[:most]
    if isinstance(value, dict | list) and len(value) > most:
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value)}"
    text = repr(value)
    return text if len(text) <= most else text[: most - 3] + "..."


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        seen: set[str] = set()
        twice = next(name for name, _ in pairs if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {shown(twice)} occurs twice in one object")
    return made


def _finite(text: str) -> float:
    if not math.isfinite(value := float(text)):
        raise ValueError(f"the number {text[:40]} is not finite")
    return value


def _whole(text: str) -> int:
    if len(text) > 20 or not -(2**63) <= (value := int(text)) < 2**63:
        raise ValueError(f"the whole number {text[:40]} is beyond 64 bits")
    return value


def _constant(text: str) -> float:
    raise ValueError(f"{text} is not finite, and no JSON number")


def _check_depth(content: Any) -> None:
    level = [content]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise ValueError(f"nested more than {MAX_DEPTH} deep")
