"""Whether a set's licence allows a use. Words are matched, nothing is advised: the owner's text decides. Knows no data."""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

from facings.data.doctor.faults import Findings
from facings.data.doctor.sources import SYNTHETIC, Dataset, key

Use = Literal["research", "commercial"]
Allowed = Literal["yes", "no", "ask"]
FORBIDS = re.compile(
    r"non-?\s?commercial|\bby-nc\b|\bcc.?by.?nc\b|academic (use|purposes?) only|research (use|purposes?) only|no commercial",
    re.I,
)
ALLOWS = re.compile(
    r"\bMIT\b|permission is hereby granted, free of charge|apache license|\bapache-2|\bBSD\b|redistribution and use in source"
    r"|\bCC0\b|public domain|\bCC[ -]BY(-SA)?[ -]?[1-4]|creative commons attribution( |-)?(share ?alike|4|3|2|international)",
    re.I,
)


@dataclass(frozen=True)
class Verdict:
    """`allowed`: whether a model trained on the set may be sold; `licence`: the words that say so."""

    licence: str
    allowed: Allowed


def verdict(dataset: Dataset) -> Verdict:
    """What the card says, else the folder's licence file, else the licences in the COCO files."""
    if dataset.card is not None:
        return Verdict(dataset.card.licence, dataset.card.commercial)
    stated = dataset.licence.strip() or "; ".join(_stated(dataset))
    if not stated.strip():
        return Verdict("none stated", "ask")
    first = next(line.strip() for line in stated.splitlines() if line.strip())
    return Verdict(first[:200], read_licence(stated))


def read_licence(text: str) -> Allowed:
    """What a licence's words say of commercial use; "ask" where they say nothing that is known.

    >>> read_licence("CC BY-NC-SA 4.0"), read_licence("MIT License"), read_licence("for testing")
    ('no', 'yes', 'ask')
    """
    if FORBIDS.search(text):
        return "no"
    return "yes" if text == SYNTHETIC or ALLOWS.search(text) else "ask"


def check_licences(dataset: Dataset, findings: Findings, *, use: Use) -> None:
    """Add where the set, or single pictures of it, must not be used so. Research is let pass; what may not be sold is told."""
    found = verdict(dataset)
    if use != "commercial":
        if found.allowed == "no":
            findings.add("licence-no-sale", f"{dataset.name}: {found.licence}")
        return
    if found.allowed != "yes":
        kind = "licence-forbids" if found.allowed == "no" else "licence-unclear"
        findings.add(kind, f"{dataset.name}: {found.licence}")
    for split in dataset.splits:
        licences = {key(record.get("id")): _words(record) for record in _licences(split.content)}
        counts = Counter(key(r.get("license")) for r in split.images if key(r.get("license")) in licences)
        for identifier, count in counts.items():
            if read_licence(licences[identifier]) == "no":
                findings.add("licence-forbids", f"{count} pictures under {licences[identifier]}", split=split.name)


def _licences(content: object) -> list[dict[str, object]]:
    listed = content.get("licenses") if isinstance(content, dict) else None
    return [record for record in listed or [] if isinstance(record, dict)] if isinstance(listed, list) else []


def _words(record: dict[str, object]) -> str:
    # The addresses of Creative Commons name the licence too: …/licenses/by-nc/2.0/
    return " ".join(str(record.get(name) or "") for name in ("name", "url")).strip()


def _stated(dataset: Dataset) -> list[str]:
    return list(dict.fromkeys(_words(record) for split in dataset.splits for record in _licences(split.content)))
