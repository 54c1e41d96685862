"""The shop over many days: who is there, who is asked, and what is counted."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facings.benchmark.rows import read_rows
from facings.benchmark.turnover import calibration_of, run_shop, spread, summarise
from facings.benchmark.turnover_baselines import Baselines, confidences, train
from facings.benchmark.turnover_data import (
    Embeddings,
    embed_rows,
    read_embeddings,
    synthetic_families,
    write_embeddings,
)
from facings.benchmark.turnover_days import Protocol, days, split_products
from facings.benchmark.turnover_fnir import fnir_report
from facings.commands.benchmark import run
from facings.commands.composition import compose_verb
from facings.data.tables import read_recognition_table
from facings.errors import ConfigError, DataError
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from facings.runtime.standard import Rates

PROTOCOL = Protocol(days=4, views=3, queries=3)
TIMES = ("enrolment_seconds", "softmax_seconds")


@pytest.fixture(scope="module")
def families() -> Embeddings:
    return synthetic_families(families=12, products_per_family=3, photos=4, queries=4, dimension=16)


@pytest.mark.parametrize("order", ["random", "season"])
def test_every_day_a_share_goes_and_as_many_come(families: Embeddings, order: str) -> None:
    protocol = replace(PROTOCOL, days=12, order=order)  # type: ignore[arg-type]
    calibration, pool, never = split_products(families, protocol, 3)
    assert sorted(calibration + pool + never) == list(families.usable(3)) and len(set(calibration + pool + never)) == 36
    before: dict[str, np.ndarray] = {}
    seen: set[str] = set()
    for day in days(families, protocol, pool, never, 3):
        assert len(day.enrolled) == round(len(pool) * 0.6)
        if before:
            assert len(day.new) == round(len(before) * 0.3) == len(set(before) - set(day.enrolled))
            assert all((day.enrolled[name] == rows).all() for name, rows in before.items() if name in day.enrolled)
        seen |= set(day.enrolled)
        for rows in day.enrolled.values():
            assert len(set(rows.tolist())) == 3 and families.enrol[rows].all()
        assert not families.enrol[day.queries].any()
        for row, kind in zip(day.queries.tolist(), day.kind.tolist(), strict=True):
            name = str(families.product[row])
            assert kind == (0 if name in day.enrolled else 1 if name in seen else 2)
            assert (kind == 2) == (name in never) and name not in calibration
        assert set(day.kind.tolist()) == ({0, 2} if day.number == 0 else {0, 1, 2})
        before = day.enrolled
    assert day.number == 12 and seen == set(pool)


def test_a_shelf_can_grow(families: Embeddings) -> None:
    protocol = replace(PROTOCOL, opening_share=0.3)
    _, pool, never = split_products(families, protocol, 0)
    sizes = [len(day.enrolled) for day in days(families, protocol, pool, never, 0)]
    assert sizes[0] == round(0.3 * sizes[-1]) and sizes == sorted(sizes) and sizes[-1] == round(len(pool) * 0.6)


def test_a_shop_gives_all_figures_and_gives_them_again(families: Embeddings) -> None:
    first, again = (run_shop(families, PROTOCOL, Rates(), seed=1) for _ in range(2))
    assert len(first.per_day) == 5
    for one, other in zip(first.per_day, again.per_day, strict=True):
        for name in set(one) - set(TIMES):
            assert one[name] == other[name] or (np.isnan(one[name]) and np.isnan(other[name])), name
        assert all(
            0 <= value <= 1 or np.isnan(value) for name, value in one.items() if "accept" in name or "accuracy" in name
        )
        assert 0 < one["enrolment_seconds"] < 5 and one["softmax_seconds"] > 0
        assert one["known_right"] <= min(one["accuracy"], 1 - one["known_refused"]) + 1e-12
        assert one["accuracy"] <= one["picklist3"]
    content = summarise([first, run_shop(families, PROTOCOL, Rates(), seed=2)], Rates())
    figures = content["figures"]
    assert {"relative_error", "fixed_threshold_relative_error", "coverage", "set_size", "leaf_share"} <= set(figures)
    each = [
        shop.mean("false_accept") for shop in (first, run_shop(families, PROTOCOL, Rates(), seed=2, classifier=False))
    ]
    assert figures["relative_error"]["value"] == pytest.approx(np.mean([abs(value / 0.05 - 1) for value in each]))
    assert len(content["days"]["coverage"]) == 5


def test_calibration_meets_its_own_photos_and_not_those_of_the_shelf(families: Embeddings) -> None:
    stored = calibration_of(families, ["f000-0", "f003-1"], 3, seed=0)
    assert stored.mated.shape == (8, 3) and (np.diff(stored.mated, axis=1) >= 0).all()
    rows = families.rows("f001-0", enrol=True)[:2]
    more = stored.with_photos(families, {"f001-0": rows})
    assert more.items[8:] == ("f001-0",) * 2 and np.isnan(more.mated[8:]).all() and np.isfinite(more.mated[:8]).all()


def test_baselines_hold_their_rate_on_what_they_were_tuned_on(families: Embeddings) -> None:
    names = list(families.usable(4))
    rows = np.concatenate([families.rows(name, enrol=True) for name in names[:12]])
    views, item = families.vectors[rows], np.repeat(np.arange(12), 4)
    crops = np.concatenate([families.vectors[families.rows(name, enrol=False)] for name in names[12:]])
    owners = [name for name in names[12:] for _ in range(4)]
    tuned = Baselines.tuned(crops, owners, views, item, names[:12], 0.1)
    assert ((crops @ views.T).max(axis=1) > tuned.fixed).mean() == pytest.approx(0.1, abs=2 / len(crops))
    guess, sure = confidences(train(views, item, 12), views)
    assert (guess == item).mean() > 0.95 and (sure > 0).all() and (sure <= 1).all()
    assert set(tuned.per_item) == set(names[:12])


def test_embeddings_are_read_as_they_were_written(families: Embeddings, tmp_path: Path) -> None:
    data = replace(families, order=np.arange(len(families.vectors), dtype=np.float64))
    write_embeddings(tmp_path / "a.npz", data)
    again = read_embeddings(tmp_path / "a.npz")
    assert (
        (again.vectors == data.vectors).all()
        and (again.product == data.product).all()
        and (again.enrol == data.enrol).all()
    )
    assert again.categories == data.categories and again.order is not None and (again.order == data.order).all()
    split = np.where(families.enrol, "train", "test")
    split[0] = "iconic"
    np.savez(tmp_path / "b.npz", vectors=3 * families.vectors, product=families.product, split=split)
    by_split = read_embeddings(tmp_path / "b.npz")
    assert len(by_split.vectors) == len(families.vectors) - 1 and np.allclose(
        by_split.vectors, families.vectors[1:], atol=1e-6
    )


def test_faults_are_told(families: Embeddings, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no such file"):
        read_embeddings(tmp_path / "none.npz")
    np.savez(tmp_path / "poor.npz", vectors=families.vectors)
    with pytest.raises(DataError, match="lacks 'product'; it holds vectors"):
        read_embeddings(tmp_path / "poor.npz")
    (tmp_path / "text.npz").write_text("no")
    with pytest.raises(DataError, match=r"not an \.npz"):
        read_embeddings(tmp_path / "text.npz")
    broken = families.vectors.copy()
    broken[7] = np.nan
    with pytest.raises(DataError, match=r"embedding 7 .* not finite"):
        replace(families, vectors=broken)
    with pytest.raises(DataError, match="has two categories"):
        category = np.array([f"a/{n}" for n in range(len(families.vectors))])
        np.savez(
            tmp_path / "two.npz",
            vectors=families.vectors,
            product=families.product,
            enrol=families.enrol,
            category=category,
        )
        read_embeddings(tmp_path / "two.npz")
    with pytest.raises(DataError, match="0 products with 5 enrolment photos"):
        split_products(families, replace(PROTOCOL, views=5), 0)
    for change, text in (
        ({"share": 0.0}, "share is 0.0"),
        ({"days": 0}, "days 0"),
        ({"order": "a"}, "order is 'a'"),
        ({"opening_share": 0}, "opening"),
    ):
        with pytest.raises(ConfigError, match=text):
            replace(PROTOCOL, **change)  # type: ignore[arg-type]
    assert np.isnan(spread([float("nan")])["value"])


def test_the_command_writes_figures_a_picture_and_a_record(families: Embeddings, tmp_path: Path) -> None:
    write_embeddings(tmp_path / "families.npz", families)
    words = [
        "protocol=turnover",
        f"turnover.embeddings={tmp_path / 'families.npz'}",
        "turnover.seeds=2",
        "turnover.days=2",
    ]
    words += [
        "turnover.views=3",
        "turnover.queries=3",
        "result=turn-coverage",
        f"paths.result_dir={tmp_path / 'results'}",
    ]
    cfg = compose_verb("benchmark", words, output_dir=tmp_path / "run")
    figures = run(cfg)
    content = json.loads((tmp_path / "run" / "turnover.json").read_text())
    assert content["schema"] == "facings.turnover/1" and content["seeds"] == [0, 1]
    assert content["protocol"]["views"] == 3 and content["figures"]["coverage"]["value"] == figures["coverage"]
    assert Image.open(tmp_path / "run" / "turnover.png").size == (1452, 792)
    misses = json.loads((tmp_path / "run" / "fnir.json").read_text())
    assert misses["schema"] == "facings.fnir/1" and misses["data"] == "families" and misses["views"] == 3
    assert [entry["products"] for entry in misses["sizes"]] == [4, 8, 16, 32]
    assert Image.open(tmp_path / "run" / "fnir.png").size == (1452, 616)
    rows = {row["metric"]: row for row in read_rows(tmp_path / "run" / "benchmark.jsonl")}
    assert rows["coverage"]["value"] == figures["coverage"] and rows["coverage"]["protocol"] == "turnover"
    assert rows["coverage"]["settings"]["views"] == 3 and set(rows["coverage"]["data"]) == {"families.npz"}
    record = json.loads((tmp_path / "results" / "turn-coverage.json").read_text())
    assert list(record["metrics"]) == ["coverage", "set_size", "picklist3"] and set(record["data"]) == {"families.npz"}


@pytest.mark.parametrize(
    "words, text",
    [
        (["protocol=turnover"], "needs turnover.embeddings"),
        (["protocol=turnover", "turnover.embeddings=synthetic", "turnover.share=2"], "share is 2"),
        (["protocol=turnover", "turnover.embeddings=synthetic", "turnover.rates.unit=crops"], "unit is 'crops'"),
        (["protocol=turnover", "turnover.embeddings=synthetic", "turnover.seeds=0"], "seeds is 0"),
        (["protocol=turnover", "turnover.embeddings=synthetic", "turnover.families=0"], "families is 0"),
        (["protocol=turnover", "turnover.embeddings=synthetic", "turnover.fnir.draws=0"], "draws 0"),
        (["protocol=turnover", "turnover.embeddings=synthetic", "turnover.fnir.sizes=[200]"], "has 160 products"),
        (["protocol=turnover", "turnover.embeddings=synthetic", "turnover.fnir=3"], "fnir is 3; expected sizes"),
        (
            ["protocol=turnover", "turnover.backbone=a", "recognition.table={table}", "turnover.enrol_splits=[val]"],
            "0 rows to enrol from and 0 that ask; set turnover.enrol_splits \\(val\\) and query_splits \\(val, test\\)",
        ),
        (["protocol=turnover", "turnover.backbone=resnet18"], "got turnover.backbone, no recognition.table"),
        (
            ["protocol=turnover", "turnover.backbone=a", "turnover.checkpoint=b", "recognition.table=c"],
            "got turnover.checkpoint and turnover.backbone",
        ),
        (
            ["protocol=turnover", "turnover.backbone=a", "recognition.table=c", "turnover.reader=facings.no"],
            "turnover.reader='facings.no': no such function",
        ),
        (["protocol=turnover", "turnover.embeddings=synthetic", "result=spine-snack"], "does not measure"),
    ],
)
def test_wrong_settings_are_told_before_anything_runs(words: list[str], text: str, tmp_path: Path) -> None:
    (tmp_path / "table.csv").write_text("path,product_id,split,role\na.png,a,train,train\n")
    words = [word.replace("{table}", str(tmp_path / "table.csv")) for word in words]
    with pytest.raises(ConfigError, match=text):
        run(compose_verb("benchmark", words, output_dir=tmp_path))


def test_a_bundle_embeds_a_table(shop) -> None:  # type: ignore[no-untyped-def]
    rows = read_recognition_table(shop.table).rows
    data = embed_rows(Recognizer(Bundle.open(shop.bundle)), rows, enrol_splits=[rows[0].split])
    assert len(data.vectors) == len(rows) and data.enrol[0]
    assert np.allclose(np.linalg.norm(data.vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("source", ["checkpoint", "backbone"])
def test_a_checkpoint_or_a_frozen_backbone_embeds_a_table(source: str, tiny_shop, tmp_path: Path) -> None:  # type: ignore[no-untyped-def]
    """What it embeds is kept, and the kept file gives the same run again."""
    table = tiny_shop.data / "recognition.csv"
    words = {
        "checkpoint": [f"turnover.checkpoint={tiny_shop.embedder}"],
        "backbone": [
            "turnover.backbone=test_efficientnet",
            "turnover.frozen.pretrained=none",
            "turnover.frozen.image_size=64",
        ],
    }[source]
    words += [
        "protocol=turnover",
        f"recognition.table={table}",
        "turnover.enrol_splits=[val]",
        "turnover.query_splits=[val]",
    ]
    words += [
        "turnover.views=2",
        "turnover.days=2",
        "turnover.seeds=1",
        "turnover.calibration_share=0.2",
        "turnover.fnir.sizes=[2]",
        "turnover.fnir.draws=2",
    ]
    first = run(compose_verb("benchmark", words, output_dir=tmp_path / "first"))
    kept = tmp_path / "first" / "embeddings.npz"
    words = [
        word
        for word in words
        if word.split("=")[0] not in ("recognition.table", *(f"turnover.{s}" for s in ("checkpoint", "backbone")))
    ]
    again = run(compose_verb("benchmark", [*words, f"turnover.embeddings={kept}"], output_dir=tmp_path / "again"))
    assert {n: v for n, v in first.items() if n not in TIMES} == {n: v for n, v in again.items() if n not in TIMES}
    # In a split that is both, gallery photos are enrolled and the others ask.
    rows = [row for row in read_recognition_table(table).rows if row.split == "val"]
    assert read_embeddings(kept).enrol.tolist() == [row.role == "gallery" for row in rows]
    if source == "checkpoint":
        bundle = embed_rows(Recognizer(Bundle.open(tiny_shop.bundle, precision="float32")), rows[::10])
        assert np.abs(read_embeddings(kept).vectors[::10] - bundle.vectors).max() < 1e-3


def test_misses_against_the_size_of_the_gallery_are_told_with_what_can_be_known(families: Embeddings) -> None:
    found = fnir_report(families, views=4, sizes=[4, 24], fpirs=(0.05, 0.01), draws=6, seed=0)
    small, large = found["sizes"]
    # 144 queries, 4 a product: of 24 enrolled, 48 are left, of which 5 % are two and 1 % none.
    assert (small["non_mated"], large["non_mated"]) == (128, 48)
    assert large["resolved"] == {"0.05": True, "0.01": False} and small["resolved"] == {"0.05": True, "0.01": True}
    for entry in (small, large):
        for figure in entry["figures"].values():
            assert 0 <= figure["low"] <= figure["value"] <= figure["high"] <= 1
        assert entry["figures"]["rank1_miss"]["value"] <= entry["figures"]["fnir_0.05"]["value"]
        assert entry["figures"]["fnir_0.05"]["value"] <= entry["figures"]["fnir_0.01"]["value"]
    assert large["figures"]["fpir_fixed"]["value"] > small["figures"]["fpir_fixed"]["value"]
    assert found == fnir_report(families, views=4, sizes=[4, 24], fpirs=(0.05, 0.01), draws=6, seed=0)
    with pytest.raises(ConfigError, match=r"sizes: gallery size 36: .* both kinds .*; 36 of 36 products have 4 photos"):
        fnir_report(families, views=4, sizes=[36], fpirs=(0.05,), draws=1, seed=0)
    with pytest.raises(ConfigError, match=r"fpirs \[2\.0\]"):
        fnir_report(families, views=4, sizes=None, fpirs=(2.0,), draws=1, seed=0)
