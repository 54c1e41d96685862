"""An ONNX file that was not made here as a bundle, so that every protocol can ask it. See docs/external.md."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from omegaconf import DictConfig
from rich.console import Console

from facings.benchmark.record import git_state, machine
from facings.commands.export import require_sound, tell_bundle
from facings.commands.export_settings import check_bundle_settings, postprocess_content
from facings.commands.first_gallery import Enrolment, make_gallery, read_enrolment, read_products
from facings.data.taxonomy import taxonomy_content
from facings.errors import ConfigError
from facings.export.bundle import graph_entry, manifest_of, seal, shrink, write_golden, write_json
from facings.export.external import External, Layout, guess_layout, labels_of, read_external, require_layout
from facings.export.external_graphs import PROMISED_OPSET, GraftSettings, graft, require_plausible
from facings.export.graphs import letterbox_graph, match_graph
from facings.export.model_card import licences
from facings.export.parity import TOLERANCES, pixel_tolerance
from facings.files import atomic_folder, sha256
from facings.runtime.bundle import Bundle
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from facings.spreading import evenly

IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
PLAIN = ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
# How pixels are normalised where nobody says it. A facings graph has whatever it was trained with, so it must be said.
NORMALISED: Mapping[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "yolo_end_to_end": PLAIN,
    "yolo_dense": PLAIN,
    "detr": PLAIN,
    "embedder": IMAGENET,
}
# What an entry of a list says of its file, beside the settings of `facings export`.
WORDS = ("onnx", "layout", "labels", "mean", "std", "image_size", "licence")


@dataclass(frozen=True)
class Subject:
    """A file, its layout, and all that its outputs do not say. `labels`: of a detector, else empty."""

    external: External
    layout: Layout
    labels: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    licence: str
    guessed: bool

    @property
    def role(self) -> str:
        return "embedder" if self.layout == "embedder" else "detector"


def read_subject(words: Mapping[str, Any], console: Console) -> Subject:
    """`words`: of `WORDS`, `onnx` being the file. What is guessed or assumed is printed.

    Raises ConfigError for a file or word that cannot be used.
    """
    path, size = Path(str(words["onnx"])), words.get("image_size")
    if size is not None and type(size) is not int:
        raise ConfigError(f"{path}: image_size is {size!r}; expected a whole number of pixels")
    external = read_external(path, size)
    given = words.get("layout")
    layout = guess_layout(external) if given is None else require_layout(external, str(given))
    if given is None:
        console.print(f"{path}: layout {layout}, guessed from {external.told}", markup=False, soft_wrap=True)
    if layout == "embedder" and not external.any_batch:
        raise ConfigError(f"{path}: takes one crop at a time; export the embedder with a dynamic batch")
    labels = () if layout == "embedder" else tuple(labels_of(external, layout, words.get("labels")))
    mean, std = _normalisation(path, layout, words, console)
    licence = str(words.get("licence") or f"unknown: {path.name}")
    return Subject(external, layout, labels, mean, std, licence, given is None)


def write_external_bundle(
    cfg: DictConfig, target: Path, subject: Subject, pictures: Sequence[Path], console: Console
) -> Path:
    """Write the bundle `target`, which is returned, by the settings of `facings export`; golden samples are of `pictures`.

    Raises ConfigError where the layout cannot be right, DataError for a gallery that cannot be used, BundleError where it does not
    verify; then nothing is written.
    """
    check_bundle_settings(cfg)
    external, role = subject.external, subject.role
    settings = GraftSettings(int(cfg.top_k), float(cfg.nms_iou))
    model = graft(external, subject.layout, settings)
    require_plausible(external, subject.layout, model, len(subject.labels) or None)
    enrolment = read_enrolment(cfg) if role == "embedder" else Enrolment(taxonomy=read_products(cfg, [], {}))
    images = [read_image(path) for path in evenly(pictures, int(cfg.golden.count))]
    limits = {("crops" if role == "embedder" else "pixels"): pixel_tolerance(subject.std)} | TOLERANCES
    with atomic_folder(target) as beside:
        manifest = _write_graphs(beside, cfg, subject, model)
        write_json(beside / "postprocess.json", postprocess_content(cfg))
        write_json(beside / "taxonomy.json", taxonomy_content(enrolment.taxonomy))
        seal(beside, manifest)
        if role == "embedder":
            make_gallery(Recognizer(Bundle.open(beside), threads=cfg.threads), enrolment, console)
            seal(beside, manifest)
        recognizer = Recognizer(Bundle.open(beside), threads=cfg.threads)
        write_golden(beside, recognizer, [shrink(image, int(cfg.golden.longest)) for image in images], limits=limits)
        _write_papers(beside, cfg, subject)
        seal(beside, manifest)
        checks = require_sound(beside, cfg, console)
    tell_bundle(target, checks, console)
    return target


def _normalisation(
    path: Path, layout: Layout, words: Mapping[str, Any], console: Console
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and deviation of the channels, of pixels from 0 to 1."""
    found = []
    for number, name in enumerate(("mean", "std")):
        value = words.get(name)
        if value is None and layout not in NORMALISED:
            raise ConfigError(f"{path}: give mean and std: a {layout} graph has those that it was trained with")
        values = NORMALISED[layout][number] if value is None else value
        right = isinstance(values, list | tuple) and len(values) == 3
        if not right or not all(type(v) in (int, float) and (name == "mean" or v > 0) for v in values):
            above = "" if name == "mean" else " above 0"
            raise ConfigError(f"{path}: {name} is {value!r}; expected three numbers{above}, of pixels from 0 to 1")
        found.append(tuple(float(v) for v in values))
        if value is None:
            console.print(f"{path}: {name} {list(found[-1])}, as is usual for {layout}", markup=False, soft_wrap=True)
    return found[0], found[1]


