"""ONNX Runtime sessions with the settings that a shop's CPU wants. Knows nothing of what a graph computes."""

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort

from facings.errors import BundleError


class Session:
    """One graph, ready to run. Thread-safe: ONNX Runtime allows `run` from several threads."""

    def __init__(
        self, path: Path, *, threads: int | None = None, providers: tuple[str, ...] = ("CPUExecutionProvider",)
    ) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # Idle threads of one session would spin and take the cores from the next one's: twice the time of a frame.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        # Without VNNI, sums of unsigned times signed bytes overflow their 16 bits: such processors take the exact way, others
        # are not touched. So int8 graphs give the same answers on both.
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

    def __call__(self, **inputs: np.ndarray[Any, Any]) -> dict[str, Any]:
        """Run with inputs by name; outputs by name."""
        return dict(zip(self.outputs, self._session.run(self.outputs, inputs), strict=True))
