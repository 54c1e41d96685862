"""What a bundle costs as shelves, galleries, pictures and shops grow. Knows nothing of accuracy.

Each curve is a list of points: `size`, and `ms` (R,) of each repeat, in turn with the other sizes, so that what disturbs the
machine disturbs all alike.
"""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facings.benchmark.record import cores
from facings.benchmark.turns import time_in_turn
from facings.boxes import xywh_to_xyxy
from facings.data.synthetic.camera import CAMERAS
from facings.data.synthetic.planogram import plan_crowded
from facings.data.synthetic.products import assortment
from facings.data.synthetic.renderer import Renderer
from facings.metrics.scaling import PowerLaw, fit_power_law
from facings.runtime.recognizer import Recognizer
from facings.runtime.search import ExactSearch

DIMENSION, QUERIES, TOP = 128, 16, 5
# Pixels of a crowded frame's side: 600 products are then some 40 pixels wide.
FRAME = 960
PRODUCTS = 60
Advance = Callable[[], None]


@dataclass(frozen=True)
class Curve:
    """`sizes` (P,), `ms` (P, R) and the law through the medians; `others` (0–1): what other programs took meanwhile."""

    name: str
    sizes: tuple[float, ...]
    ms: NDArray[np.float64]
    law: PowerLaw
    others: float

    @property
    def median(self) -> NDArray[np.float64]:
        """(P,)"""
        return np.median(self.ms, axis=1)


def time_curve(
    name: str,
    runs: Sequence[tuple[float, Callable[[], Any]]],
    *,
    repeats: int,
    seed: int = 0,
    advance: Advance = lambda: None,
) -> Curve:
    """`runs`: size and what is timed. Raises ValueError for fewer than two sizes."""
    calls = {str(place): (lambda _, call=call: call()) for place, (_, call) in enumerate(runs)}
    ms, others = time_in_turn(calls, rounds=repeats, warmup=1, seed=seed, advance=advance)
    times = np.stack([ms[str(place)] for place in range(len(runs))])
    sizes = tuple(float(size) for size, _ in runs)
    return Curve(name, sizes, times, fit_power_law(sizes, np.median(times, axis=1).tolist()), others)


def products_curve(
    recognizer: Recognizer, counts: Sequence[int], *, repeats: int, seed: int, advance: Advance
) -> Curve:
    """A frame of so many products: the detector on it, and what is cut, embedded and matched at their true boxes.

    True boxes and not the detector's, so that the size is what it says whatever the detector finds. `size` is how many products
    the generator labelled, which is about the number asked.
    """
    runs: list[tuple[float, Callable[[], Any]]] = []
    for count in counts:
        image, boxes = crowded_frame(count, seed=seed)
        runs.append((len(boxes), partial(_whole_frame, recognizer, image, boxes)))
    return time_curve("products", runs, repeats=repeats, seed=seed, advance=advance)


def gallery_curve(views: Sequence[int], *, repeats: int, seed: int, advance: Advance) -> Curve:
    """The runtime's exact search for `QUERIES` crops in so many made-up views of `DIMENSION`, four a product."""
    rng = np.random.default_rng(seed)
    vectors = rng.standard_normal((max(views), DIMENSION), dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    queries = vectors[rng.integers(0, max(views), QUERIES)]
    runs: list[tuple[float, Callable[[], Any]]] = []
    for count in views:
        search = ExactSearch(vectors[:count], np.arange(count) // 4)
        runs.append((count, partial(search.top, queries, TOP)))
    return time_curve("gallery", runs, repeats=repeats, seed=seed, advance=advance)


def pixels_curve(
    recognizer: Recognizer,
    image: NDArray[np.uint8],
    megapixels: Sequence[float],
    *,
    repeats: int,
    seed: int,
    advance: Advance,
) -> Curve:
    """The whole runtime on one picture, resized; decoding is no part of it."""
    height, width = image.shape[:2]
    runs: list[tuple[float, Callable[[], Any]]] = []
    for size in megapixels:
        scale = float(np.sqrt(size * 1e6 / (height * width)))
        sides = (max(1, round(width * scale)), max(1, round(height * scale)))
        resized = cv2.resize(image, sides, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR).astype(
            np.uint8
        )
        runs.append((sides[0] * sides[1] / 1e6, partial(recognizer.run, resized)))
    return time_curve("pixels", runs, repeats=repeats, seed=seed, advance=advance)


def cameras_curve(
    single: Recognizer, image: NDArray[np.uint8], workers: Sequence[int], *, repeats: int, seed: int, advance: Advance
) -> Curve:
    """So many frames asked at once of one recogniser with one thread (`single`): ms until all are answered."""
    runs: list[tuple[float, Callable[[], Any]]] = []
    pools = [ThreadPoolExecutor(count) for count in workers]
    for count, pool in zip(workers, pools, strict=True):
        runs.append((count, partial(_together, pool, single, image, count)))
    try:
        return time_curve("cameras", runs, repeats=repeats, seed=seed, advance=advance)
    finally:
        for pool in pools:
            pool.shutdown()


def cameras_per_core(curve: Curve, interval: float) -> float:
    """Cameras that send a picture every `interval` seconds, for each core: at the best of the curve's points.

    By hand: 2 frames in 100 ms are 20 a second; with one every 60 s that is 1,200 cameras, on two cores 600 each.
    """
    per_second = float((np.array(curve.sizes) * 1000 / curve.median).max())
    return per_second * interval / cores()


def default_workers() -> list[int]:
    """1, 2, 4 … up to twice as many as there are cores."""
    most = 2 * (cores() if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return [2**power for power in range(most.bit_length()) if 2**power <= most]


def crowded_frame(count: int, *, seed: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A made-up shelf of about `count` products: picture (FRAME, FRAME, 3) RGB, and boxes (N, 4) float32 xyxy pixels."""
    rng = np.random.default_rng([seed, count])
    goods = assortment(PRODUCTS, produce_share=0.3, seed=seed)
    wall = plan_crowded(goods, rng, count=count, misplaced=0.0, gaps=0.0)
    scene = Renderer(FRAME).scene(wall, CAMERAS[0], rng, min_visibility=0.3)
    decoded = np.asarray(cv2.imdecode(np.frombuffer(scene.jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)
    boxes = xywh_to_xyxy(np.array([seen.box for seen in scene.seen], np.float32).reshape(-1, 4))
    return np.ascontiguousarray(decoded[..., ::-1]), boxes


def _whole_frame(recognizer: Recognizer, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> None:
    if recognizer.bundle.has("detector"):
        recognizer.detect(image)
    if recognizer.gallery is not None:
        recognizer.match(recognizer.embed(image, boxes))


def _together(pool: ThreadPoolExecutor, recognizer: Recognizer, image: NDArray[np.uint8], count: int) -> None:
    list(pool.map(recognizer.run, [image] * count))
