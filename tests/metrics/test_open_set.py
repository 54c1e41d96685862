"""Open-set figures beside scikit-learn and brute force."""

import numpy as np
import pytest

from facings.metrics.coverage import answer_figures, backoff_figures
from facings.metrics.open_set import (
    aurc,
    auroc,
    false_positive_rate,
    fnir_at_fpir,
    fnir_by_gallery_size,
    fnir_draws,
    fpir_threshold,
    oscr,
)


def scores(seed: int, ties: bool = True) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    known, unknown = rng.normal(1, 1, 83), rng.normal(0, 1, 61)
    if ties:
        known, unknown = known.round(1), unknown.round(1)
    return known, unknown, rng.random(83) < 0.7


@pytest.mark.parametrize("seed", range(3))
def test_auroc_and_fpr_beside_scikit_learn(seed: int) -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    known, unknown, _ = scores(seed)
    truth, joint = np.r_[np.ones(len(known)), np.zeros(len(unknown))], np.r_[known, unknown]
    assert auroc(known, unknown) == pytest.approx(metrics.roc_auc_score(truth, joint))
    false, true, _ = metrics.roc_curve(truth, joint, drop_intermediate=False)
    assert false_positive_rate(known, unknown) == pytest.approx(false[np.flatnonzero(true >= 0.95)[0]])


@pytest.mark.parametrize("seed", range(3))
def test_oscr_is_the_area_under_its_curve(seed: int) -> None:
    known, unknown, right = scores(seed)
    cuts = np.r_[np.inf, np.unique(np.r_[known, unknown])[::-1]]
    rate = [(right & (known >= cut)).mean() for cut in cuts]
    false = [(unknown >= cut).mean() for cut in cuts]
    assert oscr(known, right, unknown) == pytest.approx(np.trapezoid(rate, false))
    assert oscr(known, np.ones(83, bool), unknown) == pytest.approx(auroc(known, unknown))


def test_aurc_is_the_mean_risk_and_ties_do_not_depend_on_the_order() -> None:
    known, _, right = scores(0, ties=False)
    order = np.argsort(-known)
    assert aurc(known, right) == pytest.approx(np.mean([(~right[order][:k]).mean() for k in range(1, 84)]))
    assert aurc(np.ones(83), right) == pytest.approx((~right).mean())
    assert aurc(np.ones(83), right) == pytest.approx(aurc(np.ones(83), right[::-1]))


@pytest.mark.parametrize("fpir", [0.0, 0.001, 0.01, 0.1, 0.5, 1.0])
def test_fnir_is_the_best_that_the_fpir_allows(fpir: float) -> None:
    known, unknown, right = scores(4)
    cut = fpir_threshold(unknown, fpir)
    assert (unknown >= cut).mean() <= fpir
    candidates = np.r_[np.unique(np.r_[known, unknown]), np.inf]
    allowed = [c for c in candidates if (unknown >= c).mean() <= fpir + 1e-12]
    best = min(1 - (right & (known >= c)).mean() for c in allowed)
    assert fnir_at_fpir(known, right, unknown, fpir=fpir) == pytest.approx(best)


def test_a_fixed_threshold_lets_more_pass_as_the_gallery_grows() -> None:
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(200, 16))
    vectors = np.concatenate([centres + 0.4 * rng.normal(size=centres.shape) for _ in range(4)])
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    labels = np.tile(np.arange(200), 4)
    found = fnir_by_gallery_size(vectors[400:], labels[400:], vectors[:400], labels[:400], sizes=[10, 40, 120], draws=5)
    fixed = [found[size]["fpir_fixed"] for size in (10, 40, 120)]
    assert fixed[0] < 0.03 and fixed[0] < fixed[1] < fixed[2] and fixed[2] > 5 * fixed[0]
    misses = [found[size]["fnir_0.01"] for size in (10, 40, 120)]
    assert misses[0] <= misses[1] <= misses[2]
    assert all(figures["fnir_0.001"] >= figures["fnir_0.01"] for figures in found.values())
    for size, text in ((0, "has 200 products"), (201, "has 200 products"), (200, "both kinds")):
        with pytest.raises(ValueError, match=text):
            fnir_by_gallery_size(vectors[400:], labels[400:], vectors[:400], labels[:400], sizes=[size])


def test_empty_kinds_have_no_figure() -> None:
    none = np.zeros(0)
    assert all(
        np.isnan(v) for v in (auroc(none, np.ones(1)), false_positive_rate(np.ones(1), none), aurc(none, none > 0))
    )
    assert np.isnan(oscr(none, none > 0, np.ones(1))) and np.isnan(fnir_at_fpir(none, none > 0, np.ones(1)))
    assert oscr(np.ones(2), np.zeros(2, bool), np.ones(1)) == 0
    with pytest.raises(ValueError, match="FPIR 2 of 1"):
        fpir_threshold(np.ones(1), 2)
    with pytest.raises(ValueError, match="of 0 non-mated"):
        fpir_threshold(none, 0.1)
    assert np.isnan(list(backoff_figures([], []).values())).all()
    empty = answer_figures(np.zeros((0, 2), bool), np.zeros((0, 2), bool), np.zeros(0, bool), np.zeros(0, bool))
    assert np.isnan(list(empty.values())).all()


