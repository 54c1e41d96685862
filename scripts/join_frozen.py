"""Join a trained embedder with the frozen backbone that it started from: `python scripts/join_frozen.py RUN OUTPUT`.

OUTPUT is the folder of a run whose checkpoints/best.ckpt `facings evaluate`, `facings export` and scripts/embedder_records.py
open as any other. It costs twice as much a crop, trains nothing, and knows goods better that training never saw (docs/embedder.md).
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from facings.commands.join_frozen import join_frozen
from facings.commands.script import script
from facings.metrics.whitening import SHARE


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="folder of a finished `facings train` of an embedder")
    parser.add_argument("output", type=Path, help="folder to write; must not exist")
    parser.add_argument(
        "--share", type=float, default=SHARE, help="the trained vectors' part of the cosine (default: %(default)s)"
    )
    options = parser.parse_args(arguments)
    console = Console()
    with console.status("embedding the training photos with the frozen backbone …"):
        checkpoint = join_frozen(options.run, options.output, share=options.share)
    console.print(f"checkpoint: {checkpoint}", soft_wrap=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
