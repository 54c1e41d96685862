"""What every consumer in another language must do, whatever it is written in. A program is the words that start it."""

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from facings.benchmark.node_agreement import differences
from tests.examples.conftest import edit, expected_decision, reseal


def run(program: Sequence[str], *words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*program, *map(str, words)], capture_output=True, text=True, timeout=300, check=False)


def check_golden(program: Sequence[str], bundle: Path) -> None:
    done = run(program, bundle, "--golden")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("similarities, decision agree") == 2


def check_decisions(program: Sequence[str], bundle: Path, folder: Path) -> None:
    """The golden pictures, and one of noise with a side of its own."""
    noise = folder / "noise.npy"
    np.save(noise, np.random.default_rng(1).integers(0, 256, (77, 131, 3), np.uint8))
    statuses = set()
    for image in (*sorted((bundle / "golden").glob("*.image.npy")), noise):
        done = run(program, bundle, image)
        assert done.returncode == 0, done.stderr
        expected = expected_decision(bundle, image)
        assert differences(json.loads(done.stdout), expected) == []
        statuses |= {item["status"] for item in expected["items"]}
    assert len(statuses) > 1


def check_faults(program: Sequence[str], bundle: Path, folder: Path) -> None:
    """A wrong golden tensor ends with 1; a changed byte, a link, an unlisted file or another schema with 2 and what is wrong."""
    wrong = Path(shutil.copytree(bundle, folder / "wrong"))
    array = np.load(wrong / "golden" / "001.embeddings.npy")
    np.save(wrong / "golden" / "001.embeddings.npy", -array)
    reseal(wrong)
    done = run(program, wrong, "--golden")
    assert done.returncode == 1
    assert "FAILED  golden sample 001: embeddings differs by" in done.stdout
    assert "ok  golden sample 000" in done.stdout
    version = (bundle / "gallery" / "CURRENT").read_text()[:6]
    for name in ("taxonomy.json", f"gallery/{version}/item.npy", "gallery/000001/vectors.npy"):
        damaged = Path(shutil.copytree(bundle, folder / name.replace("/", "-")))
        data = bytearray((damaged / name).read_bytes())
        data[-2] ^= 1
        (damaged / name).write_bytes(data)
        done = run(program, damaged, "--golden")
        assert done.returncode == 2, done.stdout
        assert f"{name}: wrong checksum" in done.stderr
    added = Path(shutil.copytree(bundle, folder / "added"))
    (added / "more.txt").write_text("?")
    assert "more.txt is not listed" in run(program, added, "--golden").stderr
    (added / "more.txt").unlink()
    (added / "link").symlink_to(bundle / "bundle.json")
    assert "link: is n" in run(program, added, "--golden").stderr
    (added / "link").unlink()
    edit(added, "postprocess.json", schema="facings.postprocess/2")
    reseal(added)
    assert "facings.postprocess/2" in run(program, added, "--golden").stderr
    edit(added, "postprocess.json", schema="facings.postprocess/1", standard={"false_accept": 0.05})
    reseal(added)
    done = run(program, added, next((bundle / "golden").glob("*.image.npy")))
    assert (done.returncode, "decides by a standard" in done.stderr) == (2, True)
    assert run(program, bundle).returncode == 2
