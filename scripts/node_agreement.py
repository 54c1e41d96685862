"""The Node program of examples/node on every golden picture of a bundle: does it decide as the store runtime does?

    python scripts/node_agreement.py --bundle bundles/demo-1 --result bundle-node

The program is copied and gets its packages by npm, in a folder that goes again. Both run the float32 graphs.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.node_agreement import METRICS, Comparison, compare_golden, install_program
from facings.benchmark.record import git_state
from facings.commands.script import script
from facings.files import sha256

SOURCE = Path(__file__).resolve().parents[1] / "examples" / "node"


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 where a decision differs, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, required=True, help="the folder that `facings export` wrote")
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (bundle-node)")
    options = parser.parse_args(arguments)
    found = run(options, Console())
    return 0 if found.share == 1 else 1


def run(options: argparse.Namespace, console: Console) -> Comparison:
    """Install, compare, print, write. Raises ConfigError or BundleError for what the user can mend."""
    commit = git_state()
    if options.result:
        claim_of(options.result, available=METRICS)
    with TemporaryDirectory() as scratch:
        with console.status("npm install …"):
            program = install_program(SOURCE, Path(scratch) / "node")
        with console.status("deciding …"):
            found = compare_golden(program, options.bundle)
    for name, faults in found.faults.items():
        console.print(f"golden sample {name}: {'; '.join(faults) or 'identical'}", highlight=False)
    console.print(f"decision_agreement {found.share:.3f} of {len(found.faults)} samples with {found.items} items")
    if options.result:
        figures = {"decision_agreement": found.share, "samples": len(found.faults), "items": found.items}
        write_claim(
            options.result,
            {name: {"value": value} for name, value in figures.items()},
            command=f"python scripts/node_agreement.py --bundle {options.bundle} --result {options.result}",
            data={"bundle": sha256(options.bundle / "SHA256SUMS")},
            seeds=[],
            commit=commit,
            others=True,
        )
    return found


if __name__ == "__main__":
    sys.exit(main())
