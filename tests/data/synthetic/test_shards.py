"""Shards: frame k is the same however it is made, a kill costs a shard, and memory is that of a shard."""

import os
import signal
import subprocess
import sys
import time
import tracemalloc
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facings.data.synthetic.dataset import synthesize
from facings.data.synthetic.joining import drawn_crops, permutation, write_coco
from facings.data.synthetic.scenes import Scenes
from facings.data.synthetic.shards import SHARD, Frame, read_shards, write_shards
from facings.errors import DataError
from tests.conftest import contents, tiny_parameters

LONG = {"train_scenes": 3 * SHARD + 2, "val_scenes": 1, "image_size": 96, "enrol_photos": 0}


def test_a_frame_alone_is_the_frame_of_the_set(tiny_data: Path) -> None:
    """Asked for out of order, without those before it."""
    scenes = Scenes(tiny_parameters(), "train")
    home = tiny_data / "synthetic" / "quickstart" / "images" / "train"
    for index in (6, 1):
        assert scenes.frame(index).jpeg == (home / f"{index:06d}.jpg").read_bytes()


def test_a_killed_run_goes_on_and_gives_the_same(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from tests.conftest import contents, tiny_parameters\n"
        "from facings.data.synthetic.dataset import synthesize\n"
        f"synthesize(Path(sys.argv[1]), tiny_parameters(**{LONG!r}))"
    )
    root = Path(__file__).resolve().parents[3]
    killed = tmp_path / "killed"
    shards = tmp_path / ".killed.shards" / "shards"
    with subprocess.Popen([sys.executable, "-c", code, str(killed)], cwd=root) as process:
        for _ in range(3000):
            if list(shards.glob("train-*.jsonl")) or process.poll() is not None:
                break
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL and not killed.exists()
    drawn = {path: path.stat().st_mtime_ns for path in (shards.parent / "images" / "train").glob("*.jpg")}
    whole = {path.name for path in shards.glob("*.jsonl")}
    assert whole and len(drawn) < LONG["train_scenes"]
    steps: list[int] = []
    assert synthesize(killed, tiny_parameters(**LONG), advance=lambda: steps.append(1)) is True
    assert len(steps) == LONG["train_scenes"] + LONG["val_scenes"]
    kept = [path for path in drawn if int(path.stem) < SHARD * len(whole)]
    assert all((killed / "images" / "train" / p.name).stat().st_mtime_ns == drawn[p] for p in kept)
    synthesize(tmp_path / "straight", tiny_parameters(**LONG))
    assert contents(killed) == contents(tmp_path / "straight")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["killed", "straight"]


def test_a_shard_whose_picture_is_gone_is_drawn_again(tmp_path: Path) -> None:
    scenes = Scenes(tiny_parameters(train_scenes=2, image_size=96), "train")
    write_shards([scenes], tmp_path)
    picture = tmp_path / "images" / "train" / "000001.jpg"
    before = picture.read_bytes()
    picture.unlink()
    write_shards([scenes], tmp_path)
    assert picture.read_bytes() == before
    images = [image["file_name"] for image, _ in read_shards(scenes, tmp_path)]
    assert images == ["000000.jpg", "000001.jpg"]


@dataclass(frozen=True)
class Deadly:
    """A source whose process dies as one does that runs out of memory."""

    split: str = "train"
    count: int = 2 * SHARD

    def name(self, index: int) -> str:
        return f"{index}.jpg"

    def frame(self, index: int) -> Frame:
        os._exit(9)


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"a drawing process ended .* with workers=1 less memory is needed"):
        write_shards([Deadly()], tmp_path, workers=2)


@dataclass(frozen=True)
class Many:
    """Frames without pictures, to count with."""

    count: int
    split: str = "train"

    def name(self, index: int) -> str:
        return f"{index:06d}.jpg"

    def frame(self, index: int) -> Frame:
        objects: list[dict[str, Any]] = [
            {"product_id": f"p{(index + k) % 7}", "visibility": (index + k) % 10 / 10, "segmentation": [[0.5] * 60]}
            for k in range(20)
        ]
        return Frame(b"x", {"file_name": self.name(index)}, objects)


def peak(count: int, home: Path) -> tuple[int, list[str]]:
    source = Many(count)
    tracemalloc.start()
    write_shards([source], home)
    write_coco(home / "all.json", lambda: read_shards(source, home), description="x", more={})
    crops = drawn_crops(lambda: read_shards(source, home), visibility=0.5, limit=5, seed=1)
    names = [f"{name} {entry['product_id']}" for name, entry in crops]
    highest = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return highest, names


def test_memory_does_not_grow_with_the_frames(tmp_path: Path) -> None:
    few, names = peak(4 * SHARD, tmp_path / "few")
    # Twice: what other tests left to be made or cleared away once is not the frames'.
    many = min(peak(40 * SHARD, tmp_path / name)[0] for name in ("many", "again"))
    assert many < 1.5 * few
    assert len(names) == 35 and len(set(names)) <= 35


def test_crops_are_those_of_a_plain_draw(tmp_path: Path) -> None:
    """The second formula: everything in a list, shuffled by numpy at once."""
    source = Many(60)
    write_shards([source], tmp_path)
    plain = [
        (image["file_name"], entry) for image, objects in read_shards(source, tmp_path) for entry in objects
        if entry["visibility"] >= 0.3
    ]  # fmt: skip
    taken: dict[str, list[int]] = {}
    for place in np.random.default_rng([4, 6]).permutation(len(plain)).tolist():
        taken.setdefault(plain[place][1]["product_id"], []).append(place)
    expected = [plain[place] for place in sorted(p for places in taken.values() for p in places[:9])]
    assert list(drawn_crops(lambda: read_shards(source, tmp_path), visibility=0.3, limit=9, seed=4)) == expected
    nothing = list(drawn_crops(lambda: read_shards(source, tmp_path), visibility=2.0, limit=9, seed=4))
    assert nothing == []
    for count in (1, 5, 70_000):
        found = permutation(count, np.random.default_rng(3), tmp_path / "order")
        assert (found == np.random.default_rng(3).permutation(count)).all()
