"""The baselines keep the detectors' contract, and are what their libraries make of the same weights."""

import importlib.util
import json
from collections import OrderedDict
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf
from torch import Tensor, nn
from torchvision.models.detection.generalized_rcnn import GeneralizedRCNN
from torchvision.models.detection.roi_heads import paste_masks_in_image, project_masks_on_boxes
from torchvision.models.detection.transform import GeneralizedRCNNTransform
from torchvision.ops import box_iou

from facings.commands.composition import compose_verb
from facings.commands.train import build_model
from facings.errors import ConfigError, DataError
from facings.models.detectors.baselines import fixed_size, usable
from facings.models.detectors.torchvision_one_stage import FCOS, OneStageDetector, RetinaNet
from facings.models.detectors.torchvision_rcnn import FasterRCNN, MaskRCNN, box_masks
from facings.models.detectors.transformer_baselines import TransformerDetector
from facings.tasks.checkpoint import load_model

SIZE = 64
TINY: dict[str, Any] = {"num_classes": 2, "image_size": SIZE, "channels": 32}
RCNN: dict[str, Any] = TINY | {"roi_samples": 32}
needs_transformers = pytest.mark.skipif(
    importlib.util.find_spec("transformers") is None, reason="pip install 'facings[transformers]'"
)


def tiny(name: str, **changes: Any) -> Any:
    """A baseline over the lightest backbone, with the same random weights each time."""
    torch.manual_seed(0)
    backbone = "mobilenetv4_conv_small_050"
    if name in ("faster_rcnn", "mask_rcnn"):
        return {"faster_rcnn": FasterRCNN, "mask_rcnn": MaskRCNN}[name](backbone, **(RCNN | changes))
    if name in ("retinanet", "fcos"):
        return {"retinanet": RetinaNet, "fcos": FCOS}[name](backbone, **(TINY | changes))
    architecture = {"rtdetr": "rtdetr_v2", "dfine": "d_fine"}[name]
    options = TINY | {"architecture": architecture, "queries": 40, "decoder_layers": 2} | changes
    return TransformerDetector(backbone, **options)


TORCHVISION = ["faster_rcnn", "mask_rcnn", "retinanet", "fcos"]
TRANSFORMERS = [pytest.param(name, marks=needs_transformers) for name in ("rtdetr", "dfine")]
ALL = [*TORCHVISION, *TRANSFORMERS]


