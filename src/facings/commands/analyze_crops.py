"""The analysis of a benchmark's crops: what is nearest to what, what the embedder looked at, and what a threshold does to goods
that are not enrolled."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from PIL import Image

from facings.analysis.contact_sheet import jpeg
from facings.analysis.curve_figures import png
from facings.analysis.drift_between import embedding_drift, picture_statistics, statistics_drift
from facings.analysis.findings import Finding, findings_of_counts
from facings.analysis.likeness_maps import draw_looked_at, edge_share, looked_at
from facings.analysis.nearest_failures import draw_failures, kinds_of_failures, nearest_failures
from facings.analysis.next_steps import steps_of_drift, steps_of_open_set, steps_of_turnover
from facings.analysis.open_set_figures import draw_growth, draw_open_set
from facings.analysis.open_set_scores import doubling_sizes, open_set_scores
from facings.analysis.turnover_figure import draw_turnover
from facings.benchmark.turnover_short import short_turnover
from facings.commands.analyzed import Analyzed, pairs_section, table_of
from facings.commands.opened_run import Crops, accept_rule, embed_table, embedder_of, halves
from facings.data.recognition import CropReader
from facings.data.tables import RecognitionRow
from facings.files import atomic_write
from facings.metrics.open_set import fnir_by_gallery_size
from facings.runtime.bundle import Bundle
from facings.runtime.images import read_image

LISTED = 100
# Failures whose maps are drawn: each wants 111 embeddings.
LOOKED_AT = 4
# Pictures of each half whose statistics are taken.
SAMPLED = 40


def analyze_crops(
    recognition: Mapping[str, Any], bundle: Bundle, folder: Path, *, name: str, pictures: int = 12
) -> Analyzed:
    """Write `nearest_failures.jpg` and `looked_at.jpg` into `folder`, and of two enrolled products or more `unknowns.png`,
    `growth.png`, and where the goods suffice `turnover.png`. `recognition`: what the run was asked; `name`: of the data.

    Raises DataError for a table without photos to enroll, and BundleError for a bundle without embedder.
    """
    crops = embed_table(bundle, recognition)
    content: dict[str, bytes] = {}
    kinds, failed, pairs = _failures(crops, bundle, content, pictures)
    queries = int((~crops.data.enrol).sum())
    findings = findings_of_counts(kinds, of="queries", whole=queries)
    told: dict[str, Any] = {"queries": queries, "views": int(crops.data.enrol.sum()), "kinds": kinds, **failed}
    steps: list[Finding] = []
    if len({row.product_id for row in crops.rows if row.role == "gallery"}) > 1:
        own, more = _unknowns(crops, bundle, content, name)
        told, steps = told | own, [*steps, *more]
    drift, more = _drift(crops)
    told, steps = told | drift, [*steps, *more]
    paths = tuple(folder / file for file in content)
    for path, data in zip(paths, content.values(), strict=True):
        atomic_write(path, data)
    rows = [[step.text, step.advice] for step in steps]
    return Analyzed(
        kind="crops",
        findings=tuple(findings),
        content={"crops": told},
        sections=(
            pairs_section(pairs, f"Crops at true boxes: {sum(kinds.values())} of {queries} nearest to another product"),
            "\n".join(["## Unknown goods, and drift", "", table_of(["what was found", "what to do"], rows)]),
        ),
        files=paths,
    )


def _failures(
    crops: Crops, bundle: Bundle, content: dict[str, bytes], pictures: int
) -> tuple[dict[str, int], dict[str, Any], Counter[tuple[str, str]]]:
    """The two sheets; how many failures are of which kind, what is told of them, and the pairs."""
    queries, labels, query_rows = crops.side(enrol=False)
    views, view_labels, view_rows = crops.side(enrol=True)
    failures = nearest_failures(queries, labels, views, view_labels)
    names = _names(query_rows), _names(view_rows)
    tight = CropReader(0.0)
    title = f"{len(failures)} of {len(queries)} crops are nearest to another product: asked, nearest, nearest right one"
    content["nearest_failures.jpg"] = jpeg(
        draw_failures(
            failures[:pictures],
            lambda place: Image.fromarray(tight(query_rows[place])),
            lambda place: Image.fromarray(tight(view_rows[place])),
            *names,
            title=title,
        )
    )
    shown, embed = CropReader(bundle.postprocess.crop_margin), embedder_of(bundle)
    sides = (lambda place: shown(query_rows[place])), (lambda place: shown(view_rows[place]))
    seen = [looked_at(failure, *sides, embed) for failure in failures[: min(LOOKED_AT, pictures)]]
    title = "What the embedder looked at: asked beside nearest, asked beside the nearest right one"
    content["looked_at.jpg"] = jpeg(draw_looked_at(seen, *sides, *names, title=title))
    pairs = Counter((names[0][f.query], names[1][f.nearest]) for f in failures)
    told = {
        "confusions": [{"is": a, "nearest": b, "count": count} for (a, b), count in pairs.most_common(LISTED)],
        "looked_at": [
            {"is": names[0][one.failure.query], "nearest": names[1][one.failure.nearest], "margin": one.failure.margin,
             "outer_ring": edge_share(one.query_nearest)}
            for one in seen
        ],
    }  # fmt: skip
    categories = [row.category for row in query_rows], [row.category for row in view_rows]
    return kinds_of_failures(failures, *categories), told, pairs


def _unknowns(
    crops: Crops, bundle: Bundle, content: dict[str, bytes], name: str
) -> tuple[dict[str, Any], list[Finding]]:
    """Each query as it is and with its product taken out; the gallery that grows; a shop of ten days."""
    queries, labels, _ = crops.side(enrol=False)
    views, view_labels, _ = crops.side(enrol=True)
    rule = accept_rule(bundle)
    scores = open_set_scores(queries, labels, views, view_labels, sure=rule.sure)
    now = scores.at(rule.threshold)
    content["unknowns.png"] = png(draw_open_set(scores, rule.threshold, measure=rule.measure))
    sizes = doubling_sizes(len(set(view_labels.tolist())))
    growth = fnir_by_gallery_size(queries, labels, views, view_labels, sizes=sizes, fpirs=(rule.false_accept,))
    content["growth.png"] = png(draw_growth(growth, asked=rule.false_accept))
    steps = steps_of_open_set(now, rule.false_accept, len(queries))
    turnover = short_turnover(crops.data, name=name, false_accept=rule.false_accept)
    if turnover:
        content["turnover.png"] = png(draw_turnover(turnover))
        steps.append(steps_of_turnover(turnover["figures"], rule.false_accept))
    figures = now | scores.figures(fpir=rule.false_accept)
    return {"unknowns": figures, "boldest": scores.boldest(crops.products, rule.threshold)}, steps


def _drift(crops: Crops) -> tuple[dict[str, Any], list[Finding]]:
    """The first half of the pictures against the second; nothing of fewer than four."""
    queries, _, rows = crops.side(enrol=False)
    before, after, picture = halves(rows)
    weeks = [sorted({rows[place].path for place in half.tolist()}) for half in (before, after)]
    if min(map(len, weeks)) < 2:
        return {}, []
    groups = [picture[half].tolist() for half in (before, after)]
    drift = embedding_drift(queries[before], queries[after], before_groups=groups[0], after_groups=groups[1])
    taken = [[picture_statistics(read_image(path)) for path in week[:SAMPLED]] for week in weeks]
    statistics = statistics_drift(*taken)
    told = {"drift": asdict(drift), "statistics": [asdict(entry) for entry in statistics]}
    return told, [steps_of_drift(drift.p_value, statistics)]


def _names(rows: Sequence[RecognitionRow]) -> list[str]:
    return [row.product_id for row in rows]
