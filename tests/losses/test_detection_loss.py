"""Assignment and loss on cases that can be checked by hand or by a second formula."""

import pytest
import torch
from torch.nn import functional as F
from torchvision.ops import generalized_box_iou_loss

from facings.losses.assignment import Assignment, one_to_one, task_aligned
from facings.losses.detection import DetectionLoss, _product_entropy
from facings.models.detectors.dense import DenseDetector, anchor_points, suppress


def test_assignment_takes_anchors_inside_and_one_object_each() -> None:
    anchors, _ = anchor_points(64, 64)
    truth = torch.tensor([[4.0, 4, 36, 36], [30, 30, 60, 60]])
    boxes = torch.cat([anchors - 12, anchors + 12], dim=1)
    scores = torch.full((len(anchors), 1), 0.5)
    found = task_aligned(scores, boxes, anchors, truth, torch.zeros(2, dtype=torch.long), top_k=5)
    inside = ((anchors[:, None] > truth[None, :, :2]) & (anchors[:, None] < truth[None, :, 2:])).all(dim=2)
    for number in torch.nonzero(found.positive).flatten().tolist():
        assert inside[number, int(found.object[number])]
    assert 2 <= int(found.positive.sum()) <= 10


def test_assignment_without_objects_is_empty() -> None:
    anchors, _ = anchor_points(64, 64)
    boxes = torch.cat([anchors - 4, anchors + 4], dim=1)
    none = task_aligned(
        torch.rand(len(anchors), 2), boxes, anchors, torch.zeros(0, 4), torch.zeros(0, dtype=torch.long), top_k=5
    )
    assert not none.positive.any()


def alone(truth: torch.Tensor, scores: torch.Tensor | None = None) -> tuple[Assignment, torch.Tensor]:
    """The one-to-one assignment on anchors that all predict a box of 24 pixels around themselves."""
    anchors, strides = anchor_points(64, 64)
    boxes = torch.cat([anchors - 12, anchors + 12], dim=1)
    scores = torch.full((len(anchors), 1), 0.5) if scores is None else scores
    labels = torch.zeros(len(truth), dtype=torch.long)
    return one_to_one(scores, boxes, anchors, strides, truth, labels), anchors


def test_one_to_one_gives_each_object_the_anchor_at_its_centre() -> None:
    found, anchors = alone(torch.tensor([[0.0, 0, 24, 24], [32, 32, 56, 56]]))
    assert found.object[found.positive].tolist() == [0, 1]
    assert anchors[found.positive].tolist() == [[12, 12], [44, 44]]
    # Both anchors predict their object exactly.
    assert found.quality[found.positive].flatten().tolist() == pytest.approx([1, 1], abs=1e-5)


def test_objects_that_want_one_anchor_get_one_each() -> None:
    """Five goods on one spot: the first choice is everybody's, and still none goes without."""
    shifts = torch.arange(5.0)[:, None] * 0.1
    truth = torch.tensor([[20.0, 20, 44, 44]]) + shifts
    found, _ = alone(truth)
    assert sorted(found.object[found.positive].tolist()) == [0, 1, 2, 3, 4]


def test_one_to_one_on_a_thousand_touching_goods_gives_nearly_all_an_anchor() -> None:
    cells = torch.arange(32) * 20.0
    y, x = torch.meshgrid(cells, cells, indexing="ij")
    corners = torch.stack([x, y], dim=-1).reshape(-1, 2)[:1000]
    truth = torch.cat([corners, corners + 20], dim=1)
    anchors, strides = anchor_points(640, 640)
    boxes = torch.cat([anchors - 10, anchors + 10], dim=1)
    scores = torch.rand(len(anchors), 1, generator=torch.Generator().manual_seed(0))
    found = one_to_one(scores, boxes, anchors, strides, truth, torch.zeros(1000, dtype=torch.long))
    owners = found.object[found.positive]
    assert len(owners) == len(owners.unique()) == 1000


def test_one_to_one_without_objects_is_empty() -> None:
    found, _ = alone(torch.zeros(0, 4))
    assert not found.positive.any() and not found.quality.any()


def test_loss_falls_when_a_tiny_detector_learns_one_frame() -> None:
    torch.manual_seed(0)
    model = DenseDetector("mobilenetv4_conv_small_050", num_classes=2, image_size=64, channels=32)
    loss = DetectionLoss()
    pixels = torch.rand(1, 3, 64, 64)
    targets = [{"boxes": torch.tensor([[8.0, 8, 40, 40], [30, 20, 60, 60]]), "labels": torch.tensor([0, 1])}]
    optimizer = torch.optim.AdamW(model.parameters(), 2e-3)
    values = []
    for _ in range(40):
        losses = loss(model(pixels), targets, decode=model.decode)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        values.append(float(losses["loss"]))
    assert values[-1] < 0.6 * values[0]


def test_choosing_changes_nothing_but_itself() -> None:
    model = DenseDetector("mobilenetv4_conv_small_050", num_classes=1, image_size=64, channels=32)
    targets = [{"boxes": torch.tensor([[8.0, 8, 40, 40]]), "labels": torch.tensor([0])}]
    pixels, gradients = torch.rand(1, 3, 64, 64), []
    for weight in (0.0, 5.0):
        model.zero_grad()
        DetectionLoss(choice_weight=weight)(model(pixels), targets, decode=model.decode)["loss"].backward()
        gradients.append({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})
    for name, gradient in gradients[0].items():
        if name.startswith("choice"):
            assert not gradient.any() and gradients[1][name].any()
        else:
            torch.testing.assert_close(gradient, gradients[1][name])


def test_entropy_of_a_product_equals_torch_s() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = (torch.randn(50, generator=generator) * 3 for _ in range(2))
    wanted = torch.rand(50, generator=generator)
    expected = F.binary_cross_entropy(first.sigmoid() * second.sigmoid(), wanted, reduction="none")
    torch.testing.assert_close(_product_entropy(first, second, wanted), expected, rtol=1e-4, atol=1e-5)


def test_empty_frames_have_a_finite_loss() -> None:
    model = DenseDetector("mobilenetv4_conv_small_050", num_classes=1, image_size=64, channels=32)
    targets = [{"boxes": torch.zeros(0, 4), "labels": torch.zeros(0, dtype=torch.long)}]
    losses = DetectionLoss()(
        model(torch.rand(1, 3, 64, 64)),
        targets,
        decode=model.decode,
    )
    assert torch.isfinite(losses["loss"])


def test_giou_of_disjoint_boxes_by_hand() -> None:
    """Two unit squares one apart: IoU 0, hull 3, union 2: GIoU = -1/3, the loss 4/3."""
    first, second = torch.tensor([[0.0, 0, 1, 1]]), torch.tensor([[2.0, 0, 3, 1]])
    assert float(generalized_box_iou_loss(first, second)) == pytest.approx(4 / 3, abs=1e-5)


def test_suppression_drops_doubles_of_one_class_only() -> None:
    boxes = torch.tensor([[[0.0, 0, 10, 10], [1, 0, 11, 10], [0, 0, 10, 10]]])
    scores, labels = torch.tensor([[0.9, 0.8, 0.7]]), torch.tensor([[0, 0, 1]])
    kept, order = suppress(boxes, scores, labels, 0.5)
    assert torch.allclose(kept, torch.tensor([[0.9, 0.7, 0.0]])) and labels.gather(1, order).tolist() == [[0, 1, 0]]
