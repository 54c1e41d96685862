"""The cross test of an upgrade: do queries of the new bundle find their products in the gallery of the old one?

Both bundles embed the same table through the store runtime. R@1 of old against old, new against old, and new against new; the
intervals draw whole products. With --declare the new bundle says that it is compatible, where it finds no less than the old
one: then `facings gallery NEW adopt OLD` takes the old gallery over without photos.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

from facings.benchmark.turnover_data import embed_rows
from facings.commands.first_gallery import table_reader
from facings.commands.script import script
from facings.errors import ConfigError
from facings.export.compatibility import check_pair, declare
from facings.metrics.compatibility import cross_hits
from facings.metrics.retrieval_intervals import figure_differences, figure_intervals
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer

READER = "facings.data.tables.read_recognition_table"


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, 1 where the new bundle finds less in the old gallery than the old one, 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path, help="the bundle in use")
    parser.add_argument("new", type=Path, help="the one that is to follow it")
    parser.add_argument("--table", required=True, help="recognition table (CSV) of goods that neither was trained on")
    parser.add_argument("--reader", default=READER, help="function that reads it, for sets in their own layout")
    parser.add_argument("--gallery-splits", nargs="+", default=["train"], help="rows that are the gallery (train)")
    parser.add_argument("--query-splits", nargs="+", default=["val", "test"], help="rows that ask (val test)")
    parser.add_argument("--threads", type=int, help="of the runtime (one a core)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    parser.add_argument("--declare", action="store_true", help="write it into the new bundle, which is sealed again")
    options = parser.parse_args(arguments)
    return run(options)


def run(options: argparse.Namespace) -> int:
    """Measure, print, declare. Raises FacingsError for what the user can mend."""
    console = Console()
    old, new = Bundle.open(options.old), Bundle.open(options.new)
    check_pair(old, new)
    gallery_splits, asked = options.gallery_splits, [*options.gallery_splits, *options.query_splits]
    rows = [row for row in table_reader(options.reader, "--reader")(options.table).rows if row.split in asked]
    enrolled = np.array([row.split in gallery_splits for row in rows], bool)
    if not enrolled.any() or enrolled.all():
        raise ConfigError(
            f"{options.table}: {enrolled.sum()} gallery and {(~enrolled).sum()} query rows; set --gallery-splits, --query-splits"
        )
    vectors = []
    for bundle in (old, new):
        with console.status(f"embedding {len(rows)} crops by {bundle.name} …"):
            vectors.append(embed_rows(Recognizer(bundle, threads=options.threads), rows).vectors)
    _, label = np.unique([row.product_id for row in rows], return_inverse=True)
    queries, views = ((vectors[0][side], vectors[1][side]) for side in (~enrolled, enrolled))
    hits = cross_hits(queries, label[~enrolled], views, label[enrolled])
    groups = label[~enrolled].astype(np.int64)
    found = figure_intervals(hits, groups=groups, seed=options.seed)
    apart = figure_differences({"r1": hits["cross"]}, {"r1": hits["old"]}, groups=groups, seed=options.seed)["r1"]
    figures = {f"{name}_r1": {"value": f.value, "low": f.low, "high": f.high} for name, f in found.items()}
    figures["cross_minus_old"] = {"value": apart.value, "low": apart.low, "high": apart.high}
    table = Table(
        "R@1", "value", "95 %", title=f"{old.name} → {new.name}, {len(groups)} queries, {enrolled.sum()} views"
    )
    names = (
        "old queries, old gallery",
        "new queries, old gallery",
        "new queries, new gallery",
        "gain in the old gallery",
    )
    for text, figure in zip(names, figures.values(), strict=True):
        table.add_row(text, f"{figure['value']:.4f}", f"{figure['low']:.4f} – {figure['high']:.4f}")
    console.print(table)
    if options.declare:
        declare(new, old, figures)
        console.print(f"{new.path}: says that it is compatible with the embedder of {old.name}")
    return 0 if apart.value >= 0 else 1


if __name__ == "__main__":
    sys.exit(main())
