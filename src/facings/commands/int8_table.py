"""Both networks of a bundle in float32, float16 and int8, in one run: size, time on one thread and more, accuracy.

The bundle is exported from checkpoints as `facings export` does it, and goes again; the smaller files are those that its gate
would take. Knows nothing of how a file is made smaller.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.benchmark.graph_latency import GraphTimes, compare_graphs, ratio
from facings.commands.composition import check_overrides, compose_verb
from facings.commands.export import run as export
from facings.commands.first_gallery import read_enrolment
from facings.commands.quantization import METRICS as ACCURACY
from facings.commands.quantization import check_quantization, evaluation_checksums, judge_role
from facings.errors import ConfigError
from facings.export.precision_gate import Verdict
from facings.files import sha256
from facings.runtime.bundle import NETWORKS, Bundle

METRICS = ("speedup_detector", "speedup_embedder", "ap_loss", "r1_loss")
SMALLER = ("float16", "int8")
PRECISIONS = ("float32", *SMALLER)
# What this command sets itself, of the configuration of an export.
OWN = ("quantization", "output", "name", "version", "overwrite", "latency.images")


@dataclass(frozen=True)
class Row:
    """One file of one network. `accuracy`: points of 100 of `metric`; `kept`: parts of `parts` that stayed in float; `times`:
    threads → its times, in the same rounds as the network's other files."""

    role: str
    precision: str
    bytes: int
    metric: str
    accuracy: float
    kept: int
    parts: int
    times: dict[int, GraphTimes]


@dataclass(frozen=True)
class PrecisionTable:
    """`rows`: by role and precision; `others`: 0–1, what other programs took of the processor at worst; `data`: checkpoints and
    what the files were judged by → checksum."""

    rows: dict[tuple[str, str], Row]
    others: float
    data: dict[str, str]

    def headline(self, *, seed: int = 0) -> dict[str, dict[str, float]]:
        """`speedup_ROLE`: float32's time over int8's, at the number of threads where it is least; `ap_loss`, `r1_loss`: points
        that int8 loses."""
        found: dict[str, dict[str, float]] = {}
        for role in NETWORKS:
            plain, small = (self.rows[role, precision] for precision in ("float32", "int8"))
            speedups = [ratio(plain.times[n], small.times[n], seed=seed) for n in plain.times]
            found[f"speedup_{role}"] = min(speedups, key=lambda speedup: speedup["value"])
            found[f"{plain.metric}_loss"] = {"value": plain.accuracy - small.accuracy}
        return {name: found[name] for name in METRICS}


def measure(
    words: Sequence[str], console: Console, *, threads: Sequence[int] = (1, 2), rounds: int = 100, seed: int = 0
) -> PrecisionTable:
    """`words`: overrides of `facings export` that name both checkpoints, and what the files are judged by.

    Raises ConfigError for words that cannot be used, and what `facings export` raises: BundleError where a file loses too much.
    """
    plain_words, cfgs = _configurations(words)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        own = ["quantization=none", f"output={folder}", "name=table", "version=1", "latency.images=0"]
        plain = compose_verb("export", [*plain_words, *own], output_dir=folder / "export")
        bundle = Bundle.open(export(plain), precision="float32")
        views = read_enrolment(plain).calibration
        rows: dict[tuple[str, str], Row] = {}
        others = 0.0
        for role in NETWORKS:
            verdicts = {
                name: judge_role(role, cfg, bundle, views, folder, console, timed=False) for name, cfg in cfgs.items()
            }
            files = {"float32": bundle.graph_path(role)} | {name: v.path for name, v in verdicts.items()}
            size = int(bundle.manifest[role]["image_size"])
            times: dict[str, dict[int, GraphTimes]] = {name: {} for name in PRECISIONS}
            for count in threads:
                with Progress(console=console, transient=True) as progress:
                    task = progress.add_task(f"{role}: rounds on {count} threads", total=rounds)
                    advance: Callable[[], None] = lambda task=task, bar=progress: bar.advance(task)  # type: ignore[misc] # noqa: E731
                    compared = compare_graphs(
                        files, size=size, threads=count, rounds=rounds, seed=seed, advance=advance
                    )
                others = max(others, compared.others)
                for name, found in compared.graphs.items():
                    times[name][count] = found
            rows |= {(role, row.precision): row for row in _rows(role, files, verdicts, times)}
    checkpoints = {f"{role} checkpoint": sha256(Path(plain[role])) for role in NETWORKS}
    return PrecisionTable(rows, others, checkpoints | evaluation_checksums(cfgs["int8"]))


def precision_table(found: PrecisionTable) -> Table:
    """For the terminal: a row a file."""
    threads = sorted(next(iter(found.rows.values())).times)
    columns = ["network", "file", "MiB", *(f"ms, {count} thread{'s' * (count > 1)}" for count in threads)]
    table = Table(*columns, "times as fast", "accuracy", "in float", title="one run, all files of a network in turn")
    for (role, precision), row in found.rows.items():
        plain = found.rows[role, "float32"]
        ms = [float(np.median(row.times[count].ms)) for count in threads]
        faster = [float(np.median(plain.times[count].ms)) / own for count, own in zip(threads, ms, strict=True)]
        table.add_row(
            role if precision == "float32" else "",
            precision,
            f"{row.bytes / 2**20:.2f}",
            *(f"{value:.2f}" for value in ms),
            " / ".join(f"{value:.2f}" for value in faster),
            f"{row.metric} {row.accuracy:.2f}",
            f"{row.kept} of {row.parts}" if precision == "int8" else "",
        )
    return table


def as_records(found: PrecisionTable) -> list[dict[str, Any]]:
    """The rows for JSON, times as medians in ms by the number of threads."""
    return [
        {
            "network": row.role,
            "precision": row.precision,
            "bytes": row.bytes,
            row.metric: row.accuracy,
            "parts_in_float": row.kept,
            "parts": row.parts,
            "ms": {str(count): float(np.median(times.ms)) for count, times in row.times.items()},
        }
        for row in found.rows.values()
    ]


def _configurations(words: Sequence[str]) -> tuple[list[str], dict[str, DictConfig]]:
    """The words of the float export, and the configuration of each smaller precision; all that can be refused early is."""
    for word in words:
        if word.split("=")[0].lstrip("+") in OWN:
            raise ConfigError(f"{word}: set by this command; leave it out")
    cfgs = {}
    for name in SMALLER:
        wanted = [*words, f"quantization={name}"]
        check_overrides("export", wanted)
        cfgs[name] = compose_verb("export", wanted)
        missing = [role for role in NETWORKS if not cfgs[name][role]]
        if missing:
            raise ConfigError(f"{missing[0]}=CHECKPOINT is not given: the table is of a detector and an embedder")
        check_quantization(cfgs[name])
    return [word for word in words if not word.lstrip("+").startswith("quantization.")], cfgs


def _rows(
    role: str, files: Mapping[str, Path], verdicts: Mapping[str, Verdict], times: Mapping[str, dict[int, GraphTimes]]
) -> list[Row]:
    baseline = verdicts["int8"].baseline
    sizes = {name: path.stat().st_size for name, path in files.items()}
    rows = [Row(role, "float32", sizes["float32"], ACCURACY[role], baseline, 0, 0, times["float32"])]
    for name, verdict in verdicts.items():
        chosen, parts = verdict.chosen, len(verdict.costs)
        rows.append(Row(role, name, sizes[name], ACCURACY[role], chosen.accuracy, len(chosen.kept), parts, times[name]))
    return rows
