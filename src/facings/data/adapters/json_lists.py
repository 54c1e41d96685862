"""A JSON file of a gigabyte whose long lists are met element by element, so that memory does not grow with them.

Knows nothing of what the content means.
"""

import codecs
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

# Called with an element, the byte that it starts at, and how many bytes it takes.
Met = Callable[[Any, int, int], None]
BLOCK = 1 << 20
SPACE = re.compile(r"[ \t\n\r]*")
NUMBER = re.compile(r"[-+.0-9eE]*")
DECODER = json.JSONDecoder()


def read_object(path: Path, met: Mapping[str, Met]) -> Any:
    """The content of a JSON file; of an object the lists named in `met` are handed over element by element and stay empty.

    A byte order mark is skipped. Raises ValueError for what is no JSON in UTF-8 (with the byte where it ends), and for such a list
    that comes twice; RecursionError for what is nested too deep; OSError.
    """
    with path.open("rb") as file:
        text = _Text(file)
        if text.peek() != "{":
            content: Any = text.value()
        else:
            content = _object(text, met)
        if text.peek():
            raise ValueError(f"something follows the end at byte {text.byte}")
    return content


def _object(text: "_Text", met: Mapping[str, Met]) -> dict[str, Any]:
    content: dict[str, Any] = {}
    text.take("{")
    if text.peek() == "}":
        text.take("}")
        return content
    end = ","
    while end == ",":
        start, key = text.byte, text.value()
        if not isinstance(key, str):
            raise ValueError(f"expected a key in quotes at byte {start}")
        text.take(":")
        if key not in met or text.peek() != "[":
            content[key] = text.value()
        elif key in content:
            raise ValueError(f"the list {key!r} comes twice")
        else:
            content[key] = []
            _elements(text, met[key])
        end = text.take(",}")
    return content


def _elements(text: "_Text", met: Met) -> None:
    text.take("[")
    if text.peek() == "]":
        text.take("]")
        return
    end = ","
    while end == ",":
        text.peek()
        start = text.byte
        met(text.value(), start, text.byte - start)
        end = text.take(",]")


class _Text:
    """What is read of a file and not yet taken. `byte`: where in the file it starts."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.decoder = file, codecs.getincrementaldecoder("utf-8")()
        self.text, self.at = "", 0
        self.byte = len(codecs.BOM_UTF8) if file.read(len(codecs.BOM_UTF8)) == codecs.BOM_UTF8 else 0
        file.seek(self.byte)

    def peek(self) -> str:
        """The next character that is no space, without taking it; "" at the end."""
        while True:
            end = SPACE.match(self.text, self.at).end()  # type: ignore[union-attr]
            self.byte += end - self.at
            self.at = end
            if end < len(self.text) or not self._more():
                return self.text[self.at : self.at + 1]

    def take(self, wanted: str) -> str:
        """The next character, which must be one of `wanted`."""
        found = self.peek()
        if not found or found not in wanted:
            expected = " or ".join(repr(sign) for sign in wanted)
            raise ValueError(f"expected {expected} at byte {self.byte}, got {repr(found) if found else 'the end'}")
        self.at += 1
        self.byte += len(found)
        return found

    def value(self) -> Any:
        """The next value whole."""
        self.peek()
        while True:
            try:
                found, end = DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as fault:
                # It may only have been cut by the end of the block.
                if self._more():
                    continue
                said = fault.msg.removesuffix(" starting at")
                raise ValueError(f"{said}, in what starts at byte {self.byte}") from fault
            # A number may go on in the next block, "12" with "34" or "." with "5".
            if NUMBER.match(self.text, end).end() == len(self.text) and self._more():  # type: ignore[union-attr]
                continue
            taken = self.text[self.at : end]
            self.byte += len(taken) if taken.isascii() else len(taken.encode())
            self.at = end
            return found

    def _more(self) -> bool:
        """Read on, as much again as waits; False at the end."""
        block = self.file.read(max(BLOCK, len(self.text) - self.at))
        if not block:
            self.decoder.decode(block, final=True)
            return False
        self.text = self.text[self.at :] + self.decoder.decode(block)
        self.at = 0
        return True
