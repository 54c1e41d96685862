"""Learning-rate schedules, one value a step.

Knows nothing of models.
"""

import math

from torch.optim import Optimizer
from torch.optim.lr_scheduler import LambdaLR

from facings.errors import ConfigError


def warmup_cosine(
    optimizer: Optimizer, *, total_steps: int, warmup_share: float = 0.1, final_share: float = 0.01
) -> LambdaLR:
    """Linear rise over `warmup_share` of the steps, then half a cosine down to `final_share` of the rate.

    Loshchilov, Hutter: "SGDR", ICLR 2017, eq. 5, one period. Raises ConfigError for shares outside 0–1.
    """
    if not 0 <= warmup_share < 1 or not 0 <= final_share <= 1:
        raise ConfigError(f"scheduler: warmup_share={warmup_share}, final_share={final_share}: both lie in 0–1")
    warmup = max(1, round(total_steps * warmup_share)) if warmup_share else 0

    def share(step: int) -> float:
        if step < warmup:
            return (step + 1) / warmup
        progress = min(1.0, (step - warmup) / max(1, total_steps - warmup))
        return final_share + (1 - final_share) * 0.5 * (1 + math.cos(math.pi * progress))

    return LambdaLR(optimizer, share)
