"""What comes between camera and goods: promotion cards, posts of cabinet doors, people. What they hide has no number any more.

Knows nothing of cameras. Lengths are cm of the wall, `scale` pixels a cm.
"""

from collections.abc import Iterable

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageDraw

from facings.data.synthetic.artwork import contrast, written
from facings.data.synthetic.furniture import clear, fill
from facings.data.synthetic.planogram import Card
from facings.data.synthetic.products import Colour
from facings.data.synthetic.sprites import SOLID, Ids, Image, weigh

PAPERS: tuple[Colour, ...] = ((250, 214, 30), (214, 28, 36), (250, 250, 246), (40, 120, 60))
WORDS = ("SALE", "-30%", "2 FOR 1", "NEW", "1+1", "-50%", "OFFER")
POST: Colour = (70, 72, 76)
SKINS: tuple[Colour, ...] = ((236, 190, 160), (206, 152, 116), (150, 104, 74), (92, 62, 46))
CLOTHES: tuple[Colour, ...] = ((40, 44, 60), (120, 30, 34), (96, 104, 92), (28, 28, 30), (60, 92, 140), (186, 178, 164))
HAIRS: tuple[Colour, ...] = ((36, 26, 20), (92, 62, 36), (176, 140, 88), (128, 124, 120))
Points = NDArray[np.float64]


