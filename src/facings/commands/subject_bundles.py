"""What is benchmarked, as folders of bundles."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

# Below a run's folder: what had to be exported first.
EXPORTED = "bundles"
EXPORTABLE = (".ckpt", ".onnx")


def bundle_folder(entry: Any, cfg: DictConfig, folder: Path) -> Path:
    """The bundle's folder of one entry of a list, or of `bundle`: what is none yet (a checkpoint, an ONNX file) becomes one below
    `folder`. Raises FacingsError for what cannot be used."""
    if not OmegaConf.is_config(entry) and Path(str(entry)).suffix not in EXPORTABLE:
        return Path(str(entry))
    # Exporting wants torch, which a bundle that is there does not.
    from facings.commands.subjects import open_subjects

    return open_subjects([entry], cfg, folder)[0]


def with_bundle(cfg: DictConfig) -> DictConfig:
    """The configuration, its `bundle` a folder; as it is where none is given."""
    if OmegaConf.is_missing(cfg, "bundle"):
        return cfg
    made = deepcopy(cfg)
    made.bundle = str(bundle_folder(cfg.bundle, cfg, Path(cfg.paths.output_dir) / EXPORTED))
    return made
