"""Two real processes that normalise together, against torch's batch norm on both their batches in one."""

from pathlib import Path
from typing import Any

import pytest
import torch
from timm.layers import BatchNormAct2d
from torch import Tensor, distributed, multiprocessing, nn

from facings.errors import ConfigError
from facings.models.synced_norm import SyncedBatchNorm2d, SyncedBatchNormAct2d, synchronise

KINDS = ("plain", "cumulative", "act", "vector", "bare")


def norm(kind: str) -> nn.Module:
    if kind == "act":
        return BatchNormAct2d(4, eps=1e-3, act_layer=nn.SiLU)
    if kind == "vector":
        return nn.BatchNorm1d(4)
    if kind == "bare":
        return nn.BatchNorm2d(4, affine=False, track_running_stats=False)
    return nn.BatchNorm2d(4, momentum=None if kind == "cumulative" else 0.03)


def batch(kind: str, step: int) -> Tensor:
    """Values far from zero, where E[x²] − E[x]² would have no digits left."""
    torch.manual_seed(step)
    shape = (4, 4) if kind == "vector" else (4, 4, 3, 5)
    offset = torch.tensor([0.0, 1.0, -30.0, 100.0])
    return torch.randn(shape) + (offset if kind == "vector" else offset[:, None, None])


def passed(layer: nn.Module, kind: str, rows: slice, world: int = 1) -> dict[str, Tensor]:
    """Three steps of a layer with weights of its own on `rows` of the batch: outputs, gradients, statistics."""
    found: dict[str, Tensor] = {}
    for step in range(3):
        values = batch(kind, step)[rows].requires_grad_()
        out = layer(values)
        wanted = torch.linspace(-1, 2, batch(kind, step).numel()).view(batch(kind, step).shape)[rows]
        (out * wanted).sin().sum().backward()
        assert values.grad is not None
        found |= {f"out {step}": out.detach(), f"gradient {step}": values.grad}
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None
        if world > 1:
            distributed.all_reduce(parameter.grad)
        found[f"gradient {name}"] = parameter.grad
    return found | {f"state {name}": value.clone() for name, value in layer.state_dict().items()}


def process(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    store = f"file://{folder}/store"
    distributed.init_process_group("gloo", init_method=store, rank=rank, world_size=2)
    found: dict[str, Any] = {}
    for kind in KINDS:
        torch.manual_seed(0)
        layer = synchronise(nn.Sequential(norm(kind)))
        # Unequal shares: three pictures here, one there.
        found[kind] = passed(layer, kind, slice(0, 3) if rank == 0 else slice(3, 4), world=2)
    half = synchronise(norm("plain"))(batch("plain", 0).bfloat16())
    found["half"] = {"out": half.detach()}
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def test_two_processes_normalise_as_one(tmp_path: Path) -> None:
    multiprocessing.set_forkserver_preload(["facings.models.synced_norm"])  # imported once for both
    multiprocessing.start_processes(process, args=(str(tmp_path),), nprocs=2, start_method="forkserver")
    first, second = (torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2))
    for kind in KINDS:
        torch.manual_seed(0)
        alone = passed(nn.Sequential(norm(kind)), kind, slice(None))
        assert alone.keys() == first[kind].keys() == second[kind].keys()
        for name, value in alone.items():
            split = name.startswith("out") or name in ("gradient 0", "gradient 1", "gradient 2")
            halves = torch.cat([first[kind][name], second[kind][name]]) if split else first[kind][name]
            torch.testing.assert_close(
                halves, value, rtol=1e-3, atol=1e-4, msg=lambda text, n=name, k=kind: f"{k} {n}: {text}"
            )
            assert split or torch.equal(first[kind][name], second[kind][name])
    assert first["half"]["out"].dtype == torch.bfloat16


def test_alone_and_at_evaluation_it_is_the_norm_it_came_from() -> None:
    for kind in KINDS:
        own, synced = norm(kind), synchronise(norm(kind))
        for mode in (True, False):
            own.train(mode), synced.train(mode)
            assert torch.equal(own(batch(kind, 0)), synced(batch(kind, 0)))
        assert all(torch.equal(v, synced.state_dict()[k]) for k, v in own.state_dict().items())


def test_swapping_keeps_parameters_names_and_activations() -> None:
    model = nn.Sequential(nn.Conv2d(3, 4, 1), nn.BatchNorm2d(4), nn.Sequential(BatchNormAct2d(4, act_layer=nn.ReLU)))
    parameters, keys, activation = list(model.parameters()), list(model.state_dict()), model[2][0].act
    assert synchronise(synchronise(model)) is model
    assert isinstance(model[1], SyncedBatchNorm2d) and isinstance(model[2][0], SyncedBatchNormAct2d)
    assert all(a is b for a, b in zip(parameters, model.parameters(), strict=True))
    assert keys == list(model.state_dict()) and model[2][0].act is activation


def test_an_unknown_norm_is_named() -> None:
    with pytest.raises(ConfigError, match=r"1: is a BatchNorm3d; only BatchNorm1d, BatchNorm2d, BatchNormAct2d"):
        synchronise(nn.Sequential(nn.ReLU(), nn.BatchNorm3d(2)))
