"""One frame, what was said of it, and who is right; what accuracy and product figures are made from. Knows no bundle."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from facings.benchmark.frames import Frame
from facings.metrics.end_to_end import FrameOutcome
from facings.structures import Decision, Detections


@dataclass(frozen=True)
class Answer:
    """What a bundle said of one frame.

    `detections`: all of them, without threshold; `outcome`: None without a gallery; `ranks` (N,) int64: for each true
    box the place of its product among the nearest items (0 is first, -1 not among them, -2 not enrolled or not
    annotated); `nearest`: the nearest item of each true box.
    """

    frame: Frame
    decision: Decision
    detections: Detections
    outcome: FrameOutcome | None
    ranks: NDArray[np.int64]
    nearest: tuple[str, ...]
