"""Finished runs of `facings benchmark` and `facings evaluate`, read again to be compared: what they found, and on what."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from facings.benchmark.verdict import Side, Truth
from facings.data.coco import read_coco
from facings.errors import ConfigError, DataError
from facings.files import sha256
from facings.structures import Decision

NO_PICTURES = ("robustness", "latency", "scale", "cross_store", "turnover")


@dataclass(frozen=True)
class Asked:
    """What a run was asked. Two runs may be compared where all of this is the same."""

    protocol: str
    version: int
    data: Mapping[str, str]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class FinishedRun:
    """`figures`: name → value; `intervals`: name → low, high; `machine`: in words; `source`: configuration of its frames."""

    folder: Path
    name: str
    asked: Asked
    figures: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]]
    machine: str
    commit: str
    source: Mapping[str, Any]


def read_run(folder: Path) -> FinishedRun:
    """Raises ConfigError for a folder that is no such run, or one without answers by picture, DataError for damaged files."""
    if (folder / "benchmark.json").is_file():
        return of_benchmark(folder, _json(folder / "benchmark.json"), _yaml(folder / "config.yaml"))
    if (folder / "results.json").is_file() and (folder / "predictions" / "detections.json").is_file():
        return _of_evaluate(folder)
    for name in NO_PICTURES:
        if (folder / f"{name}.json").is_file():
            raise ConfigError(
                f"{folder}: a run of protocol={name}, which leaves no answers by picture to draw in pairs; compare runs of "
                "protocol=frames"
            )
    raise ConfigError(
        f"{folder}: holds neither benchmark.json (facings benchmark) nor results.json with predictions/detections.json "
        "(facings evaluate of a detector); did the run finish?"
    )


def refuse_unlike(runs: Sequence[FinishedRun]) -> None:
    """Raise ConfigError, with every reason, where a run was asked something else than the first."""
    first = runs[0]
    for other in runs[1:]:
        if reasons := differences(first.asked, other.asked):
            raise ConfigError(f"{other.folder} cannot be compared with {first.folder}: {'; '.join(reasons)}")


def differences(first: Asked, second: Asked) -> list[str]:
    """Why two runs may not be compared; empty where they may.

    >>> differences(Asked("frames", 1, {"val.json": "aa"}, {}), Asked("frames", 2, {"val.json": "bb"}, {}))
    ['protocol frames version 1 against 2', 'data val.json has checksum aa against bb']
    """
    if first.protocol != second.protocol:
        return [f"protocol {first.protocol} against {second.protocol}"]
    reasons = []
    if first.version != second.version:
        reasons.append(f"protocol {first.protocol} version {first.version} against {second.version}")
    for kind, ours, theirs in (("data", first.data, second.data), ("settings", first.settings, second.settings)):
        for name in sorted({*ours, *theirs}):
            if ours.get(name) != theirs.get(name):
                word = " has checksum" if kind == "data" else ":"
                reasons.append(f"{kind} {name}{word} {_short(ours.get(name))} against {_short(theirs.get(name))}")
    return reasons


def read_truth(run: FinishedRun, annotations: Path | None = None) -> Truth:
    """The truth of a run's pictures; `annotations`: where the file lies now, where it was moved.

    Raises ConfigError where it is gone, or is no longer the file that the run was asked about.
    """
    path = annotations or Path(str(run.source["annotations"]))
    if not path.is_file():
        raise ConfigError(f"{run.folder}: was asked about {path}, which is not there; give --annotations FILE")
    if (found := sha256(path)) not in run.asked.data.values():
        raise ConfigError(f"{path}: has checksum {_short(found)}; {run.folder} was asked about another content")
    agnostic = bool(run.source.get("class_agnostic"))
    images = read_coco(path, str(run.source["images"]), class_agnostic=agnostic, check_files=False)
    limit, unknown = run.source.get("max_images"), set(run.source.get("unknown_products") or ())
    coco, asked = images.ground_truth(), images.images[:limit]
    kept = {image.image_id for image in asked}
    coco = coco | {
        "images": [entry for entry in coco["images"] if entry["id"] in kept],
        "annotations": [entry for entry in coco["annotations"] if entry["image_id"] in kept],
    }
    products = [tuple(None if p in unknown else p for p in image.product_ids) for image in asked]
    return Truth(coco, [image.boxes for image in asked], products)


def read_side(run: FinishedRun, truth: Truth) -> Side:
    """The run's answers. Raises DataError where they are not of the truth's pictures."""
    predictions = _json(run.folder / "predictions" / "detections.json")
    path, decisions = run.folder / "decisions.jsonl", None
    if path.is_file():
        lines = path.read_text(encoding="utf-8").splitlines()
        names = [str(entry["file_name"]) for entry in truth.coco["images"]]
        if [json.loads(line)["image"] for line in lines] != names:
            raise DataError(f"{path}: is not of the {len(names)} pictures of the truth, in their order")
        read = [Decision.from_json(line) for line in lines]
        decisions = read if any(decision.gallery_version for decision in read) else None
    return Side(run.name, predictions, decisions)


def of_benchmark(folder: Path, content: Mapping[str, Any], config: Mapping[str, Any]) -> FinishedRun:
    """`content`, `config`: of its `benchmark.json` and `config.yaml`. Raises ConfigError for a run without boxes."""
    if content["detection"] is None:
        raise ConfigError(f"{folder}: was asked about no frames, or has no detector; compare needs boxes by picture")
    data = config["data"]
    source = {name: data.get(name) for name in ("annotations", "images", "class_agnostic", "unknown_products")}
    source["max_images"] = config.get("max_images")
    settings = {name: source[name] for name in ("class_agnostic", "unknown_products", "max_images")}
    settings |= {"frames": content["data"]["frames"]}
    figures = {name: value for name, value in content["headline"].items() if value is not None}
    intervals = dict(content["headline_intervals"])
    for name in ("product_ap", "product_ap50", "cacc", "acd", "mccd", "mciou"):
        part = content["end_to_end"] or {"figures": {}, "intervals": {}}
        if part["figures"].get(name) is not None:
            figures[name], intervals[name] = part["figures"][name], part["intervals"].get(name)
    # Runs from before there were versions are of the first.
    asked = Asked("frames", int(content.get("protocol_version", 1)), content["data"]["checksums"], settings)
    intervals = {name: pair for name, pair in intervals.items() if pair is not None}
    name = f"{content['bundle']['name']} ({folder.name})"
    return FinishedRun(folder, name, asked, figures, intervals, content["machine"], content["commit"], source)


def _of_evaluate(folder: Path) -> FinishedRun:
    # Imported late: a checkpoint's own data are named inside it, and reading it wants torch.
    from facings.commands.inspect import find_source
    from facings.commands.inspect import read_run as read_config

    config, environment = read_config(folder), _json(folder / "environment.json")
    given: Any = type("Given", (), {"annotations": None, "images": None, "class_agnostic": None})
    found = find_source(given, config, folder)
    source = {"annotations": found.annotations, "images": found.images, "class_agnostic": found.class_agnostic}
    results = _json(folder / "results.json")
    # Runs from before there were versions are of the first.
    version = int(results.pop("protocol_version", 1))
    figures = {k: float(v) for k, v in results.items() if isinstance(v, int | float)}
    settings = {"class_agnostic": found.class_agnostic}
    asked = Asked("evaluate", version, environment["data"], settings)
    return FinishedRun(folder, folder.name, asked, figures, {}, environment["machine"], environment["git"], source)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as fault:
        raise ConfigError(f"{path}: missing; did the run finish?") from fault
    except (json.JSONDecodeError, UnicodeDecodeError) as fault:
        raise DataError(f"{path}: not JSON ({fault})") from fault


def _yaml(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"{path}: missing; did the run finish?")
    content: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    return content


def _short(value: Any) -> str:
    text = "nothing" if value is None else str(value)
    return text[:12] + "…" if len(text) == 64 else text
