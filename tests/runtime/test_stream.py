"""A stream answers as the full computation does, frame by frame, at the cost of what changed."""

import json
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from facings.errors import ConfigError, DataError
from facings.runtime.bundle import Bundle
from facings.runtime.changes import Sensitivity
from facings.runtime.cli import main
from facings.runtime.hot_swap import HotSwap
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from facings.runtime.stream import StreamRecognizer, StreamResult, StreamSettings
from facings.runtime.track_events import event_from_json
from facings.runtime.tracking import Patience
from facings.runtime.verify import decision_agreement
from facings.tiles import Tiling
from tests.benchmark.conftest import make_bundle
from tests.conftest import TinyShop
from tests.runtime.shelf_scenes import FULL, Shelf, agree, frame, lines

SETTINGS = StreamSettings(patience=Patience(confirm=2, hidden=5), refresh_frames=None, refresh_seconds=None)
WIDE = (168, 240)
LONG: Shelf = {
    (row, column): ("red", "green", "blue")[(row + column) % 3] for row in range(0, 7, 2) for column in range(10)
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("stream") / "tiny-1")


@pytest.fixture(scope="module")
def recognizer(bundle: Path) -> Recognizer:
    return Recognizer(Bundle.open(bundle), threads=1)


@pytest.fixture(scope="module")
def tiled(bundle: Path) -> Recognizer:
    return Recognizer(Bundle.open(bundle), threads=1, tiling=Tiling(96, 24))


def shelves(start: Shelf, empty: tuple[int, int]) -> list[Shelf]:
    """Still, one taken, put back elsewhere, one swapped, two exchanged: three frames each."""
    first, second, third = list(start)[:3]
    taken = {cell: colour for cell, colour in start.items() if cell != first}
    back = taken | {empty: start[first]}
    swapped = back | {second: "red"}
    exchanged = swapped | {second: swapped[third], third: swapped[second]}
    return [shelf for shelf in (start, taken, back, swapped, exchanged) for _ in range(3)]


def kinds(result: StreamResult) -> list[str]:
    return [event.kind for event in result.events]


@pytest.mark.parametrize("patience", [1, 3])
def test_every_frame_beyond_the_lag_is_answered_as_the_full_computation_does(
    recognizer: Recognizer, patience: int
) -> None:
    settings = StreamSettings(Sensitivity(frames=patience), SETTINGS.patience, None, None)
    stream = StreamRecognizer(recognizer, settings)
    sequence = [shelf for shelf in shelves(FULL, (3, 3)) for _ in range(patience)]
    since = 0
    for number, shelf in enumerate(sequence):
        since = 0 if number and shelf is not sequence[number - 1] and shelf != sequence[number - 1] else since + 1
        picture = frame(shelf, number)
        ours = stream.run(picture)
        # A change is answered in the frame in which it was there `frames` times.
        if number == 0 or since >= patience - 1:
            assert agree(ours.decision, recognizer.recognize(picture)), number


def test_tiles_that_did_not_change_are_not_looked_at(tiled: Recognizer) -> None:
    stream = StreamRecognizer(tiled, SETTINGS)
    count = len(tiled.parts(*WIDE))
    assert count == 6
    looked = []
    for number, shelf in enumerate(shelves(LONG, (1, 9))):
        picture = frame(shelf, number, size=WIDE)
        ours = stream.run(picture)
        assert agree(ours.decision, tiled.recognize(picture)), number
        looked.append(ours.work.looked)
    assert looked[0] == count and all(0 < n < count for n in looked[3::3])
    assert looked[1:3] == looked[4:6] == [0, 0]


def test_a_still_shelf_costs_nothing_and_a_change_what_changed(recognizer: Recognizer) -> None:
    stream = StreamRecognizer(recognizer, SETTINGS)
    works = [stream.run(frame(FULL, number)).work for number in range(20)]
    assert (works[0].reason, works[0].embedded) == ("first", len(FULL))
    assert all(work.reason == "still" and work.looked == work.embedded == work.matched == 0 for work in works[1:])
    swapped = stream.run(frame(FULL | {(1, 1): "red"}, 20)).work
    assert (swapped.reason, swapped.looked, swapped.embedded, swapped.matched) == ("change", 1, 1, 1)
    taken = stream.run(frame({cell: c for cell, c in FULL.items() if cell != (3, 0)} | {(1, 1): "red"}, 21)).work
    assert (taken.reason, taken.embedded) == ("change", 0)


