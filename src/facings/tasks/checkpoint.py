"""From a checkpoint file back to a model.

Knows nothing of any one model: the checkpoint holds the configuration that built it.
"""

import json
import pickle
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import OmegaConf
from torch import Tensor, nn

from facings.errors import CheckpointError

# A checkpoint names the classes to build; only these packages may be named, because naming is running.
ALLOWED_TARGETS = ("facings.models.", "torch.nn.")


def read_checkpoint(path: Path | str) -> dict[str, Any]:
    """Read a Lightning checkpoint written by `facings train`: tensors and plain values only, nothing is executed.

    Raises CheckpointError for a missing, truncated or foreign file.
    """
    path = Path(path)
    if not path.is_file():
        near = ", ".join(sorted(str(p) for p in path.parent.glob("*.ckpt"))) if path.parent.is_dir() else ""
        hint = f"there: {near}" if near else "give the path of a best.ckpt or last.ckpt in a run's checkpoints/ folder"
        raise CheckpointError(f"{path}: no such checkpoint; {hint}")
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, zipfile.BadZipFile, EOFError, OSError, RuntimeError, ValueError) as fault:
        line = (str(fault).splitlines() or ["no reason given"])[0]
        raise CheckpointError(f"{path}: damaged, truncated, or not a checkpoint of facings ({line})") from fault
    if not isinstance(content, Mapping) or not {"state_dict", "facings"} <= set(content):
        raise CheckpointError(f"{path}: not a checkpoint of `facings train`: it lacks the entries state_dict, facings")
    return dict(content)


def checkpoint_config(path: Path | str) -> tuple[str, dict[str, Any]]:
    """The task ("detection" or "reid") of a checkpoint and the configuration that made it."""
    record = read_checkpoint(path)["facings"]
    return str(record["task"]), json.loads(record["config"])


def load_model(path: Path | str, task: str, *, image_size: int | None = None) -> tuple[nn.Module, dict[str, Any]]:
    """The model of a checkpoint in evaluation mode, with averaged (EMA) weights where training kept them.

    Returns the model and the resolved configuration of its training. `image_size`: another side of its square input than
    it was trained for, in pixels.

    Raises CheckpointError for a checkpoint of another task, one whose weights do not fit its own configuration, or one
    that names a class outside facings.models and torch.nn.
    """
    content = read_checkpoint(path)
    record = content["facings"]
    if record["task"] != task:
        raise CheckpointError(f"{path}: holds a {record['task']} model; expected a {task} one")
    config = json.loads(record["config"])
    model_config = _without_pretrained(config["model"])
    if image_size is not None:
        model_config["image_size"] = int(image_size)
    check_targets(model_config, ALLOWED_TARGETS, source=str(path))
    model: nn.Module = instantiate(OmegaConf.create(model_config))
    load_weights(model, content["state_dict"], source=str(path))
    return model.eval(), config


def check_targets(config: Any, allowed: tuple[str, ...], *, source: str) -> None:
    """Raise CheckpointError where a configuration out of a file names a class outside the `allowed` packages."""
    for target in _targets(config):
        if not target.startswith(allowed):
            raise CheckpointError(f"{source}: wants to build {target!r}; allowed are {', '.join(allowed)}*")


def load_weights(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> None:
    """Load the entries `model.*` of a task's state into `model`; CheckpointError where names or shapes differ."""
    own, wanted = _own(state), model.state_dict()
    missing = sorted(set(wanted) - set(own))
    extra = sorted(set(own) - set(wanted))
    shapes = [k for k in wanted if k in own and own[k].shape != wanted[k].shape]
    if missing or extra or shapes:
        first = (missing or extra or shapes)[0]
        raise CheckpointError(
            f"{source}: is of another model: {len(missing)} weights missing, {len(extra)} unknown, "
            f"{len(shapes)} of another shape (first: {first!r}); use the model configuration it was trained with"
        )
    model.load_state_dict(own)


def load_fitting_weights(model: nn.Module, state: Mapping[str, Tensor], *, source: str) -> list[str]:
    """Load what fits of the entries `model.*` into `model`, for a training on other classes, or with masks added.

    Returns the names of the weights that start anew. Raises CheckpointError when less than half of the model's weights fit:
    then the checkpoint is of another architecture, and starting from it would be a mistake.
    """
    own, wanted = _own(state), model.state_dict()
    fitting = {name: own[name] for name in wanted if name in own and own[name].shape == wanted[name].shape}
    if sum(value.numel() for value in fitting.values()) < sum(value.numel() for value in wanted.values()) / 2:
        raise CheckpointError(
            f"{source}: is of another model: only {len(fitting)} of {len(wanted)} weights fit; use the backbone and the "
            "channels it was trained with"
        )
    model.load_state_dict(fitting, strict=False)
    return [name for name in wanted if name not in fitting]


def _own(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {key.removeprefix("model."): value for key, value in state.items() if key.startswith("model.")}


def _without_pretrained(node: Any) -> Any:
    """The same configuration, but building it reads no packaged or downloaded weights."""
    if isinstance(node, dict):
        return {key: "none" if key == "pretrained" else _without_pretrained(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_without_pretrained(value) for value in node]
    return node


def _targets(node: Any) -> list[str]:
    if isinstance(node, dict):
        own = [str(node["_target_"])] if "_target_" in node else []
        return own + [target for value in node.values() for target in _targets(value)]
    if isinstance(node, list):
        return [target for value in node for target in _targets(value)]
    return []
