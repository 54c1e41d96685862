"""`facings export`: checkpoints to a bundle that was verified before it got its name."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.benchmark.latency import measure_latency
from facings.benchmark.record import git_state, machine
from facings.commands.application import run_folder
from facings.commands.environment import command_line, write_environment
from facings.commands.export_settings import check_settings, postprocess_content, stated_licence
from facings.commands.first_gallery import Enrolment, make_gallery, read_enrolment, read_products
from facings.commands.quantization import add_siblings, quantization_report, wants_siblings
from facings.commands.run_slices import run_slices
from facings.data.taxonomy import taxonomy_content
from facings.errors import BundleError, DataError
from facings.export.bundle import manifest_of, seal, shrink, write_golden, write_graphs, write_json
from facings.export.decision_parity import compare_decisions, require_agreement, shaped_pictures
from facings.export.model_card import licences, model_card, training_record
from facings.export.networks import DetectorGraph, Network
from facings.export.parity import StageParity, as_report, measure_parity, require, tolerances
from facings.export.precision_gate import Verdict
from facings.export.whitening import WhitenedEmbedder, fitting_products, view_vectors
from facings.files import atomic_folder, atomic_write, sha256
from facings.metrics.whitening import fit_whitening
from facings.runtime.bundle import Bundle
from facings.runtime.gallery import Gallery
from facings.runtime.images import read_image
from facings.runtime.parsing import find_pictures
from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import verify
from facings.spreading import evenly
from facings.tasks.checkpoint import load_model
from facings.tasks.crop_views import Averaged


@dataclass(frozen=True)
class Trained:
    """A checkpoint's model, what made it, and the figures that its run ended with."""

    checkpoint: Path
    network: Network
    config: dict[str, Any]
    figures: dict[str, float]


@dataclass(frozen=True)
class Parts:
    """All that a bundle is made of, read before anything is written. `pictures`: those that torch and ONNX Runtime are compared
    on."""

    detector: Trained | None
    embedder: Trained | None
    enrolment: Enrolment
    pictures: list[Path]

    @property
    def trained(self) -> dict[str, Trained]:
        """What there is, by role."""
        parts = {"detector": self.detector, "embedder": self.embedder}
        return {role: part for role, part in parts.items() if part is not None}


