"""Fixtures that every room uses: tiny pictures and tables, made fresh."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

SHARED = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture
def shared_data() -> Path:
    """Real pictures beside the checkout; tests that want them are skipped where they are not."""
    if not SHARED.is_dir():
        pytest.skip("real pictures are not beside this checkout (shared/data)")
    return SHARED


def colour_picture(colour: tuple[int, int, int], rng: np.random.Generator, size: int = 48) -> NDArray[np.uint8]:
    """A noisy picture around one colour: products that a tiny model can tell apart."""
    noise = rng.normal(0, 12, (size, size, 3))
    return np.clip(np.array(colour) + noise, 0, 255).astype(np.uint8)


PALETTE = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200), "yellow": (220, 210, 40)}


@pytest.fixture
def colour_table(tmp_path: Path, rng: np.random.Generator) -> Path:
    """A recognition table of four products by colour: 6 training, 2 gallery and 3 query pictures each."""
    lines = ["path,product_id,split,role,category,box,camera_id"]
    folder = tmp_path / "colours"
    folder.mkdir()
    for name, colour in PALETTE.items():
        warm = "Warm" if name in ("red", "yellow") else "Cold"
        for split, role, count in (("train", "train", 6), ("val", "gallery", 2), ("val", "query", 3)):
            for number in range(count):
                file = f"{name}_{role}_{number}.png"
                Image.fromarray(colour_picture(colour, rng)).save(folder / file)
                lines.append(f"{file},{name},{split},{role},{warm},,")
    path = folder / "recognition.csv"
    path.write_text("\n".join(lines) + "\n")
    return path
