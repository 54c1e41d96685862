"""Finding folders, and asking pictures whether they can be read, without decoding all of them.

Knows nothing of annotations.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from facings.errors import DataError

Check = Literal["tail", "decode", "none"]
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# Where a whole file of its kind ends; encoders and phones may pad behind it.
ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
TAIL = 4096
# EXIF orientations that lay a picture on its side.
SIDEWAYS = (5, 6, 7, 8)


def locate(source: Path, relative: str) -> Path | None:
    """`relative` in `source` or up to two folders below (archives that hold a folder, or a doubled one); None if nowhere."""
    for pattern in ("", "*/", "*/*/"):
        found = sorted(source.glob(pattern + relative)) if pattern or "*" in relative else [source / relative]
        there = [path for path in found if path.exists()]
        if there:
            return there[0]
    return None


def required(source: Path, relative: str, title: str) -> Path:
    """As `locate`. Raises DataError where there is none."""
    found = locate(source, relative)
    if found is None:
        raise DataError(
            f"{source}: neither {relative} nor a folder that holds it; expected {title} as its authors pack it"
        )
    return found


def pictures_below(folder: Path) -> Iterator[Path]:
    """Every picture file below `folder`, in the order of names."""
    yield from (p for p in sorted(folder.rglob("*")) if p.suffix.lower() in SUFFIXES and p.is_file())


def below(root: Path, path: Path) -> str:
    """`path` as a file name relative to `root`, with forward slashes."""
    return path.relative_to(root).as_posix()


class Pictures:
    """The pictures of a set, asked one by one. `root`: the folder that file names start at.

    `check`: "tail" reads the header and looks whether the file ends as its format does (a file that does not is decoded to
    be sure); "decode" decodes every picture; "none" trusts sizes that annotations state, and asks only where none is stated.
    """

    def __init__(self, root: Path, check: Check = "tail") -> None:
        if check not in ("tail", "decode", "none"):
            raise DataError(f"check={check!r}: expected tail, decode or none")
        self.root, self.check = root, check

    def size(self, name: str, stated: tuple[int, int] | None = None) -> tuple[tuple[int, int] | None, str]:
        """Width and height as the picture is seen (EXIF applied), and what is wrong with it ("" if nothing).

        The size is None where the picture is missing or cannot be read.
        """
        if self.check == "none" and stated is not None:
            return stated, ""
        path = self.root / name
        if not path.is_file():
            return None, "missing picture"
        from PIL import Image

        try:
            with Image.open(path) as picture:
                size, kind = picture.size, str(picture.format)
                if picture.getexif().get(0x0112) in SIDEWAYS:
                    size = (size[1], size[0])
                if self.check == "decode" or not _ends_well(path, kind):
                    picture.load()
        except (OSError, SyntaxError, ValueError) as fault:
            return None, f"unreadable picture ({str(fault).splitlines()[0][:80]})"
        if stated is not None and min(stated) > 0 and size != stated:
            return size, f"size differs (stated {stated[0]} x {stated[1]}, the picture has {size[0]} x {size[1]})"
        return size, ""


def _ends_well(path: Path, kind: str) -> bool:
    end = ENDS.get(kind)
    if end is None:
        return True
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL))
        return end in file.read()
