"""Worst and best pictures, with the truth and what was found drawn on them. Knows nothing of files: pictures are arrays."""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facings.analysis.contact_sheet import Mark, MarkedPicture, Plate, lay_out
from facings.analysis.detection_errors import JudgedPicture
from facings.masks import CropMask

# Told apart also by colour-blind eyes (Okabe, Ito: "Color Universal Design", 2008); the lines differ as well.
MARKS = {
    "right": Mark("#009e73"),
    "missed": Mark("#f0e442", "dashed"),
    "false": Mark("#cc79a7"),
    "doubled": Mark("#56b4e9"),
    "wrong class": Mark("#d55e00"),
}
TRUTH = Mark("#ffffff", "thin")
LEGEND = {
    "right": MARKS["right"],
    "missed: no detection fits it": MARKS["missed"],
    "false: fits no object": MARKS["false"],
    "doubled: a second one on an object": MARKS["doubled"],
    "wrong class": MARKS["wrong class"],
    "truth of what was found": TRUTH,
}
HEIGHT, TALLEST = 620, 860
# Objects up to which a picture of HEIGHT is large enough, and up to which also the right ones are named.
UNCROWDED, NAMED = 40, 25


def draw_judged(
    pictures: Sequence[JudgedPicture],
    read: Callable[[JudgedPicture], NDArray[np.uint8]],
    names: Sequence[str],
    title: str,
) -> Image.Image:
    """A sheet of the pictures, each with its name, F1 and what went wrong. `read`: its pixels (H, W, 3), one at a time."""
    most = max((len(picture.fates) for picture in pictures), default=0)
    height = round(min(TALLEST, HEIGHT * math.sqrt(max(1.0, most / UNCROWDED))))
    plates = []
    for picture in pictures:
        errors = ", ".join(f"{name} {count}".replace(" ", "\u00a0") for name, count in picture.errors.items())
        caption = (
            f"F1\u00a0{picture.f1:.2f}: {picture.right} of {len(picture.fates)} right{'; ' if errors else ''}{errors}"
        )
        drawn = draw_picture(picture, read(picture), names, height)
        plates.append(Plate(drawn, (picture.pair.name, caption)))
    used = {outcome for picture in pictures for outcome in (*picture.outcomes, *picture.fates)}
    legend = {text: mark for text, mark in LEGEND.items() if text.split(":")[0] in used or mark is TRUTH}
    return lay_out(plates, title, legend)


def draw_picture(
    judged: JudgedPicture, image: NDArray[np.uint8], names: Sequence[str], height: int = HEIGHT
) -> Image.Image:
    """One picture: masks filled, boxes in the colour of their judgement, errors named before what is right."""
    truth, found = judged.pair.truth, judged.pair.found
    canvas = MarkedPicture(image, height)
    missed = [number for number, fate in enumerate(judged.fates) if fate == "missed"]
    masks = found.masks() if found.segmentations is not None else []
    for mask, outcome in zip(masks, judged.outcomes, strict=False):
        canvas.fill(mask, MARKS[outcome].colour)
    lost: list[CropMask] = truth.take(np.array(missed, np.int64)).masks() if truth.segmentations is not None else []
    for mask in lost:
        canvas.fill(mask, MARKS["missed"].colour)
    for number, fate in enumerate(judged.fates):
        if fate != "missed":
            canvas.box(truth.boxes[number], TRUTH)
    # Right ones first, so that no error is hidden below them.
    order = sorted(range(len(found)), key=lambda number: judged.outcomes[number] != "right")
    for number in order:
        canvas.box(found.boxes[number], MARKS[judged.outcomes[number]])
    for number in missed:
        canvas.box(truth.boxes[number], MARKS["missed"])
    for number in missed if len(names) > 1 else ():
        canvas.label(truth.boxes[number], names[truth.labels[number]], MARKS["missed"].colour)
    for number in reversed(order):
        text = _label(judged, number, names)
        if text:
            outcome = judged.outcomes[number]
            canvas.label(found.boxes[number], text, MARKS[outcome].colour, within=outcome == "right")
    return canvas.picture


def _label(judged: JudgedPicture, number: int, names: Sequence[str]) -> str:
    """What is written at a detection: its class where there are several, an error's score, the class it should have."""
    outcome, found = judged.outcomes[number], judged.pair.found
    name = names[found.labels[number]] if len(names) > 1 else ""
    if outcome == "right":
        return name if len(judged.fates) <= NAMED else ""
    if outcome == "wrong class":
        return f"{name}, is {names[judged.pair.truth.labels[judged.matched[number]]]}"
    return f"{name} {found.scores[number]:.2f}".strip()
