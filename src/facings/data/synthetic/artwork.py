"""What is printed on a pack's front: ground, layout, a picture of what is inside, brand, flavour, small print, bar code.

Knows nothing of a pack's shape and light. The members of a family draw the same numbers, so that they share everything but the
colour and the word of their flavour.
"""

from functools import lru_cache
from pathlib import Path

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from facings.data.synthetic.products import Colour, Product

# Of matplotlib's package, which every training has; None is the face that Pillow brings along.
FACES = (
    None, "DejaVuSans-Bold", "DejaVuSans-BoldOblique", "DejaVuSerif-Bold", "DejaVuSerif-BoldItalic", "DejaVuSansMono-Bold",
    "STIXGeneralBol", "STIXGeneralBolIta", "cmss10",
)  # fmt: skip
# What lies in the picture: dough and crisps, roasted, cream, leaves, red fruit, dark fruit.
FOODS: tuple[Colour, ...] = (
    (236, 190, 92), (166, 104, 54), (246, 228, 190), (96, 150, 60), (206, 54, 46), (92, 46, 86),
)  # fmt: skip
LIGHT: Colour = (255, 250, 230)
SHADE: Colour = (60, 30, 10)
BADGES = ("NEW", "BIO", "-20%", "0%", "XXL", "2 FOR 1")
# EAN-13: seven modules a digit, 1 is a bar; set A, of which C is the complement and B is C read backwards (GS1 General
# Specifications, 5.2.1). The first digit is told by which of A and B the left half takes.
_SET_A = ("0001101", "0011001", "0010011", "0111101", "0100011", "0110001", "0101111", "0111011", "0110111", "0001011")
_FIRST = ("AAAAAA", "AABABB", "AABBAB", "AABBBA", "ABAABB", "ABBAAB", "ABBBAA", "ABABAB", "ABABBA", "ABBABA")


def label(product: Product, wide: int, tall: int, rng: np.random.Generator) -> Image.Image:
    """The printed front, RGB."""
    ground, second, flavour = product.colours
    brand, sort, word = product.words
    picture = _ground(wide, tall, ground, rng)
    pen = ImageDraw.Draw(picture)
    _layout(pen, wide, tall, flavour, second, rng)
    food_at, food_size = float(rng.uniform(0.5, 0.64)), float(rng.uniform(0.28, 0.44))
    # Below the lid of a jar; a bottle's label is the whole artwork.
    brand_at = 0.36 if product.kind == "jar" else float(rng.uniform(0.17, 0.27))
    heap(pen, wide / 2, tall * food_at, min(wide, tall) * food_size, flavour, rng)
    face, other = (FACES[int(index)] for index in rng.integers(len(FACES), size=2))
    slant = float(rng.choice([0.0, 0.0, -6.0, 5.0, 9.0]))
    _brand(picture, brand, brand_at, face, slant, ground, second, rng)
    sort_at = brand_at + 0.13
    written(pen, sort, wide / 2, tall * sort_at, wide * 0.7, tall * 0.065, contrast(ground), other)
    _flavour(pen, word, wide, tall, flavour, other, rng)
    _small_print(pen, wide, tall, flavour, rng)
    if float(rng.random()) < 0.45:
        _badge(pen, wide, tall, second, rng)
    if product.gtin and float(rng.random()) < 0.2:
        bars = Image.fromarray(np.uint8(255 - 235 * bar_code(product.gtin)))
        size = (max(8, round(wide * 0.26)), max(4, round(tall * 0.06)))
        picture.paste(bars.resize(size, Image.Resampling.BOX).convert("RGB"), (round(wide * 0.69), round(tall * 0.89)))
    return picture


