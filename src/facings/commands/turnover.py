"""`facings benchmark protocol=turnover`: the shop over many days. See docs/turnover.md."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from rich.console import Console
from rich.progress import track
from rich.table import Table

from facings.analysis.curve_figures import png
from facings.analysis.fnir_figure import draw_fnir
from facings.analysis.turnover_figure import draw_turnover
from facings.benchmark.claims import claim_of
from facings.benchmark.record import write_result
from facings.benchmark.rows import append_rows, figure_rows, stamp
from facings.benchmark.turnover import run_shop, summarise
from facings.benchmark.turnover_data import Embeddings
from facings.benchmark.turnover_days import Protocol
from facings.benchmark.turnover_fnir import fnir_report
from facings.commands.application import run_folder
from facings.commands.environment import command_line, write_environment
from facings.commands.turnover_sources import read_data
from facings.errors import ConfigError
from facings.files import atomic_write
from facings.runtime.standard import Rates

AVAILABLE = (
    "relative_error", "fixed_threshold_relative_error", "coverage", "set_size", "picklist3", "correct_at_level", "leaf_share",
    "correct_when_said", "silent_share",
)  # fmt: skip


def run(cfg: DictConfig) -> dict[str, float]:
    """Run every shop, print, write `turnover.json`, `turnover.png`, and with `turnover.fnir` `fnir.json`, `fnir.png`, and append
    the figures to the results file.

    Returns the figures' values.

    Raises ConfigError, DataError or BundleError for what the user can mend.
    """
    console = Console()
    protocol, rates, seeds = settings(cfg)
    if cfg.result:
        claim_of(str(cfg.result), available=AVAILABLE)
    folder = run_folder(cfg)
    atomic_write(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=False))
    data, name, checksums = read_data(cfg, folder, console)
    # First, as it is done in seconds: sizes that the data cannot give are told before the shops are run.
    misses = None if cfg.turnover.fnir is None else _fnir(cfg, data)
    command = command_line("benchmark")
    environment = write_environment(folder, seed=int(cfg.seed), data=checksums, command=command)
    shops = [
        run_shop(data, protocol, rates, seed=seed, classifier=bool(cfg.turnover.classifier))
        for seed in track(seeds, description="shops", console=console)
    ]
    content = {
        "schema": "facings.turnover/1",
        "data": name,
        "protocol": asdict(protocol),
        "seeds": seeds,
        **summarise(shops, rates),
        "rates": asdict(rates),
    }
    plain = _plain(content)
    atomic_write(folder / "turnover.json", json.dumps(plain, indent=2) + "\n")
    _append(cfg, folder, plain, checksums, command, environment["git"])
    (folder / "turnover.png").write_bytes(png(draw_turnover(plain)))
    console.print(table(content["figures"], name))
    console.print(f"figure: {folder / 'turnover.png'}")
    if misses is not None:
        atomic_write(folder / "fnir.json", json.dumps({"data": name, **misses}, indent=2) + "\n")
        (folder / "fnir.png").write_bytes(png(draw_fnir(misses, name=name)))
        console.print(fnir_table(misses, name))
        console.print(f"figure: {folder / 'fnir.png'}")
    if cfg.result:
        claim, names, _ = claim_of(str(cfg.result), available=AVAILABLE)
        fields = ("value", "low", "high")
        written = write_result(
            str(cfg.result),
            claim=claim,
            metrics={n: {f: v for f, v in content["figures"][n].items() if f in fields} for n in names},
            command=command,
            data=checksums,
            seeds=seeds,
            commit=environment["git"],
            folder=Path(cfg.paths.result_dir),
        )
        console.print(f"result: {written}")
    return {key: float(entry["value"]) for key, entry in content["figures"].items() if math.isfinite(entry["value"])}


def _append(
    cfg: DictConfig, folder: Path, content: Mapping[str, Any], checksums: Mapping[str, str], command: str, commit: str
) -> None:
    """The run's figures as rows of the results file."""
    settings = {
        **content["protocol"],
        **content["rates"],
        "embeddings": cfg.turnover.checkpoint or cfg.turnover.backbone,
    }
    made = stamp(
        "turnover", data=checksums, bundle={}, command=command, seeds=content["seeds"], settings=settings, commit=commit
    )
    figures = content["figures"]
    values = {name: figure["value"] for name, figure in figures.items()}
    intervals = {
        name: (figure["low"], figure["high"]) for name, figure in figures.items() if figure.get("low") is not None
    }
    append_rows(Path(cfg.append_to) if cfg.append_to else folder, folder, made, figure_rows(values, intervals))


def settings(cfg: DictConfig) -> tuple[Protocol, Rates, list[int]]:
    """Protocol, rates and seeds of a configuration. Raises ConfigError for what is out of range."""
    chosen = OmegaConf.to_container(cfg.turnover, resolve=True)
    assert isinstance(chosen, dict)
    own = {str(key): value for key, value in chosen.items()}
    try:
        protocol = Protocol(**{name: own[name] for name in Protocol.__dataclass_fields__})
        rates = Rates(**own["rates"])
    except (TypeError, ValueError) as fault:
        raise ConfigError(f"turnover: {fault}") from fault
    if int(own["seeds"]) < 1:
        raise ConfigError(f"turnover.seeds is {own['seeds']}; expected 1 or more")
    return protocol, rates, list(range(int(cfg.seed), int(cfg.seed) + int(own["seeds"])))


def table(figures: Mapping[str, Mapping[str, float]], name: str) -> Table:
    """The figures for the terminal, means over days 1 to N and all shops."""
    made = Table("figure", "value", "95 % of the mean", title=f"turnover on {name}")
    for key, entry in figures.items():
        interval = f"{entry['low']:.4f} – {entry['high']:.4f}" if "low" in entry else ""
        made.add_row(key, f"{entry['value']:.4f}", interval)
    return made


def fnir_table(content: Mapping[str, Any], name: str) -> Table:
    """A row a gallery size: FNIR at each FPIR, and what the threshold of the smallest gallery would let pass."""
    columns = {f"fnir_{share:g}": f"FNIR at {share:.3g}" for share in content["fpirs"]}
    columns |= {"rank1_miss": "wrong first", "fpir_fixed": "FPIR, threshold kept"}
    made = Table("products", "non-mated", *columns.values(), title=f"misses against gallery size on {name}")
    for entry in content["sizes"]:
        cells = []
        for key in columns:
            figure = entry["figures"][key]
            told = entry["resolved"].get(key.removeprefix("fnir_"), True)
            bound = "" if told else "≤ "
            cells.append(f"{bound}{figure['value']:.3f}\n{figure['low']:.3f} – {figure['high']:.3f}")
        made.add_row(str(entry["products"]), f"{entry['non_mated']:.0f}", *cells)
    made.caption = "below each: 95 % of the draws. ≤: the searches are too few to tell so small a rate"
    return made


def _fnir(cfg: DictConfig, data: Embeddings) -> dict[str, Any]:
    """Raises ConfigError for settings that there are not, and as `fnir_report`."""
    given: Any = cfg.turnover.fnir
    if not OmegaConf.is_dict(given) or set(given) != {"sizes", "fpirs", "draws"}:
        raise ConfigError(f"turnover.fnir is {given}; expected sizes, fpirs and draws, or null")
    asked: Any = OmegaConf.to_container(given, resolve=True)
    return fnir_report(data, views=int(cfg.turnover.views), seed=int(cfg.seed), **asked)


def _plain(value: Any) -> Any:
    """Without what JSON cannot say: numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
