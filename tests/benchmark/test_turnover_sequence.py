"""Days as they were recorded: goods are on the shelf while they are seen, and swaps of a sequence end a day."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from facings.benchmark.turnover import run_shop
from facings.benchmark.turnover_data import Embeddings, read_embeddings, synthetic_families
from facings.benchmark.turnover_days import Protocol, days, split_products
from facings.benchmark.turnover_sequence import days_of_rows
from facings.commands.benchmark import run
from facings.commands.composition import compose_verb
from facings.data.synthetic.dataset import synthesize
from facings.data.synthetic.parameters import SequenceParameters
from facings.data.tables import read_recognition_table
from facings.errors import DataError
from facings.runtime.standard import Rates
from tests.conftest import tiny_parameters

PROTOCOL = Protocol(days=4, views=3, queries=3, order="recorded", never_share=0.3)


@pytest.fixture(scope="module")
def recorded() -> Embeddings:
    """Families of goods, each of which is seen on one to three days on end, of five; of each the first query has no day."""
    data = synthetic_families(families=20, products_per_family=3, photos=4, queries=7, dimension=16)
    order = np.full(len(data.vectors), -1.0)
    for number, name in enumerate(data.usable(3)):
        rows = data.rows(name, enrol=False)[1:]
        order[rows] = np.minimum(number % 4 + np.arange(len(rows)) // 2, 4)
    return replace(data, order=order)


def test_goods_are_on_the_shelf_while_they_are_seen(recorded: Embeddings) -> None:
    order = recorded.order
    assert order is not None
    calibration, pool, never = split_products(recorded, PROTOCOL, 1)
    before: dict[str, np.ndarray] = {}
    came: set[str] = set()
    made = list(days(recorded, PROTOCOL, pool, never, 1))
    assert [day.number for day in made] == list(range(5))
    for day in made:
        seen = {name: order[recorded.rows(name, enrol=False)] for name in pool}
        there = {name for name, own in seen.items() if own[own >= 0].min() <= day.number <= own.max()}
        assert set(day.enrolled) == there and set(day.new) == there - set(before)
        assert all((day.enrolled[name] == rows).all() for name, rows in before.items() if name in there)
        came |= there
        for row, kind in zip(day.queries.tolist(), day.kind.tolist(), strict=True):
            name = str(recorded.product[row])
            assert kind == (2 if name in never else 0 if name in there else 1) and name not in calibration
            assert 0 <= order[row] < day.number if kind == 1 else order[row] == day.number
        before = day.enrolled
    assert {2} < set(made[-1].kind.tolist()) and 1 in made[3].kind and came == set(pool)
    assert [day.number for day in days(recorded, replace(PROTOCOL, days=2), pool, never, 1)] == [0, 1, 2]


def test_a_shop_of_recorded_days_gives_all_figures(recorded: Embeddings) -> None:
    shop = run_shop(recorded, PROTOCOL, Rates(), seed=1)
    assert len(shop.per_day) == 5
    for name in (
        "false_accept",
        "coverage",
        "picklist3",
        "fixed_false_accept",
        "per_class_false_accept",
        "softmax_seconds",
    ):
        assert np.isfinite(shop.mean(name)), name


def test_days_that_nobody_noted_are_refused(recorded: Embeddings) -> None:
    parts = split_products(recorded, PROTOCOL, 1)[1:]
    assert recorded.order is not None
    for order in (None, np.full(len(recorded.vectors), -1.0)):
        with pytest.raises(DataError, match="nobody noted on which day"):
            list(days(replace(recorded, order=order), PROTOCOL, *parts, 1))
    with pytest.raises(DataError, match="day 0 has 0 products on the shelf"):
        list(days(replace(recorded, order=recorded.order + (recorded.order >= 0)), PROTOCOL, *parts, 1))


@pytest.fixture(scope="module")
def wall(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A wall of 16 frames whose assortment changes at frames 6 and 12."""
    folder = tmp_path_factory.mktemp("synthetic") / "wall"
    sequence = SequenceParameters(frames=16, cameras=("overhead",), takes=1.0, swap=6, turnover=0.4, night=False)
    synthesize(folder, tiny_parameters(
        products=32, enrol_photos=4, train_scenes=1, val_scenes=1, image_size=240, people=0.0, cabinets=0.0, sequence=sequence,
    ))  # fmt: skip
    return folder


def test_a_day_ends_where_products_are_swapped(wall: Path) -> None:
    rows = read_recognition_table(wall / "recognition.csv").rows
    found = days_of_rows(wall / "events.jsonl", rows)
    events = [json.loads(line) for line in (wall / "events.jsonl").read_text().splitlines()]
    swaps = {event["frame"] for event in events if event["kind"].startswith("swap")}
    assert swaps == {6, 12}
    for row, day in zip(rows, found.tolist(), strict=True):
        recorded = row.path.parent.parent.name == "sequence"
        assert day == (sum(frame <= int(row.path.stem) for frame in swaps) if recorded else -1)
    assert {0.0, 1.0, 2.0} <= set(found.tolist())


def test_files_that_tell_no_days_are_refused(wall: Path, tmp_path: Path) -> None:
    rows = read_recognition_table(wall / "recognition.csv").rows
    for text, message in (
        (None, "no such file"),
        ('{"frame": 1}\n', "line 1: no event with frame and kind"),
        ('{"frame": 1, "kind": "take"}\n', "nothing is swapped in it"),
        ('{"frame": 1, "kind": "swap_in"}\n', "instances_sequence.json: no such file"),
    ):
        if text is not None:
            (tmp_path / "events.jsonl").write_text(text)
        with pytest.raises(DataError, match=message):
            days_of_rows(tmp_path / "events.jsonl", rows)
    (tmp_path / "instances_sequence.json").write_text('{"images": [{"file_name": "a.jpg"}]}')
    with pytest.raises(DataError, match="pictures without a frame"):
        days_of_rows(tmp_path / "events.jsonl", rows)


def test_the_verb_runs_on_a_sequence(wall: Path, tmp_path: Path) -> None:
    """Embedded by the frozen backbone, with all baselines beside it."""
    words = ["protocol=turnover", "turnover.backbone=tf_efficientnet_lite0", "turnover.frozen.image_size=64"]
    words += [f"recognition.table={wall / 'recognition.csv'}", f"turnover.events={wall / 'events.jsonl'}"]
    words += ["turnover.order=recorded", "turnover.enrol_splits=[sequence]", "turnover.query_splits=[sequence]"]
    words += ["turnover.views=3", "turnover.seeds=2", "turnover.fnir=null"]
    figures = run(compose_verb("benchmark", words, output_dir=tmp_path))
    content = json.loads((tmp_path / "turnover.json").read_text())
    assert content["protocol"]["order"] == "recorded" and len(content["days"]["accuracy"]) == 3
    assert {"fixed_known_right", "per_class_known_right", "softmax_seconds", "enrolment_seconds"} <= set(figures)
    kept = read_embeddings(tmp_path / "embeddings.npz")
    assert kept.order is not None and set(kept.order[~kept.enrol].tolist()) == {0.0, 1.0, 2.0}
