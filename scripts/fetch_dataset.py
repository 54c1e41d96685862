"""Fetch a file of a dataset: resumed where it broke off, checked against a sha256, unpacked if wanted.

python scripts/fetch_dataset.py NAME [FOLDER]    a known set into data/NAME, unpacked, where its source lets anyone fetch it
python scripts/fetch_dataset.py --how NAME       how a known set is had, its licence, what should lie on disk
python scripts/fetch_dataset.py URL FOLDER [--sha256 HEX] [--name FILE] [--unpack]
Where no sha256 is published, the one that came is written to FOLDER/checksums.json and asked of every later fetch. Respect the
licence (data/README.md).
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlparse

from facings.commands.script import script
from facings.data.adapters.base import Card
from facings.data.adapters.cards import every_card
from facings.data.fetch import fetch, unpack
from facings.errors import ConfigError, DataError
from facings.files import atomic_write, sha256

SUMS = "checksums.json"


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for a fault that the message names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("url", nargs="?", metavar="NAME or URL")
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--how", metavar="NAME", help="print how this set is had; fetches nothing")
    parser.add_argument("--sha256", help="what the file must have")
    parser.add_argument("--name", help="file name; default: the last part of the address")
    parser.add_argument("--unpack", action="store_true", help="unpack the zip or tar into FOLDER")
    parser.add_argument("--attempts", type=int, default=5, help="tries without a new byte before giving up")
    options = parser.parse_args(arguments)
    if not options.how and (options.url is None or (options.folder is None and "://" in options.url)):
        parser.error("give NAME, or URL and FOLDER, or --how NAME")
    try:
        return run(options)
    except OSError as fault:
        # A full disk, a folder that may not be written.
        if fault.strerror is None:
            raise
        raise DataError(f"{fault.filename or options.folder}: {fault.strerror}") from fault


def run(options: argparse.Namespace) -> int:
    """Tell how, or fetch. Raises ConfigError, DataError or OSError for what the user can mend."""
    if options.how:
        sys.stdout.write(how(options.how))
        return 0
    if "://" not in options.url:
        fetch_set(known(options.url), options.folder or Path("data") / options.url, options.attempts)
        return 0
    name = options.name or file_name(options.url)
    target = fetch(
        options.url, options.folder / name, checksum=options.sha256, attempts=options.attempts, progress=show
    )
    sys.stderr.write("\n")
    sys.stdout.write(f"{target}\nsha256 {sha256(target)}\n")
    if options.unpack:
        unpack(target, options.folder)
    return 0


def fetch_set(card: Card, folder: Path, attempts: int) -> None:
    """Fetch and unpack every file of a set. Raises ConfigError for one that its source gives to nobody unasked, DataError."""
    if not card.downloads:
        raise ConfigError(f"{card.name} cannot be fetched by a script\n{how(card.name)}")
    sys.stdout.write(f"{card.title}: {card.licence}\n")
    sums = recorded(folder)
    for download in card.downloads:
        expected = download.sha256 or sums.get(download.url)
        target = fetch(
            download.url, folder / file_name(download.url), checksum=expected, attempts=attempts, progress=show
        )
        sys.stderr.write("\n")
        sums[download.url] = expected or sha256(target)
        atomic_write(folder / SUMS, json.dumps(sums, indent=1) + "\n")
        sys.stdout.write(f"{target}\nsha256 {sums[download.url]}\n")
        unpack(target, folder)


def recorded(folder: Path) -> dict[str, str]:
    """Address → sha256 of what was fetched before. Raises DataError for a record that is none."""
    path = folder / SUMS
    if not path.is_file():
        return {}
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as fault:
        raise DataError(f"{path}: not JSON ({fault}); remove it to write the sums anew") from fault
    if not isinstance(content, dict):
        raise DataError(f"{path}: expected an object of address and sha256; remove it to write the sums anew")
    return {str(url): str(digest) for url, digest in content.items()}


def file_name(url: str) -> str:
    """The last part of an address. Raises ConfigError where there is none."""
    name = Path(unquote(urlparse(url).path)).name
    if not name:
        raise ConfigError(f"{url}: ends in no file name; give --name FILE")
    return name


def known(name: str) -> Card:
    """The card of a set. Raises ConfigError for an unknown one."""
    cards = every_card()
    if name not in cards:
        raise ConfigError(f"{name!r} is no known set; expected one of {', '.join(sorted(cards))}")
    return cards[name]


def how(name: str) -> str:
    """Title, licence, steps, layout of a known set. Raises ConfigError for another."""
    card = known(name)
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
