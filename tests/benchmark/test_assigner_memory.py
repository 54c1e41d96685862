"""The memory benchmark measures memory, and its frames are as crowded as it says."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from facings.benchmark.assigner_memory import crowded_frame

ROOT = Path(__file__).resolve().parents[2]


def test_frames_hold_so_many_touching_objects(rng: np.random.Generator) -> None:
    frame = crowded_frame(300, 320, classes=5, rng=rng, masks=True)
    boxes, identities = frame["boxes"].numpy(), frame["masks"].numpy()
    assert boxes.shape == (300, 4) and frame["labels"].shape == (300,) and int(frame["labels"].max()) < 5
    assert boxes.min() >= 0 and boxes.max() <= 320 and ((boxes[:, 2:] - boxes[:, :2]) > 1).all()
    # An object may lie wholly behind its neighbours, hardly ever many.
    assert len(np.unique(identities)) > 290 and identities.max() <= 300
    areas = (boxes[:, 2:] - boxes[:, :2]).prod(axis=1)
    assert areas.sum() > 320 * 320
    assert "masks" not in crowded_frame(3, 64, classes=1, rng=rng, masks=False)


def test_growth_is_that_of_the_work_and_not_of_what_lay_there() -> None:
    mebibytes = 128
    code = (
        "import numpy as np; from facings.benchmark.assigner_memory import peak_growth_mib; kept = np.ones(2**24);"
        f"print(peak_growth_mib(lambda: np.ones({mebibytes} * 2**17).sum()))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert mebibytes - 1 <= float(done.stdout) <= mebibytes + 40


@pytest.mark.slow
def test_the_script_fails_over_its_limit() -> None:
    script = [sys.executable, str(ROOT / "scripts" / "assigner_memory.py"), "--objects", "20", "--size", "64"]
    words = ["--classes", "2", "--prototypes", "0"]
    done = subprocess.run([*script, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "boxes" in done.stdout, done.stderr
    assert subprocess.run([*script, *words, "--limit", "0"], capture_output=True, check=False).returncode == 1
