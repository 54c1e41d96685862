"""Do the exported graphs give what torch gives? Measured stage by stage on real pictures.

Knows nothing of how the graphs were made, or of bundles beyond the recogniser that runs one.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from facings.data.transforms.letterbox import letterbox, normalise
from facings.errors import BundleError
from facings.export.networks import DetectorGraph, Network
from facings.runtime.crops import cut_crop
from facings.runtime.recognizer import Recognizer
from facings.runtime.session import Session
from facings.runtime.verify import OF_BOXES, RELEVANT, largest_difference, unmatched_detections

Image = NDArray[np.uint8]
# Pictures that go through a graph at once: enough to see that a batch is no mixture, little enough for any memory.
BATCH = 4
# Pixels may be one of 255 levels apart; the others leave float32 ten times its error through a deep network.
TOLERANCES = {
    "transform": 1e-6, "boxes": 0.5, "scores": 1e-3, "coefficients": 1e-3, "prototypes": 1e-3, "attributes": 1e-3,
    "embeddings": 1e-3, "similarities": 1e-3,
}  # fmt: skip


@dataclass(frozen=True)
class StageParity:
    """How far torch and ONNX Runtime are apart at one stage. `count`: values (or detections) compared."""

    stage: str
    difference: float
    tolerance: float
    count: int

    @property
    def passed(self) -> bool:
        return self.difference <= self.tolerance


def pixel_tolerance(std: Sequence[float]) -> float:
    """One level of 255, after normalising by `std`, and rounding."""
    return 1 / 255 / min(std) + 5e-5


def tolerances(detector: Network | None, embedder: Network | None) -> dict[str, float]:
    """The tolerance of every stage of a bundle of these networks."""
    inputs = {"pixels": detector, "crops": embedder}
    return {name: pixel_tolerance(net.std) for name, net in inputs.items() if net is not None} | TOLERANCES


def measure_parity(
    recognizer: Recognizer,
    images: Sequence[Image],
    *,
    detector: Network | None,
    embedder: Network | None,
    limits: Mapping[str, float],
) -> list[StageParity]:
    """One entry a stage, the largest difference over all `images`; a network is None where the bundle has none.

    Both sides of a stage get the same input, so that each stage answers for itself; all pictures of a stage go through
    torch in one batch, as in the graph they go one by one.
    """
    found = [recognizer.stages(image) for image in images]
    stages: list[StageParity] = []

    def compared(stage: str, ours: Sequence[NDArray[Any]], theirs: Sequence[NDArray[Any]]) -> None:
        difference = max(largest_difference(a, b) for a, b in zip(ours, theirs, strict=True))
        stages.append(StageParity(stage, difference, limits[stage.removeprefix("batched_")], sum(a.size for a in ours)))

    if detector is not None:
        prepared = [letterbox(image, detector.image_size) for image in images]
        ours = [normalise(square, detector.mean, detector.std)[None] for square, _ in prepared]
        compared("pixels", ours, [f["pixels"] for f in found])
        compared("transform", [transform for _, transform in prepared], [f["transform"] for f in found])
        assert isinstance(detector.model, DetectorGraph)
        outputs = _torch(detector.model, np.concatenate([f["pixels"] for f in found]))
        tensors = dict(zip(detector.model.outputs, outputs, strict=True))
        stages += _detection_parity(recognizer, tensors, found, limits)
        stages.append(_batch_parity(recognizer, found, limits))
        if "prototypes" in tensors:
            compared("prototypes", list(tensors["prototypes"]), [f["prototypes"][0] for f in found])
    if embedder is not None:
        cut = [f for f in found if "crops" in f]
        if not cut:
            raise BundleError(
                "parity: the detector found nothing on any picture, so the embedder has no crop to compare"
            )
        margin = recognizer.bundle.postprocess.crop_margin
        ours = [
            np.stack([crop_pixels(image, box, margin, embedder) for box in f["crop_boxes"]])
            for image, f in zip(images, found, strict=True)
            if "crops" in f
        ]
        compared("crops", ours, [f["crops"] for f in cut])
        crops = np.concatenate([f["crops"] for f in cut])
        (embeddings,) = _torch(embedder.model, crops)
        compared("embeddings", [embeddings], [recognizer.embed_crops(crops)])
        singly = np.concatenate([recognizer.embed_crops(crop[None]) for crop in crops])
        compared("batched_embeddings", [singly], [recognizer.embed_crops(crops)])
    return stages


def require(stages: Sequence[StageParity]) -> None:
    """Raise BundleError when a stage is out of tolerance, naming each with its difference."""
    failed = [f"{s.stage} by {s.difference:.2g} (tolerance {s.tolerance:.2g})" for s in stages if not s.passed]
    if failed:
        raise BundleError(f"torch and ONNX Runtime differ: {', '.join(failed)}; nothing was written")


def as_report(stages: Sequence[StageParity]) -> dict[str, Any]:
    """The content of report.json's `parity`."""
    return {stage.stage: {k: v for k, v in asdict(stage).items() if k != "stage"} for stage in stages}


