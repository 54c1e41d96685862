"""Whether a camera's pictures changed between the last week and the one before. Judges no answer."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from facings.analysis.drift_between import picture_statistics, statistics_drift, two_weeks
from facings.commands.analyzed import table_of
from facings.runtime.images import read_image
from facings.spreading import evenly

# Pictures of a week that are looked at, spread over it, and with fewer of which nothing is said.
SAMPLED, LEAST = 40, 5
# A p-value below this is called a change.
LEVEL = 0.01
Shot = tuple[Path, str | None, datetime | None]


def camera_drift(shots: Sequence[Shot]) -> list[dict[str, Any]]:
    """A row a camera that has `LEAST` pictures or more in each of two weeks: `camera`, `before`, `after` (numbers of pictures), and
    `statistics`, see `statistics_drift`. `shots`: path, camera and moment of each picture; those without either are left out.

    Raises DataError for a damaged picture.
    """
    cameras: dict[str, list[tuple[datetime, Path]]] = {}
    for path, camera, moment in shots:
        if camera is not None and moment is not None:
            # By the camera's own clock: moments with and without a zone cannot be compared.
            cameras.setdefault(camera, []).append((moment.replace(tzinfo=None), path))
    rows = []
    for camera, own in sorted(cameras.items()):
        weeks = [[own[place][1] for place in week] for week in two_weeks([moment for moment, _ in own])]
        if min(map(len, weeks)) < LEAST:
            continue
        taken = [[picture_statistics(read_image(path)) for path in evenly(week, SAMPLED)] for week in weeks]
        found = [asdict(entry) for entry in statistics_drift(*taken)]
        rows.append({"camera": camera, "before": len(weeks[0]), "after": len(weeks[1]), "statistics": found})
    return rows


def drift_section(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Of the page: nothing where no camera has two weeks."""
    if not rows:
        return []
    lines = []
    for row in rows:
        changed = [entry for entry in row["statistics"] if entry["p_value"] < LEVEL]
        told = "; ".join(f"{e['name']} {e['before']:.3g} → {e['after']:.3g} (p = {e['p_value']:.3f})" for e in changed)
        lines.append([row["camera"], row["before"], row["after"], told or "nothing shown"])
    words = (
        "Where something changed: clean the lens, look at the light, and calibrate anew before the rates are believed."
    )
    head = ["camera", "pictures before", "after", "what changed"]
    return ["\n".join(["## Cameras: the last week against the one before", "", table_of(head, lines), "", words])]
