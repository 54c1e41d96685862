"""One term of an embedding loss, and which settings go together.

Knows nothing of the other terms, nor of processes.
"""

import copy
import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from pytorch_metric_learning.losses import ContrastiveLoss, CrossBatchMemory, MarginLoss, NCALoss
from pytorch_metric_learning.miners import BaseMiner, BatchEasyHardMiner
from pytorch_metric_learning.utils import loss_and_miner_utils as mining
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.losses.embedding_memory import EmbeddingMemory, Remembered
from facings.losses.hierarchical_margin import HierarchicalMarginLoss
from facings.losses.threshold_consistency import ThresholdConsistentMarginLoss
from facings.suggestions import nearest

KEYS = ("loss", "weight", "miner", "memory", "memory_after", "label_smoothing")
# How many centres a class has, in the words of pytorch-metric-learning's losses.
CENTRES = ("sub_centers", "centers_per_class")
# They ask for the number of products and yet compare photos with each other: for margins of the tree, and a boundary a product.
PAIRWISE = (HierarchicalMarginLoss, MarginLoss)
Indices = tuple[Tensor, ...]


class EmbeddingTerm(nn.Module):
    """A loss with its weight, and where it compares photos with each other: with its miner and memory.

    `loss`: one of pytorch-metric-learning, or one with its `forward`: embeddings, labels, pairs, reference embeddings, reference
    labels. `classifies`: it compares photos with class centres of its own, not with each other.
    """

    def __init__(
        self,
        loss: nn.Module,
        *,
        weight: float = 1.0,
        miner: nn.Module | None = None,
        memory: EmbeddingMemory | None = None,
        classifies: bool = False,
    ) -> None:
        super().__init__()
        self.loss, self.weight, self.miner, self.memory = loss, weight, miner, memory
        self.classifies = classifies

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """(B, D) and (B,) → the loss, not yet weighted. Memory is used in training mode alone."""
        remembered = self.memory(embeddings, labels) if self.memory is not None and self.training else None
        if remembered is None:
            pairs = None if self.miner is None else self.miner(embeddings, labels)
            return self.loss(embeddings, labels, pairs)  # type: ignore[no-any-return]
        pairs = self._pairs(embeddings, labels, remembered)
        return self.loss(embeddings, labels, pairs, remembered.embeddings, remembered.labels)  # type: ignore[no-any-return]

    def try_out(self, where: str, labels: Tensor, embedding_size: int) -> None:
        """Two steps of a copy, for a batch of these `labels` (B,) and random vectors: some losses refuse only when they are asked.

        Raises ConfigError.
        """
        loss, miner = copy.deepcopy((self.loss, self.miner))
        trial = EmbeddingTerm(loss, miner=miner).cpu()
        generator = torch.Generator().manual_seed(0)
        with torch.random.fork_rng():
            for _ in range(2):
                vectors = torch.randn(len(labels), embedding_size, generator=generator).requires_grad_()
                try:
                    trial(F.normalize(vectors, dim=1), labels).backward()
                except (ArithmeticError, AssertionError, LookupError, RuntimeError, TypeError, ValueError) as fault:
                    raise ConfigError(
                        f"{where}: {type(loss).__name__} cannot be trained so: {fault or 'it does not suit such batches'}; "
                        "take another loss"
                    ) from fault

    def _pairs(self, embeddings: Tensor, labels: Tensor, memory: Remembered) -> Indices:
        """Pairs or triplets of the batch with the memory, none of a photo with itself."""
        found: Indices
        if self.miner is not None:
            found = self.miner(embeddings, labels, memory.embeddings, memory.labels)
        elif hasattr(self.loss, "triplets_per_anchor"):
            found = mining.convert_to_triplets(None, labels, memory.labels, t_per_anchor=self.loss.triplets_per_anchor)
        else:
            found = mining.get_all_pairs_indices(labels, memory.labels)
        anchor, positive, *rest = found
        other = memory.own[anchor] != positive
        if len(rest) == 1:
            return anchor[other], positive[other], rest[0][other]
        return anchor[other], positive[other], *rest