def scene(count: int = 2) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Pictures with three coloured things each, two of them ellipses: class 0 is red or blue, class 1 green."""
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randn(count, 3, SIZE, SIZE, generator=generator) * 0.1
    rows, columns = torch.meshgrid(torch.arange(SIZE) + 0.5, torch.arange(SIZE) + 0.5, indexing="ij")
    targets = []
    for number in range(count):
        ids = torch.zeros(SIZE, SIZE, dtype=torch.int16)
        boxes = []
        for m, (x, y, width, height) in enumerate([(2, 8, 18, 24), (22, 24, 20, 30), (44, 6, 18, 40)]):
            y = y + 6 * number
            inside = ((columns - x - width / 2) / width * 2) ** 2 + ((rows - y - height / 2) / height * 2) ** 2 < 1
            if m == 2:
                inside = (columns > x) & (columns < x + width) & (rows > y) & (rows < y + height)
            ids[inside] = m + 1
            pixels[number, m][inside] += 2.0
            boxes.append([x, y, x + width, y + height])
        labels = torch.tensor([0, 1, 0])
        targets.append({"boxes": torch.tensor(boxes, dtype=torch.float32), "labels": labels, "masks": ids})
    return pixels, targets


def nothing() -> dict[str, Tensor]:
    return {
        "boxes": torch.zeros(0, 4),
        "labels": torch.zeros(0, dtype=torch.int64),
        "masks": torch.zeros(SIZE, SIZE, dtype=torch.int16),
    }


def teach(model: Any, pixels: Tensor, targets: list[dict[str, Tensor]], steps: int, rate: float = 1e-3) -> list[float]:
    optimizer = torch.optim.AdamW(model.parameters(), rate)
    history = []
    model.train()
    for _ in range(steps):
        losses = model.losses(pixels, targets)
        optimizer.zero_grad()
        losses["loss"].backward()
        optimizer.step()
        history.append(losses["loss"].item())
    return history


@pytest.mark.parametrize("name", ALL)
def test_learning_lowers_the_loss(name: str) -> None:
    pixels, targets = scene()
    history = teach(tiny(name), pixels, targets, steps=15)
    assert sum(history[-3:]) < 0.8 * sum(history[:3])


@pytest.mark.parametrize("name", ALL)
def test_parts_make_up_the_loss(name: str) -> None:
    pixels, targets = scene()
    losses = tiny(name).losses(pixels, targets)
    parts = sum(value for part, value in losses.items() if part != "loss")
    assert torch.isclose(losses["loss"], torch.as_tensor(parts), rtol=1e-5)
    assert losses["loss"].requires_grad and not any(v.requires_grad for n, v in losses.items() if n != "loss")


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("half", [True, False])
def test_pictures_without_objects_teach_every_parameter(name: str, half: bool) -> None:
    pixels, targets = scene()
    model = tiny(name).train()
    losses = model.losses(pixels, [targets[0] if half else nothing(), nothing()])
    losses["loss"].backward()
    assert torch.isfinite(losses["loss"])
    assert not [n for n, p in model.named_parameters() if p.requires_grad and p.grad is None]
    assert all(torch.isfinite(p.grad).all() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("name", ALL)
def test_prediction_is_sorted_and_of_fixed_size(name: str) -> None:
    model = tiny(name, num_classes=3).eval()
    pixels = scene()[0]
    with torch.no_grad():
        found = model.predict(pixels, branch="one_to_one", top_k=30, nms_iou=0.6)
        assert model.predict(pixels)["scores"].shape == (2, min(1000, model.num_anchors))
    boxes, scores, labels = found["boxes"], found["scores"], found["labels"]
    assert boxes.shape == (2, 30, 4) and scores.shape == labels.shape == (2, 30)
    assert labels.dtype == torch.int64 and labels.min() >= 0 and labels.max() < 3
    assert (scores.diff(dim=1) <= 0).all() and (scores >= 0).all() and (scores <= 1).all()
    assert (boxes[..., 2:] >= boxes[..., :2]).all()
    assert not boxes[scores == 0].any() and not labels[scores == 0].any()
    if name == "mask_rcnn":
        assert found["masks"].shape == (2, 30, 28, 28)
        assert found["masks"].min() >= 0 and found["masks"].max() <= 1
        assert not found["masks"][scores == 0].any()


@pytest.mark.parametrize("name", TORCHVISION)
def test_training_mode_does_not_change_what_predict_returns(name: str) -> None:
    model = tiny(name).eval()
    pixels, targets = scene()
    with torch.no_grad():
        before = model.predict(pixels)
        model.losses(pixels, targets)
        after = model.predict(pixels)
    assert all(torch.equal(before[key], after[key]) for key in before)


@pytest.mark.parametrize("name", TORCHVISION)
def test_no_cap_at_a_hundred_boxes(name: str) -> None:
    """An untrained model finds something everywhere: nothing but `detections` may end the list."""
    model = tiny(name, detections=400, score_threshold=0.0, channels=32, num_classes=20).eval()
    with torch.no_grad():
        found = model.predict(scene()[0], nms_iou=0.99)
    assert (found["scores"] > 0).sum(dim=1).tolist() == [400, 400]
    assert model.num_anchors == 400


class Maps(nn.Module):
    """The backbone and the pyramid in one, as torchvision has them."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.body, self.neck = model.backbone, model.neck

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        features = OrderedDict((str(i), feature) for i, feature in enumerate(self.body(pixels)))
        maps: dict[str, Tensor] = self.neck(features)
        return maps


