"""One examination: everything is looked at once, and what was found is one record. Knows nothing of pages and terminals."""

import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from facings.data.doctor.appearance import check_appearance
from facings.data.doctor.classes import check_classes, check_table
from facings.data.doctor.faults import KINDS, SEVERITIES, Findings
from facings.data.doctor.geometry import CAPACITY, box_fault, check_geometry
from facings.data.doctor.identities import check_categories_agree, check_identities
from facings.data.doctor.leaks import check_leaks, check_sequences
from facings.data.doctor.licences import Use, Verdict, check_licences, verdict
from facings.data.doctor.listing import Listed, listing
from facings.data.doctor.pictures import Picture, look_at
from facings.data.doctor.sources import SYNTHETIC, Dataset
from facings.data.doctor.statistics import split_statistics, table_statistics
from facings.files import sha256

SCHEMA = "facings.doctor/1"


@dataclass(frozen=True)
class Examination:
    """What was found. `statistics`: by file, then by split; `pictures`: every file that was opened."""

    dataset: Dataset
    findings: Findings
    statistics: Mapping[str, Mapping[str, Mapping[str, Any]]]
    licence: Verdict
    pictures: Mapping[Path, Picture]

    def record(self) -> dict[str, Any]:
        """For JSON."""
        found = self.findings
        return {
            "schema": SCHEMA,
            "dataset": self.dataset.name,
            "licence": asdict(self.licence),
            "counts": {severity: found.count(severity) for severity in SEVERITIES},
            "kinds": {
                kind: {
                    "count": found.counts[kind],
                    **asdict(KINDS[kind]),
                    "faults": [f.record() for f in found.of(kind)],
                }
                for kind in found.kinds()
            },
            "prepared": dict(self.dataset.prepared),
            "known_faults": list(self.dataset.card.faults) if self.dataset.card else [],
            "statistics": self.statistics,
            "pictures_opened": len(self.pictures),
            "data": self.checksums(),
        }

    def checksums(self) -> dict[str, str]:
        """Annotation file → its sha256."""
        found = {split.source.name: sha256(split.source) for split in self.dataset.splits}
        tables = [Path(table.source) for table in self.dataset.tables]
        return found | {path.name: sha256(path) for path in tables if path.is_file()}


def examine(
    dataset: Dataset,
    *,
    use: Use = "research",
    capacity: int = CAPACITY,
    pixels: bool = True,
    workers: int = 1,
    advance: Callable[[], None] = lambda: None,
) -> Examination:
    """Look at a set. `pixels`: open the pictures too; `capacity`: objects that a detector can report in one picture.

    `advance` is called after each picture.
    """
    findings = Findings()
    parts = listing(dataset)
    pictures = look_at((e.path for part in parts for e in part), workers=workers, advance=advance) if pixels else {}
    statistics: dict[str, Mapping[str, Mapping[str, Any]]] = {}
    for split in dataset.splits:
        check_identities(split, findings)
        check_geometry(split, findings, capacity=capacity)
    if dataset.splits:
        check_categories_agree(dataset.splits, findings)
        check_classes(dataset.splits, findings)
        statistics["objects"] = {split.name: split_statistics(split) for split in dataset.splits}
    for table in dataset.tables:
        check_table(table, findings)
        statistics[Path(table.source).name] = table_statistics(table, pictures)
    check_licences(dataset, findings, use=use)
    _check_stated_counts(dataset, statistics, findings)
    for part in parts:
        check_sequences(part, findings)
    for part in parts if pixels else []:
        check_appearance(part, pictures, findings)
        check_leaks(part, pictures, findings)
        _check_crops(part, pictures, findings)
    return Examination(dataset, findings, statistics, verdict(dataset), pictures)


def picture_count(dataset: Dataset) -> int:
    """How many files an examination opens, for a progress bar."""
    return len({entry.path for part in listing(dataset) for entry in part})


def _check_crops(entries: list[Listed], pictures: Mapping[Path, Picture], findings: Findings) -> None:
    """Boxes of a recognition table, whose picture sizes are known only now."""
    for entry in entries:
        picture = pictures[entry.path]
        if entry.stated is not None or picture.state != "read":
            continue
        for box in entry.boxes:
            kind, corners = box_fault(box, picture.shown)
            if kind:
                where: dict[str, Any] = {"split": entry.split, "picture": entry.path}
                findings.add(kind, f"crop {box}, picture {picture.shown}", boxes=[corners], **where)


def _check_stated_counts(dataset: Dataset, statistics: Mapping[str, Any], findings: Findings) -> None:
    """Pictures of train, val, test, and classes, against what the card says that the authors state."""
    # Of what was made here as many as were asked for are all.
    if dataset.card is None or dataset.licence == SYNTHETIC:
        return
    # The card's words are of frames where a set holds frames: crops of them in a table are another number.
    kind = "objects" if dataset.card.task == "detection" or dataset.splits else None
    # Numbers by split have strokes between; "about 5,000" and the like are of the whole.
    stated = " ".join(re.findall(r"\d+(?: / \d+)+", dataset.card.images.replace(",", "")))
    read = {int(text) for text in re.findall(r"\d+", stated)}
    for name, part in statistics.items():
        if kind is not None and name != kind:
            continue
        for split in ("train", "val", "test"):
            found, said = part.get(split, {}).get("images"), dataset.card.stated.get(split)
            if found is None or (found == said if said is not None else not read or found in read):
                continue
            shown = dataset.card.images if said is None else said
            findings.add("count-not-stated", f"{split} has {found} pictures; stated: {shown}", split=split)
        depths = [figures["categories"] for figures in part.values() if figures.get("categories")]
        there = {"fine": max((figures.get("products", 0) for figures in part.values()), default=0)}
        there["coarse"] = max((depth[-1] for depth in depths), default=0)
        for level, count in there.items():
            if count and dataset.card.stated.get(level, count) != count:
                findings.add("count-not-stated", f"{count} {level} classes; stated: {dataset.card.stated[level]}")
