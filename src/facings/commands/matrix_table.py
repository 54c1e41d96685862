"""A list's run as tables: on the terminal, as Markdown, and what `facings compare` says of each dataset. Runs nothing."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.table import Table

from facings.benchmark.matrix import Cells, figure_row, means
from facings.benchmark.verdict import LEVEL
from facings.commands.benchmark_runs import JUDGED, FinishedRun, read_run, refuse_unlike
from facings.commands.compare import notes_of, verdict_entry
from facings.commands.run_verdicts import judge
from facings.errors import FacingsError

FAILED = "failed"
MEAN = "geometric mean"
VERDICT = ("dataset", "figure", "bundle", "minus the first", "95 %", "p", "verdict")


def entry(cells: Cells, figure: str | None) -> dict[str, Any]:
    """`cells` and `geometric_mean` as `matrix.json` holds them: bundle → dataset → `value`, `low`, `high`, `unit`, `slice`, and the
    folder of its `run`, or the `fault`."""
    made: dict[str, dict[str, Any]] = {}
    for bundle, row in cells.items():
        made[bundle] = {}
        for dataset, cell in row.items():
            if cell.fault is not None:
                made[bundle][dataset] = {"fault": cell.fault}
                continue
            found = figure_row(cell.rows, figure) if figure is not None else None
            names = ("value", "low", "high", "unit", "slice")
            made[bundle][dataset] = {"run": f"{bundle}/{dataset}"} | {n: found[n] if found else None for n in names}
    return {"cells": made, "geometric_mean": means(cells, figure) if figure is not None else {}}


def verdicts_by_dataset(cfg: DictConfig, folder: Path, cells: Cells) -> dict[str, Any]:
    """Dataset → every bundle against the first one: `first`, `pictures`, `figures` as `compare.json` has verdicts, and `notes`; or
    why it was `refused`. Empty for one bundle, and for a protocol without answers by picture."""
    if cfg.protocol not in JUDGED or len(cells) < 2:
        return {}
    first = next(iter(cells))
    found: dict[str, Any] = {}
    for dataset in cells[first]:
        runs: list[FinishedRun] = []
        left_out: list[str] = []
        for bundle, row in cells.items():
            if row[dataset].fault is not None:
                left_out.append(f"{bundle} failed")
                continue
            try:
                runs.append(replace(read_run(folder / bundle / dataset), name=bundle))
            except FacingsError as fault:
                left_out.append(str(fault))
        found[dataset] = _verdicts(runs, first, left_out, seed=int(cfg.seed))
    return found


def _verdicts(runs: Sequence[FinishedRun], first: str, left_out: list[str], *, seed: int) -> dict[str, Any]:
    if len(runs) < 2 or runs[0].name != first:
        return {"refused": "; ".join(left_out)}
    try:
        refuse_unlike(runs)
        found, pictures = judge(runs, seed=seed)
    except FacingsError as fault:
        return {"refused": str(fault)}
    notes = [*left_out, *notes_of(runs, pictures)]
    return {"first": first, "pictures": pictures, "figures": [verdict_entry(v) for v in found], "notes": notes}


def matrix_table(content: Mapping[str, Any]) -> Table:
    """A row a bundle, a column a dataset; `content`: of `matrix.json`."""
    head, rows = _grid(content)
    made = Table(*head, title=f"{content['protocol']}: {_title(content)}")
    for name, *cells in rows:
        made.add_row(name, *(f"[red]{cell}[/]" if cell == FAILED else cell for cell in cells))
    return made


def verdict_table(content: Mapping[str, Any]) -> Table | None:
    """Of each dataset every bundle against the first; None where there is no verdict."""
    if not (rows := _verdict_rows(content)):
        return None
    made = Table(*VERDICT, title=f"against {next(iter(content['cells']))}, in pairs")
    for row in rows:
        made.add_row(*row)
    made.caption = f"verdict at {LEVEL:.0%}, p raised for several bundles (Holm)"
    return made


def verdict_notes(content: Mapping[str, Any]) -> list[str]:
    """What is to be known of the verdicts, also why there is none, each line behind the datasets that it is of."""
    told: dict[str, list[str]] = {}
    for dataset, verdict in content["verdicts"].items():
        lines = [f"no verdict: {verdict['refused']}"] if "refused" in verdict else verdict["notes"]
        for line in lines:
            told.setdefault(line, []).append(dataset)
    return [f"{', '.join(datasets)}: {line}" for line, datasets in told.items()]


def markdown(content: Mapping[str, Any]) -> str:
    """The tables for a pull request or a page."""
    head, rows = _grid(content)
    lines = [f"# {content['protocol']}: {_title(content)}", "", *_lines(head, rows, left=1)]
    if verdicts := _verdict_rows(content):
        first = next(iter(content["cells"]))
        lines += ["", f"Against {first}, in pairs; p raised for several bundles (Holm).", ""]
        lines += _lines(VERDICT, verdicts, left=len(VERDICT))
    if notes := [*verdict_notes(content), *content["notes"]]:
        lines += ["", *(f"- {note}" for note in notes)]
    faults = [
        f"- {bundle} on {dataset}: {' '.join(cell['fault'].split())}"
        for bundle, row in content["cells"].items()
        for dataset, cell in row.items()
        if "fault" in cell
    ]
    lines += ["", "Failed:", "", *faults] if faults else []
    lines += ["", f"`{content['command']}`, commit `{content['commit'][:10]}`, {content['date'][:10]}"]
    return "\n".join(lines) + "\n"


def _grid(content: Mapping[str, Any]) -> tuple[list[str], list[list[str]]]:
    """Head, and a row of text a bundle."""
    several = len(content["datasets"]) > 1 and content["figure"] is not None
    head = ["bundle", *content["datasets"], *([MEAN] if several else [])]
    rows = []
    for bundle, row in content["cells"].items():
        cells = [_cell(row[dataset]) for dataset in content["datasets"]]
        mean = content["geometric_mean"].get(bundle)
        rows.append([bundle, *cells, *(["–" if mean is None else _number(mean)] if several else [])])
    return head, rows


def _cell(cell: Mapping[str, Any]) -> str:
    if "fault" in cell:
        return FAILED
    if cell["value"] is None:
        return "–"
    between = "" if cell["low"] is None else f" ({_number(cell['low'])} – {_number(cell['high'])})"
    return f"{_number(cell['value'])}{between}"


def _title(content: Mapping[str, Any]) -> str:
    """What the cells are."""
    if content["figure"] is None:
        return "no figure"
    done = [cell for row in content["cells"].values() for cell in row.values() if cell.get("value") is not None]
    units = {cell["unit"] for cell in done} - {None}
    parts = {k: v for k, v in done[0]["slice"].items() if k != "disturbed"} if done else {}
    words = [content["figure"], *(f"{key} {value}" for key, value in parts.items()), *sorted(units)]
    return ", ".join(words) + (", less is better" if content["less_is_better"] else "")


def _verdict_rows(content: Mapping[str, Any]) -> list[list[str]]:
    """A row of text a verdict, under `VERDICT`."""
    rows = []
    for dataset, told in content["verdicts"].items():
        for one in told.get("figures", ()):
            between = "–" if None in (one["low"], one["high"]) else f"{one['low']:+.4f} – {one['high']:+.4f}"
            value = "–" if one["value"] is None else f"{one['value']:+.4f}"
            p = "–" if one["p"] is None else f"{one['p']:.3f}"
            rows.append([dataset, one["figure"], one["second"], value, between, p, one["winner"]])
    return rows


def _number(value: float) -> str:
    """Three digits behind the point, fewer of large ones."""
    return f"{value:.1f}" if abs(value) >= 100 else f"{value:.2f}" if abs(value) >= 10 else f"{value:.3f}"


def _lines(head: Sequence[str], rows: Sequence[Sequence[str]], *, left: int) -> list[str]:
    """A Markdown table, whose first `left` columns are words."""
    marks = ["---" if number < left else "---:" for number in range(len(head))]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |" for cells in (head, marks, *rows)]
