"""The enrolled products: views as unit vectors, in immutable versions behind a pointer that is switched atomically.

Knows nothing of pictures. A version is never changed once the pointer can name it, so that a crash at any point leaves the
old one working, and a reader never sees half.
"""

import getpass
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.errors import GalleryError
from facings.runtime.gallery_calibration import non_mated_scores, unit
from facings.runtime.gallery_content import Change, Content, Filed, changed, fresh
from facings.runtime.gallery_crops import StoredCrop
from facings.runtime.gallery_files import (
    locked,
    next_version,
    read_content,
    read_manifest,
    read_pointer,
    sweep,
    write_version,
)

__all__ = ["Change", "Gallery", "gallery_folder", "non_mated_scores", "unit"]
# A reader that finds a version pruned while it was reading looks again for the one in force.
ATTEMPTS = 5
Vectors = NDArray[np.float32]


def gallery_folder(bundle: Path) -> Path:
    """Where a bundle keeps its gallery."""
    return bundle / "gallery"


@dataclass(frozen=True, eq=False)
class Gallery:
    """One version: what is answered, and what it was made of.

    `vectors` (M, D) float32 unit length; `item` (M,) int64, index into `items`; `items`: product ids, without the retired;
    `calibration_vectors` (C, D) with `calibration_items` (product id or None each) and `calibration_scores` (C,): the
    highest similarity of each to an item that is not its own product; `products`: details of products enrolled later;
    `digest`: checksum of the manifest, which names the version and everything in it.
    """

    folder: Path
    version: str
    content: Content
    manifest: dict[str, Any]
    digest: str

    @property
    def vectors(self) -> Vectors:
        return self.content.active_vectors

    @property
    def item(self) -> NDArray[np.int64]:
        return self.content.active_owner

    @property
    def items(self) -> tuple[str, ...]:
        return self.content.active_items

    @property
    def retired(self) -> tuple[str, ...]:
        """Products whose views are kept but not answered, sorted."""
        return tuple(sorted(self.content.retired))

    @property
    def calibration_vectors(self) -> Vectors:
        return self.content.calibration_vectors.array

    @property
    def calibration_items(self) -> tuple[str | None, ...]:
        return self.content.calibration_items

    @property
    def calibration_scores(self) -> Vectors:
        return self.content.calibration_scores.array

    @property
    def products(self) -> dict[str, dict[str, Any]]:
        return {name: dict(entry) for name, entry in self.content.products.items()}

    def crops_of(self, product_id: str) -> tuple[StoredCrop, ...]:
        """The pictures that are kept of a product's views, in their order; none where they were not to be kept."""
        return self.content.crops.get(product_id, ())

    @property
    def embedder_sha256(self) -> str:
        """Of the network that made the vectors."""
        return str(self.manifest["embedder_sha256"])

    def views_of(self, product_id: str) -> Vectors:
        """(V, D) the views of a product, retired or not; GalleryError when it is not enrolled."""
        if product_id not in self.content.items:
            raise GalleryError(
                f"product {product_id!r} is not in gallery version {self.version} ({len(self.content.items)} products)"
            )
        return self.content.views_of(product_id)

    def p_values(self, similarities: Vectors) -> Vectors:
        """Share of the calibration scores that are at least as high, counting the asked one itself: (1 + #) / (1 + C)."""
        ordered = self._ordered_scores
        higher = len(ordered) - np.searchsorted(ordered, similarities, side="left")
        return ((1 + higher) / (1 + len(ordered))).astype(np.float32)

    @cached_property
    def _ordered_scores(self) -> Vectors:
        return np.sort(self.calibration_scores)

    @classmethod
    def open(cls, folder: Path, *, embedder_sha256: str | None = None, version: str | None = None) -> "Gallery":
        """Read the current version, or an older one of its history, and check every byte of it.

        Raises GalleryError: no gallery, a changed file, arrays that do not fit each other, another embedder, or a version
        that the history lacks.
        """
        if version is None:
            return cls._open(folder, embedder_sha256, None)
        from facings.runtime.gallery_history import past_version

        return past_version(cls._open(folder, embedder_sha256, None), version)

    @classmethod
    def _open(cls, folder: Path, embedder_sha256: str | None, base: "Gallery | None") -> "Gallery":
        for attempt in range(ATTEMPTS):
            pointer = read_pointer(folder)
            try:
                return cls._read(folder, pointer, embedder_sha256, base)
            except GalleryError:
                if attempt == ATTEMPTS - 1 or read_pointer(folder) == pointer:
                    raise
        raise AssertionError("unreachable: the last attempt returns or raises")

    @classmethod
    def _read(
        cls, folder: Path, pointer: tuple[str, str], embedder_sha256: str | None, base: "Gallery | None"
    ) -> "Gallery":
        version, digest = pointer
        manifest = read_manifest(folder, version, digest)
        made_with = str(manifest.get("embedder_sha256"))
        if embedder_sha256 is not None and made_with != embedder_sha256:
            raise GalleryError(
                f"{folder / version}: was made with the embedder {made_with[:12]}…, the bundle has "
                f"{embedder_sha256[:12]}…; vectors of two embedders cannot be compared: enroll again, or, where the new one "
                "was trained to be compatible, `facings gallery NEW_BUNDLE adopt OLD_BUNDLE`; where crops were kept, `… reembed "
                "OLD_BUNDLE`"
            )
        return cls(
            folder, version, read_content(folder, version, manifest, base._known if base else None), manifest, digest
        )

    @property
    def _known(self) -> dict[str, Filed]:
        """Arrays by checksum: an immutable file that was checked once need not be read again."""
        content = self.content
        arrays = (*content.segments, content.owner, content.calibration_vectors, content.calibration_scores)
        return {filed.sha256: filed for filed in arrays if filed.sha256}

    @classmethod
    def create(
        cls,
        folder: Path,
        *,
        embedder_sha256: str,
        vectors: Vectors,
        item: NDArray[np.int64],
        items: Sequence[str],
        calibration_vectors: Vectors,
        calibration_items: Sequence[str | None],
        author: str | None = None,
        reason: str = "export",
        products: Mapping[str, Mapping[str, Any]] | None = None,
        created: str | None = None,
    ) -> "Gallery":
        """Write version 000001 and point to it. Raises GalleryError when there is a gallery already, or for unfit arrays."""
        content = fresh(vectors, item, items, products or {}, calibration_vectors, calibration_items)
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if (folder / "CURRENT").exists():
                raise GalleryError(f"{folder}: holds a gallery already; add to it, or export to another folder")
            origin: dict[str, Any] = {
                "parent": None,
                "parent_sha256": None,
                "embedder_sha256": embedder_sha256,
                "changes": [],
            }
            return cls._write(folder, content, origin | _meta(author, reason, created))

    def apply(self, changes: Sequence[Change], *, author: str | None = None, reason: str) -> "Gallery":
        """A new version with all of `changes` made to the newest one, in one commit: all of them or none.

        The newest version is asked for under a lock, so that two writers at once both take effect.

        Raises GalleryError (or DataError for codes and categories) for a change that does not fit; nothing is written then.
        """
        with locked(self.folder):
            current = self._newest()
            content = changed(current.content, changes)
            return current._follow(content, [change.record() for change in changes], author, reason)

    def preview(self, changes: Sequence[Change]) -> "Gallery":
        """This version with `changes` made, in memory alone. Raises as `apply`."""
        content = changed(self.content, changes)
        return Gallery(self.folder, f"{self.version}+", content, {**self.manifest, "parent": self.version}, "")

    def add(
        self,
        product_id: str,
        vectors: Vectors,
        *,
        details: Mapping[str, Any] | None = None,
        author: str | None = None,
        reason: str = "enroll",
    ) -> "Gallery":
        """A new version with these views (V, D) of a product added (to its old ones, if it has any)."""
        return self.apply([Change("add", product_id, vectors, details)], author=author, reason=reason)

    def replace(
        self,
        product_id: str,
        vectors: Vectors,
        *,
        details: Mapping[str, Any] | None = None,
        author: str | None = None,
        reason: str = "replace",
    ) -> "Gallery":
        """A new version in which these views (V, D) stand for a product, and its old ones do not (new packaging)."""
        return self.apply([Change("replace", product_id, vectors, details)], author=author, reason=reason)

    def retire(self, product_id: str, *, author: str | None = None, reason: str = "retire") -> "Gallery":
        """A new version that keeps a product's views but does not answer it, until it is restored."""
        return self.apply([Change("retire", product_id)], author=author, reason=reason)

    def restore(self, product_id: str, *, author: str | None = None, reason: str = "restore") -> "Gallery":
        """A new version that answers a retired product again."""
        return self.apply([Change("restore", product_id)], author=author, reason=reason)

    def remove(self, product_id: str, *, author: str | None = None, reason: str = "remove") -> "Gallery":
        """A new version without a product. Raises GalleryError when it is not enrolled, or is the last one."""
        return self.apply([Change("remove", product_id)], author=author, reason=reason)

    def rollback(self, version: str, *, author: str | None = None, reason: str | None = None) -> "Gallery":
        """A new version equal to an older one; the history goes on, nothing is lost.

        Raises GalleryError for a version that the history lacks, is damaged, or was made with another embedder.
        """
        with locked(self.folder):
            current = self._newest()
            old = Gallery.open(self.folder, version=version)
            if old.embedder_sha256 != current.embedder_sha256:
                raise GalleryError(
                    f"{self.folder}: version {version} was made with another embedder "
                    f"({old.embedder_sha256[:12]}…, now {current.embedder_sha256[:12]}…); it cannot come back"
                )
            note = [{"operation": "rollback", "to": version}]
            return current._follow(old.content, note, author, reason or f"rollback to {version}")

    def _newest(self) -> "Gallery":
        """The version in force; this very object when it is that. Arrays that this one has are not read again."""
        if self.digest and read_pointer(self.folder) == (self.version, self.digest):
            return self
        return self._open(self.folder, self.embedder_sha256, self)

    def _follow(
        self, content: Content, changes: Sequence[Mapping[str, Any]], author: str | None, reason: str
    ) -> "Gallery":
        line = {"parent": self.version, "parent_sha256": self.digest, "embedder_sha256": self.embedder_sha256}
        return self._write(self.folder, content, {**line, "changes": list(changes), **_meta(author, reason, None)})

    @classmethod
    def _write(cls, folder: Path, content: Content, meta: Mapping[str, Any]) -> "Gallery":
        sweep(folder)
        version = next_version(folder)
        content, manifest, digest = write_version(folder, version, content, meta)
        return cls(folder, version, content, manifest, digest)


def _meta(author: str | None, reason: str, created: str | None) -> dict[str, Any]:
    return {
        "author": author or _author(),
        "reason": reason,
        "created": created or datetime.now(UTC).isoformat(timespec="seconds"),
    }


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"
