"""The ablation of an embedder's training: variants that differ in one thing, and a short table of two."""

from pathlib import Path
from types import ModuleType

import pytest
import torch

from facings.benchmark.ablation import BASE, chosen_variants
from facings.benchmark.claims import CLAIMS
from facings.benchmark.embedder_ablation import ASKED, IDENTIFIER, METRICS, TRAINING, VARIANTS
from facings.commands.composition import check_overrides
from facings.commands.embedding import Embedding
from facings.errors import ConfigError
from facings.models.embedder import PooledBackbone
from tests.conftest import TINY_EMBEDDER, load_script


@pytest.fixture(scope="module")
def script() -> ModuleType:
    return load_script("embedder_ablation")


def test_every_variant_can_be_asked_for() -> None:
    for one in VARIANTS.values():
        check_overrides("train", [*TRAINING, *one.training])
        assert one.name == BASE or one.training or one.seed, "differs in nothing"
    assert CLAIMS[IDENTIFIER][1] == METRICS and "joined_gain" in METRICS and f"{BASE}_gain" not in METRICS
    assert not set(ASKED) & set(VARIANTS)
    with pytest.raises(ConfigError, match="--only smal: unknown; known are all, seed_1"):
        chosen_variants(VARIANTS, ["smal"])


def test_two_variants(
    script: ModuleType,
    tiny_data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def frozen(one: Embedding) -> PooledBackbone:
        # The tiny backbone has no packaged weights.
        torch.manual_seed(1)
        return PooledBackbone(one.backbone, image_size=one.data.image_size).eval()

    monkeypatch.setattr(Embedding, "frozen", frozen)
    monkeypatch.setattr(script, "TRAINING", ("logger=csv",))
    words = ["--data-dir", str(tiny_data), "--logs", str(tmp_path / "runs"), "--only", "seed_1"]
    words += ["--set", *TINY_EMBEDDER, "trainer.max_epochs=1"]
    assert script.main(words) == 0
    printed = capsys.readouterr().out
    assert "the same, seed 1" in printed and "joined with the frozen" in printed and "Grocery Store, test" in printed
    results = tmp_path / "runs" / BASE / "results.json"
    before = results.stat().st_mtime_ns
    assert script.main(words) == 0 and results.stat().st_mtime_ns == before, "is left as it is"


def test_a_record_is_of_all_variants(script: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert script.main(["--only", "small", "--result", IDENTIFIER]) == 2
    assert "wants every variant" in capsys.readouterr().err
