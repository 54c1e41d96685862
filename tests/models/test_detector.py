"""The dense detector's geometry."""

import pytest
import torch
from torchvision.ops import box_iou

from facings.errors import ConfigError
from facings.models.detectors.dense import Branch, DenseDetector, anchor_points, first_of_each, suppress

BRANCHES: tuple[Branch, Branch] = ("one_to_one", "one_to_many")


def tiny(**changes: object) -> DenseDetector:
    settings = {"num_classes": 3, "image_size": 96, "channels": 32} | changes
    return DenseDetector("mobilenetv4_conv_small_050", **settings)  # type: ignore[arg-type]


def test_anchors_are_cell_centres_of_three_strides() -> None:
    points, strides = anchor_points(64, 64)
    assert len(points) == 64 + 16 + 4
    assert points[0].tolist() == [4, 4] and points[64].tolist() == [8, 8] and points[-1].tolist() == [48, 48]
    assert strides.unique().tolist() == [8, 16, 32]


def test_decoding_by_hand() -> None:
    """All weight on bin 2 of stride 8 is a side of 16 pixels: a box of 32 × 32 around the anchor."""
    model = tiny()
    distances = torch.full((1, model.num_anchors, 4, model.bins), -50.0)
    distances[..., 2] = 50
    boxes = model.decode(distances.flatten(2), model.anchors, model.anchor_strides)
    assert torch.allclose(boxes[0, 0], torch.tensor([4.0 - 16, 4 - 16, 4 + 16, 4 + 16]), atol=1e-4)


@pytest.mark.parametrize("branch", ["one_to_one", "one_to_many"])
def test_prediction_is_sorted_and_of_fixed_size(branch: str) -> None:
    model = tiny().eval()
    with torch.no_grad():
        found = model.predict(torch.rand(2, 3, 96, 96), branch=branch, top_k=50)  # type: ignore[arg-type]
    boxes, scores, labels = found["boxes"], found["scores"], found["labels"]
    assert boxes.shape == (2, 50, 4) and scores.shape == labels.shape == (2, 50)
    assert (scores.diff(dim=1) <= 0).all() and labels.max() < 3
    assert (boxes[..., 2:] >= boxes[..., :2]).all()


def test_wrong_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match="multiple of 32"):
        tiny(image_size=100)
    with pytest.raises(ConfigError, match="num_classes=0"):
        tiny(num_classes=0)


@pytest.mark.parametrize("backbone", ["convnext_atto", "mambaout_femto", "resnet10t"])
def test_backbones_of_every_family(backbone: str) -> None:
    """A ConvNeXt counts its maps from stride 4, a MambaOut gives them with the channels last."""
    model = DenseDetector(backbone, num_classes=2, image_size=64, channels=16, prototypes=4).eval()
    with torch.no_grad():
        found = model.predict(torch.rand(1, 3, 64, 64), top_k=20)
    assert found["boxes"].shape == (1, 20, 4) and found["prototypes"].shape == (1, 4, 16, 16)


@pytest.mark.parametrize("backbone", ["vit_tiny_patch16_224", "levit_128s"])
def test_backbones_without_a_pyramid_are_refused(backbone: str) -> None:
    with pytest.raises(
        ConfigError, match=rf"{backbone}: its maps have the strides \[16.* wants \[8, 16, 32\], as a ResNet"
    ):
        DenseDetector(backbone, num_classes=2, image_size=64, channels=16)


def test_first_of_each_agrees_with_nms_where_no_chain_forms() -> None:
    """Clusters far apart, each of near copies: there greedy NMS and the matrix of overlaps keep the same."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.arange(12.0).repeat_interleave(4)[:, None] * 100
    corners = torch.cat([centres, centres], dim=1) + torch.rand(48, 2, generator=generator) * 2
    boxes = torch.cat([corners, corners + 40], dim=1)[None]
    scores = torch.rand(1, 48, generator=generator).sort(dim=1, descending=True).values
    labels = torch.randint(0, 2, (1, 48), generator=generator)
    boxes, labels = boxes[:, (order := torch.randperm(48, generator=generator))], labels[:, order]
    found, expected = (drop(boxes, scores, labels, 0.65) for drop in (first_of_each, suppress))
    torch.testing.assert_close(found[0], expected[0])
    kept = int((found[0] > 0).sum())
    assert 12 <= kept <= 24 and torch.equal(found[1][:, :kept], expected[1][:, :kept])


def test_first_of_each_is_the_whole_matrix_of_overlaps() -> None:
    """300 boxes: two whole blocks and a part, rivals within one and across them."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(300, 2, generator=generator) * 100
    boxes = torch.cat([corners, corners + 20 + torch.rand(300, 2, generator=generator) * 20], dim=1)
    scores = torch.rand(300, generator=generator).sort(descending=True).values
    labels = torch.randint(0, 3, (300,), generator=generator)
    rivals = (box_iou(boxes, boxes) > 0.5) & (labels[:, None] == labels) & torch.ones(300, 300).triu(1).bool()
    kept = torch.where(~rivals.any(dim=0))[0]
    assert 100 < len(kept) < 250
    found, order = first_of_each(boxes[None], scores[None], labels[None], 0.5)
    assert order[0, : len(kept)].tolist() == kept.tolist()
    assert found[0, : len(kept)].tolist() == scores[kept].tolist() and not found[0, len(kept) :].any()


def test_both_branches_report_no_doubles() -> None:
    model = tiny(num_classes=1).eval()
    with torch.no_grad():
        for branch in BRANCHES:
            found = model.predict(torch.rand(1, 3, 96, 96), branch=branch, top_k=189, nms_iou=0.3)
            boxes = found["boxes"][0][found["scores"][0] > 0]
            assert 0 < len(boxes) < 189
            assert float((box_iou(boxes, boxes) - torch.eye(len(boxes))).max()) <= 0.3 + 1e-5
