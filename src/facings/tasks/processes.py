"""What the processes of a distributed training have to tell each other.

Knows nothing of what they train.
"""

from typing import TypeVar

from torch import Tensor, distributed

T = TypeVar("T")


def gathered(own: list[T]) -> list[T]:
    """The lists of all processes joined, in the order of the processes and the same in each; alone, the list itself.

    Every process has to call it.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return own
    parts: list[list[T]] = [[] for _ in range(distributed.get_world_size())]
    distributed.all_gather_object(parts, own)
    return [entry for part in parts for entry in part]


def mean_count(own: Tensor) -> Tensor:
    """A count () of each process → its mean over them, the same in each and at least one in all: what sums are divided by that
    are averaged over the processes afterwards. Alone, the count itself, at least 1.

    Every process has to call it.
    """
    if not (distributed.is_available() and distributed.is_initialized()):
        return own.clamp(min=1)
    total = own.detach().clone()
    distributed.all_reduce(total)
    return total.clamp(min=1) / distributed.get_world_size()
