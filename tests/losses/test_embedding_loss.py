"""Embedding losses in use: they teach, combine from the command line, and stay finite where there is nothing to learn."""

import pytest
import torch
from pytorch_metric_learning.losses import ArcFaceLoss
from torch import Tensor, nn
from torch.nn import functional as F

from facings.tasks.parameter_groups import parameter_groups
from tests.losses.test_embedding_formulas import CONFIGS, PATHS, PRODUCTS, SIZE, configured, photos

TRIPLET = (
    "+loss.terms.triplet={loss:{_target_:pytorch_metric_learning.losses.TripletMarginLoss,margin:0.3},weight:0.25}"
)


@pytest.mark.parametrize("name", CONFIGS)
def test_steps_lower_the_loss(name: str) -> None:
    """On one batch: the mean over what violates need not fall where every batch brings new photos. Memories come into use."""
    words = [] if name not in MEMORY else [f"loss.terms.{MEMORY[name]}.{w}" for w in ("memory=40", "memory_after=3")]
    loss = configured(name, *words)
    loss.check_batches(PRODUCTS, 4)
    network = nn.Sequential(nn.Linear(SIZE, 16), nn.Tanh(), nn.Linear(16, SIZE))
    optimizer = torch.optim.Adam([*network.parameters(), *loss.parameters()], lr=0.02)
    inputs, labels = photos([product for product in range(PRODUCTS) for _ in range(4)], spread=0.5)
    taken = []
    for _ in range(60):
        value = loss(F.normalize(network(inputs), dim=1), labels)
        optimizer.zero_grad()
        value.backward()
        optimizer.step()
        taken.append(value.item())
    assert taken[-1] < 0.75 * taken[0], taken


MEMORY = {"contrastive_memory": "contrastive", "arcface_supcon": "supcon"}


def gradient(tensor: Tensor) -> Tensor:
    assert tensor.grad is not None
    return tensor.grad


def test_one_arcface_is_the_librarys_to_the_bit() -> None:
    """Initial centres, loss and gradients."""
    ours = configured("arcface")
    torch.manual_seed(0)
    theirs = ArcFaceLoss(num_classes=PRODUCTS, embedding_size=SIZE, margin=17.2, scale=24)
    embeddings, labels = photos([0, 0, 3, 3, 4])
    found, wanted = embeddings.clone().requires_grad_(), embeddings.clone().requires_grad_()
    ours_value, theirs_value = ours(found, labels), theirs(wanted, labels)
    ours_value.backward()
    theirs_value.backward()
    assert torch.equal(ours_value, theirs_value) and torch.equal(gradient(found), gradient(wanted))
    assert torch.equal(gradient(next(ours.parameters())), gradient(theirs.W))


def test_terms_are_weighted_added_and_left_out_from_the_command_line() -> None:
    embeddings, labels = photos([0, 0, 1, 1, 2, 2])
    alone = configured("arcface")(embeddings, labels)
    both = configured("arcface", "loss.terms.arcface.weight=0.5", TRIPLET)
    value = both(embeddings, labels)
    assert list(both.last) == ["arcface", "triplet"] and not both.last["arcface"].requires_grad
    torch.testing.assert_close(both.last["arcface"], alone.detach() * 0.5)
    torch.testing.assert_close(value, sum(both.last.values()))
    for word in ("~loss.terms.arcface", "loss.terms.arcface=null", "loss.terms.arcface.weight=0"):
        only = configured("arcface", word, TRIPLET)
        torch.testing.assert_close(only(embeddings, labels), both.last["triplet"])
        assert list(only.last) == ["triplet"] and not list(only.parameters())


def test_class_centres_learn_at_the_losss_own_rate() -> None:
    groups = parameter_groups(
        {"model": nn.Linear(2, 2), "loss": configured("arcface_supcon")},
        learning_rate=0.1,
        multipliers={"loss": 10.0},
    )
    assert [tuple(group["params"][0].shape) for group in groups if group["lr"] == 1.0] == [(SIZE, PRODUCTS)]


# Where even the formula has nothing to say; others go on drawing together what there is.
SILENT = ("circle", "supcon", "triplet", "triplet_hard", "triplet_semihard", "hierarchical_margin", "multi_similarity")


@pytest.mark.parametrize("name", CONFIGS)
def test_a_batch_without_pairs_is_harmless(name: str) -> None:
    loss = configured(name)
    for products in ([1], [1, 1, 1], [0, 1, 2, 3], [2, 2], [0, 1], [0, 0, 1], [4] * 6):
        embeddings, labels = photos(products)
        embeddings.requires_grad_()
        value = loss(embeddings, labels)
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(gradient(embeddings)).all()
        assert all(torch.isfinite(gradient(parameter)).all() for parameter in loss.parameters())
        pairs = 1 < len(set(products)) < len(products)
        if name in SILENT and not pairs:
            assert value.item() == 0.0 and not gradient(embeddings).any()


@pytest.mark.parametrize("name", CONFIGS)
def test_equal_and_opposite_embeddings_are_harmless(name: str) -> None:
    """All photos of all products in one point, as an untrained network may put them, and two points that face each other."""
    loss = configured(name)
    for signs in (torch.ones(6), torch.tensor([1.0, -1, 1, -1, 1, -1])):
        embeddings = (F.normalize(torch.ones(6, SIZE), dim=1) * signs[:, None]).requires_grad_()
        value = loss(embeddings, torch.tensor([0, 0, 0, 1, 1, 1]))
        value.backward()
        assert torch.isfinite(value) and torch.isfinite(gradient(embeddings)).all()


@pytest.mark.parametrize("name", CONFIGS)
def test_not_a_number_shows(name: str) -> None:
    embeddings, labels = photos([0, 0, 1, 1])
    embeddings[0, 0] = float("nan")
    assert configured(name)(embeddings, labels).isnan()


@pytest.mark.parametrize("name", CONFIGS)
def test_half_precision_is_worked_out_in_float32(name: str) -> None:
    """pytorch-metric-learning alone would turn the class centres themselves into bfloat16."""
    loss = configured(name)
    embeddings, labels = photos([0, 0, 1, 1, 2, 2])
    half = embeddings.bfloat16()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = loss(half.requires_grad_(), labels)
    found.backward()
    assert found.dtype == torch.float32 and gradient(half).dtype == torch.bfloat16
    torch.testing.assert_close(found, loss(half.float(), labels))
    assert all(parameter.dtype == torch.float32 for parameter in loss.parameters())


def test_what_is_no_batch_is_refused() -> None:
    loss = configured("arcface")
    embeddings, labels = photos([0, 1])
    for wrong, text in [
        ((embeddings[:, :4], labels), r"embeddings of shape \(2, 4\): expected \(B, 6\)"),
        ((embeddings[:0], labels[:0]), "B at least 1"),
        ((embeddings, labels[:1]), r"labels of shape \(1,\)"),
        ((embeddings, labels.float()), "torch.float32: expected"),
        ((embeddings, torch.tensor([0, PRODUCTS])), f"labels from 0 to {PRODUCTS}: expected 0 to {PRODUCTS - 1}"),
        ((embeddings, torch.tensor([-1, 0])), "labels from -1 to 0"),
    ]:
        with pytest.raises(ValueError, match=text):
            loss(*wrong)
    assert len(PATHS) == loss.num_classes
