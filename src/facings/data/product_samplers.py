"""P×K samplers for unequal products and for hard negatives. Knows nothing of pictures.

All are functions of seed and epoch alone and shared out over processes as `samplers` says.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.data.samplers import ProductSampler
from facings.errors import ConfigError

Waiting = dict[int, list[list[int]]]


class BalancedSampler(ProductSampler):
    """Products come in proportion to (number of their crops) ** `power`, in batches of products × views.

    Kang et al.: "Decoupling Representation and Classifier for Long-Tailed Recognition", ICLR 2020, eq. 1: power 0 is
    class-balanced sampling (each product equally often), 0.5 square-root, 1 instance-balanced. They draw with
    replacement; here a product's crops are taken in shuffled rounds that go on from epoch to epoch, so that every crop
    of a product with n crops, d of them drawn an epoch, is due once in each round of n/d epochs. An epoch has about as
    many crops as the split. Groups that fill no last batch are left out, others each epoch; a product comes one
    group less often then.

    Raises ConfigError for a power outside 0–1.
    """

    def __init__(self, labels: Sequence[int], *, power: float = 0.0, **common: Any) -> None:
        super().__init__(labels, **common)
        if not 0 <= power <= 1:
            raise ConfigError(f"sampler.power={power}: expected 0 (each product equally often) to 1 (each crop)")
        self.power = power

    def groups_an_epoch(self) -> dict[int, int]:
        """Product number → how many groups of `views` an epoch has of it, before the last batch is left out; 1 or more.

        By hand: 4 and 16 crops in groups of 2 make 10 groups; at power 0.5 they are shared 1 : 2, so 3 and 7.
        """
        sizes = {label: len(indices) for label, indices in self.groups_of.items()}
        total = sum(-(-size // self.views) for size in sizes.values())
        whole = sum(size**self.power for size in sizes.values())
        return {label: max(1, round(total * size**self.power / whole)) for label, size in sizes.items()}

    def _batches(self) -> list[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch, 0])
        waiting: Waiting = {}
        for label, groups in self.groups_an_epoch().items():
            count = groups * self.views
            crops = self._stretch(label, self.epoch * count, count)
            cut = [crops[start : start + self.views] for start in range(0, count, self.views)]
            # Shuffled, so that what the last batch leaves out is not always the end of the stretch.
            waiting[label] = [cut[place] for place in rng.permutation(groups)]
        return deal(waiting, self.together, rng)

    def _stretch(self, label: int, start: int, count: int) -> list[int]:
        """`count` crops from place `start` of a product's endless row of shuffled rounds."""
        indices = self.groups_of[label]
        first, last = start // len(indices), (start + count - 1) // len(indices)
        row: list[int] = []
        for number in range(first, last + 1):
            row += [int(i) for i in np.random.default_rng([self.seed, label, number, 2]).permutation(indices)]
        skip = start - first * len(indices)
        return row[skip : skip + count]


class RepeatFactorSampler(ProductSampler):
    """Every crop once an epoch, those of rare products again.

    Gupta, Dollár, Girshick: "LVIS", CVPR 2019, sec. 4.1 ("repeat factor sampling"), by product instead of picture: a product
    with the share f of the crops has each crop r = max(1, sqrt(`threshold` / f)) times an epoch, where the fraction
    of r is drawn anew for each crop and epoch. Here in batches of products × views. `threshold` None: one over the number
    of products, so that what is rarer than the mean is repeated. Groups that fill no last batch are left out.

    Raises ConfigError for a threshold outside 0–1.
    """

    def __init__(self, labels: Sequence[int], *, threshold: float | None = None, **common: Any) -> None:
        super().__init__(labels, **common)
        if threshold is not None and not 0 < threshold <= 1:
            raise ConfigError(f"sampler.threshold={threshold}: expected a share above 0 and at most 1, or null")
        self.threshold = 1.0 / len(self.groups_of) if threshold is None else threshold

    def factors(self) -> dict[int, float]:
        """Product number → how often each of its crops comes an epoch, 1 or more.

        By hand: 90 and 10 crops, threshold 0.5: max(1, sqrt(0.5 / 0.9)) = 1 and sqrt(0.5 / 0.1) = 2.236.
        """
        crops = sum(len(indices) for indices in self.groups_of.values())
        return {
            label: max(1.0, (self.threshold * crops / len(indices)) ** 0.5) for label, indices in self.groups_of.items()
        }

    def _batches(self) -> list[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch, 0])
        waiting = {label: self._repeated(label, factor, rng) for label, factor in self.factors().items()}
        return deal(waiting, self.together, rng)

    def _repeated(self, label: int, factor: float, rng: np.random.Generator) -> list[list[int]]:
        """Whole rounds of the product's crops, then a round of some: a crop seldom meets itself in a group."""
        indices = self.groups_of[label]
        row = [int(i) for _ in range(int(factor)) for i in rng.permutation(indices)]
        row += [int(i) for i in rng.permutation(indices) if rng.random() < factor % 1]
        row += [int(i) for i in rng.choice(indices, size=-len(row) % self.views)]
        groups = [row[start : start + self.views] for start in range(0, len(row), self.views)]
        return [groups[place] for place in rng.permutation(len(groups))]


