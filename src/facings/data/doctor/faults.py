"""The kinds of fault, and the list that collects them. Knows nothing of how a fault is found."""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

Severity = Literal["error", "warning", "note"]
SEVERITIES: tuple[Severity, ...] = ("error", "warning", "note")
# Faults of one kind that are kept one by one; all are counted.
KEPT = 1000


@dataclass(frozen=True)
class Kind:
    """One kind of fault. `error`: spoils training or evaluation; `warning`: wants a look; `note`: good to know."""

    severity: Severity
    title: str
    advice: str


# The codes are stable: scripts and CI rely on them.
KINDS: dict[str, Kind] = {
    # Numbers and names
    "image-id-repeated": Kind("error", "Image id used twice", "Give every picture its own id; its boxes cannot be told apart."),
    "annotation-id-repeated": Kind("error", "Annotation id used twice", "Number the annotations anew."),
    "category-id-repeated": Kind("error", "Category id used twice", "Give every category its own id."),
    "id-not-whole": Kind("error", "Id that is no whole number from 0 to 2^53", "Number anew with whole numbers."),
    "image-unknown": Kind("error", "Annotation of a picture that is not listed", "Add the picture or drop the annotation."),
    "category-unknown": Kind("error", "Annotation of a category that is not defined", "Add the category or drop the annotation."),
    "category-name-twice": Kind("error", "Category name under two ids", "Join the two into one category."),
    "categories-differ": Kind("error", "Splits define different categories", "Use one list of categories for all splits."),
    "file-listed-twice": Kind("error", "Picture file listed twice", "Join the two entries and their boxes."),
    # Boxes
    "box-malformed": Kind("error", "Box that is not four finite numbers", "Drop it, or measure it again."),
    "box-no-area": Kind("error", "Box under a pixel wide or high", "Drop it."),
    "box-outside": Kind("error", "Box outside its picture", "Drop it; look for a wrong picture size or rotation first."),
    "box-leaves": Kind("warning", "Box that leaves its picture", "Clip it to the picture."),
    "box-duplicate": Kind("error", "Two boxes on one object", "Keep one: doubled truth cannot be found twice."),
    "box-two-labels": Kind("error", "One object under two categories", "Decide on one category."),
    "area-wrong": Kind("warning", "Area that does not fit its box", "Measure it again: COCO's size classes go by it."),
    "over-capacity": Kind("error", "More objects than a detector reports", "Cut the picture into tiles, or raise the capacity."),
    # Masks
    "mask-malformed": Kind("error", "Outline that cannot be read", "Drop the outline, or draw it again."),
    "mask-outside": Kind("warning", "Outline that leaves its picture", "Clip it; look for a wrong picture size first."),
    "mask-not-in-box": Kind("error", "Outline that does not fit its box", "Take the box from the outline, or draw it again."),
    "mask-missing": Kind("warning", "Object without an outline among objects with one", "Outline it, or train without masks."),
    # Pictures
    "image-missing": Kind("error", "Picture file that is not there", "Fetch it again, or drop it from the list."),
    "image-unreadable": Kind("error", "File that is no picture", "Fetch it again, or drop it from the list."),
    "image-truncated": Kind("error", "Picture that breaks off", "Fetch it again, or drop it from the list."),
    "image-size-wrong": Kind("error", "Size of the picture differs from the annotation", "Find out which size the boxes are of."),
    "exif-rotated": Kind("error", "Annotation ignores the picture's EXIF rotation", "Turn the boxes, or strip the EXIF tag."),
    "exif-turned": Kind("warning", "EXIF turn that the size cannot confirm", "See where the boxes lie: `facings data browse`."),
    "image-elsewhere": Kind("warning", "File name that leaves the folder of pictures", "Bring the picture into it."),
    "image-blank": Kind("warning", "Picture of one colour", "Drop it."),
    "image-dark": Kind("note", "Very dark picture", "Keep it only if the shop is as dark."),
    "image-blurred": Kind("note", "Picture blurred as a whole", "Keep it only if the shop's camera blurs as much."),
    "image-misnamed": Kind("note", "File name of another format", "Rename it."),
    # Twins
    "leak-identical": Kind("error", "Same picture in two splits", "Keep it in one: else it is tested on what it saw."),
    "leak-near": Kind("warning", "Nearly the same picture in two splits", "Look at both; split by scene, not by picture."),
    "leak-sequence": Kind("warning", "One recording in two splits", "Split by recording: neighbouring frames show the same goods."),
    "image-identical": Kind("warning", "Same picture twice in a split", "Keep one."),
    "image-near": Kind("note", "Nearly the same picture twice in a split", "Weigh them as one."),
    "label-conflict": Kind("error", "Same picture under two labels", "Decide on one label."),
    # Classes
    "class-empty": Kind("warning", "Category without any object", "Drop it, or add pictures of it."),
    "class-not-trained": Kind("error", "Category that is tested but never trained", "Add it to the training split."),
    "class-not-tested": Kind("warning", "Category that a split lacks", "Read that split's figures as of fewer classes."),
    "label-placeholder": Kind("note", "Label that stands for no product", "Name the product, or leave it out of recognition."),
    "category-two-paths": Kind("error", "Product with two categories", "A product has one category path."),
    "row-repeated": Kind("warning", "Same crop listed twice in a split", "Keep one row."),
    "crowd": Kind("note", "Crowd region", "Training leaves it out."),
    "no-objects": Kind("note", "Picture without any object", "Fine as a negative; otherwise label it."),
    # Use
    "licence-forbids": Kind("error", "Licence forbids the use", "Train on another set, or ask the owner for a licence."),
    "licence-unclear": Kind("error", "Licence does not allow the use in so many words", "Ask the owner before using it."),
    "licence-no-sale": Kind("note", "Licence forbids to sell what is trained on it", "`--use commercial` makes it an error."),
    "count-not-stated": Kind("note", "Not as many pictures or classes as the authors state", "See whether the download is whole."),
    "source-fault": Kind("warning", "Fault met while reading", "See the line."),
}  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """One fault. `picture`: its file, `boxes`: xyxy pixels to draw on it; `other`: a second picture, as twins have."""

    kind: str
    detail: str
    split: str = ""
    picture: str = ""
    other: str = ""
    boxes: tuple[tuple[float, float, float, float], ...] = ()

    @property
    def severity(self) -> Severity:
        return KINDS[self.kind].severity

    def record(self) -> dict[str, Any]:
        """For JSON; what is empty is left out."""
        content = {"kind": self.kind, "severity": self.severity, "split": self.split, "picture": self.picture}
        content |= {"other": self.other, "detail": self.detail}
        found: dict[str, Any] = {name: value for name, value in content.items() if value}
        return found | ({"boxes": [list(box) for box in self.boxes]} if self.boxes else {})


