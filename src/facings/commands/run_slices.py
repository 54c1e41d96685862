"""How accurate a finished run was on parts of its test split, for the papers of a bundle. Reads what the run wrote."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from facings.commands.detection_details import FILE as DETAILS
from facings.commands.retrieval_details import FILE as RETRIEVAL
from facings.errors import DataError

# Products that a card names: those found worst.
WORST = 10
SHOWN = ("ap", "ap50", "recall50")


def run_slices(folder: Path) -> list[dict[str, Any]]:
    """Rows `by`, `slice`, `objects` and figures (0–1, null without a value): of a detector by crowding, gap, size and blur, of
    an embedder by level of the category tree and the ten worst products; none where the run wrote no such file.

    Raises DataError for a file that is not what a run writes.
    """
    for name, rows in ((DETAILS, _of_detector), (RETRIEVAL, _of_embedder)):
        path = folder / name
        if not path.is_file():
            continue
        try:
            return rows(json.loads(path.read_text(encoding="utf-8")))
        except (ValueError, TypeError, KeyError, AttributeError) as fault:
            raise DataError(f"{path}: not what a run writes ({type(fault).__name__}: {fault})") from fault
    return []


def _of_detector(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [
        {"by": f"{kind}: {by}", "slice": str(row["slice"]), "objects": int(row["objects"])} | {k: row[k] for k in SHOWN}
        for kind, parts in content.items()
        for by, rows in parts["slices"].items()
        for row in rows
    ]


def _of_embedder(content: Mapping[str, Any]) -> list[dict[str, Any]]:
    levels = content.get("levels") or []
    tree, queries = "level of the category tree", int(content["queries"])
    rows = [
        {"by": tree, "slice": f"{number} of {len(levels)}", "objects": queries, "r1": level["r1"]}
        for number, level in enumerate(levels, start=1)
    ]
    asked = [(name, one) for name, one in content["classes"].items() if one["queries"]]
    worst = sorted(asked, key=lambda pair: (pair[1]["r1"], pair[0]))[:WORST]
    by = f"product, the {len(worst)} worst of {len(asked)}"
    return rows + [{"by": by, "slice": name, "objects": int(one["queries"]), "r1": one["r1"]} for name, one in worst]
