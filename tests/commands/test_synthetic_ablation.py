"""The ablation of drawn shelves: variants that differ in one thing, and a short table of two."""

import json
from pathlib import Path
from types import ModuleType

import pytest

from facings.benchmark.ablation import BASE, chosen_variants
from facings.benchmark.claims import CLAIMS
from facings.benchmark.synthetic_ablation import IDENTIFIER, METRICS, SCENES, TRAINING, VARIANTS
from facings.commands.composition import check_overrides
from facings.errors import ConfigError
from tests.conftest import load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("synthetic_ablation")


def test_every_variant_can_be_asked_for() -> None:
    for one in VARIANTS.values():
        check_overrides("synthesize", [*SCENES, *(word.replace("{data}", "data") for word in one.scenes)])
        check_overrides("train", [*TRAINING, *one.training])
        assert one.name == BASE or one.scenes or one.training or one.seed, "differs in nothing"
    assert CLAIMS[IDENTIFIER][1] == METRICS and "flat_gain" in METRICS and f"{BASE}_gain" not in METRICS
    assert [one.name for one in chosen_variants(VARIANTS, ["flat"])] == [BASE, "flat"]
    with pytest.raises(ConfigError, match="--only flt: unknown; known are all, seed_1"):
        chosen_variants(VARIANTS, ["flt"])


def test_two_variants(
    script: ModuleType,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    real = tiny_data / "synthetic" / "quickstart"
    draw = ["train_scenes=4", "val_scenes=2", "products=6", "resolution=[96,128]", "workers=1"]
    train = [
        "image_size=64", "transforms.size=64", "data.batch_size=2", "data.samples_per_epoch=4", "trainer.max_epochs=1",
        "trainer.check_val_every_n_epoch=1", "model.backbone=mobilenetv4_conv_small_050", "model.pretrained=none",
        "model.channels=32", "trainer.enable_progress_bar=false", "callbacks.progress=null", "callbacks.freeze=null",
        f"data.test=[{{annotations: {real / 'instances_val.json'}, images: {real / 'images' / 'val'}}}]",
    ]  # fmt: skip
    words = ["--data-dir", str(tiny_data), "--scenes", str(tmp_path), "--only", "no_clutter", "--draw", *draw]
    assert script.main([*words, "--set", *train]) == 0
    printed = capsys.readouterr().out
    assert "no people, cards, cabinets, hooks" in printed and "real shelves, none of them trained on" in printed
    assert sorted(path.name for path in (tmp_path / "logs" / "synthetic_ablation").iterdir()) == [BASE, "no_clutter"]
    drawn = json.loads((tmp_path / "synthetic" / "ablation_no_clutter" / "synthesize.json").read_text())
    assert drawn["parameters"]["people"] == 0
    results = tmp_path / "logs" / "synthetic_ablation" / BASE / "results.json"
    before = results.stat().st_mtime_ns
    assert script.main([*words, "--set", *train]) == 0 and results.stat().st_mtime_ns == before, "is left as it is"


def test_a_record_is_of_all_variants(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--only", "flat", "--result", IDENTIFIER]) == 2
    assert "wants every variant" in capsys.readouterr().err
