"""Embeddings of earlier batches, to compare a batch with.

Knows nothing of the loss that compares, nor of processes: under distributed training each is given the whole batch, and so holds
the same memory.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from facings.errors import ConfigError


class Remembered(NamedTuple):
    """`embeddings` (N, D) and `labels` (N,) in memory; `own` (B,): where in them the batch's items stand."""

    embeddings: Tensor
    labels: Tensor
    own: Tensor


class EmbeddingMemory(nn.Module):
    """The last `size` embeddings, without gradient.

    Wang et al.: "Cross-Batch Memory for Embedding Learning", CVPR 2020, algorithm 1: the batch is enqueued, then compared with
    the whole queue. As there, embeddings drift too fast at first to be worth keeping: nothing is kept in the first `after` steps.
    All state lies in buffers: a resumed run goes on with the memory that the unbroken one would have.
    """

    embeddings: Tensor
    labels: Tensor
    steps: Tensor
    seen: Tensor

    def __init__(self, size: int, embedding_size: int, *, after: int = 0) -> None:
        super().__init__()
        self.size, self.after = size, after
        self.register_buffer("embeddings", torch.zeros(size, embedding_size))
        self.register_buffer("labels", torch.zeros(size, dtype=torch.int64))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.register_buffer("seen", torch.zeros((), dtype=torch.int64))

    def forward(self, embeddings: Tensor, labels: Tensor) -> Remembered | None:
        """Enqueue (B, D) and (B,), and give all that is in memory; None in the first `after` steps.

        Raises ConfigError for a batch that is larger than the memory.
        """
        self.steps += 1
        if int(self.steps) <= self.after:
            return None
        if len(labels) > self.size:
            raise ConfigError(
                f"memory={self.size} is smaller than the batch of all processes, {len(labels)} photos; set it to a multiple of that"
            )
        seen = int(self.seen)
        own = torch.arange(seen, seen + len(labels), device=labels.device) % self.size
        self.embeddings[own] = embeddings.detach().to(self.embeddings.dtype)
        self.labels[own] = labels
        self.seen += len(labels)
        filled = min(seen + len(labels), self.size)
        # A copy: the next batch may be enqueued before this one's gradients are worked out.
        return Remembered(self.embeddings[:filled].to(embeddings.dtype, copy=True), self.labels[:filled].clone(), own)
