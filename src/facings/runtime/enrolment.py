"""From photos to a product in the gallery, without training: find it, refuse unfit photos, choose views, commit, report.

Knows nothing of command lines or tables. The embedding is the recognizer's, as it is for every frame.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from facings.errors import ConfigError, DataError
from facings.runtime.crops import cut_crop
from facings.runtime.decision import bundle_standard
from facings.runtime.enrolment_effect import Effect, effect
from facings.runtime.gallery import Change, Gallery
from facings.runtime.gallery_crops import StoredCrop, keep_crop
from facings.runtime.images import read_image
from facings.runtime.photo_checks import PhotoLimits, central_box, diverse, outliers, photo_faults
from facings.runtime.product_catalogue import check_changed
from facings.runtime.recognizer import Recognizer
from facings.runtime.standard import Standard

Vectors = NDArray[np.float32]
Locate = Literal["central", "surest", "whole"]
# Two views whose vectors are so alike come from one picture.
SAME_VIEW = 1 - 1e-6


@dataclass(frozen=True)
class Request:
    """One product to enroll. `details`: None leaves those it has; `replace`: its old views go."""

    product_id: str
    photos: tuple[Path, ...]
    details: Mapping[str, Any] | None = None
    replace: bool = False


@dataclass(frozen=True)
class Settings:
    """`views`: at most so many new ones a product; `locate`: the sure, large and central detection of a photo, the surest one
    whatever else is there, or the whole picture; `force`: take what is unfit too, and keep a record of it; `keep_crops`: keep the
    views' pictures in the gallery, so that a later embedder can look at them again; None: as for the products that are there."""

    views: int = 8
    locate: Locate = "central"
    force: bool = False
    keep_crops: bool | None = None
    limits: PhotoLimits = field(default_factory=PhotoLimits)

    def __post_init__(self) -> None:
        if self.views < 1:
            raise ConfigError(f"views is {self.views}; expected 1 or more")


@dataclass(frozen=True, eq=False)
class Photo:
    """`box` xyxy pixels, `vector` (D,); None where none was found or made. `faults`: why it is unfit; `used`: is a view; `crop`:
    its picture, where it is to be kept."""

    path: Path
    box: tuple[float, float, float, float] | None
    vector: Vectors | None
    faults: tuple[str, ...]
    used: bool = False
    crop: StoredCrop | None = None


@dataclass(frozen=True, eq=False)
class Proposal:
    """What would become of a request. `refused`: why the product is not enrolled; None when it is."""

    request: Request
    photos: tuple[Photo, ...]
    refused: str | None
    overruled: tuple[str, ...] = ()

    @property
    def vectors(self) -> Vectors:
        """(V, D) of the views used."""
        return np.stack([photo.vector for photo in self.photos if photo.used and photo.vector is not None])

    def change(self) -> Change:
        """The step that enrolls it."""
        used = [photo for photo in self.photos if photo.used]
        note: dict[str, Any] = {"photos": [photo.path.name for photo in used]}
        forced = [f"{photo.path.name}: {fault}" for photo in used for fault in photo.faults]
        if forced or self.overruled:
            note["forced"] = [*self.overruled, *forced]
        operation: Literal["replace", "add"] = "replace" if self.request.replace else "add"
        crops = tuple(photo.crop for photo in used if photo.crop is not None)
        return Change(operation, self.request.product_id, self.vectors, self.request.details, note, crops)


@dataclass(frozen=True, eq=False)
class Outcome:
    """`gallery`: the version made (in memory alone for a dry run), None where nothing was enrolled; `effect` of it."""

    proposals: tuple[Proposal, ...]
    gallery: Gallery | None
    effect: Effect | None

    @property
    def refused(self) -> tuple[Proposal, ...]:
        return tuple(proposal for proposal in self.proposals if proposal.refused is not None)


def enroll(
    recognizer: Recognizer,
    requests: Sequence[Request],
    settings: Settings,
    *,
    author: str | None = None,
    reason: str = "enroll",
    dry_run: bool = False,
) -> Outcome:
    """Enroll all requests in one commit; those that are refused are left out, and told.

    Raises ConfigError without a gallery, DataError for a missing photo, or codes and categories that do not fit.
    """
    gallery = recognizer.gallery
    if gallery is None:
        raise ConfigError(f"{recognizer.bundle.path}: has no gallery; export it with an embedder and gallery.table")
    _check_requests(recognizer, gallery, requests)
    if settings.keep_crops is None:
        settings = replace(settings, keep_crops=bool(gallery.content.crops))
    looked = ((r, [look(recognizer, path, settings) for path in r.photos]) for r in requests)
    bundle = recognizer.bundle
    rate = bundle.postprocess.false_accept_rate

    def fit(version: Gallery) -> Standard | None:
        # Thresholds are told without a prior: enrolled views are of all shelves.
        fitted = version is gallery and recognizer.prior is None
        return recognizer.standard if fitted else bundle_standard(bundle, version)

    return commit(gallery, looked, settings, rate, author=author, reason=reason, dry_run=dry_run, fit=fit)


