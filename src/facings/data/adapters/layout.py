"""Finding folders, opening texts of many hands, and asking pictures whether they can be read, without decoding all of them.

Knows nothing of annotations.
"""

import csv
import warnings
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any, Literal

import numpy as np
from numpy.typing import NDArray

from facings.errors import DataError
from facings.files import is_file

Check = Literal["tail", "decode", "none"]
SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")
# Where a whole file of its kind ends; encoders and phones may pad behind it.
ENDS = {"JPEG": b"\xff\xd9", "MPO": b"\xff\xd9", "PNG": b"IEND"}
TAIL = 4096
# Gray value of what a JPEG decoder makes up.
FILLER, FILLED, MOSTLY = 128, ("JPEG", "MPO"), 0.2
FILLED_UP = "its data end before the picture does"
# JPEG is decoded at the smallest of its eighths that is no smaller than this: all of the file is still read.
DRAFT = (128, 128)
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


@contextmanager
def opened(path: Path) -> Iterator[IO[str]]:
    """An annotation text, line by line, with or without a byte order mark; line ends stay as they are, as `csv` wants them.

    Raises DataError where the block meets bytes that are not UTF-8, or rows that `csv` cannot take apart.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError as fault:
        got = f"byte 0x{fault.object[fault.start]:02x}, {fault.reason}"
        raise DataError(f"{path}: is not UTF-8 ({got}); save it as UTF-8 first") from fault
    except csv.Error as fault:
        raise DataError(f"{path}: cannot be taken apart as CSV ({fault})") from fault


def lines_of(path: Path) -> list[tuple[int, str]]:
    """The lines of a small text that hold something, stripped, each with its number from 1. Raises DataError as `opened`."""
    with opened(path) as file:
        lines = file.read().splitlines()
    return [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]


def yes_or_no_columns(path: Path, known: Collection[str], **dialect: Any) -> tuple[str, ...]:
    """Columns of a CSV beyond those `known` that hold 1, 0 or nothing in every line, and something in one.

    `dialect`: as of `csv.DictReader`. Raises DataError as `opened`.
    """
    with opened(path) as file:
        reader = csv.DictReader(file, **dialect)
        told = {name: False for name in reader.fieldnames or () if name and name not in known}
        for record in reader:
            answers = {name: (record[name] or "").strip() for name in told}
            told = {name: told[name] or bool(text) for name, text in answers.items() if text in ("", "0", "1")}
    return tuple(name for name, answered in told.items() if answered)


class NamedPictures:
    """Pictures in any folder below `root`, by their last name, or where no file has it by one that differs in case or ending."""

    def __init__(self, root: Path) -> None:
        self._names: dict[str, list[str]] = {}
        self._stems: dict[str, list[str]] = {}
        for path in pictures_below(root):
            self._names.setdefault(path.name, []).append(below(root, path))
            self._stems.setdefault(path.stem.casefold(), []).append(below(root, path))

    def find(self, name: str) -> list[str]:
        """Those that `name` may mean, relative to the root; none for a picture that is not there."""
        last = name.rpartition("/")[2]
        return self._names.get(last) or self._stems.get(last.rpartition(".")[0].casefold(), [])


def below(root: Path, path: Path) -> str:
    """`path` as a file name relative to `root`, with forward slashes."""
    return path.relative_to(root).as_posix()


class Pictures:
    """The pictures of a set, asked one by one. `root`: the folder that file names start at.

    `check`: "tail" reads the header and looks whether the file ends as its format does (a file that does not is decoded to
    be sure); "decode" decodes every picture; "none" trusts sizes that annotations state, and asks only where none is stated.
    `suspects`: stems of pictures that are known to be broken in some copies: they are decoded unless `check` is "none".
    """

    def __init__(self, root: Path, check: Check = "tail", *, suspects: Collection[str] = ()) -> None:
        if check not in ("tail", "decode", "none"):
            raise DataError(f"check={check!r}: expected tail, decode or none")
        self.root, self.check, self.suspects = root, check, frozenset(suspects)
        self._folders: dict[Path, dict[str, str]] = {}

    def as_stored(self, name: str) -> str:
        """`name`, or where that is missing the one picture of its folder that differs in case or ending only (a.jpg, A.JPG), also
        where the folders are told apart by backslashes."""
        if self.check == "none" or is_file(self.root / name) or leaves(name):
            return name
        # Written down on Windows.
        slashed = name.replace("\\", "/")
        if slashed != name and is_file(self.root / (found := self.as_stored(slashed))):
            return found
        way, _, last = name.rpartition("/")
        folder = self.root / way
        if folder not in self._folders:
            names = [p.name for p in _entries(folder) if p.suffix.lower() in SUFFIXES]
            # Two files of one stem: nobody can say which is meant.
            stems = Counter(Path(n).stem.casefold() for n in names)
            self._folders[folder] = {s: n for n in names if stems[s := Path(n).stem.casefold()] == 1}
        there = self._folders[folder].get(Path(last).stem.casefold())
        return name if there is None else f"{way}/{there}".lstrip("/")

    def size(self, name: str, stated: tuple[int, int] | None = None) -> tuple[tuple[int, int] | None, str]:
        """Width and height as the picture is seen (EXIF applied), and what is wrong with it ("" if nothing).

        The size is None where the picture is missing or cannot be read.
        """
        if leaves(name):
            return None, "picture elsewhere"
        if self.check == "none" and stated is not None:
            return stated, ""
        path = self.root / name
        if not is_file(path):
            return None, "missing picture" if allowed(path) else "unreadable picture (permission denied)"
        from PIL import Image

        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", Image.DecompressionBombWarning)
                with Image.open(path) as picture:
                    size, kind = picture.size, str(picture.format)
                    if picture.getexif().get(0x0112) in SIDEWAYS:
                        size = (size[1], size[0])
                    if self.check == "decode" or path.stem in self.suspects or not _ends_well(path, kind):
                        picture.draft("L", DRAFT)
                        picture.load()
                        if kind in FILLED and filled(np.asarray(picture.convert("L"))):
                            return None, f"unreadable picture ({FILLED_UP})"
        # Decoders meet damage with errors of many kinds; a picture of too many pixels is one that training cannot read either.
        except Exception as fault:
            return None, f"unreadable picture ({(str(fault) or type(fault).__name__).splitlines()[0][:80]})"
        if stated is not None and min(stated) > 0 and size != stated:
            return size, f"size differs (stated {stated[0]} x {stated[1]}, the picture has {size[0]} x {size[1]})"
        return size, ""


def allowed(path: Path) -> bool:
    """Whether the system lets us ask for a file, be it there or not."""
    try:
        path.stat()
    except PermissionError:
        return False
    except (OSError, ValueError):
        pass
    return True


def is_folder(path: Path) -> bool:
    """Whether a folder is there; a name that no folder can have is none."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False


