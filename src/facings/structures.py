"""What passes between the rooms: detections, matches, decisions. Arrays are checked once, here, in the constructor."""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from facings.masks import CropMask
from facings.strict_json import parse, shown

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
        """The inverse of `to_json`; fields beside the contract's are passed over. Raises ValueError for another schema, and for
        a field that is missing or of a wrong type."""
        content = parse(text)
        if not isinstance(content, dict) or content.get("schema") != DECISION_SCHEMA:
            found = content.get("schema") if isinstance(content, dict) else type(content).__name__
            raise ValueError(f"schema is {shown(found)}; expected {DECISION_SCHEMA!r}")
        try:
            version = _text_or_none(content["gallery_version"], "gallery_version")
            return cls(version, tuple(_item(record) for record in _list(content["items"], "items")))
        except (KeyError, TypeError) as fault:
            raise ValueError(f"decision lacks or misuses a field: {fault}") from fault


def _item(record: Any) -> Item:
    if not isinstance(record, dict):
        raise TypeError(f"items holds {shown(record)}; expected objects")
    box = tuple(_number(value, "box") for value in _list(record["box"], "box"))
    polygon = [_list(point, "polygon") for point in _list(record["polygon"], "polygon")]
    if len(box) != 4 or not all(len(point) == 2 for point in polygon):
        raise TypeError("expected four numbers in box, and two in each point of polygon")
    if not isinstance(attributes := record.get("attributes", {}), dict):  # older decisions have none
        raise TypeError(f"attributes is {shown(attributes)}; expected names and shares")
    return Item(
        box=box,
        detection_score=_number(record["detection_score"], "detection_score"),
        status=_text(record["status"], "status"),  # type: ignore[arg-type]
        product_id=_text_or_none(record["product_id"], "product_id"),
        category=tuple(_text(name, "category") for name in _list(record["category"], "category")),
        candidates=tuple(_candidate(each) for each in _list(record["candidates"], "candidates")),
        polygon=tuple((_number(x, "polygon"), _number(y, "polygon")) for x, y in polygon),
        attributes={name: _number(value, "attributes") for name, value in attributes.items()},
    )


def _candidate(record: Any) -> Candidate:
    if not isinstance(record, dict) or set(record) != {"product_id", "similarity", "p_value"}:
        raise TypeError(f"candidates holds {shown(record)}; expected product_id, similarity and p_value")
    similarity, p_value = _number(record["similarity"], "similarity"), _number(record["p_value"], "p_value")
    return Candidate(_text(record["product_id"], "product_id"), similarity, p_value)


def _list(value: Any, name: str) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError(f"{name} is {shown(value)}; expected a list")
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError(f"{name} is {shown(value)}; expected a number")
    return float(value)


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str):
        raise TypeError(f"{name} is {shown(value)}; expected a text")
    return value


def _text_or_none(value: Any, name: str) -> str | None:
    return None if value is None else _text(value, name)