def _detection_parity(
    recognizer: Recognizer,
    ours: Mapping[str, NDArray[Any]],
    found: Sequence[Mapping[str, NDArray[Any]]],
    limits: Mapping[str, float],
) -> list[StageParity]:
    """Scores are compared in their order; boxes, and what is told of each, by twins, because near-equal scores may swap
    places.

    Only the scores that a decision could see are compared: doubles are dropped in the graph, and among the thousands below a
    rounding decides which one of two is kept.
    """
    theirs = {name: np.concatenate([f[name] for f in found]) for name in ours if name != "prototypes"}
    ours = {name: value for name, value in ours.items() if name in theirs}
    least = recognizer.bundle.postprocess.score_threshold * RELEVANT
    given = {name: float(limits[name]) for name in ("boxes", "scores", *OF_BOXES) if name in limits}
    lost = unmatched_detections(ours, theirs, least=least, tolerances=given)
    lost += unmatched_detections(theirs, ours, least=least, tolerances=given)
    count = int((ours["scores"] >= least).sum())
    seen = np.maximum(ours["scores"], theirs["scores"]) >= least
    difference = largest_difference(ours["scores"][seen], theirs["scores"][seen])
    return [
        StageParity("scores", difference, given["scores"], int(seen.sum())),
        StageParity("detections_without_twin", float(lost), 0.0, count),
    ]


def _batch_parity(
    recognizer: Recognizer, found: Sequence[Mapping[str, NDArray[Any]]], limits: Mapping[str, float]
) -> StageParity:
    """The graph with several pictures at once against itself with one at a time."""
    detector = Session(recognizer.bundle.graph_path("detector"))
    given = {name: float(limits[name]) for name in ("boxes", "scores", *OF_BOXES) if name in limits}
    least = recognizer.bundle.postprocess.score_threshold * RELEVANT
    lost = count = 0
    for start in range(0, len(found), BATCH):
        part = found[start : start + BATCH]
        together = detector(pixels=np.concatenate([f["pixels"] for f in part]))
        singly = {name: np.concatenate([f[name] for f in part]) for name in together}
        lost += unmatched_detections(singly, together, least=least, tolerances=given)
        count += int((singly["scores"] >= least).sum())
    return StageParity("batched_detections_without_twin", float(lost), 0.0, count)


def _torch(model: nn.Module, batch: NDArray[np.float32]) -> tuple[NDArray[Any], ...]:
    with torch.no_grad():
        outputs = model.eval()(torch.from_numpy(batch))
    return tuple(o.numpy() for o in (outputs if isinstance(outputs, tuple) else (outputs,)))


def crop_pixels(image: Image, box: NDArray[np.float32], margin: float, network: Network) -> NDArray[np.float32]:
    """(3, S, S) what the network is shown of `box`: cut, letterboxed and normalised as in training."""
    square, _ = letterbox(cut_crop(image, box, margin), network.image_size)
    return normalise(square, network.mean, network.std)
