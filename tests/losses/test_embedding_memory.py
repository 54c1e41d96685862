"""Cross-batch memory: against pytorch-metric-learning's own in one process, and over an interruption."""

from pathlib import Path
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses, miners
from torch import Tensor, nn
from torch.nn import functional as F

from facings.losses.embedding import EmbeddingLoss
from facings.losses.embedding_memory import EmbeddingMemory
from facings.losses.hierarchical_margin import HierarchicalMarginLoss
from facings.losses.threshold_consistency import ThresholdConsistentMarginLoss
from tests.losses.test_embedding_formulas import PATHS, PRODUCTS, SIZE, configured, photos


def batches(count: int) -> list[tuple[Tensor, Tensor]]:
    """Twelve photos each, of four products."""
    found = []
    for step in range(count):
        order = torch.randperm(PRODUCTS, generator=torch.Generator().manual_seed(step))[:4].repeat_interleave(3)
        found.append(photos(order.tolist(), seed=step))
    return found


def with_memory(loss: Any, size: int, miner: Any = None, **more: Any) -> EmbeddingLoss:
    term = {"loss": loss, "miner": miner, "memory": size, **more}
    return EmbeddingLoss({"pairs": term}, num_classes=PRODUCTS, embedding_size=SIZE, categories=PATHS)


CASES = {
    "contrastive": (losses.ContrastiveLoss, lambda: None),
    "supcon": (losses.SupConLoss, lambda: None),
    "triplet": (losses.TripletMarginLoss, lambda: None),
    "triplet_hard": (losses.TripletMarginLoss, miners.BatchHardMiner),
    "triplet_semihard": (losses.TripletMarginLoss, lambda: miners.TripletMarginMiner(0.2, "semihard")),
    "multi_similarity": (losses.MultiSimilarityLoss, miners.MultiSimilarityMiner),
    "circle": (losses.CircleLoss, lambda: None),
}


