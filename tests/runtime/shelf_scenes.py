"""Frames of a shelf of coloured cells for the tiny bundle, with what a camera and a shop do to them."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.boxes import iou
from facings.structures import Decision
from tests.benchmark.conftest import CELL, COLOURS

Shelf = dict[tuple[int, int], str]
FULL: Shelf = {(0, 0): "red", (0, 2): "green", (1, 1): "blue", (2, 3): "red", (3, 0): "green"}


def frame(
    shelf: Shelf,
    number: int,
    *,
    size: tuple[int, int] = (96, 96),
    noise: float = 3.0,
    gain: float = 1.0,
    hand: tuple[int, int, int, int] | None = None,
) -> NDArray[np.uint8]:
    """Cells (row, column) → colour on grey, with sensor noise of its own for each `number`; `hand`: a grey part over it all."""
    picture = np.full((*size, 3), 128.0)
    for (row, column), colour in shelf.items():
        picture[CELL * row : CELL * (row + 1), CELL * column : CELL * (column + 1)] = COLOURS[colour]
    if hand is not None:
        x1, y1, x2, y2 = hand
        picture[y1:y2, x1:x2] = (140, 132, 126)
    picture = picture * gain + np.random.default_rng(number).normal(0, noise, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def answers(decision: Decision) -> list[tuple[Any, ...]]:
    """What is decided, whatever the order: place, status, product."""
    return sorted((item.box, item.status, item.product_id or "") for item in decision.items)


def agree(ours: Decision, theirs: Decision, *, pixels: float = 0.0) -> bool:
    """Every item of each has its twin in the other: same answer, same category, corners within `pixels`."""
    if len(ours.items) != len(theirs.items):
        return False
    if not ours.items:
        return True
    boxes = [np.array([item.box for item in d.items], np.float32) for d in (ours, theirs)]
    twins = iou(*boxes).argmax(axis=1)
    return len(set(twins.tolist())) == len(twins) and all(
        (a.status, a.product_id, a.category) == (b.status, b.product_id, b.category)
        and np.abs(np.array(a.box) - b.box).max() <= pixels
        for a, b in zip(ours.items, (theirs.items[i] for i in twins), strict=True)
    )


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]
