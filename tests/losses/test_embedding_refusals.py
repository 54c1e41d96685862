"""Settings of an embedding loss that do not go together are refused, with the reason."""

import functools
from typing import Any

import pytest
import torch
from pytorch_metric_learning import losses, miners

from facings.errors import ConfigError
from facings.losses.embedding import EmbeddingLoss
from facings.losses.hierarchical_margin import HierarchicalMarginLoss
from facings.losses.threshold_consistency import ThresholdConsistentMarginLoss
from tests.losses.test_embedding_formulas import CONFIGS, PATHS, configured

MINER = "{_target_:pytorch_metric_learning.miners.BatchHardMiner}"
EASY = "{_target_:pytorch_metric_learning.miners.BatchEasyHardMiner}"
LOSS = "_target_:pytorch_metric_learning.losses"
REFUSED = [
    ("arcface", f"+loss.terms.arcface.miner={MINER}", "ArcFaceLoss compares each photo with class centres"),
    ("proxy_anchor", f"+loss.terms.proxy_anchor.miner={MINER}", "ProxyAnchorLoss compares each photo with class centres"),
    ("proxy_anchor", "+loss.terms.proxy_anchor.memory=64", "memory=64: ProxyAnchorLoss .* no use for photos of earlier"),
    ("cosface", "+loss.terms.cosface.memory=64", "CosFaceLoss .* no use for photos of earlier"),
    ("supcon", "+loss.terms.supcon.label_smoothing=0.1", "SupConLoss has no softmax over products"),
    ("proxy_anchor", "+loss.terms.proxy_anchor.label_smoothing=0.1", "ProxyAnchorLoss has no softmax over products"),
    ("arcface", "loss.terms.arcface.label_smoothing=1", "label_smoothing=1: expected a number, at least 0 and below 1"),
    ("arcface", "loss.terms.arcface.label_smoothing=-0.1", "label_smoothing=-0.1"),
    ("subcenter_arcface", "loss.terms.subcenter_arcface.loss.sub_centers=0", "sub_centers=0: .* at least 1"),
    ("subcenter_arcface", "loss.terms.subcenter_arcface.loss.sub_centers=1.5", "sub_centers=1.5: .* whole number"),
    ("arcface", "loss.terms.arcface.weight=-1", "weight=-1: expected a number, at least 0"),
    ("arcface", "loss.terms.arcface.weight=nan", "weight=nan"),
    ("arcface", "loss.terms.arcface.weight=inf", "weight=inf"),
    ("arcface", "loss.terms.arcface.weight=high", "weight=high: expected a number"),
    ("arcface", "loss.terms.arcface.weight=0", r"weights of all terms \(arcface\) are 0"),
    ("arcface", "~loss.terms.arcface", "expected at least one named term"),
    ("arcface", "+loss.terms.arcface.wieght=1", "unknown key 'wieght'; nearest valid names: weight"),
    ("arcface", "+loss.terms.arcface.loss.margn=1", "ArcFaceLoss takes no 'margn'; nearest valid names: margin"),
    ("arcface", "+loss.terms.arcface.loss.num_classes=3", "num_classes=3: follows from the data"),
    ("arcface", "+loss.terms.two={weight:1}", "loss.terms.two: expected a mapping with at least `loss`"),
    ("arcface", "+loss.terms.values={weight:1}", "'values' cannot be the name of a term"),
    ("arcface", "+loss.terms.two={loss:4}", "loss.terms.two.loss: expected a loss .* got 4"),
    ("supcon", "loss.terms.supcon.memory=-4", "memory=-4: expected a whole number"),
    ("supcon", "loss.terms.supcon.memory=4.5", "memory=4.5: expected a whole number"),
    ("supcon", "loss.terms.supcon.memory_after=10", "memory_after=10: there is no memory"),
    ("supcon", "loss.terms.supcon.miner={size:3}", "miner: expected one of pytorch_metric_learning.miners"),
    ("triplet", f"loss.terms.triplet={{loss:{{{LOSS}.TripletMarginLoss}},miner:{EASY},memory:32}}", "its own copy in the memory"),
    ("arcface", f"+loss.terms.two={{loss:{{{LOSS}.RankedListLoss,margin:1,Tn:1}},miner:{MINER}}}", "takes no selection of pairs"),
    ("arcface", f"+loss.terms.two={{loss:{{{LOSS}.FastAPLoss}},memory:32}}", "FastAPLoss cannot compare .*SupConLoss"),
    ("arcface", f"+loss.terms.two={{loss:{{{LOSS}.NCALoss}},memory:32}}", "NCALoss .* its own copy in the memory"),
    ("arcface", f"+loss.terms.two={{loss:{{{LOSS}.CrossBatchMemory,_partial_:true,loss:{{{LOSS}.SupConLoss}}}}}}", "memory=SIZE"),
    ("contrastive_memory", "loss.terms.contrastive.loss.pos_margin=0.2", "gives similarities; .* pos_margin above"),
    ("arcface", f"+loss.terms.two={{loss:{{{LOSS}.ContrastiveLoss,pos_margin:1,neg_margin:0.5}}}}", "distances; .* below"),
    ("arcface_threshold", "loss.terms.threshold_consistency.loss.positive_margin=0.4", "the positive one above"),
    ("arcface_threshold", "loss.terms.threshold_consistency.loss.negative_weight=-1", "neither may be below 0"),
    ("hierarchical_margin", "loss.terms.hierarchical.loss.spread=-1", "neither may be below 0"),
]  # fmt: skip


