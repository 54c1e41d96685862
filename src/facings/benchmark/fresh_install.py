"""What a shop installs: the wheel alone in a fresh environment, its size, how long it takes to import, and a bundle run by it.

Knows nothing of what is in the wheel: everything is asked of the installed programs, in processes of their own.
"""

import json
import os
import subprocess
import sys
import venv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.turns import median_of
from facings.errors import BundleError, ConfigError

METRICS = ("mib", "import_seconds", "peak_mib")
# What a shop must not get: training's packages, and those that only reports want.
UNWANTED = ("torch", "torchvision", "timm", "onnx", "hydra", "pandas", "cv2", "PIL", "matplotlib", "scipy", "rich")
# Run by the fresh environment's Python. The store's own module tells the peak of this process, which a caller cannot see.
IMPORT = "import time; start = time.perf_counter(); import facings.runtime.cli; print(time.perf_counter() - start)"
PREDICT = """
import sys
from facings.benchmark.store_process import peak_mib
from facings.commands.cli import main
code = main(sys.argv[1:])
print(peak_mib())
sys.exit(code)
"""
FACTS = """
import importlib.metadata, importlib.util, json, sys, sysconfig
found = [name for name in sys.argv[1:] if importlib.util.find_spec(name)]
versions = {entry.name: entry.version for entry in importlib.metadata.distributions()}
print(json.dumps({"unwanted": found, "versions": versions, "folder": sysconfig.get_paths()["purelib"]}))
"""


@dataclass(frozen=True)
class Install:
    """`mib`: of all files in site-packages; `seconds` (R,): of importing the store's runtime in fresh processes; `peak_mib`: of
    `facings predict`, over `pictures` of the bundle; `versions`: of what is installed; `checks`: what `facings verify` said."""

    mib: float
    seconds: NDArray[np.float64]
    peak_mib: float
    pictures: int
    versions: dict[str, str]
    checks: tuple[str, ...]

    def headline(self) -> dict[str, dict[str, float]]:
        """`METRICS` by name."""
        return {
            "mib": {"value": self.mib},
            "import_seconds": median_of(self.seconds),
            "peak_mib": {"value": self.peak_mib},
        }


def build_wheel(source: Path, folder: Path) -> Path:
    """The wheel of a checkout. Raises ConfigError when it cannot be built."""
    words = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder), str(source)]
    called(words, "build the wheel")
    (wheel,) = folder.glob("facings-*.whl")
    return wheel


def install(wheel: Path, folder: Path, constraints: Path | None = None) -> Path:
    """A fresh environment `folder` with the wheel, no extras, and what it depends on; its Python.

    Raises ConfigError when pip fails.

    No pip inside: what is in site-packages is what the wheel brought.
    """
    venv.create(folder, with_pip=False, symlinks=os.name != "nt")
    python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    words = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", "--disable-pip-version-check"]
    words += ["--constraint", str(constraints)] if constraints else []
    called([*words, str(wheel)], f"install {wheel.name}")
    return python


def measure(
    python: Path, bundle: Path, folder: Path, *, repeats: int = 9, advance: Callable[[], None] = lambda: None
) -> Install:
    """Ask an environment that holds facings and its base dependencies. `folder`: where it runs and predictions go.

    The bundle's golden pictures are looked at: they are arrays, which need no package to decode.

    Raises ConfigError where the environment has more than a shop needs, BundleError where it cannot run the bundle.
    """
    facts = json.loads(called([str(python), "-c", FACTS, *UNWANTED], "list the packages", folder))
    if facts["unwanted"]:
        raise ConfigError(
            f"{facts['folder']}: has {', '.join(facts['unwanted'])}, which the base package must not bring"
        )
    site = Path(facts["folder"])
    bundle = bundle.resolve()
    pictures = sorted((bundle / "golden").glob("*.image.npy"))
    if not pictures:
        raise BundleError(f"{bundle}: has no golden pictures (golden/*.image.npy) to predict; export it again")
    command = [str(python), "-m", "facings.commands.cli"]
    verified = called([*command, "verify", str(bundle)], "facings verify", folder, BundleError)
    words = ["predict", str(bundle), *map(str, pictures), "--no-annotate", "--output", str(folder / "decisions")]
    told = called([str(python), "-c", PREDICT, *words], "facings predict", folder, BundleError)
    decisions = list((folder / "decisions").glob("*.decision.json"))
    if len(decisions) != len(pictures):
        raise BundleError(f"{bundle}: {len(decisions)} decisions for {len(pictures)} pictures")
    seconds = []
    for number in range(repeats + 1):
        taken = float(called([str(python), "-c", IMPORT], "import facings", folder))
        # The first one reads from disk what the others find in memory.
        if number:
            seconds.append(taken)
        advance()
    return Install(
        mib=sum(path.stat().st_size for path in site.rglob("*") if path.is_file()) / 2**20,
        seconds=np.array(seconds),
        peak_mib=float(told.splitlines()[-1]),
        pictures=len(pictures),
        versions=dict(sorted(facts["versions"].items())),
        checks=tuple(verified.splitlines()),
    )


def called(
    words: Sequence[str], what: str, folder: Path | None = None, fault: type[ConfigError | BundleError] = ConfigError
) -> str:
    """Standard output of a program that ends with 0, else `fault`. Nothing of this process's own packages reaches it."""
    inherited: dict[str, Any] = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(words, cwd=folder, env=inherited, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise fault(f"cannot {what} (exit code {done.returncode}): {' / '.join(lines[-3:]) or 'it said nothing'}")
    return done.stdout
