"""What an embedder costs: R@1 on Grocery Store against milliseconds a crop, backbone x size, in float32 and in int8.

    python scripts/embedder_cost.py --data-dir DATA                                     # a quarter of an hour on two cores
    python scripts/embedder_cost.py --data-dir DATA --run RUN --result emb-cost         # with a trained one; record, figure, table
    python scripts/embedder_cost.py --data-dir DATA --only lite0_128 --views 4 --queries 4   # a look

Every network is exported to ONNX in float32 and in int8 (static, per channel, calibrated on training crops) and asked for the
product of each test photo among the training photos. Then all files are timed on one thread in the same rounds, which wants a
quiet machine. Frozen ImageNet backbones are those with packaged weights; --run adds a trained embedder, which is then the
small one that the record is about (else lite0_128 is). The small one's int8 file is judged on the validation photos first,
and up to half of its parts go back to float32 until it loses no more than a point there. Nothing is kept between calls.
"""

import argparse
import json
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from facings.analysis.curve_figures import png
from facings.benchmark.claims import claim_of
from facings.benchmark.cost_figure import draw_cost
from facings.benchmark.embedder_cost import (
    DISTURBANCE,
    IDENTIFIER,
    METRICS,
    POINTS,
    SMALL,
    chosen,
    cost_table,
    family_of,
    names_of,
)
from facings.benchmark.latency import DISTURBED
from facings.benchmark.record import git_state, write_result
from facings.commands.embedder_cost import (
    EXPERIMENT,
    Comparison,
    Network,
    Terms,
    frozen_network,
    headline,
    trained_network,
)
from facings.commands.run_files import run_seed
from facings.commands.run_records import Metrics
from facings.commands.script import script
from facings.errors import ConfigError
from facings.export.quantize import METHODS, Int8Settings
from facings.files import atomic_write, sha256

ROOT = Path(__file__).resolve().parent.parent
PAGE, FIGURE = ROOT / "docs" / "embedder_cost.md", ROOT / "docs" / "embedder_cost.png"
BLOCK = re.compile(rf"(<!-- cost:{IDENTIFIER} -->\n).*?(<!-- /cost -->)", re.DOTALL)


@script(__file__, interrupted="nothing was written")
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend, 130 after Ctrl-C."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    run(parser().parse_args(words), Console())
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    made.add_argument("--data-dir", default="data", help="folder that holds grocery_store (default: data)")
    made.add_argument("--experiment", default=EXPERIMENT, help=f"whose data are asked (default: {EXPERIMENT})")
    made.add_argument("--only", nargs="*", metavar="NAME", help=f"frozen networks: {', '.join(POINTS)} (default: all)")
    made.add_argument("--run", type=Path, help="run folder of a trained embedder, a further network")
    made.add_argument("--size", type=int, help="side of its input in pixels (default: the run's own)")
    made.add_argument("--views", type=int, default=16, help="gallery photos of a product at most; 0: all (default: 16)")
    made.add_argument("--queries", type=int, default=0, help="test photos of a product at most; 0: all (default: 0)")
    made.add_argument("--calibration", type=int, default=128, help="training crops to calibrate with (default: 128)")
    made.add_argument("--method", choices=list(METHODS), default="minmax", help="how ranges follow (default: minmax)")
    made.add_argument("--rounds", type=int, default=200, help="times that every file is timed (default: 200)")
    made.add_argument("--threads", type=int, help="for all but the times (default: one a core)")
    made.add_argument("--output", type=Path, default=Path("logs/embedder_cost"), help="where figure and table go")
    made.add_argument("--result", metavar="ID", help=f"write results/ID.json ({IDENTIFIER}), docs' table and figure")
    return made


def run(options: argparse.Namespace, console: Console) -> None:
    """Export, ask, time, print, write. Raises FacingsError for what the user can mend."""
    commit = git_state()
    terms = Terms(
        options.data_dir, options.experiment, options.views, options.queries, options.calibration,
        Int8Settings(options.method), options.threads,
    )  # fmt: skip
    networks = networks_of(options)
    small = SMALL if options.run is None else networks[-1].name
    check(options, networks, small)
    with TemporaryDirectory() as folder:
        comparison = Comparison(networks, terms, Path(folder), small=small)
        metrics = measured(comparison, options.rounds, console)
    if comparison.kept:
        console.print(f"{small}: {len(comparison.kept)} parts stay in float32: {', '.join(comparison.kept)}")
    if comparison.refusal is not None:
        console.print(f"[yellow]{escape(comparison.refusal)}: all of it stays in int8[/]")
    console.print(summary(metrics, f"{len(comparison.rows[1])} test photos among {len(comparison.rows[0])}"))
    if metrics[DISTURBANCE]["value"] > DISTURBED:
        share = metrics[DISTURBANCE]["value"]
        console.print(f"[yellow]other programs took {share:.0%} of the processor while it was timed: again[/]")
    atomic_write(options.output / "embedder_cost.json", json.dumps(metrics, indent=1) + "\n")
    atomic_write(options.output / "embedder_cost.md", cost_table(metrics))
    atomic_write(options.output / "embedder_cost.png", png(draw_cost(metrics)))
    console.print(f"figure, table and figures as JSON: {options.output}")
    if options.result:
        record(options, comparison, metrics, commit)
        console.print(f"record: results/{options.result}.json\nfigure: {FIGURE.relative_to(ROOT)}")
        console.print(f"table:  {PAGE.relative_to(ROOT)}")


