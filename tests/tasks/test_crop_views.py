"""Views of crops, against slicing by hand, and an averaged model in ONNX Runtime."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.export.networks import export_embedder
from facings.tasks.crop_views import Averaged, check_averaging, crop_views, resized
from tests.tasks.colour_crops import SIDE, colour_embedder

CROPS = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_views_of_a_crop() -> None:
    assert [view is CROPS for view in crop_views(CROPS, "none")] == [True]
    mirrored = crop_views(CROPS, "flip")[1]
    np.testing.assert_array_equal(mirrored.numpy(), CROPS.numpy()[..., ::-1])
    views = crop_views(CROPS, "multicrop")
    assert len(views) == 6 and views[0] is CROPS and all(view.shape == CROPS.shape for view in views)
    both = crop_views(CROPS, "multicrop_flip")
    assert len(both) == 12
    for number, view in enumerate(views):
        np.testing.assert_array_equal(both[number].numpy(), view.numpy())
        np.testing.assert_array_equal(both[6 + number].numpy(), view.numpy()[..., ::-1])


def test_the_five_crops_are_pillows() -> None:
    views = crop_views(CROPS, "multicrop")[1:]
    for view, (y, x) in zip(views, ((0, 0), (0, 4), (4, 0), (4, 4), (2, 2)), strict=True):
        plane = Image.fromarray(CROPS[1, 2].numpy())
        enlarged = plane.resize((32, 32), Image.Resampling.BILINEAR, box=(x, y, x + 28, y + 28))
        # Pillow smooths with pixels outside of the box; within it the two agree.
        np.testing.assert_allclose(view[1, 2, 2:-2, 2:-2].numpy(), np.asarray(enlarged)[2:-2, 2:-2], atol=1e-5)


def test_smaller_is_pillows_too() -> None:
    plane = Image.fromarray(CROPS[0, 0].numpy()).resize((20, 20), Image.Resampling.BILINEAR)
    np.testing.assert_allclose(resized(CROPS, 20)[0, 0].numpy(), np.asarray(plane), atol=1e-5)
    assert resized(CROPS, 32) is CROPS


@pytest.mark.parametrize("mode, count", [("flip", 2), ("multicrop", 6), ("multicrop_flip", 12)])
def test_averaged_is_the_mean_direction_also_in_onnx(mode: str, count: int, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = colour_embedder()
    model(torch.randn(8, 3, SIDE, SIDE))
    averaged = Averaged(model, mode).eval()  # type: ignore[arg-type]
    assert averaged.dimension == 16
    with torch.no_grad():
        views = crop_views(CROPS, mode)  # type: ignore[arg-type]
        expected = F.normalize(sum(model(view) for view in views) / count, dim=1)
        torch.testing.assert_close(averaged(CROPS), expected)
    export_embedder(averaged, tmp_path / "embedder.onnx", image_size=SIDE, opset=20)
    assert {node.domain for node in onnx.load(str(tmp_path / "embedder.onnx")).graph.node} == {""}
    session = ort.InferenceSession(tmp_path / "embedder.onnx")
    for batch in (1, 3):
        (found,) = session.run(["embeddings"], {"crops": CROPS[:batch].numpy()})
        np.testing.assert_allclose(found, expected[:batch].numpy(), atol=2e-5)


def test_an_unknown_way_is_refused() -> None:
    with pytest.raises(
        ConfigError, match=r"task\.module\.tta='ten': expected one of none, flip, multicrop, multicrop_flip"
    ):
        check_averaging("ten")