def test_the_numbers_are_those_of_the_full_computation_without_noise(recognizer: Recognizer) -> None:
    stream = StreamRecognizer(recognizer, SETTINGS)
    for number, shelf in enumerate(shelves(FULL, (3, 3))):
        picture = frame(shelf, number, noise=0)
        ours, theirs = stream.run(picture).result, recognizer.run(picture)
        np.testing.assert_array_equal(ours.detections.boxes, theirs.detections.boxes)
        np.testing.assert_allclose(ours.embeddings, theirs.embeddings, atol=1e-6)
        assert ours.decision == theirs.decision
        assert not ours.embeddings.flags.writeable


def test_events_tell_what_was_done(recognizer: Recognizer) -> None:
    stream = StreamRecognizer(recognizer, SETTINGS)
    results = [stream.run(frame(shelf, number)) for number, shelf in enumerate(shelves(FULL, (3, 3)))]
    assert kinds(results[1]) == ["appeared"] * len(FULL)
    # Taken in frame 3 and put back elsewhere in frame 6, within five frames: it has moved.
    assert [kinds(result) for result in results[2:7]] == [[]] * 5
    (moved,) = results[7].events
    assert (moved.kind, moved.product_id, moved.box[:2]) == ("moved", "red", (72.0, 72.0))
    assert kinds(results[10]) == ["gone", "appeared"]
    # Two that change places without a gap look like two that were swapped.
    assert sorted(kinds(results[13])) == ["appeared"] * 2 + ["gone"] * 2
    assert len({*results[-1].tracks.tolist()}) == len(FULL)
    assert (results[-1].tracks >= 0).all()


def test_a_passing_hand_is_no_event(recognizer: Recognizer) -> None:
    stream = StreamRecognizer(recognizer, SETTINGS)
    before = [stream.run(frame(FULL, number)) for number in range(3)][-1]
    for step in range(3):
        hidden = stream.run(frame(FULL, 3 + step, hand=(0, 0, 72, 30)))
        assert hidden.events == () and len(hidden.decision.items) == 3
    after = stream.run(frame(FULL, 6))
    assert after.events == ()
    tracks = [{item.box: t for item, t in zip(r.decision.items, r.tracks, strict=True)} for r in (before, after)]
    assert tracks[0] == tracks[1]
    for number in range(7, 12):
        last = stream.run(frame(FULL, number, hand=(0, 0, 72, 30)))
        assert kinds(last) == (["gone", "gone"] if number == 11 else [])


def test_light_is_no_change_until_it_is_too_much(recognizer: Recognizer) -> None:
    stream = StreamRecognizer(recognizer, SETTINGS)
    gains = (1.0, 0.97, 0.93, 0.9, 1.05, 0.6)
    works = [stream.run(frame(FULL, number, gain=gain)).work for number, gain in enumerate(gains)]
    assert [work.reason for work in works] == ["first", "still", "still", "still", "still", "light"]
    # Something is taken in dimmer light: nothing but that is worked out, and the rest stays still in any light.
    stream = StreamRecognizer(recognizer, SETTINGS)
    stream.run(frame(FULL, 0))
    shelf = {cell: colour for cell, colour in FULL.items() if cell != (1, 1)} | {(3, 3): "blue"}
    assert stream.run(frame(shelf, 1, gain=0.9)).work.embedded == 1
    assert [stream.run(frame(shelf, n, gain=g)).work.reason for n, g in ((2, 0.9), (3, 1.0), (4, 0.93))] == [
        "still"
    ] * 3


def test_a_slow_change_adds_up_and_is_answered(recognizer: Recognizer) -> None:
    """A cell that turns from red to green by two levels a frame: never more than `level` away from what was answered."""
    stream = StreamRecognizer(recognizer, SETTINGS)
    red, green = np.array((210, 30, 30)), np.array((30, 190, 40))
    embedded = 0
    for number in range(90):
        picture = frame(FULL, 0, noise=0)
        picture[:24, :24] = np.round(red + (green - red) * number / 89)
        ours = stream.run(picture)
        embedded += ours.work.embedded
    assert agree(ours.decision, recognizer.recognize(picture))
    assert 10 < embedded < 90


