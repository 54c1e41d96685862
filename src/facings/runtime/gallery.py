"""The enrolled products: views as unit vectors, in immutable versions behind a pointer that is switched atomically.

Knows nothing of pictures. A version is a folder that is never changed once the pointer can name it, so that a crash at any
point leaves the old one working, and a reader never sees half.
"""

import getpass
import json
import os
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.errors import GalleryError
from facings.files import atomic_folder, atomic_write, sha256

SCHEMA = "facings.gallery/1"
ARRAYS = ("vectors", "item", "calibration_vectors", "calibration_scores")
LOCK_SECONDS = 30.0
CHUNK = 4096
Vectors = NDArray[np.float32]


def gallery_folder(bundle: Path) -> Path:
    """Where a bundle keeps its gallery."""
    return bundle / "gallery"


@dataclass(frozen=True)
class Gallery:
    """One version.

    `vectors` (M, D) float32 unit length; `item` (M,) int64, index into `items`; `items`: product ids;
    `calibration_vectors` (C, D) with `calibration_items` (product id or None each) and `calibration_scores` (C,): the
    highest similarity of each to an item that is not its own product; `products`: details of products enrolled later.
    """

    folder: Path
    version: str
    vectors: Vectors
    item: NDArray[np.int64]
    items: tuple[str, ...]
    calibration_vectors: Vectors
    calibration_items: tuple[str | None, ...]
    calibration_scores: Vectors
    manifest: dict[str, Any]

    @property
    def products(self) -> dict[str, dict[str, Any]]:
        return dict(self.manifest.get("products", {}))

    def views_of(self, product_id: str) -> Vectors:
        """(V, D) the views of a product; GalleryError when it is not enrolled."""
        if product_id not in self.items:
            raise GalleryError(
                f"product {product_id!r} is not in gallery version {self.version} ({len(self.items)} products)"
            )
        views: Vectors = self.vectors[self.item == self.items.index(product_id)]
        return views

    def p_values(self, similarities: Vectors) -> Vectors:
        """Share of the calibration scores that are at least as high, counting the asked one itself: (1 + #) / (1 + C)."""
        ordered = np.sort(self.calibration_scores)
        higher = len(ordered) - np.searchsorted(ordered, similarities, side="left")
        return ((1 + higher) / (1 + len(ordered))).astype(np.float32)

    @classmethod
    def open(cls, folder: Path, *, embedder_sha256: str | None = None) -> "Gallery":
        """Read the current version and check every byte of it.

        Raises GalleryError: no gallery, a changed file, arrays that do not fit each other, or another embedder.
        """
        version, digest = _pointer(folder)
        home = folder / version
        manifest_path = home / "manifest.json"
        if not manifest_path.is_file() or sha256(manifest_path) != digest:
            raise GalleryError(f"{manifest_path}: missing, or its checksum is not the one in {folder / 'CURRENT'}")
        manifest = json.loads(manifest_path.read_text(encoding="utf-8"))
        if manifest.get("schema") != SCHEMA:
            raise GalleryError(f"{manifest_path}: schema is {manifest.get('schema')!r}; this version reads {SCHEMA!r}")
        if embedder_sha256 is not None and manifest["embedder_sha256"] != embedder_sha256:
            raise GalleryError(
                f"{home}: was made with the embedder {manifest['embedder_sha256'][:12]}…, the bundle has "
                f"{embedder_sha256[:12]}…; vectors of two embedders cannot be compared: enroll again"
            )
        arrays = {name: _array(home, name, manifest) for name in ARRAYS}
        gallery = cls(
            folder=folder,
            version=version,
            items=tuple(manifest["items"]),
            calibration_items=tuple(manifest["calibration_items"]),
            manifest=manifest,
            **arrays,
        )
        gallery._check()
        return gallery

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
        if (folder / "CURRENT").exists():
            raise GalleryError(f"{folder}: holds a gallery already; add to it, or export to another folder")
        first = cls._new(
            folder, "000001", vectors, item, items, calibration_vectors, calibration_items,
            {"parent": None, "author": author or _author(), "reason": reason, "embedder_sha256": embedder_sha256,
             "products": dict(products or {}), "created": created or _now()},
        )  # fmt: skip
        first._commit()
        return first

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
        if not product_id or vectors.ndim != 2 or len(vectors) == 0:
            raise GalleryError(f"enrolling {product_id!r} with views {vectors.shape}: expected an id and (V, D) views")

        def change(current: "Gallery") -> "Gallery":
            items = current.items if product_id in current.items else (*current.items, product_id)
            added = np.full(len(vectors), items.index(product_id), np.int64)
            products = current.products | ({product_id: dict(details)} if details else {})
            return current._next(
                np.concatenate([current.vectors, unit(vectors)]),
                np.concatenate([current.item, added]),
                items, products, author, reason,
            )  # fmt: skip

        return _locked_commit(self.folder, change)

    def remove(self, product_id: str, *, author: str | None = None, reason: str = "remove") -> "Gallery":
        """A new version without a product. Raises GalleryError when it is not enrolled, or is the last one."""

        def change(current: "Gallery") -> "Gallery":
            current.views_of(product_id)
            if len(current.items) == 1:
                raise GalleryError(f"{product_id!r} is the only product; a gallery keeps one or more")
            gone = current.items.index(product_id)
            kept = current.item != gone
            item = current.item[kept]
            items = tuple(name for name in current.items if name != product_id)
            products = {name: entry for name, entry in current.products.items() if name != product_id}
            return current._next(current.vectors[kept], item - (item > gone), items, products, author, reason)

        return _locked_commit(self.folder, change)

    def _next(
        self,
        vectors: Vectors,
        item: NDArray[np.int64],
        items: Sequence[str],
        products: Mapping[str, Any],
        author: str | None,
        reason: str,
    ) -> "Gallery":
        numbers = [int(p.name) for p in self.folder.iterdir() if re.fullmatch(r"\d{6}", p.name)]
        meta = {
            "parent": self.version,
            "author": author or _author(),
            "reason": reason,
            "embedder_sha256": self.manifest["embedder_sha256"],
            "products": dict(products),
            "created": _now(),
        }
        return self._new(
            self.folder, f"{max(numbers) + 1:06d}", vectors, item, items,
            self.calibration_vectors, self.calibration_items, meta,
        )  # fmt: skip

    @classmethod
    def _new(
        cls,
        folder: Path,
        version: str,
        vectors: Vectors,
        item: NDArray[np.int64],
        items: Sequence[str],
        calibration_vectors: Vectors,
        calibration_items: Sequence[str | None],
        meta: dict[str, Any],
    ) -> "Gallery":
        vectors, calibration = unit(vectors), unit(calibration_vectors)
        scores = non_mated_scores(calibration, calibration_items, vectors, item, items)
        gallery = cls(
            folder, version, vectors, item.astype(np.int64), tuple(items), calibration, tuple(calibration_items), scores,
            {"schema": SCHEMA, "version": version, **meta},
        )  # fmt: skip
        gallery._check()
        return gallery

    def _check(self) -> None:
        views, dimension = self.vectors.shape if self.vectors.ndim == 2 else (-1, -1)
        if views < 1 or self.item.shape != (views,) or not self.items:
            raise GalleryError(
                f"{self.folder}: {self.vectors.shape} vectors for item {self.item.shape}; it needs a view or more"
            )
        if set(np.unique(self.item).tolist()) != set(range(len(self.items))) or len(set(self.items)) != len(self.items):
            raise GalleryError(f"{self.folder}: item indices do not fit the {len(self.items)} product ids")
        count = len(self.calibration_items)
        if self.calibration_vectors.shape != (count, dimension) or self.calibration_scores.shape != (count,):
            raise GalleryError(f"{self.folder}: calibration arrays do not fit {count} calibration items of {dimension}")
        if not all(np.isfinite(a).all() for a in (self.vectors, self.calibration_vectors, self.calibration_scores)):
            raise GalleryError(f"{self.folder}: a vector is not finite")

    def _commit(self) -> None:
        """Write the version's folder, then switch the pointer: the one step that makes it current."""
        with atomic_folder(self.folder / self.version) as beside:
            for name in ARRAYS:
                np.save(beside / f"{name}.npy", getattr(self, name), allow_pickle=False)
            self.manifest.update(
                dimension=int(self.vectors.shape[1]),
                views=len(self.vectors),
                items=list(self.items),
                calibration_items=list(self.calibration_items),
                files={f"{name}.npy": sha256(beside / f"{name}.npy") for name in ARRAYS},
            )
            content = json.dumps(self.manifest, indent=1)
            atomic_write(beside / "manifest.json", content)
        digest = sha256_of(content.encode()).hexdigest()
        atomic_write(self.folder / "CURRENT", f"{self.version} {digest}\n")


