"""A small student learns from a larger teacher's embeddings.

Knows nothing of the task's own loss. Under distributed training every process has a teacher of its own and compares its own
part of the batch: nothing is gathered. The cosine is then the same as in one process; the relational losses see the pairs
within a part only.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.tasks.teacher import Teacher

# Below this, squared distances are rounding.
LEAST = 1e-12


class Distillation(nn.Module):
    """The losses that draw a student's embeddings towards a frozen teacher's, for the same augmented crops.

    `teacher`, `checkpoint`, `mean`, `std`, `teacher_mean`, `teacher_std`, `image_size`: see `Teacher`.

    Weights, 0 for none: `cosine`, 1 - cosine between a linear map of the student's embedding and the teacher's; `distance`
    and `angle`, relational (`distance_loss`, `angle_loss`); `similarity` (`similarity_loss`).

    Raises ConfigError without teacher or with two, for a negative weight or none above 0.
    """

    def __init__(
        self,
        student_dimension: int,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        teacher: nn.Module | None = None,
        checkpoint: str | None = None,
        teacher_mean: Sequence[float] | None = None,
        teacher_std: Sequence[float] | None = None,
        image_size: int | None = None,
        cosine: float = 1.0,
        distance: float = 0.0,
        angle: float = 0.0,
        similarity: float = 0.0,
    ) -> None:
        super().__init__()
        self.weights = {"cosine": cosine, "distance": distance, "angle": angle, "similarity": similarity}
        _check(self.weights)
        self.frozen = Teacher(
            mean=mean,
            std=std,
            setting="task.module.distillation",
            teacher=teacher,
            checkpoint=checkpoint,
            teacher_mean=teacher_mean,
            teacher_std=teacher_std,
            image_size=image_size,
        )
        self.projection = nn.Linear(student_dimension, self.frozen.dimension, bias=False) if cosine else None

    @property
    def teacher(self) -> nn.Module:
        """The frozen teacher, on the device where it was last asked."""
        return self.frozen.module

    def targets(self, crops: Tensor) -> Tensor:
        """`crops` [B, 3, S, S] as the student sees them → the teacher's (B, T) float32 of unit length."""
        targets: Tensor = self.frozen(crops)
        return targets

    def forward(self, embeddings: Tensor, crops: Tensor) -> dict[str, Tensor]:
        """`embeddings` (B, D) of the student for `crops` [B, 3, S, S] → weighted terms, by name, e.g. `teacher_cosine`."""
        teacher = self.targets(crops)
        with torch.autocast(crops.device.type, enabled=False):
            student = embeddings.float()
            found: dict[str, Tensor] = {}
            if self.projection is not None:
                found["cosine"] = (1 - F.cosine_similarity(self.projection(student), teacher, dim=1)).mean()
            relations = {"distance": distance_loss, "angle": angle_loss, "similarity": similarity_loss}
            found |= {name: loss(student, teacher) for name, loss in relations.items() if self.weights[name]}
        return {f"teacher_{name}": self.weights[name] * value for name, value in found.items()}


def distance_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """RKD-D: Huber loss between pairwise distances, each divided by its mean over the batch.

    Park, Kim, Lu, Cho: "Relational Knowledge Distillation", CVPR 2019, eq. 5–8; here the mean over ordered pairs i ≠ j where
    the paper sums. `student` (B, D), `teacher` (B, T); 0 for less than two.
    """
    if len(student) < 2:
        return student.sum() * 0
    return F.smooth_l1_loss(_relative_distances(student), _relative_distances(teacher))


def angle_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """RKD-A: Huber loss between the cosines of the angles at j of all triples i, j, k of different items.

    Park et al. (see `distance_loss`), eq. 9–10; here the mean where the paper sums. It takes memory for B³ numbers. 0 for
    less than three items.
    """
    if len(student) < 3:
        return student.sum() * 0
    return F.smooth_l1_loss(_angles(student), _angles(teacher))


def similarity_loss(student: Tensor, teacher: Tensor) -> Tensor:
    """Tung, Mori: "Similarity-Preserving Knowledge Distillation", ICCV 2019, eq. 2–4: squared Frobenius distance of the
    row-normalised B × B similarity matrices, divided by B²."""
    ours, theirs = (F.normalize(vectors @ vectors.t(), dim=1) for vectors in (student, teacher))
    return (ours - theirs).square().mean()


def _relative_distances(vectors: Tensor) -> Tensor:
    """(B·(B-1),) distances of ordered pairs, their mean 1. Duplicates have distance 0 and gradient 0."""
    squared = (vectors[:, None] - vectors[None]).square().sum(dim=2)
    others = ~torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    distances = squared[others].clamp(min=LEAST).sqrt()
    return distances / distances.mean()


def _angles(vectors: Tensor) -> Tensor:
    """(B·(B-1)·(B-2),) cosines at j between i and k, all different."""
    directions = F.normalize(vectors[None] - vectors[:, None], dim=2)  # [j, i]: from j to i
    cosines = directions @ directions.transpose(1, 2)  # [j, i, k]
    same = torch.eye(len(vectors), dtype=torch.bool, device=vectors.device)
    return cosines[~(same[:, :, None] | same[:, None] | same[None])]


def _check(weights: dict[str, float]) -> None:
    if min(weights.values()) < 0 or max(weights.values()) == 0:
        shown = ", ".join(f"{name}={value}" for name, value in weights.items())
        raise ConfigError(f"distillation: the weights are {shown}; expected none below 0 and one above")
