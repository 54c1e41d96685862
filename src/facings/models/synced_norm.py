"""Batch norms whose statistics are those of all processes' pictures together.

Knows nothing of what is trained. torch's own SyncBatchNorm refuses CPUs; this one runs on any device and backend.
"""

from typing import Any

import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, distributed, nn
from torch.nn.modules.batchnorm import _BatchNorm

from facings.errors import ConfigError


class _Normalise(torch.autograd.Function):
    """(x − mean) / √(variance + eps) with mean and variance over every process and all dimensions but the second.

    Ioffe, Szegedy: "Batch Normalization", ICML 2015; the gradient is theirs with the sums over all processes. Variances
    are put together from the processes' own (Chan et al.: "Updating Formulae and a Pairwise Algorithm for Computing
    Sample Variances", 1979), because E[x²] − E[x]² loses its digits.
    """

    @staticmethod
    def forward(ctx: Any, values: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(B, C, …) float32 or float64 → the same normalised, and mean (C,), variance (C,), count of values a channel."""
        rest = [0, *range(2, values.ndim)]
        count = values.numel() // values.shape[1]
        own = torch.stack([*torch.var_mean(values, dim=rest, correction=0), values.new_full((values.shape[1],), count)])
        parts = [torch.empty_like(own) for _ in range(distributed.get_world_size())]
        distributed.all_gather(parts, own)
        variances, means, counts = torch.stack(parts).unbind(dim=1)
        total = counts.sum(dim=0)
        mean = (means * counts).sum(dim=0) / total
        variance = ((variances + (means - mean) ** 2) * counts).sum(dim=0) / total
        scale = torch.rsqrt(variance + eps)
        normalised = (values - _wide(mean, values)) * _wide(scale, values)
        ctx.save_for_backward(normalised, scale, total)
        ctx.mark_non_differentiable(mean, variance, total)
        return normalised, mean, variance, total

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        gradient = gradients[0]
        normalised, scale, total = ctx.saved_tensors
        rest = [0, *range(2, gradient.ndim)]
        sums = torch.stack([gradient.sum(dim=rest), (gradient * normalised).sum(dim=rest)])
        distributed.all_reduce(sums)
        shift, slope = sums / total
        centred = gradient - _wide(shift, gradient) - normalised * _wide(slope, gradient)
        return centred * _wide(scale, gradient), None


def _wide(channels: Tensor, values: Tensor) -> Tensor:
    """(C,) → (1, C, 1, …) beside `values` (B, C, …)."""
    return channels.view(1, -1, *([1] * (values.ndim - 2)))


class _Synced(_BatchNorm):
    """The part that all synchronised norms share; without other processes, and at evaluation, the norm it came from."""

    def _together(self, values: Tensor) -> Tensor:
        # Half precision cannot hold the sums.
        wide = values if values.dtype == torch.float64 else values.float()
        normalised, mean, variance, total = _Normalise.apply(wide, self.eps)
        if self.track_running_stats and self.running_mean is not None and self.running_var is not None:
            with torch.no_grad():
                assert self.num_batches_tracked is not None
                self.num_batches_tracked.add_(1)
                share = 1 / float(self.num_batches_tracked) if self.momentum is None else self.momentum
                self.running_mean.lerp_(mean.to(self.running_mean.dtype), share)
                unbiased = variance * total / (total - 1).clamp(min=1)
                self.running_var.lerp_(unbiased.to(self.running_var.dtype), share)
        if self.affine:
            normalised = normalised * _wide(self.weight, normalised) + _wide(self.bias, normalised)
        return normalised.to(values.dtype)

    def _alone(self) -> bool:
        started = distributed.is_available() and distributed.is_initialized()
        return not self.training or not started or distributed.get_world_size() == 1


class SyncedBatchNorm1d(_Synced, nn.BatchNorm1d):
    """BatchNorm1d over the pictures of all processes."""

    def forward(self, values: Tensor) -> Tensor:
        """(B, C) or (B, C, L) → the same shape."""
        return super().forward(values) if self._alone() else self._together(values)


class SyncedBatchNorm2d(_Synced, nn.BatchNorm2d):
    """BatchNorm2d over the pictures of all processes."""

    def forward(self, values: Tensor) -> Tensor:
        """[B, C, H, W] → the same shape."""
        return super().forward(values) if self._alone() else self._together(values)


class SyncedBatchNormAct2d(_Synced, BatchNormAct2d):
    """timm's batch norm with dropout and activation, over the pictures of all processes."""

    def forward(self, values: Tensor) -> Tensor:
        """[B, C, H, W] → the same shape."""
        if self._alone():
            return super().forward(values)  # type: ignore[no-any-return]
        activated: Tensor = self.act(self.drop(self._together(values)))
        return activated


SYNCED: dict[type[nn.Module], type[_Synced]] = {
    nn.BatchNorm1d: SyncedBatchNorm1d,
    nn.BatchNorm2d: SyncedBatchNorm2d,
    BatchNormAct2d: SyncedBatchNormAct2d,
}


def synchronise(module: nn.Module) -> nn.Module:
    """Make every batch norm of `module` a synchronised one, in place: parameters, buffers, hooks and names stay theirs.

    Raises ConfigError for a kind of batch norm that it does not know.
    """
    for name, norm in module.named_modules():
        if not isinstance(norm, _BatchNorm) or isinstance(norm, _Synced | nn.SyncBatchNorm):
            continue
        if type(norm) not in SYNCED:
            known = ", ".join(kind.__name__ for kind in SYNCED)
            raise ConfigError(f"{name}: is a {type(norm).__name__}; only {known} can be synchronised over processes")
        norm.__class__ = SYNCED[type(norm)]
    return module
