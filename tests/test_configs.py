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
NEEDS_A_RUN = {"data", "debug", "paths", "hydra", "task", "benchmark_data", "trainer", "logger", "quantization"}


@pytest.mark.parametrize("verb", HYDRA_VERBS)
def test_every_verb_composes_and_explains_itself(verb: str, tmp_path: Path) -> None:
    cfg = compose_verb(verb, output_dir=tmp_path)
    assert cfg.verb == verb
    text = verb_help(verb, HYDRA_VERBS[verb])
    # Preparing and inspecting draw nothing by chance.
    assert f"usage: facings {verb}" in text and ("seed" in text or verb in ("prepare", "inspect"))


@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_every_experiment_composes_and_its_model_builds(experiment: str, tmp_path: Path) -> None:
    words = [f"experiment={experiment}", "num_classes=2", "++model.pretrained=none"]
    cfg = compose_verb("train", words, output_dir=tmp_path)
    OmegaConf.to_container(cfg, resolve=True)
    model = build_model(cfg)
    assert sum(p.numel() for p in model.parameters()) > 1000
    if cfg.loss.get("class_weights") == "balanced":
        cfg.loss.class_weights = None  # weights that training counts in its data
    instantiate(cfg.loss)
    instantiate(cfg.transforms)
    instantiate(cfg.optimizer)
    instantiate(cfg.scheduler)
    for node in cfg.callbacks.values():
        instantiate(node)


@pytest.mark.parametrize("group, option", OPTIONS)
def test_every_option_composes_and_builds(group: str, option: str, tmp_path: Path) -> None:
    if option in ("rtdetr", "dfine"):
        pytest.importorskip("transformers", reason="pip install 'facings[transformers]'")
    verb = {"benchmark_data": "benchmark", "protocol": "benchmark", "dataset": "prepare", "quantization": "export"}.get(
        group, "train"
    )
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
        assert group != "protocol" or cfg.protocol == option
        return
    if group.split("/")[0] in NEEDS_A_RUN:
        OmegaConf.to_container(cfg, resolve=True)
        return
    node = cfg[group.split("/")[0]]
    if group == "callbacks":
        assert all(instantiate(entry) is not None for entry in node.values())
    else:
        assert instantiate(node) is not None


OUTLINED = ("ai231_grocery_masks", "fruits300_masks", "fruits_nuts_masks", "laboro_tomato_masks")
REAL = {"grocery_store": "reid", "snack_shelves_detection": "detection"} | dict.fromkeys(OUTLINED, "detection")


def data_words(option: str, home: Path) -> list[str]:
    """What a data configuration needs to be built from the tiny synthetic set, or from the real sets."""
    made = home / "synthetic" / "quickstart"
    if option == "coco":
        sides = [("train", "train"), ("val", "val")]
        files = [f"data.{s}.annotations={made}/instances_{d}.json" for s, d in sides]
        return [*files, *(f"data.{s}.images={made}/images/{d}" for s, d in sides)]
    if option == "recognition_table":
        return [f"data.table.path={made / 'recognition.csv'}"]
    return []


@pytest.mark.parametrize("option", sorted(p.stem for p in (config_dir() / "data").glob("*.yaml")))
def test_every_data_configuration_builds_and_gives_a_batch(
    option: str, tiny_data: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    home = request.getfixturevalue("shared_data") if option in REAL else tiny_data
    detection = option == "coco" or option.endswith("_detection") or REAL.get(option) == "detection"
    room = "detection" if detection else "reid"
    words = [f"experiment={room}/quickstart", f"data={option}", f"paths.data_dir={home}", "image_size=96"]
    words += ["data.batch_size=2"] if detection else ["data.products_per_batch=2", "data.views_per_product=2"]
    data = instantiate(compose_verb("train", [*words, *data_words(option, home)], output_dir=tmp_path).data)
    if option in REAL:
        # Decoding all of a real set into the cache would take minutes: one item tells.
        dataset = data._dataset(data.val_table, None) if detection else data._dataset(data.val_rows, 0.05, None)
        assert dataset[0]["pixels" if detection else "crops"].shape == (3, 96, 96)
        return
    batch = next(iter(data.train_dataloader()))
    assert batch["pixels" if detection else "crops"].shape[1:] == (3, 96, 96)


@pytest.mark.parametrize("option", sorted(p.stem for p in (config_dir() / "logger").glob("*.yaml")))
def test_every_logger_builds(option: str, tmp_path: Path) -> None:
    cfg = compose_verb("train", [f"logger={option}"], output_dir=tmp_path)
    assert all(instantiate(node) is not None for node in cfg.logger.values())


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
