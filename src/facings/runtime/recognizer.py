"""One frame in, one decision out, through the bundle's graphs. Knows nothing of files beyond the bundle."""

import copy
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from facings.boxes import nms
from facings.errors import BundleError, DataError
from facings.masks import CropMask, outline, trimmed
from facings.runtime.bundle import Bundle
from facings.runtime.crops import cut_crop
from facings.runtime.decision import bundle_standard, decide
from facings.runtime.gallery import Gallery
from facings.runtime.prior_search import PriorSearch
from facings.runtime.priors import Prior
from facings.runtime.search import EXACT_VIEWS, Search, searcher
from facings.runtime.session import Session
from facings.runtime.standard import Standard
from facings.structures import Decision, Detections, Matches
from facings.tile_merging import AS_SURE
from facings.tiles import LEAST, Found, Tiling, detect

STAGES = ("preprocess", "detect", "embed", "match", "total")
# Crops embedded at once: enough to fill the cores, few enough to bound memory on a frame of 1,000 products.
EMBED_BATCH = 16
GOLDEN_CROPS = 8


@dataclass(frozen=True)
class FrameResult:
    """What one frame gave. `embeddings` (N, D); `timings`: milliseconds by stage (`STAGES`)."""

    decision: Decision
    detections: Detections
    embeddings: NDArray[np.float32]
    timings: dict[str, float]


Outputs = Mapping[str, NDArray[Any]]
Picture = NDArray[np.uint8]


