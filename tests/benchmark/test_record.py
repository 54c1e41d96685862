"""Records: what is refused, and what stands in the file."""

import json
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from facings.benchmark import record
from facings.benchmark.claims import CLAIMS, claim_of
from facings.benchmark.record import FIELDS, git_state, machine, read_results, write_result
from facings.errors import ConfigError


def write(folder: Path, identifier: str = "spine-snack", **changes: Any) -> Path:
    metrics = {"ap50": {"value": 0.8, "low": 0.7, "high": 0.9}, "minutes": {"value": 12, "unit": "min"}}
    content: dict[str, Any] = {
        "claim": "Boxes are found.",
        "metrics": metrics,
        "command": "facings train",
        "data": {"instances_val.json": "ab" * 32},
        "seeds": [0],
    }
    return write_result(identifier, folder=folder, **(content | changes))


def test_a_record_holds_the_fields_of_the_contract_and_reads_back(tmp_path: Path) -> None:
    path = write(tmp_path)
    content = json.loads(path.read_text())
    assert path.name == "spine-snack.json"
    assert set(content) == FIELDS
    assert content["metrics"]["ap50"] == {"value": 0.8, "low": 0.7, "high": 0.9}
    assert content["date"].endswith("+00:00")
    assert read_results(tmp_path) == {"spine-snack": content}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": {"ap": {"value": 0.5, "hihg": 1.0}}}, "metric ap: unknown field 'hihg'"),
        ({"metrics": {"ap": {"value": float("nan")}}}, "metric ap: value is nan; expected a number"),
        ({"metrics": {"ap": {"value": "0.5"}}}, "metric ap: value is '0.5'"),
        ({"metrics": {"ap": {"value": True}}}, "metric ap: value is True"),
        ({"metrics": {"ap": {"value": 0.5, "low": None}}}, "metric ap: low is None"),
        ({"metrics": {}}, "no metrics"),
        ({"identifier": "../escape"}, "lower-case words joined by hyphens"),
    ],
)
def test_what_is_not_a_record_is_refused_and_nothing_written(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=re.escape(message)):
        write(tmp_path, **changes)
    assert list(tmp_path.rglob("*")) == []


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda content: content | {"note": "by hand"}, "unknown field 'note'"),
        (lambda content: {k: v for k, v in content.items() if k != "commit"}, "lacks the field 'commit'"),
        (lambda content: content | {"id": "other"}, "holds the record 'other'"),
    ],
)
def test_a_file_that_was_edited_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = write(tmp_path)
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(ConfigError, match=message):
        read_results(tmp_path)


def test_a_file_that_is_not_json_is_refused(tmp_path: Path) -> None:
    write(tmp_path).write_text("{")
    with pytest.raises(ConfigError, match=r"spine-snack\.json: not JSON"):
        read_results(tmp_path)


def test_the_machine_is_described_without_its_name() -> None:
    text = machine()
    assert f"Python {platform.python_version()}" in text and "onnxruntime" in text and "cores" in text
    assert len(platform.node()) < 4 or platform.node() not in text


def test_commit_and_changes_are_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c"]
        return subprocess.run(
            ["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True, text=True
        ).stdout.strip()

    code = tmp_path / "src" / "record.py"
    code.parent.mkdir()
    code.write_text("a = 1\n")
    (tmp_path / "README.md").write_text("a")
    monkeypatch.setattr(record, "__file__", str(code))
    git("init", "-q")
    assert git_state() == "unknown"  # not of this repository yet
    git("add", ".")
    git("commit", "-qm", "first")
    commit = git("rev-parse", "HEAD")
    assert git_state() == commit
    (tmp_path / "README.md").write_text("b")
    assert git_state() == commit
    code.write_text("a = 2\n")
    assert git_state() == f"{commit}+dirty"


def test_known_claims_and_what_a_command_lacks() -> None:
    wanted = {
        "spine-quickstart": "detection_ap50 reid_r1 end_to_end_accuracy frame_ms_p50 bundle_mib minutes",
        "spine-grocery": "fine_top1 coarse_top1 minutes",
        "spine-snack": "ap50 ap minutes",
        "spine-snack-bundle": "end_to_end_f1 identification_r1 frame_ms_p50",
    }
    assert {name: " ".join(metrics) for name, (_, metrics) in CLAIMS.items() if name in wanted} == wanted
    _, names, units = claim_of(
        "spine-snack-bundle", available=["end_to_end_f1", "identification_r1", "frame_ms_p50", "ap"]
    )
    assert names == ["end_to_end_f1", "identification_r1", "frame_ms_p50"] and units == {"frame_ms_p50": "ms"}
    with pytest.raises(ConfigError, match=r"'spine-snac': unknown; known are spine-quickstart"):
        claim_of("spine-snac", available=[])
    with pytest.raises(ConfigError, match="wants 'ap', which this command does not measure; it has ap50, minutes"):
        claim_of("spine-snack", available=["ap50", "minutes"])
