"""Drawings of goods, kept at the sizes that scenes ask for. Knows nothing of shelves.

A piece is scaled down from the next larger of a ladder of sizes, so that one step of bilinear sampling is enough; what is not
asked for any longer makes room.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable

import cv2
import numpy as np
from numpy.typing import NDArray

Image = NDArray[np.uint8]
LEAST = 24  # pixels: the ladder's first step
MOST_BYTES = 384 * 2**20


class Stock:
    """Sprites by name and height; at most `most` bytes of them, but for the newest."""

    def __init__(self, most: int = MOST_BYTES) -> None:
        self._kept: OrderedDict[Hashable, Image] = OrderedDict()
        self._most, self._bytes = most, 0

    def drawn(self, name: Hashable, height: float, draw: Callable[[int], Image]) -> Image:
        """At least `height` pixels high; `draw` is given an octave of the ladder and draws that high."""
        octave = step(height, 2)
        return self._finer((name, octave), lambda: draw(octave), height)

    def scaled(self, name: Hashable, height: float, draw: Callable[[], Image]) -> Image:
        """The same of what is drawn at one size only, which is returned where it is smaller than `height`."""
        return self._finer(name, draw, height)

    def _finer(self, name: Hashable, draw: Callable[[], Image], height: float) -> Image:
        whole = self._keep((name, None), draw)
        tall = step(height, 2**0.5)
        if tall >= len(whole):
            return whole
        size = (max(4, round(whole.shape[1] * tall / len(whole))), tall)
        return self._keep(
            (name, tall), lambda: np.asarray(cv2.resize(whole, size, interpolation=cv2.INTER_AREA), np.uint8)
        )

    def _keep(self, name: Hashable, make: Callable[[], Image]) -> Image:
        if name in self._kept:
            self._kept.move_to_end(name)
            return self._kept[name]
        made = self._kept[name] = make()
        self._bytes += made.nbytes
        while self._bytes > self._most and len(self._kept) > 1:
            self._bytes -= self._kept.popitem(last=False)[1].nbytes
        return made


def step(height: float, ratio: float) -> int:
    """The first step of the ladder, whose steps grow by `ratio`, that is `height` pixels or more.

    >>> step(24, 2), step(25, 2), step(25, 2**0.5)
    (24, 48, 34)
    """
    count = max(0, int(np.ceil(np.log(height / LEAST) / np.log(ratio) - 1e-6)))
    return int(np.ceil(LEAST * ratio**count - 1e-6))
