"""Plant one fault of each kind in a copy of a sound synthetic set, and count what the doctor finds in both.

python scripts/doctor_check.py --result data-doctor
"""

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.record import git_state
from facings.benchmark.spoiled_set import PLANTS, spoil
from facings.commands.script import script
from facings.data.doctor.examination import examine
from facings.data.doctor.faults import KINDS
from facings.data.doctor.sources import open_dataset
from facings.data.synthetic.dataset import Parameters, synthesize

METRICS = ("kinds_planted", "kinds_found", "false_alarms")


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 where a planted fault was missed or a sound set accused, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scenes", type=int, default=24, help="training scenes of the sound set")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (data-doctor)")
    options = parser.parse_args(arguments)
    return run(options, Console())


def run(options: argparse.Namespace, console: Console) -> int:
    """Make, spoil, examine, print, write. Raises ConfigError for what the user can mend."""
    commit = git_state()
    if options.result:
        claim_of(options.result, available=METRICS)
    with tempfile.TemporaryDirectory() as folder:
        clean, spoiled = Path(folder) / "sound", Path(folder) / "spoiled"
        synthesize(clean, parameters(options.scenes, options.seed))
        sound = examine(open_dataset(clean), use="commercial")
        checksums = sound.checksums()
        spoil(clean, spoiled, PLANTS)
        found = examine(open_dataset(spoiled), use="commercial").findings
    missed = sorted(set(PLANTS) - set(found.counts))
    figures = {
        "kinds_planted": len(PLANTS),
        "kinds_found": len(PLANTS) - len(missed),
        "false_alarms": sum(sound.findings.counts.values()),
    }
    table = Table("kind", "severity", "found", title="planted")
    for kind in PLANTS:
        table.add_row(kind, KINDS[kind].severity, str(found.counts[kind]))
    console.print(table)
    console.print(", ".join(f"{name} {value}" for name, value in figures.items()))
    for fault in sound.findings:
        console.print(f"false alarm: {fault.kind}, {fault.detail}", markup=False)
    if options.result:
        write_claim(
            options.result,
            {name: {"value": figures[name]} for name in METRICS},
            command=f"python scripts/doctor_check.py --result {options.result}",
            data={f"synthetic/{name}": digest for name, digest in checksums.items()},
            seeds=[options.seed],
            commit=commit,
        )
    return int(bool(missed or figures["false_alarms"]))


def parameters(scenes: int, seed: int) -> Parameters:
    """A synthetic set that is made in seconds."""
    return Parameters(
        train_scenes=scenes, val_scenes=8, products=16, produce_share=0.4, new_share=0.25, image_size=320, misplaced=0.02,
        gaps=0.06, min_visibility=0.3, query_visibility=0.6, enrol_photos=2, crops_per_product=12, queries_per_product=4,
        seed=seed,
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main())
