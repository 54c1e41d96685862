"""`facings benchmark`: a bundle's accuracy and latency through the store runtime, as JSON, tables and one HTML page.

Nothing here loads torch: what is measured is what a shop runs.
"""

import importlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table

from facings.analysis.picture_names import drawn_names, picture_names
from facings.benchmark.accuracy import Answer, answer_frames, coco_results
from facings.benchmark.claims import claim_of
from facings.benchmark.crop_breakdown import worst_queries
from facings.benchmark.crop_pictures import CropPlate, crop_plates
from facings.benchmark.crops import CROPS, CropAnswers, ask_crops, crop_lines
from facings.benchmark.frames import Query, label_numbers
from facings.benchmark.identified import IDENTIFIED, identified_lines
from facings.benchmark.latency import measure_latency
from facings.benchmark.parts import PARTS, check_answerable
from facings.benchmark.pictures import draw_frame, judge_frame, worst_and_typical
from facings.benchmark.record import write_result
from facings.benchmark.report import CHECKOUT, HEADLINE, UNITS, Plate, milliseconds, share, write_report
from facings.benchmark.report_plots import marks_of
from facings.benchmark.rows import append_rows, figure_rows, stamp
from facings.benchmark.summary import HEADLINES, claim_metrics, summarise
from facings.commands.application import run_folder
from facings.commands.benchmark_data import read_data
from facings.commands.environment import command_line, write_environment
from facings.commands.last_run import against_last_run
from facings.commands.protocols import plain
from facings.commands.subject_bundles import with_bundle
from facings.data.tables import read_recognition_table
from facings.errors import ConfigError
from facings.files import atomic_write
from facings.runtime.annotate import fit, write_jpeg
from facings.runtime.bundle import Bundle
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer

# Protocol → the module of `commands` that runs it; those of `PARTS` are run below.
OTHERS = {
    "segmentation": "segmentation_protocol",
    "turnover": "turnover",
    "robustness": "robustness",
    "latency": "latency_protocol",
    "scale": "scale_protocol",
    "cross_store": "cross_store",
}
# Pixels on the longer side of the report's pictures.
LONGEST = 1200


def run(cfg: DictConfig) -> dict[str, float]:
    """Run the protocol: on one bundle and dataset, or on every pair of two lists, see `commands.matrix`.

    Returns the headline figures. Raises ConfigError, DataError or BundleError for what the user can mend.
    """
    # Imported when they are asked for: each brings its own libraries.
    if (cfg.bundles or cfg.datasets) and cfg.protocol != "cross_store":
        figures: dict[str, float] = importlib.import_module("facings.commands.matrix").run(cfg, run_one)
        return figures
    return run_one(with_bundle(cfg))


def run_one(cfg: DictConfig, place: str = ".") -> dict[str, float]:
    """Of one bundle and one dataset. `place`: the run's folder, seen from that of the list's run which holds it."""
    if cfg.protocol in OTHERS:
        figures: dict[str, float] = importlib.import_module(f"facings.commands.{OTHERS[cfg.protocol]}").run(cfg)
        return figures
    return run_frames(cfg, place)


