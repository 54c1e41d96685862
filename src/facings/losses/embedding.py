"""What an embedder is trained towards: a weighted sum of losses.

Knows nothing of tasks, data or configurations: terms come as losses, or as what builds them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from facings.errors import ConfigError
from facings.losses.embedding_gather import gathered_batch, processes
from facings.losses.embedding_term import EmbeddingTerm, build_term


class EmbeddingLoss(nn.Module):
    """Named losses of one batch, weighted and summed.

    `terms`: name → mapping with
    - `loss`: a loss of pytorch-metric-learning (or one called alike), or what builds it; the latter is given `num_classes`,
      `embedding_size` and `categories` where it asks for them
    - `weight`: 1.0 if left out; at 0 the term is left out
    - `miner`: one of pytorch-metric-learning's, for losses of pairs and triplets
    - `memory`: compare the batch with so many embeddings of this and earlier batches, see `EmbeddingMemory`; `memory_after`: from
      which step on; for losses of pairs and triplets
    - `label_smoothing`: for losses with a softmax over products

    `categories`: for each of the `num_classes` trained products its path, coarse to fine, or None.

    After a call `last` holds each term's weighted value, without gradient; they add up to the loss.

    Under distributed training each process gives its own part of the batch and gets the loss of the whole, see `gathered_batch`;
    after DistributedDataParallel's averaging the gradients are those of one process with the whole batch. Works in float32
    where the network computes in less. A batch from which a term has nothing to learn (no pairs, no violation) adds 0 to the loss,
    and nothing to the gradient; not a number in an embedding shows as a loss that is none.

    Raises ConfigError for terms that are unknown, out of range or do not go together.
    """

    def __init__(
        self,
        terms: Mapping[str, Any],
        *,
        num_classes: int,
        embedding_size: int,
        categories: Sequence[Sequence[str]] | None = None,
    ) -> None:
        super().__init__()
        if not isinstance(terms, Mapping) or not terms:
            raise ConfigError(f"loss.terms: expected at least one named term, got {terms!r}")
        self.num_classes, self.embedding_size = num_classes, embedding_size
        known = {"num_classes": num_classes, "embedding_size": embedding_size, "categories": categories}
        self.terms = nn.ModuleDict()
        for name, settings in terms.items():
            if settings is None:  # loss.terms.NAME=null takes a term out
                continue
            if not str(name).isidentifier() or hasattr(nn.ModuleDict, str(name)):
                raise ConfigError(
                    f"loss.terms: {name!r} cannot be the name of a term; take a plain word, such as triplet"
                )
            term = build_term(str(name), settings, known)
            if term.weight > 0:
                self.terms[str(name)] = term
        if not self.terms:
            raise ConfigError(f"loss.terms: the weights of all terms ({', '.join(map(str, terms))}) are 0; raise one")
        # How many photos of one product stand together in a batch, see `check_batches`.
        self.views = 1
        self.last: dict[str, Tensor] = {}

    def check_batches(self, products: int, views: int) -> None:
        """Say what each process's batches consist of: `products` groups of `views` photos; a loss that cannot learn from them is
        refused. Losses of pairs and triplets are tried out.

        Raises ConfigError.
        """
        photos = products * views * processes()
        for name, term in self._terms():
            if term.classifies:
                continue
            where, kind = f"loss.terms.{name}", type(term.loss).__name__
            if term.memory is not None:
                if term.memory.size < photos:
                    raise ConfigError(
                        f"{where}.memory={term.memory.size} is smaller than the batch of all processes, {photos} photos; "
                        "set it to a multiple of that"
                    )
            elif views < 2:
                raise ConfigError(
                    f"{where}: {kind} compares photos of one product, and a batch has one of each; set "
                    "data.views_per_product to 2 or more, or give the term a memory"
                )
            elif products * processes() < 2:
                raise ConfigError(
                    f"{where}: {kind} compares photos of several products, and a batch has one; set "
                    "data.products_per_batch to 2 or more"
                )
            labels = torch.arange(products).repeat_interleave(views) % self.num_classes
            term.try_out(where, labels, self.embedding_size)
        self.views = views

    def forward(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        """`embeddings` (B, D) of unit length and `labels` (B,) int64, 0 … num_classes − 1 → scalar.

        Raises ValueError for other shapes or labels.
        """
        self._check(embeddings, labels)
        with torch.autocast(embeddings.device.type, enabled=False):
            whole = embeddings.float() if embeddings.dtype in (torch.float16, torch.bfloat16) else embeddings
            whole, labels = gathered_batch(whole, labels, views=self.views)
            parts = {name: term.weight * term(whole, labels) for name, term in self._terms()}
            self.last = {name: torch.as_tensor(part).detach() for name, part in parts.items()}
            # Ties the loss to the embeddings even where no term does, and keeps pytorch-metric-learning, which drops what is
            # not above 0, from dropping what is not a number.
            loss = whole.sum() * 0.0
            for part in parts.values():
                loss = loss + part
        return loss

    def _check(self, embeddings: Tensor, labels: Tensor) -> None:
        if embeddings.ndim != 2 or embeddings.shape[1] != self.embedding_size or len(embeddings) == 0:
            raise ValueError(
                f"embeddings of shape {tuple(embeddings.shape)}: expected (B, {self.embedding_size}), B at least 1"
            )
        if labels.shape != embeddings.shape[:1] or labels.dtype != torch.int64:
            raise ValueError(
                f"labels of shape {tuple(labels.shape)}, {labels.dtype}: expected ({len(embeddings)},) and torch.int64"
            )
        low, high = labels.aminmax()
        if low < 0 or high >= self.num_classes:
            raise ValueError(f"labels from {int(low)} to {int(high)}: expected 0 to {self.num_classes - 1}")

    def _terms(self) -> list[tuple[str, EmbeddingTerm]]:
        return [(name, term) for name, term in self.terms.items() if isinstance(term, EmbeddingTerm)]