@dataclass
class Findings:
    """Faults as they are found: the first `KEPT` of each kind, and how many there are of each."""

    counts: Counter[str] = field(default_factory=Counter)
    kept: dict[str, list[Fault]] = field(default_factory=dict)

    def add(
        self,
        kind: str,
        detail: str,
        *,
        split: str = "",
        picture: object = "",
        other: object = "",
        boxes: Sequence[Sequence[float]] = (),
    ) -> None:
        """Count a fault, and keep it while there are few of its kind."""
        assert kind in KINDS, kind
        self.counts[kind] += 1
        kept = self.kept.setdefault(kind, [])
        if len(kept) < KEPT:
            corners = tuple((float(b[0]), float(b[1]), float(b[2]), float(b[3])) for b in boxes)
            kept.append(Fault(kind, detail, split, str(picture), str(other), corners))

    def kinds(self) -> list[str]:
        """Codes found, errors first, then by how many there are."""
        return sorted(self.counts, key=lambda k: (SEVERITIES.index(KINDS[k].severity), -self.counts[k], k))

    def of(self, kind: str) -> list[Fault]:
        """The kept faults of a kind."""
        return self.kept.get(kind, [])

    def __iter__(self) -> Iterator[Fault]:
        return (fault for kind in self.kinds() for fault in self.kept[kind])

    def count(self, severity: Severity) -> int:
        """Faults of a severity, those that are not kept among them."""
        return sum(number for kind, number in self.counts.items() if KINDS[kind].severity == severity)

    def failed(self, *, strict: bool = False) -> bool:
        """Whether CI should stop: an error; with `strict` a warning too."""
        return bool(self.count("error") or (strict and self.count("warning")))
