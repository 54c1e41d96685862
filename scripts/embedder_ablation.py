"""Which ingredient of an embedder's training brings what on the Grocery Store Dataset: a short one, with one thing different each.

    python scripts/embedder_ablation.py --data-dir DATA --result emb-ingredients     # two hours and a half on one core
    python scripts/embedder_ablation.py --data-dir DATA --only no_average small      # two of them, and the recipe

DATA holds grocery_store. All start from the same ImageNet weights, one at a time, and are asked for the product of each test photo
by the nearest mean of the training photos; the recipe's own embeddings are then asked in other ways too. What is finished is left
as it is: after Ctrl-C the same command goes on.
"""

import argparse
import shlex
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from facings.benchmark.ablation import BASE, Variant, chosen_variants
from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.embedder_ablation import ASKED, METRICS, TRAINING, VARIANTS
from facings.benchmark.record import git_state
from facings.commands.application import run_inside
from facings.commands.embedding import Crops, Embedding, checksums, right_share
from facings.commands.run_records import Metrics
from facings.commands.script import script
from facings.commands.series import finish_runs
from facings.commands.unseen_goods import joined_crops
from facings.errors import ConfigError
from facings.metrics.retrieval import prototype_predictions
from facings.metrics.two_covariance import fit_two_covariance
from facings.tasks.crop_views import Averaging

# Of each test photo: whether product and category are right.
Right = dict[str, NDArray[np.bool_]]


@script(__file__, interrupted="the same command goes on with the next unfinished variant")
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend, 130 after Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-dir", type=Path, default=Path("data"), help="folder that holds grocery_store (data)")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help=f"default: {' '.join(VARIANTS)}")
    parser.add_argument("--logs", type=Path, default=Path("logs/embedder_ablation"), help="where the runs lie")
    parser.add_argument("--set", nargs="+", default=[], metavar="KEY=VALUE", help="further overrides of every training")
    parser.add_argument("--result", metavar="ID", help="write results/ID.json (emb-ingredients); wants every variant")
    options = parser.parse_args(arguments)
    if options.result:
        claim_of(options.result, available=list(METRICS))
        if options.only:
            raise ConfigError(f"--result {options.result}: wants every variant; leave out --only")
    run(options, chosen_variants(VARIANTS, options.only), Console())
    return 0


def run(options: argparse.Namespace, variants: Sequence[Variant], console: Console) -> None:
    """Train, ask, print, write. Raises FacingsError for what the user can mend."""
    commit = git_state()
    labels = {one.name: one.label for one in variants}
    finish_runs(labels, lambda name: options.logs / name, lambda name: trained(VARIANTS[name], options), console)
    asked = {name: Embedding(options.logs / name) for name in labels}
    right: dict[str, Right] = {}
    with console.status("asking for the test photos …"):
        for name, one in asked.items():
            right[name] = by_mean(one, one.crops(one.data.gallery_rows), one.crops(one.data.test_rows))
        right |= asked_otherwise(asked[BASE])
    metrics = figures_of(right)
    console.print(table(labels | ASKED, metrics))
    console.print(f"runs: {options.logs}")
    if options.result:
        words = ["python scripts/embedder_ablation.py --data-dir DATA"]
        words += [f"--set {shlex.join(options.set)}"] if options.set else []
        write_claim(
            options.result,
            metrics,
            command=" ".join([*words, f"--result {options.result}"]),
            data=checksums(list(asked.values())),
            seeds=sorted({one.seed for one in asked.values()}),
            commit=commit,
        )
        console.print(f"record: results/{options.result}.json")


def trained(variant: Variant, options: argparse.Namespace) -> None:
    """One variant's run. Raises ConfigError where the training fails."""
    words = [*TRAINING, f"seed={variant.seed}", f"paths.data_dir={options.data_dir.resolve()}", *variant.training]
    folder = f"hydra.run.dir={(options.logs / variant.name).resolve()}"
    run_inside(
        "train", [*words, *options.set, folder], failed=f"{variant.name}: the training failed, for the reason above"
    )


def asked_otherwise(one: Embedding) -> dict[str, Right]:
    """The recipe's embeddings, asked in each way of `ASKED`."""
    rows = list(dict.fromkeys([*one.data.train_rows, *one.data.gallery_rows, *one.data.test_rows]))
    averages = one.averages(rows, get_args(Averaging))
    plain = averages.pop("none")
    found: dict[str, Right] = {
        way: by_mean(one, *(crops.take(of) for of in (one.data.gallery_rows, one.data.test_rows)))
        for way, crops in averages.items()
    }
    for name, crops in (
        ("likeliest", plain),
        ("joined", joined_crops(one, plain, one.crops(rows, model=one.frozen()))),
    ):
        known, gallery, queries = (
            crops.take(of) for of in (one.data.train_rows, one.data.gallery_rows, one.data.test_rows)
        )
        model = fit_two_covariance(known.vectors, known.labels)
        found[name] = one.judged(model.predictions(queries.vectors, gallery.vectors, gallery.labels), queries.labels)
    return found


def by_mean(one: Embedding, gallery: Crops, queries: Crops) -> Right:
    """By the nearest mean of each product's gallery photos."""
    return one.judged(prototype_predictions(queries.vectors, gallery.vectors, gallery.labels), queries.labels)


def figures_of(right: Mapping[str, Right]) -> Metrics:
    """Shares of right products and categories, and what each gains over the recipe in products, in pairs over photos."""
    found: Metrics = {}
    for name, of in right.items():
        found |= {f"{name}_{level}": right_share(hits) for level, hits in of.items()}
        if name != BASE:
            found[f"{name}_gain"] = right_share(of["fine"].astype(np.float64) - right[BASE]["fine"])
    return found


def table(labels: Mapping[str, str], metrics: Metrics) -> Table:
    """One row a variant."""
    made = Table(
        "variant", "product", "category", "product minus the recipe's, 95 %", title="Grocery Store, test photos"
    )
    for name, label in labels.items():
        gain = metrics.get(f"{name}_gain")
        said = f"{gain['value']:+.3f} ({gain['low']:+.3f} to {gain['high']:+.3f})" if gain else ""
        made.add_row(label, *(f"{metrics[f'{name}_{level}']['value']:.3f}" for level in ("fine", "coarse")), said)
    return made


if __name__ == "__main__":
    sys.exit(main())