def build_term(name: str, settings: Any, known: Mapping[str, Any]) -> EmbeddingTerm:
    """The term `name` of an embedding loss out of its settings, see `EmbeddingLoss`.

    `known`: num_classes, embedding_size and categories; the loss is given those that it asks for.
    Raises ConfigError for settings that are unknown, out of range, or do not go together.
    """
    where = f"loss.terms.{name}"
    if not isinstance(settings, Mapping) or settings.get("loss") is None:
        raise ConfigError(f"{where}: expected a mapping with at least `loss`, got {settings!r}")
    for key in settings:
        if key not in KEYS:
            raise ConfigError(f"{where}: unknown key {key!r}{nearest(str(key), KEYS)}; valid: {', '.join(KEYS)}")
    weight = number(settings.get("weight", 1.0), f"{where}.weight")
    smoothing = number(settings.get("label_smoothing") or 0.0, f"{where}.label_smoothing", below=1.0)
    size = count(settings.get("memory") or 0, f"{where}.memory", least=0)
    after = count(settings.get("memory_after") or 0, f"{where}.memory_after", least=0)
    miner = settings.get("miner")
    loss = _built(settings["loss"], parameters_of(settings["loss"]), known, f"{where}.loss")
    classifies = "num_classes" in parameters_of(type(loss)) and not isinstance(loss, PAIRWISE)
    kind = type(loss).__name__
    if classifies:
        _check_classification(where, kind, miner, size)
    else:
        _check_pairs(where, loss, miner, size)
    if after and not size:
        raise ConfigError(f"{where}.memory_after={after}: there is no memory; set memory too")
    if smoothing:
        _smooth(loss, smoothing, where)
    memory = EmbeddingMemory(size, known["embedding_size"], after=after) if size else None
    return EmbeddingTerm(loss, weight=weight, miner=miner, memory=memory, classifies=classifies)


def parameters_of(maker: Any) -> set[str]:
    """Names of the settings that a loss takes, with those that it hands on to its parents as **kwargs; none of an object."""
    target = maker.func if isinstance(maker, functools.partial) else maker
    if isinstance(target, nn.Module) or not callable(target):
        return set()
    if not inspect.isclass(target):
        return set(inspect.signature(target).parameters)
    names: set[str] = set()
    for parent in target.__mro__:
        if "__init__" not in vars(parent):
            continue
        parameters = list(inspect.signature(vars(parent)["__init__"]).parameters.values())[1:]
        names |= {p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return names


def number(value: Any, where: str, *, below: float = math.inf) -> float:
    """A finite number from 0 up. Raises ConfigError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < below:
        limit = "" if math.isinf(below) else f" and below {below:g}"
        raise ConfigError(f"{where}={value}: expected a number, at least 0{limit}")
    return float(value)


def count(value: Any, where: str, *, least: int) -> int:
    """A whole number. Raises ConfigError for anything else."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{where}={value}: expected a whole number, at least {least}")
    return value


def _built(maker: Any, taken: set[str], known: Mapping[str, Any], where: str) -> nn.Module:
    """The loss, given what the data and the model say."""
    if isinstance(maker, nn.Module):
        for key in ("num_classes", "embedding_size"):
            if getattr(maker, key, known[key]) != known[key]:
                raise ConfigError(
                    f"{where}: {type(maker).__name__} was built with {key}={getattr(maker, key)}, the data and the model have "
                    f"{known[key]}; leave it out (_partial_: true)"
                )
        return maker
    if not callable(maker):
        raise ConfigError(f"{where}: expected a loss (_target_, _partial_: true), got {maker!r}")
    given = getattr(maker, "keywords", {})
    for key, value in given.items():
        if key not in taken:
            raise ConfigError(f"{where}: {_name(maker)} takes no {key!r}{nearest(key, taken - set(known))}")
        if key in known:
            raise ConfigError(f"{where}.{key}={value}: follows from the data and the model; leave it out")
        if key in CENTRES:
            count(value, f"{where}.{key}", least=1)
    try:
        loss = maker(**{key: value for key, value in known.items() if key in taken})
    except (TypeError, ValueError, AssertionError) as fault:
        raise ConfigError(
            f"{where}: {_name(maker)} could not be built: {fault or 'a setting does not suit it'}"
        ) from fault
    if not isinstance(loss, nn.Module):
        raise ConfigError(f"{where}: {_name(maker)} is no torch module but {type(loss).__name__}")
    return loss


