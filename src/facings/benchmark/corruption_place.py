"""What changes where things are, or hides them: a camera that hangs askew, and things between it and the shelf.

Pictures are (H, W, 3) uint8 RGB, boxes (N, 4) float32 xyxy pixels.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from facings.benchmark.corruption_light import Picture
from facings.boxes import Boxes, area, clip

# Of a moved box, the share that must still be in the picture for the object to count.
LEAST_INSIDE = 0.5
# Of a box, the share that must still be seen past what stands before it.
LEAST_SEEN = 0.2
BESIDE = (114, 114, 114)
MOST_PIECES = 200
COLOURS = ((196, 150, 122), (238, 236, 226), (44, 52, 70), (214, 64, 52), (120, 92, 70), (250, 214, 60))


def occlusion(
    image: Picture, boxes: Boxes, level: float, rng: np.random.Generator
) -> tuple[Picture, Boxes, NDArray[np.int64]]:
    """Arms, price cards and goods in somebody's hands cover `level` (0–1) of the picture, or a little more.

    Boxes stay as they are; an object of which less than `LEAST_SEEN` is seen no longer counts.
    """
    height, width = image.shape[:2]
    painted, mask = image.copy(), np.zeros((height, width), np.uint8)
    for _ in range(MOST_PIECES):
        if mask.mean() >= level:
            break
        # As many numbers a piece, whatever it is: a stronger picture begins with the pieces of a weaker one.
        _piece(painted, mask, rng.random(10))
    covered = cv2.integral(mask)
    x1, y1, x2, y2 = np.round(clip(boxes, height, width)).astype(int).T
    hidden = covered[y2, x2] - covered[y1, x2] - covered[y2, x1] + covered[y1, x1]
    share = hidden / np.maximum((x2 - x1) * (y2 - y1), 1)
    kept = np.flatnonzero(share <= 1 - LEAST_SEEN)
    return painted, boxes[kept], kept


def tilt(
    image: Picture, boxes: Boxes, level: tuple[float, float], rng: np.random.Generator
) -> tuple[Picture, Boxes, NDArray[np.int64]]:
    """`level`: degrees that the camera is turned, and the share of the width by which its upper (or lower) edge is narrowed,
    because it looks up or down. The picture keeps its size; beside it all is grey.

    A box becomes the upright box around its moved corners, cut at the border: exact for what is rectangular, too wide for
    what is round. An object of which less than `LEAST_INSIDE` is left in the picture no longer counts.
    """
    height, width = image.shape[:2]
    matrix = tilt_matrix(height, width, level, rng)
    moved = cv2.warpPerspective(
        image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=BESIDE
    )
    if not len(boxes):
        return moved.astype(np.uint8), boxes, np.zeros(0, np.int64)
    corners = boxes[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 1, 2).astype(np.float64)
    points = cv2.perspectiveTransform(corners, matrix).reshape(-1, 4, 2)
    hulls = np.concatenate([points.min(axis=1), points.max(axis=1)], axis=1).astype(np.float32)
    inside = clip(hulls, height, width)
    kept = np.flatnonzero(area(inside) >= LEAST_INSIDE * np.maximum(area(hulls), 1e-6))
    return moved.astype(np.uint8), inside[kept], kept


def tilt_matrix(height: int, width: int, level: tuple[float, float], rng: np.random.Generator) -> NDArray[np.float64]:
    """(3, 3) that takes a point of the straight picture to its place in the tilted one, both in pixels."""
    degrees, narrowed = level
    turn, look = rng.random(2)
    angle = np.radians(degrees if turn < 0.5 else -degrees)
    middle = np.array([width / 2, height / 2])
    corners = np.array([[0, 0], [width, 0], [width, height], [0, height]], np.float64)
    bent = corners - middle
    bent[[0, 1] if look < 0.5 else [2, 3], 0] *= 1 - narrowed
    turned = bent @ np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]]) + middle
    return np.asarray(cv2.getPerspectiveTransform(corners.astype(np.float32), turned.astype(np.float32)), np.float64)


def _piece(image: Picture, mask: NDArray[np.uint8], drawn: NDArray[np.float64]) -> None:
    """Draw one piece into picture and mask, in place. `drawn` (10,): 0–1, all that is left to chance."""
    height, width = mask.shape
    short = min(height, width)
    kind, x, y, size, turn, colour, shade, reach, *_ = drawn.tolist()
    paint = (np.array(COLOURS[int(colour * len(COLOURS))]) * (0.75 + 0.35 * shade)).clip(0, 255)
    shape, detail = np.zeros_like(mask), np.zeros_like(mask)
    if kind < 0.4:  # an arm that reaches in from below or from a side
        thick = max(2, round((0.05 + 0.05 * size) * short))
        start = (
            (round(x * width), height) if turn < 0.6 else (0 if turn < 0.8 else width, round((0.3 + 0.7 * y) * height))
        )
        end = (round((0.15 + 0.7 * reach) * width), round((0.25 + 0.55 * y) * height))
        cv2.line(shape, start, end, 1, thick, cv2.LINE_8)
        cv2.circle(shape, end, round(0.7 * thick), 1, -1)
    elif kind < 0.75:  # a card with lines of print, aslant
        sides = ((0.1 + 0.1 * size) * short, (0.07 + 0.06 * size) * short)
        place = (x * width, y * height)
        cv2.fillConvexPoly(shape, cv2.boxPoints((place, sides, (turn - 0.5) * 40)).astype(np.int32), 1)
        for line in (-0.25, 0.1):
            bar = (place[0], place[1] + line * sides[1])
            cv2.fillConvexPoly(
                detail, cv2.boxPoints((bar, (0.7 * sides[0], 0.14 * sides[1]), (turn - 0.5) * 40)).astype(np.int32), 1
            )
    else:  # something round
        axes = (round((0.05 + 0.06 * size) * short), round((0.06 + 0.07 * reach) * short))
        cv2.ellipse(shape, (round(x * width), round(y * height)), axes, turn * 180, 0, 360, 1, -1)
    image[shape > 0] = paint.astype(np.uint8)
    image[(shape > 0) & (detail > 0)] = (paint * 0.35).astype(np.uint8)
    np.maximum(mask, shape, out=mask)