@pytest.mark.parametrize("name, word, reason", REFUSED, ids=[f"{name}-{word[:50]}" for name, word, _ in REFUSED])
def test_a_bad_combination_is_refused(name: str, word: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        configured(name, word)


@pytest.mark.parametrize("paths", [None, [()] * 5, []])
@pytest.mark.parametrize("name", ["hierarchical_margin", "arcface_hierarchical"])
def test_hierarchical_margins_need_categories(name: str, paths: Any) -> None:
    with pytest.raises(ConfigError, match="the training products have none"):
        configured(name, categories=paths)


def test_one_path_a_product() -> None:
    with pytest.raises(ConfigError, match="5 category paths for 4 products"):
        HierarchicalMarginLoss(num_classes=4, categories=PATHS)


PAIRS = [
    name
    for name in CONFIGS
    if name not in ("arcface", "cosface", "subcenter_arcface", "arcface_smooth", "proxy_anchor")
]


@pytest.mark.parametrize("name", CONFIGS)
def test_losses_of_pairs_need_pairs(name: str) -> None:
    loss = configured(name)
    loss.check_batches(4, 2)
    if name not in PAIRS or name in ("contrastive_memory", "arcface_supcon"):
        loss.check_batches(32, 1)
        return
    with pytest.raises(ConfigError, match=r"a batch has one of each; set data.views_per_product to 2"):
        loss.check_batches(32, 1)
    with pytest.raises(ConfigError, match=r"a batch has one; set data.products_per_batch to 2"):
        loss.check_batches(1, 8)


def test_a_memory_holds_at_least_a_batch() -> None:
    loss = configured("arcface_supcon", "loss.terms.supcon.memory=15", "loss.terms.supcon.memory_after=0")
    with pytest.raises(ConfigError, match=r"memory=15 is smaller than the batch of all processes, 16 photos"):
        loss.check_batches(4, 4)
    with pytest.raises(ConfigError, match=r"memory=15 is smaller than the batch"):
        loss(torch.eye(6).repeat(3, 1), torch.zeros(18, dtype=torch.int64))


@pytest.mark.parametrize(
    "loss, reason", [(losses.VICRegLoss, "labels are"), (losses.DynamicSoftMarginLoss, "backward")]
)
def test_a_loss_that_refuses_only_when_asked_is_refused_before_training(loss: Any, reason: str) -> None:
    with pytest.raises(ConfigError, match=rf"loss\.terms\.two: {loss.__name__} cannot be trained so: .*{reason}"):
        EmbeddingLoss({"two": {"loss": loss}}, num_classes=5, embedding_size=6).check_batches(3, 4)


def test_a_trial_leaves_no_trace() -> None:
    loss = configured("arcface_supcon", "loss.terms.supcon.memory_after=0")
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    state = torch.random.get_rng_state()
    loss.check_batches(4, 2)
    assert torch.equal(torch.random.get_rng_state(), state) and loss.terms["supcon"].training
    assert all(torch.equal(value, before[name]) for name, value in loss.state_dict().items())


@pytest.mark.parametrize("memory", [0, 24])
def test_a_boundary_for_each_product_takes_miners_and_memory(memory: int) -> None:
    """Wu et al.: "Sampling Matters", ICCV 2017: the margin loss asks for the number of products, yet it compares pairs."""
    make = functools.partial(losses.MarginLoss, learn_beta=True)
    term = {"loss": make, "miner": miners.DistanceWeightedMiner(), "memory": memory}
    loss = EmbeddingLoss({"margin": term}, num_classes=5, embedding_size=6)
    loss.check_batches(3, 4)
    assert [tuple(parameter.shape) for parameter in loss.parameters()] == [(5,)]
    assert loss(torch.eye(6)[:4], torch.tensor([0, 0, 1, 1])).isfinite()


def test_built_class_centres_are_known_for_what_they_are() -> None:
    built = losses.ArcFaceLoss(num_classes=5, embedding_size=6)
    EmbeddingLoss({"centres": {"loss": built}}, num_classes=5, embedding_size=6).check_batches(4, 1)
    with pytest.raises(ConfigError, match=r"memory=8: ArcFaceLoss compares photos with class centres"):
        EmbeddingLoss({"centres": {"loss": built, "memory": 8}}, num_classes=5, embedding_size=6)
    with pytest.raises(ConfigError, match=r"built with num_classes=5, the data and the model have 7; leave it out"):
        EmbeddingLoss({"centres": {"loss": built}}, num_classes=7, embedding_size=6)


def test_a_loss_may_come_built_or_as_any_maker() -> None:
    """From a notebook, without YAML."""
    built = {"loss": ThresholdConsistentMarginLoss()}
    made = {"loss": losses.SubCenterArcFaceLoss, "label_smoothing": 0.1}
    loss = EmbeddingLoss({"built": built, "made": made}, num_classes=5, embedding_size=6)
    assert loss(torch.eye(6)[:4], torch.tensor([0, 0, 1, 1])).isfinite()