def test_all_is_worked_out_anew_now_and_then(recognizer: Recognizer) -> None:
    stream = StreamRecognizer(recognizer, StreamSettings(refresh_frames=4, refresh_seconds=100.0))
    seconds = [0, 1, 2, 3, 4, 5, 104, 105]
    reasons = [stream.run(frame(FULL, n), seconds=float(s)).work.reason for n, s in enumerate(seconds)]
    assert reasons == ["first", "still", "still", "still", "refresh", "still", "refresh", "still"]
    full = {(row, column): "blue" for row in range(4) for column in range(4)}
    assert stream.run(frame(full, 9), seconds=106.0).work.reason in ("share", "light")


def test_half_a_bundle(tmp_path: Path) -> None:
    boxes = Recognizer(Bundle.open(make_bundle(tmp_path / "boxes-1", roles=("preprocess", "detector"))), threads=1)
    stream = StreamRecognizer(boxes, SETTINGS)
    for number, shelf in enumerate(shelves(FULL, (3, 3))):
        picture = frame(shelf, number)
        ours = stream.run(picture)
        assert agree(ours.decision, boxes.recognize(picture)) and ours.work.embedded == ours.work.matched == 0
    names = Recognizer(Bundle.open(make_bundle(tmp_path / "names-1", roles=("crop", "embedder", "match"))), threads=1)
    stream = StreamRecognizer(names, SETTINGS)
    reds = frame({(row, column): "red" for row in range(4) for column in range(4)}, 0)
    blues = frame({(0, 0): "blue"}, 1)
    for picture, reason in ((reds, "first"), (reds, "still"), (blues, "light"), (blues, "still")):
        ours = stream.run(picture)
        assert ours.work.reason in (reason, "share") and agree(ours.decision, names.recognize(picture))


def test_an_empty_shelf_fills_and_empties(recognizer: Recognizer) -> None:
    stream = StreamRecognizer(recognizer, SETTINGS)
    for number, shelf in enumerate([{}, {}, FULL, FULL, {}, {}]):
        picture = frame(shelf, number)
        assert agree(stream.run(picture).decision, recognizer.recognize(picture)), number


def test_what_is_no_frame_of_the_stream_is_refused(recognizer: Recognizer) -> None:
    stream = StreamRecognizer(recognizer, SETTINGS)
    assert stream.run(frame(FULL, 0)).frame == 0
    with pytest.raises(DataError, match=r"the ones before were \(96, 96, 3\).*reset\(\)"):
        stream.run(frame({}, 1, size=(96, 120)))
    with pytest.raises(DataError, match="expected a uint8 array"):
        stream.run(np.zeros((96, 96), np.uint8))
    assert stream.run(frame(FULL, 1)).frame == 1
    stream.reset()
    assert stream.run(frame({}, 1, size=(96, 120))).work.reason == "first"
    with pytest.raises(ConfigError, match="refresh_frames is 0"):
        StreamSettings(refresh_frames=0)
    with pytest.raises(ConfigError, match="most_changed is 2"):
        StreamSettings(most_changed=2)


def test_a_new_gallery_version_is_matched_without_looking_again(tmp_path: Path) -> None:
    folder = make_bundle(tmp_path / "tiny-1")
    with HotSwap(folder, golden=False) as holder:
        stream = StreamRecognizer(holder, SETTINGS)
        for number in range(3):
            stream.run(frame(FULL, number))
        Bundle.open(folder).gallery().replace("blue", np.array([[0.9, 0.8, -0.9]], np.float32), reason="new packaging")
        assert holder.renew()
        ours = stream.run(frame(FULL, 3))
        assert (ours.work.reason, ours.work.looked, ours.work.embedded, ours.work.matched) == (
            "gallery",
            0,
            0,
            len(FULL),
        )
        assert agree(ours.decision, Recognizer(Bundle.open(folder), threads=1).recognize(frame(FULL, 3)))
        assert "blue" not in {item.product_id for item in ours.decision.items}
        # That a product is not known any more is no event on the shelf.
        assert all(stream.run(frame(FULL, number)).events == () for number in range(4, 12))
        holder.swap(make_bundle(tmp_path / "tiny-2"))
        assert stream.run(frame(FULL, 12)).work.reason == "bundle"