def run(cfg: DictConfig) -> Path:
    """Export, compare with torch, verify, and only then give the folder its name. Returns the bundle's folder.

    Raises ConfigError, CheckpointError or DataError before anything is written, BundleError when the graphs do not
    agree with torch or the bundle does not verify.
    """
    console = Console()
    target = check_settings(cfg)
    parts = read_parts(cfg)
    folder = run_folder(cfg)
    atomic_write(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    checksums = {f"{role} checkpoint": sha256(part.checkpoint) for role, part in parts.trained.items()}
    write_environment(folder, seed=int(cfg.seed), data=checksums, command=command_line("export"))
    return write_bundle(cfg, target, parts, console)


def read_parts(cfg: DictConfig, pictures: Sequence[Path] | None = None) -> Parts:
    """Load the models and find the gallery's views; of `pictures` (None: those in `parity.images`) at most `parity.count`, evenly
    chosen, are compared on.

    Raises CheckpointError, ConfigError or DataError.
    """
    detector, embedder = (_load(cfg, role) for role in ("detector", "embedder"))
    enrolment = read_enrolment(cfg) if embedder is not None else Enrolment(taxonomy=read_products(cfg, [], {}))
    found = parity_pictures(cfg) if pictures is None else pictures
    return Parts(detector, embedder, enrolment, evenly(found, int(cfg.parity.count)))


def write_bundle(cfg: DictConfig, target: Path, parts: Parts, console: Console) -> Path:
    """Write the bundle of `parts` as the folder `target`, which is returned; nothing stays where anything fails.

    Raises DataError, or BundleError when the graphs do not agree with torch or the bundle does not verify.
    """
    detector, embedder, enrolment = parts.detector, parts.embedder, parts.enrolment
    trained = parts.trained
    images = [read_image(path) for path in parts.pictures]
    limits = tolerances(detector.network if detector else None, embedder.network if embedder else None)
    fitted: tuple[str, ...] = ()
    if embedder is not None and int(cfg.calibration.whiten):
        embedder, enrolment, fitted = _whitened(cfg, embedder, enrolment, console)
        trained["embedder"] = embedder
    with atomic_folder(target, replace=bool(cfg.overwrite)) as beside:
        console.print("exporting the graphs …")
        manifest = _write_contents(beside, cfg, detector, embedder, enrolment.taxonomy)
        with console.status("comparing torch and ONNX Runtime …"):
            recognizer = Recognizer(Bundle.open(beside), threads=cfg.threads)
            parity = measure_parity(
                recognizer,
                [*images, *shaped_pictures(images[0], recognizer.tiling).values()],
                detector=detector.network if detector else None,
                embedder=embedder.network if embedder else None,
                limits=limits,
            )
        console.print(parity_table(parity))
        require(parity)
        gallery = make_gallery(recognizer, enrolment, console) if embedder is not None else None
        seal(beside, manifest)
        verdicts: dict[str, Verdict] = {}
        if wants_siblings(cfg):
            verdicts = add_siblings(beside, cfg, manifest, enrolment.calibration, console)
            seal(beside, manifest)
        with console.status("comparing decisions …"):
            bundle = Bundle.open(beside, precision="float32")
            networks = {role: part.network for role, part in trained.items()}
            decided = compare_decisions(bundle, networks, images, limits, threads=cfg.threads)
        require_agreement(decided.agreements["float32"], float(cfg.parity.decisions))
        golden = [shrink(image, int(cfg.golden.longest)) for image in images[: int(cfg.golden.count)]]
        siblings: dict[str, tuple[Recognizer, Mapping[str, float]]] = {
            name: (Recognizer(bundle.at(name)), decided.limits[name]) for name in bundle.precisions[1:]
        }
        write_golden(beside, Recognizer(bundle, threads=cfg.threads), golden, limits=limits, siblings=siblings)
        seal(beside, manifest)
        with console.status("measuring the latency …"):
            latency = _latency(beside, cfg, parts.pictures)
        more = decided.report | quantization_report(cfg, verdicts) | {"whitening": {"products": list(fitted)}}
        _write_papers(beside, cfg, manifest, trained, parity, latency, gallery, more)
        seal(beside, manifest)
        checks = require_sound(beside, cfg, console)
    tell_bundle(target, checks, console)
    return target


def require_sound(folder: Path, cfg: DictConfig, console: Console) -> int:
    """How many checks a written bundle passed. Raises BundleError, with all that it did not pass."""
    with console.status("verifying …"):
        checks = verify(folder, threads=cfg.threads)
    failed = [f"{check.name}: {check.detail}" for check in checks if not check.passed]
    if failed:
        raise BundleError(f"the exported bundle does not verify: {'; '.join(failed)}; nothing was written")
    return len(checks)


def tell_bundle(target: Path, checks: int, console: Console) -> None:
    """The line for the terminal."""
    size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file()) / 2**20
    console.print(f"bundle: {target} ({size:.1f} MiB, {checks} checks passed)")


def parity_table(stages: Sequence[StageParity]) -> Table:
    """Parity for the terminal."""
    table = Table("stage", "largest difference", "tolerance", "compared", title="torch and ONNX Runtime")
    for stage in stages:
        mark = "" if stage.passed else "  FAILED"
        table.add_row(stage.stage, f"{stage.difference:.2g}{mark}", f"{stage.tolerance:.2g}", f"{stage.count:,}")
    return table


def _load(cfg: DictConfig, role: str) -> Trained | None:
    if not cfg[role]:
        return None
    checkpoint = Path(cfg[role])
    model, config = load_model(checkpoint, {"detector": "detection", "embedder": "reid"}[role])
    if role == "detector":
        model = DetectorGraph(model, branch=cfg.branch, top_k=int(cfg.top_k), nms_iou=float(cfg.nms_iou))
    elif cfg.tta != "none":
        model = Averaged(model, cfg.tta)
    network = Network(model.eval(), int(config["image_size"]), tuple(config["mean"]), tuple(config["std"]))
    results = checkpoint.parent.parent / "results.json"
    figures = json.loads(results.read_text(encoding="utf-8")) if results.is_file() else {}
    known = {name: float(value) for name, value in figures.items() if value is not None and math.isfinite(value)}
    return Trained(checkpoint, network, config, known)


def _whitened(
    cfg: DictConfig, embedder: Trained, enrolment: Enrolment, console: Console
) -> tuple[Trained, Enrolment, tuple[str, ...]]:
    """The embedder with a linear layer behind it, what is left to calibrate, and the products that the layer was fitted on."""
    enrolled = {str(view.product_id) for view in enrolment.views}
    fitted = fitting_products(enrolment.calibration, enrolled, int(cfg.calibration.whiten), int(cfg.seed))
    views = [view for view in enrolment.calibration if view.product_id in fitted]
    left = [view for view in enrolment.calibration if view.product_id not in fitted]
    with Progress(console=console) as progress:
        task = progress.add_task("embedding the crops to whiten by", total=len(views))
        vectors = view_vectors(
            embedder.network, views, margin=float(cfg.crop_margin), advance=lambda: progress.advance(task)
        )
    try:
        layer = fit_whitening(vectors, [str(view.product_id) for view in views])
    except ValueError as fault:
        raise DataError(f"calibration.whiten={cfg.calibration.whiten}: {fault}") from fault
    model = WhitenedEmbedder(embedder.network.model, layer.centre, layer.matrix)
    network = replace(embedder.network, model=model.eval())
    return replace(embedder, network=network), replace(enrolment, calibration=left), fitted


