"""Finished runs of `facings benchmark` and `facings evaluate`, read again to be compared: what they found, and on what."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from facings.benchmark.summary import SCHEMA
from facings.benchmark.verdict import Side, Truth
from facings.commands.analyze_chain import read_decisions
from facings.data.coco import read_coco
from facings.data.joined_tables import joined
from facings.errors import ConfigError, DataError
from facings.files import sha256

FIELDS = ("image_id", "category_id", "bbox", "score")
# Protocols without answers by picture, and those with: what their verdicts are of.
NO_PICTURES = ("robustness", "latency", "scale", "cross_store", "turnover")
JUDGED: Mapping[str, tuple[str, ...]] = {
    "frames": ("boxes", "products"),
    "detection": ("boxes",),
    "end_to_end": ("products",),
    "segmentation": ("masks",),
    "recognition": ("crops",),
    "evaluate": ("boxes", "products"),
}


@dataclass(frozen=True)
class Asked:
    """What a run was asked. Two runs may be compared where all of this is the same."""

    protocol: str
    version: int
    data: Mapping[str, str]
    settings: Mapping[str, Any]


@dataclass(frozen=True)
class Frames:
    """The pictures that a run was asked about: `files` of annotations, each with the folder of its images; the first `most` of them
    (None: all); `unknown`: product ids that say that nobody noted the product."""

    files: tuple[tuple[Path, Path], ...]
    class_agnostic: bool
    unknown: frozenset[str] = frozenset()
    most: int | None = None


@dataclass(frozen=True)
class FinishedRun:
    """`figures`: name → value; `intervals`: name → low, high; `machine`: in words; `disturbed`: other programs ran while it was
    timed; `of`: what its verdicts are of, as in `JUDGED`."""

    folder: Path
    name: str
    asked: Asked
    figures: Mapping[str, float]
    intervals: Mapping[str, Sequence[float]]
    machine: str
    commit: str
    frames: Frames
    of: tuple[str, ...]
    disturbed: bool = False


def read_run(folder: Path) -> FinishedRun:
    """Raises ConfigError for a folder that is no such run, or one without answers by picture, DataError for damaged files."""
    path = folder / "benchmark.json"
    try:
        if path.is_file():
            content = _json(path)
            if content.get("schema") != SCHEMA:
                raise DataError(f"{path}: schema is {content.get('schema')!r}; expected {SCHEMA!r}")
            return of_benchmark(folder, content, _yaml(folder / "config.yaml"))
        path = folder / "segmentation.json"
        if path.is_file():
            return _of_segmentation(folder, _json(path), _yaml(folder / "config.yaml"))
        path = folder / "results.json"
        if path.is_file() and (folder / "predictions" / "detections.json").is_file():
            return _of_evaluate(folder)
    except (KeyError, TypeError, AttributeError, ValueError) as fault:
        raise DataError(f"{path}: not what a finished run writes ({type(fault).__name__}: {fault})") from fault
    if path.is_file():
        raise ConfigError(
            f"{folder}: a training, or an embedder's run; of a detector, compare runs of facings evaluate checkpoint=…"
        )
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
    """The truth of a run's pictures, of all its files together; `annotations`: where the file lies now, where it was moved.

    Raises ConfigError where one is gone, is no longer the file that the run was asked about, or where one was given for several.
    """
    asked = run.frames
    if not asked.files:
        raise ConfigError(f"{run.folder}: was asked about crops alone; there are no boxes to look at")
    if annotations is not None and len(asked.files) > 1:
        names = ", ".join(str(path) for path, _ in asked.files)
        raise ConfigError(
            f"--annotations {annotations}: one file, but {run.folder} was asked about {len(asked.files)} ({names}); put them back "
            "where they lay"
        )
    files = [(annotations or path, folder) for path, folder in asked.files]
    for path, _ in files:
        if not path.is_file():
            raise ConfigError(f"{run.folder}: was asked about {path}, which is not there; give --annotations FILE")
        if (found := sha256(path)) not in run.asked.data.values():
            raise ConfigError(f"{path}: has checksum {_short(found)}; {run.folder} was asked about another content")
    whole = joined([read_coco(*file, class_agnostic=asked.class_agnostic, check_files=False) for file in files])
    table = replace(whole, images=whole.images[: asked.most])
    products = [tuple(None if p in asked.unknown else p for p in image.product_ids) for image in table.images]
    return Truth(table.ground_truth(), [image.boxes for image in table.images], products)


def read_side(run: FinishedRun, truth: Truth) -> Side:
    """The run's answers. Raises DataError where they are damaged, or not of the truth's pictures."""
    path = run.folder / "predictions" / "detections.json"
    predictions = _json(path)
    if not isinstance(predictions, list) or not all(
        isinstance(entry, dict) and set(FIELDS) <= set(entry) for entry in predictions
    ):
        raise DataError(f"{path}: expected a list of COCO results, each with {', '.join(FIELDS)}")
    for field, part in (("image_id", "images"), ("category_id", "categories")):
        known = {entry["id"] for entry in truth.coco[part]}
        if strange := [entry[field] for entry in predictions if entry[field] not in known]:
            raise DataError(f"{path}: tells of {field} {strange[0]}, which the truth does not list")
    path, decisions = run.folder / "decisions.jsonl", None
    if path.is_file():
        read = read_decisions(path)
        names = [str(entry["file_name"]) for entry in truth.coco["images"]]
        if [name for name, _ in read] != names:
            raise DataError(f"{path}: is not of the {len(names)} pictures of the truth, in their order")
        decided = [decision for _, decision in read]
        decisions = decided if any(decision.gallery_version for decision in decided) else None
    return Side(run.name, predictions, decisions)


def of_benchmark(folder: Path, content: Mapping[str, Any], config: Mapping[str, Any]) -> FinishedRun:
    """`content`, `config`: of its `benchmark.json` and `config.yaml`. Raises ConfigError for a run of `frames` without boxes
    and without single crops."""
    # Runs from before there were protocols and versions are of the first.
    protocol = str(content.get("protocol", "frames"))
    of = JUDGED[protocol]
    if "boxes" in of and content["detection"] is None:
        if content["recognition"] is None and content["identification"] is None:
            raise ConfigError(
                f"{folder}: was asked about no frames and no crops, or has no detector; compare needs answers by picture"
            )
        of = ("crops",)
    settings = {name: config["data"].get(name) for name in ("class_agnostic", "unknown_products")}
    settings |= {"max_images": config.get("max_images"), "frames": content["data"]["frames"]}
    if of == ("crops",):
        settings |= {name: config["recognition"].get(name) for name in ("split", "role")}
    figures = {name: value for name, value in content["headline"].items() if value is not None}
    intervals = dict(content["headline_intervals"])
    for name in ("product_ap", "product_ap50", "cacc", "acd", "mccd", "mciou"):
        part = content["end_to_end"] or {"figures": {}, "intervals": {}}
        if part["figures"].get(name) is not None:
            figures[name], intervals[name] = part["figures"][name], part["intervals"].get(name)
    asked = Asked(protocol, int(content.get("protocol_version", 1)), content["data"]["checksums"], settings)
    intervals = {name: pair for name, pair in intervals.items() if pair is not None}
    name = f"{content['bundle']['name']} ({folder.name})"
    machine, commit = content["machine"], content["commit"]
    disturbed = bool((content["latency"] or {}).get("disturbed"))
    return FinishedRun(folder, name, asked, figures, intervals, machine, commit, _frames(config), of, disturbed)


def _of_segmentation(folder: Path, content: Mapping[str, Any], config: Mapping[str, Any]) -> FinishedRun:
    figures = {name: float(value) for name, value in content["figures"].items() if value is not None}
    intervals = {name: pair for name, pair in content["intervals"].items() if None not in pair}
    asked = Asked("segmentation", int(content["protocol_version"]), content["data"], content["settings"])
    name = f"{content['bundle']['name']} ({folder.name})"
    machine, commit, of = content["machine"], content["commit"], JUDGED["segmentation"]
    return FinishedRun(folder, name, asked, figures, intervals, machine, commit, _frames(config), of)


def _frames(config: Mapping[str, Any]) -> Frames:
    """What a benchmark was asked about; no file where it was about crops alone."""
    data = config["data"]
    files = ((Path(str(data["annotations"])), Path(str(data["images"]))),) if data.get("annotations") else ()
    hidden = frozenset(map(str, data.get("unknown_products") or ()))
    return Frames(files, bool(data.get("class_agnostic")), hidden, config.get("max_images"))


def _of_evaluate(folder: Path) -> FinishedRun:
    # Imported late: a checkpoint's own data are named inside it, and reading it wants torch.
    from facings.commands.inspect import read_run as read_config
    from facings.commands.inspect import recorded

    config, environment = read_config(folder), _json(folder / "environment.json")
    sources = recorded(config)
    if not sources:
        raise ConfigError(f"{folder}: its configuration names no pictures; did the run finish?")
    files = tuple((Path(source.annotations), Path(source.images)) for source in sources)
    agnostic = sources[0].class_agnostic
    results = _json(folder / "results.json")
    # Runs from before there were versions are of the first.
    version = int(results.pop("protocol_version", 1))
    figures = {k: float(v) for k, v in results.items() if isinstance(v, int | float)}
    data = tested_data(environment["data"], [path for path, _ in files])
    asked = Asked("evaluate", version, data, {"class_agnostic": agnostic})
    machine, commit = environment["machine"], environment["git"]
    frames = Frames(files, agnostic)
    return FinishedRun(folder, folder.name, asked, figures, {}, machine, commit, frames, JUDGED["evaluate"])


def tested_data(checksums: Mapping[str, str], files: Sequence[Path]) -> dict[str, str]:
    """Those of a run's checksums that are of the files that it was tested on: what a detector was trained on is its own affair.
    All of them where one is not found.

    >>> tested_data({"train.json": "aa", "val.json": "bb", "b/val.json": "cc"}, [Path("data/b/val.json")])
    {'val.json': 'cc'}
    """
    # As `DetectionDataModule.checksums` names them: with the folder where a file before has the name.
    names = [next((n for n in ("/".join(file.parts[-2:]), file.name) if n in checksums), None) for file in files]
    if None in names or len({file.name for file in files}) < len(files):
        return dict(checksums)
    return {file.name: checksums[str(name)] for file, name in zip(files, names, strict=True)}


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
