"""The base package alone: what it may not bring, and (slow) that it runs a bundle in an environment of its own."""

import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from facings.benchmark.fresh_install import METRICS, Install, build_wheel, called, install, measure
from facings.errors import BundleError, ConfigError
from tests.conftest import TinyShop, load_script

ROOT = Path(__file__).parents[2]


@pytest.fixture
def script() -> ModuleType:
    return load_script("bundle_install")


def test_an_environment_with_trainings_packages_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"has torch, torchvision, .* which the base package must not bring"):
        measure(Path(sys.executable), tmp_path, tmp_path)


def test_what_fails_is_told_with_its_last_words(tmp_path: Path) -> None:
    assert called([sys.executable, "-c", "print(1)"], "count", tmp_path) == "1\n"
    with pytest.raises(ConfigError, match=r"cannot count \(exit code 3\): no numbers"):
        called([sys.executable, "-c", "import sys; sys.stderr.write('no numbers'); sys.exit(3)"], "count")
    with pytest.raises(BundleError, match="it said nothing"):
        called([sys.executable, "-c", "import os; os._exit(1)"], "count", fault=BundleError)
    with pytest.raises(ConfigError, match="cannot build the wheel"):
        build_wheel(tmp_path, tmp_path)


def test_the_headline_is_the_median_of_the_imports() -> None:
    found = Install(10.0, np.array([0.3, 0.1, 0.2]), 90.0, 2, {}, ("verified",)).headline()
    assert tuple(found) == METRICS and found["import_seconds"]["value"] == 0.2
    assert found["import_seconds"]["low"] <= 0.2 <= found["import_seconds"]["high"]


def test_script_refuses_an_unknown_record(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--bundle", "nowhere", "--result", "bundle-nothing"]) == 2
    assert "result='bundle-nothing': unknown" in capsys.readouterr().err


@pytest.mark.slow
def test_the_wheel_alone_runs_a_bundle(tiny_shop: TinyShop, tmp_path: Path) -> None:
    python = install(build_wheel(ROOT, tmp_path), tmp_path / "shop", ROOT / "constraints.txt")
    found = measure(python, tiny_shop.bundle, tmp_path, repeats=2)
    assert {"facings", "numpy", "onnxruntime"} <= set(found.versions) and "torch" not in found.versions
    assert found.checks[-1].endswith(": verified") and found.pictures == 2
    assert 20 < found.mib < 1000 and 20 < found.peak_mib < 1000 and len(found.seconds) == 2
