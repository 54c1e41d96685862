"""What an analysis of a run hands on."""

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
