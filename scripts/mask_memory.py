"""Peak memory of decoding instance masks on a large frame: 500 products on 12 megapixels, as the store does it.

    python scripts/mask_memory.py

Each way is measured in a process of its own: outlines alone (what a decision needs), all masks at once (what an evaluation
needs), run lengths, and outlines of boxes as large as the whole frame, the worst there is (a few: they are decoded one by
one, so their number only takes time). Fails when the peak above what
lay there before reaches --limit. For scale: 500 masks as whole pictures would take 5.7 GiB.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
from rich.console import Console
from rich.table import Table

from facings.benchmark.assigner_memory import peak_growth_mib
from facings.boxes import letterbox_transform
from facings.masks import outline, to_rle
from facings.tiles import detect

WAYS = ("outlines", "masks", "run lengths", "outlines of whole-frame boxes")
FEW = 5


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 when the limit is reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=500, help="in the frame")
    parser.add_argument("--height", type=int, default=3000, help="of the frame in pixels")
    parser.add_argument("--width", type=int, default=4000, help="of the frame in pixels")
    parser.add_argument("--size", type=int, default=640, help="side of the detector's input in pixels")
    parser.add_argument("--prototypes", type=int, default=32)
    parser.add_argument("--limit", type=float, default=1024, help="MiB")
    parser.add_argument("--inside", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        json.dump(measured(options), sys.stdout)
        return 0
    table = Table("kept", "objects", "frame", "peak MiB", f"under {options.limit:.0f}", "seconds")
    worst = 0.0
    for way in WAYS:
        count = FEW if way == WAYS[-1] else options.objects
        peak, seconds = in_a_fresh_process(options, way, count)
        worst = max(worst, peak)
        cells = (str(count), f"{options.width} × {options.height}", f"{peak:.1f}")
        table.add_row(way, *cells, "yes" if peak < options.limit else "NO", f"{seconds:.1f}")
    Console().print(table)
    return int(worst >= options.limit)


def in_a_fresh_process(options: argparse.Namespace, way: str, count: int) -> tuple[float, float]:
    """Peak MiB and seconds."""
    names = ("height", "width", "size", "prototypes")
    words = [f"--{name}={getattr(options, name)}" for name in names]
    command = [sys.executable, __file__, "--inside", way, f"--objects={count}", *words]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    peak, seconds = json.loads(done.stdout)
    return float(peak), float(seconds)


def measured(options: argparse.Namespace) -> tuple[float, float]:
    """Peak MiB and seconds of one way in this process. The frame and what the detector says of it lie there before."""
    height, width, size, random = options.height, options.width, options.size, np.random.default_rng(0)
    image = np.zeros((height, width, 3), np.uint8)
    transform = letterbox_transform(height, width, size)
    if options.inside == WAYS[-1]:
        boxes = np.tile(np.array([0, 0, size, size], np.float32), (options.objects, 1))
    else:
        # Shoulder to shoulder, each a little larger than its place.
        across = int(np.ceil(np.sqrt(options.objects * width / height)))
        down = int(np.ceil(options.objects / across))
        places = np.arange(options.objects)
        cell = np.array([width * transform[0] / across, height * transform[1] / down])
        centres = (np.stack([places % across, places // across], axis=1) + 0.5) * cell + transform[2:]
        boxes = np.concatenate([centres - 0.6 * cell, centres + 0.6 * cell], axis=1).astype(np.float32)
    outputs = {
        "boxes": boxes,
        "scores": np.full(options.objects, 0.9, np.float32),
        "labels": np.zeros(options.objects, np.int64),
        "coefficients": random.normal(size=(options.objects, options.prototypes)).astype(np.float32),
        "prototypes": smooth(random, options.prototypes, size // 4),
        "transform": transform,
    }
    found = detect(image, lambda _: outputs, input_size=size)
    ways: dict[str, Callable[[], object]] = {
        "masks": lambda: list(found.masks()),
        "run lengths": lambda: [to_rle(mask, height, width) for mask in found.masks()],
    }
    # A deque of no length takes what comes and keeps nothing; outlines are too small to matter.
    work = ways.get(options.inside, lambda: deque((outline(mask) for mask in found.masks()), maxlen=0))
    began = time.perf_counter()
    return peak_growth_mib(work), time.perf_counter() - began


def smooth(random: np.random.Generator, count: int, side: int) -> np.ndarray:
    """(count, side, side) prototypes that change as slowly as a detector's: coarse noise, enlarged."""
    coarse = random.normal(size=(count, side // 8 + 2, side // 8 + 2))
    at = np.arange(side) / 8
    low, share = at.astype(int), at % 1
    rows = coarse[:, low] * (1 - share)[:, None] + coarse[:, low + 1] * share[:, None]
    grid: np.ndarray = rows[:, :, low] * (1 - share) + rows[:, :, low + 1] * share
    return grid.astype(np.float32)


if __name__ == "__main__":
    sys.exit(main())
