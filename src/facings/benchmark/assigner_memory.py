"""How much memory a detection loss takes on crowded frames: assignment compares every object with every anchor.

Knows nothing of any one loss: it is handed one, and what a detector would hand it.
"""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from torch import Tensor

from facings.benchmark.store_process import peak_mib

# Lets Linux forget the highest memory so far (proc(5), clear_refs).
FORGET = "5"


def crowded_frame(count: int, size: int, *, classes: int, rng: np.random.Generator, masks: bool) -> dict[str, Tensor]:
    """Truth of one frame of `size` × `size` pixels with `count` objects shoulder to shoulder, of all sizes: `boxes`
    (count, 4) xyxy, `labels` (count,), with `masks` also their map (size, size) int16, m + 1 at object m."""
    across = int(np.ceil(np.sqrt(count)))
    cell = size / across
    places = np.arange(count)
    centres = (np.stack([places % across, places // across], axis=1) + 0.5) * cell
    sides = cell * rng.uniform(0.6, 1.6, (count, 2))
    boxes = np.clip(np.concatenate([centres - sides / 2, centres + sides / 2], axis=1), 0, size)
    frame = {
        "boxes": torch.from_numpy(boxes.astype(np.float32)),
        "labels": torch.from_numpy(rng.integers(0, classes, count)),
    }
    if masks:
        identities = torch.zeros(size, size, dtype=torch.int16)
        for number, (x1, y1, x2, y2) in enumerate(boxes.round().astype(int).tolist(), start=1):
            identities[y1:y2, x1:x2] = number
        frame["masks"] = identities
    return frame


def loss_memory(
    loss: Callable[..., Mapping[str, Tensor]],
    raw: Mapping[str, Tensor],
    targets: list[dict[str, Tensor]],
    *,
    decode: Callable[[Tensor, Tensor, Tensor], Tensor],
) -> float:
    """MiB that one step of `loss`, forwards and backwards, takes beyond what lay there before. See `DetectionLoss`."""

    def step() -> None:
        loss(raw, targets, decode=decode)["loss"].backward()

    return peak_growth_mib(step)


def peak_growth_mib(work: Callable[[], Any]) -> float:
    """MiB by which this process' memory at its highest during `work` exceeds what it had before.

    Wants a fresh process: memory that was freed before and kept by the allocator is taken again unseen.
    """
    forgets = Path("/proc/self/clear_refs")
    if forgets.exists():
        forgets.write_text(FORGET)
    before = psutil.Process().memory_info().rss / 2**20
    work()
    return peak_mib() - before
