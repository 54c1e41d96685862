"""What all protocols of `facings benchmark` beside `frames` do alike: begin a run, and write what it found."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from facings.benchmark.record import write_result
from facings.benchmark.rows import Stamp, append_rows, stamp
from facings.benchmark.summary import bundle_identity
from facings.commands.application import run_folder
from facings.commands.environment import command_line, write_environment
from facings.errors import ConfigError
from facings.files import atomic_write
from facings.runtime.bundle import Bundle


@dataclass(frozen=True)
class Run:
    """A run that began. `identity`: of its bundle, empty without one."""

    folder: Path
    stamp: Stamp
    identity: Mapping[str, Any]


def open_bundle(cfg: DictConfig) -> Bundle:
    """Raises ConfigError where none is given, BundleError for one at fault."""
    if OmegaConf.is_missing(cfg, "bundle"):
        raise ConfigError(f"protocol={cfg.protocol} wants bundle=FOLDER, the folder that `facings export` wrote")
    return Bundle.open(str(cfg.bundle))


def begin(
    cfg: DictConfig, bundle: Bundle | None, checksums: Mapping[str, str], settings: Mapping[str, Any] | None = None
) -> Run:
    """Make the folder, write configuration and environment, and take the stamp."""
    folder = run_folder(cfg)
    atomic_write(folder / "config.yaml", OmegaConf.to_yaml(cfg, resolve=True))
    command, seed = command_line("benchmark"), int(cfg.seed)
    environment = write_environment(folder, seed=seed, data=checksums, command=command)
    identity = bundle_identity(bundle) if bundle is not None else {}
    made = stamp(
        str(cfg.protocol), data=checksums, bundle=identity, command=command, seeds=[seed], settings=settings,
        commit=environment["git"],
    )  # fmt: skip
    return Run(folder, made, identity)


def finish(cfg: DictConfig, run: Run, content: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> Path:
    """Append the rows, and write `PROTOCOL.json`, which is returned, with the stamp in it. It comes last: where it is, the
    others are."""
    append_rows(Path(cfg.append_to) if cfg.append_to else run.folder, run.folder, run.stamp, rows)
    shared = {"protocol": run.stamp.protocol, "protocol_version": run.stamp.version, "bundle": dict(run.identity)}
    shared |= {name: getattr(run.stamp, name) for name in ("data", "settings", "command", "commit", "machine", "date")}
    path = run.folder / f"{run.stamp.protocol}.json"
    whole = plain({"schema": f"facings.{run.stamp.protocol}/1", **shared, "seeds": list(run.stamp.seeds), **content})
    atomic_write(path, json.dumps(whole, indent=2) + "\n")
    return path


def record(cfg: DictConfig, run: Run, claim: str, metrics: Mapping[str, Mapping[str, Any]]) -> Path:
    """Write results/ID.json of a run."""
    checksums = dict(run.stamp.data)
    if run.identity:
        checksums[f"bundle {run.identity['name']}"] = str(run.identity["sha256"])
    return write_result(
        str(cfg.result), claim=claim, metrics=metrics, command=run.stamp.command, data=checksums,
        seeds=list(run.stamp.seeds), commit=run.stamp.commit, folder=Path(cfg.paths.result_dir),
    )  # fmt: skip


def plain(value: Any) -> Any:
    """Without what JSON cannot say: numbers that are not finite become None."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