def run_frames(cfg: DictConfig, place: str) -> dict[str, float]:
    """Measure the protocol's parts, print, and write `benchmark.json`, `report.html`, `report.md`, `decisions.jsonl`,
    `identified.jsonl`, `crops.jsonl`, `predictions/`, `annotated/`. Returns the headline figures."""
    console, protocol = Console(), str(cfg.protocol)
    parts = PARTS[protocol]
    _check_settings(cfg)
    bundle = Bundle.open(str(cfg.bundle))
    data = read_data(cfg, crops="recognition" in parts)
    check_answerable(protocol, bundle, data)
    if data.frames and bundle.has("detector"):
        label_numbers(bundle.labels, data.labels)
    folder = run_folder(cfg)
    atomic_write(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    environment = write_environment(folder, seed=int(cfg.seed), data=data.checksums, command=command_line("benchmark"))
    recognizer = Recognizer(bundle, threads=cfg.threads)
    queries = data.queries if recognizer.gallery is not None and "recognition" in parts else ()
    pictures = list(dict.fromkeys([f.path for f in data.frames] or [q.path for q in data.queries]))
    pictures = pictures[: int(cfg.latency_images)]
    latency = None
    with _progress(console) as progress:
        times = progress.add_task("latency", total=len(pictures) * int(cfg.repeats), visible="latency" in parts)
        frames = progress.add_task("frames", total=len(data.frames))
        asked = progress.add_task("crops", total=len(queries), visible=bool(queries))
        if "latency" in parts:
            latency = measure_latency(
                bundle.path,
                pictures,
                threads=cfg.threads,
                warmup=int(cfg.warmup),
                repeats=int(cfg.repeats),
                advance=lambda: progress.advance(times),
            )
        answers = answer_frames(recognizer, data.frames, lambda: progress.advance(frames), parts=parts)
        crops = ask_crops(recognizer, queries, lambda: progress.advance(asked)) if queries else None
    command = command_line("benchmark")
    content = summarise(bundle, data, answers, crops, latency, command=command, seed=int(cfg.seed), protocol=protocol)
    if "identification" in parts and recognizer.gallery is not None:
        atomic_write(folder / IDENTIFIED, "".join(identified_lines(answers)))
    if crops is not None:
        atomic_write(folder / CROPS, "".join(crop_lines(crops)))
    if not {"detection", "end_to_end"} & set(parts):
        # No box was asked: there is nothing to draw.
        answers = []
    results = coco_results(answers, data, bundle.labels) if answers and bundle.has("detector") else []
    config: Any = OmegaConf.to_container(cfg, resolve=True)
    content["against"] = plain(against_last_run(folder, content, config, data, answers, results, place))
    _append(folder, content, cfg)
    _write(folder, content, answers, results, crops, recognizer, cfg)
    for table in tables(content):
        console.print(table)
    console.print(f"report: {folder / 'report.html'}")
    if cfg.result:
        checksums = data.checksums | {f"bundle {bundle.name}": content["bundle"]["sha256"]}
        written = write_result(
            str(cfg.result),
            **claim_metrics(str(cfg.result), content),
            command=command,
            data=checksums,
            seeds=[int(cfg.seed)],
            commit=environment["git"],
            folder=Path(cfg.paths.result_dir),
        )
        console.print(f"result: {written}")
    return {name: float(value) for name, value in content["headline"].items() if value is not None}


def tables(content: dict[str, Any]) -> list[Table]:
    """The figures for the terminal."""
    title = f"{content['bundle']['name']} on {content['data']['name']}"
    figures = Table("figure", "value", "95 % interval", title=title)
    for name, (label, _) in HEADLINE.items():
        value, low_high = content["headline"].get(name), content["headline_intervals"].get(name)
        if value is None:
            continue
        text = f"{milliseconds(value)} {UNITS[name]}" if name in UNITS else share(value)
        figures.add_row(label, text, f"{share(low_high[0])} – {share(low_high[1])}" if low_high else "")
    made, latency = [figures], content["latency"]
    if content["protocol"] == "end_to_end":
        made.append(_lists_table(content["end_to_end"]))
    if latency is None:
        return made
    stages = Table("stage", "p50", "p95", "p99", title=f"latency in ms, {latency['threads']} threads")
    for stage, times in latency["stages"].items():
        stages.add_row(stage, *(milliseconds(times[name]) for name in ("p50", "p95", "p99")))
    if latency["disturbed"]:
        stages.caption = f"disturbed: other programs took {latency['other_cpu_share']:.0%} of the processor"
    return [*made, stages]


def _lists_table(together: Mapping[str, Any]) -> Table:
    """AP over products, and the lists of frames as a till would read them, overall."""
    made = Table("figure", "value", "95 % interval", title="products in their place, and the lists of frames")
    for name, label in {"product_ap": "Product AP", "product_ap50": "Product AP50", **CHECKOUT}.items():
        if (value := together["figures"].get(name)) is not None:
            low_high = together["intervals"].get(name)
            made.add_row(label, share(value), f"{share(low_high[0])} – {share(low_high[1])}" if low_high else "")
    return made


def _check_settings(cfg: DictConfig) -> None:
    """Fail before anything is measured."""
    if OmegaConf.is_missing(cfg, "bundle"):
        raise ConfigError(
            "bundle is not given: facings benchmark bundle=FOLDER, the folder that `facings export` wrote"
        )
    for name, least in {"repeats": 1, "latency_images": 1, "warmup": 0}.items():
        if int(cfg[name]) < least:
            raise ConfigError(f"{name} is {cfg[name]}; expected {least} or more")
    if cfg.result:
        parts = PARTS[cfg.protocol]
        times = ["frame_ms_p50", "frame_ms_p95", "peak_mib"] if "latency" in parts else []
        claim_of(
            str(cfg.result),
            available=[*(n for n, (part, _) in HEADLINES.items() if part in parts), *times, "bundle_mib"],
        )


def _write(
    folder: Path,
    content: dict[str, Any],
    answers: Sequence[Answer],
    results: Sequence[dict[str, Any]],
    crops: CropAnswers | None,
    recognizer: Recognizer,
    cfg: DictConfig,
) -> None:
    """All files of the run, the summary last: where it is, the others are."""
    bundle, named = recognizer.bundle, picture_names([answer.frame.path for answer in answers])
    # `image` is what the COCO file calls it; `file` and `image_id` tell pictures of one name in two folders apart.
    lines = [
        json.dumps({"image": a.frame.path.name, "file": name, "image_id": a.frame.image_id, **a.decision.to_dict()})
        + "\n"
        for a, name in zip(answers, named, strict=True)
    ]
    atomic_write(folder / "decisions.jsonl", "".join(lines))
    plates: list[Plate] = []
    if answers and bundle.has("detector"):
        atomic_write(folder / "predictions" / "detections.json", json.dumps(results))
        gallery = bundle.gallery() if content["bundle"]["gallery_version"] else None
        names = {p: str(bundle.product(p, gallery).get("name") or p) for p in (gallery.items if gallery else ())}
        judged = [judge_frame(answer) for answer in answers]
        chosen = worst_and_typical(judged, worst=int(cfg.worst), typical=int(cfg.typical))
        called = {id(f): pair for f, pair in zip(judged, zip(named, drawn_names(named), strict=True), strict=True)}
        shown = {id(frame): kind for kind, frame in chosen}
        others = [frame for frame in judged if id(frame) not in shown]
        for kind, frame in [*chosen, *(("", f) for f in others)][: max(int(cfg.max_pictures), len(chosen))]:
            name, drawn = called[id(frame)]
            write_jpeg(draw_frame(frame, names), folder / "annotated" / drawn)
            if kind:
                picture, scale = fit(read_image(frame.answer.frame.path), LONGEST)
                plates.append(Plate(kind, frame, picture, marks_of(frame, scale, names), name))
    wrong: list[CropPlate] = []
    if crops is not None:
        wrong = crop_plates(recognizer, crops, worst_queries(crops), _photos(cfg))
    write_report(folder, content, plates, wrong)
    atomic_write(folder / "benchmark.json", json.dumps(content, indent=2) + "\n")


def _photos(cfg: DictConfig) -> list[Query]:
    """Photos of products in the recognition table that are not queries: those to enroll, or where it has none, to train with."""
    rows = read_recognition_table(Path(cfg.recognition.table)).rows
    kept = [row for row in rows if row.role == "gallery"] or [row for row in rows if row.role == "train"]
    return [Query(row.path, row.product_id, row.corners) for row in kept]


def _append(folder: Path, content: dict[str, Any], cfg: DictConfig) -> None:
    """The run's figures as rows of the results file."""
    settings = {"class_agnostic": bool(cfg.data.class_agnostic), "max_images": cfg.max_images}
    settings |= {"unknown_products": list(cfg.data.unknown_products), "frames": content["data"]["frames"]}
    if content["protocol"] == "recognition":
        settings |= {name: cfg.recognition[name] for name in ("split", "role")}
    marked = stamp(
        content["protocol"],
        data=content["data"]["checksums"],
        bundle=content["bundle"],
        command=content["command"],
        seeds=[content["seed"]],
        settings=settings,
        commit=content["commit"],
    )
    rows = figure_rows(content["headline"], content["headline_intervals"], UNITS)
    together = content["end_to_end"]
    if together is not None:
        rows += figure_rows(together["figures"], together["intervals"])
    append_rows(Path(cfg.append_to) if cfg.append_to else folder, folder, marked, rows)


@contextmanager
def _progress(console: Console) -> Iterator[Progress]:
    columns = (TextColumn("{task.description:<8}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns, TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn(), console=console
    ) as progress:
        yield progress
