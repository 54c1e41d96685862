"""Runs as notebooks open them."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from facings.benchmark.verdict import Side
from facings.commands.benchmark import run as benchmark
from facings.commands.composition import compose_verb
from facings.commands.opened_run import (
    accept_rule,
    embed_crops,
    folders_of,
    halves,
    newest,
    open_benchmark,
    open_chain,
    open_data,
    open_detector,
    project_home,
)
from facings.commands.opened_sides import most_changed, open_sides, without_unsure
from facings.data.tables import RecognitionRow
from facings.errors import ConfigError, DataError
from facings.files import sha256
from facings.runtime.bundle import Bundle
from facings.runtime.decision import bundle_standard, decide
from facings.runtime.recognizer import Recognizer
from facings.structures import Decision, Detections, Item
from tests.benchmark.conftest import make_bundle, make_data
from tests.runtime.gallery_parts import unit_rows
from tests.runtime.test_bundle_standard import RATES, settle


@pytest.fixture
def run(tmp_path: Path) -> Path:
    """Two objects in one picture, one of them found, and a stray box."""
    (tmp_path / "images").mkdir()
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(tmp_path / "images" / "shelf.png")
    boxes = [[2, 2, 16, 16], [30, 4, 18, 20]]
    truth = {
        "images": [{"id": 7, "file_name": "shelf.png", "width": 60, "height": 40}],
        "categories": [{"id": 5, "name": "tea"}],
        "annotations": [
            {"id": n, "image_id": 7, "category_id": 5, "bbox": box, "area": box[2] * box[3], "iscrowd": 0}
            for n, box in enumerate(boxes, start=1)
        ],
    }
    (tmp_path / "instances_val.json").write_text(json.dumps(truth))
    folder = tmp_path / "run"
    (folder / "predictions").mkdir(parents=True)
    found = [
        {"image_id": 7, "category_id": 1, "bbox": box, "score": s}
        for box, s in ((boxes[0], 0.9), ([50, 30, 5, 5], 0.2))
    ]
    (folder / "predictions" / "test.json").write_text(json.dumps(found))
    (folder / "config.yaml").write_text(
        f"data:\n  annotations: {tmp_path}/instances_val.json\n  images: {tmp_path}/images\n"
    )
    return folder


def test_the_newest_is_the_last_by_name(tmp_path: Path) -> None:
    for name in ("2026-01-02", "2026-01-10", "2025-12-31"):
        (tmp_path / name / "benchmark").mkdir(parents=True)
    (tmp_path / "2027-01-01").write_text("a file")
    assert newest(f"{tmp_path}/*/benchmark") == tmp_path / "2026-01-10" / "benchmark"
    assert [path.parent.name for path in folders_of(f"{tmp_path}/2026*/benchmark")] == ["2026-01-02", "2026-01-10"]


def test_a_folder_with_brackets_is_no_pattern(tmp_path: Path) -> None:
    (tmp_path / "run[1]").mkdir()
    assert newest(str(tmp_path / "run[1]")) == tmp_path / "run[1]"


def test_no_folder_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make quickstart"):
        newest(f"{tmp_path}/*/benchmark")


def test_home_is_where_the_project_file_lies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deep = tmp_path / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    assert project_home() == deep
    (tmp_path / "pyproject.toml").write_text("")
    assert project_home() == tmp_path


def test_a_detectors_run(run: Path) -> None:
    opened = open_detector(run)
    assert opened.kinds == ("boxes",) and len(opened.pairs) == 1 and opened.table.labels == ("tea",)
    assert (len(opened.pairs[0].truth), len(opened.pairs[0].found)) == (2, 2)
    assert opened.read(7).shape == opened.read("shelf.png").shape == (40, 60, 3)


def test_masks_want_outlines(run: Path) -> None:
    with pytest.raises(ConfigError, match="has an outline"):
        open_detector(run, outlined=True)


def test_a_detectors_run_is_no_chain(run: Path) -> None:
    with pytest.raises(ConfigError, match="protocol=frames"):
        open_chain(run)


def test_the_data_of_a_run_and_of_a_folder(run: Path) -> None:
    assert [split.name for split in open_data(run).splits] == ["val"]
    assert [split.name for split in open_data(run.parent).splits] == ["val"]


def test_a_run_without_boxes_has_no_data_to_show(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text("verb: train\ndata: {table: {path: x.csv}}\n")
    with pytest.raises(ConfigError, match="names no pictures with boxes"):
        open_data(tmp_path)


def test_a_run_that_cannot_be_compared_is_refused(run: Path) -> None:
    with pytest.raises(ConfigError, match=r"benchmark\.json"):
        open_sides([str(run)])


def test_unsure_answers_are_left_out() -> None:
    def item(score: float) -> Item:
        return Item((0, 0, 9, 9), score, "unknown", None, (), ())

    found: list[dict[str, Any]] = [{"score": score} for score in (0.2, 0.5, 0.9)]
    strict = without_unsure(Side("a", found, [Decision("1", (item(0.2), item(0.5)))]), 0.5)
    assert [entry["score"] for entry in strict.predictions] == [0.5, 0.9]
    assert strict.decisions is not None and [i.detection_score for i in strict.decisions[0].items] == [0.5]
    assert without_unsure(Side("a", found), 0.5).decisions is None


def test_halves_keep_the_crops_of_a_picture_together() -> None:
    rows = [RecognitionRow(Path(name), "tea", "val", "query") for name in ("b", "a", "c", "a", "d", "b")]
    before, after, picture = halves(rows)
    assert sorted([*before, *after]) == list(range(6))
    assert not set(picture[before]) & set(picture[after])
    assert {rows[place].path.name for place in before} == {"a", "b"}


def test_a_killed_run_among_those_of_a_pattern_is_named(run: Path, tmp_path: Path) -> None:
    (tmp_path / "all").mkdir()
    for name in ("1", "2"):
        folder = tmp_path / "all" / name
        folder.mkdir()
        (folder / "config.yaml").write_text("verb: benchmark\n")
    with pytest.raises(ConfigError, match=r"2: holds neither benchmark\.json"):
        open_sides([f"{tmp_path}/all/*"])
    evaluation = Path(shutil.copytree(run, tmp_path / "all" / "0"))
    (evaluation / "predictions" / "test.json").rename(evaluation / "predictions" / "detections.json")
    truth = tmp_path / "instances_val.json"
    environment = {"data": {truth.name: sha256(truth)}, "machine": "one", "git": "c"}
    (evaluation / "environment.json").write_text(json.dumps(environment))
    (evaluation / "results.json").write_text(json.dumps({"protocol_version": 2, "ap50": 0.5}))
    opened = open_sides([f"{tmp_path}/all/*"])
    assert [entry.folder.name for entry in opened.runs] == ["0"] and len(opened.left_out) == 2
    # Held against itself without its stray box of 0.2: at the best score, 0.9, both answer alike.
    assert opened.score == pytest.approx(0.9) and most_changed(opened, 2) == []
    assert len(most_changed(replace(opened, score=0.1), 2)) == 1


@pytest.mark.parametrize("standard", [None, RATES])
def test_the_rule_in_force_is_the_one_that_decides(
    tmp_path: Path, rng: np.random.Generator, standard: dict[str, Any] | None
) -> None:
    bundle = Bundle.open(settle(make_bundle(tmp_path / "tiny-1"), standard=standard))
    gallery, recognizer, vectors = bundle.gallery(), Recognizer(bundle), unit_rows(rng, 300, 3)
    found = Detections(np.tile(np.float32([0, 0, 9, 9]), (300, 1)), np.ones(300, np.float32), np.zeros(300, np.int64))
    decision = decide(found, recognizer.match(vectors), bundle, gallery, bundle_standard(bundle, gallery))
    accepted = [item.status != "unknown" for item in decision.items]
    similar = np.sort(vectors @ gallery.vectors.T, axis=1)
    rule = accept_rule(bundle)
    assert (rule.sure(similar[:, -1], similar[:, -2]) >= rule.threshold).tolist() == accepted
    assert 0 < sum(accepted) < 300 and ("a lead (" in str(rule)) == (standard is not None)
    assert "at most 5% of goods" in str(rule)


def test_too_few_calibration_crops_accept_nothing(tmp_path: Path) -> None:
    rule = accept_rule(Bundle.open(settle(make_bundle(tmp_path / "tiny-1"), false_accept_rate=0.001)))
    assert rule.threshold == np.inf and str(rule).endswith("it accepts no crop at all")


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Path, Path]:
    """A benchmark of two pictures, of which blue things are called green, and its bundle."""
    scenes: list[dict[int, tuple[str | None, str]]] = [{0: ("red", "red"), 5: ("green", "blue")}, {3: ("blue", "blue")}]
    bundle = make_bundle(tmp_path / "tiny-1")
    annotations, images, table = make_data(tmp_path / "data", scenes)
    words = [f"bundle={bundle}", "benchmark_data=coco", "data.name=shop", f"data.annotations={annotations}"]
    words += [f"data.images={images}", f"recognition.table={table}", "threads=1", "warmup=0", "repeats=1"]
    benchmark(compose_verb("benchmark", words, output_dir=tmp_path / "chain"))
    return tmp_path / "chain", bundle


def test_a_gallery_that_moved_on_is_asked_for_the_version_that_decided(chain: tuple[Path, Path]) -> None:
    folder, bundle = chain
    before = [frame.attribution.fates for frame in open_chain(folder).frames]
    assert sorted(fate for fates in before for fate in fates) == ["right", "right", "sibling"]
    Bundle.open(bundle).gallery().remove("blue", author="test")
    after = open_chain(folder)
    assert [frame.attribution.fates for frame in after.frames] == before and "blue" in (after.enrolled or ())


def test_a_table_without_photos_to_enrol_has_no_crops_to_look_at(chain: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="no rows with"):
        embed_crops(open_chain(chain[0]))


def test_a_chain_that_names_nothing_is_only_timed(chain: tuple[Path, Path]) -> None:
    path = chain[0] / "decisions.jsonl"
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps({**line, "gallery_version": None}) + "\n" for line in lines))
    with pytest.raises(ConfigError, match="nothing is named"):
        open_chain(chain[0])
    assert len(open_benchmark(chain[0]).table.images) == 2
    path.write_text("")
    with pytest.raises(ConfigError, match="asked about no frames"):
        open_chain(chain[0])
