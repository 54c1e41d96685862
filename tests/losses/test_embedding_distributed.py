"""Two real processes get the loss, the gradients and the memory of one that sees both their batches."""

import functools
from collections.abc import Callable
from typing import Any

import pytest
import torch
from pytorch_metric_learning import distances, losses, miners
from torch import Tensor, distributed, multiprocessing, nn
from torch.nn import functional as F
from torch.nn.parallel import DistributedDataParallel

from facings.data.samplers import PKSampler
from facings.errors import ConfigError
from facings.losses.embedding import EmbeddingLoss
from facings.losses.embedding_gather import gathered_batch
from facings.losses.hierarchical_margin import HierarchicalMarginLoss
from facings.losses.threshold_consistency import ThresholdConsistentMarginLoss

PRODUCTS, CROPS, SIZE, VIEWS, STEPS = 8, 9, 5, 3, 5
LABELS = [product for product in range(PRODUCTS) for _ in range(CROPS)]
PATHS = [("Fruit", "Apple")] * 3 + [("Fruit", "Pear")] * 2 + [("Dairy",)] * 2 + [()]


def cases() -> dict[str, dict[str, Any]]:
    """Terms by name. A whole batch has 12 photos, which no memory here is a multiple of: what is forgotten depends on the order."""
    centres = functools.partial(losses.ArcFaceLoss, margin=17.2, scale=24)
    arcface = {"loss": centres, "label_smoothing": 0.1}
    supcon = {"loss": losses.SupConLoss(), "memory": 31, "weight": 0.5, "memory_after": 1}
    contrastive = losses.ContrastiveLoss(1.0, 0.5, distance=distances.CosineSimilarity())
    hard = {"loss": losses.TripletMarginLoss(0.2), "miner": miners.BatchHardMiner()}
    similarity = {"loss": losses.MultiSimilarityLoss(), "miner": miners.MultiSimilarityMiner(), "memory": 17}
    return {
        "arcface": {"arcface": arcface},
        "subcenter": {"subcenter": {"loss": losses.SubCenterArcFaceLoss}},
        "proxy_anchor": {"proxy": {"loss": losses.ProxyAnchorLoss}},
        "circle": {"circle": {"loss": losses.CircleLoss(gamma=16)}},
        "triplet_hard": {"triplet": hard},
        "threshold": {"arcface": {"loss": centres}, "tcm": {"loss": ThresholdConsistentMarginLoss}},
        "contrastive_memory": {"contrastive": {"loss": contrastive, "memory": 31}},
        "multi_similarity_memory": {"similarity": similarity},
        "hierarchical_memory": {"hierarchical": {"loss": HierarchicalMarginLoss, "memory": 20}},
        "combination": {"arcface": arcface, "supcon": supcon, "triplet": hard},
    }


# In float64 what is left is no rounding; in float32 those without mining, where rounding alone may change what is picked.
TOLERANCES = {torch.float64: 1e-10, torch.float32: 1e-5}
RUNS = [(name, torch.float64) for name in cases()]
RUNS += [(name, torch.float32) for name in ("arcface", "proxy_anchor", "contrastive_memory", "combination")]


class Learner(nn.Module):
    """What DistributedDataParallel wraps: a network and its loss, as a LightningModule holds them."""

    def __init__(self, terms: dict[str, Any], products: int) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Linear(SIZE, SIZE)
        self.loss = EmbeddingLoss(terms, num_classes=PRODUCTS, embedding_size=SIZE, categories=PATHS)
        self.loss.check_batches(products, VIEWS)
        self.embeddings = torch.zeros(0)

    def forward(self, inputs: Tensor, labels: Tensor) -> Tensor:
        self.embeddings = F.normalize(self.network(inputs), dim=1)
        self.embeddings.retain_grad()
        return self.loss(self.embeddings, labels)  # type: ignore[no-any-return]


def crops() -> Tensor:
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(PRODUCTS, SIZE, generator=generator)
    return centres[LABELS] + torch.randn(len(LABELS), SIZE, generator=generator)


