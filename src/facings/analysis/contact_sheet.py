"""Marked pictures side by side on one sheet. Knows nothing of what the marks mean."""

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import matplotlib
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from facings.masks import CropMask

Line = Literal["solid", "dashed", "thin"]
Rectangle = tuple[float, float, float, float]
SHEET, MARGIN, GAP = 2400, 28, 20
# Widest picture as a multiple of its height.
WIDEST = 1.7
TITLE_SIZE, CAPTION_SIZE, LABEL_SIZE = 34, 22, 16
# Of a line of the legend, and what it may take beside narrow pictures.
LEGEND_ROW, LEAST_LEGEND = 32, 900
PAPER, INK = "#ffffff", "#222222"
# What a caption may take beside a narrow picture: words broken into letters are not read.
CAPTION_ROOM = 300
# Where a file's name is broken.
JOINTS = "_-/"
# Of the mask's colour; the picture shows through.
OPACITY = 0.42
# Pixels that a label may be wide, if its box is not wider: as it should be, and where that finds no room.
LABEL_ROOM = (280, 84)


@dataclass(frozen=True)
class Mark:
    """How one kind of thing is drawn."""

    colour: str
    line: Line = "solid"


class MarkedPicture:
    """A picture (H, W, 3) uint8 drawn `height` pixels high, and marks on it in the picture's own pixels.

    Labels never cover each other: one that finds no room near its box is left out, so the most important come first.
    `labels`: what they cover so far, xyxy in pixels of the drawn `picture`.
    """

    def __init__(self, image: NDArray[np.uint8], height: int) -> None:
        self.scale = min(height / image.shape[0], WIDEST * height / image.shape[1])
        size = (max(1, round(image.shape[1] * self.scale)), max(1, round(image.shape[0] * self.scale)))
        self.picture = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS)
        self.labels: list[Rectangle] = []

    def fill(self, mask: CropMask, colour: str) -> None:
        """The mask translucent, with a firm edge."""
        rows, columns = mask.bits.shape
        if not mask.bits.any():
            return
        left, top = round(mask.left * self.scale), round(mask.top * self.scale)
        right, bottom = round((mask.left + columns) * self.scale), round((mask.top + rows) * self.scale)
        bits = Image.fromarray(mask.bits.astype(np.uint8) * 255)
        inside = bits.resize((max(1, right - left), max(1, bottom - top)), Image.Resampling.BILINEAR)
        inside = inside.point(lambda value: 255 if value >= 128 else 0)
        framed = Image.new("L", (inside.width + 4, inside.height + 4))
        framed.paste(inside, (2, 2))
        core = np.asarray(framed.filter(ImageFilter.MinFilter(3)))[2:-2, 2:-2]
        alpha = np.where(core > 0, round(255 * OPACITY), np.asarray(inside)).astype(np.uint8)
        self.picture.paste(colour, (left, top), Image.fromarray(alpha))

    def box(self, box: NDArray[Any], mark: Mark) -> None:
        """A rectangle, xyxy; its line gets thinner on small boxes. Thin and dashed ones have a dark ground of their own."""
        x1, y1, x2, y2 = (float(value) * self.scale for value in box)
        x2, y2 = max(x1, x2), max(y1, y2)
        pen = ImageDraw.Draw(self.picture)
        if mark.line == "thin":
            pen.rectangle((x1 - 1, y1 - 1, x2 + 1, y2 + 1), outline=INK)
            pen.rectangle((x1, y1, x2, y2), outline=mark.colour)
            return
        width = int(np.clip(min(x2 - x1, y2 - y1) / 14, 2, 4))
        pen.rectangle((x1, y1, x2, y2), outline=INK if mark.line == "dashed" else mark.colour, width=width)
        if mark.line == "dashed":
            corners = [(x1, y1), (x2 - width + 1, y1), (x2 - width + 1, y2 - width + 1), (x1, y2 - width + 1)]
            for start, end in zip(corners, [*corners[1:], corners[0]], strict=True):
                _dashes(pen, start, end, mark.colour, width)

    def label(self, box: NDArray[Any], text: str, colour: str, *, within: bool = False) -> None:
        """`text` on a ground of `colour`, at the upper edge of a box or outside a small one, shortened if need be.

        `within`: leave it out where it is wider than its box.
        """
        x1, y1, x2, y2 = (float(value) * self.scale for value in box)
        y1, y2 = max(0.0, y1), min(float(self.picture.height), y2)
        pen, letters, height = ImageDraw.Draw(self.picture), font(LABEL_SIZE), LABEL_SIZE + 6
        tops = (y1 - height, y2, y1, y2 - height) if y2 - y1 < 4 * height else (y1, y1 - height, y2 - height, y2)
        for room in (0,) if within else LABEL_ROOM:
            short = shorten(text, max(x2 - x1, room) - 8, LABEL_SIZE)
            width = pen.textlength(short, font=letters) + 8
            left = min(max(0.0, x1), self.picture.width - width)
            if within and short != text:
                return
            for top in tops:
                place = (left, top, left + width, top + height)
                inside = left >= 0 and top >= 0 and top + height <= self.picture.height
                if inside and not any(_meet(place, other) for other in self.labels):
                    self.labels.append(place)
                    pen.rectangle(place, fill=colour)
                    pen.text((left + 4, top + height / 2), short, fill=readable_on(colour), font=letters, anchor="lm")
                    return