def unit(vectors: Vectors) -> Vectors:
    """Vectors (N, D) at unit length, float32; those that have it already stay bit for bit."""
    vectors = np.ascontiguousarray(vectors, np.float32)
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True) if len(vectors) else np.ones((0, 1), np.float32)
    return np.where(np.abs(lengths - 1) < 1e-5, vectors, vectors / np.maximum(lengths, 1e-12)).astype(np.float32)


def non_mated_scores(
    vectors: Vectors, owners: Sequence[str | None], gallery: Vectors, item: NDArray[np.int64], items: Sequence[str]
) -> Vectors:
    """(C,) for each calibration vector its highest similarity to a view of another product; -1 where there is none."""
    index = {name: number for number, name in enumerate(items)}
    own = np.array([index.get(owner, -1) if owner is not None else -1 for owner in owners], np.int64)
    scores = np.full(len(vectors), -1.0, np.float32)
    for start in range(0, len(vectors), CHUNK):
        part = slice(start, start + CHUNK)
        similarities = vectors[part] @ gallery.T
        similarities[own[part, None] == item[None, :]] = -1.0
        scores[part] = similarities.max(axis=1)
    return scores


def _pointer(folder: Path) -> tuple[str, str]:
    path = folder / "CURRENT"
    if not path.is_file():
        raise GalleryError(f"{folder}: holds no gallery (no file CURRENT)")
    match = re.fullmatch(r"(\d{6}) ([0-9a-f]{64})\n", path.read_text(encoding="utf-8", errors="replace"))
    if match is None:
        raise GalleryError(f"{path}: expected one line 'VERSION SHA256'")
    return match[1], match[2]


def _array(home: Path, name: str, manifest: Mapping[str, Any]) -> Any:
    path = home / f"{name}.npy"
    if not path.is_file() or sha256(path) != manifest.get("files", {}).get(path.name):
        raise GalleryError(f"{path}: missing, or its checksum is not the manifest's")
    return np.load(path, allow_pickle=False)


def _locked_commit(folder: Path, change: Any) -> Gallery:
    """Apply `change` to the newest version under a lock, so that two writers at once both take effect."""
    with _lock(folder):
        changed: Gallery = change(Gallery.open(folder))
        changed._commit()
        return changed


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """A lock file beside the gallery; the system frees it when a writer dies. Waits up to LOCK_SECONDS."""
    path = folder / ".lock"
    deadline = time.monotonic() + LOCK_SECONDS
    with path.open("a+b") as file:
        while not _try_lock(file):
            if time.monotonic() > deadline:
                raise GalleryError(f"{folder}: another writer has held the gallery for {LOCK_SECONDS:.0f} s; try again")
            time.sleep(0.05)
        yield


def _try_lock(file: Any) -> bool:
    try:
        if os.name == "nt":
            import msvcrt

            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _author() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return "unknown"


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
