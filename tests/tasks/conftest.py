"""A detection set of coloured squares, 64 pixels wide, and the means to train a tiny detector on it."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import pytorch_lightning as pl
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image

from facings.commands.composition import compose_verb
from facings.commands.train import build_model, build_task, build_trainer, plain_config

SIDE = 64
TINY = (
    "data=coco", "model=detector/nano", "image_size=64", "model.channels=32", "data.batch_size=2", "data.eval_batch_size=4",
    "trainer.max_epochs=2", "trainer.accelerator=cpu", "trainer.enable_progress_bar=false", "callbacks.progress=null",
    "logger=csv", "test=false",
)  # fmt: skip


def write_squares(folder: Path, count: int = 8) -> Path:
    """`count` pictures of two or three coloured squares each, as COCO JSON with polygons."""
    rng = np.random.default_rng(0)
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number in range(1, count + 1):
        picture = rng.integers(90, 160, (SIDE, SIDE, 3)).astype(np.uint8)
        for place in range(int(rng.integers(2, 4))):
            side, label = int(rng.integers(14, 24)), int(rng.integers(2))
            x, y = (place % 2) * 32 + int(rng.integers(0, 8)), (place // 2) * 32 + int(rng.integers(0, 8))
            picture[y : y + side, x : x + side] = (220, 40, 40) if label else (40, 60, 220)
            outline = [x, y, x + side, y, x + side, y + side, x, y + side]
            annotations.append(
                {"id": len(annotations) + 1, "image_id": number, "category_id": label + 1, "bbox": [x, y, side, side],
                 "area": side * side, "iscrowd": 0, "segmentation": [outline]}
            )  # fmt: skip
        Image.fromarray(picture).save(folder / "images" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": SIDE, "height": SIDE})
    categories = [{"id": 1, "name": "blue"}, {"id": 2, "name": "red"}]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (folder / "instances.json").write_text(json.dumps(content))
    return folder


@pytest.fixture(scope="session")
def squares(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_squares(tmp_path_factory.mktemp("squares") / "set")


def squares_config(squares: Path, output: Path, *words: str) -> DictConfig:
    """`facings train` on the squares."""
    sources = [f"data.{split}.{key}={squares / name}" for split in ("train", "val")
               for key, name in (("annotations", "instances.json"), ("images", "images"))]  # fmt: skip
    return compose_verb("train", [*TINY, *sources, *words], output_dir=output)


class Training(NamedTuple):
    """What `facings train` builds, before it fits."""

    task: Any
    data: Any
    trainer: pl.Trainer

    def fit(self, checkpoint: Path | None = None) -> "Training":
        self.trainer.fit(self.task, datamodule=self.data, ckpt_path=checkpoint, weights_only=True)
        return self


def training(cfg: DictConfig) -> Training:
    """Build data, task and trainer of a configuration, as `facings train` does."""
    pl.seed_everything(cfg.seed, workers=True, verbose=False)
    data = instantiate(cfg.data)
    cfg.labels, cfg.num_classes = list(data.labels), len(data.labels)
    task = build_task(cfg, data, build_model(cfg))
    return Training(task, data, build_trainer(cfg, plain_config(cfg), spent=lambda: 0.0))
