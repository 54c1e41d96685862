"""What embedders cost and how much they recognise: exported in float and in eight bits, asked on real photos, timed in turn.

Knows how a network is exported and made smaller; which networks there are stands in the benchmark's room.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from hydra.utils import instantiate
from numpy.typing import NDArray
from torch import nn

from facings.benchmark.embedder_cost import DISTURBANCE, MOST_LOSS, PRECISIONS, SMALL, Point, point_name
from facings.benchmark.graph_latency import time_graphs
from facings.benchmark.turns import median_of
from facings.commands.application import user_message
from facings.commands.composition import compose_verb
from facings.commands.embedding import OPSET, Crops, among_nearest, frozen_backbone, right_share
from facings.commands.run_records import Metrics
from facings.commands.train import best_checkpoint
from facings.data.recognition_datamodule import RecognitionDataModule
from facings.data.recognition_selection import limit_views
from facings.data.tables import RecognitionRow
from facings.errors import BundleError, ConfigError, DataError
from facings.export.calibration_data import Samples
from facings.export.network_part import network_part
from facings.export.networks import export_embedder
from facings.export.precision_gate import GateSettings, judge
from facings.export.quantize import Int8Settings, load_float, measure_ranges, quantized, save
from facings.runtime.session import Session
from facings.spreading import evenly
from facings.tasks.checkpoint import checkpoint_config, load_model

EXPERIMENT = "reid/grocery_store"
Files = dict[str, Path]
Advance = Callable[[int], None]


@dataclass(frozen=True)
class Terms:
    """What all networks of a comparison have in common. `views`: gallery photos of a product at most, `queries`: of its test
    photos, 0 for all, both spread evenly; `calibration`: training crops that ranges are measured on; `threads`: of all but the
    times, which are one thread's. Raises ConfigError for values out of range."""

    data_dir: str
    experiment: str = EXPERIMENT
    views: int = 16
    queries: int = 0
    calibration: int = 128
    int8: Int8Settings = field(default_factory=Int8Settings)
    threads: int | None = None

    def __post_init__(self) -> None:
        for name, least in (("views", 0), ("queries", 0), ("calibration", 1)):
            if getattr(self, name) < least:
                raise ConfigError(f"--{name} {getattr(self, name)}: expected {least} or more")


@dataclass(frozen=True)
class Network:
    """One embedder at a size. `checkpoint`: of a training, None for the frozen ImageNet backbone; `mean`, `std`: the scaling of
    its pixels, None for the experiment's own."""

    name: str
    backbone: str
    size: int
    checkpoint: Path | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    def model(self) -> nn.Module:
        """What is exported: a crop in, a unit vector out."""
        if self.checkpoint is None:
            return frozen_backbone(self.backbone, self.size)
        return load_model(self.checkpoint, "reid", image_size=self.size)[0]

    @property
    def view(self) -> tuple[Any, ...]:
        """All that its input depends on: networks of one view are asked about the same crops."""
        return self.size, self.mean, self.std


def frozen_network(point: Point) -> Network:
    """The ImageNet backbone as it comes, its mean feature as embedding."""
    return Network(point.name, point.backbone, point.size)


def trained_network(run: Path, size: int | None = None) -> Network:
    """A run's embedder at `size`, by default its own. Raises ConfigError for a run of anything else."""
    checkpoint = best_checkpoint(run)
    kind, config = checkpoint_config(checkpoint)
    if kind != "reid":
        raise ConfigError(f"--run {run}: is a run of a {kind} model; give one of an embedder (experiment=reid/…)")
    backbone, side = str(config["model"]["backbone"]), size or int(config["image_size"])
    mean, std = (tuple(float(value) for value in config[name]) for name in ("mean", "std"))
    return Network(point_name(backbone, side, trained=True), backbone, side, checkpoint, mean, std)


