"""Taking over the gallery of an older bundle without its photos: only where the new embedder is compatible with the old one.

Knows nothing of how embedders were made compatible: bundle.json says with which this one is.
"""

import re
from dataclasses import dataclass
from typing import Any

from facings.errors import BundleError, GalleryError
from facings.runtime.bundle import Bundle
from facings.runtime.gallery import Gallery
from facings.runtime.gallery_content import Change
from facings.strict_json import shown

# In bundle.json's `embedder`: checksums of older embedder.onnx whose views this one's queries may be compared with.
FIELD = "compatible_with"
MOST = 1000


@dataclass(frozen=True)
class Adoption:
    """`gallery`: the new version; `adopted`: products whose old views came in, of which `retired` stay retired; `kept`: products
    that the new bundle has views of already, so that its own stand."""

    gallery: Gallery
    adopted: tuple[str, ...]
    retired: tuple[str, ...]
    kept: tuple[str, ...]


def compatible_embedders(bundle: Bundle) -> tuple[str, ...]:
    """Checksums of the embedders whose views this bundle's queries may be compared with: its own first.

    Raises BundleError for a field that is no list of checksums.
    """
    told: Any = (bundle.manifest.get("embedder") or {}).get(FIELD, [])
    right = isinstance(told, list) and len(told) <= MOST
    if not right or not all(isinstance(entry, str) and re.fullmatch("[0-9a-f]{64}", entry) for entry in told):
        raise BundleError(
            f"{bundle.path}/bundle.json: embedder.{FIELD} is {shown(told)}; expected a list of sha256 in hexadecimal"
        )
    return bundle.embedder_sha256, *told


def adopt(bundle: Bundle, old: Bundle, *, author: str | None = None, reason: str | None = None) -> Adoption:
    """A new version of `bundle`'s gallery with all products of `old`'s that it lacks, retired ones as such, in one commit. What
    calibrates it stays: crops that its own embedder made, compared anew with the views that are there now.

    Raises GalleryError where `bundle` is not compatible with the embedder of `old`, its vectors have another length, or there is
    nothing to adopt; BundleError where one of both has no embedder; DataError for codes and categories that do not fit.
    """
    for one in (bundle, old):
        if not one.has("embedder"):
            raise BundleError(f"{one.path}: has no embedder, and so no gallery")
    gallery, source = bundle.gallery(), old.gallery()
    made_with, allowed = source.embedder_sha256, compatible_embedders(bundle)
    if made_with not in allowed:
        others = ", ".join(f"{entry[:12]}…" for entry in allowed[1:]) or "none"
        raise GalleryError(
            f"{source.folder}: was made with the embedder {made_with[:12]}…; {bundle.path} has {allowed[0][:12]}…, which is "
            f"compatible with {others}: enroll again, or train one that is (task=reid_compatible) and declare it "
            "(scripts/compatibility.py OLD NEW --declare)"
        )
    if source.content.dimension != gallery.content.dimension:
        raise GalleryError(
            f"{source.folder}: its vectors have {source.content.dimension} numbers, those of {bundle.path} "
            f"{gallery.content.dimension}"
        )
    names = [name for name in source.content.items if name not in gallery.content.items]
    if not names:
        raise GalleryError(f"{source.folder}: has no product that {gallery.folder} lacks")
    retired = [name for name in names if name in source.content.retired]
    changes = [
        Change("add", name, source.views_of(name), old.product(name, source), {"embedder_sha256": made_with})
        for name in names
    ]
    changes += [Change("retire", name) for name in retired]
    made = gallery.apply(
        changes, author=author, reason=reason or f"adopt {len(names)} products of {old.name}, version {source.version}"
    )
    kept = tuple(name for name in source.content.items if name in gallery.content.items)
    return Adoption(made, tuple(names), tuple(retired), kept)
