"""What changed against the last run of `facings benchmark`: the newest finished one in the folder beside this one."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from facings.benchmark.frames import Data
from facings.benchmark.judged import Answer
from facings.benchmark.verdict import Side, Truth, verdicts
from facings.commands.benchmark_runs import differences, of_benchmark, read_run, read_side
from facings.commands.compare import notes_of
from facings.commands.run_verdicts import judge
from facings.errors import FacingsError

# Figures of a verdict in the words of the page.
WORDS = {
    "identification_r1": "Product right at a true box (R@1)",
    "recognition_r1": "Product right of a single crop (R@1)",
    "ap": "Detection AP",
    "ap50": "Detection AP50",
    "f1": "End-to-end F1, of all products",
    "cacc": "Frames whose whole list is right (cAcc)",
    "acd": "Wrong counts a frame (ACD, less is better)",
}


def against_last_run(
    folder: Path,
    content: Mapping[str, Any],
    config: Mapping[str, Any],
    data: Data,
    answers: Sequence[Answer],
    results: Sequence[Mapping[str, Any]],
    place: str = ".",
) -> dict[str, Any] | None:
    """`run`, the last one's name, with its `bundle`, the `figures` of the verdict (this run minus that one), of how many `pictures`
    they are, and `notes`; or with the reasons why it was `refused`. None where there is no last run, or this one has no answers.

    `content`, `config`: of this run, as it is going to write them; `results`: its COCO results; `place`: its folder, seen from
    that of a list's run which holds it. Answers about crops are read from the folder, where they lie already.
    """
    before = last_run(folder, place)
    if before is None or all(
        content[part] is None for part in ("detection", "end_to_end", "identification", "recognition")
    ):
        return None
    told: dict[str, Any] = {"run": before.relative_to(_home(folder, place)).parts[0], "refused": []}
    seed = int(content["seed"])
    try:
        earlier, own = read_run(before), of_benchmark(folder, content, config)
        if reasons := differences(earlier.asked, own.asked):
            return told | {"refused": reasons}
        if own.of == ("crops",):
            found, pictures = judge([earlier, own], seed=seed)
        else:
            frames = [answer.frame for answer in answers]
            pictures = len(frames)
            truth = Truth(data.ground_truth(), [frame.boxes for frame in frames], [frame.products for frame in frames])
            decisions = [answer.decision for answer in answers]
            named = any(decision.gallery_version for decision in decisions)
            sides = [read_side(earlier, truth), Side(own.name, results, decisions if named else None)]
            found = verdicts(truth, sides, of=own.of, seed=seed)
    except FacingsError as fault:
        return told | {"refused": [str(fault)]}
    figures = [
        {"figure": WORDS[verdict.figure], **asdict(verdict.difference), "p": verdict.p, "winner": verdict.winner}
        for verdict in found
    ]
    notes = notes_of([earlier, own], pictures)
    return told | {"bundle": earlier.name.rsplit(" (", 1)[0], "figures": figures, "pictures": pictures, "notes": notes}


def last_run(folder: Path, place: str = ".") -> Path | None:
    """The run folder beside this one whose `benchmark.json` was written last; None where there is none. Of a list's run: that at
    the same `place` in the lists' runs beside this one."""
    finished = [path for path in _home(folder, place).glob(f"*/{place}/benchmark.json") if path.parent != folder]
    return max(finished, key=lambda path: path.stat().st_mtime).parent if finished else None


def _home(folder: Path, place: str) -> Path:
    """The folder of runs that this one, or the list's run which holds it, lies in."""
    return folder.parents[len(Path(place).parts)]
