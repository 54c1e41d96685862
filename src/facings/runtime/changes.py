"""What changed in the picture of a camera that stands still: cell by cell against a reference, whatever the light does.

Knows nothing of products. A cell is a square of a few pixels, of which only the mean colour is kept: cheap, and sensor noise
averages out. The reference is no running mean: a cell's is replaced only when what lies on it is recognised anew, so that
nothing drifts; what changes slowly adds up until it counts.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facings.errors import ConfigError

Means = NDArray[np.float32]
Cells = NDArray[np.bool_]
# Of the luma of ITU-R BT.601, and what is left of each channel beside it.
LUMA = np.array([0.299, 0.587, 0.114], np.float32)
# Cells that the light is fitted to, at most, and how often those that do not fit are left out.
FITTED, ROUNDS = 2048, 4
# The fit leaves out what lies further than so many standard deviations; one deviation is 1.4826 median absolute ones.
OUTLYING, DEVIATION = 3.0, 1.4826


@dataclass(frozen=True)
class Sensitivity:
    """When a cell counts as changed. `cell`: its side in pixels; `level`: what the mean colour must differ by, in levels of 255;
    `noise`: and by how many standard deviations of what all cells differ by, so that a noisy camera is not all change (but
    never more than 3 × `level`); `settled`: share of that above which a neighbour of a changed cell counts too, and a cell that
    changed does not count as still; `frames`: for so many on end, 1 for at once; `light`: largest gain, and 1/smallest, of
    the whole picture's light that is no change."""

    cell: int = 8
    level: float = 6.0
    noise: float = 6.0
    settled: float = 0.5
    frames: int = 1
    light: float = 1.3

    def __post_init__(self) -> None:
        if not 2 <= self.cell <= 256 or self.frames < 1:
            raise ConfigError(f"cell is {self.cell}, frames {self.frames}; expected 2 to 256 pixels, 1 frame or more")
        if not self.level > 0 or not self.noise >= 0 or not 0 < self.settled <= 1 or not self.light >= 1:
            raise ConfigError(
                f"level is {self.level}, noise {self.noise}, settled {self.settled}, light {self.light}; "
                "expected above 0, 0 or more, above 0 to 1, 1 or more"
            )


@dataclass(frozen=True)
class Light:
    """Channel by channel (3,): now = gain × reference + offset, levels of 255."""

    gain: Means
    offset: Means

    def seen(self, reference: Means) -> Means:
        """What the reference would look like in this light, cut at black and white."""
        found: Means = np.clip(reference * self.gain + self.offset, 0, 255)
        return found

    def within(self, limit: float) -> bool:
        """Whether every gain, and what becomes of mid-grey, lies between 1 / `limit` and `limit`."""
        middle = self.gain + self.offset / 128
        return all(bool(((part <= limit) & (part >= 1 / limit)).all()) for part in (self.gain, middle))

    def undone(self, now: Means) -> Means:
        """What is seen now, as it would look in the reference's light."""
        found: Means = (now - self.offset) / self.gain
        return found


@dataclass(frozen=True)
class Change:
    """`cells` (h, w): those that changed, for so many frames as is asked; `share` 0–1 of them; `beyond`: the light is another by
    more than is tolerated, and the whole picture counts as changed."""

    cells: Cells
    beyond: bool

    @property
    def share(self) -> float:
        return 1.0 if self.beyond else float(self.cells.mean())


class ChangeDetector:
    """Compares the frames of one camera with a reference that it is given part by part. Not for several threads at once."""

    def __init__(self, sensitivity: Sensitivity | None = None) -> None:
        self.sensitivity = sensitivity or Sensitivity()
        self._reference: Means | None = None
        self._count = np.zeros((0, 0), np.int64)

    def restart(self, means: Means) -> None:
        """Take a whole frame as the reference, its light too."""
        self._reference, self._count = means.copy(), np.zeros(means.shape[:2], np.int64)

    def compare(self, means: Means) -> tuple[Change, Light]:
        """`means` (h, w, 3) of a frame, see `cell_means`. Raises ValueError before the first `restart`, and for another shape."""
        if self._reference is None or means.shape != self._reference.shape:
            wanted = None if self._reference is None else self._reference.shape
            raise ValueError(f"the reference is {wanted}, the frame {means.shape}")
        light = fit_light(self._reference, means)
        if not light.within(self.sensitivity.light):
            return Change(np.ones(means.shape[:2], np.bool_), True), light
        apart = difference(means, light.seen(self._reference))
        cut = self._cut(apart)
        low = self.sensitivity.settled * cut
        # Between the two limits a cell is neither: it goes on counting if it did, and does not begin to.
        self._count = np.where(apart > cut, self._count + 1, np.where(apart > low, self._count, 0))
        due = self._count >= self.sensitivity.frames
        # What changed does not end at a limit: neighbours that differ less belong to it.
        cells: Cells = due | (grown(due) & (apart > low)) if due.any() else due
        return Change(cells, False), light

    def accept(self, means: Means, cells: Cells, light: Light) -> None:
        """What lies on `cells` (h, w) was recognised anew: they are the reference from now on, in the first frame's light."""
        assert self._reference is not None
        self._reference[cells] = light.undone(means[cells])
        self._count[cells] = 0

    def _cut(self, apart: Means) -> float:
        level = self.sensitivity.level
        spread = DEVIATION * float(np.median(apart))
        return float(np.clip(self.sensitivity.noise * spread, level, 3 * level))


