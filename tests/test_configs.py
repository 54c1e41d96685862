"""Every configuration in the tree composes, and what it describes can be built."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from facings.commands.application import verb_help
from facings.commands.cli import HYDRA_VERBS
from facings.commands.composition import compose_verb
from facings.commands.train import build_model
from facings.config import config_dir

EXPERIMENTS = sorted(
    p.relative_to(config_dir() / "experiment").with_suffix("").as_posix()
    for p in (config_dir() / "experiment").rglob("*.yaml")
)
OPTIONS = sorted(
    (folder.relative_to(config_dir()).as_posix(), path.stem)
    for folder in config_dir().rglob("*")
    if folder.is_dir() and folder.name != "experiment" and "experiment" not in folder.parts
    for path in folder.glob("*.yaml")
)
# Built with data or a model that only a run has; composed here, built by the training tests.
NEEDS_A_RUN = {"data", "debug", "paths", "hydra", "task", "benchmark_data", "trainer", "logger"}


@pytest.mark.parametrize("verb", HYDRA_VERBS)
def test_every_verb_composes_and_explains_itself(verb: str, tmp_path: Path) -> None:
    cfg = compose_verb(verb, output_dir=tmp_path)
    assert cfg.verb == verb
    text = verb_help(verb, HYDRA_VERBS[verb])
    assert f"usage: facings {verb}" in text and "seed" in text


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_its_model_builds(experiment: str, tmp_path: Path) -> None:
    words = [f"experiment={experiment}", "num_classes=2", "++model.pretrained=none"]
    cfg = compose_verb("train", words, output_dir=tmp_path)
    OmegaConf.to_container(cfg, resolve=True)
    model = build_model(cfg)
    assert sum(p.numel() for p in model.parameters()) > 1000
    instantiate(cfg.loss)
    instantiate(cfg.transforms)
    instantiate(cfg.optimizer)
    instantiate(cfg.scheduler)
    for node in cfg.callbacks.values():
        instantiate(node)


@pytest.mark.parametrize("group, option", OPTIONS)
def test_every_option_composes_and_builds(group: str, option: str, tmp_path: Path) -> None:
    verb = "benchmark" if group == "benchmark_data" else "train"
    if group in ("paths", "hydra"):
        pytest.skip("part of every verb, composed above")
    words = [f"{group}={option}"]
    if group.startswith("model"):
        words = [f"model={group.removeprefix('model/')}/{option}", "num_classes=2", "++model.pretrained=none"]
    if group == "transforms":
        words.append("loss=detection")
    cfg = compose_verb(verb, words, output_dir=tmp_path)
    if verb == "benchmark":
        assert set(cfg.data) == {"name", "annotations", "images", "class_agnostic", "unknown_products"}
        return
    if group.split("/")[0] in NEEDS_A_RUN:
        OmegaConf.to_container(cfg, resolve=True)
        return
    node = cfg[group.split("/")[0]]
    if group == "callbacks":
        assert all(instantiate(entry) is not None for entry in node.values())
    else:
        assert instantiate(node) is not None


@pytest.mark.parametrize("option", ["default", "ddp"])
def test_trainer_options_build(option: str, tmp_path: Path) -> None:
    words = [f"trainer={option}", "trainer.accelerator=cpu", "trainer.devices=1"]
    cfg = compose_verb("train", words, output_dir=tmp_path)
    assert instantiate(cfg.trainer, logger=False).max_epochs == cfg.trainer.max_epochs


@pytest.mark.slow
def test_wheel_carries_the_configs(tmp_path: Path) -> None:
    root = Path(__file__).resolve().parents[1]
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path), str(root)]
    subprocess.run(command, check=True, capture_output=True)
    names = zipfile.ZipFile(next(tmp_path.glob("*.whl"))).namelist()
    wanted = {
        f"facings/configs/{p.relative_to(root / 'configs').as_posix()}" for p in (root / "configs").rglob("*.yaml")
    }
    assert wanted <= set(names)
    assert not [name for name in names if name.endswith((".ckpt", ".pth", ".jpg"))]
