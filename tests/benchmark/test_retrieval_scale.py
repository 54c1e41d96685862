"""The measurement of exact retrieval, in small: a real process, real files, and a wrong answer is noticed."""

from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facings.benchmark.claims import claim_of
from facings.benchmark.retrieval_scale import METRICS, Scale, differences, make_vectors, measure
from facings.errors import ConfigError
from tests.conftest import load_script

SMALL = Scale(queries=60, views=900, dimension=16, products=40, depth=12)


@pytest.fixture
def script() -> ModuleType:
    return load_script("retrieval_scale")


def test_a_process_ranks_and_brute_force_agrees(tmp_path: Path) -> None:
    make_vectors(tmp_path, SMALL)
    done: list[int] = []
    found = measure(tmp_path, SMALL, done.append)
    assert sum(done) == 3 * SMALL.views
    assert 0.02 < found.peak_gib < 2 and found.minutes > 0
    assert 0.1 < found.figures["r1"] <= 1.0 and 0 < found.figures["map_at_r"] < found.figures["map"] < 1
    assert differences(tmp_path, SMALL, sample=60) == 0
    # A place that is off by one, or a list in which a worse view stands, is seen.
    with np.load(tmp_path / "ranks.npz") as stored:
        content = dict(stored)
    np.savez(tmp_path / "ranks.npz", **(content | {"ranks": content["ranks"] + 1}))
    assert differences(tmp_path, SMALL, sample=60) > 0
    np.savez(tmp_path / "ranks.npz", **(content | {"indices": content["indices"][:, ::-1]}))
    assert differences(tmp_path, SMALL, sample=60) > 0


def test_vectors_are_unit_and_the_same_for_the_same_seed(tmp_path: Path) -> None:
    sums = []
    for number, scale in enumerate((SMALL, SMALL, Scale(60, 900, 16, 40, 12, seed=1))):
        folder = tmp_path / str(number)
        folder.mkdir()
        sums.append(make_vectors(folder, scale))
    assert sums[0] == sums[1] != sums[2]
    gallery = np.load(tmp_path / "0" / "gallery.npy")
    assert gallery.shape == (900, 16) and gallery.dtype == np.float32
    assert np.linalg.norm(gallery, axis=1) == pytest.approx(1, abs=1e-6)
    with pytest.raises(ConfigError, match="views is 0"):
        make_vectors(tmp_path, Scale(views=0))


def test_a_process_that_dies_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="died"):
        measure(tmp_path / "nothing", SMALL)


def test_script_refuses_small_records_and_unknown_ones(
    script: ModuleType, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    small = ["--queries", "40", "--views", "300", "--dimension", "8", "--products", "20", "--depth", "5"]
    assert script.main([*small, "--folder", str(tmp_path / "vectors")]) == 0
    assert "the sample equals brute force" in capsys.readouterr().out
    assert list((tmp_path / "vectors").iterdir()) == []
    assert script.main([*small, "--result", "emb-scale"]) == 2
    assert "the record is of 50000 queries and 1000000 views" in capsys.readouterr().err
    assert script.main(["--result", "emb-nothing"]) == 2
    assert "result='emb-nothing': unknown" in capsys.readouterr().err
    assert claim_of("emb-scale", available=list(METRICS))[2] == METRICS
