"""Time facings' detectors beside other ONNX detectors, on ONNX Runtime, batch 1, all in the same rounds.

The sizes named by --config are built with random weights (speed does not depend on them), without and with masks, exported
as `facings export` does, NMS-free, and timed beside the graphs named by --onnx. Those are made with the tools of their own
projects: a detector for pictures of the same size and 80 classes as ONNX, float input [1, 3, SIZE, SIZE], without an NMS
operator; random weights will do. Where a family has an end-to-end export (top-k in the graph, 300 detections, as the graphs
of facings have it), take that one: so is the reference, YOLO26n.

    python scripts/graph_latency.py --onnx yolo26n=yolo26n.onnx yolo11n=yolo11n.onnx --result det-latency

A record holds the worst of all numbers of threads. It wants a quiet machine: what other programs took of the processor is
printed.
"""

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.benchmark.claims import claim_of, write_claim
from facings.benchmark.graph_latency import Comparison, compare_graphs, ratio, share_of_peak
from facings.benchmark.latency import DISTURBED
from facings.benchmark.record import git_state, machine
from facings.commands.composition import compose_verb
from facings.commands.script import script
from facings.commands.train import build_model
from facings.errors import ConfigError
from facings.export.networks import DetectorGraph, export_detector
from facings.files import atomic_write, sha256
from facings.metrics.latency import percentiles

# The same for all: the classes of COCO, and as many detections as the end-to-end heads of others report.
NUM_CLASSES, TOP_K = 80, 300
OPSET = 20
MASKS = "-masks"
Metric = dict[str, Any]


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    run(parser().parse_args(words), Console())
    return 0


def parser() -> argparse.ArgumentParser:
    """The options."""
    made = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    sizes = ["nano", "small", "medium"]
    made.add_argument("--config", nargs="*", default=sizes, metavar="SIZE", help="options of configs/model/detector")
    made.add_argument("--onnx", nargs="*", default=[], metavar="NAME=FILE", help="graphs to time beside them")
    made.add_argument("--reference", default="yolo26n", metavar="NAME", help="the graph that times are divided by")
    made.add_argument("--prototypes", type=int, default=32, help="of the variants with masks; 0: none of them")
    made.add_argument("--size", type=int, default=640, help="side of the square picture in pixels")
    made.add_argument("--threads", type=int, nargs="*", default=[1, 2])
    made.add_argument("--rounds", type=int, default=100)
    made.add_argument("--output", type=Path, help="JSON of all figures; default logs/graph_latency/TIME.json")
    made.add_argument("--result", metavar="ID", help="write results/ID.json (det-latency)")
    return made


def run(options: argparse.Namespace, console: Console) -> None:
    """Export, time, print, write. Raises ConfigError or BundleError for what the user can mend."""
    commit = git_state()
    own, others = variants(options.config, options.prototypes), named_files(options.onnx)
    if doubled := set(own) & set(others):
        raise ConfigError(f"--onnx {min(doubled)}=…: one of facings' own graphs has that name; choose another")
    if options.result:
        # Told before minutes are spent, not after.
        claim_of(options.result, available=headline_names({*own, *others}, options.reference))
    with TemporaryDirectory() as folder:
        files = {name: Path(folder) / f"{name}.onnx" for name in own}
        for name, words in own.items():
            console.print(f"[dim]exporting {name}[/]", highlight=False)
            export(words, files[name], size=options.size)
        compared = [timed(files | others, threads, options, console) for threads in options.threads]
    for comparison in compared:
        console.print(table(comparison, options.reference))
        if comparison.others > DISTURBED:
            console.print(f"[yellow]other programs took {comparison.others:.0%} of the processor: time it again[/]")
    figures = headline(compared, options.reference)
    for name, metric in figures.items():
        console.print(f"{name}: {metric['value']:.3f} ({metric['low']:.3f} to {metric['high']:.3f})", highlight=False)
    checksums = {path.name: sha256(path) for path in others.values()}
    output = options.output or Path("logs/graph_latency") / f"{datetime.now():%Y-%m-%d_%H-%M-%S}.json"
    content = {"size": options.size, "num_classes": NUM_CLASSES, "top_k": TOP_K, "reference": options.reference}
    content |= {"machine": machine(), "commit": commit, "files": checksums, "headline": figures}
    content["times"] = [record for comparison in compared for record in records(comparison, options.reference)]
    atomic_write(output, json.dumps(content, indent=2) + "\n")
    console.print(f"all figures: {output}")
    if options.result:
        command = command_again(options)
        write_claim(options.result, figures, command=command, data=checksums, seeds=[0], commit=commit)


def variants(sizes: Sequence[str], prototypes: int) -> dict[str, list[str]]:
    """Name → overrides of `facings train` for every size, without masks and (`prototypes` > 0) with them."""
    found: dict[str, list[str]] = {}
    for size in sizes:
        found[size] = [f"model=detector/{size}"]
        if prototypes:
            found[size + MASKS] = [*found[size], f"model.prototypes={prototypes}"]
    return found


