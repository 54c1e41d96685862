"""One batch out of the batches of all processes, with gradient.

Knows nothing of losses.
"""

from typing import Any

import torch
from torch import Tensor, distributed


def processes() -> int:
    """How many processes train together; 1 without distributed training."""
    if not (distributed.is_available() and distributed.is_initialized()):
        return 1
    return distributed.get_world_size()


def gathered_batch(embeddings: Tensor, labels: Tensor, *, views: int) -> tuple[Tensor, Tensor]:
    """(B, D) and (B,) of each process → (W·B, D) and (W·B,) of all W, the same in each; alone, what was given.

    The order is that of one process with the whole batch: the samplers deal groups of `views` items to the processes in turn,
    so that of two processes with batches `a b` and `c d` (one letter a group) it is `a c b d`. Every process has to call it,
    with batches of one size.

    Gradients: when every process works out the same loss of the whole batch, and the gradients of the parameters behind the
    embeddings are then averaged over the processes, as DistributedDataParallel does, they are those of one process with the
    whole batch. So are the gradients of the loss's own parameters, which every process has in full.

    Raises ValueError where the batch does not consist of groups of `views`.
    """
    if processes() == 1:
        return embeddings, labels
    if len(labels) % views:
        raise ValueError(f"a batch of {len(labels)} items does not consist of groups of {views} views")
    everywhere = [torch.empty_like(labels) for _ in range(processes())]
    distributed.all_gather(everywhere, labels.contiguous())
    return _dealt(_Gathered.apply(embeddings), views), _dealt(torch.stack(everywhere), views)


def _dealt(parts: Tensor, views: int) -> Tensor:
    """(W, B, …), a row a process → (W·B, …), in the order in which the groups of `views` were dealt."""
    count, size = parts.shape[:2]
    groups = parts.view(count, size // views, views, *parts.shape[2:])
    return groups.transpose(0, 1).reshape(count * size, *parts.shape[2:])


class _Gathered(torch.autograd.Function):
    """(B, D) → (W, B, D). torch's own all_gather gives no gradient.

    Each process knows the whole gradient, its own loss being everyone's, so that going back needs no word between them. It takes
    its own rows, times W: averaging over the processes will divide by W what only this process holds.
    """

    @staticmethod
    def forward(context: Any, own: Tensor) -> Tensor:
        parts = [torch.empty_like(own, memory_format=torch.contiguous_format) for _ in range(processes())]
        distributed.all_gather(parts, own.contiguous())
        return torch.stack(parts)

    @staticmethod
    def backward(context: Any, *gradients: Tensor) -> Tensor:  # type: ignore[override]
        return gradients[0][distributed.get_rank()] * processes()