def heap(
    pen: ImageDraw.ImageDraw,
    x: float,
    y: float,
    r: float,
    flavour: Colour,
    rng: np.random.Generator,
    *,
    bowl: bool = True,
) -> None:
    """A heap of food within `r` pixels of (x, y), seldom in a `bowl`: crisps, balls, sticks or leaves, each lit from above."""
    kind = int(rng.integers(4))
    food = mix(FOODS[int(rng.integers(len(FOODS)))], flavour, 0.3)
    count = int(rng.integers(14, 40))
    if bowl and float(rng.random()) < 0.4:
        glaze = mix(flavour, LIGHT, float(rng.choice([0.1, 0.85])))
        pen.pieslice((x - r, y - r * 0.7, x + r, y + r * 1.1), 0, 180, fill=glaze, outline=mix(glaze, SHADE, 0.3))
    places = np.stack([rng.normal(size=count) * 0.42, rng.normal(size=count) * 0.34], axis=1).clip(-1, 1) * r
    for dx, dy in places[np.argsort(places[:, 1])].tolist():
        tone = float(rng.uniform(-0.25, 0.25))
        colour = mix(food, (255, 248, 226) if tone > 0 else (40, 20, 10), abs(tone))
        size = r * float(rng.uniform(0.16, 0.32))
        turn = float(rng.uniform(0, np.pi))
        # From its shadow to where the light falls.
        tones = (mix(colour, SHADE, 0.3), colour, mix(colour, LIGHT, 0.2), mix(colour, LIGHT, 0.45))
        for toned, scale, lift in zip(tones, (1.08, 1.0, 0.7, 0.4), (-0.06, 0.0, 0.14, 0.24), strict=True):
            outline = _form(kind, turn) * size * scale
            pen.polygon([(x + dx + px, y + dy + py - lift * size) for px, py in outline.tolist()], fill=toned)


def bar_code(gtin: str) -> NDArray[np.float64]:
    """(1, 95) modules of an EAN-13, 1 for a bar."""
    left = [
        _SET_A[int(d)] if kind == "A" else _complement(_SET_A[int(d)])[::-1]
        for d, kind in zip(gtin[1:7], _FIRST[int(gtin[0])], strict=True)
    ]
    right = [_complement(_SET_A[int(d)]) for d in gtin[7:]]
    modules = "101" + "".join(left) + "01010" + "".join(right) + "101"
    return np.array([[float(module) for module in modules]])


def contrast(colour: Colour) -> Colour:
    """Black or white, whichever reads on the colour."""
    luminance = 0.3 * colour[0] + 0.59 * colour[1] + 0.11 * colour[2]
    return (28, 26, 30) if luminance > 140 else (250, 248, 240)


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """`share` (0–1) of the second colour in the first."""
    mixed = [round(a * (1 - share) + b * share) for a, b in zip(first, second, strict=True)]
    return mixed[0], mixed[1], mixed[2]


def _complement(modules: str) -> str:
    return modules.translate(str.maketrans("01", "10"))


def _form(kind: int, turn: float) -> NDArray[np.float64]:
    """(N, 2) outline of one piece about its middle, some two units across."""
    angle = np.linspace(0, 2 * np.pi, 14, endpoint=False)
    wide, high = ((1.25, 0.7), (0.8, 0.8), (1.6, 0.24), (1.3, 0.42))[kind]
    points = np.stack([wide * np.cos(angle), high * np.sin(angle)], axis=1)
    if kind == 3:
        points[:, 1] *= 1 - (points[:, 0] / wide) ** 2  # a leaf runs out into a point at either end
    cos, sin = np.cos(turn), np.sin(turn)
    return points @ np.array([[cos, sin], [-sin, cos]])  # type: ignore[no-any-return]


def _ground(wide: int, tall: int, colour: Colour, rng: np.random.Generator) -> Image.Image:
    """The colour, running into a lighter or darker one along a line, with a glow around the middle."""
    other = mix(colour, (255, 255, 255) if rng.random() < 0.5 else (0, 0, 0), float(rng.uniform(0, 0.45)))
    u, v = np.linspace(-1, 1, wide)[None, :], np.linspace(-1, 1, tall)[:, None]
    turn = float(rng.uniform(0, 2 * np.pi))
    along = np.clip(0.5 + 0.5 * (np.cos(turn) * u + np.sin(turn) * v), 0, 1)[..., None]
    glow = float(rng.choice([0.0, 0.35])) * np.exp(-3 * (u**2 + (v - 0.1) ** 2))[..., None]
    art = np.array(colour) * (1 - along) + np.array(other) * along
    return Image.fromarray(np.uint8(art * (1 - glow) + 255 * glow))


