"""Peak memory of the detection loss on frames of a thousand objects: batch 2, 640 px, forwards and backwards.

    python scripts/assigner_memory.py

The loss of configs/loss/detection.yaml is measured in a process of its own, on outputs as a detector would give them, once
for boxes alone and once with masks. Fails when the peak above what lay there before reaches --limit.
"""

import argparse
import copy
import json
import subprocess
import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from rich.console import Console
from rich.table import Table
from torch import Tensor

from facings.benchmark.assigner_memory import crowded_frame, loss_memory
from facings.commands.composition import compose_verb
from facings.commands.train import build_model


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 when the limit is reached."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=1000, help="in each frame")
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--size", type=int, default=640, help="side of the frames in pixels")
    parser.add_argument("--classes", type=int, default=80)
    parser.add_argument("--prototypes", type=int, nargs="*", default=[0, 32], help="of masks; 0: boxes alone")
    parser.add_argument("--limit", type=float, default=1024, help="MiB")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.inside:
        json.dump(measured(options), sys.stdout)
        return 0
    table = Table("loss", "objects a frame", "batch", "pixels", "peak MiB", f"under {options.limit:.0f}")
    worst = 0.0
    for prototypes in options.prototypes:
        peak = in_a_fresh_process(options, prototypes)
        worst = max(worst, peak)
        name = "boxes and masks" if prototypes else "boxes"
        cells = (str(options.objects), str(options.batch), str(options.size), f"{peak:.0f}")
        table.add_row(name, *cells, "yes" if peak < options.limit else "NO")
    Console().print(table)
    return int(worst >= options.limit)


def in_a_fresh_process(options: argparse.Namespace, prototypes: int) -> float:
    """Peak MiB."""
    words = [f"--{name}={getattr(options, name)}" for name in ("objects", "batch", "size", "classes")]
    command = [sys.executable, __file__, "--inside", *words, "--prototypes", str(prototypes)]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return float(json.loads(done.stdout))


def measured(options: argparse.Namespace) -> float:
    """Peak MiB of one step of the loss in this process."""
    (prototypes,) = options.prototypes
    sizes = [f"image_size={options.size}", f"num_classes={options.classes}", f"model.prototypes={prototypes}"]
    cfg = compose_verb("train", ["model=detector/nano", "loss=detection", *sizes])
    model: Any = build_model(cfg)
    loss = instantiate(cfg.loss)
    rng, generator = np.random.default_rng(0), torch.Generator().manual_seed(0)
    frames = [
        crowded_frame(options.objects, options.size, classes=options.classes, rng=rng, masks=prototypes > 0)
        for _ in range(options.batch)
    ]
    # Which outputs there are, and of what shape, without their memory: what a forward pass leaves behind would be used again.
    shapes = copy.deepcopy(model).to("meta")(torch.zeros(options.batch, 3, options.size, options.size, device="meta"))
    raw: dict[str, Tensor] = {"anchors": model.anchors, "strides": model.anchor_strides}
    for name in sorted(set(shapes) - set(raw)):
        raw[name] = torch.randn(shapes[name].shape, generator=generator).requires_grad_()
    return loss_memory(loss, raw, frames, decode=model.decode)


if __name__ == "__main__":
    sys.exit(main())
