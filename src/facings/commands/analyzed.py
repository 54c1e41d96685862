"""What an analysis of a run hands on."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from facings.analysis.findings import Finding


@dataclass(frozen=True)
class Analyzed:
    """`kind`: of the run, in words; `findings`: dearest first; `content`: of analysis.json; `sections`: of analysis.md; `files`:
    what was written."""

    kind: str
    findings: tuple[Finding, ...]
    content: dict[str, Any]
    sections: tuple[str, ...]
    files: tuple[Path, ...]


def table_of(head: list[str], rows: list[list[Any]]) -> str:
    """A Markdown table.

    >>> table_of(["a"], [[1]])
    '| a |\\n| --- |\\n| 1 |'
    """
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def pairs_section(pairs: Counter[tuple[str, str]], title: str = "What is taken for what") -> str:
    """Of products and the product whose view is nearest, the ten most frequent."""
    rows = [[first, second, count] for (first, second), count in pairs.most_common(10)]
    return "\n".join([f"## {title}", "", table_of(["is", "nearest view is of", "times"], rows)])


def together(first: Analyzed, second: Analyzed) -> Analyzed:
    """One page of two analyses of a run; kind and findings are the first's."""
    return Analyzed(
        first.kind,
        first.findings,
        first.content | second.content,
        (*first.sections, *second.sections),
        (*first.files, *second.files),
    )
