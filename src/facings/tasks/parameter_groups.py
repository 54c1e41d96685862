"""Which parameters learn how fast.

Knows nothing of any one optimizer.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from torch import nn

from facings.errors import ConfigError


def parameter_groups(
    modules: Mapping[str, nn.Module],
    *,
    learning_rate: float,
    multipliers: Mapping[str, float],
    layer_decay: float = 1.0,
) -> list[dict[str, Any]]:
    """Groups for a torch optimizer: no weight decay on vectors (norms, biases), and a rate for each part.

    `multipliers`: dotted prefix of a parameter's name (`model.backbone`) → factor on `learning_rate`; the longest
    prefix that fits counts, and 1.0 where none does. `layer_decay`: each stage of a timm backbone learns at this share of
    the next deeper one's rate (Bao et al.: "BEiT", ICLR 2022, there by layer); the deepest keeps the backbone's own rate,
    where BEiT begins one step down. Parameters without gradient are left out.

    Raises ConfigError for a layer_decay outside 0–1, and for one where there is no timm backbone.
    """
    decays_of = layer_factors(modules, layer_decay)
    groups: dict[tuple[float, bool], dict[str, Any]] = {}
    for name, parameter in _named(modules):
        if not parameter.requires_grad:
            continue
        fitting = [prefix for prefix in multipliers if name == prefix or name.startswith(prefix + ".")]
        factor = multipliers[max(fitting, key=len)] if fitting else 1.0
        factor *= decays_of.get(name, 1.0)
        decays = parameter.ndim > 1
        group = groups.setdefault((factor, decays), {"params": [], "lr": learning_rate * factor})
        if not decays:
            group["weight_decay"] = 0.0
        group["params"].append(parameter)
    return [groups[key] for key in sorted(groups)]


def layer_factors(modules: Mapping[str, nn.Module], layer_decay: float) -> dict[str, float]:
    """Name of each parameter of the timm backbones in `modules` → its factor on the backbone's rate; {} at 1.0.

    Four stages at 0.5: 0.125 (with the stem), 0.25, 0.5, 1.
    """
    if not 0 < layer_decay <= 1:
        raise ConfigError(f"layer_decay={layer_decay}: expected above 0, at most 1 (1: all stages learn alike)")
    if layer_decay == 1:
        return {}
    factors: dict[str, float] = {}
    for part, module in modules.items():
        for name, backbone in module.named_modules(prefix=part):
            if hasattr(backbone, "feature_info") and not any(known.startswith(name + ".") for known in factors):
                stage_of = stages(backbone)
                deepest = max(stage_of.values(), default=0)
                factors |= {f"{name}.{own}": layer_decay ** (deepest - stage) for own, stage in stage_of.items()}
    if not factors:
        raise ConfigError(
            f"layer_decay={layer_decay}: the model has no timm backbone whose stages it could tell; set 1"
        )
    return factors


def stages(backbone: nn.Module) -> dict[str, int]:
    """Name of each parameter of a timm backbone → its stage from 0; a stage ends where timm takes a feature map.

    The stem belongs to the first stage, what follows the last map to the last.
    """
    info: Any = backbone.feature_info
    ends = {str(entry["module"]) for entry in (info if isinstance(info, list) else info.info)}
    # timm's wrappers for features flatten `stages.0` to `stages_0`, or keep the whole network under `model`.
    ends |= {end.replace(".", "_") for end in ends} | {f"model.{end}" for end in ends}
    found: dict[str, int] = {}
    stage, passed, inside = 0, 0, ""
    for name, module in backbone.named_modules():
        if inside and not name.startswith(inside + "."):
            stage, inside = passed, ""
        if not inside and name in ends:
            passed, inside = passed + 1, name
        for own, _ in module.named_parameters(recurse=False):
            found[f"{name}.{own}" if name else own] = stage
    return {name: min(stage, max(passed - 1, 0)) for name, stage in found.items()}


def _named(modules: Mapping[str, nn.Module]) -> Iterable[tuple[str, nn.Parameter]]:
    for part, module in modules.items():
        for name, parameter in module.named_parameters():
            yield f"{part}.{name}", parameter
