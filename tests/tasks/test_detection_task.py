"""The detection task beyond one picture at one size: masks, tiles, other sizes, models with losses of their own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hydra.errors import InstantiationException
from omegaconf import OmegaConf
from torch import Tensor, nn

from facings.commands.composition import compose_verb
from facings.commands.evaluate import run as evaluate
from facings.commands.train import run as train
from facings.data.coco import read_coco
from facings.errors import CheckpointError, ConfigError
from facings.models.detectors.dense import DenseDetector
from facings.tasks.checkpoint import load_fitting_weights, load_model
from facings.tasks.detection import DetectionTask, check_truth, detection_figures, rescaled, targets_of
from tests.conftest import TINY_DETECTOR, TinyShop
from tests.tasks.conftest import squares_config, training, write_squares


@pytest.fixture(scope="module")
def outlined(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of a tiny detector with masks and an attribute that no data knows."""
    folder = tmp_path_factory.mktemp("outlined")
    words = [*TINY_DETECTOR, f"paths.data_dir={tiny_data}", "model.prototypes=8", "data.copy_paste=0.5"]
    train(compose_verb("train", [*words, "attributes=[bagged]"], output_dir=folder))
    return folder


def test_a_run_with_masks_ends_with_their_figures_and_pictures(outlined: Path) -> None:
    figures = json.loads((outlined / "results.json").read_text())
    assert {"mask_ap", "mask_ap50", "boundary_ap", "recall50", "ap_100", "ar_1000"} <= set(figures)
    predictions = json.loads((outlined / "predictions" / "test.json").read_text())
    assert predictions and all(set(entry["segmentation"]) == {"size", "counts"} for entry in predictions)
    drawn = {path.name for path in (outlined / "plots").iterdir()}
    assert {"pr_curve.png", "worst.jpg", "best.jpg", "train_batches.jpg"} <= drawn


def test_evaluation_gives_details_of_masks_too(outlined: Path, tmp_path: Path) -> None:
    checkpoint = outlined / "checkpoints" / "best.ckpt"
    figures = evaluate(compose_verb("evaluate", [f"checkpoint={checkpoint}"], output_dir=tmp_path))
    ended = json.loads((outlined / "results.json").read_text())
    assert figures["mask_ap"] == pytest.approx(ended["mask_ap"], abs=1e-6)
    assert {"f1", "f1_threshold", "olrp", "d_ece", "laece"} <= set(figures)
    details = json.loads((tmp_path / "details.json").read_text())
    for kind in ("boxes", "masks"):
        assert [row["name"] for row in details[kind]["per_class"]] == ["packaged", "produce"]
        for rows in details[kind]["slices"].values():
            assert sum(row["objects"] for row in rows) > 0


def test_one_tile_gives_what_the_whole_picture_gives(tiny_shop: TinyShop, tmp_path: Path) -> None:
    words = [f"checkpoint={tiny_shop.detector}"]
    whole = evaluate(compose_verb("evaluate", words, output_dir=tmp_path / "whole"))
    tiles = "tiles={size: 160, overlap: 40, whole: false}"
    tiled = evaluate(compose_verb("evaluate", [*words, tiles], output_dir=tmp_path / "tiled"))
    assert tiled["ap"] == pytest.approx(whole["ap"], abs=1e-6)
    found = [
        json.loads((tmp_path / name / "predictions" / "detections.json").read_text()) for name in ("whole", "tiled")
    ]
    np.testing.assert_allclose(*([entry["score"] for entry in one] for one in found), atol=1e-5)


def test_training_and_evaluation_in_tiles(tiny_data: Path, tmp_path: Path) -> None:
    words = [
        *TINY_DETECTOR,
        f"paths.data_dir={tiny_data}",
        "tiles={size: 96, overlap: 32, whole: true}",
        "image_size=96",
    ]
    # So little trained, hardly an anchor is chosen.
    words += ["model.prototypes=8", "trainer.max_epochs=1", "task.module.branch=one_to_many"]
    figures = train(compose_verb("train", words, output_dir=tmp_path))
    assert np.isfinite(figures["ap"]) and np.isfinite(figures["mask_ap"])
    predictions = json.loads((tmp_path / "predictions" / "test.json").read_text())
    # Boxes are of the whole picture, beyond the first tile.
    assert max(entry["bbox"][0] for entry in predictions) > 96


