"""Two real processes on the CPU train as one does that sees both their batches."""

import copy
import csv
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn.parallel import DistributedDataParallel

from facings.commands.train import run
from facings.losses.detection import DetectionLoss
from facings.models.detectors.dense import DenseDetector
from facings.models.synced_norm import synchronise
from facings.tasks.checkpoint import read_checkpoint
from facings.tasks.processes import gathered
from tests.tasks.conftest import TINY, squares_config, write_squares

SIDE, PICTURES, STEPS = 64, 4, 3
PRELOADED = ["facings.commands.train", "facings.models.synced_norm", "facings.data.detection_datamodule"]


def in_two_processes(target: Callable[..., None], *arguments: Any) -> None:
    """Run `target(rank, *arguments)` in two fresh processes that load their modules once."""
    multiprocessing.set_forkserver_preload(PRELOADED)
    multiprocessing.start_processes(target, args=arguments, nprocs=2, start_method="forkserver")


def batch(step: int) -> tuple[Tensor, list[dict[str, Tensor]]]:
    """Four pictures: one is empty, one has objects without outlines, so that the processes' divisors differ."""
    generator = torch.Generator().manual_seed(step)
    pixels = torch.rand(PICTURES, 3, SIDE, SIDE, generator=generator)
    targets = []
    for number, count in enumerate((3, 0, 1, 2)):
        corner = torch.randint(0, 30, (count, 2), generator=generator).float()
        boxes = torch.cat([corner, corner + torch.randint(16, 30, (count, 2), generator=generator)], dim=1)
        target = {"boxes": boxes, "labels": torch.randint(0, 2, (count,), generator=generator)}
        if number != 2:
            target["masks"] = torch.zeros(SIDE, SIDE, dtype=torch.int16)
            for place, (left, top, right, bottom) in enumerate(boxes.int().tolist()):
                target["masks"][top:bottom, left:right] = place + 1
        targets.append(target)
    return pixels, targets


def steps(
    rows: slice, dtype: torch.dtype, wrap: Callable[[nn.Module], nn.Module] = lambda model: model
) -> dict[str, Any]:
    """Losses of three steps on `rows` of each batch, and the weights they lead to."""
    torch.manual_seed(0)
    model = DenseDetector("mobilenetv4_conv_small_050", num_classes=2, image_size=SIDE, channels=32, prototypes=8)
    decode = copy.deepcopy(model).decode  # of float32 outputs, whatever the network computes in
    trained, loss = wrap(model.to(dtype)), DetectionLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.003, momentum=0.9)
    losses = []
    for step in range(STEPS):
        pixels, targets = batch(step)
        raw = {name: value.float() for name, value in trained(pixels[rows].to(dtype)).items()}
        found = loss(raw, targets[rows], decode=decode)
        optimizer.zero_grad()
        found["loss"].backward()
        # As the trainer does. Unclipped, the first steps are so wide that rounding alone changes which anchors are taken:
        # with the pictures in another order one process's own third loss differs by 4e-4.
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimizer.step()
        losses.append(torch.stack([value.detach() for value in found.values()]))
    return {"losses": torch.stack(losses), "weights": model.state_dict()}


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    half = PICTURES // 2
    rows = slice(rank * half, (rank + 1) * half)
    found: dict[Any, Any] = {
        dtype: steps(rows, dtype, lambda model: DistributedDataParallel(synchronise(model))) for dtype in TOLERANCES
    }
    for dtype in TOLERANCES:
        distributed.all_reduce(found[dtype]["losses"])
        found[dtype]["losses"] /= 2
    found["gathered"] = gathered([{"from": rank}] * (rank + 1))
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


# Of losses (relative) and weights (absolute). In float32 the norms' own rounding shows after three steps, in float64 what
# is left is that of the loss.
TOLERANCES = {torch.float32: (1e-4, 1e-3), torch.float64: (1e-5, 1e-6)}


