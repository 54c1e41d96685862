"""Distillation: its losses by second formulas, its teacher out of the student's sight."""

import copy
from functools import partial
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.models.embedder import PooledBackbone
from facings.tasks.callbacks import EMA
from facings.tasks.distillation import Distillation, angle_loss, distance_loss, similarity_loss
from tests.tasks.colour_crops import colour_embedder, colour_task, fit, loader

SCALING = {"mean": [0.5] * 3, "std": [0.5] * 3}
STUDENT, TEACHER = (torch.randn(5, size, generator=torch.Generator().manual_seed(size)) for size in (4, 7))


def huber(a: list[float], b: list[float]) -> float:
    difference = np.abs(np.array(a) - np.array(b))
    return float(np.where(difference < 1, difference**2 / 2, difference - 0.5).mean())


def test_distances_by_pairs() -> None:
    def relative(vectors: Tensor) -> list[float]:
        own = vectors.double().numpy()
        found = [np.linalg.norm(own[i] - own[j]) for i, j in permutations(range(5), 2)]
        return list(np.array(found) / np.mean(found))

    assert float(distance_loss(STUDENT, TEACHER)) == pytest.approx(
        huber(relative(STUDENT), relative(TEACHER)), rel=1e-5
    )


def test_angles_by_triples() -> None:
    def cosines(vectors: Tensor) -> list[float]:
        own = vectors.double().numpy()
        found = []
        for i, j, k in permutations(range(5), 3):
            a, b = own[i] - own[j], own[k] - own[j]
            found.append(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
        return found

    assert float(angle_loss(STUDENT, TEACHER)) == pytest.approx(huber(cosines(STUDENT), cosines(TEACHER)), rel=1e-5)


def test_similarities_by_numpy() -> None:
    def rows(vectors: Tensor) -> np.ndarray:
        gram = vectors.double().numpy() @ vectors.double().numpy().T
        return gram / np.linalg.norm(gram, axis=1, keepdims=True)

    expected = np.linalg.norm(rows(TEACHER) - rows(STUDENT), "fro") ** 2 / 25
    assert float(similarity_loss(STUDENT, TEACHER)) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [distance_loss, angle_loss, similarity_loss])
def test_relations_know_no_rotation_and_bear_duplicates(loss: object) -> None:
    rotation = torch.linalg.qr(torch.randn(7, 7, generator=torch.Generator().manual_seed(0)))[0]
    assert float(loss(TEACHER @ rotation, TEACHER)) == pytest.approx(0, abs=1e-6)  # type: ignore[operator]
    same = torch.ones(4, 3, requires_grad=True)
    for count in (1, 2, 4):
        value = loss(same[:count], TEACHER[:count])  # type: ignore[operator]
        value.backward()
        assert value.isfinite()
    assert same.grad is not None and same.grad.isfinite().all()


@pytest.fixture
def teacher() -> PooledBackbone:
    torch.manual_seed(7)
    return PooledBackbone("test_resnet", image_size=48)


def test_the_teacher_sees_the_same_crops_in_its_own_way(teacher: PooledBackbone) -> None:
    """Its own size and scaling of pixels, applied by hand."""
    distillation = Distillation(
        16, **SCALING, teacher=teacher, teacher_mean=[0.4, 0.5, 0.6], teacher_std=[0.2, 0.3, 0.4]
    )
    crops = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    unit = crops * 0.5 + 0.5
    own = (unit - torch.tensor([0.4, 0.5, 0.6])[:, None, None]) / torch.tensor([0.2, 0.3, 0.4])[:, None, None]
    shown = F.interpolate(own, size=(48, 48), mode="bilinear")
    with torch.no_grad():
        torch.testing.assert_close(distillation.targets(crops), teacher(shown), atol=1e-5, rtol=0)


def test_the_teacher_is_no_part_of_the_student(teacher: PooledBackbone, tmp_path: Path) -> None:
    before = copy.deepcopy(teacher.state_dict())
    make = partial(Distillation, **SCALING, teacher=teacher)
    task = colour_task(colour_embedder(), distillation=make)
    names = {name for name in task.state_dict() if name.startswith("distillation.")}
    assert names == {"distillation.projection.weight"}
    assert {name for name, _ in task.named_parameters() if name.startswith("distillation.")} == names
    assert copy.deepcopy(task).distillation.teacher is teacher
    trainer = fit(task, tmp_path, max_epochs=1, callbacks=[EMA()])
    trainer.save_checkpoint(tmp_path / "last.ckpt")
    saved = torch.load(tmp_path / "last.ckpt", weights_only=True)
    kept = sum(value.numel() for value in saved["state_dict"].values())
    assert kept == sum(value.numel() for value in task.state_dict().values())
    assert not teacher.training and not any(parameter.requires_grad for parameter in teacher.parameters())
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())


@pytest.mark.parametrize(
    "weights", [{"cosine": 1.0}, {"cosine": 0.0, "distance": 5.0, "angle": 5.0, "similarity": 1.0}]
)
def test_a_taught_student_comes_nearer_to_its_teacher(
    teacher: PooledBackbone, weights: dict[str, float], tmp_path: Path
) -> None:
    torch.manual_seed(0)
    task = colour_task(colour_embedder(), distillation=partial(Distillation, **SCALING, teacher=teacher, **weights))
    batch = next(iter(loader(4, 5)))

    def distance() -> float:
        task.model.eval()
        assert task.distillation is not None
        with torch.no_grad():
            return float(sum(task.distillation(task(batch["crops"]), batch["crops"]).values()))

    before = distance()
    trainer = fit(task, tmp_path, max_epochs=6)
    assert distance() < 0.9 * before
    logged = {f"train/teacher_{name}" for name, weight in weights.items() if weight}
    assert logged | {"train/loss", "train/embedding"} <= set(trainer.callback_metrics)
    parts = sum(trainer.callback_metrics[name] for name in [*logged, "train/embedding"])
    assert float(parts) == pytest.approx(float(trainer.callback_metrics["train/loss_epoch"]), rel=1e-4)


@pytest.mark.parametrize(
    "settings, words",
    [
        ({}, "no teacher; give one of task.module.distillation.checkpoint=CHECKPOINT"),
        ({"teacher": torch.nn.Identity(), "checkpoint": "best.ckpt"}, "a teacher and a checkpoint; give one"),
        ({"checkpoint": "best.ckpt", "cosine": 0.0}, "expected none below 0 and one above"),
        ({"checkpoint": "best.ckpt", "angle": -1.0}, r"angle=-1\.0.*expected none below 0"),
    ],
)
def test_what_cannot_teach_is_refused(settings: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Distillation(16, **SCALING, **settings)  # type: ignore[arg-type]
