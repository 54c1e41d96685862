"""A graph run by each of ONNX Runtime's execution providers that there is here, and by OpenVINO's own runtime.

Knows nothing of times, or of what a graph computes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from facings.errors import BundleError, ConfigError
from facings.runtime.session import Session
from facings.suggestions import nearest

CPU, OPENVINO = "CPUExecutionProvider", "OpenVINO"
NOT_INSTALLED = "openvino is not installed (pip install 'facings[openvino]')"
Run = Callable[[Mapping[str, NDArray[Any]]], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class Opened:
    """A graph ready to run: `run` takes inputs by name and gives outputs by name; `port`: the name of its first input."""

    port: str
    run: Run


def chosen_providers(names: Sequence[str] | None) -> tuple[list[str], dict[str, str]]:
    """The providers to ask, and those that are not here, each with why. `names`: None for all that there are.

    Raises ConfigError for a name that is no provider, or where none was given.
    """
    here = [name for name in onnxruntime.get_available_providers() if name != CPU]
    here = [CPU, *here, *([OPENVINO] if openvino() is not None else [])]
    if names is None:
        return here, {}
    names = [names] if isinstance(names, str) else names
    known = [*onnxruntime.get_all_providers(), OPENVINO]
    if strange := [str(name) for name in names if name not in known]:
        raise ConfigError(
            f"latency.providers: {strange[0]!r} is no provider{nearest(strange[0], known)}; here are {', '.join(here)}"
        )
    if not names:
        raise ConfigError(f"latency.providers is empty; expected null, or some of {', '.join(here)}")
    wanted = list(dict.fromkeys(map(str, names)))
    absent = {name: _absence(name) for name in wanted if name not in here}
    return [name for name in wanted if name in here], absent


def openvino() -> Any:
    """The package, or None where it is not installed: it is an extra."""
    try:
        import openvino as package
    except ImportError:
        return None
    return package


def open_graph(path: Path, provider: str, *, threads: int) -> Opened:
    """The graph, ready to run. What a provider does not take of it, ONNX Runtime gives to its CPU provider.

    Raises BundleError, which says why, where the provider cannot be had or refuses the graph.
    """
    if provider == OPENVINO:
        return _open_openvino(path, threads)
    providers = (provider,) if provider == CPU else (provider, CPU)
    session = Session(path, threads=threads, providers=providers)
    if provider not in session.providers:
        raise BundleError(
            f"{path}: ONNX Runtime could not start {provider}; it would run {', '.join(session.providers)}"
        )
    return Opened(session.inputs[0], lambda inputs: session(**inputs))


def share_taken(path: Path, provider: str, inputs: Mapping[str, NDArray[Any]]) -> float:
    """0–1: the share of the nodes run that `provider` runs itself, by ONNX Runtime's own profile of one run. The others are
    the CPU provider's: of a graph that a provider takes none of, times would be told under a wrong name."""
    if provider in (CPU, OPENVINO):
        return 1.0
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    options.enable_profiling = True
    with TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(path), options, providers=[provider, CPU])
        session.run(None, dict(inputs))
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    found = [event["args"]["provider"] for event in events if event.get("args", {}).get("provider")]
    return sum(name == provider for name in found) / len(found) if found else 0.0


def reason(fault: BaseException) -> str:
    """What went wrong, in one line."""
    return (str(fault).splitlines() or [type(fault).__name__])[0]


def _absence(name: str) -> str:
    if name == OPENVINO:
        return NOT_INSTALLED
    return f"this build of ONNX Runtime {onnxruntime.__version__} has no {name}"


def _open_openvino(path: Path, threads: int) -> Opened:
    package = openvino()
    if package is None:
        raise BundleError(NOT_INSTALLED)
    core = package.Core()
    # Left alone it computes in bfloat16 where the processor can: faster, but another network, whose scores are up to 0.3 apart.
    options = {"INFERENCE_NUM_THREADS": threads, "PERFORMANCE_HINT": "LATENCY", "INFERENCE_PRECISION_HINT": "f32"}
    try:
        model = core.compile_model(core.read_model(str(path)), "CPU", options)
    except RuntimeError as fault:
        raise BundleError(f"{path}: OpenVINO {package.__version__} cannot load it ({reason(fault)})") from fault
    names = [output.get_any_name() for output in model.outputs]

    def run(inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        found = model(dict(inputs))
        return {name: np.asarray(found[number]) for number, name in enumerate(names)}

    return Opened(model.inputs[0].get_any_name(), run)
