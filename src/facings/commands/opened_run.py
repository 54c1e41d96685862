"""A finished run, opened for a notebook: what was asked, what was answered, what is true. Draws and judges nothing."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from omegaconf import OmegaConf

from facings.analysis.comparison import Kind, PicturePair, has_masks, pair_pictures
from facings.analysis.confusions import AnsweredFrame
from facings.benchmark.turnover_data import Embeddings, embed_rows
from facings.commands.analyze_chain import answered_frames, catalogue, read_decisions, read_summary, refuse_no_detector
from facings.commands.asked_pictures import asked_pictures
from facings.commands.inspect import read_predictions, read_run
from facings.commands.named_truth import named_truth
from facings.data.coco import CocoTable
from facings.data.doctor.sources import Dataset, find_card, licence_text, open_dataset, read_raw
from facings.data.tables import RecognitionRow, read_recognition_table
from facings.errors import ConfigError, DataError
from facings.runtime.bundle import Bundle
from facings.runtime.conformal import Reference
from facings.runtime.decision import bundle_standard
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from facings.runtime.standard import item_lead

NOT_GIVEN = {"annotations": None, "images": None, "class_agnostic": None}


def project_home() -> Path:
    """Where relative paths of a run's configuration start: the nearest folder upwards that holds `pyproject.toml`, else here."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "pyproject.toml").is_file()), here)


def folders_of(pattern: str) -> list[Path]:
    """The folder of that name, or those that fit a pattern such as `logs/quickstart/*/benchmark`, by name: run folders are named
    by time, so that the newest comes last.

    Raises ConfigError where there is none.
    """
    path = Path(pattern)
    if path.is_dir():
        return [path]
    found = sorted(p for p in Path(path.anchor).glob(str(path.relative_to(path.anchor))) if p.is_dir())
    if not found:
        raise ConfigError(
            f"{pattern}: no such folder; run `make quickstart` first, or set FACINGS_RUN=FOLDER of a finished run"
        )
    return found


def newest(pattern: str) -> Path:
    """The last of `folders_of`."""
    return folders_of(pattern)[-1]


@dataclass(frozen=True)
class DetectorRun:
    """Any run that left predictions: of train, evaluate, or benchmark."""

    folder: Path
    table: CocoTable
    truth: Mapping[str, Any]
    predictions: list[dict[str, Any]]

    @cached_property
    def kinds(self) -> tuple[Kind, ...]:
        """What can be laid over each other."""
        return ("boxes", "masks") if has_masks(self.truth, self.predictions) else ("boxes",)

    @cached_property
    def pairs(self) -> list[PicturePair]:
        """Truth and detections picture by picture."""
        return pair_pictures(self.truth, self.predictions)

    def read(self, picture: Any) -> NDArray[np.uint8]:
        """Pixels (H, W, 3) of a picture: its id, its file's name, or what was judged of it."""
        asked = picture.pair.image_id if hasattr(picture, "pair") else picture
        return read_image(next(i.path for i in self.table.images if asked in (i.image_id, i.path.name)))


def open_detector(folder: Path, *, outlined: bool = False) -> DetectorRun:
    """Raises ConfigError or DataError as `facings inspect` does; `outlined`: also where no object has an outline."""
    config = read_run(folder)
    predictions = read_predictions(folder, None)
    table, agnostic = asked_pictures(OmegaConf.create(NOT_GIVEN), config, folder, predictions)
    if outlined and not table.outlined:
        raise ConfigError(
            f"{folder}: no object of {table.source} has an outline, so there is nothing to hold masks against; give a run on a set "
            "with segmentation (data/README.md)"
        )
    if agnostic:
        predictions = [{**prediction, "category_id": 1} for prediction in predictions]
    return DetectorRun(folder, table, named_truth(table), predictions)


@dataclass(frozen=True)
class BenchmarkRun:
    """A run of `facings benchmark protocol=frames`. `content`: its benchmark.json."""

    folder: Path
    table: CocoTable
    content: Mapping[str, Any]
    config: Mapping[str, Any]

    def read(self, name: str) -> NDArray[np.uint8]:
        """Pixels (H, W, 3) of a picture, as `AnsweredFrame.picture` names it."""
        return read_image(Path(name))

    def bundle(self) -> Bundle:
        """Raises BundleError where it is gone or damaged."""
        return Bundle.open(str(self.config["bundle"]))


