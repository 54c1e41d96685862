"""Finished runs side by side, opened for a notebook. Runs that may not be compared are refused. Judges nothing itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from facings.analysis.comparison import PicturePair, pair_pictures
from facings.analysis.curves import match_split
from facings.analysis.detection_errors import judge
from facings.benchmark.verdict import Side, Truth
from facings.commands.benchmark_runs import FinishedRun, differences, read_run, read_side, read_truth, refuse_unlike
from facings.commands.compare import named_apart
from facings.commands.opened_run import folders_of
from facings.errors import FacingsError
from facings.structures import Decision


@dataclass(frozen=True)
class OpenedSides:
    """`sides` of the same `truth`, the first is what others are held against; `runs`: one each, but one alone where the second
    side is made from the first; `score`: of best F1 of the first, to draw pictures at; `left_out`: runs that were asked something
    else, with what."""

    runs: list[FinishedRun]
    sides: list[Side]
    truth: Truth
    score: float
    left_out: tuple[str, ...] = ()


def open_sides(patterns: Sequence[str], *, stricter: float = 0.5) -> OpenedSides:
    """The runs that the patterns name, by name. One alone is held against itself without its boxes below a score of `stricter`.

    Of a single pattern those are taken that are finished and were asked what the newest of them was. Several patterns name what
    is to be compared: raises ConfigError where that may not be, with the reason; also where no folder fits.
    """
    folders = list(dict.fromkeys(folder for pattern in patterns for folder in folders_of(pattern)))
    left_out: list[str] = []
    # All that one pattern happens to fit: what cannot be compared is named, not refused.
    runs = _readable(folders, left_out) if len(patterns) == 1 else [read_run(folder) for folder in folders]
    if len(patterns) == 1:
        newest = runs[-1]
        unlike = {run.folder: differences(newest.asked, run.asked) for run in runs}
        left_out += [f"{run.folder}: {unlike[run.folder][0]}" for run in runs if unlike[run.folder]]
        runs = [run for run in runs if not unlike[run.folder]]
    elif len(runs) > 1:
        refuse_unlike(runs)
    runs = named_apart(runs)
    truth = read_truth(runs[0])
    sides = [read_side(run, truth) for run in runs]
    if len(sides) == 1:
        sides.append(without_unsure(sides[0], stricter))
    best = match_split(truth.coco, sides[0].predictions).best().threshold
    return OpenedSides(runs, sides, truth, best if best == best else stricter, tuple(left_out))


def _readable(folders: Sequence[Path], left_out: list[str]) -> list[FinishedRun]:
    """The finished ones; why the others are not is added to `left_out`. Raises what the last one raises where none is."""
    runs = []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except FacingsError as fault:
            if not runs and folder == folders[-1]:
                raise
            left_out.append(str(fault))
    return runs


def without_unsure(side: Side, score: float) -> Side:
    """The same answers, those of a detection score below `score` left out."""
    kept = [prediction for prediction in side.predictions if float(prediction["score"]) >= score]
    decisions: list[Decision] | None = None
    if side.decisions is not None:
        decisions = [
            replace(decision, items=tuple(item for item in decision.items if item.detection_score >= score))
            for decision in side.decisions
        ]
    return Side(f"the same, score {score:g} or more", kept, decisions)


def most_changed(opened: OpenedSides, most: int) -> list[tuple[PicturePair, PicturePair]]:
    """Pictures whose F1 of boxes differs most between the first two sides, each as the first and the second answered it, named so;
    those in which it is the same are left out."""
    first, second = (
        [replace(pair, name=f"{pair.name}: {side.name}") for pair in pair_pictures(opened.truth.coco, side.predictions)]
        for side in opened.sides[:2]
    )
    both = list(zip(first, second, strict=True))
    change = [abs(judge(a, score=opened.score).f1 - judge(b, score=opened.score).f1) for a, b in both]
    ranked = sorted(range(len(both)), key=lambda place: (-change[place], place))
    return [both[place] for place in ranked[:most] if change[place] > 0]
