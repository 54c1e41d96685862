"""Rates of parts and stages, against timm's own layer order."""

import pytest
import torch
from timm.models import group_parameters
from torch import nn

from facings.errors import ConfigError
from facings.models.backbones import create_backbone
from facings.models.detectors.dense import DenseDetector
from facings.tasks.parameter_groups import layer_factors, parameter_groups, stages

# One a family: inverted bottlenecks (own wrapper), flattened stages, plain residual, transformer under a getter.
FAMILIES = {
    "tf_efficientnet_lite0": (5, {"conv_stem.weight": 0, "blocks.0.0.conv_dw.weight": 0, "blocks.1.0.conv_pw.weight": 1,
                                  "blocks.3.0.conv_pw.weight": 3, "blocks.4.0.conv_pw.weight": 3, "blocks.6.0.conv_pw.weight": 4}),
    "mobilenetv4_conv_small_050": (5, {"conv_stem.weight": 0, "bn1.weight": 0, "blocks.0.0.conv.weight": 1,
                                       "blocks.4.0.conv.weight": 4}),
    "convnext_atto": (4, {"stem_0.weight": 0, "stages_0.blocks.0.norm.weight": 0, "stages_1.downsample.1.weight": 1,
                          "stages_3.blocks.1.mlp.fc1.weight": 3}),
    "resnet18": (5, {"conv1.weight": 0, "layer1.0.conv1.weight": 1, "layer4.1.bn2.bias": 4}),
    "vit_tiny_patch16_224": (12, {"model.patch_embed.proj.weight": 0, "model.pos_embed": 0, "model.blocks.0.norm1.weight": 0,
                                  "model.blocks.11.mlp.fc2.bias": 11}),
}  # fmt: skip


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_of_backbones(name: str) -> None:
    count, wanted = FAMILIES[name]
    found = stages(create_backbone(name, features_only=True))
    assert set(found.values()) == set(range(count))
    assert {key: found[key] for key in wanted} == wanted


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "convnext_atto", "resnet18", "swin_tiny_patch4_window7_224"])
def test_stages_keep_the_order_of_timm(name: str) -> None:
    """What timm's group matcher puts at a lower depth is never in a deeper stage here."""
    backbone = create_backbone(name)
    found = stages(backbone)
    depth = group_parameters(backbone, backbone.group_matcher(coarse=False), reverse=True)
    assert set(found) == set(depth)
    deepest = max(depth.values())
    ordered = sorted((depth[key], found[key]) for key in found if depth[key] < deepest)
    assert [stage for _, stage in ordered] == sorted(stage for _, stage in ordered)


def test_rates_fall_geometrically_from_the_last_stage_to_the_first() -> None:
    model = DenseDetector("mobilenetv4_conv_small_050", num_classes=1, image_size=64, channels=32)
    model.backbone.blocks[0].requires_grad_(False)
    groups = parameter_groups({"model": model}, learning_rate=0.1, multipliers={"model.backbone": 0.5}, layer_decay=0.8)
    rate = {id(p): group["lr"] for group in groups for p in group["params"]}
    backbone = model.backbone
    assert rate[id(model.neck.lateral[0][0].weight)] == pytest.approx(0.1)
    assert rate[id(backbone.blocks[4][0].conv.weight)] == pytest.approx(0.05)
    assert rate[id(backbone.blocks[2][0].pw_exp.conv.weight)] == pytest.approx(0.05 * 0.8)
    assert rate[id(backbone.conv_stem.weight)] == pytest.approx(0.05 * 0.8**4)
    learning = [p for p in model.parameters() if p.requires_grad]
    assert sorted(rate) == sorted(id(p) for p in learning) and sum(len(g["params"]) for g in groups) == len(learning)
    assert all(("weight_decay" in group) == all(p.ndim < 2 for p in group["params"]) for group in groups)
    torch.optim.AdamW(groups, lr=0.1)


def test_without_decay_groups_are_as_they_were() -> None:
    model = DenseDetector("mobilenetv4_conv_small_050", num_classes=1, image_size=64, channels=32)
    groups = parameter_groups({"model": model}, learning_rate=0.1, multipliers={"model.backbone": 0.5})
    assert sorted((g["lr"], "weight_decay" in g) for g in groups) == [
        (0.05, False),
        (0.05, True),
        (0.1, False),
        (0.1, True),
    ]


def test_decay_without_backbone_or_out_of_range_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"layer_decay=0\.8: the model has no timm backbone"):
        layer_factors({"model": nn.Linear(2, 2)}, 0.8)
    with pytest.raises(ConfigError, match=r"layer_decay=1\.5: expected above 0, at most 1"):
        layer_factors({"model": nn.Linear(2, 2)}, 1.5)
    assert layer_factors({"model": nn.Linear(2, 2)}, 1.0) == {}