def cell_means(image: NDArray[np.uint8], cell: int) -> Means:
    """(H, W, 3) uint8 → (⌈H/cell⌉, ⌈W/cell⌉, 3) mean colour of each square, levels of 255.

    Squares that the edge cuts are filled with its last row and column. Sums are exact.
    """
    height, width = image.shape[:2]
    rows, columns = -(-height // cell), -(-width // cell)
    starts = np.arange(rows) * cell
    total = np.zeros((rows, width, 3), np.uint16)  # at most 256 × 255
    for step in range(cell):
        last = starts[-1] + step >= height
        part = image[np.minimum(starts + step, height - 1)] if last else image[step::cell]
        np.add(total, part, out=total)
    if columns * cell > width:
        total = np.pad(total, ((0, 0), (0, columns * cell - width), (0, 0)), mode="edge")
    # A product with ones and zeros adds up the columns faster than a sum over so short an axis.
    adding = np.tile(np.eye(3, dtype=np.float32), (cell, 1)) / np.float32(cell * cell)
    means: Means = (total.reshape(rows * columns, cell * 3).astype(np.float32) @ adding).reshape(rows, columns, 3)
    return means


def difference(first: Means, second: Means) -> Means:
    """(h, w, 3), (h, w, 3) → (h, w): the larger of how far lumas and colours are apart, levels of 255.

    Colours: the channels' differences less that of the luma. By hand: grey 100 against grey 110 differs by 10; a red that is 40
    higher, and nothing else, by 0.299 × 40 = 11.96 in luma and by 28.04 in colour.

    >>> grey, red = np.full((1, 1, 3), 100, np.float32), np.array([[[140, 100, 100]]], np.float32)
    >>> difference(grey, grey + 10).item(), round(difference(grey, red).item(), 2)
    (10.0, 28.04)
    """
    apart = first - second
    luma = apart @ LUMA
    colour = np.abs(apart - luma[..., None]).max(axis=-1)
    found: Means = np.maximum(np.abs(luma), colour)
    return found


def fit_light(reference: Means, means: Means) -> Light:
    """The gain and offset of each channel that most cells agree on.

    Begun by Theil and Sen's median of slopes (Sen, 1968), over pairs of a darker and a brighter cell, and refined by least squares
    over what lies near; a change of up to a quarter of the picture does not disturb it. A picture of one grey has no slope:
    gain 1.

    >>> scene = np.linspace(20, 200, 48, dtype=np.float32).reshape(4, 4, 3)
    >>> light = fit_light(scene, scene * 0.9 + 5)
    >>> light.gain.round(3).tolist(), light.offset.round(2).tolist()
    ([0.8999999761581421, 0.8999999761581421, 0.8999999761581421], [5.0, 5.0, 5.0])
    """
    step = max(1, reference.shape[0] * reference.shape[1] // FITTED)
    before, now = (values.reshape(-1, 3)[::step].astype(np.float64) for values in (reference, means))
    fitted = [_line(before[:, channel], now[:, channel]) for channel in range(3)]
    gain, offset = np.array(fitted, np.float32).T
    return Light(gain, offset)


def _line(before: NDArray[np.float64], now: NDArray[np.float64]) -> tuple[float, float]:
    # Black and white tell of no light: beyond them everything looks alike.
    usable = (now > 2) & (now < 253) & (before > 2) & (before < 253)
    before, now = (before[usable], now[usable]) if usable.sum() >= 8 else (before, now)
    order = np.argsort(before, kind="stable")
    half = len(order) // 2
    low, high = order[:half], order[len(order) - half :]
    rise = before[high] - before[low]
    # Noise alone makes slopes of any size where two cells are nearly alike.
    steep = rise > 16
    if steep.sum() < 4:
        return 1.0, float(np.median(now - before))
    gain = float(np.median((now[high] - now[low])[steep] / rise[steep]))
    offset = float(np.median(now - gain * before))
    for _ in range(ROUNDS):
        off = np.abs(now - gain * before - offset)
        near = off <= max(OUTLYING * DEVIATION * float(np.median(off)), 1.0)
        spread = float(before[near].var())
        if near.sum() < 8 or spread < 16:
            break
        middle = before[near].mean(), now[near].mean()
        gain = float(((before[near] - middle[0]) * (now[near] - middle[1])).mean()) / spread
        offset = float(middle[1] - gain * middle[0])
    return gain, offset


def grown(cells: Cells) -> Cells:
    """(h, w) with all eight neighbours of each."""
    padded = np.pad(cells, 1)
    rows: Cells = padded[:-2] | padded[1:-1] | padded[2:]
    found: Cells = rows[:, :-2] | rows[:, 1:-1] | rows[:, 2:]
    return found


def touched(cells: Cells, boxes: NDArray[np.int64], cell: int) -> NDArray[np.bool_]:
    """(N,): which of the boxes (N, 4), whole pixels xyxy with at least one each, hold a pixel of a cell that is set.

    >>> touched(np.array([[False, True]]), np.array([[0, 0, 8, 8], [0, 0, 9, 8]]), 8).tolist()
    [False, True]
    """
    sums = np.pad(cells.astype(np.int64), ((1, 0), (1, 0))).cumsum(0).cumsum(1)
    left, top = boxes[:, 0] // cell, boxes[:, 1] // cell
    right, bottom = -(-boxes[:, 2] // cell), -(-boxes[:, 3] // cell)
    found: NDArray[np.bool_] = sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left] > 0
    return found