def parity_pictures(cfg: DictConfig) -> list[Path]:
    """All pictures of the folder `parity.images`. Raises DataError where there is none."""
    folder = Path(cfg.parity.images)
    if not folder.exists():
        raise DataError(f"{folder}: no such folder (parity.images); give one with real pictures")
    return find_pictures([folder])


def _write_contents(
    folder: Path, cfg: DictConfig, detector: Trained | None, embedder: Trained | None, taxonomy: dict[str, Any]
) -> dict[str, Any]:
    """Graphs and tables, sealed so that the runtime opens them; returns bundle.json without its files."""
    graphs = write_graphs(
        folder,
        detector=detector.network if detector else None,
        embedder=embedder.network if embedder else None,
        opset=int(cfg.opset),
        candidates=int(cfg.candidates),
    )
    write_json(folder / "postprocess.json", postprocess_content(cfg))
    write_json(folder / "taxonomy.json", taxonomy_content(taxonomy))
    sections: dict[str, dict[str, Any] | None] = {"detector": None, "embedder": None}
    if detector is not None:
        top_k = min(int(cfg.top_k), int(detector.network.model.model.num_anchors))  # type: ignore[arg-type, union-attr]
        shapes = {port["name"]: port["shape"] for port in graphs["detector"]["outputs"]}
        sections["detector"] = {
            "image_size": detector.network.image_size,
            "labels": list(detector.config["labels"]),
            "top_k": top_k,
            "branch": str(cfg.branch),
            "masks": "prototypes" in shapes,
            "prototypes": shapes["prototypes"][1] if "prototypes" in shapes else 0,
            "attributes": list(detector.network.model.model.attributes),  # type: ignore[arg-type, union-attr]
        }
    if embedder is not None:
        dimension = int(embedder.network.model.dimension)  # type: ignore[arg-type]
        sections["embedder"] = {"image_size": embedder.network.image_size, "dimension": dimension}
    manifest = manifest_of(str(cfg.name), str(cfg.version), graphs, **sections)
    seal(folder, manifest)
    return manifest


def _latency(folder: Path, cfg: DictConfig, pictures: Sequence[Path]) -> dict[str, Any] | None:
    count = int(cfg.latency.images)
    if count < 1:
        return None
    return measure_latency(folder, pictures[:count], threads=cfg.threads, warmup=3, repeats=3)


def _write_papers(
    folder: Path,
    cfg: DictConfig,
    manifest: dict[str, Any],
    trained: dict[str, Trained],
    parity: Sequence[StageParity],
    latency: dict[str, Any] | None,
    gallery: Gallery | None,
    more: dict[str, Any],
) -> None:
    """report.json (with what `more` holds), LICENCES.json, train_config.yaml and MODEL_CARD.md."""
    training = {
        role: {
            "experiment": str(part.config.get("run_name")),
            "seed": part.config.get("seed"),
            "model": str(part.config["model"].get("backbone")),
            "checkpoint_sha256": sha256(part.checkpoint),
            "figures": part.figures,
            "slices": run_slices(part.checkpoint.parent.parent),
        }
        for role, part in trained.items()
    }
    report = {
        "schema": "facings.report/1",
        "training": training,
        "parity": as_report(parity),
        **more,
        "tta": str(cfg.tta),
        "latency": latency,
        "machine": machine(),
        "commit": git_state(),
        "seed": int(cfg.seed),
    }
    configs = {role: part.config for role, part in trained.items()}
    licence = licences(configs, dict(stated_licence(text) for text in cfg.licences))
    sizes = None
    if gallery is not None:
        counts = (len(gallery.items), len(gallery.vectors), len(gallery.calibration_scores))
        sizes = dict(zip(("products", "views", "calibration"), counts, strict=True))
    write_json(folder / "report.json", report)
    write_json(folder / "LICENCES.json", licence)
    records = {role: training_record(config) for role, config in configs.items()}
    (folder / "train_config.yaml").write_text(yaml.safe_dump(records, sort_keys=False), encoding="utf-8")
    card = model_card(
        manifest=manifest, postprocess=postprocess_content(cfg), report=report, licence=licence, gallery=sizes
    )
    (folder / "MODEL_CARD.md").write_text(card, encoding="utf-8")