def _layout(
    pen: ImageDraw.ImageDraw, wide: int, tall: int, flavour: Colour, second: Colour, rng: np.random.Generator
) -> None:
    layout = int(rng.integers(7))
    if layout == 0:
        pen.rectangle((0, tall * 0.38, wide, tall), fill=flavour)
        pen.rectangle((0, tall * 0.38, wide, tall * 0.4), fill=second)
    elif layout == 1:
        pen.polygon([(0, tall * 0.5), (wide, tall * 0.3), (wide, tall * 0.75), (0, tall * 0.95)], fill=flavour)
    elif layout == 2:
        pen.rectangle((0, tall * 0.72, wide, tall), fill=flavour)
        pen.rectangle((0, 0, wide, tall * 0.08), fill=flavour)
        for stripe in range(0, wide, max(6, wide // 9)):
            pen.rectangle((stripe, tall * 0.08, stripe + wide // 26, tall * 0.72), fill=second)
    elif layout == 3:
        pen.ellipse((-wide * 0.3, tall * 0.33, wide * 1.3, tall * 1.2), fill=flavour)
    elif layout == 4:
        rays = int(rng.integers(9, 16))
        for ray in range(rays):
            a, b = 2 * np.pi * ray / rays, 2 * np.pi * (ray + 0.5) / rays
            far = wide + tall
            tips = [(wide / 2 + far * np.cos(t), tall * 0.55 + far * np.sin(t)) for t in (a, b)]
            pen.polygon([(wide / 2, tall * 0.55), *tips], fill=flavour)
    elif layout == 5:
        x = np.linspace(0, wide, 40)
        shift = float(rng.uniform(0, 6))
        for level, colour in ((0.42, second), (0.47, flavour)):
            y = tall * (level + 0.07 * np.sin(x / wide * 5 + shift))
            pen.polygon([*zip(x.tolist(), y.tolist(), strict=True), (wide, tall), (0, tall)], fill=colour)
    # The seventh layout is the bare ground.


def _brand(
    picture: Image.Image, text: str, at: float, face: str | None, slant: float, ground: Colour, second: Colour,
    rng: np.random.Generator,
) -> None:  # fmt: skip
    """The brand's name, bare, outlined, or on a banner, seldom level."""
    wide, tall = picture.size
    style = int(rng.integers(4))
    layer = Image.new("RGBA", (wide, round(tall * 0.24)), (0, 0, 0, 0))
    pen = ImageDraw.Draw(layer)
    x, y = layer.width / 2, layer.height / 2
    inside = (wide * 0.06, layer.height * 0.14, wide * 0.94, layer.height * 0.86)
    colour = contrast(ground)
    if style == 1:
        pen.rounded_rectangle(inside, radius=layer.height * 0.2, fill=(*second, 255))
        colour = contrast(second)
    elif style == 2:
        pen.ellipse(inside, fill=(*second, 255), outline=(*contrast(second), 255), width=max(1, tall // 200))
        colour = contrast(second)
    room = wide * (0.86 if style in (0, 3) else 0.74)
    edge = second if style == 3 else None
    written(pen, text, x, y, room, tall * (0.15 if style in (0, 3) else 0.11), colour, face, edge)
    layer = layer.rotate(slant, Image.Resampling.BILINEAR, expand=True)
    picture.paste(layer, (round((wide - layer.width) / 2), round(tall * at - layer.height / 2)), layer)


def _flavour(
    pen: ImageDraw.ImageDraw,
    word: str,
    wide: int,
    tall: int,
    flavour: Colour,
    face: str | None,
    rng: np.random.Generator,
) -> None:
    y = tall * float(rng.uniform(0.76, 0.84))
    ground = flavour
    if float(rng.random()) < 0.5:
        ground = mix(flavour, (255, 255, 255), 0.82) if rng.random() < 0.5 else mix(flavour, (0, 0, 0), 0.5)
        pen.rounded_rectangle((wide * 0.12, y - tall * 0.055, wide * 0.88, y + tall * 0.055), tall * 0.02, fill=ground)
    written(pen, word, wide / 2, y, wide * 0.7, tall * 0.09, contrast(ground), face, ground)


def _small_print(pen: ImageDraw.ImageDraw, wide: int, tall: int, flavour: Colour, rng: np.random.Generator) -> None:
    """Lines too small to read, the weight, and on some packs the row of nutrition values."""
    ink = contrast(flavour)
    weight = f"{int(rng.integers(1, 20)) * 50} g"
    written(pen, weight, wide * 0.52, tall * 0.925, wide * 0.24, tall * 0.045, ink, None)
    for line in range(3):
        y = tall * (0.9 + 0.02 * line)
        pen.line((wide * 0.08, y, wide * (0.3 + 0.08 * float(rng.random())), y), fill=ink, width=max(1, tall // 240))
    if float(rng.random()) < 0.3:
        for cell in range(5):
            left = wide * (0.08 + 0.1 * cell)
            box = (left, tall * 0.845, left + wide * 0.085, tall * 0.885)
            pen.rounded_rectangle(box, tall * 0.01, fill=(244, 244, 240), outline=(40, 60, 110))
            pen.line((left + wide * 0.02, tall * 0.865, left + wide * 0.065, tall * 0.865), fill=(60, 60, 70), width=1)


def _badge(pen: ImageDraw.ImageDraw, wide: int, tall: int, second: Colour, rng: np.random.Generator) -> None:
    """A round sticker, or a ribbon across a corner."""
    text, side = BADGES[int(rng.integers(len(BADGES)))], float(rng.choice([-1, 1]))
    colour: Colour = ((216, 30, 40), (250, 206, 30), second)[int(rng.integers(3))]
    r = min(wide, tall) * 0.13
    x, y = wide / 2 + side * (wide / 2 - r * 1.3), r * 1.5
    if float(rng.random()) < 0.5:
        pen.ellipse((x - r, y - r, x + r, y + r), fill=colour, outline=contrast(colour), width=max(1, int(r / 14)))
        written(pen, text, x, y, r * 1.6, r * 0.6, contrast(colour), FACES[1])
    else:
        corner = wide / 2 + side * wide / 2
        pen.polygon([(corner, 0), (corner - side * r * 3, 0), (corner, r * 3)], fill=colour)


def written(
    pen: ImageDraw.ImageDraw, text: str, x: float, y: float, room: float, tall: float, colour: Colour, face: str | None,
    edge: Colour | None = None,
) -> None:  # fmt: skip
    """Text centred at (x, y), as large as `room` × `tall` pixels allow."""
    font = _font(face, round(max(6, tall)))
    width = pen.textlength(text, font=font)
    if width > room:
        font = _font(face, round(max(6, tall * room / width)))
    stroke = max(1, round(tall / 16)) if edge is not None else 0
    pen.text((x, y), text, fill=colour, font=font, anchor="mm", stroke_width=stroke, stroke_fill=edge)


@lru_cache(maxsize=256)
def _font(face: str | None, size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    if face is None:
        return ImageFont.load_default(size)
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{face}.ttf", size)


def filled(wide: int, tall: int, ground: Colour, colour: Colour, rng: np.random.Generator) -> Image.Image:
    """What the film of a tray shows: one kind of food up to the rim, no print."""
    picture = Image.new("RGB", (wide, tall), ground)
    pen, state = ImageDraw.Draw(picture), int(rng.integers(2**32))
    step = 0.24 * min(wide, tall)
    for y in np.arange(0.16 * tall, 0.86 * tall, step * 0.7).tolist():
        for x in np.arange(0.12 * wide, 0.9 * wide, step).tolist():
            # The same kind of food everywhere.
            heap(pen, x + float(rng.normal()) * step * 0.2, y, step, colour, np.random.default_rng(state), bowl=False)
    return picture