def draw_cards(canvas: Image, ids: Ids, cards: Iterable[Card], scale: float, rng: np.random.Generator) -> None:
    """Cards with a word and a price."""
    for card in cards:
        wide, tall = max(6, round(card.wide * scale)), max(6, round(card.tall * scale))
        paper, word = PAPERS[int(rng.integers(len(PAPERS)))], WORDS[int(rng.integers(len(WORDS)))]
        ink = contrast(paper)
        picture = PillowImage.new("RGBA", (wide, tall), (*paper, 255))
        pen = ImageDraw.Draw(picture)
        if card.round:
            picture.paste((0, 0, 0, 0), (0, 0, wide, tall))
            pen.ellipse((0, 0, wide - 1, tall - 1), fill=(*paper, 255), outline=(*ink, 255), width=max(1, wide // 24))
        written(pen, word, wide / 2, tall * 0.33, wide * 0.76, tall * 0.3, ink, "DejaVuSans-Bold")
        price = f"{int(rng.integers(0, 12))}.{int(rng.integers(0, 10))}9"
        written(pen, price, wide / 2, tall * 0.68, wide * 0.66, tall * 0.34, ink, "DejaVuSans-Bold")
        place = round((card.x - card.wide / 2) * scale), round(card.top * scale)
        _lay(canvas, ids, np.asarray(picture, np.uint8), *place)


def draw_doors(canvas: Image, ids: Ids, doors: Iterable[float], scale: float) -> None:
    """Posts of glass doors, with a handle on each."""
    bottom = canvas.shape[0] / scale
    for x in doors:
        fill(canvas, x - 2.2, 0, x + 2.2, bottom, scale, POST)
        clear(ids, x - 2.2, 0, x + 2.2, bottom, scale)
        fill(canvas, x + 0.6, bottom * 0.36, x + 1.7, bottom * 0.66, scale, (196, 198, 202))


def draw_passer(canvas: Image, ids: Ids, scale: float, rng: np.random.Generator) -> None:
    """Somebody seen from behind at one side of the picture, or a hand that reaches in for something. Nearer than what the camera
    is focused on: soft-edged, and larger than the goods are."""
    height, width = (side / scale for side in canvas.shape[:2])
    layer = np.zeros((*canvas.shape[:2], 4), np.uint8)
    clothes, skin = CLOTHES[int(rng.integers(len(CLOTHES)))], SKINS[int(rng.integers(len(SKINS)))]
    if float(rng.random()) < 0.5:
        _body(layer, width, height, scale, clothes, skin, rng)
    else:
        side = float(rng.choice([-1.0, 1.0]))
        start = np.array([width / 2 + side * width * float(rng.uniform(0.2, 0.6)), height * 1.05])
        end = np.array([width * float(rng.uniform(0.25, 0.75)), height * float(rng.uniform(0.3, 0.75))])
        _arm(layer, start, end, scale, clothes, skin, 5.2)
    rows, columns = np.flatnonzero(layer[..., 3].any(axis=1)), np.flatnonzero(layer[..., 3].any(axis=0))
    if len(rows):
        top, left = max(0, rows[0] - 8), max(0, columns[0] - 8)
        part = layer[top : rows[-1] + 9, left : columns[-1] + 9]
        soft = cv2.GaussianBlur(part, (0, 0), max(0.8, 0.28 * scale))
        _lay(canvas, ids, np.asarray(soft, np.uint8), int(left), int(top), premultiplied=True)


def _body(
    layer: Image, width: float, height: float, scale: float, clothes: Colour, skin: Colour, rng: np.random.Generator
) -> None:
    """Back, neck and head, one arm towards the shelf."""
    side = float(rng.choice([-1.0, 1.0]))
    x = width / 2 + side * width * float(rng.uniform(0.28, 0.5))
    top = height * float(rng.uniform(0.15, 0.5))  # of the head
    size = min(1.0, width / 110) * float(rng.uniform(0.85, 1.1))
    shoulder, half = top + 27 * size, 25 * size
    hair = HAIRS[int(rng.integers(len(HAIRS)))]
    angle = np.linspace(0, np.pi, 16)
    over = np.stack([x - half * np.cos(angle), shoulder + 9 * size - 9 * size * np.sin(angle) ** 0.6], axis=1)
    torso = np.concatenate([over, [[x + half * 1.12, height + 5], [x - half * 1.12, height + 5]]])
    _shape(layer, torso, scale, clothes)
    crease = tuple(round(channel * 0.8) for channel in clothes)
    for place in (-0.45, 0.1, 0.5):
        line = [[x + half * place, shoulder + 12 * size], [x + half * (place + 0.12), height + 5]]
        _stroke(layer, np.array(line), 1.2 * size, scale, crease)
    _shape(layer, _oval(x, shoulder - 1 * size, 7 * size, 7 * size), scale, skin)
    _shape(layer, _oval(x, top + 12 * size, 10 * size, 12.5 * size), scale, hair)
    _shape(layer, _oval(x - 4 * size, top + 8 * size, 4 * size, 5 * size), scale, tuple(min(255, c + 16) for c in hair))
    if float(rng.random()) < 0.6:
        start = np.array([x - side * half * 0.9, shoulder + 10 * size])
        reach = np.array([-side * float(rng.uniform(14, 32)), float(rng.uniform(-12, 18))])
        end = start + reach * size
        _arm(layer, start, end, scale, clothes, skin, 6.5 * size)


def _arm(layer: Image, start: Points, end: Points, scale: float, clothes: Colour, skin: Colour, thick: float) -> None:
    """A sleeve from `start`, and a hand whose fingers end at `end` (cm)."""
    along = (end - start) / max(1e-6, float(np.linalg.norm(end - start)))
    across = np.array([-along[1], along[0]])
    wrist = end - along * thick * 2.4
    _stroke(layer, np.stack([start, wrist - along * thick * 0.7]), thick * 2, scale, clothes)
    lit = tuple(min(255, channel + 14) for channel in clothes)
    _stroke(layer, np.stack([start, wrist - along * thick]) - across * thick * 0.35, thick * 0.6, scale, lit)
    _stroke(layer, np.stack([wrist - along * thick * 0.8, wrist]), thick * 1.25, scale, skin)
    palm = wrist + along * thick * 0.75
    _stroke(layer, np.stack([wrist, palm]), thick * 1.6, scale, skin)
    dark = tuple(round(channel * 0.82) for channel in skin)
    for place in (-0.6, -0.2, 0.2, 0.6):
        root = palm + across * thick * place
        finger = np.stack([root, root + along * thick * (1.5 - 0.5 * abs(place))])
        _stroke(layer, finger + across * 0.12 * thick, thick * 0.4, scale, dark)
        _stroke(layer, finger, thick * 0.38, scale, skin)
    thumb = np.stack([wrist + across * thick * 0.7, palm + across * thick * 1.25])
    _stroke(layer, thumb, thick * 0.45, scale, skin)


def _oval(x: float, y: float, wide: float, tall: float) -> Points:
    angle = np.linspace(0, 2 * np.pi, 28, endpoint=False)
    return np.stack([x + wide * np.cos(angle), y + tall * np.sin(angle)], axis=1)


def _shape(layer: Image, points: Points, scale: float, colour: tuple[int, ...]) -> None:
    cv2.fillPoly(layer, [np.round(points * scale * 16).astype(np.int32)], (*colour, 255), cv2.LINE_AA, 4)


def _stroke(layer: Image, ends: Points, thick: float, scale: float, colour: tuple[int, ...]) -> None:
    first, last = np.round(ends * scale).astype(int).tolist()
    cv2.line(layer, first, last, (*colour, 255), max(1, round(thick * scale)), cv2.LINE_AA)


def _lay(canvas: Image, ids: Ids, sprite: Image, left: int, top: int, *, premultiplied: bool = False) -> None:
    """Blend (h, w, 4) over the picture, where both meet, and take the numbers from what it hides."""
    y1, x1 = max(0, top), max(0, left)
    y2, x2 = min(canvas.shape[0], top + sprite.shape[0]), min(canvas.shape[1], left + sprite.shape[1])
    if y2 <= y1 or x2 <= x1:
        return
    part = np.ascontiguousarray(sprite[y1 - top : y2 - top, x1 - left : x2 - left])
    cover = np.asarray(cv2.extractChannel(part, 3), np.uint8)
    colours = np.asarray(cv2.cvtColor(part, cv2.COLOR_RGBA2RGB), np.uint8)
    if not premultiplied:
        weigh(colours, cover)
    area = canvas[y1:y2, x1:x2]
    weigh(area, np.asarray(cv2.bitwise_not(cover), np.uint8))
    cv2.add(area, colours, dst=area)
    ids[y1:y2, x1:x2][cover > SOLID] = 0
