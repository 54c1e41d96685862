"""What passes between the rooms: detections, matches, decisions. Arrays are checked once, here, in the constructor."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facings.masks import CropMask

DECISION_SCHEMA = "facings.decision/1"
Status = Literal["known", "ambiguous", "unknown"]


@dataclass(frozen=True)
class Detections:
    """Products found in a frame.

    `boxes` (N, 4) float32 xyxy, pixels of the original picture; `scores` (N,) float32, 0–1, descending; `labels` (N,) int64.
    `polygons`: for each detection the outline as (P, 2) float32 xy pixels, without a point where its mask is empty;
    `masks`: the masks themselves. Both are None where the detector makes none, or nobody asked for them. `attributes`
    (N, T) float32, 0–1: yes-or-no properties, in the bundle's order; None where the detector knows none.
    """

    boxes: NDArray[np.float32]
    scores: NDArray[np.float32]
    labels: NDArray[np.int64]
    polygons: tuple[NDArray[np.float32], ...] | None = None
    masks: tuple[CropMask, ...] | None = None
    attributes: NDArray[np.float32] | None = None

    def __post_init__(self) -> None:
        count = len(self.boxes)
        if self.boxes.shape != (count, 4) or self.boxes.dtype != np.float32:
            raise ValueError(f"boxes are {self.boxes.dtype} {self.boxes.shape}; expected float32 (N, 4)")
        if self.scores.shape != (count,) or self.labels.shape != (count,):
            raise ValueError(f"{count} boxes, but scores {self.scores.shape} and labels {self.labels.shape}")
        if not np.isfinite(self.boxes).all() or not np.isfinite(self.scores).all():
            raise ValueError("boxes and scores must be finite")
        for name in ("polygons", "masks", "attributes"):
            others = getattr(self, name)
            if others is not None and len(others) != count:
                raise ValueError(f"{count} boxes, but {len(others)} {name}")

    def __len__(self) -> int:
        return len(self.boxes)

    def above(self, score: float) -> "Detections":
        """Those with a score of at least `score`."""
        index = np.flatnonzero(self.scores >= score)
        polygons = None if self.polygons is None else tuple(self.polygons[i] for i in index)
        masks = None if self.masks is None else tuple(self.masks[i] for i in index)
        attributes = None if self.attributes is None else self.attributes[index]
        return Detections(self.boxes[index], self.scores[index], self.labels[index], polygons, masks, attributes)


@dataclass(frozen=True)
class Matches:
    """The most similar items of a gallery for each of B crops.

    `items` (B, k) int64, item indices, most similar first; `similarities` (B, k) float32, cosine, -1 to 1.
    """

    items: NDArray[np.int64]
    similarities: NDArray[np.float32]

    def __post_init__(self) -> None:
        if self.items.ndim != 2 or self.items.shape != self.similarities.shape:
            raise ValueError(f"items {self.items.shape} and similarities {self.similarities.shape} must be (B, k) both")


@dataclass(frozen=True)
class Candidate:
    """A product that a crop may show. `p_value`: share of stored non-matching crops that look at least as similar."""

    product_id: str
    similarity: float
    p_value: float


@dataclass(frozen=True)
class Item:
    """One product in a frame. `box`: x1, y1, x2, y2 pixels; `category` from coarse to fine; `product_id` None unless known;
    `polygon`: the outline, empty where the detector makes none; `attributes`: name → 0–1, how surely it has the property."""

    box: tuple[float, float, float, float]
    detection_score: float
    status: Status
    product_id: str | None
    category: tuple[str, ...]
    candidates: tuple[Candidate, ...]
    polygon: tuple[tuple[float, float], ...] = field(default=())
    attributes: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.status not in get_args(Status):
            raise ValueError(f"status is {self.status!r}; expected one of {get_args(Status)}")
        if (self.product_id is None) == (self.status == "known"):
            raise ValueError(f"status {self.status!r} with product_id {self.product_id!r}: only known items have one")


@dataclass(frozen=True)
class Decision:
    """What a frame holds: the contract `facings.decision/1`."""

    gallery_version: str | None
    items: tuple[Item, ...]

    def to_dict(self) -> dict[str, Any]:
        """The JSON content."""
        return {"schema": DECISION_SCHEMA, **asdict(self)}

    def to_json(self) -> str:
        return json.dumps(self.to_dict())

    @classmethod
    def from_json(cls, text: str) -> "Decision":
        """The inverse of `to_json`. Raises ValueError for another schema or a missing field."""
        content = json.loads(text)
        if not isinstance(content, dict) or content.get("schema") != DECISION_SCHEMA:
            found = content.get("schema") if isinstance(content, dict) else type(content).__name__
            raise ValueError(f"schema is {found!r}; expected {DECISION_SCHEMA!r}")
        try:
            items = tuple(_item(record) for record in content["items"])
            return cls(content["gallery_version"], items)
        except (KeyError, TypeError) as fault:
            raise ValueError(f"decision lacks or misuses a field: {fault}") from fault


def _item(record: dict[str, Any]) -> Item:
    x1, y1, x2, y2 = (float(value) for value in record["box"])
    return Item(
        box=(x1, y1, x2, y2),
        detection_score=float(record["detection_score"]),
        status=record["status"],
        product_id=record["product_id"],
        category=tuple(record["category"]),
        candidates=tuple(Candidate(**candidate) for candidate in record["candidates"]),
        polygon=tuple((float(x), float(y)) for x, y in record["polygon"]),
        # Older decisions have none.
        attributes={str(name): float(value) for name, value in record.get("attributes", {}).items()},
    )
