"""The analysis of a detector's run: TIDE, slices, suspected label errors."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from facings.analysis.comparison import Kind, PicturePair, has_masks, pair_pictures
from facings.analysis.contact_sheet import Mark, MarkedPicture, Plate, jpeg, lay_out
from facings.analysis.curve_figures import draw_calibration, draw_f1_score, png
from facings.analysis.curves import match_split
from facings.analysis.detection_errors import judge, worst_pictures
from facings.analysis.error_figures import draw_slices, draw_tide
from facings.analysis.error_sheets import draw_judged
from facings.analysis.error_slices import glare_share, glare_slices, picture_slices, slices_by_object_name
from facings.analysis.findings import findings_of_gains
from facings.analysis.label_faults import LabelFault, detection_label_faults, faults_as_coco, faults_as_fiftyone
from facings.analysis.mask_agreement import mask_agreement
from facings.analysis.slices import blur_slices, density_slices, gap_slices, laplacian_variance, quartiles, size_slices
from facings.analysis.spread_figures import draw_agreement
from facings.analysis.tide import Tide, tide
from facings.commands.analyzed import Analyzed, table_of
from facings.commands.camera_drift import camera_drift, drift_section
from facings.commands.named_truth import named_truth
from facings.data.coco import CocoTable
from facings.errors import DataError
from facings.files import atomic_write
from facings.runtime.images import read_image

Predictions = Sequence[Mapping[str, Any]]
FAULTS_SHOWN, WORST_SHOWN = 12, 4
# Where nothing is right no threshold is best; then pictures are judged at this one.
FALLBACK_SCORE = 0.5
AROUND = 0.6


def analyze_detector(table: CocoTable, predictions: Predictions, folder: Path) -> Analyzed:
    """Write `tide.png`, `slices.png`, `f1_score.png`, `calibration.png`, `worst.jpg`, with masks `agreement.png`,
    `label_faults.jpg`, `label_faults_coco.json` and `label_faults_fiftyone.json` into `folder`.

    Raises DataError for predictions that are not of this table.
    """
    truth = named_truth(table)
    try:
        pairs = pair_pictures(truth, predictions)
        kinds: list[Kind] = ["boxes", "masks"] if has_masks(truth, predictions) else ["boxes"]
        found = {kind: tide(truth, predictions, kind=kind) for kind in kinds}
    except ValueError as fault:
        raise DataError(f"{table.source}: {fault}; were they made on another split?") from fault
    slices = detector_slices(table, truth, predictions)
    hits = {kind: match_split(truth, predictions, kind=kind) for kind in kinds}
    best = hits[kinds[-1]].best().threshold
    score = FALLBACK_SCORE if np.isnan(best) else best
    faults = detection_label_faults(pairs, table.labels)
    content: dict[str, bytes | str] = {
        "tide.png": png(draw_tide(found)),
        "slices.png": png(
            draw_slices(
                slices,
                value="ap50",
                title="Where the detector is weak, by kind of object or picture",
                below="AP at IoU 0.5",
            )
        ),
        "f1_score.png": png(draw_f1_score(hits)),
        "calibration.png": png(draw_calibration(hits)),
        "worst.jpg": jpeg(_worst(table, pairs, score, kinds[-1])),
        "label_faults.jpg": jpeg(draw_faults(faults[:FAULTS_SHOWN], table)),
        "label_faults_coco.json": json.dumps(faults_as_coco(faults, truth)) + "\n",
        "label_faults_fiftyone.json": json.dumps(faults_as_fiftyone(faults, truth)) + "\n",
    }
    if "masks" in kinds:
        agreement = mask_agreement(pairs, score=score)
        content["agreement.png"] = png(draw_agreement(agreement, title="How well outlines fit where boxes do"))
    paths = tuple(folder / name for name in content)
    for path, data in zip(paths, content.values(), strict=True):
        atomic_write(path, data)
    first = found[kinds[-1]]
    drift = camera_drift([(image.path, image.camera_id, image.captured_at) for image in table.images])
    return Analyzed(
        kind=f"a detector's {kinds[-1]}",
        findings=tuple(findings_of_gains(first.gains, first.counts)),
        content={
            "tide": {kind: tide_content(result) for kind, result in found.items()},
            "slices": slices,
            "label_faults": dict(Counter(fault.fault for fault in faults)),
            "drift": drift,
        },
        sections=(_tide_section(found), _weakest(slices), _faults_section(faults), *drift_section(drift)),
        files=paths,
    )


def detector_slices(
    table: CocoTable, truth: Mapping[str, Any], predictions: Predictions
) -> dict[str, list[dict[str, Any]]]:
    """Tables of slices by what they are cut by; the pictures are read once, one at a time."""
    blur, glare = {}, {}
    for image in table.images:
        pixels = read_image(image.path)
        blur[image.image_id], glare[image.image_id] = laplacian_variance(pixels), 100 * glare_share(pixels)
    slices = {
        "objects a picture": density_slices(truth, predictions, max_detections=1000),
        "gap to the neighbour, in object sizes": gap_slices(truth, predictions, max_detections=1000),
        "size, pixels": size_slices(truth, predictions, max_detections=1000),
        "sharpness of the picture": blur_slices(
            truth, predictions, blur, edges=quartiles(blur.values()), max_detections=1000
        ),
        "burnt-out part of the picture, %": glare_slices(
            truth, predictions, glare, edges=quartiles(glare.values()), max_detections=1000
        ),
    }
    if len(table.labels) > 1:
        names = [table.labels[int(entry["category_id"]) - 1] for entry in truth["annotations"]]
        slices["category"] = slices_by_object_name(truth, predictions, names, max_detections=1000)
    cameras = {image.image_id: image.camera_id for image in table.images}
    moments = {image.image_id: image.captured_at for image in table.images}
    return slices | picture_slices(truth, predictions, cameras, moments, max_detections=1000)


def _worst(table: CocoTable, pairs: Sequence[PicturePair], score: float, kind: Kind) -> Image.Image:
    """The pictures of lowest F1 at a score."""
    paths = {image.image_id: image.path for image in table.images}
    worst = worst_pictures([judge(pair, score=score, kind=kind) for pair in pairs], WORST_SHOWN)
    title = f"The worst pictures, judged by {kind} at score {score:.3g}" if worst else "No picture has an error"
    return draw_judged(worst, lambda picture: read_image(paths[picture.pair.image_id]), table.labels, title)


def tide_content(result: Tide) -> dict[str, Any]:
    """Of analysis.json: figures 0–1 and counts."""
    return {
        "ap50": result.ap,
        "gains": dict(result.gains),
        "counts": dict(result.counts),
        "false_positives": result.false_positives,
        "false_negatives": result.false_negatives,
    }


def draw_faults(faults: Sequence[LabelFault], table: CocoTable) -> Image.Image:
    """A sheet of suspicious places, each with its surroundings."""
    paths = {image.image_id: image.path for image in table.images}
    plates = []
    for fault in faults:
        pixels = read_image(paths[fault.image_id])
        x1, y1, x2, y2 = fault.box
        margin = (AROUND * (x2 - x1), AROUND * (y2 - y1))
        left, top = max(0, int(x1 - margin[0])), max(0, int(y1 - margin[1]))
        part = pixels[top : int(y2 + margin[1]) + 1, left : int(x2 + margin[0]) + 1]
        canvas = MarkedPicture(part, 300)
        for box in next(image.boxes for image in table.images if image.image_id == fault.image_id):
            canvas.box(box - [left, top, left, top], Mark("#ffffff", "thin"))
        canvas.box(np.array([x1 - left, y1 - top, x2 - left, y2 - top], np.float32), Mark("#d55e00"))
        words = {"other class": f"{fault.labelled}, or {fault.suggested}?", "loose box": f"IoU {fault.overlap:.2f}"}
        line = words.get(fault.fault, f"{fault.suggested or fault.labelled}?")
        plates.append(
            Plate(
                canvas.picture,
                (f"{fault.fault}: {fault.suspicion:.2f}", line if len(table.labels) > 1 else fault.picture),
            )
        )
    legend = {"suspicious": Mark("#d55e00"), "labelled": Mark("#ffffff", "thin")}
    return lay_out(
        plates, "Labels that look wrong, most suspicious first" if plates else "No label looks wrong", legend
    )


def _tide_section(found: Mapping[Kind, Tide]) -> str:
    parts = ["## Kinds of error (TIDE)", ""]
    for kind, result in found.items():
        rows = [[name, result.counts[name], f"{100 * gain:.1f}"] for name, gain in result.gains.items()]
        rows += [["all false ones last", "", f"{100 * result.false_positives:.1f}"]]
        rows += [["all lost ones away", "", f"{100 * result.false_negatives:.1f}"]]
        parts += [f"AP of {kind} at IoU 0.5: {100 * result.ap:.1f}.", ""]
        parts += [table_of(["error", "how many", "points of AP gained"], rows), ""]
    return "\n".join(parts)


def _weakest(slices: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """Of each table the slice of lowest AP."""
    rows = []
    for name, table in slices.items():
        known = [row for row in table if row["objects"] and not np.isnan(row["ap50"])]
        if len(known) > 1:
            row = min(known, key=lambda row: row["ap50"])
            rows.append([name, row["slice"], row["objects"], f"{row['ap50']:.2f}"])
    return "\n".join(["## Weakest slices", "", table_of(["by", "slice", "objects", "AP at IoU 0.5"], rows)])


def _faults_section(faults: Sequence[LabelFault]) -> str:
    counts = Counter(fault.fault for fault in faults)
    said = ", ".join(f"{count} {name}" for name, count in counts.most_common()) or "none"
    return "\n".join(
        [
            "## Suspected label errors",
            "",
            f"{said}. The most suspicious are in `label_faults.jpg`; all are in the two JSON files. They say little "
            "of a run that was tested on what it was trained on.",
        ]
    )