def test_two_cameras_share_one_recognizer(recognizer: Recognizer) -> None:
    sequences = [shelves(FULL, (3, 3)), shelves(dict(reversed(FULL.items())), (3, 3))]
    found: dict[int, list[bool]] = {}

    def watch(camera: int) -> None:
        stream = StreamRecognizer(recognizer, SETTINGS)
        pictures = [frame(shelf, 100 * camera + n) for n, shelf in enumerate(sequences[camera])]
        found[camera] = [agree(stream.run(p).decision, recognizer.recognize(p)) for p in pictures]

    threads = [threading.Thread(target=watch, args=(camera,)) for camera in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == {0: [True] * 15, 1: [True] * 15}


def test_the_verb(bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "frames"
    folder.mkdir()
    for number, shelf in enumerate(shelves(FULL, (3, 3))):
        Image.fromarray(frame(shelf, number)).save(folder / f"{number:03d}.png")
    (folder / "notes.txt").write_text("no picture")
    events = tmp_path / "out" / "events.jsonl"
    words = ["stream", str(bundle), str(folder), "--events", str(events), "--threads", "1", "--hidden", "4"]
    assert main(words) == 0
    records = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [r["frame"] for r in records] == list(range(15)) and records[0]["schema"] == "facings.decision/1"
    assert all(len(r["items"]) == len(r["tracks"]) for r in records)
    assert lines(events) == [event for r in records for event in r["events"]]
    assert [
        event_from_json(line).to_json() for line in events.read_text().splitlines()
    ] == events.read_text().splitlines()
    (folder / "007.png").write_bytes(b"no picture either")
    assert main(["stream", str(bundle), str(folder / "0*.png"), "--threads", "1"]) == 1
    captured = capsys.readouterr()
    assert len(captured.out.splitlines()) == 14 and "007.png" in captured.err and "14 of 15 frames" in captured.err
    for wrong, message in ((tmp_path / "none", "no such folder"), (tmp_path / "*.jpg", "matches no picture")):
        assert main(["stream", str(bundle), str(wrong)]) == 2
        assert message in capsys.readouterr().err


def played(picture: np.ndarray, other: np.ndarray) -> list[np.ndarray]:
    """Still, a part painted over, as it was, a part as another frame shows it: twice each."""
    taken, swapped = picture.copy(), picture.copy()
    taken[40:80, 30:60] = np.median(picture, axis=(0, 1)).astype(np.uint8)
    swapped[90:130, 100:130] = other[90:130, 100:130]
    return [frame for frame in (picture, taken, picture, swapped) for _ in range(2)]


def synthetic_agreement(bundle: Path, frames: list[Path]) -> tuple[float, list[StreamResult]]:
    """Share of items on which a stream and the full computation agree; the 25 surest boxes count."""
    opened = Bundle.open(bundle, precision="float32")
    post = replace(opened.postprocess, score_threshold=0.0, max_detections=25, false_accept_rate=0.3)
    recognizer = Recognizer(replace(opened, postprocess=post), threads=1)
    pictures = [read_image(path) for path in frames[:2]]
    stream, found, results = StreamRecognizer(recognizer, SETTINGS), [], []
    for picture in played(*pictures):
        results.append(stream.run(picture))
        found.append(decision_agreement(recognizer.recognize(picture), results[-1].decision))
    return sum(agreeing for agreeing, _ in found) / sum(items for _, items in found), results


@pytest.mark.slow
def test_trained_networks_on_synthetic_frames(tiny_shop: TinyShop) -> None:
    """A barely trained detector moves all its boxes when a part of the picture changes: what is kept is kept within tolerance."""
    share, results = synthetic_agreement(tiny_shop.bundle, tiny_shop.frames)
    assert share >= 0.98
    assert [result.work.reason for result in results] == ["first", "still"] + ["change", "still"] * 3
    embedded = [result.work.embedded for result in results]
    assert embedded[1::2] == [0] * 4 and sum(embedded[2::2]) < 3 * embedded[0]