@dataclass(frozen=True)
class Plate:
    """One picture of a sheet, and the lines of text below it."""

    picture: Image.Image
    caption: Sequence[str]


def lay_out(plates: Sequence[Plate], title: str, legend: Mapping[str, Mark]) -> Image.Image:
    """The plates in lines from left to right under a title and a legend (what is drawn → its mark)."""
    lines = _lines(plates)
    texts = [max(len(_wrapped(plate)) for plate in line) for line in lines]
    heights = [max(plate.picture.height for plate in line) for line in lines]
    width = max((sum(map(_column, line)) + GAP * (len(line) - 1) for line in lines), default=0)
    rows = _legend_rows(legend, max(width, LEAST_LEGEND))
    head = MARGIN + TITLE_SIZE + 18 + (len(rows) * LEGEND_ROW + 22 - (LEGEND_ROW - CAPTION_SIZE) if legend else 0)
    body = sum(height + 8 + text * (CAPTION_SIZE + 6) + GAP for height, text in zip(heights, texts, strict=True))
    least = max(*(sum(map(_entry_width, row)) for row in rows), round(_length(title, TITLE_SIZE)))
    sheet = Image.new("RGB", (max(width, least) + 2 * MARGIN, head + body + MARGIN - GAP), PAPER)
    pen = ImageDraw.Draw(sheet)
    pen.text((MARGIN, MARGIN), title, fill=INK, font=font(TITLE_SIZE))
    for number, row in enumerate(rows):
        _draw_legend(pen, row, MARGIN + TITLE_SIZE + 18 + number * LEGEND_ROW)
    top = head
    for line, height, text in zip(lines, heights, texts, strict=True):
        left = MARGIN
        for plate in line:
            sheet.paste(plate.picture, (left, top))
            for number, words in enumerate(_wrapped(plate)):
                place = (left, top + plate.picture.height + 8 + number * (CAPTION_SIZE + 6))
                pen.text(place, words, fill=INK, font=font(CAPTION_SIZE))
            left += _column(plate) + GAP
        top += height + 8 + text * (CAPTION_SIZE + 6) + GAP
    return sheet


def jpeg(sheet: Image.Image) -> bytes:
    """The sheet as the content of a JPEG file."""
    buffer = io.BytesIO()
    sheet.save(buffer, "JPEG", quality=90, optimize=True)
    return buffer.getvalue()


@cache
def font(size: int) -> ImageFont.FreeTypeFont:
    """DejaVu Sans, which matplotlib brings along: it has the letters of most languages that shops are run in."""
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)


def shorten(text: str, room: float, size: int) -> str:
    """The text, or as much of its beginning as fits into `room` pixels."""
    if _length(text, size) <= room:
        return text
    while len(text) > 1 and _length(f"{text}…", size) > room:
        text = text[:-1].rstrip()
    return f"{text}…"


def readable_on(colour: str) -> str:
    """Black or white, whichever stands out on a colour like `#009e73`."""
    light = sum(int(colour[i : i + 2], 16) * weight for i, weight in ((1, 0.3), (3, 0.59), (5, 0.11)))
    return "#000000" if light > 120 else "#ffffff"


