"""Spoiling a file on purpose: bytes, the structure of JSON, headers of arrays and pictures, cells of tables.

Knows nothing of parsers. Everything is drawn from the generator that is given, so that an input can be made again.
"""

import json
import re
import struct
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any, Literal

Kind = Literal["json", "array", "picture", "table", "bytes"]
Mutation = Callable[[bytes, Random], bytes]
LARGEST = 1 << 20
# Where a text stands for something that Python's writer would not write, or not so.
RAW = {
    "@huge": "9" * 5000, "@beyond": "18446744073709551616", "@inf": "1e999", "@-inf": "-Infinity", "@nan": "NaN",
    "@deep": "[" * 3000 + "]" * 3000, "@deeper": '{"a":' * 90 + "1" + "}" * 90, "@half": '"\\ud800"',
    "@long": '"' + "x" * 70_000 + '"',
    "@twice": '{"file": 1, "file": 2}', "@many": "[" + ",".join(["[]"] * 4000) + "]", "@bare": "undefined", "@minus": "-0",
    "@zero": "0123", "@point": "1.", "@tiny": "1e-400",
}  # fmt: skip
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2**31, 2**63 - 1, -(2**63), 0.5, -0.0, 1e308, 1e-320, "", " ", "0", "a", [], {}, [[]], [None],
    {"": None}, "../outside", "/etc/passwd", "C:\\x", "a\\b", ".", "..", "a/../b", "gallery/CURRENT", "bundle.json", "a" * 300,
    "\x00", "\n", "\u202e", "\ufeff", "é\u0301", "𝟙", "١", "float32", "int8", "auto", "embedder", "facings.bundle/2", *RAW,
)  # fmt: skip
TOKENS = (
    b"\x00", b"\xff\xff\xff\xff", b"\x80" * 10, b"\xff\xfe", b"{", b"}", b"[", b"]", b'"', b",", b":", b"null", b"1e999", b"NaN",
    b"\\ud800", b"\xed\xa0\x80", b"../", b"\r\n", b"\xef\xbb\xbf", b"PK\x03\x04", b"\x93NUMPY", b"\x89PNG\r\n\x1a\n", b"%!PS-Adobe",
    b"\xff\xd8\xff", b"II*\x00", b"GIF89a", b"RIFF", b"BM", b"P6\n9 9\n255\n",
)  # fmt: skip
CELLS = (
    "", '"', '""', '"a', "a\nb", "\x00", "*", "**", "a**b", "/*", "[", "[]", "?" * 40, "../*", "/", "~", "x" * 5000,
    "x" * 200_000, ";",
    ";;;", "a/b/c", "/".join("abcdefghijklmnopqrstuvwxyz" * 2), "=1+1", "\ufeff", "\u2028", "0", "-1", "4011", "é", "product_id",
)  # fmt: skip
SIDES = (0, 1, 2, 255, 65_535, 65_536, 20_000, 100_000, 2**31 - 1, 2**31, 2**32 - 1)


def mutate(data: bytes, kind: Kind, rng: Random, others: Sequence[bytes]) -> bytes:
    """A spoiled copy of `data`, one to three faults in it, at most LARGEST bytes. `others`: files to splice with."""
    own: dict[str, Mutation] = {"json": structure, "array": array_header, "picture": picture_header, "table": cell}
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if kind in own and rng.random() < 0.6:
            data = own[kind](data, rng)
        elif rng.random() < 0.15:
            data = splice(data, rng.choice(others), rng)
        else:
            data = rng.choice(BYTES)(data, rng)
    return data[:LARGEST]


def flip(data: bytes, rng: Random) -> bytes:
    """Between 1 and 8 bits turned over."""
    made = bytearray(data or b"\x00")
    for _ in range(rng.choice((1, 1, 2, 8))):
        made[rng.randrange(len(made))] ^= 1 << rng.randrange(8)
    return bytes(made)


def truncate(data: bytes, rng: Random) -> bytes:
    """The beginning, or the end."""
    place = rng.randrange(len(data) + 1)
    return data[:place] if rng.random() < 0.7 else data[place:]


def drop(data: bytes, rng: Random) -> bytes:
    """A part is missing."""
    start = rng.randrange(len(data) + 1)
    return data[:start] + data[start + rng.randrange(1, 65) :]


def repeat(data: bytes, rng: Random) -> bytes:
    """A part stands there several times."""
    start = rng.randrange(len(data) + 1)
    part = data[start : start + rng.randrange(1, 257)]
    return data[:start] + part * rng.choice((2, 3, 50)) + data[start + len(part) :]


def overwrite(data: bytes, rng: Random) -> bytes:
    """Up to 8 bytes are others."""
    start = rng.randrange(len(data) + 1)
    part = rng.choice((rng.randbytes(rng.randrange(1, 9)), b"\xff" * 4, b"\x00" * 4, b"\x7f\xff\xff\xff", b"\x80"))
    return data[:start] + part + data[start + len(part) :]


def insert(data: bytes, rng: Random) -> bytes:
    """Something that means something to a parser."""
    start = rng.randrange(len(data) + 1)
    return data[:start] + rng.choice(TOKENS) + data[start:]


