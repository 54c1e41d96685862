"""Crops alone, on the shop in miniature: what is kept of each, what it is broken down to, what the report shows. By hand.

Of ten queries: four red and two green are right; one blue pack is noted as red, one green as `unknown`, which is not enrolled; the
place of the last blue one is grey, near to no colour by more than to another.
"""

import doctest
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facings.analysis import picture_names
from facings.analysis.attribution import FATES
from facings.benchmark import accuracy, crop_breakdown
from facings.benchmark.crop_breakdown import pair_advice, picture_groups, worst_queries
from facings.benchmark.crop_pictures import crop_plates, photos_at_hand
from facings.benchmark.crops import CropAnswers, ask_crops, crop_lines
from facings.benchmark.frames import Query
from facings.commands.analyze import run as analyze
from facings.commands.benchmark import run
from facings.commands.compare import main as compare
from facings.commands.composition import compose_verb
from facings.data.tables import read_recognition_table
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from facings.structures import Status
from tests.benchmark.conftest import COLOURS


@pytest.fixture(scope="module")
def recognizer(shop) -> Recognizer:
    return Recognizer(Bundle.open(shop.bundle), threads=1)


@pytest.fixture(scope="module")
def crops(shop, recognizer) -> CropAnswers:
    rows = read_recognition_table(shop.table).rows
    return ask_crops(recognizer, [Query(row.path, row.product_id, row.corners) for row in rows])


