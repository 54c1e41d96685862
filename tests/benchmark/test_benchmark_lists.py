"""Lists of bundles and datasets: every pair as if it ran alone, one table of all, and a failing pair that loses no other."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from facings.benchmark.rows import read_rows
from facings.commands.benchmark import run
from facings.commands.benchmark_data import with_dataset
from facings.commands.cli import main
from facings.commands.composition import compose_verb
from facings.commands.matrix import run as run_lists
from facings.errors import ConfigError, FacingsError
from tests.benchmark.conftest import Shop, make_data

Make = Callable[..., DictConfig]


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Another shop of the same goods: two frames, one object of which nobody noted the product."""
    scenes = [{0: ("red", "red"), 6: ("blue", "blue")}, {3: ("green", "green"), 9: (None, "unknown")}]
    return Shop(Path(), *make_data(tmp_path_factory.mktemp("other") / "data", scenes))


@pytest.fixture
def broken(shop: Shop, tmp_path: Path) -> Path:
    """A bundle whose detector was changed after the export."""
    folder = Path(shutil.copytree(shop.bundle, tmp_path / "broken-1"))
    with (folder / "detector.onnx").open("ab") as file:
        file.write(b"more")
    return folder


@pytest.fixture
def lists(benchmark_config: Make, shop: Shop, other: Shop, tmp_path: Path) -> Make:
    """A configuration that asks bundles about both shops."""

    def make(bundles: list[Path], *words: str) -> DictConfig:
        named = {"here": shop, "there": other}
        datasets = [
            f"{{name: {name}, annotations: {s.annotations}, images: {s.images}, unknown_products: [unknown]}}"
            for name, s in named.items()
        ]
        given = [
            f"bundles=[{','.join(map(str, bundles))}]",
            f"datasets=[{','.join(datasets)}]",
            "recognition.table=null",
        ]
        return benchmark_config(tmp_path / "run", *given, *words)

    return make


def matrix(tmp_path: Path) -> dict:
    return json.loads((tmp_path / "run" / "matrix.json").read_text())


def test_every_pair_is_the_run_it_would_be_alone(
    lists: Make, benchmark_config: Make, shop: Shop, detector_only: Path, other: Shop, tmp_path: Path
) -> None:
    figures = run(lists([shop.bundle, detector_only], "protocol=detection", "figure=ap50"))
    # Here 9 of 10 objects are found, there 3 of 4.
    assert figures == pytest.approx(
        {
            f"{bundle}/{place}": value
            for bundle in ("tiny-1", "boxes-1")
            for place, value in (("here", 91 / 101), ("there", 76 / 101))
        }
    )
    content = matrix(tmp_path)
    assert content["schema"] == "facings.benchmark-matrix/1" and content["figure"] == "ap50"
    assert content["geometric_mean"]["tiny-1"] == pytest.approx((91 / 101 * 76 / 101) ** 0.5)
    folder = tmp_path / "run" / "boxes-1" / "there"
    words = [f"bundle={detector_only}", f"data.annotations={other.annotations}", f"data.images={other.images}"]
    run(benchmark_config(tmp_path / "alone", "protocol=detection", *words, "recognition.table=null"))
    alone = json.loads((tmp_path / "alone" / "benchmark.json").read_text())
    assert json.loads((folder / "benchmark.json").read_text())["detection"] == alone["detection"]
    assert {p.name for p in (tmp_path / "alone").iterdir()} - {"benchmark.jsonl"} == {p.name for p in folder.iterdir()}
    rows = read_rows(tmp_path / "run" / "benchmark.jsonl")
    assert {row["run"] for row in rows} == {
        f"{bundle}/{place}" for bundle in ("tiny-1", "boxes-1") for place in ("here", "there")
    }
    assert {row["bundle"]["name"] for row in rows} == {"tiny-1", "boxes-1"}


def test_the_verdicts_are_those_of_compare(lists: Make, shop: Shop, detector_only: Path, tmp_path: Path) -> None:
    run(lists([shop.bundle, detector_only], "protocol=detection"))
    runs = [str(tmp_path / "run" / bundle / "here") for bundle in ("tiny-1", "boxes-1")]
    assert main(["compare", *runs, "--output", str(tmp_path / "out")]) == 0
    compared = json.loads((tmp_path / "out" / "compare.json").read_text())
    told = matrix(tmp_path)["verdicts"]["here"]
    assert told["pictures"] == 4 and told["first"] == "tiny-1"
    names = {"first": "tiny-1", "second": "boxes-1"}
    assert told["figures"] == [{**verdict, **names} for verdict in compared["verdicts"]]
    page = (tmp_path / "run" / "matrix.md").read_text()
    assert "| here | ap50 | boxes-1 | +0.0000 |" in page and "| bundle | here | there | geometric mean |" in page


