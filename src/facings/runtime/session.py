"""ONNX Runtime sessions with the settings that a shop's CPU wants. Knows nothing of what a graph computes."""

from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from facings.errors import BundleError
from facings.runtime.processor import instruction_sets


@lru_cache(maxsize=1)
def has_vnni() -> bool:
    """Whether this processor adds products of bytes without overflow; False where the system, unlike Linux, does not tell."""
    return not {"avx512_vnni", "avx_vnni"}.isdisjoint(instruction_sets())


class Session:
    """One graph, ready to run. Thread-safe: ONNX Runtime allows `run` from several threads."""

    def __init__(
        self, path: Path, *, threads: int | None = None, providers: tuple[str, ...] = ("CPUExecutionProvider",)
    ) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # Idle threads of one session would spin and take the cores from the next one's: twice the time of a frame.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Without VNNI, sums of unsigned times signed bytes overflow their 16 bits: such processors take the exact way, so that
        # int8 graphs give the same answers everywhere. With it the exact way would take twice the time for nothing.
        if not has_vnni():
            options.add_session_config_entry("session.x64quantprecision", "1")
        if threads is not None:
            options.intra_op_num_threads = threads
        try:
            self._session = ort.InferenceSession(str(path), options, providers=list(providers))
        except Exception as fault:  # ONNX Runtime raises its own classes, which share no base but Exception
            line = (str(fault).splitlines() or [type(fault).__name__])[0]
            raise BundleError(f"{path}: ONNX Runtime {ort.__version__} cannot load it ({line})") from fault
        self.inputs = [entry.name for entry in self._session.get_inputs()]
        self.outputs = [entry.name for entry in self._session.get_outputs()]
        # Those that could be started, of those asked for.
        self.providers: tuple[str, ...] = tuple(self._session.get_providers())

    def __call__(self, **inputs: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Run with inputs by name; outputs by name."""
        return dict(zip(self.outputs, self._session.run(self.outputs, inputs), strict=True))