def networks_of(options: argparse.Namespace) -> list[Network]:
    """The frozen ones that are asked for, and the trained one last."""
    # `--only` without a name is none of them.
    frozen = [] if options.only == [] else [frozen_network(point) for point in chosen(options.only or [])]
    if options.run is None and options.size is not None:
        raise ConfigError("--size: is the side of a trained network's input; give --run RUN_FOLDER too")
    networks = frozen + ([] if options.run is None else [trained_network(options.run, options.size)])
    if not networks:
        raise ConfigError("nothing to measure: name networks after --only, or give --run RUN_FOLDER")
    return networks


def check(options: argparse.Namespace, networks: Sequence[Network], small: str) -> None:
    """Tell what cannot be before the minutes are spent. Raises ConfigError."""
    if options.rounds < 2:
        raise ConfigError(f"--rounds {options.rounds}: expected 2 or more")
    if not options.result:
        return
    claim_of(options.result, available=list(METRICS))
    if options.only is not None:
        raise ConfigError(f"--result {options.result}: wants every network; leave out --only")
    if options.queries or options.experiment != EXPERIMENT:
        raise ConfigError(
            f"--result {options.result}: is of all test photos of {EXPERIMENT}; leave out what changes that"
        )
    if small not in [network.name for network in networks]:
        raise ConfigError(f"--result {options.result}: wants {small}")
    with_table(PAGE.read_text(encoding="utf-8"), "")


def measured(comparison: Comparison, rounds: int, console: Console) -> Metrics:
    """All figures, saying how far it is."""
    bars = (
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        TextColumn("left"), TimeRemainingColumn(),
    )  # fmt: skip
    with Progress(*bars, console=console) as progress:
        exporting = progress.add_task("exporting", total=len(comparison.networks))
        asking = progress.add_task("asking", total=None, start=False)
        timing = progress.add_task("timing on 1 thread", total=rounds, start=False)
        for network in comparison.networks:
            progress.update(exporting, description=f"exporting {network.name}")
            comparison.export(network)
            progress.advance(exporting)
        progress.update(asking, total=comparison.work())
        progress.start_task(asking)
        found = comparison.ask(lambda work: progress.advance(asking, work))
        progress.start_task(timing)
        return found | comparison.time(rounds, lambda: progress.advance(timing))


def summary(metrics: Metrics, asked: str) -> Table:
    """The figures for people, the fastest in int8 first."""
    columns = ("network", "px", "ms float32", "ms int8", "R@1 float32", "R@1 int8", "points lost, 95 %")
    table = Table(*columns, title=f"embedder cost: {asked} training photos")
    for name in names_of(metrics):
        family, size = family_of(name)
        own = {key: metrics[f"{name}_{key}"]["value"] for key in ("float32_ms", "int8_ms", "float32_r1", "int8_r1")}
        lost = metrics[f"{name}_loss"]
        cells = [f"{own[f'{precision}_ms']:.2f}" for precision in ("float32", "int8")]
        cells += [f"{100 * own[f'{precision}_r1']:.1f}" for precision in ("float32", "int8")]
        table.add_row(family, str(size), *cells, f"{lost['value']:.2f} ({lost['low']:.2f} to {lost['high']:.2f})")
    return table


def record(options: argparse.Namespace, comparison: Comparison, metrics: Metrics, commit: str) -> None:
    """Write the record, and the figure and the table that are made from it."""
    claim, names, units = claim_of(options.result, available=list(METRICS))
    figures = headline(metrics, comparison.small)
    figures = {name: figures[name] | {"unit": units[name]} for name in names} | metrics
    family, size = family_of(comparison.small)
    data = comparison.data(comparison.networks[0]).checksums()
    if (checkpoint := comparison.networks[-1].checkpoint) is not None:
        data[f"{family} checkpoint"] = sha256(checkpoint)
    write_result(
        options.result,
        claim=f"{claim} The small one: {family} at {size} pixels.",
        metrics=figures,
        command=command(options),
        data=data,
        seeds=[0 if options.run is None else run_seed(options.run)],
        commit=commit,
        folder=ROOT / "results",
    )
    atomic_write(FIGURE, png(draw_cost(figures)))
    atomic_write(PAGE, with_table(PAGE.read_text(encoding="utf-8"), page_body(figures)))


def page_body(metrics: Metrics) -> str:
    """What stands on the page between its marks: the figure, the table, and how quiet the machine was."""
    others = f"Other programs took {metrics[DISTURBANCE]['value']:.0%} of the processor while the files were timed."
    return f"![R@1 of each network against its time]({FIGURE.name})\n\n{cost_table(metrics)}\n{others}\n"


def with_table(page: str, body: str) -> str:
    """The page with `body` between its marks. Raises ConfigError where the marks are missing."""
    if not BLOCK.search(page):
        raise ConfigError(f"{PAGE.name}: has no <!-- cost:{IDENTIFIER} --> … <!-- /cost --> for the table to stand in")
    return BLOCK.sub(lambda match: match[1] + body + match[2], page)


def command(options: argparse.Namespace) -> str:
    """What gives the record again, without this machine's folders."""
    defaults = parser().parse_args([])
    words = ["python", "scripts/embedder_cost.py", "--data-dir", "DATA"]
    words += ["--run", options.run.name] if options.run is not None else []
    for name in ("size", "views", "calibration", "method", "rounds"):
        if getattr(options, name) != getattr(defaults, name):
            words += [f"--{name}", str(getattr(options, name))]
    return shlex.join([*words, "--result", options.result])


if __name__ == "__main__":
    sys.exit(main())