def commit(
    gallery: Gallery,
    looked: Iterable[tuple[Request, Sequence[Photo]]],
    settings: Settings,
    false_accept_rate: float,
    *,
    author: str | None = None,
    reason: str = "enroll",
    dry_run: bool = False,
    fit: Callable[[Gallery], Standard | None] = lambda gallery: None,
) -> Outcome:
    """What follows when the photos of all requests are found and embedded: judge, choose views, commit, tell the effect.

    `fit`: the standard of a gallery version; by default there is none, and `false_accept_rate` decides."""
    others, proposals = _Others(gallery), []
    for request, photos in looked:
        proposal = judge(request, photos, others, gallery, settings)
        if proposal.refused is None:
            others.add(request.product_id, proposal.vectors)
        proposals.append(proposal)
    changes = [proposal.change() for proposal in proposals if proposal.refused is None]
    if not changes:
        return Outcome(tuple(proposals), None, None)
    after = gallery.preview(changes) if dry_run else gallery.apply(changes, author=author, reason=reason)
    changed = [change.product_id for change in changes]
    fitted = fit(gallery), fit(after)
    standards = (fitted[0], fitted[1]) if fitted[0] is not None and fitted[1] is not None else None
    return Outcome(tuple(proposals), after, effect(gallery, after, changed, false_accept_rate, standards=standards))


def look(recognizer: Recognizer, path: Path, settings: Settings) -> Photo:
    """Find the product in a photo, judge the crop, embed it. A damaged picture is an unfit photo without a vector."""
    try:
        image = read_image(path)
    except DataError as fault:
        return Photo(path, None, None, (str(fault).removeprefix(f"{path}: "),))
    box, faults = _located(recognizer, image, settings)
    if box is None:
        if not settings.force:
            return Photo(path, None, None, tuple(faults))
        box = np.array([0, 0, image.shape[1], image.shape[0]], np.float32)
    faults += photo_faults(cut_crop(image, box, 0.0), settings.limits)
    x1, y1, x2, y2 = (float(value) for value in box)
    # Embedding takes most of the time: a photo that is out already is not embedded.
    vector = recognizer.embed(image, box[None])[0] if settings.force or not faults else None
    kept = settings.keep_crops and vector is not None
    crop = keep_crop(image, box, recognizer.bundle.postprocess.crop_margin) if kept else None
    return Photo(path, (x1, y1, x2, y2), vector, tuple(faults), crop=crop)


def _located(
    recognizer: Recognizer, image: NDArray[np.uint8], settings: Settings
) -> tuple[NDArray[np.float32] | None, list[str]]:
    height, width = image.shape[:2]
    if settings.locate == "whole" or not recognizer.bundle.has("detector"):
        return np.array([0, 0, width, height], np.float32), []
    found = recognizer.detect(image, recognizer.bundle.postprocess.score_threshold)
    if len(found) == 0:
        return None, ["no product found; photograph it closer, or use --whole for photos that show it alone"]
    if settings.locate == "surest":
        return found.boxes[0], []
    best, rivals = central_box(found.boxes, found.scores, height, width)
    if rivals:
        return found.boxes[best], [
            f"{len(rivals) + 1} products are equally likely; photograph one, in the middle, or cut the picture"
        ]
    return found.boxes[best], []


def judge(
    request: Request, photos: Sequence[Photo], others: "_Others", gallery: Gallery, settings: Settings
) -> Proposal:
    """Compare a product's photos with each other and with the gallery, and choose the views."""
    enrolled = request.product_id in gallery.content.items and not request.replace
    own = gallery.views_of(request.product_id) if enrolled else np.zeros((0, gallery.content.dimension), np.float32)
    photos = _without_doubles(photos, own, others, request.product_id)
    photos = _without_outliers(photos)
    fit = [
        number
        for number, photo in enumerate(photos)
        if photo.vector is not None and (settings.force or not photo.faults)
    ]
    if not fit:
        return Proposal(request, tuple(photos), "no photo is fit")
    vectors = np.stack([vector for number in fit if (vector := photos[number].vector) is not None])
    twin = others.twin(request.product_id, vectors, own)
    if twin and not settings.force:
        return Proposal(request, tuple(photos), twin)
    used = {fit[row] for row in diverse(vectors, settings.views)}
    chosen = tuple(replace(photo, used=number in used) for number, photo in enumerate(photos))
    return Proposal(request, chosen, None, (twin,) if twin else ())


