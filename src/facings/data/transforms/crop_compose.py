"""Steps over one crop, each with random numbers of its own. Knows nothing of what the steps do."""

from collections.abc import Sequence
from typing import TypeAlias

import albumentations as A

from facings.data.transforms.seeding import seed_steps
from facings.errors import ConfigError

Step: TypeAlias = A.BasicTransform | A.BaseCompose


class CropCompose(A.Compose):
    """`A.Compose` for crops; called with `image=` (H, W, 3) uint8, and, where `context` or `others` ask for it, with

    `box=`: (4,) float xyxy, pixels of `image`: the crop proper, when `image` shows what lies around it too; None when
    `image` is all there is. `others=`: a sequence of other crops, (h, w, 3) uint8 each.

    `context`: how far around the box `image` should reach, as a share of the box's sides.

    A seed gives each step numbers of its own, see `seed_steps`.
    """

    def __init__(self, steps: Sequence[Step], *, context: float = 0.0, others: bool = False) -> None:
        super().__init__(list(steps))
        self.context, self.others = context, others

    def set_random_seed(self, seed: int | None) -> None:
        """Seed all steps, from one number. None: from the operating system."""
        seed_steps(self, seed)


def check_shares(**shares: float) -> None:
    """Raises ConfigError for a probability outside 0–1."""
    for name, value in shares.items():
        if not 0 <= value <= 1:
            raise ConfigError(f"transforms.{name}={value}: a probability lies between 0 and 1")


def check_range(name: str, values: Sequence[float], low: float, high: float) -> tuple[float, float]:
    """`values` as (smallest, largest). Raises ConfigError unless low <= smallest <= largest <= high."""
    if len(values) != 2 or not low <= values[0] <= values[1] <= high:
        raise ConfigError(
            f"transforms.{name}={list(values)}: expected [smallest, largest] with {low:g} <= smallest <= largest <= {high:g}"
        )
    return float(values[0]), float(values[1])
