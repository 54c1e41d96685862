"""How long the analysis of a large split takes, and how much memory: made-up pictures, in a process of its own. Knows nothing of
models or files."""

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from facings.analysis.attribution import attribute_frame, count_stages, errors_of
from facings.analysis.comparison import pair_pictures
from facings.analysis.confusions import AnsweredFrame, confusions
from facings.analysis.label_faults import detection_label_faults
from facings.analysis.slices import density_slices, gap_slices, size_slices
from facings.analysis.tide import tide
from facings.benchmark.metric_speed import crowded_scene
from facings.benchmark.store_process import peak_mib
from facings.boxes import xywh_to_xyxy
from facings.errors import ConfigError
from facings.structures import Candidate, Decision, Item, Status

METRICS: dict[str, str | None] = {"minutes": "min", "peak_gib": "GiB"}
PRODUCTS, SIBLINGS, MOST = 500, 5, 1000


@dataclass(frozen=True)
class Scale:
    """How much is made up: `objects` and `detections` a picture."""

    images: int = 3000
    objects: int = 150
    detections: int = 200
    seed: int = 0

    def check(self) -> None:
        """Raises ConfigError for sizes that make no pictures."""
        for name, value in asdict(self).items():
            if value < (0 if name == "seed" else 1):
                raise ConfigError(f"--{name} is {value}; expected 1 or more")


@dataclass(frozen=True)
class Measured:
    """`minutes`: of the analysis alone; `seconds`: of each part; `peak_gib`: of the whole process, the made-up data included."""

    minutes: float
    peak_gib: float
    seconds: dict[str, float]
    counts: dict[str, int]


def measure(scale: Scale) -> Measured:
    """Make the data and analyse it in a fresh process. Raises ConfigError where that process fails."""
    scale.check()
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(analyse, (scale,))


def analyse(scale: Scale) -> Measured:
    """Everything that `facings analyze` works out of predictions and decisions; pictures are not read and nothing is drawn."""
    truth, found = crowded_scene(
        images=scale.images, objects=scale.objects, detections=scale.detections, seed=scale.seed
    )
    frames, categories = made_up_answers(truth, found, seed=scale.seed)
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        start = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - start
        return result

    result = timed("tide", lambda: tide(truth, found))
    timed(
        "slices",
        lambda: [cut(truth, found, max_detections=MOST) for cut in (density_slices, gap_slices, size_slices)],
    )
    faults = timed("label faults", lambda: detection_label_faults(pair_pictures(truth, found), ("product",)))
    answered = timed("attribution", lambda: [attributed(*frame, categories) for frame in frames])
    pairs = timed("confusions", lambda: confusions(answered, categories))
    errors = errors_of(count_stages([frame.attribution for frame in answered]))
    counts = {**result.counts, "label faults": len(faults), "confusions": len(pairs), "lost": sum(errors.values())}
    return Measured(sum(seconds.values()) / 60, peak_mib() / 1024, seconds, counts)


def made_up_answers(
    truth: dict[str, Any], found: list[dict[str, Any]], *, seed: int
) -> tuple[list[tuple[str, Decision, Any, tuple[str, ...]]], dict[str, tuple[str, ...]]]:
    """Of each picture its name, a decision with a product for each detection that is sure enough, boxes xyxy and products."""
    rng = np.random.default_rng(seed)
    names = [f"product {number}" for number in range(PRODUCTS)]
    categories: dict[str, tuple[str, ...]] = {
        name: ("Goods", f"category {number // SIBLINGS}") for number, name in enumerate(names)
    }
    statuses: tuple[Status, ...] = ("known", "known", "known", "ambiguous", "unknown")
    boxes: dict[int, list[list[float]]] = {image["id"]: [] for image in truth["images"]}
    for entry in truth["annotations"]:
        boxes[entry["image_id"]].append(entry["bbox"])
    items: dict[int, list[Item]] = {image["id"]: [] for image in truth["images"]}
    for entry in found:
        if entry["score"] < 0.4:
            continue
        x, y, width, height = entry["bbox"]
        status = statuses[int(rng.integers(len(statuses)))]
        listed = tuple(Candidate(names[int(place)], 0.5, 0.1) for place in rng.integers(0, PRODUCTS, 3))
        product = listed[0].product_id if status == "known" else None
        box = (x, y, x + width, y + height)
        items[entry["image_id"]].append(Item(box, entry["score"], status, product, (), listed))
    frames: list[tuple[str, Decision, Any, tuple[str, ...]]] = []
    for image in truth["images"]:
        corners = xywh_to_xyxy(np.array(boxes[image["id"]], np.float32).reshape(-1, 4))
        products = tuple(names[int(place)] for place in rng.integers(0, PRODUCTS, len(corners)))
        frames.append((str(image["file_name"]), Decision("1", tuple(items[image["id"]])), corners, products))
    return frames, categories


def attributed(
    name: str, decision: Decision, boxes: Any, products: tuple[str, ...], categories: dict[str, tuple[str, ...]]
) -> AnsweredFrame:
    """One picture."""
    found = attribute_frame(decision, boxes, products, categories=categories)
    return AnsweredFrame(name, decision, boxes, products, found)
