"""Finished runs side by side, opened for a notebook. Runs that may not be compared are refused. Judges nothing itself."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from facings.analysis.comparison import PicturePair, pair_pictures
from facings.analysis.curves import match_split
from facings.analysis.detection_errors import judge
from facings.benchmark.verdict import Side, Truth
from facings.commands.benchmark_runs import FinishedRun, differences, read_run, read_side, read_truth, refuse_unlike
from facings.commands.compare import named_apart
from facings.commands.opened_run import folders_of
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

    Of a single pattern those are taken that were asked what the newest was. Several patterns name what is to be compared: raises
    ConfigError where that may not be, with the reason; also where no folder fits.
    """
    folders = [folder for pattern in patterns for folder in folders_of(pattern)]
    runs = [read_run(folder) for folder in dict.fromkeys(folders)]
    left_out: list[str] = []
    if len(patterns) == 1:
        # All that a pattern happens to fit: those that were asked something else than the newest are named, not refused.
        newest = runs[-1]
        unlike = {run.folder: differences(newest.asked, run.asked) for run in runs}
        left_out = [f"{run.folder}: {unlike[run.folder][0]}" for run in runs if unlike[run.folder]]
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
    """Pictures whose F1 differs most between the first two sides, each as the first and the second answered it, named so."""
    first, second = (
        [replace(pair, name=f"{pair.name}: {side.name}") for pair in pair_pictures(opened.truth.coco, side.predictions)]
        for side in opened.sides[:2]
    )
    both = list(zip(first, second, strict=True))
    change = [abs(judge(a, score=opened.score).f1 - judge(b, score=opened.score).f1) for a, b in both]
    return [both[place] for place in sorted(range(len(both)), key=lambda place: (-change[place], place))[:most]]
