"""The analysis of an embedder's run: queries whose nearest view is of another product, and labels that look wrong."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from hydra.utils import instantiate
from numpy.typing import NDArray
from omegaconf import OmegaConf
from PIL import Image
from torch import nn

from facings.analysis.contact_sheet import jpeg
from facings.analysis.curve_figures import png
from facings.analysis.error_figures import draw_counts
from facings.analysis.findings import findings_of_counts
from facings.analysis.label_faults import EmbeddingFault, embedding_label_faults
from facings.analysis.likeness_maps import draw_looked_at, edge_share, looked_at
from facings.analysis.nearest_failures import draw_failures, kinds_of_failures, nearest_failures
from facings.commands.analyzed import Analyzed, pairs_section, table_of
from facings.data.recognition import CropReader
from facings.data.tables import RecognitionRow
from facings.data.transforms.letterbox import letterbox, normalise
from facings.errors import ConfigError, DataError
from facings.files import atomic_write
from facings.tasks.checkpoint import check_targets, checkpoint_config, load_model

LISTED = 100
# Failures whose maps are drawn: each wants 111 embeddings.
LOOKED_AT = 6
BATCH = 16
DATA_TARGETS = ("facings.data.",)


def analyze_embedder(source: Path, config: Mapping[str, Any], folder: Path, *, pictures: int = 12) -> Analyzed:
    """Embed the run's test split anew; write `failures.png`, `nearest_failures.jpg` and, of the clearest failures, `looked_at.jpg`
    into `folder`.

    Raises ConfigError as `_trained_embedder` does, DataError where the split has no photos or no queries.
    """
    model, data = _trained_embedder(source, config)
    # As the loader takes them: it may thin the gallery out, and sorts it by product then.
    gallery_rows, query_rows = data.gallery(data.test_gallery_limit), data.test_rows
    if not gallery_rows or not query_rows:
        raise DataError(
            f"{data.table.source}: gives {len(gallery_rows)} gallery photos and {len(query_rows)} test queries; expected "
            "some of both"
        )
    views, queries = (embed(model, loader) for loader in data.test_dataloader())
    products = sorted({row.product_id for row in (*gallery_rows, *query_rows)})
    number = {product: place for place, product in enumerate(products)}
    labels, view_labels = (
        np.array([number[row.product_id] for row in rows], np.int64) for rows in (query_rows, gallery_rows)
    )
    failures = nearest_failures(queries, labels, views, view_labels)
    faults = embedding_label_faults(np.concatenate([views, queries]), np.concatenate([view_labels, labels]))
    kinds = kinds_of_failures(failures, [row.category for row in query_rows], [row.category for row in gallery_rows])
    names = [row.product_id for row in query_rows], [row.product_id for row in gallery_rows]
    read = CropReader(0.0)
    title = "Nearest is another product: what was asked, the nearest view, the nearest right one"
    sheet = draw_failures(
        failures[:pictures],
        lambda place: Image.fromarray(read(query_rows[place])),
        lambda place: Image.fromarray(read(gallery_rows[place])),
        *names,
        title=title if failures else "Every query's nearest view is of its product",
    )
    shown = CropReader(float(data.crop_margin))
    read_query, read_view = (lambda place: shown(query_rows[place])), (lambda place: shown(gallery_rows[place]))
    seen = [
        looked_at(failure, read_query, read_view, lambda crops: embed_crops(model, crops, data))
        for failure in failures[: min(LOOKED_AT, pictures)]
    ]
    attention = draw_looked_at(
        seen,
        read_query,
        read_view,
        *names,
        title="What the embedder looked at: asked beside nearest, asked beside the nearest right one",
    )
    content = {
        "failures.png": png(draw_counts(kinds, title="Queries whose nearest view is wrong", below="queries")),
        "nearest_failures.jpg": jpeg(sheet),
        "looked_at.jpg": jpeg(attention),
    }
    for name, picture in content.items():
        atomic_write(folder / name, picture)
    pairs = Counter((query_rows[f.query].product_id, gallery_rows[f.nearest].product_id) for f in failures)
    rows = [*gallery_rows, *query_rows]
    return Analyzed(
        kind="an embedder",
        findings=tuple(findings_of_counts(kinds, of="queries", whole=len(query_rows))),
        content={
            "queries": len(query_rows),
            "views": len(gallery_rows),
            "failures": len(failures),
            "kinds": kinds,
            "confusions": [{"is": a, "nearest": b, "count": count} for (a, b), count in pairs.most_common(LISTED)],
            "looked_at": [
                {
                    "is": query_rows[one.failure.query].product_id,
                    "nearest": gallery_rows[one.failure.nearest].product_id,
                    "margin": one.failure.margin,
                    "outer_ring": edge_share(one.query_nearest),
                }
                for one in seen
            ],
            "label_faults": [_fault(fault, rows, products) for fault in faults[:LISTED]],
        },
        sections=(*_unfinished(source), pairs_section(pairs), _fault_section(faults, rows, products)),
        files=tuple(folder / name for name in content),
    )


def _trained_embedder(source: Path, config: Mapping[str, Any]) -> tuple[nn.Module, Any]:
    """The run's model, and the data module that it was trained with.

    Raises ConfigError for a run that is no embedder's, or one that was asked about another table than its own.
    """
    checkpoint = config.get("checkpoint") or source / "checkpoints" / "best.ckpt"
    if not Path(checkpoint).is_file():
        raise ConfigError(
            f"{source}: holds no decisions, no predictions, and {checkpoint} is not there; a finished train, evaluate or "
            "benchmark has one of them"
        )
    if asked := [
        name for name in ("table", "gallery", "queries") if config.get(name) and config.get("verb") == "evaluate"
    ]:
        raise ConfigError(
            f"{source}: was asked about a {asked[0]} of its own; analyze the run that trained {checkpoint}"
        )
    kind, _ = checkpoint_config(str(checkpoint))
    if kind != "reid":
        raise ConfigError(f"{source}: a detector without predictions; let it finish its test, or give predictions=FILE")
    model, trained = load_model(str(checkpoint), "reid")
    check_targets(trained["data"], DATA_TARGETS, source=str(checkpoint))
    data = instantiate(OmegaConf.create(trained["data"]))
    return model, data


def embed(model: nn.Module, loader: Any) -> NDArray[np.float32]:
    """(N, D) of a loader's crops, in its order."""
    parts = [np.zeros((0, 0), np.float32)]
    model.eval()
    with torch.inference_mode():
        parts += [model(batch["crops"]).float().cpu().numpy() for batch in loader]
    return np.concatenate(parts[1:] or parts)


