"""Pictures that are the same or nearly so, among tens of thousands. Knows nothing of splits and labels.

A perceptual hash of 64 bits (the signs of the lowest frequencies of the cosine transform; Zauner: "Implementation and
benchmarking of perceptual image hash functions", 2010) proposes pairs, the thumbnails decide.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SIDE, LOW = 32, 8
# The hash has eight bands of eight bits: two hashes that differ in at most seven bits agree in a band at least.
BANDS, DISTANCE = 8, 7
# Thumbnails that correlate by this much or more count as near-identical: copies that were re-encoded, scaled, brightened or cut by
# a hundredth of their sides, and bursts of one scene. Chosen by eye: of Grocery Store and ai231_grocery_masks all such pairs under
# one label show one scene, of rendered shelves no pair comes near.
CORRELATION = 0.94
BLOCK = 1 << 22
# Thumbnails with less contrast than this say nothing: their hash is noise.
FLAT = 3.0


@dataclass(frozen=True)
class Pair:
    """Two near-identical pictures, first < second, their hashes `apart` bits apart; `mirrored`: once one of them is turned left to
    right, and not as they are."""

    first: int
    second: int
    apart: int
    mirrored: bool

    @property
    def detail(self) -> str:
        """In words."""
        return f"{'mirrored, ' if self.mirrored else ''}{self.apart} of 64 bits apart"


def perceptual_hash(thumb: NDArray[np.uint8]) -> int:
    """(32, 32) gray → 64 bits: whether each of the lowest 8 × 8 frequencies, without the mean, is above their median."""
    frequencies = _COSINES @ thumb.astype(np.float64) @ _COSINES.T
    low = frequencies.ravel()
    # The mean of the picture says how bright it is, not what it shows.
    bits = low > np.median(low[1:])
    bits[0] = False
    return int(np.packbits(bits).view(">u8")[0])


def near_pairs(thumbs: Sequence[NDArray[np.uint8]]) -> Iterator[Pair]:
    """Pairs of pictures that are near-identical as they are, or mirrored, each once.

    Pairs are looked for within buckets of equal bands; a bucket that holds half of a large set (pictures on white ground)
    is compared in blocks, so memory stays bounded.
    """
    count = len(thumbs)
    plain: set[tuple[int, int]] = set()
    turned: dict[tuple[int, int], int] = {}
    for first, second, apart in _alike([*thumbs, *(thumb[:, ::-1] for thumb in thumbs)]):
        if second < count:
            plain.add((first, second))
            yield Pair(first, second, apart, mirrored=False)
        elif first < count:
            turned.setdefault((min(first, second - count), max(first, second - count)), apart)
    for (first, second), apart in turned.items():
        if first != second and (first, second) not in plain:
            yield Pair(first, second, apart, mirrored=True)


def _alike(thumbs: Sequence[NDArray[np.uint8]]) -> Iterator[tuple[int, int, int]]:
    """(first, second, bits apart) of near-identical thumbnails, first < second, each once."""
    usable = np.array([i for i, thumb in enumerate(thumbs) if thumb.std() >= FLAT], np.int64)
    if len(usable) < 2:
        return
    hashes = np.array([perceptual_hash(thumbs[i]) for i in usable], np.uint64)
    unit = _unit([thumbs[i] for i in usable])
    seen: set[tuple[int, int]] = set()
    for first, second in _candidates(hashes):
        if (first, second) in seen or float(unit[first] @ unit[second]) < CORRELATION:
            continue
        seen.add((first, second))
        apart = int(bit_counts(hashes[first : first + 1] ^ hashes[second : second + 1])[0])
        yield int(usable[first]), int(usable[second]), apart


def bit_counts(values: NDArray[np.uint64]) -> NDArray[np.int64]:
    """How many bits of each value are set.

    >>> bit_counts(np.array([0, 7, 2**63], np.uint64)).tolist()
    [0, 3, 1]
    """
    counts: NDArray[np.int64] = _BITS[np.ascontiguousarray(values).view(np.uint16).reshape(-1, 4)].sum(
        axis=1, dtype=np.int64
    )
    return counts


def _candidates(hashes: NDArray[np.uint64]) -> Iterator[tuple[int, int]]:
    """Pairs at most `DISTANCE` bits apart; a pair comes once for each band that it shares."""
    for band in range(BANDS):
        values = (hashes >> np.uint64(8 * band)) & np.uint64(0xFF)
        order = np.argsort(values, kind="stable")
        edges = np.flatnonzero(np.diff(values[order])) + 1
        for members in np.split(order, edges):
            yield from _close(hashes, members)


def _close(hashes: NDArray[np.uint64], members: NDArray[np.int64]) -> Iterator[tuple[int, int]]:
    step = max(1, BLOCK // len(members))
    for start in range(0, len(members) - 1, step):
        rows, rest = members[start : start + step], members[start:]
        apart = bit_counts((hashes[rows][:, None] ^ hashes[rest][None, :]).ravel()).reshape(len(rows), -1)
        for row, column in np.argwhere(apart <= DISTANCE).tolist():
            if column > row:
                first, second = sorted((int(rows[row]), int(rest[column])))
                yield first, second


def _unit(thumbs: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Thumbnails without their mean and contrast, (N, 1024): the dot product of two is their correlation."""
    flat = np.stack([thumb.ravel() for thumb in thumbs]).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    flat /= np.linalg.norm(flat, axis=1, keepdims=True)
    return flat


def _cosines() -> NDArray[np.float64]:
    """(8, 32): the lowest rows of the cosine transform of second kind."""
    places = np.arange(SIDE) + 0.5
    return np.cos(np.pi / SIDE * np.arange(LOW)[:, None] * places[None, :])


_COSINES = _cosines()
_BITS = np.array([bin(value).count("1") for value in range(1 << 16)], np.uint8)
