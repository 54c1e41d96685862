"""What the verbs of the store share: their parser, and the pictures that a command line names."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from facings.errors import ConfigError, DataError
from facings.suggestions import nearest

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".npy")


class Parser(argparse.ArgumentParser):
    """argparse with the bundle first, which nearly every verb wants; a wrong word is a ConfigError that names the nearest
    valid ones."""

    def __init__(self, prog: str, *, description: str, bundle: bool = True) -> None:
        super().__init__(prog, description=description)
        if bundle:
            self.add_argument("bundle", type=Path, help="the folder that `facings export` wrote")

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}; see `{self.prog} --help`")

    def parse_all(self, words: Sequence[str]) -> argparse.Namespace:
        """Parse; unknown options are refused with the options that are near."""
        options, unknown = self.parse_known_args(list(words))
        if unknown:
            known = [name for action in self._actions for name in action.option_strings]
            near = nearest(unknown[0].split("=")[0], known) or f"; valid: {', '.join(known)}"
            raise ConfigError(f"unknown option {unknown[0]!r}{near}")
        return options


def key_options(parser: Parser) -> None:
    """Whose bundles are taken: what `Bundle.open` knows as `require_key` and `signed_gallery`."""
    parser.add_argument(
        "--require-key", type=Path, metavar="PUB", help="refuse a bundle that is not signed by this key"
    )
    parser.add_argument(
        "--signed-gallery",
        action="store_true",
        help="with --require-key: refuse a gallery committed after the signature",
    )


def find_pictures(paths: Sequence[Path]) -> list[Path]:
    """Pictures named, and those in folders named, in order. Raises DataError for a folder that has none."""
    found: list[Path] = []
    for path in paths:
        if path.is_dir():
            inside = sorted(p for p in path.iterdir() if p.suffix.lower() in PICTURES)
            if not inside:
                raise DataError(f"{path}: holds no picture; expected files ending in {', '.join(PICTURES)}")
            found += inside
        else:
            found.append(path)
    return found


def count(text: str) -> int:
    """A whole number of 1 or more."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of 1 or more")
    return int(text)


def pixels(text: str) -> int:
    """A whole number of 0 or more."""
    if not text.isdigit():
        raise argparse.ArgumentTypeError(f"{text!r}: expected a whole number of pixels")
    return int(text)