def taken(
    terms: dict[str, Any], products: int, wrap: Callable[[nn.Module], nn.Module], dtype: torch.dtype
) -> dict[str, Any]:
    """Steps on the batches that the sampler gives this process: items, losses and gradients of each, and where they lead."""
    learner = Learner(terms, products).to(dtype)
    trained, optimizer = wrap(learner), torch.optim.SGD(learner.parameters(), lr=0.1)
    draws = [draw.number for draw in PKSampler(LABELS, products=products, views=VIEWS, seed=3)]
    size, data, steps = products * VIEWS, crops().to(dtype), []
    for step in range(STEPS):
        numbers = draws[step * size : (step + 1) * size]
        value = trained(data[numbers], torch.tensor(LABELS)[numbers])
        optimizer.zero_grad()
        value.backward()
        gradients = [parameter.grad.clone() for parameter in learner.parameters() if parameter.grad is not None]
        optimizer.step()
        found = {"numbers": torch.tensor(numbers), "loss": value.detach(), "parameters": gradients}
        steps.append(found | {"embeddings": learner.embeddings.grad})
    return {"steps": steps, "state": learner.state_dict()}


def one_of_two(rank: int, folder: str) -> None:
    torch.set_num_threads(1)
    distributed.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    found: dict[str, Any] = {
        f"{name} {dtype}": taken(cases()[name], 2, DistributedDataParallel, dtype) for name, dtype in RUNS
    }
    own = torch.arange(6.0)[:, None] + 10 * rank
    found["gathered"] = gathered_batch(own, own[:, 0].long(), views=VIEWS)
    found["refused"] = refusals()
    torch.save(found, f"{folder}/{rank}.pt")
    distributed.destroy_process_group()


def refusals() -> list[str]:
    """What is refused in two processes."""
    loss = EmbeddingLoss(cases()["hierarchical_memory"], num_classes=PRODUCTS, embedding_size=SIZE, categories=PATHS)
    texts = []
    for act in (lambda: loss.check_batches(4, 3), lambda: gathered_batch(torch.eye(4), torch.arange(4), views=3)):
        try:
            act()
        except (ConfigError, ValueError) as fault:
            texts.append(str(fault))
    return texts


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """What each of the two processes found."""
    folder = tmp_path_factory.mktemp("two")
    multiprocessing.set_forkserver_preload(["facings.losses.embedding", "facings.data.samplers"])
    multiprocessing.start_processes(one_of_two, args=(str(folder),), nprocs=2, start_method="forkserver")
    return [torch.load(folder / f"{rank}.pt", weights_only=True) for rank in range(2)]


@pytest.mark.parametrize("case, dtype", RUNS)
def test_two_processes_take_the_steps_of_one(case: str, dtype: torch.dtype, both: list[dict[str, Any]]) -> None:
    def close(ours: Tensor, theirs: Tensor) -> None:
        torch.testing.assert_close(ours, theirs, rtol=TOLERANCES[dtype], atol=TOLERANCES[dtype])

    alone = taken(cases()[case], 4, lambda learner: learner, dtype)
    halves = [found[f"{case} {dtype}"] for found in both]
    for step, wanted in enumerate(alone["steps"]):
        parts = [half["steps"][step] for half in halves]
        for found in parts:
            close(found["loss"], wanted["loss"])
            for ours, theirs in zip(found["parameters"], wanted["parameters"], strict=True):
                close(ours, theirs)
        # Averaging over the processes divides by 2 what an embedding of one of them gives to the network.
        numbers = torch.cat([found["numbers"] for found in parts])
        gradients = torch.cat([found["embeddings"] for found in parts]) / 2
        place = {int(number): row for row, number in enumerate(numbers)}
        assert len(place) == len(numbers) == 12
        close(gradients[[place[int(number)] for number in wanted["numbers"]]], wanted["embeddings"])
        assert wanted["embeddings"].abs().max() > 1e-4
    for half in halves:
        for name, value in alone["state"].items():
            close(half["state"][name], value)


def test_groups_of_views_come_back_into_the_samplers_order(both: list[dict[str, Any]]) -> None:
    for found in both:
        embeddings, labels = found["gathered"]
        assert labels.tolist() == [0, 1, 2, 10, 11, 12, 3, 4, 5, 13, 14, 15]
        assert embeddings[:, 0].tolist() == labels.tolist()


def test_the_batch_of_all_processes_is_what_has_to_suit(both: list[dict[str, Any]]) -> None:
    memory, views = both[0]["refused"]
    assert "memory=20 is smaller than the batch of all processes, 24 photos" in memory
    assert views == "a batch of 4 items does not consist of groups of 3 views"
