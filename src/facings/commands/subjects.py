"""What a benchmark's list names (bundles, checkpoints, ONNX files of others), each as a bundle that the store runtime opens."""

import json
from collections.abc import Mapping, Sequence
from hashlib import sha256 as sha256_of
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from rich.console import Console

from facings.commands.benchmark_data import read_data, with_dataset
from facings.commands.export import read_parts, write_bundle
from facings.commands.export_settings import check_bundle_settings
from facings.commands.external_bundle import WORDS, read_subject, write_external_bundle
from facings.config import config_dir
from facings.errors import ConfigError
from facings.files import sha256
from facings.suggestions import nearest
from facings.tasks.checkpoint import checkpoint_config

ROLES = {"detection": "detector", "reid": "embedder"}
# Settings of `facings export` that are decided here: bundles of a benchmark lie in its run, in float32, and are timed by it.
FIXED = ("version", "output", "overwrite", "quantization", "latency", "verb", "run_name", "threads", "seed")
EXPECTED = (
    "a bundle's folder, a .ckpt of `facings train`, an .onnx file, {detector: A.ckpt, embedder: B.ckpt, gallery: {…}} or "
    "{onnx: FILE, layout: …}"
)


def open_subjects(entries: Sequence[Any], cfg: DictConfig, folder: Path) -> list[Path]:
    """A bundle's folder for each entry, in their order. A folder is itself; what else there may be is written into `folder`, as
    NAME-VERSION with the version being a checksum of what it was made of, so that nothing is made twice in one run. Pictures to
    compare on, and for golden samples, are those of the configuration's first dataset.

    Raises ConfigError, CheckpointError, DataError or BundleError for an entry that cannot be used.
    """
    console = Console()
    found = []
    for entry in entries:
        words = _words(entry)
        if isinstance(words, Path):
            found.append(words)
            continue
        given = {key: value for key, value in words.items() if key not in WORDS}
        files = {role: Path(str(words[role])) for role in ("onnx", "detector", "embedder") if words.get(role)}
        settings = _settings(cfg, given, folder, name=_name(files), entry=entry)
        checksums = [sha256(path) for path in files.values() if path.is_file()]
        content = json.dumps([words, checksums, OmegaConf.to_container(settings)], sort_keys=True, default=str)
        settings.version = sha256_of(content.encode()).hexdigest()[:8]
        target = folder / f"{settings.name}-{settings.version}"
        if not target.is_dir():
            _write(settings, words, target, cfg, console)
        found.append(target)
    return found


def _write(settings: DictConfig, words: Mapping[str, Any], target: Path, cfg: DictConfig, console: Console) -> None:
    if "onnx" in words:
        subject = read_subject(words, console)
        if subject.role == "embedder":
            _want_gallery(settings, f"{{onnx: {words['onnx']}, gallery: {{table: FILE.csv}}}}", str(words["onnx"]))
        write_external_bundle(settings, target, subject, _pictures(cfg), console)
        return
    if settings.embedder:
        parts = [f"{role}: {settings[role]}" for role in ("detector", "embedder") if settings[role]]
        _want_gallery(settings, f"{{{', '.join(parts)}, gallery: {{table: FILE.csv}}}}", str(settings.embedder))
    check_bundle_settings(settings)
    console.print(f"exporting {target.name} …", markup=False)
    write_bundle(settings, target, read_parts(settings, _pictures(cfg)), console)


def _words(entry: Any) -> dict[str, Any] | Path:
    """An entry as settings of an export, or the folder that it names."""
    given = OmegaConf.to_container(entry, resolve=True) if OmegaConf.is_config(entry) else entry
    if isinstance(given, str | Path):
        path = Path(given)
        if path.suffix == ".ckpt":
            return {ROLES[checkpoint_config(path)[0]]: str(path)}
        if path.suffix == ".onnx":
            return {"onnx": str(path)}
        if path.is_dir():
            return path
        raise ConfigError(f"bundles: {str(given)!r} is not there, or no such thing; expected {EXPECTED}")
    if not isinstance(given, Mapping) or not {"onnx", "detector", "embedder"} & set(given):
        raise ConfigError(f"bundles: {given!r}; expected {EXPECTED}")
    words = {str(key): value for key, value in given.items()}
    strange = {"detector", "embedder"} & set(words) if "onnx" in words else set(WORDS) & set(words)
    if strange:
        raise ConfigError(
            f"bundles: {given!r}: {min(strange)} does not go with {'onnx' if 'onnx' in words else 'a checkpoint'}"
        )
    if fixed := [key for key in FIXED if key in words]:
        raise ConfigError(f"bundles: {given!r}: {fixed[0]} is decided by the benchmark; leave it out")
    return words


def _name(files: Mapping[str, Path]) -> str:
    """What a subject is called where nobody says: its run's name, or its file's."""
    names = []
    for role, path in files.items():
        own = (
            path.stem if role == "onnx" else str(checkpoint_config(path)[1].get("run_name") or role).rsplit("/", 1)[-1]
        )
        names.append("".join(c if c.isalnum() or c in "._+-" else "_" for c in own).lstrip("."))
    return "+".join(dict.fromkeys(names)) or "subject"


def _settings(cfg: DictConfig, words: Mapping[str, Any], folder: Path, *, name: str, entry: Any) -> DictConfig:
    """The settings of `facings export` with those of an entry; what else the verb does (a run folder, int8) is left out."""
    made: Any = OmegaConf.load(config_dir() / "export.yaml")
    del made["defaults"]
    own = {"name": name, "run_name": name, "output": str(folder), "threads": cfg.threads, "seed": int(cfg.seed)}
    own["latency"] = {"images": 0}
    made = OmegaConf.merge(made, own, {"quantization": OmegaConf.load(config_dir() / "quantization" / "none.yaml")})
    OmegaConf.set_struct(made, True)
    try:
        merged = OmegaConf.merge(made, dict(words))
    except OmegaConfBaseException as fault:
        key = str(fault.full_key or next(iter(words)))
        keys = [
            *made,
            *WORDS,
            *(f"{group}.{own}" for group, part in made.items() if OmegaConf.is_dict(part) for own in part),
        ]
        raise ConfigError(f"bundles: {entry}: {key!r} is no setting of facings export{nearest(key, keys)}") from fault
    assert isinstance(merged, DictConfig)
    return merged


def _want_gallery(settings: DictConfig, example: str, file: str) -> None:
    if not settings.gallery.table and not settings.gallery.packshots:
        raise ConfigError(f"bundles: {file}: an embedder is asked against a gallery; write the entry as {example}, or with "
                          "gallery: {packshots: FOLDER}")  # fmt: skip


def _pictures(cfg: DictConfig) -> list[Path]:
    """Of the first dataset: its frames, or the pictures that its crops are cut from."""
    datasets = cfg.get("datasets")
    data = read_data(with_dataset(cfg, datasets[0]) if datasets else cfg)
    return list(dict.fromkeys([frame.path for frame in data.frames] or [query.path for query in data.queries]))
