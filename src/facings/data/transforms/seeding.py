"""Random numbers for the steps of an augmentation. Knows nothing of what the steps do."""

import random

import albumentations as A
import numpy as np


def seed_steps(steps: A.BaseCompose, seed: int | None) -> None:
    """Give each step, and each step within it, numbers of its own, all from one seed. None: from the operating system.

    albumentations 2.0.8's `Compose.set_random_seed` seeds every step alike, so that all see the same first number: of two steps
    with a chance of 0.5 each, both come or neither.
    """
    _spread(steps, np.random.SeedSequence(seed))


def _spread(step: A.BasicTransform | A.BaseCompose, sequence: np.random.SeedSequence) -> None:
    own = int(sequence.generate_state(1)[0])
    if not isinstance(step, A.BaseCompose):
        step.set_random_seed(own)
        return
    step.seed, step.random_generator, step.py_random = own, np.random.default_rng(own), random.Random(own)
    for inner, numbers in zip(step.transforms, sequence.spawn(len(step.transforms)), strict=True):
        _spread(inner, numbers)
