"""How many synthetic scenes a core draws in a second, whole: plan, picture, truth, JPEG. Knows nothing of files."""

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from facings.data.synthetic.parameters import Parameters
from facings.data.synthetic.scenes import Scenes
from facings.metrics.bootstrap import bootstrap_interval

METRICS = ("scenes_per_second_per_core",)
# Scenes until nearly all drawings of the goods lie in the process's stock; large sets spend most of their time after them.
WARMUP = 40
CAMERAS = ("front", "overhead", "oblique", "walk_by")


@dataclass(frozen=True)
class SynthesisSpeed:
    """Processor seconds (N,) of N scenes, and how many labelled objects each has."""

    seconds: NDArray[np.float64]
    objects: NDArray[np.int64]

    def figure(self) -> dict[str, float]:
        """Scenes a second of a core's time, with its 95 % bootstrap interval over scenes.

        >>> SynthesisSpeed(np.full(3, 0.25), np.full(3, 60)).figure()
        {'value': 4.0, 'low': 4.0, 'high': 4.0}
        """
        low, high = bootstrap_interval(lambda index: float(1 / self.seconds[index].mean()), len(self.seconds))
        return {"value": float(1 / self.seconds.mean()), "low": low, "high": high}


def parameters(*, size: int, products: int, calibrated: bool, seed: int) -> Parameters:
    """A set of square frames of `size` pixels for which walls of about `products` pieces in view are planned."""
    flat = Parameters(
        train_scenes=1_000_000,
        val_scenes=1,
        products=48,
        produce_share=0.3,
        new_share=0.0,
        image_size=size,
        misplaced=0.02,
        gaps=0.06,
        min_visibility=0.3,
        query_visibility=0.6,
        enrol_photos=0,
        crops_per_product=2,
        queries_per_product=1,
        seed=seed,
        products_per_scene=(products,),
    )
    return replace(flat, cameras=CAMERAS) if calibrated else flat


def measure(
    asked: Parameters, *, scenes: int, warmup: int = WARMUP, advance: Callable[[], None] = lambda: None
) -> SynthesisSpeed:
    """Draw `scenes` scenes on one thread, after `warmup` for the drawings of goods, which a process makes once.

    Processor time, not the clock's: other programs take their turns without being counted.
    """
    source = Scenes(asked, "train")
    seconds, objects = [], []
    for index in range(warmup + scenes):
        began = time.process_time()
        frame = source.frame(index)
        if index >= warmup:
            seconds.append(time.process_time() - began)
            objects.append(len(frame.objects))
            advance()
    return SynthesisSpeed(np.array(seconds), np.array(objects, np.int64))
