"""A frozen model that a training looks at: the larger one of a distillation, the old one of an upgrade.

Knows nothing of losses.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from facings.errors import ConfigError
from facings.tasks.checkpoint import load_model
from facings.tasks.crop_views import resized


class Teacher(nn.Module):
    """A frozen embedder that sees the crops of a training in its own size and scaling.

    `teacher`: a module, crops → (B, T) with `dimension` and maybe `image_size` (for instance
    `facings.models.embedder.PooledBackbone`), or `checkpoint`: of an embedder that `facings train` wrote. Its weights are in no
    `state_dict` of the run, nor averaged, nor sent between processes. `mean`, `std`: the scaling of the run's pixels;
    `teacher_mean`, `teacher_std`: the teacher's (default: of its checkpoint, else the run's). `image_size`: side at which it is
    shown the crops (default: its own). `setting`: where its settings stand, for messages.

    Raises ConfigError without teacher or with two.
    """

    def __init__(
        self,
        *,
        mean: Sequence[float],
        std: Sequence[float],
        setting: str,
        teacher: nn.Module | None = None,
        checkpoint: str | None = None,
        teacher_mean: Sequence[float] | None = None,
        teacher_std: Sequence[float] | None = None,
        image_size: int | None = None,
    ) -> None:
        super().__init__()
        if (teacher is None) == (checkpoint is None):
            raise ConfigError(
                f"{setting.split('.')[-1]}: {'no teacher' if teacher is None else 'a teacher and a checkpoint'}; give one of "
                f"{setting}.checkpoint=CHECKPOINT and {setting}.teacher"
            )
        if checkpoint is not None:
            teacher, config = load_model(checkpoint, "reid")
            teacher_mean = config["mean"] if teacher_mean is None else teacher_mean
            teacher_std = config["std"] if teacher_std is None else teacher_std
        assert teacher is not None
        known: Any = teacher
        self.dimension = int(known.dimension)
        self.image_size: int | None = image_size or getattr(teacher, "image_size", None)
        self._frozen = _Frozen(teacher.eval().requires_grad_(False).to(memory_format=torch.channels_last))  # type: ignore[call-overload]
        own, others = _scaling(mean, std), _scaling(teacher_mean or mean, teacher_std or std)
        # (x · std + mean - mean') / std', as one multiplication and one addition for each channel.
        self.register_buffer("scale", own[1] / others[1], persistent=False)
        self.register_buffer("shift", (own[0] - others[0]) / others[1], persistent=False)

    @property
    def module(self) -> nn.Module:
        """The frozen model, on the device where it was last asked."""
        return self._frozen.module

    @torch.no_grad()
    def forward(self, crops: Tensor) -> Tensor:
        """`crops` [B, 3, S, S] as the run sees them → the teacher's (B, T) float32 of unit length."""
        with torch.autocast(crops.device.type, enabled=False):
            shown = crops.float() * self.get_buffer("scale") + self.get_buffer("shift")
            if self.image_size is not None:
                shown = resized(shown, self.image_size)
            teacher = self.module.to(crops.device)
            embeddings: Tensor = teacher(shown.contiguous(memory_format=torch.channels_last))
            return F.normalize(embeddings.float(), dim=1)


class _Frozen:
    """Holds a module out of its owner's sight: no parameters, no state; copies of the owner (averaged weights) share it."""

    def __init__(self, module: nn.Module) -> None:
        self.module = module

    def __deepcopy__(self, memo: dict[int, Any]) -> "_Frozen":
        return self


def _scaling(mean: Sequence[float], std: Sequence[float]) -> tuple[Tensor, Tensor]:
    return torch.tensor(list(mean)).reshape(-1, 1, 1), torch.tensor(list(std)).reshape(-1, 1, 1)