@pytest.mark.parametrize("size", [24, 30])
@pytest.mark.parametrize("case", CASES)
def test_in_one_process_it_is_the_librarys(case: str, size: int) -> None:
    """Loss and gradient over six batches, with a memory that holds whole batches and one that forgets half of one."""
    make, miner = CASES[case]
    ours = with_memory(make(), size, miner())
    theirs = losses.CrossBatchMemory(make(), SIZE, memory_size=size, miner=miner())
    for embeddings, labels in batches(6):
        found, wanted = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
        found_value, wanted_value = ours(found, labels), theirs(wanted, labels)
        found_value.backward()
        wanted_value.backward()
        assert wanted.grad is not None and wanted.grad.any()
        torch.testing.assert_close(found_value, wanted_value, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(found.grad, wanted.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["threshold", "hierarchical"])
def test_our_own_losses_with_memory(name: str) -> None:
    """The second batch's loss is that of its photos against both batches, none with itself, written out."""
    made = {"threshold": ThresholdConsistentMarginLoss, "hierarchical": HierarchicalMarginLoss}[name]
    loss = with_memory(made, 24)
    (first, first_labels), (second, labels) = batches(2)
    loss(first, first_labels)
    found = loss(second, labels)
    memory, remembered = torch.cat([first, second]), torch.cat([first_labels, labels])
    similarity = second @ memory.T
    same = (labels[:, None] == remembered) & ~F.pad(torch.eye(12, dtype=torch.bool), (12, 0))
    other = labels[:, None] != remembered
    if name == "threshold":
        sp, sn = similarity[same], similarity[other]
        wanted = (0.9 - sp)[sp <= 0.9].mean() + (sn - 0.5)[sn >= 0.5].mean()
    else:
        tree = HierarchicalMarginLoss(num_classes=PRODUCTS, categories=PATHS).tree(labels, remembered)
        rows = []
        for a in range(12):
            margins = similarity[a, other[a]] + 0.05 + 0.2 * tree[a, other[a]]
            rows.append((margins[None] - similarity[a, same[a]][:, None]).flatten())
        values = torch.cat(rows)
        wanted = values[values > 0].mean()
    torch.testing.assert_close(found, wanted)


def test_the_memory_is_a_queue() -> None:
    memory = EmbeddingMemory(5, 2)
    photo = torch.arange(8.0)[:, None].expand(8, 2)
    held = memory(photo[:3], torch.tensor([0, 1, 2]))
    assert held is not None and held.labels.tolist() == [0, 1, 2] and held.own.tolist() == [0, 1, 2]
    held = memory(photo[3:6], torch.tensor([3, 4, 5]))
    assert held is not None and held.labels.tolist() == [5, 1, 2, 3, 4] and held.own.tolist() == [3, 4, 0]
    assert held.embeddings[:, 0].tolist() == [5, 1, 2, 3, 4] and not held.embeddings.requires_grad
    held = memory(photo[6:], torch.tensor([6, 7]))
    assert held is not None and held.labels.tolist() == [5, 6, 7, 3, 4]


@pytest.mark.parametrize("size, matters", [(36, False), (30, True)])
def test_order_matters_where_part_of_a_batch_is_forgotten(size: int, matters: bool) -> None:
    """Which is why the batches of several processes are put back into the order of one."""
    straight, turned = (with_memory(losses.ContrastiveLoss(), size) for _ in range(2))
    order = [*range(3), *range(6, 9), *range(3, 6), *range(9, 12)]
    differences = [
        float(abs(straight(embeddings, labels) - turned(embeddings[order], labels[order])))
        for embeddings, labels in batches(6)
    ]
    assert (max(differences) > 1e-3) == matters and (matters or max(differences) < 1e-6)


def test_what_an_earlier_loss_was_compared_with_stays() -> None:
    """Gradients of two batches may be asked for after both were enqueued, as when gradients are accumulated."""
    loss = with_memory(losses.SupConLoss(), 24)
    (first, first_labels), (second, labels) = batches(2)
    first.requires_grad_()
    value = loss(first, first_labels)
    wanted = torch.autograd.grad(value, first, retain_graph=True)[0]
    loss(second, labels)
    assert torch.equal(torch.autograd.grad(value, first)[0], wanted)


def test_nothing_is_kept_in_the_first_steps_or_in_evaluation() -> None:
    plain = EmbeddingLoss({"pairs": {"loss": losses.SupConLoss()}}, num_classes=PRODUCTS, embedding_size=SIZE)
    loss = with_memory(losses.SupConLoss(), 24, memory_after=2)
    memory = loss.terms["pairs"].memory
    assert isinstance(memory, EmbeddingMemory)
    steps = batches(4)
    for embeddings, labels in steps[:2]:
        torch.testing.assert_close(loss(embeddings, labels), plain(embeddings, labels))
    assert int(memory.seen) == 0
    loss(*steps[2])
    assert int(memory.seen) == 12
    torch.testing.assert_close(loss.eval()(*steps[3]), plain(*steps[3]))
    assert int(memory.seen) == 12 and int(memory.steps) == 3


def test_a_resumed_run_goes_on_as_the_unbroken_one(tmp_path: Path) -> None:
    """In the fourth of seven steps everything is written to a file and read back into new objects."""

    def begun() -> tuple[nn.ModuleDict, torch.optim.Optimizer]:
        words = ("loss.terms.supcon.memory=30", "loss.terms.supcon.memory_after=1")
        parts = nn.ModuleDict({"loss": configured("arcface_supcon", *words), "model": nn.Linear(SIZE, SIZE)})
        return parts, torch.optim.Adam(parts.parameters(), lr=0.01)

    def taken(
        parts: nn.ModuleDict, optimizer: torch.optim.Optimizer, steps: list[tuple[Tensor, Tensor]]
    ) -> list[Tensor]:
        found = []
        for inputs, labels in steps:
            value = parts["loss"](F.normalize(parts["model"](inputs), dim=1), labels)
            optimizer.zero_grad()
            value.backward()
            optimizer.step()
            found.append(value.detach())
        return found

    steps = batches(7)
    unbroken, optimizer = begun()
    wanted = taken(unbroken, optimizer, steps)
    broken, optimizer = begun()
    found = taken(broken, optimizer, steps[:4])
    torch.save({"parts": broken.state_dict(), "optimizer": optimizer.state_dict()}, tmp_path / "last.ckpt")
    resumed, optimizer = begun()
    content = torch.load(tmp_path / "last.ckpt", weights_only=True)
    resumed.load_state_dict(content["parts"])
    optimizer.load_state_dict(content["optimizer"])
    found += taken(resumed, optimizer, steps[4:])
    assert torch.equal(torch.stack(found), torch.stack(wanted))
    for name, value in unbroken.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