def leaves(name: str) -> bool:
    """Whether a picture's name leads out of the folder that names start at.

    >>> leaves("a/b.jpg"), leaves("../b.jpg"), leaves("/b.jpg")
    (False, True, True)
    """
    return ".." in Path(name).parts or Path(name).is_absolute()


def filled(gray: NDArray[np.uint8]) -> bool:
    """Whether the lower sixteenth or more of a JPEG, gray values (H, W), is what a decoder shows where data end too soon.

    Pillow says nothing of a picture that ends as it should but whose last part is missing or zeros: what is lost is exactly 128.
    One that holds much of that gray above too (a drawing, a margin) is not damaged.
    """
    lost = gray == FILLER
    rows = lost.all(axis=1)
    first = len(rows) - int(np.argmin(rows[::-1]))
    if rows.all() or len(rows) - first < max(2, len(rows) // 16):
        return False
    # What is drawn on a ground of that gray holds more of it than any photo.
    return bool(lost[: max(1, first - 2)].mean() < MOSTLY)


def _entries(folder: Path) -> list[Path]:
    """What a folder holds; nothing for one that is not there, or whose name no folder can have."""
    try:
        return sorted(folder.iterdir())
    except PermissionError:
        raise
    except (OSError, ValueError):
        return []


def _ends_well(path: Path, kind: str) -> bool:
    end = ENDS.get(kind)
    if end is None:
        return True
    with path.open("rb") as file:
        file.seek(0, 2)
        file.seek(max(0, file.tell() - TAIL))
        return end in file.read()
