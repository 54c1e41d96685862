"""Does the Node program of `examples/node` decide as the store runtime does? On the golden pictures of a bundle.

Knows nothing of how either decides: the program is installed by npm and asked, picture by picture, in a process of its own.
"""

import json
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facings.errors import BundleError, ConfigError
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import golden_arrays, golden_index

METRICS = ("decision_agreement",)
# Numbers of two ONNX Runtimes may be a step of their last decimals apart: pixels of a corner, shares and similarities.
BOX_STEP, NUMBER_STEP = 0.011, 2e-6
# Outlines are left out: the programs in other languages draw none.
ANSWERS = ("status", "product_id", "category")


@dataclass(frozen=True)
class Comparison:
    """Golden sample → what the two decisions differ in, nothing where they are identical; `items` of all of them."""

    faults: dict[str, tuple[str, ...]]
    items: int

    @property
    def share(self) -> float:
        """Of samples with identical decisions, 0–1."""
        return sum(not faults for faults in self.faults.values()) / len(self.faults)


def install_program(source: Path, folder: Path) -> list[str]:
    """Copy the Node program to `folder`, get its packages by npm, and return the words that start it.

    Raises ConfigError without node or npm, or when npm fails.
    """
    node, npm = shutil.which("node"), shutil.which("npm")
    if node is None or npm is None:
        raise ConfigError("node and npm are not installed (Node 20 or later)")
    copy = Path(shutil.copytree(source, folder, ignore=shutil.ignore_patterns("node_modules")))
    words = [npm, "install", "--ignore-scripts", "--no-audit", "--no-fund", "--no-package-lock"]
    done = subprocess.run(words, cwd=copy, capture_output=True, text=True, timeout=600, check=False)
    if done.returncode:
        raise ConfigError(f"npm install failed: {done.stderr.strip()[-300:]}")
    return [node, str(copy / "main.mjs")]


def compare_golden(
    program: Sequence[str], bundle: Path, *, threads: int = 1, advance: Callable[[], None] = lambda: None
) -> Comparison:
    """The program's decision for every golden picture against that of the store runtime here, both in float32.

    Raises BundleError for a bundle without golden samples, or one that the program refuses.
    """
    opened = Bundle.open(bundle, precision="float32")
    if "golden" not in opened.manifest["files"]:
        raise BundleError(f"{bundle}: has no golden samples; export it again")
    index_path = bundle / opened.manifest["files"]["golden"]["file"]
    _, kept = golden_index(index_path)
    if not kept["samples"]:
        raise BundleError(f"{index_path}: lists no samples; export the bundle again")
    recognizer = Recognizer(opened, threads=threads)
    faults, items = {}, 0
    for sample in kept["samples"]:
        image = golden_arrays(index_path, sample)["image"]
        expected = json.loads(recognizer.recognize(image).to_json())
        words = [*program, "--threads", str(threads), str(bundle), str(index_path.parent / sample["arrays"]["image"])]
        done = subprocess.run(words, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode:
            raise BundleError(f"{bundle}: the Node program cannot decide on {sample['name']}: {done.stderr.strip()}")
        faults[str(sample["name"])] = tuple(differences(json.loads(done.stdout), expected))
        items += len(expected["items"])
        advance()
    return Comparison(faults, items)


def differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    """What two `facings.decision/1` differ in, a line each: answers and their order exactly, numbers by more than a step of
    their last decimals; outlines are not compared.

    >>> item = {"box": [0, 0, 9, 9], "detection_score": 0.5, "status": "unknown", "product_id": None, "category": [],
    ...         "candidates": [], "attributes": {}}
    >>> decision = {"schema": "facings.decision/1", "gallery_version": None, "items": [item]}
    >>> differences(decision | {"items": [item | {"detection_score": 0.500001}]}, decision)
    []
    >>> differences(decision | {"items": [item | {"status": "known"}]}, decision)
    ["item 0: status 'known', expected 'unknown'"]
    """
    lines = [
        f"{name} {found.get(name)!r}, expected {expected[name]!r}"
        for name in ("schema", "gallery_version")
        if found.get(name) != expected[name]
    ]
    if len(found["items"]) != len(expected["items"]):
        return [*lines, f"{len(found['items'])} items, expected {len(expected['items'])}"]
    for number, (ours, theirs) in enumerate(zip(found["items"], expected["items"], strict=True)):
        lines += [f"item {number}: {line}" for line in _item_differences(ours, theirs)]
    return lines


def _item_differences(found: Mapping[str, Any], expected: Mapping[str, Any]) -> list[str]:
    lines = [
        f"{name} {found.get(name)!r}, expected {expected[name]!r}"
        for name in ANSWERS
        if found.get(name) != expected[name]
    ]
    names = [[one["product_id"] for one in item["candidates"]] for item in (found, expected)]
    if names[0] != names[1] or list(found["attributes"]) != list(expected["attributes"]):
        return [*lines, f"candidates {names[0]}, expected {names[1]}" if names[0] != names[1] else "other attributes"]
    pairs = [("box", a, b, BOX_STEP) for a, b in zip(found["box"], expected["box"], strict=True)]
    pairs.append(("detection_score", found["detection_score"], expected["detection_score"], NUMBER_STEP))
    for ours, theirs in zip(found["candidates"], expected["candidates"], strict=True):
        pairs += [(name, ours[name], theirs[name], NUMBER_STEP) for name in ("similarity", "p_value")]
    pairs += [(name, found["attributes"][name], value, NUMBER_STEP) for name, value in expected["attributes"].items()]
    return lines + [f"{name} {a}, expected {b}" for name, a, b, step in pairs if not abs(a - b) <= step]