def _name(maker: Callable[..., Any]) -> str:
    target = maker.func if isinstance(maker, functools.partial) else maker
    return str(getattr(target, "__name__", target))


def _check_classification(where: str, kind: str, miner: Any, memory: int) -> None:
    if miner is not None:
        raise ConfigError(
            f"{where}.miner: a miner picks pairs of photos, but {kind} compares each photo with class centres; "
            "leave the miner out, or put it on a pair loss beside this one"
        )
    if memory:
        raise ConfigError(
            f"{where}.memory={memory}: {kind} compares photos with class centres, and has no use for photos of earlier batches; "
            "set 0, or put the memory on a pair loss beside this one"
        )


def _check_pairs(where: str, loss: nn.Module, miner: Any, memory: int) -> None:
    kind = type(loss).__name__
    if miner is not None and not isinstance(miner, BaseMiner):
        raise ConfigError(
            f"{where}.miner: expected one of pytorch_metric_learning.miners without _partial_, got {miner!r}"
        )
    if miner is not None and _refuses(loss, "indices_tuple_not_supported"):
        raise ConfigError(f"{where}.miner: {kind} takes no selection of pairs; leave the miner out")
    if isinstance(loss, CrossBatchMemory):
        raise ConfigError(
            f"{where}.loss: {kind} loses its memory where a run is resumed; give the term the loss in it, and memory=SIZE"
        )
    if isinstance(loss, ContrastiveLoss):
        _check_margins(where, loss)
    if not memory:
        return
    if isinstance(loss, NCALoss):
        raise ConfigError(
            f"{where}.memory={memory}: {kind} takes no selection of pairs, so that the nearest to a photo would be its own copy "
            "in the memory; set 0, or take SupConLoss"
        )
    supported = (HierarchicalMarginLoss, ThresholdConsistentMarginLoss)
    names = CrossBatchMemory.supported_losses()
    if not isinstance(loss, supported) and not any(parent.__name__ in names for parent in type(loss).__mro__):
        raise ConfigError(
            f"{where}.memory={memory}: {kind} cannot compare a batch with photos of earlier ones; set 0, or take one of "
            f"{', '.join([*names, *(own.__name__ for own in supported)])}"
        )
    if isinstance(miner, BatchEasyHardMiner) and miner.pos_strategy == BatchEasyHardMiner.EASY:
        raise ConfigError(
            f"{where}.miner: the easiest positive of a photo is its own copy in the memory; "
            f"take another pos_strategy than {miner.pos_strategy}, or memory=0"
        )


def _check_margins(where: str, loss: ContrastiveLoss) -> None:
    """Of similarities the positive margin is the larger, of distances the smaller; turned about, nothing or all violates them."""
    similar = bool(loss.distance.is_inverted)
    if loss.pos_margin != loss.neg_margin and similar != (loss.pos_margin > loss.neg_margin):
        kind, order = ("similarities", "above") if similar else ("distances", "below")
        raise ConfigError(
            f"{where}.loss: pos_margin={loss.pos_margin}, neg_margin={loss.neg_margin}, but {type(loss.distance).__name__} gives "
            f"{kind}; expected pos_margin {order} neg_margin"
        )


def _refuses(loss: nn.Module, check: str) -> bool:
    """Whether a loss of pytorch-metric-learning calls `check`, with which it refuses an argument."""
    compute = getattr(type(loss), "compute_loss", None)
    return compute is not None and check in compute.__code__.co_names


def _smooth(loss: nn.Module, smoothing: float, where: str) -> None:
    """Szegedy et al.: "Rethinking the Inception Architecture", CVPR 2016, section 7: 1 − ε for the product, ε shared by all."""
    if not isinstance(getattr(loss, "cross_entropy", None), nn.CrossEntropyLoss):
        raise ConfigError(
            f"{where}.label_smoothing={smoothing}: {type(loss).__name__} has no softmax over products to smooth; set 0"
        )
    loss.cross_entropy = torch.nn.CrossEntropyLoss(reduction="none", label_smoothing=smoothing)