def splice(data: bytes, other: bytes, rng: Random) -> bytes:
    """The beginning of one file and the end of another."""
    return data[: rng.randrange(len(data) + 1)] + other[rng.randrange(len(other) + 1) :]


BYTES: tuple[Mutation, ...] = (flip, truncate, drop, repeat, overwrite, insert)


def structure(data: bytes, rng: Random) -> bytes:
    """JSON in which one place is missing, of another type, named otherwise, twice there or elsewhere; bytes where it is none."""
    try:
        content = json.loads(data)
    except (ValueError, RecursionError):
        return flip(data, rng)
    places = _places(content)
    if not places:
        return json.dumps(_other(rng)).encode()
    holder, key = rng.choice(places)
    what = rng.randrange(8)
    if what == 0:
        del holder[key]
    elif what == 1 and isinstance(holder, dict):
        holder[str(rng.choice(VALUES))[:300]] = holder.pop(key)
    elif what == 2:
        holder[key] = [holder[key]]
    elif what == 3:
        theirs, place = rng.choice(places)
        holder[key] = json.loads(json.dumps(theirs[place]))
    elif what == 4 and isinstance(holder, dict):
        holder[f"@again{key}"] = _other(rng)
    elif what == 5 and isinstance(holder[key], str) and holder[key]:
        place = rng.randrange(len(holder[key]))
        holder[key] = holder[key][:place] + rng.choice(("", "\x00", "/", "é", "0" * 70)) + holder[key][place + 1 :]
    else:
        holder[key] = _other(rng)
    # A name or a text of surrogate halves is written as an escape, which is what a stranger would do.
    text = json.dumps(content).replace('"@again', '"')
    return re.sub(r'"(@[^"]+)"', lambda match: RAW.get(match[1], match[0]), text).encode()


def array_header(data: bytes, rng: Random) -> bytes:
    """An array whose header tells another shape, type or order, with the length that the header's own field says."""
    if data[:6] != b"\x93NUMPY" or len(data) < 10:
        return overwrite(data, rng)
    size = struct.unpack("<H", data[8:10])[0]
    shape = rng.choice(
        ("()", "(0,)", "(1,)", "(10**12,)", "(1000000000000,)", "(-1,)", "(2, -3)", "(9223372036854775807, 2)", "(True,)", "(1.0,)",
         "(0, 9223372036854775807)", "(1,)*70", "[3]", "None", "(4, 3)", "(3, 4)", "(" + "1," * 40 + ")", "(" + "9" * 400 + ",)")
    )  # fmt: skip
    kind = rng.choice(
        ("'<f4'", "'<i8'", "'|O'", "'|V0'", "'<U9'", "'|b1'", "'>f4'", "[('a', '<f4')]", "'<f2'", "'|S0'", "'x'", "3")
    )
    header = f"{{'descr': {kind}, 'fortran_order': {rng.choice(('False', 'True', '0'))}, 'shape': {shape}, }}"
    if rng.random() < 0.1:
        header = rng.choice(
            ("", "{", "(" * 200, "__import__('os')", "{'descr': 0}", header[: len(header) // 2], "\\" * 50)
        )
    told = len(header) + 1 if rng.random() < 0.9 else rng.choice((0, 65_535))
    return data[:8] + struct.pack("<H", told) + header.encode() + b"\n" + data[10 + size :]


def picture_header(data: bytes, rng: Random) -> bytes:
    """A PNG that tells other sides, depths or methods, with the right checksum; of other formats some early bytes are others."""
    if data[:4] != b"\x89PNG" or len(data) < 33:
        place = rng.randrange(min(len(data), 64) + 1)
        return data[:place] + struct.pack(rng.choice("<>") + "I", rng.choice(SIDES)) + data[place + 4 :]
    header = bytearray(data[16:29])
    if rng.random() < 0.7:
        header[0:8] = struct.pack(">II", rng.choice(SIDES), rng.choice(SIDES))
    else:
        header[rng.randrange(8, 13)] = rng.randrange(256)
    return data[:16] + bytes(header) + struct.pack(">I", zlib.crc32(b"IHDR" + header)) + data[33:]


def cell(data: bytes, rng: Random) -> bytes:
    """A table with another cell, column or row."""
    rows = [row.split(",") for row in data.decode("utf-8", errors="surrogateescape").split("\n")]
    row = rng.choice(rows)
    what = rng.randrange(4)
    if what == 0:
        row.insert(rng.randrange(len(row) + 1), rng.choice(CELLS))
    elif what == 1:
        row.pop(rng.randrange(len(row)))
    elif what == 2:
        rows.append(list(rng.choice(rows)))
    else:
        row[rng.randrange(len(row))] = rng.choice(CELLS)
    return "\n".join(",".join(row) for row in rows).encode("utf-8", errors="surrogateescape")


def _other(rng: Random) -> Any:
    return json.loads(json.dumps(rng.choice(VALUES)))


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Every (object or list, key or index) of a content."""
    found: list[tuple[Any, Any]] = []
    level = [content]
    while level:
        inner = []
        for holder in level:
            keys = list(holder) if isinstance(holder, dict) else range(len(holder)) if isinstance(holder, list) else ()
            found += [(holder, key) for key in keys]
            inner += [holder[key] for key in keys]
        level = [value for value in inner if isinstance(value, dict | list)]
    return found
