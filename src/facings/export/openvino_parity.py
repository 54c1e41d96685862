"""The bundle's network graphs by OpenVINO against ONNX Runtime: the same files, another program.

Knows nothing of torch. OpenVINO is an extra; where it is not installed, the report says so.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.runtime.bundle import NETWORKS, Bundle
from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import OF_BOXES, RELEVANT, largest_difference, unmatched_detections

SKIPPED = "openvino is not installed (pip install 'facings[openvino]')"


def openvino_differences(
    bundle: Bundle, images: Sequence[NDArray[np.uint8]], limits: Mapping[str, float], *, threads: int | None = None
) -> dict[str, Any]:
    """`{"skipped": reason}`, or precision → `lost` (share of ONNX Runtime's detections without a twin, within `limits`) and
    `embeddings` (largest difference), with `openvino`, its version. A graph that OpenVINO refuses is named in `failed`."""
    try:
        import openvino
    except ImportError:
        return {"skipped": SKIPPED}
    core = openvino.Core()
    # Where the processor has bfloat16, OpenVINO would round to it, and the difference would be the number format's.
    options: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "f32"}
    options |= {} if threads is None else {"INFERENCE_NUM_THREADS": threads}
    report: dict[str, Any] = {"openvino": str(openvino.__version__)}
    for precision in bundle.precisions:
        chosen = bundle.at(precision)
        recognizer = Recognizer(chosen, threads=threads)
        stages = [recognizer.stages(image) for image in images]
        found: dict[str, float | str] = {}
        for role in NETWORKS:
            if not chosen.has(role):
                continue
            try:
                model = core.compile_model(core.read_model(str(chosen.graph_path(role))), "CPU", options)
            except RuntimeError as fault:
                found[f"failed {role}"] = (str(fault).splitlines() or ["RuntimeError"])[0]
                continue
            compare = _lost if role == "detector" else _apart
            found |= compare(model, stages, limits, chosen.postprocess.score_threshold * RELEVANT)
        report[precision] = found
    return report


def _lost(
    model: Any, stages: Sequence[Mapping[str, NDArray[Any]]], limits: Mapping[str, float], least: float
) -> dict[str, float | str]:
    given = {name: float(limits[name]) for name in ("boxes", "scores", *OF_BOXES) if name in limits}
    names = [output.get_any_name() for output in model.outputs]
    lost = count = 0
    for stage in stages:
        outputs = model([stage["pixels"]])
        theirs = {name: np.asarray(outputs[index]) for index, name in enumerate(names)}
        lost += unmatched_detections(dict(stage), theirs, least=least, tolerances=given)
        count += int((stage["scores"] >= least).sum())
    return {"lost": lost / count if count else 0.0, "detections": float(count)}


def _apart(
    model: Any, stages: Sequence[Mapping[str, NDArray[Any]]], limits: Mapping[str, float], least: float
) -> dict[str, float | str]:
    crops = [stage for stage in stages if "crops" in stage]
    gaps = [largest_difference(np.asarray(model([stage["crops"]])[0]), stage["embeddings"]) for stage in crops]
    return {"embeddings": max(gaps, default=0.0)}