def _without_doubles(photos: Sequence[Photo], own: Vectors, others: "_Others", product_id: str) -> list[Photo]:
    """Name photos that add nothing: the same picture again, here, among the product's views, or under another product."""
    seen: list[tuple[str, Vectors]] = [("a view that is enrolled already", vector) for vector in own]
    judged = []
    for photo in photos:
        faults = photo.faults
        if photo.vector is not None:
            same = next((name for name, vector in seen if float(vector @ photo.vector) >= SAME_VIEW), None)
            other = others.same(product_id, photo.vector)
            if same or other:
                faults = (*faults, f"exact duplicate of {same or f'a view of {other}'}")
            else:
                seen.append((photo.path.name, photo.vector))
        judged.append(replace(photo, faults=faults))
    return judged


def _without_outliers(photos: Sequence[Photo]) -> list[Photo]:
    fit = [number for number, photo in enumerate(photos) if photo.vector is not None and not photo.faults]
    judged = list(photos)
    if fit:
        unlike = outliers(np.stack([vector for number in fit if (vector := photos[number].vector) is not None]))
        for number in (number for number, out in zip(fit, unlike, strict=True) if out):
            judged[number] = replace(judged[number], faults=("unlike the other photos of this product",))
    return judged


class _Others:
    """The answered views of all products: the gallery's, and those enrolled before in the same batch."""

    def __init__(self, gallery: Gallery) -> None:
        self.gallery = gallery
        self.batch: list[tuple[str, Vectors]] = []

    def add(self, product_id: str, vectors: Vectors) -> None:
        self.batch.append((product_id, vectors))

    def same(self, product_id: str, vector: Vectors) -> str | None:
        """Another product that has this very view."""
        similarities = self.gallery.vectors @ vector
        for row in np.flatnonzero(similarities >= SAME_VIEW):
            name = self.gallery.items[int(self.gallery.item[row])]
            if name != product_id:
                return self.called(name)
        return next(
            (n for n, views in self.batch if n != product_id and float((views @ vector).max()) >= SAME_VIEW), None
        )

    def twin(self, product_id: str, vectors: Vectors, own: Vectors) -> str | None:
        """Say so when the views (V, D) are closer to another product's than to each other and to `own` (O, D).

        Closeness is the median over the views of the similarity to the nearest view. One photo alone cannot tell.
        """
        kin = vectors @ np.concatenate([vectors, own]).T
        np.fill_diagonal(kin, -1.0)
        if kin.shape[1] < 2:
            return None
        among = float(np.median(kin.max(axis=1)))
        best, name = -1.0, ""
        similarities = vectors @ self.gallery.vectors.T
        nearest = np.full((len(vectors), len(self.gallery.items)), -1.0, np.float32)
        for row in range(len(vectors)):
            np.maximum.at(nearest[row], self.gallery.item, similarities[row])
        for number in np.argsort(-np.median(nearest, axis=0), kind="stable")[:2]:
            if self.gallery.items[number] != product_id:
                best, name = float(np.median(nearest[:, number])), self.gallery.items[number]
                break
        for other, views in self.batch:
            if other != product_id and (close := float(np.median((vectors @ views.T).max(axis=1)))) > best:
                best, name = close, other
        if best <= among:
            return None
        return f"these views are closer to {self.called(name)} than to each other ({best:.3f} > {among:.3f})"

    def called(self, product_id: str) -> str:
        """Id and name, as a person knows it."""
        name = str(self.gallery.products.get(product_id, {}).get("name") or "")
        return f"{product_id} {name}".strip() if name != product_id else product_id


def _check_requests(recognizer: Recognizer, gallery: Gallery, requests: Sequence[Request]) -> None:
    """Everything that can be known to be wrong before a picture is read."""
    if missing := [path for request in requests for path in request.photos if not path.is_file()]:
        raise DataError(f"{missing[0]}: no such picture")
    names = [request.product_id for request in requests]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise DataError(f"product {twice!r} is asked for twice; give all its photos at once")
    for request in requests:
        if not request.photos:
            raise DataError(f"product {request.product_id!r}: no photos; give one or more")
        if request.replace and request.product_id not in gallery.content.items:
            raise DataError(f"product {request.product_id!r} is not enrolled, so there are no views to replace")
        if request.product_id in gallery.content.retired and not request.replace:
            raise DataError(f"product {request.product_id!r} is retired; restore it first, or replace its views")
    before = {**recognizer.bundle.taxonomy, **gallery.products}
    after = before | {r.product_id: dict(r.details) for r in requests if r.details is not None}
    check_changed(before, after, set(names))
