"""The `facings` command as a user types it."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate
from omegaconf import OmegaConf

from facings.commands.application import user_message
from facings.commands.cli import main
from tests.conftest import TINY_EMBEDDER

FACINGS = [sys.executable, "-m", "facings.commands.cli"]


@pytest.mark.parametrize("words", [[], ["--help"], ["help"]])
def test_help_lists_every_verb(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(words) == 0
    printed = capsys.readouterr().out
    for verb in ("synthesize", "train", "evaluate", "export", "inspect", "verify", "benchmark", "predict", "enroll"):
        assert f"  {verb}" in printed


@pytest.mark.parametrize(
    "words, expected",
    [
        (["trian"], "nearest valid names: train"),
        (["train", "experiment=reid/grocery_stroe"], "nearest valid names: grocery_store"),
        (["train", "trainer.max_epoch=3"], "trainer.max_epochs"),
        (["train", "mdoel=detector/nano"], "model"),
        (["train", "--dryrun"], "--dry-run"),
        (["train", "lots"], "expected KEY=VALUE"),
        (["train", "trainer.max_epochs=[1"], "cannot read"),
        (["synthesize", "train_scene=3"], "train_scenes"),
        (["export", "detecter=x"], "detector"),
        (["export"], "export needs trained weights"),
        (["inspect"], "run is not given"),
        (["export", "detector=nothing.ckpt"], "parity.images is not given"),
        (["export", "detector=nothing.ckpt", "parity.images=."], "nothing.ckpt: no such checkpoint"),
        (["evaluate"], "give one of checkpoint=FILE.ckpt and bundle=FOLDER"),
        (["benchmark"], "bundle is not given"),
        (["benchmark", "--result"], "needs a value"),
    ],
)
def test_wrong_words_are_refused_with_the_right_ones(
    words: list[str], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    try:
        code = main(words)
    except SystemExit as stop:
        code = int(stop.code or 0)
    assert code == 2
    message = capsys.readouterr().err
    assert expected in message and "Traceback" not in message


@pytest.mark.parametrize("verb", ["train", "evaluate", "export", "benchmark", "synthesize"])
def test_each_hydra_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    printed = capsys.readouterr().out
    assert f"usage: facings {verb}" in printed and "seed = 0" in printed


@pytest.mark.parametrize("verb", ["predict", "enroll", "remove", "verify"])
def test_each_store_verb_explains_itself(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main([verb, "--help"])
    assert stop.value.code == 0 and f"usage: facings {verb}" in capsys.readouterr().out


def test_interrupted_training_can_be_taken_up(tiny_data: Path, tmp_path: Path) -> None:
    """Ctrl-C after the first epoch: exit code 130, the way on is printed, last.ckpt is whole, and going on works."""
    run = tmp_path / "run"
    words = [*TINY_EMBEDDER, f"paths.data_dir={tiny_data}", "test=false"]
    command = [*FACINGS, "train", *words, "trainer.max_epochs=200", f"hydra.run.dir={run}"]
    # A shell's background job ignores Ctrl-C, and what it starts would too.
    process = subprocess.Popen(
        command, cwd=tmp_path, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    last = run / "checkpoints" / "last.ckpt"
    deadline = time.monotonic() + 300
    while not last.is_file() and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 130, errors
    assert f"resume={last}" in errors.replace("\n", "")
    again = [*FACINGS, "train", *words, "trainer.max_epochs=3", f"hydra.run.dir={tmp_path / 'again'}", f"resume={last}"]
    done = subprocess.run(again, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr


def test_full_disk_is_told_as_such() -> None:
    """Also where a library wrapped it into a fault of its own."""
    try:
        try:
            raise OSError(28, "No space left on device", "logs/last.ckpt")
        except OSError as fault:
            raise RuntimeError("saving failed") from fault
    except RuntimeError as wrapped:
        message = user_message(wrapped)
    assert message is not None
    assert message.startswith("logs/last.ckpt: No space left on device (free some space")
    assert user_message(RuntimeError("a fault of the program")) is None


@pytest.mark.parametrize(
    "settings, words",
    [
        ({"out_features": 3}, r"loss\.own: .*missing 1 required .*'in_features'; set them there, or _partial_: true"),
        (
            {"in_features": 3, "out_features": 3, "margin": 1},
            r"loss\.own: .*keyword argument 'margin'; leave that setting out",
        ),
    ],
)
def test_settings_that_a_target_does_not_take_are_told(settings: dict[str, int], words: str) -> None:
    config = {"loss": {"own": {"_target_": "torch.nn.Linear", **settings}}}
    with pytest.raises(InstantiationException) as caught:
        instantiate(OmegaConf.create(config))
    assert re.match(words, user_message(caught.value) or "")


def test_faults_inside_a_target_stay_faults() -> None:
    with pytest.raises(InstantiationException) as caught:
        instantiate(OmegaConf.create({"_target_": "builtins.sum", "_args_": [3]}))
    assert user_message(caught.value) is None