class Comparison:
    """Networks on the same photos: their files in `folder`, and what was found of them.

    `small`: the name of the network whose int8 file is judged on the validation photos first, and has as many parts in float
    as it takes; of the others, and where that does not help, everything is in eight bits.
    """

    def __init__(self, networks: Sequence[Network], terms: Terms, folder: Path, *, small: str = SMALL) -> None:
        self.networks, self.terms, self.folder, self.small = networks, terms, folder, small
        self._data: dict[tuple[Any, ...], RecognitionDataModule] = {}
        self.files: dict[str, Files] = {}
        # Groups of the small one that stay in float, or why none does.
        self.kept: tuple[str, ...] = ()
        self.refusal: str | None = None

    def data(self, network: Network) -> RecognitionDataModule:
        """The experiment's data, cut and scaled as the network wants it. Raises DataError where it cannot be read."""
        if network.view not in self._data:
            words = [f"experiment={self.terms.experiment}", f"paths.data_dir={self.terms.data_dir}"]
            words += [f"image_size={network.size}"]
            words += [f"{key}={list(getattr(network, key))}" for key in ("mean", "std") if getattr(network, key)]
            cfg = compose_verb("train", words, output_dir=self.folder)
            try:
                data = instantiate(cfg.data)
            except Exception as fault:
                reason = user_message(fault)
                if reason is None:
                    raise
                raise DataError(reason) from fault
            if not isinstance(data, RecognitionDataModule):
                raise ConfigError(f"--experiment {self.terms.experiment}: is not one of an embedder; try {EXPERIMENT}")
            self._data[network.view] = data
        return self._data[network.view]

    @cached_property
    def rows(self) -> tuple[list[RecognitionRow], list[RecognitionRow]]:
        """Gallery and queries, as many as the terms say."""
        data = self.data(self.networks[0])
        return limit_views(data.gallery_rows, self.terms.views), limit_views(data.test_rows, self.terms.queries)

    def export(self, network: Network, advance: Advance = lambda _: None) -> None:
        """Write its files in float and in eight bits; `advance` is told of each file or part that was looked at."""
        plain = self.folder / f"{network.name}.float32.onnx"
        export_embedder(network.model(), plain, image_size=network.size, opset=OPSET)
        samples = Samples("crops", self._calibration(network), lambda crop: crop)
        smaller = self._judged(network, plain, samples, advance) if network.name == self.small else None
        if smaller is None:
            settings, model = self.terms.int8, load_float(plain)
            part = network_part(model)
            ranges = measure_ranges(model, part.ends, samples, settings, threads=self.terms.threads)
            smaller = save(quantized(model, ranges, part.nodes, settings), self.folder / f"{network.name}.int8.onnx")
        self.files[network.name] = dict(zip(PRECISIONS, (plain, smaller), strict=True))

    def _judged(self, network: Network, plain: Path, samples: Samples, advance: Advance) -> Path | None:
        """The int8 file that loses at most a point on the validation photos, with as few parts in float as that takes.

        None where half of them do not suffice, as `refusal` then tells: what is lost is to be measured all the same.
        """
        gate = GateSettings(self.terms.int8, allowed_loss=MOST_LOSS, min_speedup=0.0, threads=self.terms.threads)
        try:
            verdict = judge(
                plain, self.folder, network.name, "int8", samples, gate, metric="R@1 on validation photos",
                measure=lambda path: self._validated(network, path), speed=None, advance=lambda: advance(1),
            )  # fmt: skip
        except BundleError as fault:
            self.refusal = str(fault).partition("; nothing was written")[0]
            return None
        self.kept = verdict.chosen.kept
        return verdict.path

    def _calibration(self, network: Network) -> list[NDArray[np.float32]]:
        """[1, 3, S, S] of training crops, evenly spread, as evaluation sees them."""
        data = self.data(network)
        loader = data.loader(evenly(data.train_rows, self.terms.calibration))
        return [crop.numpy()[None] for batch in loader for crop in batch["crops"]]

    def _validated(self, network: Network, path: Path) -> float:
        """R@1 of the validation photos, in points of 100."""
        data, session = self.data(network), {"": Session(path, threads=self.terms.threads)}
        gallery, queries = (embed(session, data, rows)[""] for rows in (self.rows[0], data.val_rows))
        return 100 * float(among_nearest(queries, gallery, 1).mean())

    def work(self) -> int:
        """Crops that `ask` will embed, each counted once for every network that sees it, weighed by its area in pixels."""
        return sum(len(rows) * network.size**2 for rows in self.rows for network in self.networks)

    def ask(self, advance: Advance = lambda _: None) -> Metrics:
        """R@1 of every file, gallery and queries both by it, and the points of 100 that eight bits lose, paired; intervals draw
        whole products. `advance` is told of `work` done."""
        found: Metrics = {}
        for view in dict.fromkeys(network.view for network in self.networks):
            alike = [network for network in self.networks if network.view == view]
            # Photos are decoded once for all files that want them alike.
            sessions = {
                f"{network.name}_{precision}": Session(path, threads=self.terms.threads)
                for network in alike
                for precision, path in self.files[network.name].items()
            }
            done = len(alike) * alike[0].size ** 2
            gallery, queries = (
                embed(sessions, self.data(alike[0]), rows, lambda crops, done=done: advance(crops * done))  # type: ignore[misc]
                for rows in self.rows
            )
            for network in alike:
                right = {}
                for precision in PRECISIONS:
                    name = f"{network.name}_{precision}"
                    right[precision] = among_nearest(queries[name], gallery[name], 1).astype(np.float64)
                    found[f"{name}_r1"] = right_share(right[precision], groups=queries[name].labels)
                lost = right_share(right["float32"] - right["int8"], groups=queries[name].labels)
                found[f"{network.name}_loss"] = {key: 100 * value for key, value in lost.items()} | {"unit": "points"}
        return found

    def time(self, rounds: int, advance: Callable[[], None] = lambda: None) -> Metrics:
        """Milliseconds for one crop on one thread, every file in every round; arithmetic; what other programs took."""
        graphs = {
            f"{network.name}_{precision}": (path, network.size)
            for network in self.networks
            for precision, path in self.files[network.name].items()
        }
        times, others = time_graphs(graphs, threads=1, rounds=rounds, advance=advance)
        found: Metrics = {f"{name}_ms": median_of(one.ms) | {"unit": "ms"} for name, one in times.items()}
        for network in self.networks:
            found[f"{network.name}_gflop"] = {"value": times[f"{network.name}_float32"].gflop, "unit": "GFLOP"}
        return found | {DISTURBANCE: {"value": others}}


def embed(
    sessions: Mapping[str, Session],
    data: RecognitionDataModule,
    rows: Sequence[RecognitionRow],
    advance: Advance = lambda _: None,
) -> dict[str, Crops]:
    """`rows` through every graph; `advance` is told how many crops are done."""
    vectors: dict[str, list[NDArray[np.float32]]] = {name: [] for name in sessions}
    labels: list[NDArray[np.int64]] = []
    for batch in data.loader(rows):
        crops = batch["crops"].numpy()
        for name, session in sessions.items():
            vectors[name].append(session(crops=crops)["embeddings"])
        labels.append(batch["labels"].numpy())
        advance(len(crops))
    known = np.concatenate(labels)
    return {name: Crops(rows, known, np.concatenate(found)) for name, found in vectors.items()}


def headline(metrics: Metrics, small: str) -> Metrics:
    """The record's two figures of the network named `small`."""
    return {"ms_per_crop": metrics[f"{small}_int8_ms"], "r1_loss": metrics[f"{small}_loss"]}
