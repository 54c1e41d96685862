"""Which crop comes when, and with which random numbers: a function of seed and epoch alone.

Knows nothing of pictures. Because nothing here depends on global state, a resumed run draws what the unbroken run
would have drawn. Under distributed training each process draws its part of the same order: step t of all processes
together sees the items, augmented alike, that step t of one process with their batches put together sees. Lightning must
therefore leave these samplers as they are (`use_distributed_sampler: false`).
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from torch import distributed
from torch.utils.data import Sampler

from facings.errors import ConfigError


class Draw(NamedTuple):
    """One item of an epoch: its number in the dataset, and the seed of its augmentation."""

    number: int
    seed: int


def process() -> tuple[int, int]:
    """This process's number, and how many train together: (0, 1) without distributed training."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 0, 1
    return distributed.get_rank(), distributed.get_world_size()


class ProductSampler(Sampler[Draw]):
    """Batches of `products` × `views`; the classes below and in `product_samplers` say which products meet.

    `labels`: each crop's product number. `paths`: each product's category, from coarse to fine, by product number; only
    the hierarchical sampler looks at it, but all are called alike. Under distributed training every process has
    `products` of its own in each step.

    Raises ConfigError when there are fewer products than a batch of all processes wants, or where a number is below 1.
    """

    def __init__(
        self,
        labels: Sequence[int],
        *,
        products: int,
        views: int,
        seed: int,
        paths: Sequence[Sequence[str]] = (),
    ) -> None:
        for key, number in {"products_per_batch": products, "views_per_product": views}.items():
            if number < 1:
                raise ConfigError(f"data.{key}={number}: expected 1 or more")
        self.groups_of: dict[int, list[int]] = {}
        for index, label in enumerate(labels):
            self.groups_of.setdefault(int(label), []).append(index)
        _, processes = process()
        if len(self.groups_of) < products * processes:
            together = f" in each of {processes} processes" if processes > 1 else ""
            raise ConfigError(
                f"products={products}{together}: the training split has only {len(self.groups_of)} products; "
                f"set it to at most {len(self.groups_of) // processes} (data.products_per_batch)"
            )
        self.products, self.views, self.seed, self.epoch = products, views, seed, 0
        self._dealt: tuple[tuple[int, int], list[list[int]]] | None = None

    @property
    def batch_size(self) -> int:
        """Crops of one process in a step."""
        return self.products * self.views

    @property
    def together(self) -> int:
        """Products of all processes in a step."""
        return self.products * process()[1]

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self._epoch()) * self.batch_size

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng([self.seed, self.epoch, 1])
        rank, processes = process()
        for batch in self._epoch():
            for place, index in enumerate(batch):
                draw = Draw(index, int(rng.integers(2**31)))
                if place // self.views % processes == rank:
                    yield draw

    def _epoch(self) -> list[list[int]]:
        """The batches of this epoch, dealt once: Lightning asks for the length again and again."""
        key = (self.epoch, process()[1])
        if self._dealt is None or self._dealt[0] != key:
            self._dealt = key, self._batches()
        return self._dealt[1]

    def _batches(self) -> list[list[int]]:
        """Batches of all processes: lists of `together` × `views` crops, a product's views side by side."""
        raise NotImplementedError

    def _groups(self, indices: list[int], rng: np.random.Generator) -> list[list[int]]:
        """A product's crops, shuffled and cut into groups of `views`, the last filled up with crops of the same product."""
        shuffled = [int(i) for i in rng.permutation(indices)]
        short = -len(shuffled) % self.views
        shuffled += [int(i) for i in rng.choice(indices, size=short)]
        return [shuffled[start : start + self.views] for start in range(0, len(shuffled), self.views)]


class PKSampler(ProductSampler):
    """Several views of each product of a batch, every crop once an epoch.

    Hermans, Beyer, Leibe: "In Defense of the Triplet Loss for Person Re-Identification", 2017. Here each epoch visits
    every crop once: a product's crops are shuffled and cut into groups of `views` (the last filled up with crops of
    the same product), and groups of different products are dealt into batches. A last, smaller batch is dropped unless
    it is the only one.
    """

    def _batches(self) -> list[list[int]]:
        """Deal groups into batches of all processes: always from the products with most groups left, so that the end is
        not one product."""
        rng = np.random.default_rng([self.seed, self.epoch, 0])
        together = self.together
        waiting = {label: self._groups(indices, rng) for label, indices in self.groups_of.items()}
        labels = np.array(sorted(waiting))
        batches: list[list[int]] = []
        while True:
            left = np.array([len(waiting[label]) for label in labels])
            if (left > 0).sum() < together:
                break
            # Chance in proportion to what is left (Efraimidis and Spirakis' weighted draw) empties all at about the same time.
            keys = np.where(left > 0, rng.random(len(labels)) ** (1.0 / np.maximum(left, 1)), -1.0)
            chosen = labels[np.argsort(-keys)[:together]]
            batches.append([index for label in chosen for index in waiting[label].pop()])
        return batches


class ShuffleSampler(Sampler[Draw]):
    """`count` items an epoch out of `size`, in shuffled rounds: every item comes once before any comes again.

    `count` is that of all processes together; they take turns, and a last, incomplete turn is left out.
    """

    def __init__(self, size: int, *, count: int, seed: int) -> None:
        self.size, self.count, self.seed, self.epoch = size, count, seed, 0

    def set_epoch(self, epoch: int) -> None:
        """Lightning calls this before each epoch."""
        self.epoch = epoch

    def __len__(self) -> int:
        return self.count // process()[1]

    def __iter__(self) -> Iterator[Draw]:
        rng = np.random.default_rng([self.seed, self.epoch])
        rank, processes = process()
        order: list[int] = []
        for place in range(len(self) * processes):
            if not order:
                order = [int(index) for index in rng.permutation(self.size)]
            draw = Draw(order.pop(), int(rng.integers(2**31)))
            if place % processes == rank:
                yield draw


class ShareSampler(Sampler[int]):
    """For evaluation: each item in exactly one process, in order. torch's DistributedSampler fills up with doubles, which a
    metric would count.

    Raises ConfigError where there are fewer items than processes.
    """

    def __init__(self, size: int) -> None:
        rank, processes = process()
        if size < processes:
            raise ConfigError(f"{size} pictures to evaluate in {processes} processes: use at most {size} of them")
        self.numbers = range(rank, size, processes)

    def __len__(self) -> int:
        return len(self.numbers)

    def __iter__(self) -> Iterator[int]:
        return iter(self.numbers)
