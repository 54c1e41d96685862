"""What is benchmarked, as folders of bundles."""

from copy import deepcopy
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from facings.errors import ConfigError

# Below a run's folder: what had to be exported first.
EXPORTED = "bundles"
EXPORTABLE = (".ckpt", ".onnx")


def bundle_folder(entry: Any, cfg: DictConfig, folder: Path) -> Path:
    """The bundle's folder of one entry of a list, or of `bundle`. Raises ConfigError for a file that can be made none."""
    path = Path(str(entry))
    if path.suffix in EXPORTABLE:
        raise ConfigError(f"bundle {entry}: a file; export it first, and give the folder that `facings export` wrote")
    return path


def with_bundle(cfg: DictConfig) -> DictConfig:
    """The configuration, its `bundle` a folder; as it is where none is given."""
    if OmegaConf.is_missing(cfg, "bundle"):
        return cfg
    made = deepcopy(cfg)
    made.bundle = str(bundle_folder(cfg.bundle, cfg, Path(cfg.paths.output_dir) / EXPORTED))
    return made