def test_two_processes_take_the_steps_of_one(tmp_path: Path) -> None:
    in_two_processes(one_of_two, str(tmp_path))
    both = [torch.load(tmp_path / f"{rank}.pt", weights_only=True) for rank in range(2)]
    for dtype, (relative, absolute) in TOLERANCES.items():
        alone = steps(slice(None), dtype)
        for found in both:
            torch.testing.assert_close(found[dtype]["losses"], alone["losses"], rtol=relative, atol=1e-6)
            for name, value in alone["weights"].items():
                other = found[dtype]["weights"][name]
                assert torch.equal(other, both[0][dtype]["weights"][name])
                torch.testing.assert_close(
                    other, value, rtol=absolute, atol=absolute, msg=lambda text, n=name: f"{n}: {text}"
                )
    for found in both:
        assert found["gathered"] == [{"from": 0}, {"from": 1}, {"from": 1}]


WORDS = (
    "model.prototypes=8", "trainer.log_every_n_steps=1", "trainer.max_epochs=2", "optimizer=sgd", "task.module.learning_rate=0.003",
    "data.eval_batch_size=3", "trainer.precision=64-true",
)  # fmt: skip


def trained(squares: str, folder: str, *words: str) -> dict[str, float]:
    return run(squares_config(Path(squares), Path(folder), *WORDS, *words))


def facings_train(rank: int, squares: str, folder: str, port: int) -> None:
    """One process of `torchrun --nproc-per-node 2 facings train trainer=ddp`."""
    torch.set_num_threads(1)
    environment = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    os.environ |= environment | {"LOCAL_RANK": str(rank)}
    figures = trained(
        squares, f"{folder}/two", "trainer=ddp", "trainer.accelerator=cpu", "data.batch_size=2", "test=true"
    )
    torch.save(figures, f"{folder}/figures{rank}.pt")


def losses_of(folder: Path) -> list[float]:
    """The loss of each step, the mean of the processes."""
    with (folder / "metrics.csv").open() as file:
        return [float(row["train/loss_step"]) for row in csv.DictReader(file) if row["train/loss_step"]]


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_facings_train_in_two_processes_equals_one(tmp_path: Path) -> None:
    """The whole machinery: samplers, callbacks, evaluation gathered, checkpoints."""
    squares = str(write_squares(tmp_path / "squares"))
    in_two_processes(facings_train, squares, str(tmp_path), free_port())
    alone = trained(squares, f"{tmp_path}/one", "data.batch_size=4", "test=true")
    first, second = (torch.load(tmp_path / f"figures{rank}.pt", weights_only=True) for rank in range(2))
    names = [name for name in alone if name != "minutes"]
    assert names and {n: first[n] for n in names} == pytest.approx({n: second[n] for n in names}, abs=0, nan_ok=True)
    assert {n: first[n] for n in names} == pytest.approx({n: alone[n] for n in names}, abs=1e-3, nan_ok=True)
    assert losses_of(tmp_path / "two") == pytest.approx(losses_of(tmp_path / "one"), rel=1e-4)
    found, wanted = (json.loads((tmp_path / name / "predictions" / "test.json").read_text()) for name in ("two", "one"))
    assert wanted and [entry["image_id"] for entry in found] == [entry["image_id"] for entry in wanted]
    np.testing.assert_allclose([e["score"] for e in found], [e["score"] for e in wanted], atol=1e-4)
    one, two = (read_checkpoint(tmp_path / name / "checkpoints" / "last.ckpt") for name in ("one", "two"))
    assert one["global_step"] == two["global_step"] == 4
    for name, value in one["state_dict"].items():
        torch.testing.assert_close(
            two["state_dict"][name], value, rtol=1e-4, atol=1e-4, msg=lambda text, n=name: f"{n}: {text}"
        )


@pytest.mark.slow
def test_facings_train_starts_its_second_process_itself(tmp_path: Path) -> None:
    squares = write_squares(tmp_path / "squares")
    sources = [f"data.{split}.{key}={squares / name}" for split in ("train", "val")
               for key, name in (("annotations", "instances.json"), ("images", "images"))]  # fmt: skip
    words = [*TINY, *sources, "trainer=ddp", f"paths.log_dir={tmp_path / 'logs'}", "test=true"]
    command = [sys.executable, "-m", "facings.commands.cli", "train", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path, timeout=300)
    assert done.returncode == 0, done.stderr
    (folder,) = (tmp_path / "logs" / "train" / "none").iterdir()
    assert (folder / "checkpoints" / "last.ckpt").is_file() and (folder / "train_ddp_process_1.log").is_file()
    assert json.loads((folder / "environment.json").read_text())["command"] == " ".join(["facings train", *words])
    assert done.stdout.count("run folder") == 1 and "sync_dist" not in done.stderr
