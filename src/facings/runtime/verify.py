"""Does a bundle on this machine still give the answers that it gave where it was made?

Knows nothing of training: the golden samples inside the bundle are the standard.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.boxes import iou
from facings.errors import BundleError, FacingsError
from facings.runtime.array_file import read_array
from facings.runtime.bundle import Bundle, read_json, safe_member
from facings.runtime.gallery import gallery_folder
from facings.runtime.gallery_history import check
from facings.runtime.recognizer import Recognizer
from facings.runtime.signature import PublicKey, state
from facings.strict_json import shown
from facings.structures import Decision

Arrays = dict[str, NDArray[Any]]
# Detections below half the threshold never reach a decision; among them the order of near-equal scores is free.
RELEVANT = 0.5
STAGE_ARRAYS = ("pixels", "transform", "prototypes", "crops", "embeddings", "similarities")
# IoU from which two boxes of one frame are the same place.
SAME_PLACE = 0.5
# What a detector with masks or attributes tells of each box: compared between twins, as corners are.
OF_BOXES = ("coefficients", "attributes")
STAGES = ("image", *STAGE_ARRAYS, *OF_BOXES, "boxes", "scores", "labels", "crop_boxes", "items")
MAX_SAMPLES = 10_000


@dataclass(frozen=True)
class Check:
    """One thing that was looked at. `detail`: what was found, for a person."""

    name: str
    passed: bool
    detail: str


def verify(
    path: Path | str,
    *,
    threads: int | None = None,
    require_key: PublicKey | Path | str | None = None,
    signed_gallery: bool = False,
) -> list[Check]:
    """Every check of a bundle in turn; those after a failed structural one are not run.

    Structure, checksums, schema, operators and gallery; graph signatures; every golden sample, stage by stage, at every
    precision that the bundle has. `require_key`, `signed_gallery`: as in `Bundle.open`.
    """
    try:
        bundle = Bundle.open(path, precision="float32", require_key=require_key, signed_gallery=signed_gallery)
    except FacingsError as fault:
        return [Check("checksums, schema, operators", False, str(fault))]
    graphs = bundle.manifest["graphs"]
    operators = f"{len(graphs)} graphs of standard operators, opset {max(g['opset'] for g in graphs.values())}"
    checks = [Check("checksums, schema, operators", True, f"{bundle.name}: {operators}")]
    if said := state(bundle.path, checked=require_key is not None):
        checks.append(Check("signature", True, said))
    checks += _licence(bundle)
    try:
        if (gallery_folder(bundle.path) / "CURRENT").is_file():
            checks.append(_history(gallery_folder(bundle.path)))
        recognizer = Recognizer(bundle, threads=threads)
        checks.append(_signatures(recognizer))
        gallery = recognizer.gallery
        if gallery is not None:
            size = f"version {gallery.version}: {len(gallery.items)} products, {len(gallery.vectors)} views"
            checks.append(Check("gallery", True, size))
        checks += golden_checks(recognizer)
        for precision in bundle.precisions[1:]:
            del recognizer  # one set of networks in memory at a time
            recognizer = Recognizer(bundle.at(precision), threads=threads)
            checks.append(_signatures(recognizer))
            checks += golden_checks(recognizer)
    except (FacingsError, KeyError, TypeError, ValueError, OSError) as fault:
        checks.append(Check("golden samples", False, f"cannot be read: {type(fault).__name__}: {fault}"))
    return checks


def golden_checks(recognizer: Recognizer) -> list[Check]:
    """Run the golden samples of the bundle at the recogniser's precision; one check each. What is off is named with its
    stage and size. `auto` is compared with what it runs: the first sibling that there is."""
    bundle = recognizer.bundle
    precision: str = bundle.precision
    if precision == "auto":
        runs = [bundle.precision_of(role) for role in bundle.manifest["graphs"]]
        precision = next((name for name in runs if name != "float32"), "float32")
    entry = bundle.manifest["files"].get("golden")
    if entry is None:
        return [Check("golden samples", False, "the bundle has none; export it again")]
    index_path = bundle.path / entry["file"]
    index, kept = golden_index(index_path, precision)
    if not kept["samples"]:
        which = "" if precision == "float32" else f" of {precision}"
        return [Check("golden samples", False, f"{index_path}: lists no samples{which}; export the bundle again")]
    tolerances = {name: float(value) for name, value in kept["tolerances"].items()}
    mark = "" if precision == "float32" else f", {precision}"
    checks = []
    for sample in kept["samples"]:
        golden = golden_arrays(index_path, sample)
        decided = sample["decision"] if index.get("gallery_version") == _gallery_version(recognizer) else None
        try:
            faults = compare(recognizer, golden, tolerances, decided)
        except (KeyError, TypeError, ValueError, IndexError) as fault:
            raise BundleError(f"{index_path}: sample {sample['name']} does not fit the graphs ({fault!r})") from fault
        stages = ", ".join(name for name in golden if name != "image")
        detail = "; ".join(faults) or f"{stages}{'' if decided is None else ', decision'} agree"
        checks.append(Check(f"golden sample {sample['name']}{mark}", not faults, detail))
    return checks


def golden_index(path: Path, precision: str = "float32") -> tuple[dict[str, Any], dict[str, Any]]:
    """The content of golden/index.json, and the part of a precision: `samples` (`name`, `arrays`, `decision`), and where there
    are any `tolerances`. Raises BundleError for a field that is missing or of a wrong type."""
    index = read_json(path, "facings.golden", 1)
    parts = index.get("precisions", {})
    kept = index if precision == "float32" else parts.get(precision, {}) if isinstance(parts, dict) else None
    samples = kept.get("samples", []) if isinstance(kept, dict) else None
    if not isinstance(samples, list) or len(samples) > MAX_SAMPLES:
        raise BundleError(f"{path}: the samples of {precision} are no list of at most {MAX_SAMPLES}")
    for sample in samples:
        named = isinstance(sample, dict) and isinstance(sample.get("name"), str)
        if not named or not isinstance(sample.get("arrays"), dict) or not isinstance(sample.get("decision"), dict):
            raise BundleError(f"{path}: a sample is {shown(sample)}; expected name, arrays and decision")
        if "image" not in sample["arrays"] or not set(sample["arrays"]) <= set(STAGES):
            raise BundleError(f"{path}: a sample has {shown(sorted(sample['arrays']))}; known are {', '.join(STAGES)}")
    limits = kept.get("tolerances", {}) if kept else {}
    right = isinstance(limits, dict) and all(type(value) in (int, float) and value >= 0 for value in limits.values())
    if not right or (samples and not limits):
        raise BundleError(f"{path}: tolerances are {shown(limits)}; expected a number for each stage")
    return index, {"samples": samples, "tolerances": limits}


def golden_arrays(index_path: Path, sample: dict[str, Any]) -> Arrays:
    """The tensors of a sample by stage. Raises BundleError for a file that is none, or a picture that is none."""
    golden: Arrays = {}
    for stage, name in sample["arrays"].items():
        path = safe_member(index_path.parent, name)
        try:
            golden[stage] = read_array(path)
        except (ValueError, OSError) as fault:
            raise BundleError(f"{path}: {fault}") from fault
    image = golden["image"]
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
        raise BundleError(f"{index_path}: sample {sample['name']} has a picture {image.dtype} {image.shape}")
    return golden


def compare(
    recognizer: Recognizer, golden: Arrays, tolerances: dict[str, float], decision: dict[str, Any] | None
) -> list[str]:
    """What differs, beyond tolerance, between golden stage tensors and this machine's; empty when all agree.

    `decision` None: the gallery has changed since the export, so its answers (similarities too) are not compared.
    `tolerances` may hold `lost` and `disagreeing`, shares (0–1) of the golden detections and items that need no twin: a
    network of eight-bit steps can take one step more or less on another processor. Without them every one needs its twin.
    """
    found = recognizer.stages(golden["image"], crop_boxes=golden.get("crop_boxes"))
    faults = []
    for name in STAGE_ARRAYS:
        if name not in golden or (name == "similarities" and decision is None):
            continue
        if name not in found or found[name].shape != golden[name].shape:
            faults.append(f"{name} has another shape than the golden {golden[name].shape}")
            continue
        difference = largest_difference(golden[name], found[name])
        if not difference <= tolerances[name]:
            faults.append(f"{name} differs by {difference:.2g} (tolerance {tolerances[name]:.2g})")
    if "boxes" in golden:
        least = recognizer.bundle.postprocess.score_threshold * RELEVANT
        lost = unmatched_detections(golden, found, least=least, tolerances=tolerances)
        if lost > tolerances.get("lost", 0.0) * int((golden["scores"] >= least).sum()):
            faults.append(f"{lost} of the golden detections are not found within {tolerances['boxes']:g} pixels")
    if decision is not None:
        theirs, ours = Decision.from_json(json.dumps(decision)), recognizer.recognize(golden["image"])
        if "disagreeing" not in tolerances:
            return faults + decision_faults(theirs, ours)
        agreeing, items = decision_agreement(theirs, ours)
        if items - agreeing > tolerances["disagreeing"] * items:
            faults.append(f"{items - agreeing} of {items} items of the decision differ from golden")
    return faults


def largest_difference(first: NDArray[Any], second: NDArray[Any]) -> float:
    """The largest absolute difference of two arrays of one shape; 0 for empty ones."""
    return float(np.abs(first.astype(np.float64) - second.astype(np.float64)).max(initial=0.0))


def unmatched_detections(first: Arrays, second: Arrays, *, least: float, tolerances: dict[str, float]) -> int:
    """How many detections of `first` with a score of `least` or more have no twin in `second`.

    A twin has the same label, its score within `scores` and all its corners within `boxes` (pixels of the input); where
    `first` has them, also its coefficients and attributes within their tolerances. Order does not matter: among near-equal
    scores it may differ from machine to machine. Each twin serves once.
    """
    others = [name for name in OF_BOXES if name in first]
    if any(name not in second for name in others):
        return int((first["scores"] >= least).sum())
    lost = 0
    for frame in range(len(first["scores"])):
        free = np.ones(len(second["scores"][frame]), bool)
        for number in np.flatnonzero(first["scores"][frame] >= least):
            apart = np.abs(second["boxes"][frame] - first["boxes"][frame][number]).max(axis=1)
            near = np.abs(second["scores"][frame] - first["scores"][frame][number]) <= tolerances["scores"]
            same = second["labels"][frame] == first["labels"][frame][number]
            for name in others:
                off = np.abs(second[name][frame] - first[name][frame][number]).max(axis=1)
                same &= off <= tolerances[name]
            twins = np.flatnonzero(free & near & same & (apart <= tolerances["boxes"]))
            if len(twins):
                free[twins[np.argmin(apart[twins])]] = False
            else:
                lost += 1
    return lost


def decision_faults(golden: Decision, found: Decision) -> list[str]:
    """Decisions are compared by count, status and product."""
    if len(golden.items) != len(found.items):
        return [f"the decision has {len(found.items)} items, golden has {len(golden.items)}"]
    answers = [sorted((item.status, item.product_id or "") for item in d.items) for d in (golden, found)]
    differing = sum(a != b for a, b in zip(*answers, strict=True))
    return [f"{differing} items of the decision differ from golden"] if differing else []


def decision_agreement(first: Decision, second: Decision) -> tuple[int, int]:
    """How many items of two decisions of one frame agree, and of how many: those of the longer decision.

    Two items agree when their boxes overlap with an IoU of 0.5 or more and they have the same status and product. Pairs are
    made in descending overlap, each item serves once.
    """
    items = max(len(first.items), len(second.items))
    if not first.items or not second.items:
        return 0, items
    boxes = [np.array([item.box for item in d.items], np.float32) for d in (first, second)]
    overlaps = iou(boxes[0], boxes[1])
    same = np.array([[(a.status, a.product_id) == (b.status, b.product_id) for b in second.items] for a in first.items])
    overlaps = np.where(same, overlaps, 0.0)
    agreeing = 0
    while overlaps.max() >= SAME_PLACE:
        row, column = np.unravel_index(int(overlaps.argmax()), overlaps.shape)
        overlaps[row, :] = overlaps[:, column] = 0.0
        agreeing += 1
    return agreeing, items


def _licence(bundle: Bundle) -> list[Check]:
    """Names the data that the bundle must not be sold for; nothing where none forbids it."""
    entry = bundle.manifest["files"].get("licences")
    if entry is None:
        return []
    path = bundle.path / entry["file"]
    try:
        names = read_json(path, "facings.licences", 1).get("non_commercial", [])
    except BundleError as fault:
        return [Check("licence", False, str(fault))]
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        return [Check("licence", False, f"{path}: non_commercial is {shown(names)}; expected a list of names")]
    return [Check("licence", True, f"not for commercial use: {', '.join(names)}")] if names else []


def _history(folder: Path) -> Check:
    """Opening a bundle reads the version in force; here every byte of those before it is read too."""
    found = check(folder)
    faults = [f"{version}: {said}" for version, said in found if said != "sound"]
    return Check("gallery history", not faults, "; ".join(faults) or f"{len(found)} versions sound")


def _signatures(recognizer: Recognizer) -> Check:
    for role, entry in recognizer.bundle.manifest["graphs"].items():
        for side, found in recognizer.signature(role).items():
            listed = [port["name"] for port in entry.get(side, [])]
            if listed != found:
                raise BundleError(f"{entry['file']}: its {side} are {found}; bundle.json says {listed}")
    precision = recognizer.bundle.precision
    mark = "" if precision == "float32" else f", {precision}"
    return Check(f"graph inputs and outputs{mark}", True, "as bundle.json says")


def _gallery_version(recognizer: Recognizer) -> str | None:
    return recognizer.gallery.version if recognizer.gallery is not None else None