def _write_graphs(folder: Path, cfg: DictConfig, subject: Subject, model: onnx.ModelProto) -> dict[str, Any]:
    """The graphs of the bundle; returns bundle.json without its files."""
    external, opset = subject.external, int(cfg.opset)
    onnx.save(model, str(folder / f"{subject.role}.onnx"))
    around = {"detector": "preprocess", "embedder": "crop"}[subject.role]
    onnx.save(letterbox_graph(around, external.size, subject.mean, subject.std, opset), str(folder / f"{around}.onnx"))
    sections: dict[str, dict[str, Any] | None] = {"detector": None, "embedder": None}
    if subject.role == "embedder":
        dimension = next(iter(external.shapes.values()))[1]
        onnx.save(match_graph(dimension, int(cfg.candidates), opset), str(folder / "match.onnx"))
        sections["embedder"] = {"image_size": external.size, "dimension": dimension}
    else:
        sections["detector"] = {
            "image_size": external.size, "labels": list(subject.labels), "top_k": int(cfg.top_k),
            "branch": subject.layout, "masks": False, "prototypes": 0, "attributes": [],
        }  # fmt: skip
    graphs = {path.stem: graph_entry(path) for path in sorted(folder.glob("*.onnx"))}
    manifest = manifest_of(str(cfg.name), str(cfg.version), graphs, **sections)
    if manifest["opset"] > PROMISED_OPSET:
        # Nobody tried an older one.
        manifest["min_onnxruntime"] = ".".join(onnxruntime.__version__.split(".")[:2])
    return manifest


def _write_papers(folder: Path, cfg: DictConfig, subject: Subject) -> None:
    """report.json, LICENCES.json and MODEL_CARD.md: what is known of a stranger's file."""
    path = subject.external.path
    producer = f"{subject.external.model.producer_name} {subject.external.model.producer_version}".strip() or "not told"
    source = {
        "file": path.name, "sha256": sha256(path), "producer": producer, "layout": subject.layout, "guessed": subject.guessed,
        "mean": list(subject.mean), "std": list(subject.std), "outputs": subject.external.told,
    }  # fmt: skip
    write_json(
        folder / "report.json",
        {"schema": "facings.report/1", "external": source, "training": {}, "parity": {}, "latency": None,
         "machine": machine(), "commit": git_state(), "seed": int(cfg.seed)},
    )  # fmt: skip
    licence = licences({}, {path.name: subject.licence})
    write_json(folder / "LICENCES.json", licence)
    told = [f"- {name}: {value}" for name, value in source.items()]
    lines = [
        f"# {cfg.name} {cfg.version}", "", f"`{path.name}`, a network that was not made by facings, on the ports of a bundle.",
        "", *told, f"- licence: {subject.licence}", "", "How it was trained, and on what, its file does not say. Measure it with",
        "`facings benchmark` before it is trusted; pictures are letterboxed here, whatever its makers do.",
    ]  # fmt: skip
    (folder / "MODEL_CARD.md").write_text("\n".join(lines) + "\n", encoding="utf-8")
