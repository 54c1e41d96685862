"""The C++ program in examples/cpp, with the ONNX Runtime of the installed wheel, gives the store runtime's answers."""

import shutil
import subprocess
from pathlib import Path

import onnxruntime
import pytest

from tests.examples.program_checks import check_decisions, check_faults, check_golden

pytestmark = pytest.mark.slow
SOURCE = Path(__file__).resolve().parents[2] / "examples" / "cpp"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    cmake = shutil.which("cmake")
    libraries = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so.*"))
    if cmake is None or shutil.which("c++") is None or not libraries:
        pytest.skip("needs cmake, a C++ compiler, and an onnxruntime wheel for Linux")
    folder = tmp_path_factory.mktemp("cpp")
    # Not optimised: it is compiled in a third of the time, and the sums are the same.
    for words in (["-S", SOURCE, "-B", folder, "-DCMAKE_BUILD_TYPE=Debug"], ["--build", folder]):
        done = subprocess.run([cmake, *map(str, words)], capture_output=True, text=True, timeout=1200, check=False)
        assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
        assert "warning:" not in done.stderr
    return [str(folder / "facings_example"), "--onnxruntime", str(libraries[-1]), "--threads", "1"]


def test_golden_samples_agree(program: list[str], lively_bundle: Path) -> None:
    check_golden(program, lively_bundle)


def test_decisions_are_the_store_runtimes(program: list[str], lively_bundle: Path, tmp_path: Path) -> None:
    check_decisions(program, lively_bundle, tmp_path)


def test_faults_are_found(program: list[str], lively_bundle: Path, tmp_path: Path) -> None:
    check_faults(program, lively_bundle, tmp_path)
