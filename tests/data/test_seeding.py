from collections import Counter

import albumentations as A
import numpy as np

from facings.data.transforms.seeding import seed_steps


def test_steps_of_one_seed_come_independently_and_again_alike() -> None:
    image = np.arange(4, dtype=np.uint8).reshape(2, 2, 1).repeat(3, axis=2)
    steps = A.Compose([A.HorizontalFlip(p=0.5), A.Sequential([A.VerticalFlip(p=0.5)], p=1.0)])

    def corner(seed: int) -> int:
        seed_steps(steps, seed)
        return int(steps(image=image)["image"][0, 0, 0])

    corners = [corner(seed) for seed in range(400)]
    # Which pixel comes to lie in the corner tells which of the two flips came: four cases, a quarter each.
    assert all(70 < Counter(corners)[case] < 130 for case in range(4))
    assert corners[:20] == [corner(seed) for seed in range(20)]