def _lines(plates: Sequence[Plate]) -> list[list[Plate]]:
    """The plates in order, in as few lines as the sheet's width allows, those filled alike."""
    least = len(_filled(plates, SHEET))
    for room in range(0, SHEET, 40):
        lines = _filled(plates, room)
        if len(lines) == least:
            return lines
    return _filled(plates, SHEET)


def _filled(plates: Sequence[Plate], room: int) -> list[list[Plate]]:
    """Lines of at most `room` pixels, one plate at least in each."""
    lines: list[list[Plate]] = []
    used = 0
    for plate in plates:
        used += GAP + _column(plate)
        if not lines or used > room:
            lines.append([])
            used = _column(plate)
        lines[-1].append(plate)
    return lines


def _column(plate: Plate) -> int:
    """Pixels that a plate takes: its picture, or its caption up to `CAPTION_ROOM` where that is wider."""
    longest = max((_length(text, CAPTION_SIZE) for text in plate.caption), default=0.0)
    return max(plate.picture.width, min(CAPTION_ROOM, math.ceil(longest)))


def _wrapped(plate: Plate) -> list[str]:
    """The caption's lines broken to the plate's width: at spaces, and in a word that is too long for a line behind a joint of a
    file's name, where there is one."""
    lines: list[str] = []
    room = _column(plate)
    for text in plate.caption:
        line = ""
        for word in text.split(" "):
            longer = f"{line} {word}" if line else word
            if line and _length(longer, CAPTION_SIZE) > room:
                lines.append(line)
                longer = word
            while _length(longer, CAPTION_SIZE) > room and len(longer) > 1:
                fits = max(1, len(shorten(longer, room, CAPTION_SIZE)) - 1)
                joint = 1 + max(longer.rfind(mark, 0, fits) for mark in JOINTS)
                fits = joint if joint > fits // 2 else fits
                lines.append(longer[:fits])
                longer = longer[fits:]
            line = longer
        lines.append(line)
    return lines


def _draw_legend(pen: ImageDraw.ImageDraw, legend: Mapping[str, Mark], top: int) -> None:
    left = MARGIN
    for text, mark in legend.items():
        place = (left, top + 2, left + 36, top + CAPTION_SIZE)
        if mark.line == "dashed":
            pen.rectangle(place, fill=mark.colour)
            for x in range(left + 8, left + 36, 13):
                pen.rectangle((x, top + 2, x + 4, top + CAPTION_SIZE), fill=INK)
        elif mark.line == "thin":
            pen.rectangle(place, fill="#777777")
            pen.rectangle((left + 6, top + 7, left + 30, top + CAPTION_SIZE - 5), outline=mark.colour)
        else:
            pen.rectangle(place, fill=mark.colour)
        pen.text((left + 46, top + CAPTION_SIZE / 2 + 1), text, fill=INK, font=font(CAPTION_SIZE), anchor="lm")
        left += _entry_width(text)


def _legend_rows(legend: Mapping[str, Mark], room: int) -> list[dict[str, Mark]]:
    """The legend in rows of at most `room` pixels, an entry at least in each."""
    rows: list[dict[str, Mark]] = [{}]
    for text, mark in legend.items():
        if rows[-1] and sum(map(_entry_width, (*rows[-1], text))) > room:
            rows.append({})
        rows[-1][text] = mark
    return rows


def _entry_width(text: str) -> int:
    return round(_length(text, CAPTION_SIZE)) + 46 + 36


def _length(text: str, size: int) -> float:
    return font(size).getlength(text)


def _dashes(
    pen: ImageDraw.ImageDraw, start: tuple[float, float], end: tuple[float, float], colour: str, width: int
) -> None:
    """Dashes from corner to corner, as filled rectangles of the line's width."""
    (ax, ay), (bx, by) = start, end
    length = max(abs(bx - ax), abs(by - ay), 1.0)
    dash = 5.0 * width
    for begin in np.arange(0, length, 1.6 * dash):
        a, b = begin / length, min(1.0, (begin + dash) / length)
        xs, ys = sorted((ax + (bx - ax) * a, ax + (bx - ax) * b)), sorted((ay + (by - ay) * a, ay + (by - ay) * b))
        pen.rectangle((xs[0], ys[0], xs[1] + width - 1, ys[1] + width - 1), fill=colour)


def _meet(first: Rectangle, second: Rectangle) -> bool:
    return first[0] < second[2] and second[0] < first[2] and first[1] < second[3] and second[1] < first[3]