@dataclass(frozen=True)
class ChainRun(BenchmarkRun):
    """One whose bundle names products. `enrolled`: products, None where the bundle is not there; `categories`: product → path from
    coarse to fine."""

    frames: list[AnsweredFrame]
    enrolled: frozenset[str] | None
    categories: Mapping[str, tuple[str, ...]]


def open_benchmark(folder: Path) -> BenchmarkRun:
    """Raises ConfigError for another kind of run and one that was asked about no frames, DataError for damaged files."""
    config = read_run(folder)
    if not (folder / "decisions.jsonl").is_file() or not (folder / "benchmark.json").is_file():
        raise ConfigError(
            f"{folder}: holds no decisions.jsonl and benchmark.json; give a run of facings benchmark protocol=frames"
        )
    if not (folder / "decisions.jsonl").stat().st_size:
        raise ConfigError(
            f"{folder}: was asked about no frames, only about crops; give data.annotations to facings benchmark"
        )
    table, _ = asked_pictures(OmegaConf.create(NOT_GIVEN), config, folder, ())
    return BenchmarkRun(folder, table, read_summary(folder), config)


def open_chain(folder: Path) -> ChainRun:
    """Raises what `open_benchmark` does, ConfigError for a run whose bundle has no gallery, BundleError or GalleryError for a
    damaged bundle."""
    run, path = open_benchmark(folder), folder / "decisions.jsonl"
    refuse_no_detector(folder)
    decisions = read_decisions(path)
    if not any(decision.gallery_version for _, decision in decisions):
        raise ConfigError(
            f"{folder}: its bundle has no gallery, so that nothing is named; 02_detection_errors looks at boxes"
        )
    unknown = frozenset(str(name) for name in (run.config.get("data") or {}).get("unknown_products") or ())
    enrolled, categories = catalogue(run.config.get("bundle"), decisions, run.table)
    frames = answered_frames(path, decisions, run.table, unknown=unknown, enrolled=enrolled, categories=categories)
    return ChainRun(folder, run.table, run.content, run.config, frames, enrolled, categories)


@dataclass(frozen=True)
class Crops:
    """The crops of a recognition table, embedded by a bundle: `rows` in the order of `data`, whose `enrol` marks gallery photos."""

    rows: tuple[RecognitionRow, ...]
    data: Embeddings

    @cached_property
    def products(self) -> tuple[str, ...]:
        return tuple(sorted({row.product_id for row in self.rows}))

    def side(self, *, enrol: bool) -> tuple[NDArray[np.float32], NDArray[np.int64], list[RecognitionRow]]:
        """Vectors (N, D), the place of each one's product in `products`, and its row: of gallery photos, or of queries."""
        chosen = np.flatnonzero(self.data.enrol == enrol)
        number = {product: place for place, product in enumerate(self.products)}
        rows = [self.rows[place] for place in chosen.tolist()]
        return self.data.vectors[chosen], np.array([number[row.product_id] for row in rows], np.int64), rows


def embed_crops(run: ChainRun, *, most: int = 1500) -> Crops:
    """Gallery photos and queries of the run's recognition table, by its bundle through ONNX Runtime; of more than `most` queries
    every n-th. Raises ConfigError for a run that was asked about no table, DataError for a table without gallery photos."""
    asked = run.config.get("recognition") or {}
    if not asked.get("table"):
        raise ConfigError(
            f"{run.folder}: was asked about no recognition.table, which names crops to embed; benchmark the bundle again with "
            "recognition.table=FILE.csv"
        )
    return embed_table(run.bundle(), asked, most=most)


