"""Mask losses by hand, by a second formula, and by learning one frame."""

import pytest
import torch
from torch.nn import functional as F

from facings.losses.detection import DetectionLoss
from facings.losses.masks import box_windows, mask_loss, mask_targets
from facings.models.detectors.dense import DenseDetector


def test_targets_are_shares_of_cells() -> None:
    identities = torch.zeros(8, 8, dtype=torch.int16)
    identities[0:4, 0:6] = 2
    identities[4:8, 0:8] = 1
    found = mask_targets(identities, torch.tensor([0, 1]), (2, 2))
    assert found.tolist() == [[[0, 0], [1, 1]], [[1, 0.5], [0, 0]]]


def test_windows_hold_every_cell_that_a_box_touches() -> None:
    found = box_windows(torch.tensor([[0.5, 1.0, 2.2, 3.0]]), 4, 4)
    assert found[0].tolist() == [[0, 0, 0, 0], [1, 1, 1, 0], [1, 1, 1, 0], [0, 0, 0, 0]]


def test_loss_agrees_with_cutting_the_box_out() -> None:
    generator = torch.Generator().manual_seed(0)
    coefficients, prototypes = torch.randn(2, 4, generator=generator), torch.randn(4, 6, 6, generator=generator)
    targets = (torch.rand(2, 6, 6, generator=generator) > 0.5).float()
    boxes = torch.tensor([[1.0, 1, 4, 5], [0, 0, 6, 6]])
    found = mask_loss(coefficients, prototypes, targets, boxes)
    for number, (x1, y1, x2, y2) in enumerate(boxes.int().tolist()):
        logits = sum(coefficients[number, k] * prototypes[k] for k in range(4))[y1:y2, x1:x2]
        wanted = targets[number, y1:y2, x1:x2]
        p = logits.sigmoid()
        dice = 1 - (2 * (p * wanted).sum() + 1) / (p.sum() + wanted.sum() + 1)
        expected = F.binary_cross_entropy(p, wanted) + dice
        assert float(found[number]) == pytest.approx(float(expected), abs=1e-5)


def test_a_tiny_detector_learns_the_outline_of_one_frame() -> None:
    torch.manual_seed(0)
    model = DenseDetector("mobilenetv4_conv_small_050", num_classes=1, image_size=64, channels=32, prototypes=8)
    pixels = torch.zeros(2, 3, 64, 64)
    y, x = torch.meshgrid(torch.arange(64), torch.arange(64), indexing="ij")
    disc = (x - 32) ** 2 + (y - 32) ** 2 < 20**2
    pixels[:, :, disc] = 1.0
    masks = disc.to(torch.int16)
    target = {"boxes": torch.tensor([[12.0, 12, 52, 52]]), "labels": torch.tensor([0]), "masks": masks}
    loss, optimizer = DetectionLoss(), torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(60):
        value = loss(model(pixels), [target, target], decode=model.decode)["loss"]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    with torch.no_grad():
        found = model.predict(pixels, branch="one_to_many", top_k=5)
    logits = torch.einsum("k,khw->hw", found["coefficients"][0, 0], found["prototypes"][0])
    drawn = F.interpolate(logits[None, None], size=(64, 64), mode="bilinear")[0, 0] > 0
    x1, y1, x2, y2 = found["boxes"][0, 0].round().int().clamp(0, 64).tolist()
    inside = torch.zeros(64, 64, dtype=torch.bool)
    inside[y1:y2, x1:x2] = True
    drawn &= inside
    assert float((drawn & disc).sum() / (drawn | disc).sum()) > 0.8


def test_objects_without_outline_cost_no_mask_loss() -> None:
    model = DenseDetector("mobilenetv4_conv_small_050", num_classes=1, image_size=64, channels=32, prototypes=8)
    boxes = {"boxes": torch.tensor([[8.0, 8, 40, 40]]), "labels": torch.tensor([0])}
    raw = model(torch.rand(1, 3, 64, 64))
    nothing = DetectionLoss()(raw, [boxes | {"masks": torch.zeros(64, 64, dtype=torch.int16)}], decode=model.decode)
    assert float(nothing["mask"]) == 0
    assert float(DetectionLoss()(raw, [boxes], decode=model.decode)["mask"]) == 0


def test_attributes_learn_and_unknown_answers_cost_nothing() -> None:
    torch.manual_seed(0)
    model = DenseDetector(
        "mobilenetv4_conv_small_050", num_classes=1, image_size=64, channels=32, attributes=("packaged", "bagged")
    )
    pixels = torch.rand(2, 3, 64, 64)
    target = {"boxes": torch.tensor([[8.0, 8, 40, 40]]), "labels": torch.tensor([0])}
    known = target | {"attributes": torch.tensor([[1.0, float("nan")]])}
    other = target | {"attributes": torch.tensor([[0.0, float("nan")]])}
    unknown = target | {"attributes": torch.full((1, 2), float("nan"))}
    loss = DetectionLoss()
    assert float(loss(model(pixels), [unknown, target], decode=model.decode)["attributes"]) == 0
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3)
    for _ in range(40):
        value = loss(model(pixels), [known, other], decode=model.decode)["loss"]
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
    with torch.no_grad():
        found = model.predict(pixels, branch="one_to_many", top_k=1)["attributes"]
    assert found.shape == (2, 1, 2) and found[0, 0, 0] > 0.5 > found[1, 0, 0]


def test_class_weights_scale_the_class_loss() -> None:
    model = DenseDetector("mobilenetv4_conv_small_050", num_classes=2, image_size=64, channels=32)
    target = {"boxes": torch.tensor([[8.0, 8, 40, 40]]), "labels": torch.tensor([0])}
    raw = model(torch.rand(1, 3, 64, 64))
    plain = DetectionLoss()(raw, [target], decode=model.decode)
    double = DetectionLoss(class_weights=[2.0, 2.0])(raw, [target], decode=model.decode)
    assert float(double["class"]) == pytest.approx(2 * float(plain["class"]), rel=1e-5)
    assert float(double["box"]) == pytest.approx(float(plain["box"]))
