"""Taking over the gallery of an older bundle by looking at its stored crops again: whatever the new embedder is.

No vector is taken over, so that nothing of two embedders is mixed. Knows nothing of command lines.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.errors import BundleError, ConfigError
from facings.runtime.bundle import Bundle
from facings.runtime.decision import bundle_standard
from facings.runtime.enrolment_effect import Effect, effect
from facings.runtime.gallery import Gallery
from facings.runtime.gallery_content import Change
from facings.runtime.gallery_crops import StoredCrop, read_crop
from facings.runtime.recognizer import Recognizer


@dataclass(frozen=True)
class Reembedding:
    """`gallery`: the new version; `taken`: products that came in, of which `retired` stay retired; `kept`: products that the new
    bundle has views of already, so that its own stand; `bare`: products of which no crop is kept, and that did not come in;
    `fewer`: (product, crops, views) of those that came in with fewer views than they had; `effect` on the answers."""

    gallery: Gallery
    taken: tuple[str, ...]
    retired: tuple[str, ...]
    kept: tuple[str, ...]
    bare: tuple[str, ...]
    fewer: tuple[tuple[str, int, int], ...]
    effect: Effect


def reembed(
    recognizer: Recognizer, old: Bundle, *, author: str | None = None, reason: str | None = None
) -> Reembedding:
    """A new version of the gallery of `recognizer`'s bundle (in float32, as for enrolment) with all products of `old`'s that it
    lacks and of which crops are kept, embedded anew, retired ones as such, in one commit. The crops are kept on.

    Thresholds are calibrated anew with the version, from the crops that the new bundle was exported with.

    Raises ConfigError where `recognizer` has no gallery or there is nothing to take, BundleError where `old` has no embedder,
    GalleryError for a crop that is missing or changed; DataError for codes and categories that do not fit.
    """
    bundle, gallery = recognizer.bundle, recognizer.gallery
    if gallery is None:
        raise ConfigError(f"{bundle.path}: has no gallery; export it with an embedder and gallery.table")
    if not old.has("embedder"):
        raise BundleError(f"{old.path}: has no embedder, and so no gallery")
    source = old.gallery()
    kept = tuple(name for name in source.content.items if name in gallery.content.items)
    missing = [name for name in source.content.items if name not in gallery.content.items]
    taken = [name for name in missing if source.crops_of(name)]
    bare = tuple(name for name in missing if not source.crops_of(name))
    if not taken:
        why = (
            "keeps no crop of them (facings enroll … --keep-crops)"
            if missing
            else f"has no product that {gallery.folder} lacks"
        )
        raise ConfigError(f"{source.folder}: {why}; enroll again from photos")
    retired = tuple(name for name in taken if name in source.content.retired)
    changes = [
        Change(
            "add",
            name,
            _embedded(recognizer, source, name),
            old.product(name, source),
            _note(source),
            _carried(source, name),
        )
        for name in taken
    ]
    changes += [Change("retire", name) for name in retired]
    after = gallery.apply(
        changes,
        author=author,
        reason=reason or f"re-embed {len(taken)} products of {old.name}, version {source.version}",
    )
    counts = [(name, len(source.crops_of(name)), len(source.views_of(name))) for name in taken]
    fitted = [bundle_standard(bundle, version) for version in (gallery, after)]
    standards = (fitted[0], fitted[1]) if fitted[0] is not None and fitted[1] is not None else None
    told = effect(gallery, after, taken, bundle.postprocess.false_accept_rate, standards=standards)
    fewer = tuple(entry for entry in counts if entry[1] < entry[2])
    return Reembedding(after, tuple(taken), retired, kept, bare, fewer, told)


def _embedded(recognizer: Recognizer, source: Gallery, product_id: str) -> NDArray[np.float32]:
    """(V, D) of a product's crops."""
    boxes = [(read_crop(source.folder, crop), np.array([crop.box], np.float32)) for crop in source.crops_of(product_id)]
    return np.concatenate([recognizer.embed(image, box) for image, box in boxes])


def _carried(source: Gallery, product_id: str) -> tuple[StoredCrop, ...]:
    """The product's crops with their bytes, for another gallery's folder."""
    return tuple(
        StoredCrop(crop.sha256, crop.box, (source.folder / crop.file).read_bytes())
        for crop in source.crops_of(product_id)
    )


def _note(source: Gallery) -> dict[str, Any]:
    return {"crops_of": {"gallery": source.digest, "version": source.version}}