def test_another_size_and_branch_at_evaluation(tiny_shop: TinyShop, tmp_path: Path) -> None:
    words = [f"checkpoint={tiny_shop.detector}", "branch=one_to_many", "image_size=160"]
    assert np.isfinite(evaluate(compose_verb("evaluate", words, output_dir=tmp_path))["ap"])


def test_multi_scale_training_draws_other_sizes(
    tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[int] = []
    forward = DenseDetector.forward

    def noted(self: DenseDetector, pixels: Tensor) -> dict[str, Tensor]:
        seen.append(pixels.shape[-1])
        return forward(self, pixels)

    monkeypatch.setattr(DenseDetector, "forward", noted)
    words = [*TINY_DETECTOR, f"paths.data_dir={tiny_data}", "task.module.multi_scale=[0.5,1.5]", "test=false"]
    train(compose_verb("train", [*words, "trainer.max_epochs=4", "trainer.limit_val_batches=0"], output_dir=tmp_path))
    assert set(seen) <= {64, 96, 128, 160, 192} and len(set(seen)) > 1


def test_rescaling_moves_the_truth_along() -> None:
    masks = torch.zeros(64, 64, dtype=torch.int16)
    masks[16:32, 8:24] = 1
    target = {"boxes": torch.tensor([[8.0, 16, 24, 32]]), "labels": torch.tensor([0]), "masks": masks}
    pixels, (found,) = rescaled(masks[None, None].float().expand(1, 3, -1, -1), [target], 128)
    assert pixels.shape == (1, 3, 128, 128) and found["boxes"].tolist() == [[16, 32, 48, 64]]
    assert found["masks"].dtype == torch.int16
    rows, columns = torch.nonzero(found["masks"], as_tuple=True)
    assert [int(columns.min()), int(rows.min()), int(columns.max()) + 1, int(rows.max()) + 1] == [16, 32, 48, 64]
    assert float(((pixels[0, 0] > 0.5) == (found["masks"] > 0)).float().mean()) > 0.98


def test_a_model_s_own_losses_are_used() -> None:
    class Own(nn.Module):
        def losses(self, pixels: Tensor, targets: list[dict[str, Tensor]]) -> dict[str, Tensor]:
            return {"loss": pixels.sum() * 0 + len(targets)}

    settings: dict[str, Any] = {"optimizer": torch.optim.SGD, "scheduler": torch.optim.lr_scheduler.ConstantLR}
    task = DetectionTask(Own(), nn.Identity(), learning_rate=0.1, **settings)
    batch = {"boxes": [torch.zeros(0, 4)] * 2, "labels": [torch.zeros(0, dtype=torch.long)] * 2}
    assert float(task._losses(torch.zeros(2, 3, 32, 32), targets_of(batch))["loss"]) == 2


class Knowing(nn.Module):
    """Finds the objects of the first of the squares, and nothing else."""

    num_anchors = 100

    def __init__(self, boxes: Tensor, labels: Tensor) -> None:
        super().__init__()
        self.boxes, self.labels = boxes, labels

    def predict(self, pixels: Tensor, **settings: Any) -> dict[str, Tensor]:
        scores = torch.full((len(pixels), len(self.labels)), 0.9)
        return {"boxes": self.boxes[None], "labels": self.labels[None], "scores": scores}


@pytest.mark.parametrize("limit", [1, 0.2])
def test_pictures_that_were_not_looked_at_are_not_missed(tmp_path: Path, limit: float) -> None:
    cfg = squares_config(write_squares(tmp_path / "squares"), tmp_path, f"trainer.limit_val_batches={limit}")
    built = training(cfg)
    first = built.data.val_table.images[0]
    built.task.model = Knowing(torch.from_numpy(first.boxes), torch.from_numpy(first.labels))
    built.data.eval_batch_size = 1
    built.trainer.validate(built.task, datamodule=built.data, verbose=False)
    assert built.task.results["ap50"] == built.task.results["recall50"] == 1.0


class Blind(nn.Module):
    """Makes masks, and is sure of nothing."""

    num_anchors = 100

    def predict(self, pixels: Tensor, **settings: Any) -> dict[str, Tensor]:
        count = len(pixels)
        boxes = {"boxes": torch.zeros(count, 1, 4), "scores": torch.zeros(count, 1), "labels": torch.zeros(count, 1)}
        return boxes | {"coefficients": torch.zeros(count, 1, 2), "prototypes": torch.zeros(count, 2, 16, 16)}


def test_masks_of_nothing_found_have_figures(tmp_path: Path) -> None:
    built = training(squares_config(write_squares(tmp_path / "squares", 2), tmp_path))
    built.task.model = Blind()
    built.trainer.validate(built.task, datamodule=built.data, verbose=False)
    assert (built.task.results["ap"], built.task.results["mask_ap"], built.task.predictions) == (0.0, 0.0, [])


def test_recall_of_a_crowded_frame_is_not_cut_short() -> None:
    boxes = [[20 * (n % 30), 20 * (n // 30), 18, 18] for n in range(600)]
    known = [{"image_id": 1, "category_id": 1, "bbox": box, "attributes": {"bagged": True}} for box in boxes]
    truth = {"images": [{"id": 1}], "categories": [{"id": 1, "name": "can"}]}
    truth["annotations"] = [entry | {"id": n, "area": 324, "iscrowd": 0} for n, entry in enumerate(known, 1)]  # type: ignore[operator]
    found = [entry | {"score": 1 - n / 1000, "attributes": {"bagged": float(n < 300)}} for n, entry in enumerate(known)]
    figures = detection_figures(truth, found)
    assert (figures["recall50"], figures["attribute_bagged"]) == (1.0, 0.5)


def test_what_no_object_teaches_is_told_before_training(tmp_path: Path) -> None:
    squares = write_squares(tmp_path / "squares")
    path = squares / "instances.json"
    model = DenseDetector(
        "mobilenetv4_conv_small_050", num_classes=2, image_size=64, channels=16, prototypes=4, attributes=["baged"]
    )
    content = json.loads(path.read_text())
    content["annotations"][0]["attributes"] = {"bagged": True}
    path.write_text(json.dumps(content))
    with pytest.warns(UserWarning, match=r"attributes=\['baged'\]: .*it tells of \['bagged'\]"):
        check_truth(model, read_coco(path, squares / "images"))
    for entry in content["annotations"]:
        del entry["segmentation"]
    path.write_text(json.dumps(content))
    with pytest.raises(ConfigError, match=r"model.prototypes: .*instances.json holds no outlines"):
        check_truth(model, read_coco(path, squares / "images"))


def test_bad_settings_are_named(tiny_data: Path, tmp_path: Path) -> None:
    words = [*TINY_DETECTOR, f"paths.data_dir={tiny_data}"]
    for word, message in (
        ("task.module.multi_scale=[1.5,0.5]", "the smaller first"),
        ("loss.class_weights=[1.0]", "2 numbers, one for each of packaged, produce"),
        ("loss.class_weights=equal", "expected balanced"),
        ("loss=none", "loss=none"),
    ):
        # Hydra wraps what a constructor raises; the command line unwraps it.
        with pytest.raises((ConfigError, InstantiationException), match=message):
            train(compose_verb("train", [*words, word], output_dir=tmp_path / "run"))


def test_automatic_batch_size_is_recorded(tiny_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("facings.commands.train.LARGEST_BATCH", 4)
    words = [*TINY_DETECTOR, f"paths.data_dir={tiny_data}", "data.batch_size=auto", "debug=fast", "test=false"]
    train(compose_verb("train", words, output_dir=tmp_path))
    assert OmegaConf.load(tmp_path / "config.yaml").data.batch_size == 4


def test_balanced_class_weights_reach_the_loss(tiny_data: Path, tmp_path: Path) -> None:
    words = [*TINY_DETECTOR, f"paths.data_dir={tiny_data}", "loss.class_weights=balanced", "debug=fast"]
    assert np.isfinite(train(compose_verb("train", words, output_dir=tmp_path))["minutes"])


def test_weights_serve_other_classes_and_masks(tiny_shop: TinyShop) -> None:
    state = torch.load(tiny_shop.detector, weights_only=True)["state_dict"]
    settings: dict[str, Any] = {"image_size": 128, "channels": 64}
    model = DenseDetector("mobilenetv4_conv_small_050", num_classes=7, prototypes=8, **settings)
    anew = load_fitting_weights(model, state, source="x")
    assert any(name.startswith("classes.outputs") for name in anew) and any(
        name.startswith("prototypes") for name in anew
    )
    assert not any(name.startswith("backbone") for name in anew)
    trained, _ = load_model(tiny_shop.detector, "detection")
    torch.testing.assert_close(model.neck.state_dict(), trained.neck.state_dict())  # type: ignore[union-attr]
    with pytest.raises(CheckpointError, match=r"only .* weights fit"):
        load_fitting_weights(DenseDetector("resnet18", num_classes=2, **settings), state, source="x")
