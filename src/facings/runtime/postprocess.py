"""`postprocess.json` of a bundle: the thresholds of the decision, each of its type and in its range.

Knows nothing of the rest of the bundle.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from facings.errors import BundleError, ConfigError
from facings.runtime.standard import Rates
from facings.strict_json import shown
from facings.tiles import Tiling

MOST = 100_000
# Sides of a box that a crop is widened by; tiles beyond the largest picture that is read.
WIDEST, LARGEST_TILE = 10, 200_000_000


@dataclass(frozen=True)
class Postprocess:
    """Thresholds of the decision. Shares are 0–1; `nms_iou` None for an NMS-free detector; `tiles` None where a frame is
    looked at as a whole; `standard` None where `false_accept_rate` and `ambiguity_margin` decide, else it decides, and
    `remember` says whether enrolled views bear witness too (`fit_standard`)."""

    score_threshold: float
    max_detections: int
    nms_iou: float | None
    false_accept_rate: float
    ambiguity_margin: float
    top_k: int
    crop_margin: float
    tiles: Tiling | None = None
    standard: Rates | None = None
    remember: bool = True


def postprocess_of(content: Mapping[str, Any], folder: Path) -> Postprocess:
    """From the content of the file. Raises BundleError for a field that is missing, of a wrong type or out of range."""
    later = ("tiles", "standard", "remember")
    fields = {name: content.get(name) for name in Postprocess.__dataclass_fields__ if name not in later}
    for name, value in fields.items():
        if name == "nms_iou" and value is None:
            continue
        whole = name in ("max_detections", "top_k")
        if isinstance(value, bool) or not isinstance(value, int if whole else int | float):
            wanted = "a whole number" if whole else "a number"
            raise BundleError(f"{folder}/postprocess.json: {name} is {shown(value)}; expected {wanted}")
    # Bundles from before there were tiles, or a standard, have no such entry.
    post = Postprocess(**fields, tiles=_tiling(content.get("tiles"), folder))  # type: ignore[arg-type]
    shares = (post.score_threshold, post.false_accept_rate, post.ambiguity_margin, post.nms_iou or 0)
    counts = (post.max_detections, post.top_k)
    fits = all(0 <= share <= 1 for share in shares) and all(1 <= count <= MOST for count in counts)
    if not fits or not 0 <= post.crop_margin <= WIDEST:
        raise BundleError(f"{folder}/postprocess.json: a threshold is out of its range: {fields}")
    if content.get("standard") is None:
        return post
    try:
        rates, remember = standard_of(content["standard"], int(post.top_k))
    except ValueError as fault:
        raise BundleError(f"{folder}/postprocess.json: standard: {fault}") from fault
    return replace(post, standard=rates, remember=remember)


def standard_of(content: Any, top_k: int) -> tuple[Rates, bool]:
    """postprocess.json's `standard`: the fields of `Rates`, all of them, and `remember`, which may be missing. `top_k`: candidates
    that a search returns. Raises ValueError for a field that is missing, unknown, of a wrong type or out of range."""
    number, kinds = (int, float), {"pick_list": (int,), "unit": (str,)}
    fields = set(Rates.__dataclass_fields__)
    if not isinstance(content, Mapping) or set(content) - {"remember"} != fields:
        # The names that are wrong, since what is shown of a long content may end before them.
        names = sorted(map(str, (set(content) - {"remember"}) ^ fields)) if isinstance(content, Mapping) else []
        odd = f" (unknown or missing: {shown(', '.join(names))})" if names else ""
        raise ValueError(
            f"is {shown(content)}{odd}; expected {', '.join(Rates.__dataclass_fields__)} and, if wanted, remember"
        )
    remember = content.get("remember", True)
    for name, value in content.items():
        wanted = (bool,) if name == "remember" else kinds.get(name, number)
        if not isinstance(value, wanted) or (isinstance(value, bool) and name != "remember"):
            raise ValueError(f"{name} is {shown(value)}; expected {' or '.join(kind.__name__ for kind in wanted)}")
    rates = Rates(**{name: value for name, value in content.items() if name != "remember"})
    if top_k < max(2, rates.pick_list):
        raise ValueError(
            f"pick_list is {rates.pick_list} of {top_k} candidates; expected at most as many, and two candidates or more"
        )
    return rates, remember


def _tiling(content: Any, folder: Path) -> Tiling | None:
    """`{"size": pixels, "overlap": pixels, "whole": bool, "large": share}` → tiles, `large` 1 where it is missing; null → none."""
    if content is None:
        return None
    kinds = {"size": int, "overlap": int, "whole": bool, "large": float}
    fits = (
        isinstance(content, dict) and {name: type(value) for name, value in ({"large": 1.0} | content).items()} == kinds
    )
    if not fits or content["size"] > LARGEST_TILE:
        raise BundleError(
            f"{folder}/postprocess.json: tiles is {shown(content)}; expected size, overlap (pixels), whole and maybe large (0–1)"
        )
    try:
        return Tiling(**content)
    except ConfigError as fault:
        raise BundleError(f"{folder}/postprocess.json: {fault}") from fault
