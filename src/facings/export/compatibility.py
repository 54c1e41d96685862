"""Whether a new bundle can ask the gallery of an old one, by both bundles' own graphs; and saying so in the new one.

Knows nothing of training.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facings.errors import BundleError, ConfigError
from facings.export.bundle import FILE_NAMES, seal, write_json
from facings.files import atomic_folder
from facings.runtime.bundle import Bundle
from facings.runtime.bundle_files import SIGNATURE
from facings.runtime.gallery_adoption import FIELD, compatible_embedders

Figures = Mapping[str, Mapping[str, float]]


def check_pair(old: Bundle, new: Bundle) -> None:
    """Raise BundleError for a pair that cannot be compared: one without an embedder, or vectors of different lengths."""
    for bundle in (old, new):
        if not bundle.has("embedder"):
            raise BundleError(f"{bundle.path}: has no embedder")
    lengths = [int(bundle.manifest["embedder"]["dimension"]) for bundle in (old, new)]
    if lengths[0] != lengths[1]:
        raise BundleError(f"{new.path}: its vectors have {lengths[1]} numbers, those of {old.path} {lengths[0]}")


def declare(new: Bundle, old: Bundle, figures: Figures) -> None:
    """Write into `new` that its embedder is compatible with that of `old`: bundle.json's `embedder.compatible_with`, and where
    there are such papers, the cross test's `figures` (name → `value`, `low`, `high`) into report.json and MODEL_CARD.md. The
    bundle is sealed again, whole or not at all.

    Raises ConfigError where the figures do not speak for it, BundleError for a signed bundle, whose signature would break.
    """
    if figures["cross_minus_old"]["value"] < 0:
        raise ConfigError(
            f"{new.path}: finds {-figures['cross_minus_old']['value']:.4f} less in the old gallery than the old embedder does; "
            "it is not compatible: train with task=reid_compatible and a larger task.module.influence"
        )
    if (new.path / SIGNATURE).exists():
        raise BundleError(f"{new.path}: is signed; declare what it is compatible with first, then sign")
    own, *known = compatible_embedders(new)
    if old.embedder_sha256 == own:
        raise ConfigError(f"{new.path}: has the very embedder of {old.path}; there is nothing to declare")
    manifest: dict[str, Any] = {k: v for k, v in new.manifest.items() if k not in ("schema", "files")}
    told = list(dict.fromkeys([*known, old.embedder_sha256]))
    manifest["embedder"] = {**manifest["embedder"], FIELD: told}
    with atomic_folder(new.path, replace=True) as beside:
        shutil.copytree(new.path, beside, dirs_exist_ok=True)
        _write_papers(beside, old, figures)
        seal(beside, manifest)
        Bundle.open(beside)


def _write_papers(folder: Path, old: Bundle, figures: Figures) -> None:
    report, card = folder / FILE_NAMES["report"], folder / FILE_NAMES["model_card"]
    if report.is_file():
        content = json.loads(report.read_text(encoding="utf-8"))
        content["compatibility"] = {**content.get("compatibility", {}), old.embedder_sha256: figures}
        write_json(report, content)
    if card.is_file():
        lines = [f"\n## Compatible with the embedder of {old.name}\n"]
        lines += [
            f"sha256 {old.embedder_sha256}; R@1 through the store runtime, with what 95 % of draws of the products give:\n"
        ]
        lines += [f"- {name}: {f['value']:.4f} ({f['low']:.4f} to {f['high']:.4f})" for name, f in figures.items()]
        card.write_text(card.read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")
