"""The wire format of protobuf, enough of it to look at a message without the package that knows its fields.

Knows nothing of ONNX. A message may be hostile: the number of fields that are looked at is bounded, whatever its length.
"""

from collections.abc import Iterator
from dataclasses import dataclass

MAX_FIELDS = 4_000_000
Value = int | memoryview


@dataclass
class FieldReader:
    """Reads messages of one file. `left`: fields that may still be looked at, in all messages together."""

    left: int = MAX_FIELDS

    def fields(self, message: memoryview) -> Iterator[tuple[int, Value]]:
        """Number and value of each field: an integer, or the bytes. Raises ValueError for what is no message.

        >>> list(FieldReader().fields(memoryview(bytes([0x08, 0x96, 0x01]))))  # the example of protobuf's own documentation
        [(1, 150)]
        """
        position, end = 0, len(message)
        while position < end:
            self.left -= 1
            if self.left < 0:
                raise ValueError(f"more than {MAX_FIELDS} fields")
            key, position = _varint(message, position)
            number, wire = key >> 3, key & 7
            # Readers of protobuf keep 32 bits of a key: a longer one could mean one field here and another there.
            if number == 0 or key >= 1 << 32:
                raise ValueError(f"field number {number}")
            if wire == 0:
                value, position = _varint(message, position)
                yield number, value
                continue
            if wire == 2:
                size, position = _varint(message, position)
            elif wire in (1, 5):
                size = 8 if wire == 1 else 4
            else:
                raise ValueError(f"wire type {wire}")
            if position + size > end:
                raise ValueError("a field runs past its message")
            yield number, message[position : position + size]
            position += size

    def messages(self, message: memoryview, *numbers: int) -> Iterator[tuple[int, memoryview]]:
        """The fields that hold bytes, of these numbers."""
        for number, value in self.fields(message):
            if number in numbers and isinstance(value, memoryview):
                yield number, value


def _varint(message: memoryview, position: int) -> tuple[int, int]:
    """An integer of 64 bits, and where it ends."""
    result = shift = 0
    while shift < 70:
        if position >= len(message):
            raise ValueError("a number runs past its message")
        byte = message[position]
        position += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result & (1 << 64) - 1, position
        shift += 7
    raise ValueError("a number of more than ten bytes")
