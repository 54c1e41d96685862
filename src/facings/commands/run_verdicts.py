"""Finished runs that were asked the same, held against the first of them by what their protocol is about. Prints nothing."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.crops import CROPS
from facings.benchmark.identified import IDENTIFIED
from facings.benchmark.verdict import REPEATS, Verdict, rank_verdicts, verdicts
from facings.commands.benchmark_runs import FinishedRun, read_side, read_truth
from facings.errors import ConfigError, DataError

# The file of a run of protocol=recognition → its figure.
RANKED = {IDENTIFIED: "identification_r1", CROPS: "recognition_r1"}


def judge(
    runs: Sequence[FinishedRun], *, annotations: Path | None = None, seed: int = 0, repeats: int = REPEATS
) -> tuple[list[Verdict], int]:
    """The verdicts, and of how many pictures they are. `annotations`: where the truth lies now, if it was moved.

    Raises ConfigError for runs without a figure in common, and as `read_truth`; DataError for damaged answers.
    """
    of = runs[0].of
    if of == ("crops",):
        sides = {run.name: read_ranks(run) for run in runs}
        shapes = [{figure: [len(right) for right in own] for figure, own in side.items()} for side in sides.values()]
        for run, shape in zip(runs, shapes, strict=True):
            if shape != shapes[0]:
                raise DataError(
                    f"{run.folder}: holds other crops than {runs[0].folder}, though both were asked the same"
                )
        pictures = sum(len(own) for own in shapes[0].values())
        found = rank_verdicts(sides, seed=seed, repeats=repeats)
    else:
        truth = read_truth(runs[0], annotations)
        pictures = len(truth.boxes)
        found = verdicts(truth, [read_side(run, truth) for run in runs], of=of, seed=seed, repeats=repeats)
    if not found:
        raise ConfigError(
            f"{runs[0].folder}: knows no product of its pictures, so there is nothing to compare names by"
        )
    return found, pictures


def read_ranks(run: FinishedRun) -> dict[str, list[NDArray[np.bool_]]]:
    """Figure → for each picture whether each of its crops was named right. A crop whose product is not enrolled counts as wrong,
    so that all bundles are asked the same. Raises DataError for damaged files and where there is none."""
    found = {}
    for file, figure in RANKED.items():
        path = run.folder / file
        if path.is_file() and (pictures := _by_picture(path)):
            found[figure] = [np.array(ranks) == 0 for ranks in pictures]
    if not found:
        raise DataError(f"{run.folder}: holds neither {' nor '.join(RANKED)} with a crop in it; did the run finish?")
    return found


def _by_picture(path: Path) -> list[list[int]]:
    """Ranks, picture by picture in the order of their first line."""
    pictures: dict[Any, list[int]] = {}
    for number, text in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            line = json.loads(text)
            ranks = line["ranks"] if path.name == IDENTIFIED else [line["rank"]]
            pictures.setdefault((line.get("image_id"), line["image"]), []).extend(int(rank) for rank in ranks)
        except (ValueError, TypeError, KeyError, AttributeError) as fault:
            raise DataError(
                f"{path}, line {number}: not what a run writes ({type(fault).__name__}: {fault})"
            ) from fault
    return [ranks for ranks in pictures.values()] if any(pictures.values()) else []
