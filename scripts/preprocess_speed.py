"""What it takes to bring a frame to the detector's input: the exported graph beside its parts, Pillow and OpenCV, all in turn.

    python scripts/preprocess_speed.py --height 1080 --width 1920 --size 640 --threads 1

`preprocess.onnx` pads and normalises too; the others only make the picture smaller. Frames that are a whole multiple of their
size in the input (1080p and 4K at 640) are shrunk by block means, others by `Resize` with antialias, which is timed alone for
comparison. It wants a quiet machine: what other programs took of the processor is printed.
"""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from PIL import Image
from rich.console import Console
from rich.table import Table

from facings.benchmark.latency import DISTURBED
from facings.benchmark.turns import time_in_turn
from facings.boxes import letterbox_transform
from facings.export.graphs import IR_VERSION, letterbox_graph
from facings.runtime.session import Session

DEFAULTS = {"height": 1080, "width": 1920, "size": 640, "threads": 1, "rounds": 50, "seed": 0}
OPSET = 20
# ImageNet's.
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in DEFAULTS.items():
        parser.add_argument(f"--{name}", type=int, default=value, help=f"({value})")
    options = parser.parse_args(arguments)
    runs = ways(options.height, options.width, options.size, threads=options.threads, seed=options.seed)
    ms, others = time_in_turn(runs, rounds=options.rounds, seed=options.seed)
    table = Table("way", "p50 ms", "p95 ms", title=f"{options.width} x {options.height} to {options.size}")
    for name, times in ms.items():
        table.add_row(name, *(f"{value:.2f}" for value in np.percentile(times, [50, 95])))
    console = Console()
    console.print(table)
    if others > DISTURBED:
        console.print(f"[yellow]other programs took {others:.0%} of the processor: time it again[/]")
    return 0


def ways(height: int, width: int, size: int, *, threads: int, seed: int) -> dict[str, Callable[[int], Any]]:
    """What is timed, by name, all on one picture of noise."""
    image = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    transform = letterbox_transform(height, width, size)
    target = round(float(transform[0]) * width), round(float(transform[1]) * height)
    cv2.setNumThreads(threads)
    with TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        onnx.save(letterbox_graph("preprocess", size, MEAN, STD, OPSET), str(path))
        whole = Session(path, threads=threads)
        onnx.save(resize_graph(*target), str(path))
        resize = Session(path, threads=threads)

    def opencv(filter: int) -> Callable[[int], NDArray[Any]]:
        return lambda _: cv2.resize(image, target, interpolation=filter)

    return {
        "preprocess.onnx": lambda _: whole(image=image[None]),
        "Resize with antialias, alone": lambda _: resize(image=image[None]),
        "Pillow, bilinear": lambda _: np.asarray(Image.fromarray(image).resize(target, Image.Resampling.BILINEAR)),
        "OpenCV, area": opencv(cv2.INTER_AREA),
        "OpenCV, linear (no antialias)": opencv(cv2.INTER_LINEAR),
    }


def resize_graph(width: int, height: int) -> onnx.ModelProto:
    """`image` [1, H, W, 3] → `smaller` [1, height, width, 3], bytes."""
    sizes = numpy_helper.from_array(np.array([1, height, width, 3], np.int64), "sizes")
    node = helper.make_node(
        "Resize", ["image", "", "", "sizes"], ["smaller"], mode="linear", antialias=1, exclude_outside=1
    )
    ports = [
        helper.make_tensor_value_info(name, TensorProto.UINT8, [1, None, None, 3]) for name in ("image", "smaller")
    ]
    graph = helper.make_graph([node], "resize", ports[:1], ports[1:], [sizes])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR_VERSION)


if __name__ == "__main__":
    sys.exit(main())
