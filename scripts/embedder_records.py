"""Take a headline record of the embedder again from finished runs: `python scripts/embedder_records.py emb-grocery logs/grocery`.

emb-grocery RUN [RUN_OF_ANOTHER_SEED …]; emb-packshot RUN; emb-unseen RUN_OF_A_HOLDOUT …; emb-snack RUN. docs/embedder.md lists
the trainings.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from facings.commands.embedder_records import RECORDS, record
from facings.errors import FacingsError


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("record", help=", ".join(RECORDS))
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN", help="folder of a finished `facings train`")
    parser.add_argument("--results", type=Path, default=Path("results"), help="where to write (default: results)")
    options = parser.parse_args(arguments)
    command = " ".join(["python scripts/embedder_records.py", options.record, *map(str, options.runs)])
    try:
        metrics = record(options.record, options.runs, command=command, folder=options.results)
    except FacingsError as fault:
        sys.stderr.write(f"embedder_records: {fault}\n")
        return 2
    table = Table("figure", "value", "95 % interval", title=options.record)
    for name, metric in metrics.items():
        interval = f"{metric['low']:.3f} to {metric['high']:.3f}" if "low" in metric else ""
        table.add_row(name, f"{metric['value']:.4f}", interval)
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