class Recognizer:
    """Runs a bundle. Sessions are made once; all methods but `close` may be called from several threads at once, and give the
    same answers as from one.

    `tiling`: how large frames are cut, None for never; by default as the bundle says. `prior`: which products are likely here,
    for a bundle with a standard. `standard` is that one, fitted to `gallery` when both were read: a version that is committed
    later wants another Recognizer (`renewed`). None where the bundle has none, and its thresholds decide.
    """

    def __init__(
        self,
        bundle: Bundle,
        *,
        threads: int | None = None,
        tiling: Tiling | Literal["bundle"] | None = "bundle",
        prior: Prior | None = None,
    ) -> None:
        self.bundle = bundle
        self.tiling = bundle.postprocess.tiles if tiling == "bundle" else tiling
        self._sessions = {role: Session(bundle.graph_path(role), threads=threads) for role in bundle.manifest["graphs"]}
        self.prior = prior
        self._read_gallery()

    def _read_gallery(self) -> None:
        bundle, prior = self.bundle, self.prior
        has_gallery = bundle.has("embedder") and (bundle.path / "gallery" / "CURRENT").is_file()
        self.gallery: Gallery | None = bundle.gallery() if has_gallery else None
        self.standard: Standard | None = bundle_standard(bundle, self.gallery, prior)
        self._search: Search | None = None
        if self.gallery is not None and prior is not None:
            self._search = PriorSearch(self.gallery, prior)
        elif self.gallery is not None and len(self.gallery.vectors) > EXACT_VIEWS:
            self._search = searcher(self.gallery)

    def renewed(self) -> Self:
        """Another one over the same networks, with the gallery version that is in force now, checked, and its standard fitted.

        This one goes on with its own. Raises GalleryError for a version that is damaged or of another embedder.
        """
        other = copy.copy(self)
        other._read_gallery()
        return other

    def as_exported(self) -> Self:
        """Another one over the same networks that cuts frames as the bundle says and has no prior: what golden samples are of."""
        other = copy.copy(self)
        other.tiling, other.prior = self.bundle.postprocess.tiles, None
        other._read_gallery()
        return other

    def shares_networks(self, other: "Recognizer") -> bool:
        """Whether both run the same sessions over the same tiles, so that detections and embeddings of one are the other's."""
        return self._sessions is other._sessions and self.tiling == other.tiling

    def warm_up(self, height: int = 1080, width: int = 1920) -> None:
        """Run every graph once on a grey picture of the frames' size: the first real frame then meets memory that is laid out."""
        grey = np.full((height, width, 3), 128, np.uint8)
        self.run(grey)
        if self.bundle.has("embedder"):
            product = [0, 0, max(1, width // 16), max(1, height // 8)]
            found = self.embed(grey, np.array([product] * EMBED_BATCH, np.float32))
            if self.gallery is not None:
                self.match(found)

    def close(self) -> None:
        """Let the networks' memory go, those of all that share them (`renewed`); what is asked afterwards raises BundleError.

        Frames that are under way in other threads must have ended; `HotSwap` waits for them.
        """
        self._sessions.clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _session(self, role: str) -> Session:
        try:
            return self._sessions[role]
        except KeyError:
            state = "is closed; make another Recognizer" if not self._sessions else f"has no {role} graph"
            raise BundleError(f"{self.bundle.path}: {state}") from None

    def run(self, image: NDArray[np.uint8]) -> FrameResult:
        """`image` (H, W, 3) uint8 RGB. Raises DataError for another shape or type."""
        check_image(image)
        clock = Clock()
        with clock("total"):
            found = self.find(image, clock=clock)
            with clock("detect"):
                detections = described(found, outlines=True)
            embeddings = np.zeros((0, 0), np.float32)
            matches = None
            if self.gallery is not None:
                with clock("embed"):
                    embeddings = self.embed(image, detections.boxes)
                with clock("match"):
                    matches = self.match(embeddings)
            with clock("match"):
                decision = self.decide(detections, matches)
        return FrameResult(decision, detections, embeddings, clock.milliseconds)

    def recognize(self, image: NDArray[np.uint8]) -> Decision:
        """The decision alone."""
        return self.run(image).decision

    def detect(self, image: NDArray[np.uint8], score_threshold: float = 0.0, *, masks: bool = False) -> Detections:
        """All detections of a frame with at least `score_threshold`; without a detector, the whole picture as one.

        `masks`: with outlines and masks too, where the detector makes them; a mask takes a byte a pixel of its own box.
        """
        check_image(image)
        return described(self.find(image, least=score_threshold), outlines=masks, masks=masks)

    def embed(self, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        """(N, 4) xyxy pixel boxes of a frame → (N, D) unit vectors."""
        if not self.bundle.has("embedder"):
            raise BundleError(f"{self.bundle.path}: has no embedder; export one with embedder=CHECKPOINT")
        parts = [
            self.embed_crops(self._crop_pixels(image, boxes[start : start + EMBED_BATCH]))
            for start in range(0, len(boxes), EMBED_BATCH)
        ]
        dimension = int(self.bundle.manifest["embedder"]["dimension"])
        return np.concatenate(parts) if parts else np.zeros((0, dimension), np.float32)

    def embed_crops(self, crops: NDArray[np.float32]) -> NDArray[np.float32]:
        """(B, 3, E, E) normalised crops → (B, D)."""
        vectors: NDArray[np.float32] = self._session("embedder")(crops=crops)["embeddings"]
        return vectors

    def match(self, embeddings: NDArray[np.float32]) -> Matches:
        """The most similar items for each embedding, moved by the prior if there is one. Raises BundleError without a gallery."""
        if self.gallery is None:
            raise BundleError(f"{self.bundle.path}: has no gallery; `facings enroll` adds products")
        k = min(self.bundle.postprocess.top_k, len(self.gallery.items))
        if len(embeddings) == 0:
            return Matches(np.zeros((0, k), np.int64), np.zeros((0, k), np.float32))
        if self._search is not None:
            return self._search.top(embeddings, k)
        found = self._session("match")(embeddings=embeddings, gallery=self.gallery.vectors, item=self.gallery.item)
        return Matches(found["items"][:, :k], found["similarities"][:, :k])

    def signature(self, role: str) -> dict[str, list[str]]:
        """Names of a graph's `inputs` and `outputs`."""
        session = self._session(role)
        return {"inputs": session.inputs, "outputs": session.outputs}

    def stages(
        self, image: NDArray[np.uint8], *, crop_boxes: NDArray[np.float32] | None = None
    ) -> dict[str, NDArray[Any]]:
        """The tensors at every stage, as golden samples keep them.

        `crop_boxes` (N, 4): where to cut crops; default the first `GOLDEN_CROPS` detections, or the whole picture.
        """
        check_image(image)
        arrays: dict[str, NDArray[Any]] = {"image": image}
        boxes = np.array([[0, 0, image.shape[1], image.shape[0]]], np.float32)
        if self.bundle.has("detector"):
            prepared = self._session("preprocess")(image=image[None])
            found = self._session("detector")(pixels=prepared["pixels"])
            arrays |= {"pixels": prepared["pixels"], "transform": prepared["transform"]}
            arrays |= found
            boxes = self.find(image, least=0.0).boxes[:GOLDEN_CROPS]
        boxes = boxes if crop_boxes is None else crop_boxes
        if self.bundle.has("embedder") and len(boxes):
            arrays["crop_boxes"] = boxes
            arrays["crops"] = self._crop_pixels(image, boxes)
            arrays["embeddings"] = self.embed_crops(arrays["crops"])
            if self.gallery is not None:
                matches = self.match(arrays["embeddings"])
                arrays |= {"items": matches.items, "similarities": matches.similarities}
        return arrays

    def find(
        self,
        image: Picture,
        *,
        least: float | None = None,
        clock: "Clock | None" = None,
        look: Callable[[Picture], Outputs] | None = None,
    ) -> Found:
        """What scores `least` (by default the bundle's threshold) or more, at most `max_detections`, best first; without a
        detector the whole frame. `look` stands for `look_at`, and is asked of the parts in the order of `parts`."""
        clock, post = clock or Clock(), self.bundle.postprocess
        height, width = image.shape[:2]
        if not self.bundle.has("detector"):
            boxes = np.array([[0, 0, width, height]], np.float32)
            return Found(boxes, np.ones(1, np.float32), np.zeros(1, np.int64), None, (), (((0, 0),),))
        least = post.score_threshold if least is None else least
        size = int(self.bundle.manifest["detector"]["image_size"])
        # Where tiles meet, a box just below the threshold may show that one above it is a part or a double.
        floor = 0.0 if self.tiling is None else max(LEAST, least * AS_SURE)
        before = clock.milliseconds["preprocess"]
        with clock("detect"):
            found = detect(
                image,
                look or (lambda picture: self.look_at(picture, clock)),
                input_size=size,
                tiling=self.tiling,
                least=floor,
            )
            if post.nms_iou is not None:
                found = found.at(nms(found.boxes, found.scores, post.nms_iou))
            found = found.at(np.flatnonzero(found.scores >= least)[: post.max_detections])
        # Preprocessing took place inside, and has a stage of its own.
        clock.milliseconds["detect"] -= clock.milliseconds["preprocess"] - before
        return found

    def parts(self, height: int, width: int) -> NDArray[np.int64]:
        """(T, 4) xyxy pixels: the parts of a frame that the detector looks at one by one; the frame itself without tiles."""
        whole = np.array([[0, 0, width, height]], np.int64)
        return whole if self.tiling is None else self.tiling.boxes(height, width)

    def look_at(self, picture: Picture, clock: "Clock | None" = None) -> Outputs:
        """All that the detector says of one picture or tile, with the `transform` of its square, without batch."""
        with (clock or Clock())("preprocess"):
            prepared = self._session("preprocess")(image=picture[None])
        outputs = self._session("detector")(pixels=prepared["pixels"])
        return {name: value[0] for name, value in outputs.items()} | {"transform": prepared["transform"].reshape(-1)}

    def decide(self, detections: Detections, matches: Matches | None) -> Decision:
        """The answer, by the bundle's thresholds or the standard of this gallery version."""
        return decide(detections, matches, self.bundle, self.gallery, self.standard)

    def _crop_pixels(self, image: NDArray[np.uint8], boxes: NDArray[np.float32]) -> NDArray[np.float32]:
        margin = self.bundle.postprocess.crop_margin
        crop = self._session("crop")
        crops = [crop(image=cut_crop(image, box, margin)[None])["pixels"] for box in boxes]
        return np.concatenate(crops)


def described(found: Found, *, outlines: bool, masks: bool = False) -> Detections:
    """What is passed on. Masks are decoded one by one, and an outline keeps none of them."""
    drawn: list[tuple[NDArray[np.float32], CropMask | None]] | None = None
    if outlines and found.has_masks:
        drawn = [(outline(mask), trimmed(mask) if masks else None) for mask in found.masks()]
    return Detections(
        found.boxes,
        found.scores,
        found.labels,
        polygons=None if drawn is None else tuple(polygon for polygon, _ in drawn),
        masks=None if drawn is None or not masks else tuple(mask for _, mask in drawn if mask is not None),
        attributes=found.attributes,
    )


class Clock:
    """Milliseconds by stage."""

    def __init__(self) -> None:
        self.milliseconds = dict.fromkeys(STAGES, 0.0)

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.milliseconds[stage] += (time.perf_counter() - start) * 1000


def check_image(image: NDArray[np.uint8]) -> None:
    """Raise DataError unless `image` is (H, W, 3) uint8 with a pixel or more."""
    if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        found = f"{image.dtype} {image.shape}" if isinstance(image, np.ndarray) else type(image).__name__
        raise DataError(f"the frame is {found}; expected a uint8 array (H, W, 3), RGB")
    if 0 in image.shape:
        raise DataError(f"the frame has no pixels: {image.shape}")
