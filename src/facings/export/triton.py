"""A bundle's graphs as a model repository of Triton Inference Server. Knows nothing of thresholds or the gallery: they stay
in the bundle, and the caller of the server decides with them.

A folder for each graph holds `1/model.onnx` and `config.pbtxt` (protobuf's text format of Triton's `ModelConfig`), and two
ensembles join what always runs together: `detect` (preprocess, then detector) and `embed` (crop, then embedder).
"""

import json
import re
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facings.errors import BundleError, ConfigError
from facings.files import atomic_folder
from facings.runtime.bundle import Bundle

TYPES = {"uint8": "TYPE_UINT8", "int64": "TYPE_INT64", "float": "TYPE_FP32", "float16": "TYPE_FP16"}
# What the server puts together out of waiting requests at most: as many crops as the store runtime embeds at once.
MAX_BATCH = 16
VERSION = "1"


@dataclass(frozen=True)
class Link:
    """Two graphs that run one after the other: `tensor` of `first` is `port` of `second`. Both are told by their roles."""

    name: str
    first: str
    second: str
    tensor: str
    port: str


LINKS = (
    Link("detect", "preprocess", "detector", "pixels", "pixels"),
    Link("embed", "crop", "embedder", "pixels", "crops"),
)


def write_repository(bundle: Bundle, folder: Path, *, max_batch: int = MAX_BATCH) -> list[str]:
    """Write the repository of a bundle (at the bundle's precision) to `folder`. Returns the models' names, `BUNDLE_ROLE`.

    `max_batch`: of graphs whose inputs and outputs all have a batch dimension; others take one picture a request.

    Raises ConfigError for a folder that holds something or a batch below 1, BundleError for ports that Triton cannot name.
    """
    if max_batch < 1:
        raise ConfigError(f"max_batch is {max_batch}; expected 1 or more")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ConfigError(f"{folder}: exists and is not empty; give a new folder")
    for role, entry in bundle.manifest["graphs"].items():
        if not entry.get("inputs") or not entry.get("outputs"):
            raise BundleError(
                f"{bundle.path}/bundle.json: does not tell the ports of {role!r}; export the bundle again"
            )
    prefix = re.sub(r"[^A-Za-z0-9_-]", "_", str(bundle.manifest["name"]))
    names = []
    with atomic_folder(folder) as beside:
        for role, entry in bundle.manifest["graphs"].items():
            names.append(f"{prefix}_{role}")
            version = _model(beside, names[-1], graph_config(names[-1], entry, max_batch))
            shutil.copyfile(bundle.graph_path(role), version / "model.onnx")
        for link in LINKS:
            if bundle.has(link.first) and bundle.has(link.second):
                names.append(f"{prefix}_{link.name}")
                _model(beside, names[-1], ensemble_config(names[-1], prefix, link, bundle.manifest["graphs"]))
    return names


def graph_config(name: str, entry: Mapping[str, Any], max_batch: int) -> str:
    """The `config.pbtxt` of one graph. `entry`: its ports as in bundle.json (`inputs`, `outputs`: name, type, shape)."""
    batched = has_batch(entry)
    lines = [
        f"name: {_quoted(name)}",
        'backend: "onnxruntime"',
        'platform: "onnxruntime_onnx"',
        f"max_batch_size: {max_batch if batched else 0}",
    ]
    for side in ("input", "output"):
        lines += _ports(side, [(port, dims(port)[1:] if batched else dims(port)) for port in entry[f"{side}s"]])
    if batched and max_batch > 1:
        lines.append("dynamic_batching { }")
    return "\n".join(lines) + "\n"


def ensemble_config(name: str, prefix: str, link: Link, graphs: Mapping[str, Mapping[str, Any]]) -> str:
    """The `config.pbtxt` of two graphs in a row: one picture a request, since their first one takes one.

    It gives all outputs of the second and, for mapping boxes back, those of the first that the second does not take.
    """
    first, second = graphs[link.first], graphs[link.second]
    given = [port for port in first["outputs"] if port["name"] != link.tensor]
    made = [(port, [1, *dims(port)[1:]]) for port in second["outputs"]]
    lines = [f"name: {_quoted(name)}", 'platform: "ensemble"', "max_batch_size: 0"]
    lines += _ports("input", [(port, dims(port)) for port in first["inputs"]])
    lines += _ports("output", [(port, dims(port)) for port in given] + made)
    lines += ["ensemble_scheduling {"]
    lines += _step(
        f"{prefix}_{link.first}",
        {port["name"]: port["name"] for port in first["inputs"]},
        {port["name"]: port["name"] for port in first["outputs"]},
    )
    outputs = {port["name"]: port["name"] for port in second["outputs"]}
    lines += _step(f"{prefix}_{link.second}", {link.port: link.tensor}, outputs)
    return "\n".join([*lines, "}"]) + "\n"


def has_batch(entry: Mapping[str, Any]) -> bool:
    """Whether all ports of a graph begin with one and the same dynamic dimension, which Triton may then fill."""
    first = {str(port["shape"][0]) if port["shape"] else "" for port in (*entry["inputs"], *entry["outputs"])}
    return len(first) == 1 and not first.pop().isdigit()


def dims(port: Mapping[str, Any]) -> list[int]:
    """The sides of a port as Triton writes them: -1 where they are dynamic. Raises BundleError for a port without sides."""
    if not port["shape"]:
        raise BundleError(f"port {port['name']!r} is a single number; Triton's models have arrays of one side or more")
    return [side if isinstance(side, int) else -1 for side in port["shape"]]


def _model(repository: Path, name: str, config: str) -> Path:
    """The folder of a model's only version; an ensemble's stays empty."""
    version = repository / name / VERSION
    version.mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(config, encoding="utf-8")
    return version


def _ports(side: str, ports: Sequence[tuple[Mapping[str, Any], list[int]]]) -> list[str]:
    lines = []
    for port, sides in ports:
        if port["type"] not in TYPES:
            raise BundleError(f"port {port['name']!r} has type {port['type']!r}; known are {', '.join(TYPES)}")
        shape = ", ".join(map(str, sides))
        lines.append(f"{side} {{ name: {_quoted(port['name'])} data_type: {TYPES[port['type']]} dims: [ {shape} ] }}")
    return lines


def _step(model: str, inputs: Mapping[str, str], outputs: Mapping[str, str]) -> list[str]:
    lines = ["  step {", f"    model_name: {_quoted(model)}", "    model_version: -1"]
    for field, table in (("input_map", inputs), ("output_map", outputs)):
        lines += [f"    {field} {{ key: {_quoted(port)} value: {_quoted(tensor)} }}" for port, tensor in table.items()]
    return [*lines, "  }"]


def _quoted(text: str) -> str:
    return json.dumps(str(text))
