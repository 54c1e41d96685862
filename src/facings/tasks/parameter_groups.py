"""Which parameters learn how fast.

Knows nothing of any one optimizer.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn


def parameter_groups(
    modules: Mapping[str, nn.Module], *, learning_rate: float, multipliers: Mapping[str, float]
) -> list[dict[str, Any]]:
    """Groups for a torch optimizer: no weight decay on vectors (norms, biases), and a rate for each part.

    `multipliers`: dotted prefix of a parameter's name (`model.backbone`) → factor on `learning_rate`; the longest
    prefix that fits counts, and 1.0 where none does. Parameters without gradient are left out.
    """
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in _named(modules):
        if not parameter.requires_grad:
            continue
        fitting = [prefix for prefix in multipliers if name == prefix or name.startswith(prefix + ".")]
        factor = multipliers[max(fitting, key=len)] if fitting else 1.0
        decays = parameter.ndim > 1
        group = groups.setdefault((factor, decays), {"params": [], "lr": learning_rate * factor})
        if not decays:
            group["weight_decay"] = 0.0
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def _named(modules: Mapping[str, nn.Module]) -> Iterable[tuple[str, nn.Parameter]]:
    for part, module in modules.items():
        for name, parameter in module.named_parameters():
            yield f"{part}.{name}", parameter