def embed_crops(model: nn.Module, crops: Sequence[NDArray[np.uint8]], data: Any) -> NDArray[np.float32]:
    """(N, D) of crops (H, W, 3) uint8, prepared as the evaluation of `data` prepares them."""
    parts = []
    for start in range(0, len(crops), BATCH):
        squares = [letterbox(crop, data.image_size)[0] for crop in crops[start : start + BATCH]]
        pixels = np.stack([normalise(square, data.mean, data.std) for square in squares])
        parts.append({"crops": torch.from_numpy(pixels)})
    return embed(model, parts)


def _fault(fault: EmbeddingFault, rows: Sequence[RecognitionRow], products: Sequence[str]) -> dict[str, Any]:
    row = rows[fault.index]
    named = {"labelled": products[fault.labelled], "suggested": products[fault.suggested]}
    return {"path": str(row.path), "box": row.box, **named, "suspicion": fault.suspicion}


def _unfinished(source: Path) -> list[str]:
    """A word of warning where the run has a checkpoint, but no results yet."""
    if (source / "results.json").is_file():
        return []
    return ["This run did not finish (it has no `results.json`): all here is of its best checkpoint so far."]


def _fault_section(faults: Sequence[EmbeddingFault], rows: Sequence[RecognitionRow], products: Sequence[str]) -> str:
    lines = [
        [rows[f.index].path.name, products[f.labelled], products[f.suggested], f"{f.suspicion:.2f}"]
        for f in faults[:10]
    ]
    head = ["picture", "labelled", "its neighbours are", "suspicion"]
    return "\n".join(["## Suspected label errors", "", f"{len(faults)} crops.", "", table_of(head, lines)])
