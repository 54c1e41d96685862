"""Do training, the exported graphs and their smaller siblings decide alike? On pictures of every shape, whole chain.

Knows nothing of tolerances inside the chain: `facings.export.parity` compares stage by stage.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as Pillow
from scipy.stats import binom

from facings.data.transforms.letterbox import letterbox, normalise
from facings.errors import BundleError
from facings.export.networks import DetectorGraph, Network
from facings.export.openvino_parity import openvino_differences
from facings.export.sibling_parity import sibling_differences, sibling_limits
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import decision_agreement
from facings.structures import Decision
from facings.tiles import Tiling

Image = NDArray[np.uint8]
# Height and width: what a camera, a phone, a panorama or a thumbnail may give.
SHAPES = {"square": (640, 640), "wide": (240, 1600), "tall": (1600, 240), "tiny": (11, 17), "4k": (2160, 3840)}
# No side is longer than so many tiles: a bundle of small tiles would look at 4K in hundreds of them, and learn no more from it.
MOST_TILES = 6
# Share of items on which training and the exported float graphs must agree.
LEAST_AGREEMENT = 0.999
# How seldom as many items differ by chance where that share is held: an item can lie on a threshold, and of few items two may.
CHANCE = 0.01


@dataclass(frozen=True)
class Agreement:
    """Items that two ways of running a bundle agree on. `pictures`: name → (agreeing, items)."""

    pictures: dict[str, tuple[int, int]]

    @property
    def items(self) -> int:
        return sum(items for _, items in self.pictures.values())

    @property
    def agreeing(self) -> int:
        return sum(agreeing for agreeing, _ in self.pictures.values())

    @property
    def share(self) -> float:
        """0–1; 1 where neither found anything."""
        return self.agreeing / self.items if self.items else 1.0

    def as_report(self) -> dict[str, Any]:
        pictures = {name: {"agreeing": a, "items": i} for name, (a, i) in self.pictures.items()}
        return {"agreement": self.share, "agreeing": self.agreeing, "items": self.items, "pictures": pictures}


@dataclass(frozen=True)
class Decided:
    """How alike the ways of running the bundle decide: by precision the agreement and the golden samples' own tolerances; and
    the entries of report.json."""

    agreements: dict[str, Agreement]
    limits: dict[str, dict[str, float]]
    report: dict[str, Any]


class TrainingRecognizer(Recognizer):
    """A bundle's chain with every graph replaced by what training computes: Pillow's letterbox, the torch networks, a plain
    search. A network is None where the bundle has none."""

    def __init__(self, bundle: Bundle, detector: Network | None, embedder: Network | None) -> None:
        super().__init__(bundle.at("float32"))
        stages: dict[str, Any] = {}
        if detector is not None:
            assert isinstance(detector.model, DetectorGraph)
            stages["preprocess"] = _letterboxed(detector)
            stages["detector"] = _run(detector, "pixels", detector.model.outputs)
        if embedder is not None:
            stages |= {"crop": _letterboxed(embedder), "embedder": _run(embedder, "crops", ["embeddings"])}
            stages["match"] = _search(bundle.postprocess.top_k)
        self._sessions.update(stages)


def shaped_pictures(image: Image, tiling: Tiling | None = None) -> dict[str, Image]:
    """A real picture as a square, wide, tall, tiny and 4K one: a part of it of that form, scaled. `tiling`: the bundle's, which
    bounds the sides."""
    made = {}
    for name, form in SHAPES.items():
        shrinking = 1.0 if tiling is None else min(1.0, MOST_TILES * tiling.size / max(form))
        height, width = (max(1, round(side * shrinking)) for side in form)
        scale = min(image.shape[0] / height, image.shape[1] / width)
        rows, columns = max(1, int(height * scale)), max(1, int(width * scale))
        top, left = (image.shape[0] - rows) // 2, (image.shape[1] - columns) // 2
        part = Pillow.fromarray(image[top : top + rows, left : left + columns])
        made[name] = np.ascontiguousarray(np.asarray(part.resize((width, height), Pillow.Resampling.BILINEAR)))
    return made


def agreement(first: Mapping[str, Decision], second: Mapping[str, Decision]) -> Agreement:
    """Of the decisions of the same pictures."""
    return Agreement({name: decision_agreement(first[name], second[name]) for name in first})


def decisions(recognizer: Recognizer, images: Mapping[str, Image]) -> dict[str, Decision]:
    """The decision of each picture by name."""
    return {name: recognizer.recognize(image) for name, image in images.items()}


def require_agreement(found: Agreement, least: float = LEAST_AGREEMENT) -> None:
    """Raise BundleError when training and the float graphs agree on less than the share `least` of the items, and not by chance."""
    differing = found.items - found.agreeing
    if differing > most_by_chance(found.items, least):
        worst = max(found.pictures, key=lambda name: found.pictures[name][1] - found.pictures[name][0])
        raise BundleError(
            f"training and the exported graphs decide differently on {differing} of {found.items} items "
            f"(most on {worst}); at least {least:.1%} must agree (parity.decisions); nothing was written"
        )


def most_by_chance(items: int, least: float) -> int:
    """So many of `items` may differ, one always: more do in less than `CHANCE` of the cases where each differs with 1 - `least`.

    >>> [most_by_chance(items, 0.999) for items in (20, 100, 279, 10_000)]
    [1, 1, 2, 18]
    """
    return max(1, int(binom.ppf(1 - CHANCE, items, 1 - least)))


def compare_decisions(
    bundle: Bundle,
    networks: Mapping[str, Network],
    images: Sequence[Image],
    limits: Mapping[str, float],
    *,
    threads: int | None = None,
) -> Decided:
    """Training against the float graphs, float against each sibling, ONNX Runtime against OpenVINO."""
    pictures = {f"picture {number}": image for number, image in enumerate(images)} | shaped_pictures(
        images[0], bundle.postprocess.tiles
    )
    detector, embedder = networks.get("detector"), networks.get("embedder")
    recognizer = Recognizer(bundle, threads=threads)
    plain = decisions(recognizer, pictures)
    agreements = {"float32": agreement(decisions(TrainingRecognizer(bundle, detector, embedder), pictures), plain)}
    stages: dict[str, Any] = {}
    own_limits: dict[str, dict[str, float]] = {}
    for name in bundle.precisions[1:]:
        sibling = Recognizer(bundle.at(name), threads=threads)
        agreements[name] = agreement(plain, decisions(sibling, pictures))
        stages[name] = sibling_differences(recognizer, sibling, pictures)
        own_limits[name] = sibling_limits(limits, stages[name])
    report = {
        "decisions": {name: found.as_report() for name, found in agreements.items()},
        "siblings": stages,
        "openvino": openvino_differences(bundle, list(pictures.values()), limits, threads=threads),
    }
    return Decided(agreements, own_limits, report)


def _letterboxed(network: Network) -> Any:
    def run(image: NDArray[np.uint8]) -> dict[str, NDArray[Any]]:
        square, transform = letterbox(image[0], network.image_size)
        return {"pixels": normalise(square, network.mean, network.std)[None], "transform": transform}

    return run


def _run(network: Network, name: str, outputs: Sequence[str]) -> Any:
    def run(**inputs: NDArray[np.float32]) -> dict[str, NDArray[Any]]:
        with torch.no_grad():
            found = network.model.eval()(torch.from_numpy(np.ascontiguousarray(inputs[name])))
        tensors = found if isinstance(found, tuple) else (found,)
        return {key: value.numpy() for key, value in zip(outputs, tensors, strict=True)}

    return run


def _search(top_k: int) -> Any:
    """The most similar items, an item as similar as its most similar view."""

    def run(
        embeddings: NDArray[np.float32], gallery: NDArray[np.float32], item: NDArray[np.int64]
    ) -> dict[str, NDArray[Any]]:
        views = embeddings @ gallery.T
        best = np.stack([views[:, item == number].max(axis=1) for number in range(int(item.max()) + 1)], axis=1)
        order = np.argsort(-best, axis=1, kind="stable")[:, :top_k]
        return {"items": order, "similarities": np.take_along_axis(best, order, axis=1)}

    return run
