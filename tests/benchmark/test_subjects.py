"""Entries of a benchmark's list as bundles: folders, checkpoints, ONNX files of others, and what is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from facings.commands.benchmark import run
from facings.commands.composition import compose_verb
from facings.commands.subjects import open_subjects
from facings.errors import BundleError, CheckpointError, ConfigError, DataError, FacingsError
from facings.runtime.bundle import Bundle
from facings.runtime.images import read_image
from facings.runtime.recognizer import Recognizer
from facings.runtime.verify import verify
from tests.benchmark.conftest import CROP, Shop
from tests.conftest import TinyShop
from tests.external_files import CELL, save_answers, save_cells, save_graph, save_mean_colour

LABELS = ["vivid", "dull"]
# Cells that are painted in the shop's first frame, and the range of their colours.
PAINTED = {0: 180 / 255, 5: 160 / 255, 10: 180 / 255}


@pytest.fixture
def tiny_config(tiny_shop: TinyShop, tmp_path: Path) -> DictConfig:
    words = ["benchmark_data=coco", "data.name=tiny", f"data.annotations={tiny_shop.data / 'instances_val.json'}"]
    words += [f"data.images={tiny_shop.data / 'images' / 'val'}", "threads=1"]
    return compose_verb("benchmark", words, output_dir=tmp_path / "run")


@pytest.mark.parametrize("layout", ["yolo_dense", "yolo_end_to_end", "detr"])
def test_a_foreign_detector_finds_the_known_boxes(
    shop: Shop, benchmark_config: Callable[..., DictConfig], tmp_path: Path, layout: str, capsys: Any
) -> None:
    entry = {"onnx": str(save_cells(tmp_path / "grid net.onnx", layout)), "labels": LABELS}
    # The second anchor of a cell is a double, which only the dense layout drops by itself.
    (path,) = open_subjects([entry], benchmark_config(tmp_path / "run"), tmp_path / "bundles")
    assert f"layout {layout}, guessed from" in " ".join(capsys.readouterr().out.split())
    assert path.parent == tmp_path / "bundles" and path.name.startswith("grid_net-")
    assert all(check.passed for check in verify(path))
    bundle = Bundle.open(path)
    recognizer = Recognizer(bundle, threads=1)
    found = recognizer.detect(read_image(shop.images / "001.png"), 0.3)
    boxes = {
        tuple(np.round(box, 3).tolist()): (score, label)
        for box, score, label in zip(found.boxes, found.scores.tolist(), found.labels.tolist(), strict=True)
    }
    assert len(boxes) == (3 if layout == "yolo_dense" else 6)
    for cell, score in PAINTED.items():
        x, y = CELL * (cell % 4), CELL * (cell // 4)
        assert boxes[(x, y, x + CELL, y + CELL)] == (pytest.approx(score, abs=0.01), 0)
    # In a flat picture the square has bars above and below: boxes are those of the picture.
    flat = np.full((CELL * 2, CELL * 4, 3), 128, np.uint8)
    flat[:CELL, CELL : 2 * CELL] = (210, 30, 30)
    best = recognizer.detect(flat, 0.3)
    np.testing.assert_allclose(best.boxes[0], [CELL, 0, 2 * CELL, CELL], atol=1e-3)
    report = json.loads((path / "report.json").read_text())
    assert report["external"]["layout"] == layout and report["external"]["guessed"]
    licences = json.loads((path / "LICENCES.json").read_text())
    assert licences["data"] == {"grid net.onnx": "unknown: grid net.onnx"}
    assert bundle.labels == tuple(LABELS)


def test_a_foreign_detector_is_benchmarked(
    shop: Shop, benchmark_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    """Nine of the ten objects are painted, and each is found."""
    entry = {"onnx": str(save_cells(tmp_path / "grid.onnx", "yolo_dense")), "labels": LABELS, "name": "other"}
    entry |= {"licence": "CC BY-NC 4.0", "layout": "yolo_dense"}
    (path,) = open_subjects([entry], benchmark_config(tmp_path / "run"), tmp_path / "bundles")
    words = [f"bundle={path}", "recognition.table=null"]
    figures = run(benchmark_config(tmp_path / "asked", *words))
    assert figures["ap50"] == pytest.approx(91 / 101)
    assert path.name.startswith("other-")
    assert json.loads((path / "LICENCES.json").read_text())["non_commercial"] == ["grid.onnx"]


def test_a_foreign_embedder_names_products(
    shop: Shop, benchmark_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    """The mean colour tells red from green and blue; the gallery is cut from frames of the shop."""
    table = tmp_path / "gallery.csv"
    lines = ["path,product_id,split,role,category,box,camera_id"]
    for cell, product in ((0, "red"), (5, "green"), (10, "blue")):
        x, y = CELL * (cell % 4), CELL * (cell // 4)
        lines.append(f"{shop.images / '001.png'},{product},val,gallery,,{x} {y} {CELL} {CELL},")
    table.write_text("\n".join(lines) + "\n")
    file = str(save_mean_colour(tmp_path / "mean.onnx", CROP))
    cfg = benchmark_config(tmp_path / "run")
    entry = {"onnx": file, "gallery": {"table": str(table)}, "crop_margin": 0.0, "mean": [0.5] * 3, "std": [0.5] * 3}
    (path,) = open_subjects([OmegaConf.create(entry)], cfg, tmp_path / "bundles")
    assert all(check.passed for check in verify(path))
    recognizer = Recognizer(Bundle.open(path), threads=1)
    picture = read_image(shop.images / "002.png")
    boxes = np.array([[CELL, 0, 2 * CELL, CELL], [2 * CELL, CELL, 3 * CELL, 2 * CELL]], np.float32)
    embeddings = recognizer.embed(picture, boxes)
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-5)
    assert recognizer.gallery is not None
    items = recognizer.match(embeddings).items[:, 0].tolist()
    assert [recognizer.gallery.items[item] for item in items] == ["red", "green"]
    for bare in (file, {"onnx": file}):
        with pytest.raises(ConfigError, match=r"mean.onnx: an embedder is asked against a gallery; write the entry as"):
            open_subjects([bare], cfg, tmp_path / "bundles")


def test_a_network_of_a_bundle_is_a_foreign_file_too(
    shop: Shop, benchmark_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    file = str(shop.bundle / "detector.onnx")
    cfg = benchmark_config(tmp_path / "run")
    with pytest.raises(ConfigError, match="give mean and std: a facings graph has those that it was trained with"):
        open_subjects([{"onnx": file, "labels": ["product"]}], cfg, tmp_path / "bundles")
    entry = {"onnx": file, "labels": ["product"], "mean": [0.5] * 3, "std": [0.5] * 3}
    entry["licence"] = "Apache-2.0"
    # Its score is made for pixels from -1 to 1, and so is the graph around it here.
    (path,) = open_subjects([entry], cfg, tmp_path / "bundles")
    picture = read_image(shop.images / "001.png")
    ours, theirs = (Recognizer(Bundle.open(each), threads=1).detect(picture, 0.3) for each in (path, shop.bundle))
    np.testing.assert_allclose(ours.boxes, theirs.boxes, atol=1e-3)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=0.01)


def test_folders_are_themselves_and_nothing_is_made_twice(
    shop: Shop, detector_only: Path, benchmark_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    file = str(save_cells(tmp_path / "grid.onnx", "yolo_dense"))
    cfg = benchmark_config(tmp_path / "run")
    entries = [str(shop.bundle), {"onnx": file, "labels": LABELS}, detector_only, {"onnx": file, "labels": LABELS}]
    found = open_subjects(entries, cfg, tmp_path / "bundles")
    assert found[0] == shop.bundle and found[2] == detector_only and found[1] == found[3]
    written = (found[1] / "bundle.json").stat().st_mtime_ns
    assert open_subjects(entries, cfg, tmp_path / "bundles") == found
    assert (found[1] / "bundle.json").stat().st_mtime_ns == written
    # Asked otherwise it is another bundle, and so is another file of that name.
    other = {"onnx": file, "labels": LABELS, "nms_iou": 1.0}
    save_cells(Path(file), "yolo_end_to_end")
    again = open_subjects([other, entries[1]], cfg, tmp_path / "bundles")
    assert len({*found, *again}) == 5
    assert sorted(p.name for p in (tmp_path / "bundles").iterdir()) == sorted(p.name for p in {found[1], *again})


def test_nms_is_at_the_overlap_that_was_chosen(
    shop: Shop, benchmark_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    file = str(save_cells(tmp_path / "grid.onnx", "yolo_dense"))
    entries = [{"onnx": file, "labels": LABELS, "nms_iou": overlap} for overlap in (0.9, 0.95)]
    found = open_subjects(entries, benchmark_config(tmp_path / "run"), tmp_path / "bundles")
    picture = read_image(shop.images / "001.png")
    counts = [len(Recognizer(Bundle.open(path), threads=1).detect(picture, 0.3)) for path in found]
    # Two cells a pixel apart overlap by 23 of 25 columns: 0.92.
    assert counts == [3, 6]


def test_a_checkpoint_becomes_a_bundle(tiny_shop: TinyShop, tiny_config: DictConfig, tmp_path: Path) -> None:
    folder = tmp_path / "bundles"
    (path,) = open_subjects([str(tiny_shop.detector)], tiny_config, folder)
    assert [entry.name for entry in folder.iterdir()] == [path.name]
    frame = read_image(tiny_shop.frames[0])
    ours = Recognizer(Bundle.open(path), threads=1).detect(frame, 0.1)
    theirs = Recognizer(Bundle.open(tiny_shop.bundle, precision="float32"), threads=1).detect(frame, 0.1)
    np.testing.assert_allclose(ours.scores, theirs.scores, atol=1e-4)
    report = json.loads((path / "report.json").read_text())
    assert report["latency"] is None and report["parity"]["scores"]["difference"] <= 1e-3
    with pytest.raises(ConfigError, match=r"an embedder is asked against a gallery; write the entry as {embedder: "):
        open_subjects([str(tiny_shop.embedder)], tiny_config, folder)


@pytest.mark.slow
def test_two_checkpoints_and_a_gallery_become_one_bundle(
    tiny_shop: TinyShop, tiny_config: DictConfig, tmp_path: Path
) -> None:
    gallery = {"table": str(tiny_shop.data / "recognition.csv"), "split": "val"}
    both = {"detector": str(tiny_shop.detector), "embedder": str(tiny_shop.embedder), "gallery": gallery}
    (path,) = open_subjects([both | {"name": "both", "golden": {"count": 1}}], tiny_config, tmp_path / "bundles")
    assert path.name.startswith("both-") and all(check.passed for check in verify(path))
    bundle = Bundle.open(path)
    assert bundle.precisions == ("float32",)
    assert bundle.gallery().items == Bundle.open(tiny_shop.bundle).gallery().items


def test_what_an_entry_may_not_be(shop: Shop, benchmark_config: Callable[..., DictConfig], tmp_path: Path) -> None:
    file = str(save_cells(tmp_path / "grid.onnx", "yolo_dense"))
    nothing = save_graph(tmp_path / "picture.onnx", [], {}, {"images": 4})
    (tmp_path / "note.txt").write_text("x")
    said = np.concatenate([np.full((4, 20), 30.0), np.full((3, 20), 7.0)]).astype(np.float32)
    logits = str(save_answers(tmp_path / "logits.onnx", {"output0": said}))
    cases: list[tuple[Any, type[FacingsError], str]] = [
        (str(tmp_path / "none"), ConfigError, "is not there, or no such thing; expected a bundle's folder, a .ckpt"),
        (str(tmp_path / "note.txt"), ConfigError, "expected a bundle's folder"),
        (str(tmp_path / "none.ckpt"), CheckpointError, "no such checkpoint"),
        (str(tmp_path / "none.onnx"), ConfigError, "no such file"),
        (5, ConfigError, "bundles: 5; expected a bundle's folder"),
        ({"gallery": {}}, ConfigError, "expected a bundle's folder"),
        ({"onnx": file, "detector": "a.ckpt"}, ConfigError, "detector does not go with onnx"),
        ({"detector": "a.ckpt", "layout": "detr"}, ConfigError, "layout does not go with a checkpoint"),
        ({"onnx": file, "quantization": "int8"}, ConfigError, "quantization is decided by the benchmark"),
        ({"onnx": file, "labels": LABELS, "nms_iuo": 0.5}, ConfigError, "'nms_iuo' is no setting .* names: nms_iou"),
        ({"onnx": file, "gallery": {"tabel": "x"}}, ConfigError, "'gallery.tabel' is no setting .*gallery.table"),
        ({"onnx": file, "labels": LABELS, "nms_iou": 3}, ConfigError, "nms_iou=3: expected a share"),
        ({"onnx": file, "labels": LABELS, "name": "../x"}, ConfigError, "becomes a folder's name"),
        ({"onnx": file}, ConfigError, "does not name its 2 classes"),
        (
            {"onnx": file, "labels": LABELS, "std": [1, 0, 1]},
            ConfigError,
            r"std is \[1, 0, 1\]; expected three numbers",
        ),
        (
            {"onnx": file, "labels": LABELS, "image_size": "96"},
            ConfigError,
            "image_size is '96'; expected a whole number",
        ),
        ({"onnx": logits, "labels": ["a", "b", "c"]}, ConfigError, "scores from 0 to 7; expected 0 to 1"),
        (str(nothing), ConfigError, "of no layout that is known here"),
    ]
    folder = tmp_path / "bundles"
    for entry, kind, message in cases:
        with pytest.raises(kind, match=message):
            open_subjects([entry], benchmark_config(tmp_path / "run"), folder)
    missing = benchmark_config(tmp_path / "run", f"data.annotations={tmp_path / 'none.json'}")
    with pytest.raises(DataError):
        open_subjects([{"onnx": file, "labels": LABELS}], missing, folder)
    assert not folder.exists() or not list(folder.iterdir())


def test_pictures_are_those_of_the_first_dataset(
    shop: Shop, benchmark_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    images = tmp_path / "images"
    images.mkdir()
    Image.fromarray(np.full((96, 96, 3), 90, np.uint8)).save(images / "grey.png")
    table = tmp_path / "crops.csv"
    table.write_text("path,product_id,split,role,category,box,camera_id\nimages/grey.png,grey,val,query,,,\n")
    data = f"datasets=[{{name: grey, recognition: {{table: {table}}}}}]"
    entry = {"onnx": str(save_cells(tmp_path / "grid.onnx", "yolo_dense", batch=1)), "labels": LABELS}
    (path,) = open_subjects([entry], benchmark_config(tmp_path / "run", data), tmp_path / "bundles")
    (golden,) = (path / "golden").glob("*.image.npy")
    assert (np.load(golden) == 90).all()
    # A batch that is fixed stays fixed, and is told.
    session = ort.InferenceSession(str(path / "detector.onnx"))
    assert session.get_inputs()[0].shape == [1, 3, 96, 96]


def test_an_embedder_of_one_crop_at_a_time_is_refused(
    benchmark_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    file = str(save_answers(tmp_path / "one.onnx", {"features": np.ones(8, np.float32)}, batch=1))
    with pytest.raises(ConfigError, match="takes one crop at a time; export the embedder with a dynamic batch"):
        open_subjects([{"onnx": file, "gallery": {"packshots": "x"}}], benchmark_config(tmp_path), tmp_path / "b")


def test_a_bundle_at_fault_leaves_nothing(
    shop: Shop, benchmark_config: Callable[..., DictConfig], tmp_path: Path
) -> None:
    """A gallery that cannot be read is told after the graphs were written beside."""
    entry = {"onnx": str(save_mean_colour(tmp_path / "mean.onnx", CROP)), "gallery": {"packshots": str(tmp_path)}}
    with pytest.raises((DataError, BundleError)):
        open_subjects([entry], benchmark_config(tmp_path / "run"), tmp_path / "bundles")
    assert not (tmp_path / "bundles").exists() or not list((tmp_path / "bundles").iterdir())
