"""Between the command line and a verb's `run(cfg)`: Hydra, help, and errors a person can act on."""

import importlib
import logging
import re
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, InstantiationException, OverrideParseException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from facings.commands.composition import check_overrides, groups_and_options, keys_of
from facings.config import config_dir
from facings.errors import ConfigError, FacingsError
from facings.suggestions import nearest

# Flags of ours, as the override that they stand for.
FLAGS = {"--dry-run": "dry_run=true", "--overwrite": "overwrite=true"}
VALUED_FLAGS = {"--result": "result"}
# Flags of Hydra that pass through; those with a value take the next word.
HYDRA_FLAGS = {"-m", "--multirun", "--resolve", "--info", "-i"}
HYDRA_VALUED_FLAGS = {"-c", "--cfg", "-cd", "--config-dir", "-p", "--package"}


def run_verb(verb: str, words: list[str], summary: str) -> int:
    """Run a Hydra verb with the user's words. Returns the exit code; raises FacingsError for what the user can mend."""
    if "--help" in words or "-h" in words:
        sys.stdout.write(verb_help(verb, summary))
        return 0
    overrides, hydra_words = split_words(verb, words)
    extra_dirs = [hydra_words[i + 1] for i, w in enumerate(hydra_words[:-1]) if w in ("-cd", "--config-dir")]
    check_overrides(verb, overrides, extra_dirs)
    saved = sys.argv
    sys.argv = [saved[0], *hydra_words, *overrides]
    try:
        _entry(verb)()
    finally:
        sys.argv = saved
    return 0


def run_inside(verb: str, words: list[str], *, failed: str) -> None:
    """Run a Hydra verb as a part of a program, which its exit does not end. Raises KeyboardInterrupt where it was interrupted,
    ConfigError with the words `failed` where it ended otherwise, and FacingsError as `run_verb`."""
    try:
        run_verb(verb, words, "")
    except SystemExit as stop:
        if stop.code == 130:
            raise KeyboardInterrupt from None
        raise ConfigError(failed) from None


@contextmanager
def relaunchable(verb: str) -> Iterator[None]:
    """Inside, the process's words name its verb again: with these Lightning starts the further processes of trainer=ddp."""
    saved = sys.argv
    sys.argv = [saved[0], verb, *saved[1:]]
    try:
        yield
    finally:
        sys.argv = saved


def split_words(verb: str, words: list[str]) -> tuple[list[str], list[str]]:
    """Overrides, and the words for Hydra itself. Raises ConfigError for an unknown option, naming near ones."""
    overrides: list[str] = []
    hydra_words: list[str] = []
    waiting = iter(words)
    for word in waiting:
        name, _, value = word.partition("=")
        if word in FLAGS:
            overrides.append(FLAGS[word])
        elif name in VALUED_FLAGS and word.startswith("--"):
            overrides.append(f"{VALUED_FLAGS[name]}={value or _value_of(word, waiting)}")
        elif word in HYDRA_FLAGS:
            hydra_words.append(word)
        elif word in HYDRA_VALUED_FLAGS:
            hydra_words += [word, _value_of(word, waiting)]
        elif word.startswith("-"):
            options = [*FLAGS, *VALUED_FLAGS, *HYDRA_FLAGS, *HYDRA_VALUED_FLAGS, "--help"]
            raise ConfigError(f"unknown option {word!r}{nearest(word, options)}; settings are given as KEY=VALUE")
        elif "=" not in word and not word.startswith("~"):
            raise ConfigError(f"{word!r} is not a setting; expected KEY=VALUE, see `facings {verb} --help`")
        else:
            overrides.append(word)
    try:
        OverridesParser.create().parse_overrides(overrides)
    except OverrideParseException as fault:
        raise ConfigError(f"cannot read {fault.override!r}: {str(fault).splitlines()[0]}") from fault
    return overrides, hydra_words


def _value_of(word: str, waiting: Any) -> str:
    value = next(waiting, None)
    if value is None:
        raise ConfigError(f"option {word} needs a value")
    return str(value)


