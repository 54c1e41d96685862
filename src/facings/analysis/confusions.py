"""Which products are taken for which, siblings first told apart, with pictures of both. Knows nothing of files."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from facings.analysis.attribution import FrameAttribution, are_siblings
from facings.analysis.contact_sheet import Plate, lay_out
from facings.structures import Decision

HEIGHT = 260
Box = tuple[float, float, float, float]
Read = Callable[[str], NDArray[np.uint8]]


@dataclass(frozen=True)
class Shown:
    """A product in a picture: `picture` as the reader of pictures knows it, `box` xyxy in its pixels."""

    picture: str
    box: Box


@dataclass(frozen=True)
class Confusion:
    """`truth` was called `answer`, `count` times `of` those that were named; `examples` of it, and where each of the two is
    seen when it is named rightly, or is at least known to stand (None: nowhere)."""

    truth: str
    answer: str
    count: int
    of: int
    siblings: bool
    examples: tuple[Shown, ...]
    truth_seen: Shown | None
    answer_seen: Shown | None


@dataclass(frozen=True)
class AnsweredFrame:
    """What was said of a picture, and what is there: `boxes` (M, 4) xyxy, `products` id or None each; `camera`, `moment`: who
    took it, and when, None where that is not known."""

    picture: str
    decision: Decision
    boxes: NDArray[np.float32]
    products: tuple[str | None, ...]
    attribution: FrameAttribution
    camera: str | None = None
    moment: datetime | None = None


def confusions(
    frames: Sequence[AnsweredFrame], categories: Mapping[str, tuple[str, ...]], *, examples: int = 3
) -> list[Confusion]:
    """Every pair of an enrolled product and the other one that it was named, the most frequent first, siblings before others."""
    pairs: dict[tuple[str, str], list[Shown]] = {}
    named: dict[str, int] = {}
    seen: dict[str, tuple[bool, Shown]] = {}
    for frame in frames:
        shown = zip(
            frame.products, frame.boxes.tolist(), frame.attribution.fates, frame.attribution.answers, strict=True
        )
        for product, box, fate, answer in shown:
            if product is None:
                continue
            x1, y1, x2, y2 = box
            place = Shown(frame.picture, (x1, y1, x2, y2))
            right = fate == "right"
            if product not in seen or (right and not seen[product][0]):
                seen[product] = (right, place)
            named[product] = named.get(product, 0) + (fate in ("right", "sibling", "another product"))
            if fate in ("sibling", "another product"):
                given = frame.decision.items[int(answer)].product_id
                pairs.setdefault((product, str(given)), []).append(place)
    found = [
        Confusion(
            truth,
            answer,
            len(places),
            named[truth],
            are_siblings(truth, answer, categories),
            tuple(places[:examples]),
            _other(seen.get(truth), places),
            _other(seen.get(answer), ()),
        )
        for (truth, answer), places in pairs.items()
    ]
    return sorted(found, key=lambda pair: (-pair.count, not pair.siblings, pair.truth, pair.answer))


def draw_confusions(pairs: Sequence[Confusion], read: Read, *, title: str) -> Image.Image:
    """A sheet: of each pair what was confused, the product that it is, and the one that it was called. `read`: a picture's pixels
    (H, W, 3) uint8."""
    plates = []
    for pair in pairs:
        sides = [
            ("asked", pair.examples[0] if pair.examples else None),
            ("is", pair.truth_seen),
            ("was called", pair.answer_seen),
        ]
        strip = side_by_side([None if place is None else cut(read(place.picture), place.box) for _, place in sides])
        kind = "siblings" if pair.siblings else "not siblings"
        plates.append(
            Plate(strip, (f"is {pair.truth}", f"called {pair.answer}", f"{pair.count} of {pair.of} named, {kind}"))
        )
    return lay_out(plates, title, {})


def cut(image: NDArray[np.uint8], box: Sequence[float], height: int = HEIGHT) -> Image.Image:
    """What is inside a box xyxy, `height` pixels high; one pixel at least, so that a box outside the picture shows its edge."""
    rows, columns = image.shape[:2]
    x1, y1 = (
        int(np.clip(np.floor(value), 0, limit - 1)) for value, limit in zip(box[:2], (columns, rows), strict=True)
    )
    x2, y2 = int(np.clip(np.ceil(box[2]), x1 + 1, columns)), int(np.clip(np.ceil(box[3]), y1 + 1, rows))
    width = int(np.clip(round((x2 - x1) * height / (y2 - y1)), 1, 2 * height))
    return Image.fromarray(image[y1:y2, x1:x2]).resize((width, height), Image.Resampling.BICUBIC)


def side_by_side(pictures: Sequence[Image.Image | None], *, gap: int = 6) -> Image.Image:
    """Pictures of one height in a row; a grey square stands for one that there is not."""
    shown = [picture or Image.new("RGB", (HEIGHT // 2, HEIGHT), "#dddddd") for picture in pictures]
    strip = Image.new("RGB", (sum(p.width for p in shown) + gap * (len(shown) - 1), shown[0].height), "#ffffff")
    left = 0
    for picture in shown:
        strip.paste(picture, (left, 0))
        left += picture.width + gap
    return strip


def _other(found: tuple[bool, Shown] | None, places: Sequence[Shown]) -> Shown | None:
    """Where the product is seen, but not the confused place itself."""
    return None if found is None or found[1] in places else found[1]