@pytest.fixture(scope="module")
def crop_run(benchmark_config, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("crops")
    run(benchmark_config(folder, "data.annotations=null"))
    return folder, json.loads((folder / "benchmark.json").read_text())


@pytest.mark.parametrize("module", [crop_breakdown, picture_names, accuracy])
def test_worked_examples(module: Any) -> None:
    outcome = doctest.testmod(module, extraglobs={"np": np})
    assert outcome.attempted > 0 and outcome.failed == 0


def test_each_query_keeps_what_was_found(crops: CropAnswers) -> None:
    assert len(crops) == 10 and crops.nearest.shape == crops.similarities.shape == (10, 3)
    assert (np.diff(crops.similarities, axis=1) <= 0).all()
    fates = dict(zip([(q.path.name, q.product_id) for q in crops.queries], crops.fates(), strict=True))
    assert fates["001.png", "red"] == "right" and fates["002.png", "green"] == "right"
    # A blue pack, noted as red; both are tins. Of the one that is not enrolled no similarity is known.
    wrong = next(place for place, fate in enumerate(crops.fates()) if fate == "sibling")
    assert crops.items[crops.named[wrong]] == "blue" and crops.queries[wrong].product_id == "red"
    assert crops.ranks[wrong] > 0 and crops.similarities[wrong, 0] > crops.right_similarity[wrong]
    assert fates["003.png", "unknown"] == "not enrolled"
    assert np.isnan(crops.right_similarity[crops.ranks == -2]).all()
    right = crops.ranks == 0
    assert crops.right_similarity[right] == pytest.approx(crops.similarities[right, 0], abs=1e-6)


def test_ranks_are_those_of_the_ranks_alone(crops: CropAnswers, recognizer: Recognizer) -> None:
    assert accuracy.answer_queries(recognizer, crops.queries) == crops.ranks.tolist()


def test_what_is_kept_does_not_grow_with_pictures(crops: CropAnswers) -> None:
    """A row of a few numbers each: nothing of decisions or pixels."""
    kept = (
        crops.nearest,
        crops.similarities,
        crops.right_similarity,
        crops.ranks,
        crops.named,
        crops.status,
        crops.fate,
    )
    assert sum(array.nbytes for array in kept) <= len(crops) * (8 * crops.nearest.shape[1] + 24)


def test_lines_tell_what_was_decided(crops: CropAnswers) -> None:
    lines = [json.loads(line) for line in crop_lines(crops)]
    assert len(lines) == 10
    assert {line["status"] for line in lines} <= {"known", "ambiguous", "unknown"}
    foreign = next(line for line in lines if line["product_id"] == "unknown")
    assert (foreign["rank"], foreign["right_similarity"], foreign["fate"]) == (-2, None, "not enrolled")
    first = lines[0]
    assert first["named"] == first["candidates"][0]["product_id"] == "red" and len(first["candidates"]) == 3


def test_crops_of_one_picture_are_drawn_together(crops: CropAnswers) -> None:
    assert [len(places) for places in picture_groups(crops)] == [3, 3, 3, 1]


def test_products_categories_and_pairs(crop_run: tuple[Path, dict[str, Any]]) -> None:
    _, content = crop_run
    found = content["crops"]
    assert found["crops"] == 10 and sum(found["stages"].values()) == 10
    assert sum(found["errors"].values()) == 10 - found["stages"]["right"]
    assert {finding["name"] for finding in found["findings"]} <= set(found["errors"])
    assert all(finding["advice"] for finding in found["findings"])
    sibling = next(finding for finding in found["findings"] if finding["name"] == "sibling")
    assert "Red <tin> most: 1 of its 5, called Blue <tin>" in sibling["text"]
    rows = {row["product"]: row for row in found["products"]}
    assert (rows["red"]["crops"], rows["red"]["right"], rows["red"]["wrong"], rows["red"]["views"]) == (5, 4, 1, 1)
    assert rows["red"]["r1"] == pytest.approx(0.8) and rows["red"]["nearest"] == "Blue <tin>"
    low, high = rows["red"]["interval"]
    assert low <= 0.8 <= high <= 1
    assert rows["unknown"]["r1"] is None and not rows["unknown"]["enrolled"]
    [tins] = found["categories"]
    assert (tins["category"], tins["crops"], tins["products"]) == ("Tin", 9, 3)
    assert tins["r1"] == content["recognition"]["figures"]["r1"]
    pair = next(row for row in found["pairs"] if row["truth"] == "red")
    assert (pair["answer"], pair["count"], pair["of"], pair["named"], pair["siblings"]) == ("blue", 1, 5, 1, True)


def test_what_is_tried_depends_on_the_pair() -> None:
    words = {
        pair_advice(views, back=back, siblings=siblings)
        for views in (1, 9)
        for back in (0, 3)
        for siblings in (False, True)
    }
    assert len(words) == 8
    assert "it has 1" in pair_advice(1, back=0, siblings=False)


def test_the_report_names_the_errors_and_shows_them(crop_run: tuple[Path, dict[str, Any]]) -> None:
    folder, content = crop_run
    page = (folder / "report.html").read_text(encoding="utf-8")
    for text in (
        "What costs most",
        "Nearest to another product",
        "By category",
        "By product",
        "Crops that it got wrong",
    ):
        assert text in page, text
    shown = page.count('class="trio"')
    assert 0 < shown == len(content["crops"]["worst"]) <= 12
    assert page.count("<img") == shown and "no photo at hand" in page  # the table has no photos to enroll
    words = (folder / "report.md").read_text(encoding="utf-8")
    assert "## What costs most" in words and "| Red <tin> | Blue <tin> | 1 | 5 | 1 |" in words
    assert len((folder / "crops.jsonl").read_text().splitlines()) == 10


def test_an_analysis_of_crops_alone(shop, benchmark_config, tmp_path: Path) -> None:
    """With photos to enroll in the table: what is nearest, what was looked at, and what a threshold does."""
    lines = shop.table.read_text().replace("images/", f"{shop.images}/").splitlines()
    for name, colour in COLOURS.items():
        Image.new("RGB", (24, 24), colour).save(tmp_path / f"{name}.png")
        lines.append(f"{tmp_path}/{name}.png,{name},val,gallery,,,")
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    folder = tmp_path / "run"
    run(benchmark_config(folder, "data.annotations=null", f"recognition.table={tmp_path / 'table.csv'}"))
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert page.count("<img") > page.count('class="trio"') > 0  # photos of what was found and of what it is
    analyze(compose_verb("analyze", [f"run={folder}"], output_dir=tmp_path / "analyze"))
    content = json.loads((folder / "analysis" / "analysis.json").read_text())
    assert content["kind"] == "crops" and content["crops"]["queries"] == 10 and content["crops"]["views"] == 3
    pairs = [(row["is"], row["nearest"]) for row in content["crops"]["confusions"]]
    assert ("red", "blue") in pairs and sum(content["crops"]["kinds"].values()) == len(pairs)
    for name in ("nearest_failures.jpg", "looked_at.jpg", "unknowns.png", "growth.png"):
        assert Image.open(folder / "analysis" / name).width > 300, name
    words = (folder / "analysis" / "analysis.md").read_text()
    assert "## Unknown goods, and drift" in words and "| red | blue | 1 |" in words
    # Three products are too few to divide into a shop; the first two pictures can be held against the others.
    assert not (folder / "analysis" / "turnover.png").exists() and "drift" in content["crops"]


def test_crops_alone_are_held_against_the_last_run(shop, benchmark_config, tmp_path: Path) -> None:
    for name in ("before", "now"):
        run(benchmark_config(tmp_path / name, "data.annotations=null", f"recognition.table={shop.table}"))
    against = json.loads((tmp_path / "now" / "benchmark.json").read_text())["against"]
    assert (against["run"], against["refused"]) == ("before", [])
    assert [(row["figure"], row["value"], row["winner"]) for row in against["figures"]] == [
        ("Product right of a single crop (R@1)", 0.0, "no difference shown")
    ]
    page = (tmp_path / "now" / "report.html").read_text(encoding="utf-8")
    assert f"drawn in pairs over the same {against['pictures']} pictures." in page
    assert compare([str(tmp_path / "before"), str(tmp_path / "now"), "--output", str(tmp_path / "verdict")]) == 0


def of_fates(*rows: tuple[str, str, str, float, float, Status]) -> CropAnswers:
    """Made-up answers: own product, the nearest, fate, similarity of the nearest and of the own one, status."""
    items = ("a", "b", "c")
    nearest = np.array([[items.index(row[1]), (items.index(row[1]) + 1) % 3] for row in rows], np.int32)
    named = [items.index(row[1]) if row[5] == "known" else -1 for row in rows]
    return CropAnswers(
        tuple(Query(Path(f"{place}.jpg"), row[0]) for place, row in enumerate(rows)),
        crop_breakdown_catalogue(items),
        items,
        nearest,
        np.array([[row[3], 0.1] for row in rows], np.float32),
        np.array([row[4] for row in rows], np.float32),
        np.array([0 if row[0] == row[1] else 1 for row in rows], np.int64),
        np.array(named, np.int32),
        np.array([("known", "ambiguous", "unknown").index(row[5]) for row in rows], np.int8),
        np.array([FATES.index(row[2]) for row in rows], np.int8),  # type: ignore[arg-type]
    )


def crop_breakdown_catalogue(items: tuple[str, ...]) -> Any:
    from facings.benchmark.breakdown import Catalogue

    return Catalogue(frozenset(items))


def test_the_worst_are_bounded_and_of_all_kinds() -> None:
    named = [("a", "b", "another product", 0.9, 0.9 - lead, "known") for lead in (0.1, 0.4, 0.2)]
    refused = [("c", "c", "rejected as unknown", similarity, similarity, "unknown") for similarity in (0.5, 0.3)]
    crops = of_fates(
        *named, *refused, ("b", "a", "rejected as unknown", 0.6, 0.5, "unknown"), ("a", "a", "right", 0.9, 0.9, "known")
    )  # type: ignore[arg-type]
    # Two of one pair at most, the clearest first; then near another product, then refused, the least similar first.
    assert worst_queries(crops) == [1, 2, 5, 4, 3]
    assert worst_queries(crops, most=3) == [1, 2, 5]
    assert worst_queries(of_fates(("a", "a", "right", 0.9, 0.9, "known"))) == []  # type: ignore[arg-type]


def test_photos_are_the_nearest_at_hand(shop, crops: CropAnswers, recognizer: Recognizer, tmp_path: Path) -> None:
    """Of two photos of blue the one that looks like the query; one of red is damaged and shows nothing."""
    photos = []
    for name, colour in (("green", (30, 190, 40)), ("grey", (90, 90, 90)), ("near", (30, 40, 210))):
        Image.new("RGB", (30, 20), colour).save(tmp_path / f"{name}.png")
        photos.append(Query(tmp_path / f"{name}.png", "blue"))
    (tmp_path / "broken.png").write_bytes(b"nothing")
    photos.append(Query(tmp_path / "broken.png", "red"))
    wrong = next(place for place, fate in enumerate(crops.fates()) if fate == "sibling")
    [plate] = crop_plates(recognizer, crops, [wrong], photos)
    assert plate.right is None and plate.asked.size == (24, 24)
    assert plate.other is not None and plate.other.getpixel((5, 5)) == (30, 40, 210)
    assert plate.facts["other"] == "blue" and plate.facts["product"] == "red"
    assert photos_at_hand(recognizer.gallery, ["green"], photos) == {"green": []}


def test_pictures_of_one_name_stay_apart(shop, benchmark_config, tmp_path: Path) -> None:
    content = json.loads(shop.annotations.read_text())
    for number, image in enumerate(content["images"]):
        name = f"{'ab'[number % 2]}/{number // 2}.png"
        (tmp_path / "images" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "images" / name).write_bytes((shop.images / image["file_name"]).read_bytes())
        image["file_name"] = name
    (tmp_path / "twice.json").write_text(json.dumps(content))
    words = [f"data.annotations={tmp_path / 'twice.json'}", f"data.images={tmp_path / 'images'}"]
    run(benchmark_config(tmp_path / "run", *words, "recognition.table=null"))
    drawn = sorted(p.relative_to(tmp_path / "run" / "annotated").as_posix() for p in (tmp_path / "run").rglob("*.jpg"))
    assert drawn == ["a/0.jpg", "a/1.jpg", "b/0.jpg", "b/1.jpg"]
    lines = [json.loads(line) for line in (tmp_path / "run" / "decisions.jsonl").read_text().splitlines()]
    assert [(line["image"], line["file"], line["image_id"]) for line in lines] == [
        ("0.png", "a/0.png", 1), ("0.png", "b/0.png", 2), ("1.png", "a/1.png", 3), ("1.png", "b/1.png", 4),
    ]  # fmt: skip
    report = json.loads((tmp_path / "run" / "benchmark.json").read_text())
    assert sorted(row["frame"] for row in report["frames"]) == ["a/0.png", "a/1.png", "b/0.png", "b/1.png"]
    assert "b/0.png" in (tmp_path / "run" / "report.html").read_text(encoding="utf-8")


def test_kept_crops_go_before_the_tables_photos(shop, recognizer: Recognizer, tmp_path: Path) -> None:
    assert recognizer.gallery is not None
    gallery = replace(recognizer.gallery)
    photos = [Query(tmp_path / "x.png", "red")]
    assert photos_at_hand(gallery, ["red", "new"], photos) == {"red": photos, "new": []}
