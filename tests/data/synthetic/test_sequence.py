"""Sequences: the log of events is what the frames show."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from facings.commands.composition import compose_verb
from facings.commands.synthesize import run
from facings.data.synthetic.dataset import Parameters, synthesize
from facings.data.synthetic.happenings import happen
from facings.data.synthetic.parameters import SequenceParameters
from facings.data.synthetic.planogram import plan, settled
from facings.data.synthetic.products import assortment
from facings.data.synthetic.sequence import SequenceFrames, light_at, timeline_of
from facings.data.synthetic.timeline import Timeline
from facings.data.tables import read_recognition_table
from facings.errors import ConfigError
from tests.conftest import tiny_parameters

HOURLY = SequenceParameters(
    frames=16, cameras=("overhead", "oblique"), seconds=3600, takes=2.0, put_back=0.3, misplace=0.3, restock=5, swap=7,
    turnover=0.4,
)  # fmt: skip


def shop(**changes: Any) -> Parameters:
    values = {
        "train_scenes": 1,
        "val_scenes": 1,
        "products": 16,
        "image_size": 144,
        "enrol_photos": 0,
        "new_share": 0.4,
        # Who stands before the shelf hides what the log has there.
        "people": 0.0,
    }
    return tiny_parameters(**(values | {"sequence": HOURLY} | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sequence") / "set"
    synthesize(folder, shop())
    return folder


def replayed(lines: list[dict[str, Any]], frame: int) -> dict[int, tuple[int, str]]:
    """Slot → piece and product after all events up to a frame, from the file alone."""
    full: dict[int, tuple[int, str]] = {}
    for event in lines:
        if event["frame"] > frame or "slot" not in event:
            continue
        if event["kind"] in ("take", "tidy", "swap_out"):
            assert full.pop(event["slot"]) == (event["piece_id"], event["product_id"])
        else:
            assert event["slot"] not in full
            full[event["slot"]] = (event["piece_id"], event["product_id"])
    return full


def test_events_are_what_the_frames_show(made: Path) -> None:
    """Of every front piece that a camera ever sees clearly: it is in a frame's truth exactly when the log has it there."""
    lines = [json.loads(line) for line in (made / "events.jsonl").read_text().splitlines()]
    content = json.loads((made / "instances_sequence.json").read_text())
    slots = timeline_of(shop()).slots
    for camera in HOURLY.cameras:
        images = {i["id"]: i["frame"] for i in content["images"] if i["camera_id"] == camera}
        assert sorted(images.values()) == list(range(HOURLY.frames))
        shown: dict[int, set[tuple[int, int, str]]] = {frame: set() for frame in images.values()}
        clear = set()
        for entry in content["annotations"]:
            if entry["image_id"] in images:
                found = (entry["slot"], entry["piece_id"], entry["product_id"])
                shown[images[entry["image_id"]]].add(found)
                if entry["visibility"] > 0.75 and not slots[entry["slot"]].stands.behind:
                    clear.add(found)
        assert len(clear) > 10
        for frame, seen in shown.items():
            there = {(slot, *rest) for slot, rest in replayed(lines, frame).items()}
            assert seen <= there
            assert there & clear == seen & clear, (camera, frame)
        changed = {
            (e["slot"], e["piece_id"], e["product_id"]) for e in lines if e["kind"] not in ("start",) and "slot" in e
        }
        assert changed & clear, "no event in view: the test would show nothing"


def test_a_frame_alone_is_the_frame_of_the_set(made: Path) -> None:
    source = SequenceFrames(shop())
    for index in (HOURLY.frames + 9, 4):
        assert source.frame(index).jpeg == (made / "images" / "sequence" / source.name(index)).read_bytes()


def test_nights_are_dark_and_tables_know_the_sequence(made: Path) -> None:
    def brightness(frame: int) -> float:
        picture = cv2.imread(str(made / "images" / "sequence" / "oblique" / f"{frame:06d}.jpg"))
        assert picture is not None
        return float(picture.mean())

    lines = [json.loads(line) for line in (made / "events.jsonl").read_text().splitlines()]
    (off,) = (event for event in lines if event["kind"] == "lights_off")
    assert off["captured_at"] == "2026-01-05T22:00:00" and off["frame"] == 14
    assert brightness(14) < 0.7 * brightness(5)
    content = json.loads((made / "instances_sequence.json").read_text())
    assert [camera["id"] for camera in content["cameras"]] == list(HOURLY.cameras)
    poses = {(i["camera_id"], json.dumps([i["R"], i["t"]])) for i in content["images"]}
    assert len(poses) == 2, "a fixed camera does not move"
    table = read_recognition_table(made / "recognition.csv")
    assert table.select(split="sequence", role="gallery") and table.select(split="sequence", role="query")
    record = json.loads((made / "synthesize.json").read_text())
    assert {"instances_sequence.json", "events.jsonl"} <= set(record["files"])
    assert "cameras" not in json.loads((made / "instances_train.json").read_text())


