"""The same or nearly the same picture where it should not be: across splits, twice in one, under two labels.

Knows nothing of how likeness is measured.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facings.data.doctor.faults import Findings
from facings.data.doctor.listing import Listed
from facings.data.doctor.pictures import Picture
from facings.data.doctor.twins import near_pairs


def check_leaks(entries: Sequence[Listed], pictures: Mapping[Path, Picture], findings: Findings) -> None:
    """Add identical (same bytes) and near-identical pictures, and label conflicts among the identical."""
    _check_identical(entries, pictures, findings)
    _check_near(entries, pictures, findings)


def check_sequences(entries: Sequence[Listed], findings: Findings) -> None:
    """Add recordings whose frames are in several splits; no picture is opened for it."""
    splits: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for entry in entries:
        if entry.sequence:
            splits[entry.sequence][entry.split] += 1
    for sequence, counts in splits.items():
        if len(counts) > 1:
            shares = ", ".join(f"{count} in {split}" for split, count in counts.items())
            findings.add("leak-sequence", f"recording {sequence}: {shares}", split=" / ".join(counts))


def identical_groups(entries: Sequence[Listed], pictures: Mapping[Path, Picture]) -> list[list[Listed]]:
    """Entries with the same bytes, two or more each."""
    groups: dict[str, list[Listed]] = defaultdict(list)
    for entry in entries:
        if pictures[entry.path].digest:
            groups[pictures[entry.path].digest].append(entry)
    return [group for group in groups.values() if len(group) > 1]


def tested(first: Listed, other: Listed) -> bool:
    """Whether one of two is asked for in an evaluation. A gallery may hold pictures of the training, as it does in a shop."""
    return not first.role or "query" in (first.role, other.role)


def _may_be_twins(first: Listed, other: Listed) -> bool:
    """Two flavours of one brand look alike in small: photos of one product each are twins under one label alone."""
    if first.role and None not in (first.label, other.label) and first.label != other.label:
        return False
    return first.split == other.split or tested(first, other)


def _check_identical(entries: Sequence[Listed], pictures: Mapping[Path, Picture], findings: Findings) -> None:
    for group in identical_groups(entries, pictures):
        first = group[0]
        for other in group[1:]:
            where: dict[str, Any] = {"split": _splits(first, other), "picture": first.path, "other": other.path}
            if other.split != first.split and tested(first, other):
                findings.add("leak-identical", "same bytes", **where)
            elif other.split == first.split and other.path != first.path:
                findings.add("image-identical", "same bytes", **where)
            if None not in (first.label, other.label) and first.label != other.label:
                shown = f"{_counted(first.label)}, and {_counted(other.label)}"
                findings.add("label-conflict", shown if len(shown) < 200 else f"{shown[:200]} …", **where)


def _counted(labels: Sequence[str]) -> str:
    """Labels of one picture in words.

    >>> _counted(("apple", "apple", "pear")), _counted(())
    ('2 apple, pear', 'none')
    """
    counts = Counter(labels)
    return ", ".join(f"{count} {label}" if count > 1 else label for label, count in counts.items()) or "none"


def _check_near(entries: Sequence[Listed], pictures: Mapping[Path, Picture], findings: Findings) -> None:
    """One picture of each set of identical ones stands for all of them in its split."""
    alone = {(pictures[e.path].digest, e.split): e for e in reversed(entries) if pictures[e.path].thumb is not None}
    kept = list(alone.values())
    thumbs = [thumb for e in kept if (thumb := pictures[e.path].thumb) is not None]
    for pair in near_pairs(thumbs):
        first, other = kept[pair.first], kept[pair.second]
        if pictures[first.path].digest == pictures[other.path].digest or not _may_be_twins(first, other):
            continue
        kind = "image-near" if first.split == other.split else "leak-near"
        findings.add(kind, pair.detail, split=_splits(first, other), picture=first.path, other=other.path)


def _splits(first: Listed, other: Listed) -> str:
    return first.split if first.split == other.split else f"{first.split} / {other.split}"
