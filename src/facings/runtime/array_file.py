"""Arrays as `numpy.save` writes them, from a stranger: no memory is taken before the file's size is known to fit its header.

Knows nothing of what the numbers mean. `numpy.load` asks for as much memory as the header says, opens archives too, and lets
several kinds of fault through.
"""

from math import prod
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np
from numpy.typing import NDArray

NO_HEADER = (ValueError, TypeError, SyntaxError, TokenError, RecursionError, MemoryError, OverflowError)
# Booleans, integers, floats: nothing that holds objects, texts or fields.
KINDS = "biuf"
MAX_DIMENSIONS, MAX_SIDE = 8, 1 << 40


def read_array(path: Path, *, fortran: bool = True) -> NDArray[Any]:
    """The array of a `.npy` file of format 1.0, in its own byte order and layout; `fortran`: whether columns may come first.

    Raises ValueError: no such file, another format, objects or texts inside, or a file longer or shorter than its header says.
    """
    if not path.is_file():
        raise ValueError("no such file")
    with path.open("rb") as file:
        try:
            if (version := np.lib.format.read_magic(file)) != (1, 0):
                raise ValueError(f"format {version}")
            shape, by_columns, kind = np.lib.format.read_array_header_1_0(file)
        except NO_HEADER as fault:
            raise ValueError(f"not an array as numpy.save writes it ({fault})") from fault
        if kind.kind not in KINDS or len(shape) > MAX_DIMENSIONS or (by_columns and not fortran):
            raise ValueError(
                f"holds {kind} {shape}; expected numbers in at most {MAX_DIMENSIONS} dimensions, row by row"
            )
        held = path.stat().st_size - file.tell()
        if held != prod(shape) * kind.itemsize:
            raise ValueError(f"holds {held} bytes; {shape} of {kind} are {prod(shape) * kind.itemsize}")
        if any(not 0 <= side <= MAX_SIDE for side in shape):
            raise ValueError(f"holds {shape}, which is no shape of an array")
        buffer = bytearray(held)
        if file.readinto(buffer) != held:
            raise ValueError("changed while it was read")
        values = np.frombuffer(buffer, kind)
    try:
        return values.reshape(shape[::-1]).T if by_columns else values.reshape(shape)
    except ValueError as fault:
        raise ValueError(f"holds {shape}, which is no shape of an array ({fault})") from fault
