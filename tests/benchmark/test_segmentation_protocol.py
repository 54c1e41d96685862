"""Masks through the store runtime against outlines: a detector that fills the cells which hold a colour, worked out by hand."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from omegaconf import DictConfig
from onnx import TensorProto, helper

from facings.benchmark.rows import PROTOCOLS, read_rows
from facings.benchmark.segmentation import mask_summary
from facings.commands.benchmark import run
from facings.commands.cli import main
from facings.commands.composition import compose_verb
from facings.data.coco import read_coco
from facings.errors import ConfigError, DataError
from facings.metrics.results import coco_results
from facings.metrics.segmentation import mask_metrics
from facings.runtime.bundle import Bundle
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from tests.benchmark import conftest as shops
from tests.benchmark.conftest import CELL, CELLS, SIDE, Shop, constant, detector_graph, make_bundle, make_data

# Of a green cell, what its outline holds: an IoU of 0.79 with the whole of it.
LOW = 19


def mask_graph():  # type: ignore[no-untyped-def]
    """The shop's detector, which draws what is more colourful than grey: one prototype, a coefficient of 1 a cell."""
    model, node = detector_graph(), helper.make_node
    model.graph.node.extend(
        [
            node("Unsqueeze", ["scores", "last"], ["column"]),
            node("Sub", ["column", "column"], ["nothing"]),
            node("Add", ["nothing", "whole"], ["coefficients"]),
            node("AveragePool", ["pixels"], ["patches"], kernel_shape=[4, 4], strides=[4, 4]),
            node("ReduceMax", ["patches", "channel"], ["brightest"], keepdims=1),
            node("ReduceMin", ["patches", "channel"], ["darkest"], keepdims=1),
            node("Sub", ["brightest", "darkest"], ["colour"]),
            node("Sub", ["colour", "grey"], ["prototypes"]),
        ]
    )
    model.graph.initializer.extend([constant("last", [2], np.int64), constant("whole", 1.0), constant("grey", 0.2)])
    for name, shape in (("coefficients", ["b", CELLS**2, 1]), ("prototypes", ["b", 1, SIDE // 4, SIDE // 4])):
        model.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    return model


@pytest.fixture(scope="module")
def mask_shop(shop: Shop, tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """The shop's four frames with outlines: the cell of each object, of a green one its upper 19 of 24 rows."""
    folder = tmp_path_factory.mktemp("masks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(shops.GRAPHS, "detector", mask_graph)
        bundle = make_bundle(folder / "masks-1", roles=("preprocess", "detector"))
    scenes = [
        {0: ("red", "red"), 5: ("green", "green"), 10: ("blue", "blue")},
        {1: ("red", "red"), 6: ("green", "green"), 11: ("blue", "blue")},
        {2: ("red", "red"), 7: ("green", "green"), 12: (None, "blue")},
        {3: ("red", "red")},
    ]
    annotations, images, table = make_data(folder / "data", scenes)
    content = json.loads(annotations.read_text())
    for entry in content["annotations"]:
        x, y, width, height = entry["bbox"]
        low = y + (LOW if entry["product_id"] == "green" else height)
        entry["segmentation"] = [[x, y, x + width, y, x + width, low, x, low]]
    annotations.write_text(json.dumps(content))
    return Shop(bundle, annotations, images, table)


def outlined(*, found: int) -> tuple[dict, list[dict]]:
    """Four pictures of two categories, a square of each; the masks of the first `found` pictures are found, of half height else."""
    truth: dict = {
        "images": [],
        "annotations": [],
        "categories": [{"id": 1, "name": "apple"}, {"id": 2, "name": "pear"}],
    }
    results = []
    for image in range(1, 5):
        truth["images"].append({"id": image, "file_name": f"{image}.png", "width": 150, "height": 100})
        for category in (1, 2):
            x = 40 * category
            square = [[x, 20, x + 20, 20, x + 20, 40, x, 40]]
            own = {"image_id": image, "category_id": category, "bbox": [x, 20, 20, 20], "segmentation": square}
            truth["annotations"].append({"id": len(truth["annotations"]) + 1, "area": 400, "iscrowd": 0, **own})
            half = [[x, 20, x + 20, 20, x + 20, 32, x, 32]]
            results.append({**own, "score": 0.9, "segmentation": square if image <= found or category == 2 else half})
    return truth, results


def test_figures_are_those_of_the_evaluator_and_intervals_hold_them() -> None:
    """By hand: of apples 2 masks are whole and 2 have 60 % of their pixels: all right at IoU 0.5 to 0.6, half at 0.65 to 0.95.
    Where half are wrong, the right ones of pictures 1 and 2 come first, as scores tie: 51 of 101 recall points."""
    truth, results = outlined(found=2)
    summary = mask_summary(truth, results)
    apple = (3 + 7 * 51 / 101) / 10
    assert summary["classes"][0]["mask_ap"] == pytest.approx(apple) and summary["classes"][1]["mask_ap"] == 1
    assert summary["figures"]["mask_ap"] == pytest.approx((apple + 1) / 2)
    assert summary["figures"]["mask_ap75"] == pytest.approx((51 / 101 + 1) / 2)
    assert summary["figures"] == pytest.approx(mask_metrics(truth, results), nan_ok=True)
    for name, (low, high) in summary["intervals"].items():
        assert low <= summary["figures"][name] + 1e-9 and high >= summary["figures"][name] - 1e-9
    low, high = summary["intervals"]["mask_ap75"]
    assert low < high and summary["intervals"]["mask_ap50"] == (1.0, 1.0)
    assert set(summary["intervals"]) == {f"{k}_{f}" for k in ("mask", "boundary") for f in ("ap", "ap50", "ap75")}
    bare = mask_summary(truth, results, boundary=False)
    assert not [name for name in (*bare["figures"], *bare["intervals"]) if name.startswith("boundary")]


def configure(shop: Shop, folder: Path, *words: str) -> DictConfig:
    files = [f"data.annotations={shop.annotations}", f"data.images={shop.images}", "data.name=cells"]
    given = ["protocol=segmentation", f"bundle={shop.bundle}", "benchmark_data=coco", *files, "threads=1", *words]
    return compose_verb("benchmark", given, output_dir=folder)


def test_a_bundle_that_draws_masks(mask_shop: Shop, tmp_path: Path) -> None:
    """By hand: 9 of 10 objects are found, nothing else: 91 of 101 recall points at IoU 0.5 to 0.75. From 0.8 on the three green
    ones, which score least, are wrong: 61 points."""
    figures = run(configure(mask_shop, tmp_path / "run", "segmentation.score_threshold=0.3"))
    assert figures["mask_ap50"] == figures["mask_ap75"] == pytest.approx(91 / 101)
    assert figures["mask_ap"] == pytest.approx((6 * 91 + 4 * 61) / 1010)
    content = json.loads((tmp_path / "run" / "segmentation.json").read_text())
    assert (content["schema"], content["protocol"]) == ("facings.segmentation/1", "segmentation")
    assert content["protocol_version"] == PROTOCOLS["segmentation"] and content["objects"] == content["outlined"] == 10
    table, expected = read_coco(mask_shop.annotations, mask_shop.images), []
    recognizer = Recognizer(Bundle.open(mask_shop.bundle), threads=1)
    for image in table.images:
        found = recognizer.detect(read_image(image.path), 0.3, masks=True)
        extent = {"image_id": image.image_id, "extent": (image.height, image.width)}
        expected += coco_results(found.boxes, found.scores, [1] * len(found), masks=found.masks, **extent)
    told = json.loads((tmp_path / "run" / "predictions" / "detections.json").read_text())
    assert told == json.loads(json.dumps(expected)) and len(told) == 9
    wanted = mask_metrics(table.ground_truth(), expected)
    assert content["figures"]["boundary_ap"] == pytest.approx(wanted["boundary_ap"])
    rows = read_rows(tmp_path / "run" / "benchmark.jsonl")
    assert {row["slice"].get("category") for row in rows} == {None, "product"}
    assert rows[0]["settings"]["score_threshold"] == 0.3 and rows[0]["protocol"] == "segmentation"


def test_runs_are_compared_by_their_masks(mask_shop: Shop, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(configure(mask_shop, tmp_path / "a", "segmentation.boundary=false"))
    run(configure(mask_shop, tmp_path / "b", "segmentation.boundary=false"))
    path = tmp_path / "b" / "predictions" / "detections.json"
    path.write_text(json.dumps([entry for entry in json.loads(path.read_text()) if entry["bbox"][0] < CELL]))
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "b"), "--output", str(tmp_path / "out")]) == 0
    compared = json.loads((tmp_path / "out" / "compare.json").read_text())
    assert {v["figure"]: v["winner"] for v in compared["verdicts"]} == {"mask_ap": "worse", "mask_ap50": "worse"}
    run(configure(mask_shop, tmp_path / "other", "max_images=1"))
    assert main(["compare", str(tmp_path / "a"), str(tmp_path / "other")]) == 2
    assert "settings boundary: False against True" in capsys.readouterr().err


def test_a_list_of_mask_bundles(mask_shop: Shop, shop: Shop, tmp_path: Path) -> None:
    run(configure(mask_shop, tmp_path, f"bundles=[{mask_shop.bundle}]"))
    content = json.loads((tmp_path / "matrix.json").read_text())
    cell = content["cells"]["masks-1"]["cells"]
    assert content["figure"] == "mask_ap" and cell["value"] == pytest.approx((6 * 91 + 4 * 61) / 1010)
    assert cell["low"] <= cell["value"] <= cell["high"]


def test_what_has_no_masks_is_told(
    mask_shop: Shop, shop: Shop, embedder_only: Path, benchmark_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match=r"tiny-1: its detector draws no masks; train one with model\.prototypes above 0"
    ):
        run(benchmark_config(tmp_path, "protocol=segmentation"))
    with pytest.raises(ConfigError, match="names-1: has no detector, so there are no masks"):
        run(benchmark_config(tmp_path, "protocol=segmentation", f"bundle={embedder_only}"))
    bare = configure(mask_shop, tmp_path, f"data.annotations={shop.annotations}", f"data.images={shop.images}")
    with pytest.raises(DataError, match=r"instances_val\.json: no object has a segmentation"):
        run(bare)
    for words, message in {
        "data.annotations=null": r"wants data\.annotations with data\.images",
        "segmentation.score_threshold=1.5": r"score_threshold is 1\.5; expected 0 or more, below 1",
        "result=spine-snack": "writes no record",
    }.items():
        with pytest.raises(ConfigError, match=message):
            run(configure(mask_shop, tmp_path, words))
    content = json.loads(mask_shop.annotations.read_text())
    content["images"][0]["width"] += 10
    (tmp_path / "wrong.json").write_text(json.dumps(content))
    with pytest.raises(DataError, match=r"has 96 x 96 pixels; .*wrong\.json says 106 x 96"):
        run(configure(mask_shop, tmp_path, f"data.annotations={tmp_path / 'wrong.json'}"))