def torchvision_whole(model: Any) -> Any:
    """torchvision's own detector, from picture to boxes, with the weights of ours."""
    model = deepcopy(model)
    as_it_is = GeneralizedRCNNTransform(SIZE, SIZE, [0.0] * 3, [1.0] * 3)
    if isinstance(model, OneStageDetector):
        model.network.backbone, model.network.transform = Maps(model), as_it_is
        return model.network
    if isinstance(model, MaskRCNN):
        model.roi_heads.mask_roi_pool = model.mask_pool
        model.roi_heads.mask_head, model.roi_heads.mask_predictor = model.mask_head, model.mask_predictor
    return GeneralizedRCNN(Maps(model), model.rpn, model.roi_heads, as_it_is)


def torchvision_targets(model: Any, targets: list[dict[str, Tensor]]) -> list[dict[str, Tensor]]:
    shift = 0 if isinstance(model, OneStageDetector) else 1
    return [
        {
            "boxes": target["boxes"],
            "labels": target["labels"] + shift,
            "masks": torch.stack([target["masks"] == m + 1 for m in range(len(target["boxes"]))]).to(torch.uint8),
        }
        for target in targets
    ]


@pytest.mark.parametrize("name", TORCHVISION)
def test_losses_are_torchvisions(name: str) -> None:
    model = tiny(name).eval()
    whole = torchvision_whole(model).train()
    whole.backbone.eval()
    whole.transform.eval()  # else it draws a size at random, and the sampling that is compared goes apart
    pixels, targets = scene()
    torch.manual_seed(1)
    theirs = whole(list(pixels), torchvision_targets(model, targets))
    torch.manual_seed(1)
    ours = model.losses(pixels, targets)
    assert len(theirs) == len(ours) - 1
    ordered = sorted(value.item() for part, value in ours.items() if part != "loss")
    assert ordered == pytest.approx(sorted(value.item() for value in theirs.values()), rel=1e-4)


@pytest.mark.parametrize("name", TORCHVISION)
def test_predictions_are_torchvisions(name: str) -> None:
    model = tiny(name)
    pixels, targets = scene()
    teach(model, pixels, targets, steps=8)
    model.eval()
    with torch.no_grad():
        ours = model.predict(pixels)
        theirs = torchvision_whole(model).eval()(list(pixels))
    shift = 0 if isinstance(model, OneStageDetector) else 1
    for number, part in enumerate(theirs):
        count = len(part["scores"])
        assert count > 0 and not ours["scores"][number, count:].any()
        torch.testing.assert_close(ours["scores"][number, :count], part["scores"])
        torch.testing.assert_close(ours["boxes"][number, :count], part["boxes"])
        assert torch.equal(ours["labels"][number, :count] + shift, part["labels"])
        if name == "mask_rcnn":
            pasted = paste_masks_in_image(
                ours["masks"][number, :count, None], ours["boxes"][number, :count], (SIZE, SIZE)
            )
            torch.testing.assert_close(pasted, part["masks"], atol=1e-4, rtol=0)


def test_masks_over_boxes_are_torchvisions() -> None:
    target = scene(1)[1][0]
    generator = torch.Generator().manual_seed(0)
    numbers = torch.tensor([0, 1, 2, 1, 0, 2])
    boxes = (target["boxes"][numbers] + torch.randn(6, 4, generator=generator) * 3).clamp(0, SIZE)
    whole = torch.stack([target["masks"] == m + 1 for m in range(3)]).to(torch.uint8)
    expected = project_masks_on_boxes(whole, boxes, numbers, 28)
    torch.testing.assert_close(box_masks(target["masks"], numbers, boxes, size=28), expected)


def test_an_object_without_a_pixel_teaches_no_mask() -> None:
    pixels, targets = scene(1)
    model = tiny("mask_rcnn")
    hidden = targets[0] | {"masks": torch.zeros_like(targets[0]["masks"])}
    losses = model.losses(pixels, [hidden])
    assert losses["mask"] == 0 and losses["box"] > 0
    losses["loss"].backward()
    assert not any(p.grad.any() for p in model.mask_predictor.parameters())


