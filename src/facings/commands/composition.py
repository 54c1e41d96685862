"""Composing configurations ahead of a run, so that a typing error gets a helpful answer.

Knows nothing of what the verbs do.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import ConfigCompositionException, HydraException
from omegaconf import DictConfig, OmegaConf, open_dict

from facings.config import config_dir
from facings.errors import ConfigError
from facings.suggestions import nearest


def compose_verb(verb: str, overrides: Sequence[str] = (), *, output_dir: Path | str | None = None) -> DictConfig:
    """The configuration of a verb, as a run would see it; with `output_dir` also `paths.output_dir` resolves.

    Raises Hydra's errors for unknown keys and options.
    """
    GlobalHydra.instance().clear()
    with initialize_config_dir(version_base="1.3", config_dir=str(config_dir())):
        cfg = compose(config_name=verb, overrides=list(overrides), return_hydra_config=True)
        HydraConfig.instance().set_config(cfg)
    with open_dict(cfg):
        if output_dir is not None:
            cfg.paths.output_dir = str(output_dir)
        if "run_name" in cfg:
            cfg.run_name = str(OmegaConf.select(cfg, "hydra.runtime.choices.experiment", default="none"))
        del cfg["hydra"]
    return cfg


def check_overrides(verb: str, overrides: Sequence[str], extra_dirs: Sequence[str] = ()) -> None:
    """Compose once and turn Hydra's complaints into a ConfigError that names the nearest valid names.

    Overrides that sweep over several values are checked by their first one. With extra configuration folders only
    Hydra itself knows all options, so the check is left to it.
    """
    if extra_dirs:
        return
    single = [_first_choice(text) for text in overrides]
    try:
        compose_verb(verb, single)
    except (ConfigCompositionException, HydraException) as fault:
        raise ConfigError(_explain(verb, str(fault), str(fault.__cause__ or ""), single)) from fault


def _first_choice(text: str) -> str:
    override = OverridesParser.create().parse_override(text)
    if not override.is_sweep_override():
        return text
    first = next(iter(override.sweep_string_iterator()), "")
    return f"{override.get_key_element()}={first}"


def _explain(verb: str, message: str, cause: str, overrides: Sequence[str]) -> str:
    key = re.search(r"Could not override '([^']+)'", message)
    if key is not None:
        keys = all_keys(verb, overrides)
        if (owner := _owner(verb, key[1], keys)) is not None:
            return f"{key[1]!r} is a setting of {owner}, which was not chosen; add that word"
        reason = cause.splitlines()[0] if "is not in struct" not in cause and cause else "no such key"
        return f"unknown setting {key[1]!r} ({reason}){nearest(key[1], keys)}"
    option = re.search(r"Could not find '([^']+)'", message)
    if option is not None:
        group, _, name = option[1].rpartition("/")
        options = _options(group)
        near = nearest(name, options) or f"; valid: {', '.join(options)}"
        return f"{group or 'config'} has no option {name!r}{near}"
    group_error = re.search(r"Could not override '?([\w/@.]+)'?\.?\s*No match", message)
    if group_error is not None:
        return f"unknown group {group_error[1]!r}{nearest(group_error[1], groups_and_options(verb))}"
    return " ".join(message.split())


def all_keys(verb: str, overrides: Sequence[str] = ()) -> list[str]:
    """Every dotted key and group of a verb's configuration, experiments and the protocol among the overrides applied."""
    chosen = [text for text in overrides if text.split("=")[0] in ("experiment", "debug", "protocol")]
    try:
        cfg = compose_verb(verb, chosen)
    except HydraException:
        cfg = compose_verb(verb)
    return [*_dotted(OmegaConf.to_container(cfg, resolve=False)), *groups_and_options(verb)]


def _owner(verb: str, key: str, keys: Sequence[str]) -> str | None:
    """`protocol=latency` for a key that only this option of a group brings, None for one that is among the `keys` or nowhere."""
    own = key.split(".")[0]
    if own in keys:
        return None
    for group, options in groups_and_options(verb).items():
        for option in options:
            path = config_dir() / group / f"{option}.yaml"
            # Others stand below the group's own name, which is there whatever is chosen.
            if "@package _global_" in path.read_text(encoding="utf-8") and own in OmegaConf.load(path):
                return f"{group}={option}"
    return None


def _dotted(node: Any, prefix: str = "") -> list[str]:
    if not isinstance(node, dict):
        return []
    # A key with a dot of its own cannot be named on the command line.
    named = {str(key): value for key, value in node.items() if not str(key).startswith("_") and "." not in str(key)}
    return [f"{prefix}{key}" for key in named] + [
        k for key, value in named.items() for k in _dotted(value, f"{prefix}{key}.")
    ]


def groups_and_options(verb: str) -> dict[str, list[str]]:
    """Config groups of a verb's defaults list and the options of each."""
    content = OmegaConf.load(config_dir() / f"{verb}.yaml")
    defaults = content["defaults"] if isinstance(content, DictConfig) else []
    groups = [str(key).split("@")[0] for entry in defaults if isinstance(entry, DictConfig) for key in entry]
    return {group: _options(group) for group in groups if group not in ("paths", "hydra")}


def _options(group: str) -> list[str]:
    folder = config_dir() / group if group else config_dir()
    return sorted(p.relative_to(folder).with_suffix("").as_posix() for p in folder.rglob("*.yaml"))


def keys_of(verb: str) -> dict[str, str]:
    """The verb's own top-level keys and their values as written."""
    content = OmegaConf.load(config_dir() / f"{verb}.yaml")
    plain = OmegaConf.to_container(content, resolve=False)
    assert isinstance(plain, dict)
    hidden = ("defaults", "verb", "run_name")
    return {str(k): "null" if v is None else str(v) for k, v in plain.items() if k not in hidden}
