"""What `facings export` is told: its settings checked before a model is loaded, and what of them the bundle keeps.

Knows nothing of graphs.
"""

from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from facings.commands.quantization import check_quantization
from facings.errors import CheckpointError, ConfigError
from facings.export.networks import OPSETS
from facings.runtime.bundle import standard_of
from facings.runtime.standard import Rates
from facings.tasks.crop_views import check_averaging
from facings.tiles import Tiling


def check_settings(cfg: DictConfig) -> Path:
    """The bundle's folder, which must be free. All that can be refused without loading a model is refused here."""
    if not cfg.detector and not cfg.embedder:
        raise CheckpointError(
            "export needs trained weights: give detector=CHECKPOINT, embedder=CHECKPOINT or both "
            "(the best.ckpt or last.ckpt that `facings train` wrote)"
        )
    if not cfg.parity.images:
        raise ConfigError(
            "parity.images is not given: torch and ONNX Runtime are compared on a folder of real pictures"
        )
    return check_bundle_settings(cfg)


def check_bundle_settings(cfg: DictConfig) -> Path:
    """As `check_settings`, of what does not depend on where networks and pictures come from."""
    for key in ("name", "version"):
        text = str(cfg[key])
        if (
            not text
            or not all(c.isalnum() or c in "._+" or (c == "-" and key == "name") for c in text)
            or text[0] == "."
        ):
            raise ConfigError(f"{key}={text!r}: expected letters, digits and any of ._+-; it becomes a folder's name")
    for key in ("score_threshold", "false_accept_rate", "ambiguity_margin", "crop_margin", "nms_iou"):
        if not 0 <= float(cfg[key]) <= 1:
            raise ConfigError(f"{key}={cfg[key]}: expected a share from 0 to 1")
    if int(cfg.opset) not in OPSETS:
        raise ConfigError(f"opset={cfg.opset}: expected one of {', '.join(map(str, OPSETS))}")
    least = {"top_k": cfg.top_k, "candidates": cfg.candidates, "parity.count": cfg.parity.count}
    least |= {"calibration.views": cfg.calibration.views}
    if int(cfg.calibration.whiten) < 0:
        raise ConfigError(f"calibration.whiten={cfg.calibration.whiten}: expected 0 or more products")
    check_averaging(str(cfg.tta), "tta")
    for key, value in least.items():
        if int(value) < 1:
            raise ConfigError(f"{key}={value}: expected 1 or more")
    if not 1 <= int(cfg.golden.count) <= int(cfg.parity.count):
        raise ConfigError(f"golden.count={cfg.golden.count}: expected 1 to parity.count={cfg.parity.count}")
    if cfg.embedder and not cfg.gallery.table and not cfg.gallery.packshots:
        raise ConfigError(
            "an embedder needs a gallery: give gallery.table=FILE.csv (rows of role gallery) or gallery.packshots=FOLDER"
        )
    for text in cfg.licences:
        stated_licence(text)
    _tiling(cfg)
    _standard(cfg)
    check_quantization(cfg)
    target = Path(cfg.output) / f"{cfg.name}-{cfg.version}"
    if target.exists() and not cfg.overwrite and (not target.is_dir() or any(target.iterdir())):
        raise ConfigError(f"{target}: exists already; choose another version, or --overwrite")
    return target


def _tiling(cfg: DictConfig) -> dict[str, Any] | None:
    """postprocess.json's `tiles`. Raises ConfigError for sizes that do not fit."""
    if cfg.tiles.size is None:
        return None
    overlap = None if cfg.tiles.overlap is None else int(cfg.tiles.overlap)
    return asdict(Tiling.of(int(cfg.tiles.size), overlap, bool(cfg.tiles.whole), float(cfg.tiles.large)))


def _standard(cfg: DictConfig) -> dict[str, Any] | None:
    """postprocess.json's `standard`; what is not given is as in `Rates`. Raises ConfigError for what does not fit."""
    if cfg.standard is None:
        return None
    given = OmegaConf.to_container(cfg.standard, resolve=True) if OmegaConf.is_config(cfg.standard) else cfg.standard
    if not isinstance(given, dict):
        raise ConfigError(f"standard={given!r}: expected {', '.join(asdict(Rates()))}, remember")
    content = {**asdict(Rates()), "remember": True, **given}
    try:
        standard_of(content, int(cfg.candidates))
    except ValueError as fault:
        raise ConfigError(f"standard: {fault}") from fault
    return content


def postprocess_content(cfg: DictConfig) -> dict[str, Any]:
    """What postprocess.json holds."""
    return {
        "schema": "facings.postprocess/1",
        "score_threshold": float(cfg.score_threshold),
        "max_detections": int(cfg.top_k),
        # Both branches leave the graph without doubles: one needs no NMS, the other has it inside.
        "nms_iou": None,
        "false_accept_rate": float(cfg.false_accept_rate),
        "ambiguity_margin": float(cfg.ambiguity_margin),
        "top_k": int(cfg.candidates),
        "crop_margin": float(cfg.crop_margin),
        "tiles": _tiling(cfg),
        "standard": _standard(cfg),
    }


def stated_licence(text: Any) -> tuple[str, str]:
    """NAME and LICENCE of one of `licences`. Raises ConfigError for another form."""
    name, colon, licence = str(text).partition(":")
    if not colon or not name.strip() or not licence.strip():
        raise ConfigError(f"licences: {text!r} is not of the form 'NAME: LICENCE'")
    return name.strip(), licence.strip()
