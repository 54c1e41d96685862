"""A bundle with which a consumer in another language has something to decide: low thresholds, and a gallery with a history."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from facings.files import sha256
from facings.runtime.bundle import Bundle, covered_files
from facings.runtime.recognizer import Recognizer
from tests.conftest import TinyShop


@pytest.fixture(scope="session")
def lively_bundle(tiny_shop: TinyShop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tiny shop with many detections, golden decisions for them, and statuses of every kind.

    Its second gallery version has a retired product and views in two segments; golden decisions are those of that version.
    """
    folder = Path(shutil.copytree(tiny_shop.bundle, tmp_path_factory.mktemp("lively") / tiny_shop.bundle.name))
    Bundle.open(folder).gallery().retire(Bundle.open(folder).gallery().items[0], reason="test")
    gallery = Bundle.open(folder).gallery()
    gallery.add(
        "late-1", gallery.vectors[:1] + 0.3, details={"name": "Späte Ware", "category": ["Late", "Good"]}, reason="test"
    )
    # The barely trained detector is sure of nothing: the 40 surest boxes of the golden picture shall count.
    scores = np.sort(np.load(folder / "golden" / "000.scores.npy").ravel())[::-1]
    edit(folder, "postprocess.json", score_threshold=float(scores[40]), false_accept_rate=0.3, ambiguity_margin=0.001)
    reseal(folder)
    recognizer = Recognizer(Bundle.open(folder, precision="float32"), threads=1)
    index = json.loads((folder / "golden" / "index.json").read_text())
    for sample in index["samples"]:
        image = np.load(folder / "golden" / sample["arrays"]["image"])
        sample["decision"] = recognizer.recognize(image).to_dict()
        for name in ("items", "similarities"):
            boxes = np.load(folder / "golden" / sample["arrays"]["crop_boxes"])
            np.save(folder / "golden" / sample["arrays"][name], recognizer.stages(image, crop_boxes=boxes)[name])
    edit(folder, "golden/index.json", samples=index["samples"], gallery_version=recognizer.gallery.version)  # type: ignore[union-attr]
    reseal(folder)
    return folder


def expected_decision(bundle: Path, image: Path) -> dict[str, Any]:
    """What the store runtime decides, as JSON gives it."""
    recognizer = Recognizer(Bundle.open(bundle, precision="float32"), threads=1)
    found: dict[str, Any] = json.loads(recognizer.recognize(np.load(image)).to_json())
    return found


def edit(bundle: Path, member: str, **changes: Any) -> None:
    content = json.loads((bundle / member).read_text())
    (bundle / member).write_text(json.dumps(content | changes))


def reseal(bundle: Path) -> None:
    """Make the checksums fit again after a change."""
    manifest = json.loads((bundle / "bundle.json").read_text())
    for entry in manifest["files"].values():
        entry["sha256"] = sha256(bundle / entry["file"])
    (bundle / "bundle.json").write_text(json.dumps(manifest))
    sums = (f"{sha256(bundle / name)}  {name}\n" for name in covered_files(bundle))
    (bundle / "SHA256SUMS").write_text("".join(sums))
