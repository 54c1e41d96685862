"""Protocols of one part: what `frames` says of it, and nothing else; compared by what they are about, never across."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from omegaconf import DictConfig

from facings.benchmark.rows import read_rows
from facings.commands.application import run_verb
from facings.commands.benchmark import run
from facings.commands.cli import main
from facings.errors import ConfigError

Make = Callable[..., DictConfig]
PARTS = ("detection", "identification", "end_to_end", "recognition")


@pytest.fixture(scope="module")
def runs(benchmark_config: Make, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    home = tmp_path_factory.mktemp("parts")
    for protocol in ("detection", "recognition", "end_to_end"):
        run(benchmark_config(home / protocol, f"protocol={protocol}"))
    return {protocol: home / protocol for protocol in ("detection", "recognition", "end_to_end")}


@pytest.mark.parametrize(
    ("protocol", "parts"),
    [("detection", {"detection"}), ("recognition", {"identification", "recognition"}), ("end_to_end", {"end_to_end"})],
)
def test_a_part_is_what_all_at_once_say_of_it(
    runs: dict[str, Path], benchmark_run: Path, protocol: str, parts: set[str]
) -> None:
    whole = json.loads((benchmark_run / "benchmark.json").read_text())
    content = json.loads((runs[protocol] / "benchmark.json").read_text())
    version = {"detection": 2, "recognition": 1, "end_to_end": 2}[protocol]
    assert (content["protocol"], content["protocol_version"], content["latency"]) == (protocol, version, None)
    for part in PARTS:
        assert content[part] == (whole[part] if part in parts else None)
    details = {"detection": ("boxes", "curves"), "recognition": ("crops",), "end_to_end": ("chain", "products")}
    for asked, names in details.items():
        assert all((content[name] is not None) == (asked == protocol) for name in names)
    rows = read_rows(runs[protocol] / "benchmark.jsonl")
    assert {row["protocol"] for row in rows} == {protocol}
    names = {row["metric"] for row in rows}
    assert ("ap" in names, "recognition_r1" in names, "cacc" in names) == tuple(asked == protocol for asked in details)
    assert (runs[protocol] / "report.html").is_file()


def test_what_is_not_asked_leaves_no_answers(runs: dict[str, Path]) -> None:
    boxes = [json.loads(line) for line in (runs["detection"] / "decisions.jsonl").read_text().splitlines()]
    assert {line["gallery_version"] for line in boxes} == {None}
    assert {item["status"] for line in boxes for item in line["items"]} == {"unknown"}
    assert not (runs["recognition"] / "predictions").exists() and not (runs["detection"] / "crops.jsonl").exists()
    told = [json.loads(line) for line in (runs["recognition"] / "identified.jsonl").read_text().splitlines()]
    # The product that nobody identified has no right answer.
    assert [len(line["products"]) for line in told] == [3, 3, 2, 1]
    assert all(len(line["ranks"]) == len(line["nearest"]) == len(line["products"]) for line in told)


@pytest.mark.parametrize(
    ("protocol", "figures"),
    [
        ("detection", {"ap", "ap50"}),
        ("recognition", {"identification_r1", "recognition_r1"}),
        ("end_to_end", {"f1", "cacc", "acd"}),
    ],
)
def test_compare_judges_what_the_protocol_is_about(
    runs: dict[str, Path], tmp_path: Path, protocol: str, figures: set[str]
) -> None:
    folder = str(runs[protocol])
    assert main(["compare", folder, folder, "--output", str(tmp_path)]) == 0
    content = json.loads((tmp_path / "compare.json").read_text())
    assert content["asked"]["protocol"] == protocol
    assert {verdict["figure"] for verdict in content["verdicts"]} == figures
    assert {(v["value"], v["winner"]) for v in content["verdicts"]} == {(0.0, "no difference shown")}


def test_a_recogniser_that_names_less_loses_in_pairs(runs: dict[str, Path], tmp_path: Path) -> None:
    """By hand: of 9 crops on true boxes the first names 8 or 7 right; the second, whose answers are spoiled, none."""
    spoiled = tmp_path / "spoiled"
    spoiled.mkdir()
    for name in ("benchmark.json", "config.yaml", "crops.jsonl"):
        (spoiled / name).write_bytes((runs["recognition"] / name).read_bytes())
    lines = [json.loads(line) for line in (runs["recognition"] / "identified.jsonl").read_text().splitlines()]
    right = sum(rank == 0 for line in lines for rank in line["ranks"])
    told = [json.dumps({**line, "ranks": [1 for _ in line["ranks"]]}) + "\n" for line in lines]
    (spoiled / "identified.jsonl").write_text("".join(told))
    assert main(["compare", str(runs["recognition"]), str(spoiled), "--output", str(tmp_path / "out")]) == 0
    verdicts = {v["figure"]: v for v in json.loads((tmp_path / "out" / "compare.json").read_text())["verdicts"]}
    assert verdicts["identification_r1"]["value"] == pytest.approx(-right / 9)
    assert verdicts["identification_r1"]["winner"] == "worse"
    assert verdicts["recognition_r1"]["value"] == 0


def test_protocols_are_never_compared_with_each_other(
    runs: dict[str, Path], benchmark_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for other in (runs["end_to_end"], benchmark_run):
        assert main(["compare", str(runs["detection"]), str(other)]) == 2
        assert "protocol detection against" in capsys.readouterr().err


def test_the_next_run_says_what_changed(runs: dict[str, Path], benchmark_config: Make) -> None:
    for protocol, figures in (("detection", 2), ("end_to_end", 3)):
        again = runs[protocol].parent.parent / f"again_{protocol}" / "b"
        (again.parent / "a").parent.mkdir(exist_ok=True)
        (again.parent / "a").symlink_to(runs[protocol])
        run(benchmark_config(again, f"protocol={protocol}"))
        against = json.loads((again / "benchmark.json").read_text())["against"]
        assert against["run"] == "a" and against["refused"] == [] and len(against["figures"]) == figures


@pytest.mark.parametrize(
    ("protocol", "words", "message"),
    [
        ("detection", ("bundle={embedder_only}",), "names-1: has no detector, which protocol=detection asks"),
        ("end_to_end", ("bundle={embedder_only}",), "names-1: has no detector, which protocol=end_to_end asks"),
        ("end_to_end", ("bundle={detector_only}",), "boxes-1: has no gallery, which protocol=end_to_end asks"),
        ("recognition", ("bundle={detector_only}",), "boxes-1: has no gallery, which protocol=recognition asks"),
        ("detection", ("data.annotations=null",), "protocol=detection asks no recognition.table"),
        ("end_to_end", ("data.unknown_products=[red,green,blue,unknown]",), "no object has a product_id that is known"),
        (
            "recognition",
            ("data.unknown_products=[red,green,blue,unknown]", "recognition.table=null"),
            "give recognition.table, or try protocol=detection",
        ),
        ("detection", ("result=spine-snack-bundle",), "wants 'end_to_end_f1', which this command does not measure"),
    ],
)
def test_what_a_bundle_or_the_data_lack_is_told(
    benchmark_config: Make, detector_only: Path, embedder_only: Path, tmp_path: Path, protocol: str, words, message: str
) -> None:
    given = [w.format(detector_only=detector_only, embedder_only=embedder_only) for w in words]
    with pytest.raises(ConfigError, match=message):
        run(benchmark_config(tmp_path / "run", f"protocol={protocol}", *given))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["latency.threads=[1]"], "'latency.threads' is a setting of protocol=latency, which was not chosen"),
        (["protocol=scale", "turnover.days=3"], "'turnover.days' is a setting of protocol=turnover"),
        (["protocol=latency", "latency.thread=[1]"], "no such key.*latency.threads"),
        (["protocol=days"], "protocol has no option 'days'; valid: cross_store, detection, .*turnover"),
        (["protocol=latncy"], "nearest valid names: latency"),
    ],
)
def test_a_setting_of_another_protocol_names_it(words: list[str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run_verb("benchmark", words, "")
