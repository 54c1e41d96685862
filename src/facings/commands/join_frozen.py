"""A finished run's embedder and the frozen backbone that it started from, joined into a checkpoint of its own.

Knows nothing of how the joined one is asked: `facings evaluate`, `facings export` and the records open it as any other.
"""

import io
import json
import shutil
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import nn

from facings.commands.embedding import Embedding
from facings.commands.train import best_checkpoint
from facings.errors import ConfigError
from facings.files import atomic_folder, atomic_write
from facings.metrics.whitening import SHARE, fit_whitening

# What the records read of a run beside its checkpoint; the training's, because joining trains nothing.
KEPT = ("config.yaml", "environment.json", "results.json")
JOINED = "facings.models.joined.JoinedEmbedder"
# Heads look at the trained vector alone; the joined model has none.
HEADS = ("categories", "attributes")


def join_frozen(run: Path, output: Path, *, share: float = SHARE) -> Path:
    """Write OUTPUT as the folder of a run whose checkpoint is the joined model; returns the checkpoint.

    The frozen features are whitened within the products of the run's training photos. Raises ConfigError for a run that is no
    embedder's or is joined already, an `output` that holds something, or a share outside 0 to 1, DataError for photos that cannot
    be read.
    """
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise ConfigError(f"{output}: exists already; give a folder that does not")
    if not 0 <= share <= 1:
        raise ConfigError(f"share={share}: expected 0 to 1, the trained vectors' part of the cosine")
    one = Embedding(run)
    config = dict(one.config)
    if config["model"]["_target_"] == JOINED:
        raise ConfigError(f"{run}: is joined already; give the run of its training")
    rows = one.data.train_rows
    frozen = one.frozen()
    layer = fit_whitening(one.crops(rows, model=frozen).vectors, [str(row.product_id) for row in rows])
    trained = {key: value for key, value in config["model"].items() if key not in HEADS}
    config["model"] = {
        "_target_": JOINED,
        "backbone": one.backbone,
        "image_size": one.data.image_size,
        "share": share,
        "trained": trained | {"image_size": "${..image_size}", "pretrained": "none"},
    }
    model = instantiate(OmegaConf.create(config["model"]))
    own = {name: value for name, value in one.model.state_dict().items() if not name.startswith(HEADS)}
    model.trained.load_state_dict(own)
    model.frozen.load_state_dict(frozen.state_dict())
    model.centre.copy_(torch.from_numpy(layer.centre))
    model.matrix.copy_(torch.from_numpy(layer.matrix))
    with atomic_folder(output) as folder:
        (folder / "checkpoints").mkdir()
        _save(model, config, folder / "checkpoints" / "best.ckpt")
        for name in KEPT:
            shutil.copyfile(run / name, folder / name)
    return best_checkpoint(output)


def _save(model: nn.Module, config: dict[str, Any], path: Path) -> None:
    """As Lightning and `RecordConfig` write a checkpoint, with weights and configuration alone."""
    content = {
        "state_dict": {f"model.{name}": value for name, value in model.state_dict().items()},
        "facings": {"task": "reid", "config": json.dumps(config)},
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    atomic_write(path, buffer.getvalue())
