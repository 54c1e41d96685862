"""The dense detector's geometry."""

import pytest
import torch

from facings.errors import ConfigError
from facings.models.detectors.dense import Branch, DenseDetector, anchor_points, peaks

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


def test_peaks_by_hand() -> None:
    """A field of halves on the finest map, higher at one cell: its eight neighbours go, and of the rest what is below a cell
    of the coarser map that scores more."""
    scores = torch.zeros(1, 64 + 16 + 4)
    finest, middle = scores[0, :64].view(8, 8), scores[0, 64:80].view(4, 4)
    finest += 0.5
    finest[2, 2] = 0.9
    middle[3, 3] = 0.7
    wanted = finest.clone()
    wanted[1:4, 1:4] = 0
    wanted[2, 2] = 0.9
    wanted[6:8, 6:8] = 0
    found = peaks(scores, 64, 64)
    assert torch.equal(found[0, :64].view(8, 8), wanted)
    assert found[0, 64:80].view(4, 4)[3, 3] == 0.7 and int((found[0, 64:] > 0).sum()) == 1


def test_one_to_one_reports_no_two_neighbours_and_one_to_many_does() -> None:
    model = tiny().eval()
    with torch.no_grad():
        one, many = (model.predict(torch.rand(1, 3, 96, 96), branch=b, top_k=189, nms_iou=1.0) for b in BRANCHES)
    assert int((one["scores"] > 0).sum()) < int((many["scores"] > 0).sum()) == 189
