"""Fixtures that every room uses: tiny pictures and tables, made fresh."""

import importlib.util
import shutil
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from facings.commands.composition import compose_verb
from facings.commands.export import run as export
from facings.commands.train import run as train
from facings.data.synthetic.dataset import Parameters, synthesize
from facings.files import sha256

SCRIPTS = Path(__file__).resolve().parents[1] / "scripts"
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


def load_script(name: str) -> ModuleType:
    """`scripts/NAME.py` as a module; its `main` is not run."""
    spec = importlib.util.spec_from_file_location(f"{name}_script", SCRIPTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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


@dataclass(frozen=True)
class TinyShop:
    """The whole chain in miniature: data made, two models trained for a moment, one bundle."""

    data: Path
    detector: Path
    embedder: Path
    bundle: Path

    @property
    def frames(self) -> list[Path]:
        return sorted((self.data / "images" / "val").glob("*.jpg"))


TINY_DETECTOR = (
    "experiment=detection/quickstart", "model=detector/nano", "image_size=128", "trainer.max_epochs=2", "data.batch_size=4",
    "trainer.check_val_every_n_epoch=1", "trainer.enable_progress_bar=false", "callbacks.progress=null", "logger=csv",
)  # fmt: skip
TINY_EMBEDDER = (
    "experiment=reid/quickstart", "model=embedder/small", "model.dimension=32", "image_size=64", "trainer.max_epochs=1",
    "trainer.limit_train_batches=3", "trainer.check_val_every_n_epoch=1", "data.products_per_batch=4", "data.views_per_product=2",
    "trainer.enable_progress_bar=false", "callbacks.progress=null", "logger=csv",
)  # fmt: skip


def contents(folder: Path) -> dict[str, str]:
    """File below `folder` → its checksum."""
    return {p.relative_to(folder).as_posix(): sha256(p) for p in sorted(folder.rglob("*")) if p.is_file()}


def tiny_parameters(**changes: object) -> Parameters:
    """A synthetic set that is made in seconds."""
    values = {
        "train_scenes": 8, "val_scenes": 3, "products": 8, "produce_share": 0.5, "new_share": 0.25, "image_size": 160,
        "misplaced": 0.02, "gaps": 0.06, "min_visibility": 0.3, "query_visibility": 0.6, "enrol_photos": 2,
        "crops_per_product": 12, "queries_per_product": 4, "seed": 0,
    }  # fmt: skip
    return Parameters(**(values | changes))  # type: ignore[arg-type]


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data folder that holds the synthetic set `quickstart`, small."""
    home = tmp_path_factory.mktemp("data")
    synthesize(home / "synthetic" / "quickstart", tiny_parameters())
    return home


@pytest.fixture(scope="session")
def tiny_shop(tmp_path_factory: pytest.TempPathFactory, tiny_data: Path) -> TinyShop:
    """Trained by Lightning, exported by torch, run by ONNX Runtime: real, only small."""
    home = tmp_path_factory.mktemp("tiny-shop")
    checkpoints = {}
    for role, words in (("detector", TINY_DETECTOR), ("embedder", TINY_EMBEDDER)):
        cfg = compose_verb("train", [*words, f"paths.data_dir={tiny_data}"], output_dir=home / role)
        train(cfg)
        checkpoints[role] = home / role / "checkpoints" / "best.ckpt"
    data = tiny_data / "synthetic" / "quickstart"
    words = export_words(data, checkpoints["detector"], checkpoints["embedder"], home)
    bundle = export(compose_verb("export", words, output_dir=home / "export"))
    return TinyShop(data, checkpoints["detector"], checkpoints["embedder"], bundle)


def export_words(data: Path, detector: Path | None, embedder: Path | None, output: Path) -> list[str]:
    """Overrides that export the tiny shop's models to `output`/tiny-1."""
    words = ["name=tiny", "version=1", f"output={output}", f"parity.images={data / 'images' / 'val'}", "golden.count=2"]
    words += [f"taxonomy={data / 'taxonomy.json'}", "latency.images=1", "parity.count=3"]
    words += [f"detector={detector}"] if detector else []
    if embedder:
        table = data / "recognition.csv"
        words += [f"embedder={embedder}", f"gallery.table={table}", "gallery.split=val", f"calibration.table={table}"]
    return words


@pytest.fixture
def own_bundle(tiny_shop: TinyShop, tmp_path: Path) -> Path:
    """A copy of the tiny bundle that a test may damage."""
    return Path(shutil.copytree(tiny_shop.bundle, tmp_path / "own" / tiny_shop.bundle.name))
