"""Times are taken in a process that holds the store runtime and nothing else."""

import json
import subprocess
import sys
import time

import pytest

from facings.benchmark.latency import measure_latency
from facings.errors import BundleError


def test_stages_add_up_and_every_run_counts(shop) -> None:
    seen = []
    images = sorted(shop.images.glob("*.png"))
    found = measure_latency(shop.bundle, images, threads=1, warmup=2, repeats=3, advance=lambda: seen.append(1))
    assert found["runs"] == len(seen) == 12
    assert (found["threads"], found["frames"], found["warmup"]) == (1, 4, 2)
    stages = found["stages"]
    assert set(stages) == {"preprocess", "detect", "embed", "match", "total", "decode"}
    parts = sum(stages[name]["mean"] for name in ("preprocess", "detect", "embed", "match"))
    assert 0 < parts <= stages["total"]["mean"] * 1.001
    assert stages["total"]["p50"] <= stages["total"]["p95"] <= stages["total"]["p99"] <= stages["total"]["max"]
    inside = {part: times["mean"] for part, times in found["parts"].items()}
    assert (
        list(inside) == ["preprocess", "detector", "crop", "embedder", "match", "decide"] and min(inside.values()) > 0
    )
    assert inside["crop"] + inside["embedder"] == pytest.approx(stages["embed"]["mean"])
    assert inside["match"] + inside["decide"] == pytest.approx(stages["match"]["mean"])
    assert found["cold_start_ms"] > stages["total"]["max"]
    assert 0 <= found["other_cpu_share"] <= 1
    # 3, 3, 2 and 1 painted cells.
    assert found["products_mean"] == pytest.approx(9 / 4)


def test_memory_is_that_of_the_store_process(shop) -> None:
    """Neither what this process holds, nor torch, counts."""
    ballast = bytearray(600 << 20)
    ballast[::4096] = b"x" * len(ballast[::4096])
    found = measure_latency(shop.bundle, [shop.images / "001.png"], threads=1, warmup=0, repeats=1)
    assert 20 < found["peak_mib"] < 400
    del ballast


def test_the_store_process_loads_no_research_library(shop) -> None:
    request = {"bundle": str(shop.bundle), "images": [str(shop.images / "001.png")], "threads": 1}
    request |= {"warmup": 0, "repeats": 1, "spawned": time.time()}
    code = (
        "import sys; from facings.benchmark.store_process import main; main()\n"
        "print([n for n in ('torch', 'hydra', 'pandas', 'onnx', 'rich', 'faster_coco_eval') if n in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=json.dumps(request), capture_output=True, text=True, check=True
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_bundle_at_fault_is_told_by_name(tmp_path, shop) -> None:
    with pytest.raises(BundleError, match="not a bundle"):
        measure_latency(tmp_path, [shop.images / "001.png"], warmup=0, repeats=1)


def test_without_an_embedder_nothing_is_cropped(detector_only, shop) -> None:
    found = measure_latency(detector_only, [shop.images / "001.png"], threads=1, warmup=0, repeats=2)
    assert found["parts"]["crop"]["max"] == found["parts"]["embedder"]["max"] == 0
    assert found["parts"]["decide"]["max"] > 0
