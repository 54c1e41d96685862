"""The part of `facings export` that makes smaller files: what they are judged by, and how fast they are.

Knows nothing of how a graph is made smaller.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from hydra.utils import get_method
from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.benchmark.accuracy import Answer, answer_queries, coco_results, identification_figures
from facings.benchmark.frames import Data, Query, label_numbers
from facings.benchmark.graph_latency import compare_graphs, ratio
from facings.commands.benchmark_data import read_frames
from facings.errors import ConfigError
from facings.export.bundle import add_sibling
from facings.export.calibration_data import Samples, detector_samples, embedder_samples
from facings.export.enrolment import View, limited
from facings.export.precision_gate import GateSettings, Verdict, judge
from facings.export.quantize import Int8Settings
from facings.files import sha256
from facings.metrics.detection import coco_metrics
from facings.runtime.bundle import NETWORKS, Bundle
from facings.runtime.images import read_image
from facings.runtime.parsing import find_pictures
from facings.runtime.recognizer import Recognizer
from facings.spreading import evenly
from facings.structures import Decision

METRICS = {"detector": "ap", "embedder": "r1"}


def wants_siblings(cfg: DictConfig) -> bool:
    """Whether smaller files are asked for."""
    return cfg.quantization.precision is not None


def check_quantization(cfg: DictConfig) -> None:
    """Raise ConfigError for what can be refused without loading a model."""
    if not wants_siblings(cfg):
        return
    settings = cfg.quantization
    if settings.precision not in ("int8", "float16"):
        raise ConfigError(f"quantization.precision={settings.precision!r}: expected int8 or float16")
    for role in NETWORKS:
        gate_settings(cfg, role)
    if int(settings.calibration.count) < 1 or int(settings.rounds) < 1:
        raise ConfigError("quantization.calibration.count and quantization.rounds: expected 1 or more")
    if cfg.detector and not (settings.evaluation.annotations and settings.evaluation.images):
        raise ConfigError(
            f"quantization={settings.precision} is judged by the exported file's AP: give "
            "quantization.evaluation.annotations=FILE.json (COCO) and quantization.evaluation.images=FOLDER"
        )
    if cfg.embedder and not settings.evaluation.table:
        raise ConfigError(
            f"quantization={settings.precision} is judged by the exported file's R@1: give "
            "quantization.evaluation.table=FILE.csv with rows of role query"
        )


def gate_settings(cfg: DictConfig, role: str) -> GateSettings:
    """Of one network. Raises ConfigError for values out of range."""
    q = cfg.quantization
    return GateSettings(
        Int8Settings(str(q.method), float(q.percentile), bool(q.per_channel), bool(q.reduce_range)),  # type: ignore[arg-type]
        allowed_loss=float(q[f"{METRICS[role]}_loss"]),
        min_speedup=float(q.min_speedup),
        most_float=float(q.most_float),
        groups=int(q.groups),
        cost_samples=int(q.cost_samples),
        threads=cfg.threads,
    )


def add_siblings(
    folder: Path, cfg: DictConfig, manifest: dict[str, Any], views: Sequence[View], console: Console
) -> dict[str, Verdict]:
    """Judge a smaller file of every network of the sealed bundle `folder`; those accepted are put beside the float ones and
    named in `manifest`, which is to be sealed again. `views`: crops to calibrate the embedder with.

    Raises BundleError where a network loses too much, DataError for data that cannot be used.
    """
    bundle = Bundle.open(folder, check=False, precision="float32")
    verdicts = {}
    for role in (role for role in NETWORKS if bundle.has(role)):
        with TemporaryDirectory() as scratch:
            verdict = judge_role(role, cfg, bundle, views, Path(scratch), console)
            if verdict.accepted:
                path = folder / f"{role}.{verdict.precision}.onnx"
                path.write_bytes(verdict.path.read_bytes())
                # A CPU is slower in half precision: nobody gets it without asking.
                add_sibling(manifest["graphs"], role, verdict.precision, path, auto=verdict.precision == "int8")
        verdicts[role] = verdict
        console.print(f"{role}: {verdict.reason}")
    console.print(verdict_table(verdicts))
    return verdicts


def judge_role(
    role: str,
    cfg: DictConfig,
    bundle: Bundle,
    views: Sequence[View],
    folder: Path,
    console: Console,
    *,
    timed: bool = True,
) -> Verdict:
    """Make a smaller file of one network in `folder` and judge it; with `timed` its speed too. Raises as `add_siblings`."""
    samples = _samples(role, cfg, Recognizer(bundle, threads=cfg.threads), views)
    with Progress(console=console, transient=True) as progress:
        task = progress.add_task(f"{role}: {cfg.quantization.precision}", total=None)
        return judge(
            bundle.graph_path(role),
            folder,
            role,
            cfg.quantization.precision,
            samples,
            gate_settings(cfg, role),
            metric=METRICS[role],
            measure=_measure(role, cfg, bundle),
            speed=_speed(cfg, int(bundle.manifest[role]["image_size"])) if timed else None,
            advance=partial(progress.advance, task),
        )


def verdict_table(verdicts: Mapping[str, Verdict]) -> Table:
    """Accuracy, speed and size of both files of each network."""
    table = Table("network", "file", "accuracy", "times as fast", "MiB", "in float", title="smaller files")
    for role, verdict in verdicts.items():
        sizes = {name: f"{size / 2**20:.2f}" for name, size in verdict.bytes.items()}
        table.add_row(role, "float32", f"{verdict.metric} {verdict.baseline:.2f}", "1", sizes["float32"], "all")
        fast = "" if verdict.speedup is None else f"{verdict.speedup['value']:.2f}"
        kept = f"{len(verdict.chosen.kept)} of {len(verdict.costs)}" if verdict.costs else "decoding"
        mark = "" if verdict.accepted else "  not chosen"
        table.add_row(
            "", verdict.precision + mark, f"{verdict.chosen.accuracy:.2f}", fast, sizes[verdict.precision], kept
        )
    return table


def detector_ap(bundle: Bundle, path: Path, data: Data, *, threads: int | None = None) -> float:
    """AP (points of 100) of a detector file through the store runtime, at 300 detections a frame."""
    recognizer = Recognizer(with_file(bundle, "detector", path), threads=threads)
    nothing = np.zeros(0, np.int64)
    answers = [
        Answer(frame, Decision(None, ()), recognizer.detect(read_image(frame.path)), None, nothing, ())
        for frame in data.frames
    ]
    return 100 * coco_metrics(data.ground_truth(), coco_results(answers, data, bundle.labels))["ap"]


def embedder_r1(bundle: Bundle, path: Path, queries: Sequence[Query], *, threads: int | None = None) -> float:
    """R@1 (points of 100) of an embedder file's queries against the bundle's gallery, which float32 made."""
    recognizer = Recognizer(with_file(bundle, "embedder", path), threads=threads)
    ranks = np.array(answer_queries(recognizer, queries), np.int64)
    return 100 * identification_figures([ranks])[0]["r1"]


def with_file(bundle: Bundle, role: str, path: Path) -> Bundle:
    """The bundle with another file, which may lie anywhere, as the graph of `role`."""
    graphs = bundle.manifest["graphs"]
    trial = {**graphs, role: {**graphs[role], "file": str(path.resolve())}}
    return replace(bundle, manifest={**bundle.manifest, "graphs": trial}, precision="float32")


def _samples(role: str, cfg: DictConfig, recognizer: Recognizer, views: Sequence[View]) -> Samples:
    count, seed = int(cfg.quantization.calibration.count), int(cfg.seed)
    if role == "embedder":
        return embedder_samples(recognizer, limited(views, count, seed), threads=cfg.threads)
    pictures = find_pictures([Path(cfg.quantization.calibration.images)])
    return detector_samples(recognizer, evenly(pictures, count), threads=cfg.threads)


def _measure(role: str, cfg: DictConfig, bundle: Bundle) -> Callable[[Path], float]:
    if role == "detector":
        data = evaluation_frames(cfg)
        label_numbers(bundle.labels, data.labels)
        return lambda path: detector_ap(bundle, path, data, threads=cfg.threads)
    queries = evaluation_queries(cfg)
    return lambda path: embedder_r1(bundle, path, queries, threads=cfg.threads)


def evaluation_frames(cfg: DictConfig) -> Data:
    """The frames that detector files are judged by."""
    wanted = cfg.quantization.evaluation
    limit = None if wanted.limit is None else int(wanted.limit)
    agnostic = bool(wanted.class_agnostic)
    return read_frames("evaluation", wanted.annotations, wanted.images, agnostic=agnostic, unknown=(), limit=limit)


def evaluation_queries(cfg: DictConfig) -> list[Query]:
    """The crops that embedder files are judged by."""
    wanted = cfg.quantization.evaluation
    rows = get_method(str(wanted.reader))(wanted.table).select(split=wanted.split, role=wanted.role)
    limit = None if wanted.limit is None else int(wanted.limit)
    return [Query(row.path, row.product_id, row.corners) for row in rows[:limit]]


def evaluation_checksums(cfg: DictConfig) -> dict[str, str]:
    """File name → sha256 of what the files were judged by."""
    wanted = cfg.quantization.evaluation
    files = [*([wanted.annotations] if cfg.detector else []), *([wanted.table] if cfg.embedder else [])]
    return {Path(file).name: sha256(Path(file)) for file in files if Path(file).is_file()}


def _speed(cfg: DictConfig, size: int) -> Callable[[Path, Path], dict[str, float]]:
    def speed(plain: Path, smaller: Path) -> dict[str, float]:
        times = compare_graphs(
            {"float32": plain, "smaller": smaller},
            size=size,
            threads=int(cfg.threads or os.cpu_count() or 1),
            rounds=int(cfg.quantization.rounds),
            seed=int(cfg.seed),
        ).graphs
        milliseconds = {name: float(np.median(each.ms)) for name, each in times.items()}
        return ratio(times["float32"], times["smaller"], seed=int(cfg.seed)) | {
            "float32_ms": milliseconds["float32"],
            "ms": milliseconds["smaller"],
            "threads": float(times["smaller"].threads),
        }

    return speed


def quantization_report(cfg: DictConfig, verdicts: Mapping[str, Verdict]) -> dict[str, Any]:
    """The entry `quantization` of report.json, None where no smaller file was asked for."""
    if not verdicts:
        return {"quantization": None}
    networks = {role: verdict.as_report() for role, verdict in verdicts.items()}
    return {"quantization": {"evaluation": evaluation_checksums(cfg), "networks": networks}}