def embed_table(bundle: Bundle, asked: Mapping[str, Any], *, most: int = 1500) -> Crops:
    """As `embed_crops`; `asked`: `table`, and the `split` and `role` of its queries (None: any)."""
    table = read_recognition_table(Path(str(asked["table"])))
    gallery = table.select(role="gallery")
    # Photos to enrol may stand in the split that is asked, or in one of their own.
    gallery = tuple(row for row in gallery if row.split == asked.get("split")) or gallery
    queries = table.select(split=asked.get("split"), role=asked.get("role"))
    rows = (*gallery, *queries[:: -(-len(queries) // most)])
    data = embed_rows(Recognizer(bundle), rows)
    enrol = np.array([row.role == "gallery" for row in rows])
    return Crops(rows, Embeddings(data.vectors, data.product, enrol, data.categories))


@dataclass(frozen=True)
class AcceptRule:
    """How a bundle tells that a crop is of an enrolled product: where `sure` of it is `threshold` or more (inf: never), so that of
    goods that are not enrolled it takes a share of `false_accept`, 0–1. `measure`: what is weighed, in words; `margin`: how much
    the lead over the next product counts beside the similarity."""

    false_accept: float
    threshold: float
    measure: str
    margin: float

    def sure(self, first: ArrayLike, second: ArrayLike) -> NDArray[np.float64]:
        """Of crops whose nearest product has a similarity of `first`, the next one of `second`."""
        return item_lead(first, second, self.margin) if self.margin else np.asarray(first, np.float64)

    def __str__(self) -> str:
        accepts = (
            f"a {self.measure} of {self.threshold:.3f} or more" if np.isfinite(self.threshold) else "no crop at all"
        )
        return f"is to take at most {self.false_accept:.0%} of goods that are not enrolled for one that is: it accepts {accepts}"


def accept_rule(bundle: Bundle) -> AcceptRule:
    """The rule in force in the bundle's gallery: of its standard, or of the plain threshold. Raises BundleError or GalleryError."""
    gallery = bundle.gallery()
    standard = bundle_standard(bundle, gallery)
    if standard is not None:
        rate, margin, beyond = standard.rates.false_accept, standard.rates.margin, standard.thresholds["lead"]
        words = f"lead (similarity + {margin:g} × what it has before the next product)"
    else:
        scores = gallery.calibration_scores
        rate, margin, words = bundle.postprocess.false_accept_rate, 0.0, "similarity"
        beyond = Reference.of(scores, [None] * len(scores), unit="views").threshold(rate)
    return AcceptRule(rate, float(np.nextafter(beyond, np.inf)), words, margin)


def embedder_of(bundle: Bundle) -> Callable[[Sequence[NDArray[np.uint8]]], NDArray[np.float32]]:
    """What embeds crops (H, W, 3) uint8 → (N, D) by a bundle, through ONNX Runtime."""
    recognizer = Recognizer(bundle)

    def embed(crops: Sequence[NDArray[np.uint8]]) -> NDArray[np.float32]:
        wholes = [np.array([[0, 0, crop.shape[1], crop.shape[0]]], np.float32) for crop in crops]
        return np.concatenate([recognizer.embed(crop, box) for crop, box in zip(crops, wholes, strict=True)])

    return embed


def halves(rows: Sequence[RecognitionRow]) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Places of the crops in the first and in the second half of the pictures, by path, and (N,) the picture of each: what
    stands for two weeks where nobody noted the time."""
    pictures = sorted({row.path for row in rows})
    number = {path: place for place, path in enumerate(pictures)}
    own = np.array([number[row.path] for row in rows], np.int64)
    return np.flatnonzero(own < len(pictures) / 2), np.flatnonzero(own >= len(pictures) / 2), own


def open_data(folder: Path) -> Dataset:
    """The dataset that a run was trained or tested on, or the dataset's folder itself. Raises ConfigError or DataError."""
    if not (folder / "config.yaml").is_file():
        return open_dataset(folder)
    data = read_run(folder).get("data") or {}
    parts = [part for part in (data, *data.values()) if isinstance(part, Mapping) and part.get("annotations")]
    files = list(dict.fromkeys((str(part["annotations"]), str(part["images"])) for part in parts))
    if not files:
        raise ConfigError(f"{folder}: its configuration names no pictures with boxes; give the folder of the dataset")
    home = Path(files[0][0]).parent
    try:
        whole = open_dataset(home)
    except DataError:
        whole = Dataset(home.name)
    # The folder's own splits, where they are all that the run has seen; else those of the run, wherever they lie.
    if {split.source.resolve() for split in whole.splits} >= {Path(source).resolve() for source, _ in files}:
        return whole
    splits = tuple(read_raw(source, images) for source, images in files)
    return Dataset(home.name, splits, (), find_card(home.name, home), licence_text(home))
