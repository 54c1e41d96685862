"""Which crop comes when, and with which random numbers: a function of seed and epoch alone.

Knows nothing of pictures. Because nothing here depends on global state, a resumed run draws what the unbroken run
would have drawn.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch.utils.data import Sampler

from facings.errors import ConfigError


class Draw(NamedTuple):
    """One item of an epoch: its number in the dataset, and the seed of its augmentation."""

    number: int
    seed: int


class PKSampler(Sampler[Draw]):
    """Batches of `products` × `views`: every batch holds several views of each of its products.

    Hermans, Beyer, Leibe: "In Defense of the Triplet Loss for Person Re-Identification", 2017. Here each epoch visits
    every crop once: a product's crops are shuffled and cut into groups of `views` (the last filled up with crops of
    the same product), and groups of different products are dealt into batches. A last, smaller batch is dropped unless
    it is the only one.

    Raises ConfigError when there are fewer products than a batch wants.
    """

    def __init__(self, labels: Sequence[int], *, products: int, views: int, seed: int) -> None:
        self.groups_of: dict[int, list[int]] = {}
        for index, label in enumerate(labels):
            self.groups_of.setdefault(int(label), []).append(index)
        if len(self.groups_of) < products:
            raise ConfigError(
                f"sampler.products={products}: the training split has only {len(self.groups_of)} products; "
                f"set it to at most {len(self.groups_of)}"
            )
        self.products, self.views, self.seed, self.epoch = products, views, seed, 0

    @property
    def batch_size(self) -> int:
        return self.products * self.views

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._batches()) * self.batch_size

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng([self.seed, self.epoch, 1])
        for batch in self._batches():
            for index in batch:
                yield Draw(index, int(rng.integers(2**31)))

    def _batches(self) -> list[list[int]]:
        """Deal groups into batches: always from the products with most groups left, so that the end is not one product."""
        rng = np.random.default_rng([self.seed, self.epoch, 0])
        waiting = {label: self._groups(indices, rng) for label, indices in self.groups_of.items()}
        labels = np.array(sorted(waiting))
        batches: list[list[int]] = []
        while True:
            left = np.array([len(waiting[label]) for label in labels])
            if (left > 0).sum() < self.products:
                break
            # Chance in proportion to what is left (Efraimidis and Spirakis' weighted draw) empties all at about the same time.
            keys = np.where(left > 0, rng.random(len(labels)) ** (1.0 / np.maximum(left, 1)), -1.0)
            chosen = labels[np.argsort(-keys)[: self.products]]
            batches.append([index for label in chosen for index in waiting[label].pop()])
        return batches

    def _groups(self, indices: list[int], rng: np.random.Generator) -> list[list[int]]:
        shuffled = [int(i) for i in rng.permutation(indices)]
        short = -len(shuffled) % self.views
        shuffled += [int(i) for i in rng.choice(indices, size=short)]
        return [shuffled[start : start + self.views] for start in range(0, len(shuffled), self.views)]


class ShuffleSampler(Sampler[Draw]):
    """`count` items an epoch out of `size`, in shuffled rounds: every item comes once before any comes again."""

    def __init__(self, size: int, *, count: int, seed: int) -> None:
        self.size, self.count, self.seed, self.epoch = size, count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng([self.seed, self.epoch])
        order: list[int] = []
        for _ in range(self.count):
            if not order:
                order = [int(index) for index in rng.permutation(self.size)]
            yield Draw(order.pop(), int(rng.integers(2**31)))