def test_a_hidden_object_does_not_change_the_others_masks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three objects the second is hidden: only regions of the first and third reach the mask head."""
    pixels, targets = scene(1)
    model = tiny("mask_rcnn")
    hidden = targets[0] | {"masks": torch.where(targets[0]["masks"] == 2, 0, targets[0]["masks"])}
    seen: list[Tensor] = []
    original = model._mask_logits

    def spy(maps: Any, regions: list[Tensor], sizes: Any, classes: Tensor) -> Tensor:
        seen.extend(regions)
        logits: Tensor = original(maps, regions, sizes, classes)
        return logits

    monkeypatch.setattr(model, "_mask_logits", spy)
    model.losses(pixels, [hidden])
    nearest = box_iou(seen[0], hidden["boxes"]).argmax(dim=1)
    assert set(nearest.tolist()) == {0, 2}


@pytest.mark.parametrize("name", ALL)
def test_boxes_without_area_are_left_out(name: str) -> None:
    """And the objects behind them keep their masks: the losses are those of the same pictures without them."""
    pixels, targets = scene()
    crowded = [
        {
            "boxes": torch.cat([torch.tensor([[5.0, 5.0, 5.0, 9.0]]), target["boxes"]]),
            "labels": torch.cat([torch.tensor([1]), target["labels"]]),
            "masks": torch.where(target["masks"] > 0, target["masks"] + 1, 0).to(torch.int16),
        }
        for target in targets
    ]
    assert usable(crowded[0])["numbers"].tolist() == [1, 2, 3]
    model = tiny(name)
    torch.manual_seed(1)
    expected = model.losses(pixels, targets)
    torch.manual_seed(1)
    losses = model.losses(pixels, crowded)
    torch.testing.assert_close(losses, expected)


def test_fixed_size_by_hand() -> None:
    found = [
        {"scores": torch.tensor([0.2, 0.9, 0.4]), "labels": torch.tensor([1, 2, 3])},
        {"scores": torch.zeros(0), "labels": torch.zeros(0, dtype=torch.int64)},
    ]
    stacked = fixed_size(found, 2)
    assert stacked["labels"].tolist() == [[2, 3], [0, 0]]
    assert torch.equal(stacked["scores"], torch.tensor([[0.9, 0.4], [0.0, 0.0]]))
    assert fixed_size(found, 4)["labels"].tolist() == [[2, 3, 1, 0], [0, 0, 0, 0]]


@pytest.mark.slow
def test_mask_rcnn_learns_a_picture_by_heart() -> None:
    pixels, targets = scene(1)
    model = tiny("mask_rcnn")
    teach(model, pixels, targets, steps=60)
    teach(model, pixels, targets, steps=30, rate=2e-4)
    model.eval()
    with torch.no_grad():
        found = model.predict(pixels, top_k=20)
    # A doubtful double of another class may lie nearer to an object than what is found there with certainty.
    sure = found["scores"][0] > 0.5
    boxes, labels = found["boxes"][0, sure], found["labels"][0, sure]
    masks = paste_masks_in_image(found["masks"][0, sure][:, None], boxes, (SIZE, SIZE))[:, 0] > 0.5
    overlaps = []
    for m, (box, label) in enumerate(zip(targets[0]["boxes"], targets[0]["labels"], strict=True)):
        best = int(box_iou(box[None], boxes).argmax())
        truth = targets[0]["masks"] == m + 1
        overlaps.append(float((masks[best] & truth).sum() / (masks[best] | truth).sum()))
        assert labels[best] == label
    assert min(overlaps) > 0.65 and sum(overlaps) / 3 > 0.75, overlaps


CONFIGS = ["faster_rcnn", "mask_rcnn", "retinanet", "fcos", *TRANSFORMERS]


@pytest.mark.parametrize("option", CONFIGS)
def test_a_checkpoint_gives_the_model_back(option: str, tmp_path: Path) -> None:
    words = [f"model=detector/{option}", "num_classes=2", f"image_size={SIZE}", "model.channels=32"]
    words += ["model.pretrained=none", "model.backbone=mobilenetv4_conv_small_050"]
    words += ["model.queries=40"] if option in ("rtdetr", "dfine") else []
    cfg = compose_verb("train", words, output_dir=tmp_path)
    config = {"model": OmegaConf.to_container(cfg.model, resolve=True)}
    model = build_model(cfg).eval()
    record = {"task": "detection", "config": json.dumps(config)}
    state = {f"model.{name}": value for name, value in model.state_dict().items()}
    torch.save({"state_dict": state, "facings": record}, tmp_path / "best.ckpt")
    loaded, _ = load_model(tmp_path / "best.ckpt", "detection")
    pixels = scene()[0]
    with torch.no_grad():
        first, second = model.predict(pixels, top_k=50), loaded.predict(pixels, top_k=50)
    assert all(torch.equal(first[key], second[key]) for key in first)


@needs_transformers
@pytest.mark.parametrize("name", ["rtdetr", "dfine"])
def test_queries_become_boxes_as_in_transformers(name: str) -> None:
    from transformers import RTDetrImageProcessor

    model = tiny(name).eval()
    pixels = scene()[0]
    with torch.no_grad():
        ours = model.predict(pixels)
        raw = model._run(pixels, None)
    theirs = RTDetrImageProcessor().post_process_object_detection(raw, threshold=-1, target_sizes=[(SIZE, SIZE)] * 2)
    for number, part in enumerate(theirs):
        torch.testing.assert_close(ours["scores"][number], part["scores"])
        torch.testing.assert_close(ours["boxes"][number], part["boxes"])
        assert torch.equal(ours["labels"][number], part["labels"])


@needs_transformers
def test_truth_reaches_the_queries_in_their_units(monkeypatch: pytest.MonkeyPatch) -> None:
    """A box from (2, 8) to (20, 32) of 64 pixels has its centre at (11, 20): (0.1719, 0.3125), 0.2813 × 0.375."""
    model = tiny("rtdetr")
    pixels, targets = scene(2)
    given: list[Any] = []
    original = model._run
    monkeypatch.setattr(model, "_run", lambda pixels, labels: given.append(labels) or original(pixels, labels))
    model.losses(pixels, targets)
    assert given[0][0]["boxes"][0].tolist() == pytest.approx([11 / 64, 20 / 64, 18 / 64, 24 / 64])
    assert given[0][0]["class_labels"].tolist() == [0, 1, 0]


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find: Callable[..., Any] = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "transformers" else find(name))
    with pytest.raises(ConfigError, match=r"pip install 'facings\[transformers\]'"):
        tiny("dfine")


@pytest.mark.parametrize(
    ("name", "changes", "words"),
    [
        ("faster_rcnn", {"image_size": 100}, "image_size=100: expected a multiple of 32"),
        ("faster_rcnn", {"num_classes": 0}, "num_classes=0"),
        ("retinanet", {"detections": 0}, "detections=0"),
        ("retinanet", {"score_threshold": 1.0}, "score_threshold=1.0"),
        ("fcos", {"channels": 48}, "channels=48: FCOS"),
        ("rtdetr", {"queries": 300}, "queries=300: at image_size=64 expected 1 to 84"),
        ("dfine", {"architecture": "detr"}, "rtdetr_v2 or d_fine"),
    ],
)
def test_wrong_settings_say_what_would_do(name: str, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        tiny(name, **changes)


@pytest.mark.parametrize("name", ["fcos", pytest.param("rtdetr", marks=needs_transformers)])
def test_maps_are_found_by_their_strides(name: str) -> None:
    """Numbers that do not fit, as those of a MobileNet do not fit a ConvNeXt, give the maps that do."""
    found, wanted = tiny(name, out_indices=(1, 2, 3)), tiny(name)
    assert found.backbone.feature_info.reduction() == [8, 16, 32]
    assert {key: value.shape for key, value in found.state_dict().items()} == {
        key: value.shape for key, value in wanted.state_dict().items()
    }


def test_data_without_masks_is_refused() -> None:
    pixels, targets = scene()
    with pytest.raises(DataError, match="model=detector/faster_rcnn"):
        tiny("mask_rcnn").losses(pixels, [{"boxes": t["boxes"], "labels": t["labels"]} for t in targets])
