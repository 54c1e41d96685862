"""Bundles and galleries that change under the frames; many frames at once; one recogniser in many threads."""

import shutil
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from facings.errors import BundleError, ConfigError, DataError, FacingsError
from facings.runtime.bundle import Bundle
from facings.runtime.hot_swap import HotSwap
from facings.runtime.many_frames import run_all
from facings.runtime.recognizer import Recognizer
from tests.benchmark.conftest import make_bundle
from tests.runtime.shelf_scenes import FULL, answers, frame

YELLOW = np.array([[0.9, 0.8, -0.9]], np.float32)


def one_thread(path: Path) -> Recognizer:
    return Recognizer(Bundle.open(path), threads=1)


holder_of = partial(HotSwap, load=one_thread, golden=False)


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    return make_bundle(tmp_path / "tiny-1")


def pictures(count: int) -> list[np.ndarray]:
    colours = ("red", "green", "blue")
    return [frame({(n % 4, n // 4 % 4): colours[n % 3], (0, 3): "red"}, n) for n in range(count)]


def test_many_threads_get_the_answers_of_one(bundle: Path) -> None:
    recognizer = one_thread(bundle)
    frames = pictures(8)
    expected = [recognizer.run(picture) for picture in frames]
    wrong: list[int] = []

    def work(seed: int) -> None:
        for number in np.random.default_rng(seed).integers(0, len(frames), 15).tolist():
            found = recognizer.run(frames[number])
            same = found.decision == expected[number].decision
            if not same or not np.array_equal(found.embeddings, expected[number].embeddings):
                wrong.append(number)

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("workers", [1, 3])
def test_many_frames_come_in_order_and_few_are_held(bundle: Path, workers: int) -> None:
    recognizer = one_thread(bundle)
    frames = pictures(10)
    read = 0

    def camera() -> Iterator[np.ndarray]:
        nonlocal read
        for picture in frames:
            read += 1
            yield picture

    for number, result in enumerate(run_all(recognizer, camera(), workers=workers)):
        assert result.decision == recognizer.recognize(frames[number])
        assert read <= number + workers
    assert read == 10 and list(run_all(recognizer, [], workers=workers)) == []
    results = run_all(recognizer, [frames[0], frames[0][:, :, 0], frames[1]], workers=workers)
    assert next(results).decision == recognizer.recognize(frames[0])
    with pytest.raises(DataError, match="expected a uint8 array"):
        next(results)
    with pytest.raises(ConfigError, match="workers is 0"):
        run_all(recognizer, [], workers=0)


def test_warm_and_closed(bundle: Path, tmp_path: Path) -> None:
    picture = frame(FULL, 0)
    with one_thread(bundle) as recognizer:
        before = recognizer.recognize(picture)
        recognizer.warm_up(96, 96)
        assert recognizer.recognize(picture) == before
        shared = recognizer.renewed()
        assert shared.shares_networks(recognizer) and not shared.shares_networks(one_thread(bundle))
    for closed in (recognizer, shared):
        with pytest.raises(BundleError, match="is closed; make another Recognizer"):
            closed.run(picture)
    boxes = Recognizer(Bundle.open(make_bundle(tmp_path / "boxes-1", roles=("preprocess", "detector"))), threads=1)
    boxes.warm_up(96, 96)
    with pytest.raises(BundleError, match="has no embedder graph"):
        boxes.signature("embedder")


def test_frames_under_way_end_on_the_old_bundle(bundle: Path, tmp_path: Path) -> None:
    other = make_bundle(tmp_path / "tiny-2")
    Bundle.open(other).gallery().replace("blue", YELLOW, reason="test")
    picture = frame(FULL, 0)
    with holder_of(bundle) as holder:
        with holder.use() as old:
            before = old.recognize(picture)
            holder.swap(other)
            assert old.recognize(picture) == before
            after = holder.run(picture).decision
            assert answers(after) == answers(one_thread(other).recognize(picture)) != answers(before)
        with pytest.raises(BundleError, match="is closed"):
            old.run(picture)
        assert holder.run(picture).decision == after


def test_no_frame_is_dropped_while_all_changes(bundle: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(bundle, tmp_path / "copy" / bundle.name))
    picture = frame(FULL, 0)
    done, faults = [0] * 3, []
    stop = threading.Event()
    holder = holder_of(bundle)

    def work(number: int) -> None:
        while not stop.is_set():
            try:
                result = holder.run(picture)
                assert len(result.decision.items) == len(FULL)
                done[number] += 1
            except Exception as fault:
                faults.append(fault)
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(len(done))]
    for thread in threads:
        thread.start()
    for turn in range(4):
        target = (other, bundle)[turn % 2]
        holder.swap(target)
        Bundle.open(target).gallery().replace("red", YELLOW + turn, reason="test")
        assert holder.renew() and not holder.renew()
    stop.set()
    for thread in threads:
        thread.join()
    holder.close()
    assert faults == [] and min(done) > 0
    with pytest.raises(BundleError, match="holder of a bundle is closed"):
        holder.run(picture)
    with pytest.raises(BundleError):
        holder.swap(bundle)
    holder.close()


def test_what_is_damaged_is_refused_and_the_old_goes_on(bundle: Path, tmp_path: Path) -> None:
    picture = frame(FULL, 0)
    damaged = make_bundle(tmp_path / "tiny-2")
    graph = damaged / "embedder.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with holder_of(bundle) as holder:
        before = holder.run(picture).decision
        for wrong in (damaged, tmp_path / "none"):
            with pytest.raises(FacingsError, match=wrong.name):
                holder.swap(wrong)
        Bundle.open(bundle).gallery().replace("red", YELLOW, reason="test")
        vectors = sorted((bundle / "gallery" / "000002").glob("vectors*.npy"))[-1]
        good = vectors.read_bytes()
        vectors.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
        with pytest.raises(FacingsError, match="checksum"):
            holder.renew()
        assert holder.run(picture).decision == before
        vectors.write_bytes(good)
        assert holder.renew() and holder.run(picture).decision.gallery_version == "000002"


def test_a_bundle_must_repeat_its_golden_samples(bundle: Path) -> None:
    with pytest.raises(BundleError, match="not taken: golden samples: the bundle has none"):
        HotSwap(bundle, load=one_thread)


def test_a_commit_is_noticed_by_itself(bundle: Path) -> None:
    with holder_of(bundle) as holder:
        holder.watch(0.02)
        with pytest.raises(ConfigError, match="watched already"):
            holder.watch()
        Bundle.open(bundle).gallery().replace("red", YELLOW, reason="test")
        end = time.monotonic() + 20
        while holder.run(frame(FULL, 0)).decision.gallery_version != "000002" and time.monotonic() < end:
            time.sleep(0.02)
        assert holder.run(frame(FULL, 0)).decision.gallery_version == "000002" and holder.fault is None
    with pytest.raises(ConfigError, match="every is 0"):
        holder_of(bundle).watch(0)
