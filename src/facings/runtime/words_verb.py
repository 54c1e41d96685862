"""`facings words`: read the packs of products once, so that `facings predict --read-text` knows what stands on them."""

import argparse
import sys
from pathlib import Path

from facings.errors import DataError
from facings.files import atomic_write
from facings.runtime.images import read_image
from facings.runtime.pack_text import PackReader, words_json
from facings.runtime.parsing import Parser, count, find_pictures


def words_parser() -> Parser:
    parser = Parser(
        "facings words", description="Read the words on packshots or enrolment photos into a file.", bundle=False
    )
    parser.add_argument(
        "pictures",
        type=Path,
        nargs="+",
        metavar="PHOTO",
        help="PRODUCT_ID.jpg, or folders of such, or folders named PRODUCT_ID with photos of it",
    )
    parser.add_argument("--folders", action="store_true", help="a photo's folder names its product, not the file")
    parser.add_argument("--output", type=Path, default=Path("words.json"), help="where to write (default: words.json)")
    parser.add_argument("--threads", type=count, help="threads of the reader (default: one a core)")
    return parser


def run_words(options: argparse.Namespace) -> int:
    """The file of words. Returns 1 when a photo could not be read; the others count."""
    reader = PackReader(threads=options.threads)
    words: dict[str, list[str]] = {}
    failed = 0
    for path in find_pictures(options.pictures):
        product = path.parent.name if options.folders else path.stem
        try:
            found = reader.read(read_image(path))
        except DataError as fault:
            sys.stderr.write(f"facings words: {fault}\n")
            failed += 1
            continue
        words.setdefault(product, []).extend(word.text for word in found)
        sys.stdout.write(f"{path}: {' '.join(word.text for word in found) or 'nothing'}\n")
    atomic_write(options.output, words_json(words))
    silent = sum(not found for found in words.values())
    sys.stdout.write(f"{len(words)} products, {silent} of them without words → {options.output}\n")
    return 1 if failed else 0
