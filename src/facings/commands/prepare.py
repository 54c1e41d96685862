"""`facings prepare`: a public dataset, or your own files, as the project's tables."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from facings.commands.application import run_folder
from facings.commands.composition import groups_and_options
from facings.commands.environment import command_line, write_environment
from facings.data.adapters.base import RECORD, Card, Report, card_of, prepare, read_record, readable
from facings.errors import ConfigError

FAULTS_SHOWN = 5


def run(cfg: DictConfig) -> Path:
    """Convert one dataset; returns the folder of its tables. Raises ConfigError or DataError for what the user can mend."""
    console = Console()
    convert = _adapter(cfg)
    card = card_of(convert.func if isinstance(convert, partial) else convert)
    data = Path(cfg.paths.data_dir)
    source = Path(str(cfg.source)) if cfg.source is not None else data / card.name
    output = Path(str(cfg.output)) if cfg.output is not None else data / str(cfg.name or card.name)
    console.print(f"{card.title}: {card.licence}; a model trained on it may be sold: {card.commercial}")
    columns = (SpinnerColumn(), TextColumn("pictures {task.completed:.0f}"), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("pictures", total=None)

        def advance(count: int) -> None:
            progress.advance(task, count)

        report = prepare(convert, card, source, output, advance=advance, overwrite=bool(cfg.overwrite))
    write_environment(run_folder(cfg), seed=0, data=read_record(output)["outputs"], command=command_line("prepare"))
    console.print(summary(card, report, output))
    _say_faults(console, report, output)
    if report.pictures is not None and card.task == "detection":
        console.print(readable(f"pictures: {report.pictures}"), soft_wrap=True, markup=False)
    return output


def _adapter(cfg: DictConfig) -> Callable[..., Any]:
    node = OmegaConf.select(cfg, "dataset")
    if node is None:
        raise ConfigError(f"dataset= is missing; one of {', '.join(groups_and_options('prepare')['dataset'])}")
    made: Callable[..., Any] = instantiate(node)
    return made


def summary(card: Card, report: Report, output: Path) -> Table:
    """Pictures, objects and classes of each split."""
    title = Text(readable(f"{card.title}: {output}"))
    table = Table("split", "pictures", "objects", "a picture", "classes", title=title)
    for split, counts in report.as_json()["splits"].items():
        images, objects, classes = counts["images"], counts["objects"], counts["classes"]
        mean = f"{objects / images:.1f}" if images else ""
        table.add_row(Text(readable(split)), str(images), str(objects), mean, "" if classes is None else str(classes))
    return table


def _say_faults(console: Console, report: Report, output: Path) -> None:
    total = sum(report.fault_counts.values())
    if not total:
        console.print("no faults")
        return
    kinds = ", ".join(f"{count} {kind}" for kind, count in report.fault_counts.most_common())
    console.print(
        readable(f"{total} faults: {kinds}; see {output / RECORD}"), soft_wrap=True, highlight=False, markup=False
    )
    for line in report.faults[:FAULTS_SHOWN]:
        console.print(f"  {line}", soft_wrap=True, highlight=False, markup=False)
