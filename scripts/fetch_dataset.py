"""Fetch a file of a dataset: resumed where it broke off, checked against a sha256, unpacked if wanted.

python scripts/fetch_dataset.py URL FOLDER [--sha256 HEX] [--name FILE] [--unpack]
python scripts/fetch_dataset.py --how NAME       how a known set is had, its licence, what should lie on disk
Without --sha256 the sum that came is printed: state it next time. Respect the licence (data/README.md).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlparse

from facings.commands.script import script
from facings.data.adapters.cards import every_card
from facings.data.fetch import fetch, unpack
from facings.errors import ConfigError
from facings.files import sha256


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for a fault that the message names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--how", metavar="NAME", help="print how this set is had; fetches nothing")
    parser.add_argument("--sha256", help="what the file must have")
    parser.add_argument("--name", help="file name; default: the last part of the address")
    parser.add_argument("--unpack", action="store_true", help="unpack the zip or tar into FOLDER")
    parser.add_argument("--attempts", type=int, default=5, help="tries without a new byte before giving up")
    options = parser.parse_args(arguments)
    if options.how:
        sys.stdout.write(how(options.how))
        return 0
    if options.url is None or options.folder is None:
        parser.error("give URL and FOLDER, or --how NAME")
    name = options.name or Path(unquote(urlparse(options.url).path)).name
    if not name:
        raise ConfigError(f"{options.url}: ends in no file name; give --name FILE")
    target = fetch(
        options.url, options.folder / name, checksum=options.sha256, attempts=options.attempts, progress=show
    )
    sys.stderr.write("\n")
    sys.stdout.write(f"{target}\nsha256 {sha256(target)}\n")
    if options.unpack:
        unpack(target, options.folder)
    return 0


def how(name: str) -> str:
    """Title, licence, steps, layout of a known set. Raises ConfigError for another."""
    cards = every_card()
    if name not in cards:
        raise ConfigError(f"{name!r} is no known set; expected one of {', '.join(sorted(cards))}")
    card = cards[name]
    sold = {"yes": "yes", "no": "no", "ask": "ask the owners"}[card.commercial]
    return (
        f"{card.title}\nlicence: {card.licence}\na model trained on it may be sold: {sold}\nto get it: {card.get}\n"
        f"into data/{card.name}/, so that these exist:\n{card.layout}\nsource: {card.source}\n"
    )


def show(done: int, total: int | None) -> None:
    """One line that is written over."""
    end = f" of {total / 1e6:.1f}" if total is not None else ""
    sys.stderr.write(f"\r{done / 1e6:.1f}{end} MB")


if __name__ == "__main__":
    sys.exit(main())