def test_a_pair_that_fails_loses_no_other(
    lists: Make, shop: Shop, detector_only: Path, broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FacingsError, match=r"4 of 6 pairs failed:\nbroken-1 on here: .*wrong checksum") as fault:
        run(lists([broken, shop.bundle, detector_only], "protocol=end_to_end"))
    assert "boxes-1 on there: " in str(fault.value) and "has no gallery" in str(fault.value)
    content = matrix(tmp_path)
    assert content["cells"]["tiny-1"]["here"]["value"] == pytest.approx(14 / 17)
    assert content["cells"]["tiny-1"]["here"]["run"] == "tiny-1/here"
    assert "wrong checksum" in content["cells"]["broken-1"]["there"]["fault"]
    assert content["geometric_mean"]["boxes-1"] is None and content["geometric_mean"]["tiny-1"] > 0
    assert "broken-1 failed" in content["verdicts"]["here"]["refused"]
    assert "| broken-1 | failed | failed | – |" in (tmp_path / "run" / "matrix.md").read_text()
    said = capsys.readouterr().out
    assert "6 of 6: boxes-1 on there" in said and "left" in said and "no verdict" in said


def test_files_that_cannot_be_exported_are_named_as_they_were_given(
    benchmark_config: Make, shop: Shop, tmp_path: Path
) -> None:
    """Two checkpoints of one name, neither of them there."""
    bundles = f"bundles=[a/best.ckpt,{shop.bundle},b/best.ckpt,{{detector: b/best.ckpt}}]"
    with pytest.raises(FacingsError, match="3 of 4 pairs failed"):
        run(benchmark_config(tmp_path / "run", bundles, "protocol=detection", "max_images=1"))
    cells = matrix(tmp_path)["cells"]
    assert list(cells) == ["a/best.ckpt", "tiny-1", "b/best.ckpt", "b/best.ckpt #4"]
    assert (
        cells["tiny-1"]["shop"]["value"] > 0
        and "a/best.ckpt: no such checkpoint" in cells["a/best.ckpt"]["shop"]["fault"]
    )