def named_files(words: Sequence[str]) -> dict[str, Path]:
    """NAME=FILE words. Raises ConfigError for a word without both, a missing file, or a name given twice."""
    found: dict[str, Path] = {}
    for word in words:
        name, _, file = word.partition("=")
        if not name or not file:
            raise ConfigError(f"--onnx {word!r}: expected NAME=FILE.onnx")
        if name in found:
            raise ConfigError(f"--onnx {name}=…: given twice; names must differ")
        if not Path(file).is_file():
            raise ConfigError(f"--onnx {word}: no such file")
        found[name] = Path(file)
    return found


def export(words: Sequence[str], path: Path, *, size: int) -> None:
    """A detector of these overrides, with random weights, as ONNX."""
    torch.manual_seed(0)
    settings = [f"image_size={size}", f"num_classes={NUM_CLASSES}", "model.pretrained=none"]
    model = build_model(compose_verb("train", [*words, *settings]))
    graph = DetectorGraph(model, branch="one_to_one", top_k=TOP_K, nms_iou=0.65)
    export_detector(graph, path, image_size=size, opset=OPSET)


def timed(graphs: Mapping[str, Path], threads: int, options: argparse.Namespace, console: Console) -> Comparison:
    """All graphs at one number of threads, with a bar of progress."""
    with Progress(console=console) as progress:
        task = progress.add_task(f"rounds on {threads} {'thread' if threads == 1 else 'threads'}", total=options.rounds)
        return compare_graphs(
            graphs,
            size=options.size,
            threads=threads,
            rounds=options.rounds,
            advance=lambda: progress.advance(task),
        )


def headline_names(graphs: set[str], reference: str) -> list[str]:
    """The figures that a comparison of these graphs will have."""
    names = [f"{size}_over_{reference}" for size in ("nano", "small") if {size, reference} <= graphs]
    names += ["mask_overhead"] if {"small", "small" + MASKS} <= graphs else []
    return names + (["share_of_peak"] if "small" in graphs else [])


def headline(compared: Sequence[Comparison], reference: str) -> dict[str, Metric]:
    """Each figure (`value`, `low`, `high`) at the number of threads where it is worst.

    `SIZE_over_REFERENCE`: of their median times; `mask_overhead`: small with masks over small without, less 1;
    `share_of_peak`: of small, of what a float matrix product reaches.
    """
    found: dict[str, Metric] = {}
    for name in headline_names(set(compared[0].graphs), reference):
        if name == "share_of_peak":
            found[name] = min((share_of_peak(c.graphs["small"], c.product) for c in compared), key=_value)
        elif name == "mask_overhead":
            worst = max((ratio(c.graphs["small" + MASKS], c.graphs["small"]) for c in compared), key=_value)
            found[name] = {key: value - 1 for key, value in worst.items()}
        else:
            size = name.split("_over_")[0]
            found[name] = max((ratio(c.graphs[size], c.graphs[reference]) for c in compared), key=_value)
    return found


def records(comparison: Comparison, reference: str) -> list[dict[str, Any]]:
    """One a graph, for JSON: percentiles in ms, arithmetic, share of the peak, and the ratio to the reference if there."""
    found = []
    for name, times in [*comparison.graphs.items(), ("matrix product", comparison.product)]:
        record = {"graph": name, "threads": times.threads, "ms": percentiles(times.ms.tolist()), "gflop": times.gflop}
        record |= {"gflop_s": times.gflop_s, "share_of_peak": share_of_peak(times, comparison.product)}
        record["other_cpu_share"] = comparison.others
        if reference in comparison.graphs:
            record["over_reference"] = ratio(times, comparison.graphs[reference])
        found.append(record)
    return found


def table(comparison: Comparison, reference: str) -> Table:
    """The figures of one number of threads, for people."""
    threads = comparison.product.threads
    made = Table("graph", "p50 ms", "p95 ms", "GFLOP", "of peak", f"x {reference}", title=f"threads: {threads}")
    for record in records(comparison, reference):
        over = record.get("over_reference")
        against = f"{over['value']:.3f} ({over['low']:.3f}–{over['high']:.3f})" if over else "–"
        ms, share = record["ms"], record["share_of_peak"]["value"]
        cells = (f"{ms['p50']:.1f}", f"{ms['p95']:.1f}", f"{record['gflop']:.2f}", f"{share:.2f}", against)
        made.add_row(record["graph"], *cells)
    return made


def command_again(options: argparse.Namespace) -> str:
    """The command without the folders of this machine."""
    files = [f"{name}={path.name}" for name, path in named_files(options.onnx).items()]
    words = ["python scripts/graph_latency.py", "--config", *options.config, "--onnx", *files]
    words += ["--reference", options.reference, "--prototypes", str(options.prototypes), "--size", str(options.size)]
    words += ["--threads", *map(str, options.threads), "--rounds", str(options.rounds), "--result", options.result]
    return " ".join(words)


def _value(metric: Mapping[str, float]) -> float:
    return metric["value"]


if __name__ == "__main__":
    sys.exit(main())