def test_sets_and_paths_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"truth \(2, 2\), answers \(2, 3\)"):
        answer_figures(np.zeros((2, 2), bool), np.zeros((2, 3), bool), np.zeros(2, bool), np.zeros(2, bool))
    with pytest.raises(ValueError, match="1 truths, but 0 reported"):
        backoff_figures([("a",)], [])


def test_coverage_by_counting() -> None:
    rng = np.random.default_rng(5)
    truth = np.eye(6, dtype=bool)[rng.integers(0, 6, 40)][:, :5]
    answers, unknown, known = rng.random((40, 5)) < 0.5, rng.random(40) < 0.5, truth.any(axis=1)
    found = answer_figures(truth, answers, unknown, known, pick_list=2)
    covered = [bool((t & a).any()) if k else bool(u) for t, a, u, k in zip(truth, answers, unknown, known, strict=True)]
    assert found["coverage"] == pytest.approx(np.mean(covered))
    share = known.mean()
    assert found["coverage"] == pytest.approx(share * found["coverage_known"] + (1 - share) * found["coverage_unknown"])
    assert found["picklist2"] == pytest.approx(truth[known][:, :2].any(axis=1).mean())


def test_an_unknown_product_called_by_its_category_is_right_and_by_another_product_wrong() -> None:
    truth = [("Fruit", "Apple", "Gala"), ("Fruit", "Apple", "New")]
    assert backoff_figures(truth, [truth[0], ("Fruit", "Apple")])["correct_at_level"] == 1
    found = backoff_figures(truth, [truth[0], truth[0]])
    assert found["correct_at_level"] == found["correct_when_said"] == 0.5 and found["leaf_share"] == 1


def blobs(products: int, views: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(7).normal(size=(products, 12))
    vectors = (centres[:, None] + 0.5 * rng.normal(size=(products, views, 12))).reshape(-1, 12).astype(np.float32)
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.arange(products).repeat(views)


@pytest.mark.parametrize("fpir", [0.001, 0.01, 0.2])
def test_fnir_of_a_gallery_is_scikit_learns_miss_rate(fpir: float) -> None:
    """A mated search that finds another product is missed at every threshold, as one that scores below all."""
    metrics = pytest.importorskip("sklearn.metrics")
    (queries, asked), (views, owners) = blobs(60, 8, 1), blobs(60, 3, 2)
    found = fnir_draws(queries, asked, views, owners, sizes=[20, 40], fpirs=(fpir,), draws=3, seed=5)
    rng = np.random.default_rng(5)
    for size in (20, 40):
        for draw in range(3):
            chosen = np.sort(rng.permutation(60)[:size])
            similar = np.stack([(queries @ views[owners == name].T).max(axis=1) for name in chosen], axis=1)
            first, mated = similar.max(axis=1), np.isin(asked, chosen)
            score = np.where(mated & (chosen[similar.argmax(axis=1)] != asked), -2, first)
            false, true, _ = metrics.roc_curve(mated, score, drop_intermediate=False)
            assert found[size][f"fnir_{fpir:g}"][draw] == pytest.approx(1 - true[false <= fpir].max())
            assert found[size]["non_mated"][draw] == (~mated).sum() and found[size]["mated"][draw] == mated.sum()


def test_float32_scores_at_the_threshold_do_not_pass() -> None:
    strangers = np.array([0.1, 0.3, 0.7, 0.9], np.float32)
    cut = fpir_threshold(strangers, 0.25)
    assert (strangers >= cut).tolist() == [False, False, False, True]
    assert fnir_at_fpir(strangers[2:], np.ones(2, bool), strangers, fpir=0.25) == 0.5


def test_drawn_views_are_fewer_and_miss_more_and_the_mean_is_of_the_draws() -> None:
    (queries, asked), (views, owners) = blobs(40, 8, 1), blobs(40, 8, 2)
    one, all_of_them = (
        fnir_draws(queries, asked, views, owners, sizes=[16], fpirs=(0.01,), views=count, draws=8)[16]["fnir_0.01"]
        for count in (1, None)
    )
    assert one.mean() > all_of_them.mean() and one.std() > 0
    eight = fnir_draws(queries, asked, views, owners, sizes=[40 // 2], fpirs=(0.01,), views=8, draws=2)
    whole = fnir_draws(queries, asked, views, owners, sizes=[40 // 2], fpirs=(0.01,), draws=1)
    assert eight[20]["fnir_0.01"][0] == whole[20]["fnir_0.01"][0]
    mean = fnir_by_gallery_size(queries, asked, views, owners, sizes=[16], fpirs=(0.01,), draws=8)
    assert mean[16]["fnir_0.01"] == pytest.approx(all_of_them.mean())
