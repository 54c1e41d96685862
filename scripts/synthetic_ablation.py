"""Which ingredient of the drawn shelves brings what on real ones: a short `detection/synthetic_to_real`, less one thing each.

    python scripts/synthetic_ablation.py --data-dir DATA --result synth-ablation     # an hour on one core
    python scripts/synthetic_ablation.py --data-dir DATA --only no_clutter flat      # two of them, and the whole recipe

DATA holds snack_shelves, all of whose frames are the test. Every variant draws its own scenes (kept in --scenes) and trains as
many steps from the same ImageNet weights, one at a time. What is finished is left as it is: after Ctrl-C the same command goes on.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from facings.benchmark.ablation import BASE, Variant, chosen_variants
from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.record import git_state
from facings.benchmark.synthetic_ablation import METRICS, SCENES, TRAINING, VARIANTS
from facings.commands.application import run_inside
from facings.commands.detection_records import REPEATS, Judged, Metrics
from facings.commands.script import script
from facings.commands.series import finish_runs
from facings.errors import ConfigError
from facings.metrics.average_precision import paired_intervals


@script(__file__, interrupted="the same command goes on with the next unfinished variant")
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="folder that holds snack_shelves (data)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"default: {' '.join(VARIANTS)}")
    parser.add_argument(
        "--scenes", type=Path, default=Path("data"), help="where scenes are drawn: FOLDER/synthetic (data)"
    )
    parser.add_argument("--logs", type=Path, default=Path("logs/synthetic_ablation"), help="where the runs lie")
    parser.add_argument("--draw", nargs="+", default=[], metavar="KEY=VALUE", help="further overrides of all scenes")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="further overrides of every training")
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (synth-ablation); wants every variant")
    options = parser.parse_args(arguments)
    if options.result:
        claim_of(options.result, available=list(METRICS))
        if options.only:
            raise ConfigError(f"--result {options.result}: wants every variant; leave out --only")
    run(options, chosen_variants(VARIANTS, options.only), Console())
    return 0


def run(options: argparse.Namespace, variants: Sequence[Variant], console: Console) -> None:
    """Draw, train, judge, print, write. Raises FacingsError for what the user can mend."""
    commit = git_state()
    finish_runs(
        {one.name: one.label for one in variants},
        lambda name: options.logs / name,
        lambda name: drawn_and_trained(VARIANTS[name], options),
        console,
    )
    judged = {one.name: Judged(options.logs / one.name) for one in variants}
    metrics = figures_of(judged)
    console.print(table(variants, metrics))
    console.print(f"runs: {options.logs}")
    if options.result:
        words = ["python scripts/synthetic_ablation.py --data-dir DATA"]
        words += [f"--{name} {shlex.join(given)}" for name in ("draw", "set") if (given := getattr(options, name))]
        write_claim(
            options.result,
            metrics,
            command=" ".join([*words, f"--result {options.result}"]),
            data={f"{name} {key}": sha for name, one in judged.items() for key, sha in one.checksums.items()},
            seeds=sorted({one.seed for one in judged.values()}),
            commit=commit,
        )
        console.print(f"record: results/{options.result}.json")


def drawn_and_trained(variant: Variant, options: argparse.Namespace) -> None:
    """One variant from nothing to a finished run. Raises ConfigError where a step fails."""
    data, home, name = options.data_dir.resolve(), options.scenes.resolve(), f"ablation_{variant.name}"
    own = [word.replace("{data}", str(data)) for word in variant.scenes]
    scenes = [f"name={name}", f"seed={variant.seed}", f"paths.data_dir={home}", *SCENES, *own, *options.draw]
    drawn = home / "synthetic" / name
    sets = [
        f"data.{split}.{key}={value}"
        for split in ("train", "val")
        for key, value in (("annotations", drawn / f"instances_{split}.json"), ("images", drawn / "images" / split))
    ]
    training = [*TRAINING, *sets, f"seed={variant.seed}", f"paths.data_dir={data}", *variant.training, *options.set]
    for verb, words in (
        ("synthesize", scenes),
        ("train", [*training, f"hydra.run.dir={(options.logs / variant.name).resolve()}"]),
    ):
        run_inside(verb, words, failed=f"{variant.name}: facings {verb} failed, for the reason above")


def figures_of(judged: Mapping[str, Judged]) -> Metrics:
    """AP and AP50 of every variant, and what it gains over the whole recipe, in pairs over pictures."""
    found: Metrics = {}
    for name, one in judged.items():
        found |= {f"{name}_{figure}": one.metric(figure) for figure in ("ap", "ap50")}
        if name != BASE:
            gain = paired_intervals(one.drawn("bbox"), judged[BASE].drawn("bbox"), repeats=REPEATS)["ap50"]
            found[f"{name}_gain"] = {"value": gain.value, "low": gain.low, "high": gain.high}
    return found


def table(variants: Sequence[Variant], metrics: Metrics) -> Table:
    """One row a variant."""
    made = Table(
        "variant", "AP", "AP50", "AP50 minus the whole recipe's, 95 %", title="real shelves, none of them trained on"
    )
    for one in variants:
        gain = metrics.get(f"{one.name}_gain")
        said = f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})" if gain else ""
        made.add_row(one.label, *(f"{metrics[f'{one.name}_{figure}']['value']:.3f}" for figure in ("ap", "ap50")), said)
    return made


if __name__ == "__main__":
    sys.exit(main())