def long_time(**changes: Any) -> Timeline:
    products = assortment(40, produce_share=0.3, seed=1)
    rng = np.random.default_rng(5)
    wall = settled(plan(products[6:30], rng, misplaced=0.02, gaps=0.05, width=150.0))
    values = {"frames": 400, "seconds": 300.0, "takes": 1.5, "turnover": 0.3} | changes
    return happen(wall, products, SequenceParameters(**values), rng)


def test_every_kind_of_event_happens_and_makes_sense() -> None:
    timeline = long_time()
    kinds = Counter(event.kind for event in timeline.events)
    assert set(kinds) == {
        "start", "take", "put_back", "misplace", "tidy", "restock", "swap_out", "swap_in", "lights_off", "lights_on",
    }  # fmt: skip
    frames = [event.frame for event in timeline.events]
    assert frames == sorted(frames)
    taken: dict[int, int] = {}
    for event in timeline.events:
        if event.kind == "take":
            assert event.piece is not None and event.slot is not None
            taken[event.piece] = event.slot
        elif event.kind == "put_back":
            assert event.piece is not None and taken.pop(event.piece) == event.slot
        elif event.kind == "misplace":
            assert event.piece is not None and taken.pop(event.piece) == event.from_slot != event.slot
            assert event.slot is not None and event.product is not None
            # What is left at a wrong place fits there.
            assert event.product.size[1] <= 1.1 * timeline.slots[event.slot].stands.product.size[1]
    for frame in (0, 77, 399):
        wall, slot_of = timeline.wall_at(frame)
        pieces = [piece.piece for row in wall.rows for piece in row.placements]
        assert len(pieces) == len(set(pieces)) == len(slot_of) == len(timeline.at(frame))


def test_a_swap_changes_its_share_of_the_assortment() -> None:
    timeline = long_time(takes=0.0, swap=50, restock=1000, frames=60)
    before, after = (
        {event.product.product_id for event in timeline.at(frame).values() if event.product} for frame in (49, 50)
    )
    # Goods for which no other fits stay.
    assert 0.15 * len(before) <= len(before - after) <= 0.3 * len(before) + 0.5
    assert len(after - before) == len(before - after)
    none = long_time(takes=0.0, swap=50, restock=1000, frames=60, turnover=0.0, night=False)
    assert {event.kind for event in none.events} == {"start"}


def test_an_emptied_shelf_stays_empty_until_it_is_filled() -> None:
    """More is taken than there is."""
    timeline = long_time(takes=30.0, put_back=0.0, misplace=0.0, restock=50, swap=1000, frames=60)
    front = [slot for slot in timeline.at(49) if not timeline.slots[slot].stands.behind]
    assert not front and len(timeline.at(50)) > 20


def test_light_follows_the_hour() -> None:
    levels = [light_at(long_time(seconds=3600.0, frames=1).time(hour), HOURLY).level for hour in range(24)]
    assert max(levels[:14]) > 1 and max(levels[14:23]) == min(levels) == 0.1
    assert light_at(long_time(frames=1).time(200), SequenceParameters(frames=1, night=False)).level > 0.7


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frames": -1}, "sequence.frames=-1: expected 1 or more"),
        ({"cameras": ("roof",)}, "sequence.cameras: 'roof' is unknown"),
        ({"put_back": 0.7, "misplace": 0.6}, "together 1 or less"),
        ({"seconds": 0.0}, "sequence.seconds=0.0: expected more than 0"),
        ({"turnover": 1.5}, "sequence.turnover=1.5: expected a share"),
        ({"takes": float("nan")}, "sequence.takes=nan: expected 0 or more"),
    ],
)
def test_values_out_of_range_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        SequenceParameters(**({"frames": 4} | change)).check()


def test_the_verb_makes_a_sequence(tmp_path: Path) -> None:
    words = [f"paths.data_dir={tmp_path}", "name=time", "train_scenes=1", "val_scenes=1", "products=8", "image_size=96"]
    words += ["enrol_photos=0", "workers=1", "resolution=[128,96]", "sequence.frames=2", "sequence.cameras=[front]"]
    folder = run(compose_verb("synthesize", words, output_dir=tmp_path / "log"))
    assert len(list((folder / "images" / "sequence" / "front").glob("*.jpg"))) == 2
    made = json.loads((folder / "synthesize.json").read_text())["parameters"]
    assert made["sequence"]["frames"] == 2 and made["sequence"]["cameras"] == ["front"]
    for wrong in ("resolution=640", "cameras=[3]"):
        with pytest.raises(ConfigError, match=wrong.split("=")[0]):
            run(compose_verb("synthesize", [*words, wrong], output_dir=tmp_path / "log"))