class HierarchicalSampler(ProductSampler):
    """Batches mostly out of one branch of the category tree, so that what looks alike meets.

    For each batch a product is drawn by how many of its groups are left; it brings its nearest relatives, those that share
    the most levels of the category path with it, until the share `near` of the batch is full: first its own category, then
    the neighbours in the tree. The rest comes from anywhere, as a batch of nothing but apples teaches nothing of
    bread (and batch normalisation sees one colour). The idea is that of Ge et al.: "Deep Metric Learning with Hierarchical
    Triplet Loss", ECCV 2018, sec. 3.2 (anchor neighbourhoods), with the given tree instead of one from the features.

    Every crop is due once an epoch, as with P×K; groups that fill no last batch are left out, others each epoch.

    Raises ConfigError where `near` is outside 0–1, the products' categories are not given, or no two products share one.
    """

    def __init__(self, labels: Sequence[int], *, near: float = 0.75, **common: Any) -> None:
        super().__init__(labels, **common)
        paths = common.get("paths", ())
        if not 0 < near <= 1:
            raise ConfigError(f"sampler.near={near}: expected a share of the batch above 0 and at most 1")
        if len(paths) <= max(self.groups_of):
            raise ConfigError(
                f"sampler=hierarchical: {len(paths)} category paths for {max(self.groups_of) + 1} products"
            )
        self.near = near
        self.order = np.array(sorted(self.groups_of))
        self.codes = level_codes([paths[label] for label in self.order])
        if len(np.unique(self.codes[:, 0])) == len(self.order):
            raise ConfigError(
                f"sampler=hierarchical: no two of the {len(self.order)} training products share a category; fill in the "
                "table's column category, or use sampler=pk"
            )

    def _batches(self) -> list[list[int]]:
        rng = np.random.default_rng([self.seed, self.epoch, 0])
        waiting = {label: self._groups(indices, rng) for label, indices in self.groups_of.items()}
        left = np.array([len(waiting[label]) for label in self.order])
        batches: list[list[int]] = []
        for remaining in range(batches_of(left, self.together), 0, -1):
            if (left > 0).sum() < self.together:
                break
            chosen = self._choose(left, remaining, rng)
            left[chosen] -= 1
            batches.append([index for place in chosen for index in waiting[int(self.order[place])].pop()])
        # Branches run out one after another; shuffled, the mixed batches of the end come all through the epoch.
        return [batches[place] for place in rng.permutation(len(batches))]

    def _choose(self, left: NDArray[np.int64], remaining: int, rng: np.random.Generator) -> NDArray[np.int64]:
        """Places in `order` of one batch's products, in random order, so that each process gets near and far ones."""
        keys = urgency(left, remaining, rng)
        anchor = int(np.argmax(keys))
        shared = np.cumprod(self.codes == self.codes[anchor], axis=1).sum(axis=1)
        relatives = np.lexsort((-keys, -shared))
        relatives = relatives[(left[relatives] > 0) & (relatives != anchor)]
        near = [anchor, *relatives[: max(1, round(self.near * self.together)) - 1]]
        keys[near] = -2.0
        far = np.argsort(-keys)[: self.together - len(near)]
        return rng.permutation(np.array([*near, *far], np.int64))


def deal(waiting: Waiting, together: int, rng: np.random.Generator) -> list[list[int]]:
    """Groups into as many batches of `together` different products as can be; fewer than a batch is left over, unless
    one product has more groups than there are batches. Random, but a product that can only just be used up is taken.

    McNaughton's rule for scheduling ("Scheduling with Deadlines and Loss Functions", 1959): dealing whatever has as many
    groups left as there are batches to come keeps the rest possible.
    """
    labels = np.array(sorted(waiting))
    left = np.array([len(waiting[label]) for label in labels])
    batches: list[list[int]] = []
    for remaining in range(batches_of(left, together), 0, -1):
        chosen = np.argsort(-urgency(left, remaining, rng))[:together]
        left[chosen] -= 1
        batches.append([index for place in chosen for index in waiting[int(labels[place])].pop()])
    return batches


def batches_of(left: NDArray[np.int64], together: int) -> int:
    """How many batches of `together` different products can be dealt from `left` groups a product.

    The largest B with sum(min(left, B)) >= B * together. By hand: [5, 1, 1], two at a time: 2.

    >>> batches_of(np.array([5, 1, 1]), 2)
    2
    """
    count = int(left.sum()) // together
    while np.minimum(left, count).sum() < count * together:
        count = int(np.minimum(left, count).sum()) // together
    return count


def urgency(left: NDArray[np.int64], remaining: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """(P,) sort keys, highest first: -1 where nothing is left, above 1 where one must be taken in each of the `remaining`
    batches, else a draw with chances in proportion to what is left (Efraimidis and Spirakis, 2006)."""
    drawn = rng.random(len(left))
    keys = np.where(left > 0, drawn ** (1.0 / np.maximum(left, 1)), -1.0)
    return np.where((left >= remaining) & (left > 0), 1.0 + drawn, keys)


def level_codes(paths: Sequence[Sequence[str]]) -> NDArray[np.int64]:
    """(P, levels) int64: equal numbers where two paths have the same name at a level; a missing level equals nothing.

    >>> level_codes([("Fruit", "Apple"), ("Fruit",), ("Milk", "Apple")]).tolist()
    [[0, 1], [0, -2], [2, 1]]
    """
    names: dict[str, int] = {}
    codes = np.empty((len(paths), max(1, *(len(path) for path in paths))), np.int64)
    for place, path in enumerate(paths):
        for level in range(codes.shape[1]):
            codes[place, level] = names.setdefault(path[level], len(names)) if level < len(path) else -place - 1
    return codes