def test_the_command_exits_with_a_fault(
    shop: Shop, broken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [
        f"bundles=[{shop.bundle},{broken}]",
        "benchmark_data=coco",
        "data.name=shop",
        "protocol=detection",
        "threads=1",
    ]
    words += [f"data.annotations={shop.annotations}", f"data.images={shop.images}", f"hydra.run.dir={tmp_path / 'run'}"]
    with pytest.raises(SystemExit) as stop:
        main(["benchmark", *words])
    assert stop.value.code == 2
    assert "1 of 2 pairs failed" in capsys.readouterr().err
    assert (tmp_path / "run" / "tiny-1" / "shop" / "report.html").is_file()


def test_a_fault_of_the_program_is_kept_with_its_traceback(lists: Make, shop: Shop, tmp_path: Path) -> None:
    def one(cfg: DictConfig, place: str) -> dict[str, float]:
        raise ZeroDivisionError("division by zero")

    with pytest.raises(FacingsError, match=r"2 of 2 pairs failed:\n.*ZeroDivisionError"):
        run_lists(lists([shop.bundle], "protocol=detection"), one)
    assert "Traceback" in (tmp_path / "run" / "tiny-1" / "here" / "error.txt").read_text()


def test_without_a_common_figure_the_next_one_is_shown(
    benchmark_config: Make, shop: Shop, detector_only: Path, tmp_path: Path
) -> None:
    """A list of bundles beside the one dataset that the configuration asks."""

    def shown(bundles: list[Path], *words: str) -> dict:
        given = [f"bundles=[{','.join(map(str, bundles))}]", "recognition.table=null", "max_images=1", *words]
        run(benchmark_config(tmp_path / "run", *given))
        return matrix(tmp_path)

    assert shown([shop.bundle, detector_only])["figure"] == "ap50"
    content = shown([shop.bundle, detector_only], "figure=end_to_end_f1")
    assert content["figure"] == "end_to_end_f1" and content["cells"]["boxes-1"]["shop"]["value"] is None
    told = shown([shop.bundle], "figure=f2")["notes"][0]
    assert told.startswith("figure=f2: no pair has it; they have ") and ", end_to_end_f1, " in told


@pytest.mark.parametrize(
    ("protocol", "words", "figure"),
    [
        ("recognition", (), "identification_r1"),
        ("robustness", ("robustness.corruptions=[tilt]", "robustness.strengths=[1]"), "ap50_mean_loss"),
        ("latency", ("latency.threads=[1]", "latency.batches=[1]", "latency.rounds=3", "max_images=1"), "frame_ms_p50"),
    ],
)
def test_every_protocol_takes_lists(
    lists: Make, shop: Shop, tmp_path: Path, protocol: str, words: tuple[str, ...], figure: str
) -> None:
    run(lists([shop.bundle], f"protocol={protocol}", *words))
    content = matrix(tmp_path)
    assert (content["figure"], set(content["cells"]["tiny-1"])) == (figure, {"here", "there"})
    assert all(isinstance(cell["value"], float) for cell in content["cells"]["tiny-1"].values())
    assert content["less_is_better"] == (protocol != "recognition") and content["verdicts"] == {}


def test_scale_draws_its_own_pictures(lists: Make, benchmark_config: Make, shop: Shop, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="protocol=scale draws its own pictures"):
        run(lists([shop.bundle], "protocol=scale"))
    words = ["protocol=scale", "scale.curves=[gallery]", "scale.gallery=[100,300]", "scale.repeats=1"]
    run(benchmark_config(tmp_path / "run", f"bundles=[{shop.bundle}]", *words))
    content = matrix(tmp_path)
    assert content["cells"]["tiny-1"]["drawn"]["slice"]["curve"] == "gallery"
    assert (tmp_path / "run" / "tiny-1" / "drawn" / "scale.png").is_file()


def test_bundles_are_told_apart_by_turnover(shop: Shop, tmp_path: Path) -> None:
    second = Path(shutil.copytree(shop.bundle, tmp_path / "second-1"))
    rng, lines = np.random.default_rng(0), ["path,product_id,split,role,category"]
    for product in range(16):
        colour = rng.integers(0, 256, 3)
        for number, split in enumerate(("train", "train", "val", "val")):
            picture = np.clip(colour + rng.normal(0, 8, (8, 8, 3)), 0, 255).astype(np.uint8)
            Image.fromarray(picture).save(tmp_path / f"{product}_{number}.png")
            lines.append(f"{product}_{number}.png,tin {product},{split},{'train' if split == 'train' else 'query'},Tin")
    (tmp_path / "tins.csv").write_text("\n".join(lines) + "\n")
    words = [
        "protocol=turnover",
        f"bundles=[{shop.bundle},{second}]",
        "turnover.seeds=1",
        "turnover.days=2",
        "turnover.views=2",
    ]
    words += [f"datasets=[{{name: tins, recognition: {{table: {tmp_path / 'tins.csv'}}}}}]", "turnover.queries=2"]
    words += ["turnover.fnir=null", "turnover.classifier=false"]
    run(compose_verb("benchmark", words, output_dir=tmp_path / "run"))
    content = matrix(tmp_path)
    cells = {bundle: cell["tins"]["value"] for bundle, cell in content["cells"].items()}
    assert content["figure"] == "relative_error" and cells["tiny-1"] == cells["second-1"]
    assert {"tiny-1/tins", "second-1/tins"} == {row["run"] for row in read_rows(tmp_path / "run" / "benchmark.jsonl")}


def test_plain_lists_serve_cross_store(lists: Make, shop: Shop, detector_only: Path) -> None:
    figures = run(lists([shop.bundle, detector_only], "protocol=cross_store"))
    mean = (91 / 101 * 76 / 101) ** 0.5
    assert figures == pytest.approx({"tiny-1": mean, "boxes-1": mean})


def test_a_dataset_is_an_option_or_a_mapping(tmp_path: Path) -> None:
    cfg = compose_verb("benchmark", ["recognition.table=old.csv", "paths.data_dir=somewhere"], output_dir=tmp_path)
    made = with_dataset(cfg, "snack_shelves")
    alone = compose_verb("benchmark", ["benchmark_data=snack_shelves", "paths.data_dir=somewhere"], output_dir=tmp_path)
    assert OmegaConf.to_container(made.data, resolve=True) == OmegaConf.to_container(alone.data, resolve=True)
    assert made.recognition.table is None and made.recognition.role == "query"
    made = with_dataset(cfg, {"name": "tins", "recognition": {"table": "a.csv", "split": "val"}})
    assert made.data.annotations is None and made.recognition == {"table": "a.csv", "split": "val", "role": "query"}
    assert cfg.recognition.table == "old.csv"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("datasets=[snack_shelve]",),
            "benchmark_data has no option 'snack_shelve'; nearest valid names: snack_shelves",
        ),
        (("datasets=[{name: a}]",), "datasets: a: expected annotations with images, or recognition"),
        (("datasets=[{name: a, images: b, picture: c}]",), "expected one of coco, .*, or {name, annotations, images}"),
        (("datasets=[{name: a, recognition: {tables: c}}]",), "recognition is .*; expected {table, split, role}"),
        (("datasets=[snack_shelves,snack_shelves]",), "two have the name 'snack-shelves-val'"),
        (("datasets=[{name: a/b, recognition: {table: c}}]",), "'a/b', which cannot be a folder's name"),
        (("datasets=[snack_shelves]", "recognition.table=a.csv"), "recognition.table with datasets"),
        (("datasets=[snack_shelves]", "result=spine-snack-bundle"), "result wants one bundle and one dataset"),
        (("bundles=[a/same-1,b/same-1]",), "bundles: two have the name 'same-1'"),
        (("bundle=???", "datasets=[snack_shelves]"), "datasets are given without a bundle"),
    ],
)
def test_lists_that_cannot_be_read_are_refused_before_anything_runs(
    benchmark_config: Make, tmp_path: Path, words: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        run(benchmark_config(tmp_path / "run", "recognition.table=null", *words))
    assert not (tmp_path / "run" / "matrix.json").exists()
