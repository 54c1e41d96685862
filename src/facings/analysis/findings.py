"""The errors that cost most, in words, each with what to try. Knows nothing of how they were found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

ADVICE: Mapping[str, str] = {
    "localisation": "Boxes lie beside their objects: train at a larger input size or longer, and look for loose labels in "
    "label_faults.jpg.",
    "classification": "Objects are found under a wrong class: add pictures of the classes that are confused, balance the classes, "
    "or detect one class of product and leave the names to the embedder.",
    "duplicate": "One object gets several boxes: use the one-to-one branch, lower nms_iou, or raise the score threshold.",
    "background": "Boxes lie on nothing: look at label_faults.jpg first (they may be objects without a label), then train with "
    "empty shelves and price tags as pictures without objects.",
    "both": "Boxes are wrong in place and class at once: more data and longer training help, no single setting does.",
    "missed": "Objects are not found at all: look at slices.png by size and density; train at a larger input size or in tiles, "
    "with crowded pictures.",
    "not detected": "The detector lost them: lower the bundle's score threshold, or analyze the detector's own run.",
    "wrong crop": "Boxes are loose or hold two products: look at the localisation errors of the detector's own run.",
    "not enrolled": "The gallery lacks them, and they were taken for others all the same: enroll them, or choose a stricter rate.",
    "sibling": "Products of one category are not told apart: enroll more views of both, train with the hierarchical loss, or at a "
    "larger crop size.",
    "another product": "Taken for goods of another category: look at the crops, and at the gallery's views of the wrong answer.",
    "rejected as unknown": "Enrolled, but not trusted: export the bundle with standard={false_accept: …}, which weighs the lead "
    "over the next product too, enroll views from the shop's own cameras, or choose a looser error rate.",
    "ambiguous, in the list": "The list that was handed on holds the product: enroll more views, or let a person choose.",
    "ambiguous, not in the list": "The list that was handed on does not hold the product: enroll more views of it.",
    "doubled": "A second box on an object that has an answer: lower nms_iou, or use the one-to-one branch.",
    "background named": "What is no product was given a name: train the detector with shelf labels and empty places, or raise its "
    "score threshold.",
    "background unknown": "Boxes on nothing, which at least were given no name: raise the detector's score threshold.",
    "no view": "The gallery holds no view of the product: enroll it.",
}


@dataclass(frozen=True)
class Finding:
    """`cost`: in the unit that `text` names; `count`: how many; `advice`: what to try."""

    name: str
    cost: float
    count: int
    text: str
    advice: str


def findings_of_gains(gains: Mapping[str, float], counts: Mapping[str, int], *, most: int = 3) -> list[Finding]:
    """Of TIDE's gains (0–1), dearest first; where no gain is defined (nothing was found at all) by their number.

    >>> [f.name for f in findings_of_gains({"missed": 0.1, "both": 0.0, "duplicate": 0.2}, {"missed": 4, "duplicate": 9})]
    ['duplicate', 'missed']
    """
    found = []
    for name, gain in gains.items():
        count = counts.get(name, 0)
        if not count or gain == 0:
            continue
        worth = (
            "AP is not defined without them" if np.isnan(gain) else f"AP at IoU 0.5 would gain {100 * gain:.2f} points"
        )
        found.append(Finding(name, gain, count, f"{name}, {count} times: {worth}", ADVICE[name]))
    return sorted(found, key=lambda f: (-np.nan_to_num(f.cost, nan=1.0), -f.count, f.name))[:most]


def findings_of_counts(counts: Mapping[str, int], *, of: str, whole: int, most: int = 3) -> list[Finding]:
    """Of plain counts, most first. `whole`: how many there could be, called `of`.

    >>> findings_of_counts({"sibling": 3, "doubled": 0}, of="objects", whole=12)[0].text
    'sibling: 3, against 12 objects'
    """
    kept = sorted(((name, count) for name, count in counts.items() if count), key=lambda entry: (-entry[1], entry[0]))
    return [
        Finding(name, float(count), count, f"{name}: {count}, against {whole} {of}", ADVICE[name])
        for name, count in kept[:most]
    ]


def as_markdown(title: str, findings: Sequence[Finding], sections: Sequence[str], files: Sequence[str]) -> str:
    """The page: what costs most, then `sections` as they are, then which files lie beside it."""
    lines = [f"# {title}", "", "## What costs most", ""]
    for number, finding in enumerate(findings, start=1):
        lines += [f"{number}. **{finding.text}.** {finding.advice}"]
    if not findings:
        lines += ["No error was found."]
    for section in sections:
        lines += ["", section.rstrip()]
    lines += ["", "## Files", "", *(f"- `{name}`" for name in files), ""]
    return "\n".join(lines)
