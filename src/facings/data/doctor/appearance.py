"""Picture files against what their annotations say of them. Knows nothing of objects."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facings.data.doctor.faults import Findings
from facings.data.doctor.listing import Listed
from facings.data.doctor.pictures import Picture

# Gray values 0-255. Blank: under this standard deviation; dark: nineteen of twenty pixels below.
BLANK, DARK = 1.0, 28
# Of `sharpness`. Chosen by eye on phone photos of ai231_grocery_masks: all below are blurred as a whole, by motion or out of focus.
BLURRED = 0.2
STATES = {"missing": "image-missing", "unreadable": "image-unreadable", "truncated": "image-truncated"}


def check_appearance(entries: Sequence[Listed], pictures: Mapping[Path, Picture], findings: Findings) -> None:
    """Add what is wrong with the files of a listing, each file once a split."""
    for entry in {(e.split, e.path): e for e in entries}.values():
        picture = pictures[entry.path]
        where: dict[str, Any] = {"split": entry.split, "picture": entry.path}
        if picture.state != "read":
            findings.add(STATES[picture.state], picture.fault, **where)
            continue
        if picture.misnamed:
            findings.add("image-misnamed", f"is {picture.format}", **where)
        kind = turn_fault(picture, entry.stated)
        if kind:
            stored, said = f"{picture.width} x {picture.height}", entry.stated or picture.shown
            detail = f"file {stored}, EXIF orientation {picture.orientation}, annotation {said[0]} x {said[1]}"
            findings.add(kind, detail, **where)
        assert picture.thumb is not None
        if picture.thumb.std() < BLANK:
            findings.add("image-blank", f"gray value {picture.thumb.mean():.0f} all over", **where)
        elif float((picture.thumb < DARK).mean()) >= 0.95:
            findings.add("image-dark", f"mean gray value {picture.thumb.mean():.0f} of 255", **where)
        if picture.sharpness is not None and picture.sharpness < BLURRED:
            detail = (
                f"its sharpest edges rise by {picture.sharpness:.0%} of their contrast a pixel; in focus about 40 %"
            )
            findings.add("image-blurred", detail, **where)


def turn_fault(picture: Picture, stated: tuple[int, int] | None) -> str:
    """The kind of fault of a picture's size and turn, "" for none.

    Pictures are read with the EXIF turn applied. A turn by 180 degrees or a mirror leaves the size as it is, so that only
    the eye can tell whether boxes were drawn before or after it.
    """
    if stated is None:
        return ""
    stored = (picture.width, picture.height)
    if stated == picture.shown:
        ambiguous = picture.orientation != 1 and (picture.orientation < 5 or stored == picture.shown)
        return "exif-turned" if ambiguous else ""
    return "exif-rotated" if picture.orientation >= 5 and stated == stored else "image-size-wrong"
