"""The Node program in examples/node, with onnxruntime-node from npm, gives the store runtime's answers."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from facings.benchmark.node_agreement import compare_golden, install_program
from facings.errors import BundleError, ConfigError
from tests.examples.conftest import edit, reseal
from tests.examples.program_checks import check_decisions, check_faults, check_golden

pytestmark = pytest.mark.slow
SOURCE = Path(__file__).resolve().parents[2] / "examples" / "node"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    try:
        words = install_program(SOURCE, tmp_path_factory.mktemp("node") / "node")
    except ConfigError as fault:
        pytest.skip(str(fault))
    return [*words, "--threads", "1"]


def test_golden_samples_agree(program: list[str], lively_bundle: Path) -> None:
    check_golden(program, lively_bundle)


def test_decisions_are_the_store_runtimes(program: list[str], lively_bundle: Path, tmp_path: Path) -> None:
    check_decisions(program, lively_bundle, tmp_path)


def test_the_record_counts_identical_decisions(program: list[str], lively_bundle: Path, tmp_path: Path) -> None:
    found = compare_golden(program[:2], lively_bundle)
    assert found.share == 1 and len(found.faults) == 2 and found.items >= 20
    strict = Path(shutil.copytree(lively_bundle, tmp_path / "strict"))
    standard = {"false_accept": 0.05, "coverage": 0.95, "category_error": 0.03, "pick_list": 3}
    edit(strict, "postprocess.json", standard={**standard, "unit": "estimated", "margin": 1.0})
    reseal(strict)
    with pytest.raises(BundleError, match=r"cannot decide on 000: .*decides by a standard"):
        compare_golden(program[:2], strict)


def test_faults_are_found(program: list[str], lively_bundle: Path, tmp_path: Path) -> None:
    check_faults(program, lively_bundle, tmp_path)


def test_numbers_are_rounded_as_python_rounds(program: list[str]) -> None:
    values = [0.125, 0.375, 2.5, 1e-7, 0.0000005, -0.125, 1 / 3, 1234.565, 0.005, 7.0]
    module = Path(program[1]).parent / "decision.mjs"
    rows = f"{values}.map((v) => [m.rounded(v, 2), m.rounded(v, 6)])"
    code = f"import({str(module)!r}).then((m) => console.log(JSON.stringify({rows})))"
    done = subprocess.run([program[0], "-e", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[round(v, 2), round(v, 6)] for v in values]