def verb_help(verb: str, summary: str) -> str:
    """What `facings VERB --help` prints: keys, groups with their options, flags, an example."""
    lines = [f"facings {verb}: {summary}", "", f"usage: facings {verb} [KEY=VALUE …] [options]", ""]
    head = [line[2:] for line in (config_dir() / f"{verb}.yaml").read_text().splitlines() if line.startswith("# ")]
    lines += ["groups (GROUP=OPTION):"] if groups_and_options(verb) else []
    lines += [f"  {group:<18}{', '.join(options)}" for group, options in groups_and_options(verb).items()]
    lines += ["", "keys, with their defaults (more inside the groups: --cfg job prints all):"]
    lines += [f"  {key} = {value}" for key, value in keys_of(verb).items()]
    lines += ["", "options:", "  --cfg job        print the composed configuration and stop"]
    lines += ["  -m, --multirun   run every combination of comma-separated values"]
    lines += ["  --result ID      write results/ID.json"] if "result" in keys_of(verb) else []
    lines += ["  --dry-run        build everything, run one batch, train nothing"] if "dry_run" in keys_of(verb) else []
    lines += ["", *head[:3]] if head else []
    return "\n".join(lines) + "\n"


def _entry(verb: str) -> Any:
    @hydra.main(version_base="1.3", config_path=str(config_dir()), config_name=verb)
    def entry(cfg: DictConfig) -> Any:
        _quieten()
        try:
            return importlib.import_module(f"facings.commands.{verb}").run(cfg)
        except Exception as fault:
            message = user_message(fault)
            if message is None:
                raise
            sys.stderr.write(f"facings {verb}: {message}\n")
            raise SystemExit(2) from fault

    return entry


def user_message(fault: BaseException | None) -> str | None:
    """The message for the user when the fault, or what caused it, is one that the user can mend; else None."""
    while fault is not None:
        if isinstance(fault, FacingsError):
            return str(fault)
        if isinstance(fault, OSError) and fault.errno is not None and fault.strerror is not None:
            where = f"{fault.filename}: " if fault.filename else ""
            hint = " (free some space, or set paths.log_dir to another disk)" if fault.errno == 28 else ""
            return f"{where}{fault.strerror}{hint}"
        if message := _wrong_arguments(fault):
            return message
        if isinstance(fault, OmegaConfBaseException | HydraException) and fault.__cause__ is None:
            return str(fault).splitlines()[0]
        fault = fault.__cause__
    return None


def _wrong_arguments(fault: BaseException) -> str | None:
    """What to say of a `_target_` that does not take what its settings give; None of any other fault."""
    if not isinstance(fault, InstantiationException) or not isinstance(fault.__cause__, TypeError):
        return None
    cause = str(fault.__cause__)
    where = f"{found[1]}: " if (found := re.search(r"full_key: (\S+)", str(fault))) else ""
    if "unexpected keyword argument" in cause:
        return f"{where}{cause}; leave that setting out"
    if re.search(r"missing \d+ required", cause):
        return f"{where}{cause}; set them there, or _partial_: true where the run gives them (as in configs/loss)"
    return None


def _quieten() -> None:
    """Leave out notices of libraries that a user can do nothing about."""
    for name in ("pytorch_lightning.utilities.rank_zero", "onnxscript", "onnx_ir", "torch.onnx"):
        logging.getLogger(name).setLevel(logging.WARNING)
    for pattern in (
        ".*does not have many workers.*",
        ".*LeafSpec.*",
        ".*isinstance.*treespec.*",
        ".*exists and is not",
        # Figures are worked out from what all processes found: there is nothing to synchronise.
        ".*It is recommended to use `self.log.*sync_dist=True.*",
    ):
        warnings.filterwarnings("ignore", message=pattern)


def run_folder(cfg: DictConfig) -> Path:
    """This run's own folder, made if need be."""
    folder = Path(cfg.paths.output_dir)
    folder.mkdir(parents=True, exist_ok=True)
    return folder
