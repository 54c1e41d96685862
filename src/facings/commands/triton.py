"""`facings export triton BUNDLE FOLDER`: the verb's words. No torch: a bundle is there already."""

import sys
from collections.abc import Sequence
from pathlib import Path

from facings.export.triton import MAX_BATCH, write_repository
from facings.runtime.bundle import Bundle
from facings.runtime.parsing import Parser, count


def main(words: Sequence[str]) -> int:
    """Write the repository and name its models. Raises FacingsError for wrong words, bundle or folder."""
    parser = Parser("facings export triton", description="Write a bundle as a model repository of Triton.")
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="where to write; new or empty")
    parser.add_argument(
        "--precision", default="float32", help="float32 (default), or int8, float16, auto where the bundle has them"
    )
    parser.add_argument(
        "--max-batch", type=count, default=MAX_BATCH, help=f"requests put together at most (default: {MAX_BATCH})"
    )
    options = parser.parse_all(words)
    bundle = Bundle.open(options.bundle, precision=options.precision)
    names = write_repository(bundle, options.folder, max_batch=options.max_batch)
    sys.stdout.write(f"{options.folder}: {', '.join(names)}\n")
    return 0
