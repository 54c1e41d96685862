"""COCO reading with every fault, and detection batches."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from facings.analysis.comparison import pair_pictures
from facings.data.coco import Crowd, read_coco
from facings.data.detection import DetectionDataset, collate
from facings.data.detection_datamodule import CocoDetectionDataModule
from facings.data.samplers import Draw
from facings.data.transforms.detection import training_transform
from facings.errors import ConfigError, DataError
from facings.metrics.detection import coco_metrics

HALF = (0.5, 0.5, 0.5)


def write(folder: Path, annotations: list[dict[str, Any]], replaced: dict[str, Any] | None = None) -> Path:
    Image.fromarray(np.full((40, 60, 3), 90, np.uint8)).save(folder / "a.png")
    content = {
        "images": [{"id": 7, "file_name": "a.png", "width": 60, "height": 40}],
        "categories": [{"id": 3, "name": "packaged"}, {"id": 9, "name": "produce"}],
        "annotations": [
            {"id": i + 1, "image_id": 7, "category_id": 3, "iscrowd": 0, **entry} for i, entry in enumerate(annotations)
        ],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(content | (replaced or {})))
    return path


RECORDS: dict[str, dict[str, Any]] = {
    "images": {"id": 7, "file_name": "a.png", "width": 60, "height": 40},
    "categories": {"id": 3, "name": "packaged"},
    "annotations": {"id": 1, "image_id": 7, "category_id": 3, "bbox": [5, 5, 10, 10], "iscrowd": 0},
}


@pytest.mark.parametrize("value", ["x", None, -5, 1e400, float("nan"), True, [5], {}, 10**400, 1.5, "é" * 300])
def test_whatever_a_field_holds_is_read_or_refused_in_words(tmp_path: Path, value: Any) -> None:
    content = {key: [dict(record)] for key, record in RECORDS.items()}
    for key, record in RECORDS.items():
        for name in (None, *record):
            spoiled = content | {key: [value if name is None else record | {name: value}]}
            path = write(tmp_path, [], spoiled)
            try:
                read_coco(path, tmp_path)
            except DataError as fault:
                assert path.name in str(fault) and len(str(fault)) < 700 + len(str(tmp_path)), (key, name)


def test_boxes_are_clipped_and_faults_listed(tmp_path: Path) -> None:
    boxes = [
        {"bbox": [5, 5, 10, 10], "product_id": "a"},
        {"bbox": [50, 30, 40, 40], "category_id": 9},
        {"bbox": [100, 5, 10, 10]},
        {"bbox": [5, 5, 0, 10]},
        {"bbox": [5, 5, 4, 4], "iscrowd": 1},
        {"bbox": [1, 1, 4, 4], "image_id": 99},
    ]
    table = read_coco(write(tmp_path, boxes), tmp_path)
    image = table.images[0]
    np.testing.assert_array_equal(image.boxes, [[5, 5, 15, 15], [50, 30, 60, 40]])
    assert image.labels.tolist() == [0, 1] and image.product_ids == ("a", None)
    assert len(table.faults) == 5 and image.crowds == (Crowd((5.0, 5.0, 9.0, 9.0), 0, None),)
    assert read_coco(table.source, tmp_path, class_agnostic=True).labels == ("product",)


@pytest.mark.parametrize("outlined", [False, True])
def test_figures_with_crowd_regions_are_pycocotools(tmp_path: Path, outlined: bool) -> None:
    """Of the table's truth as of the file itself: what is found in a crowd region is neither right nor wrong."""
    boxes: list[dict[str, Any]] = [
        {"bbox": [5, 5, 10, 10], "area": 100},
        {"bbox": [20, 2, 30, 30], "area": 900, "iscrowd": 1},
        {"bbox": [30, 20, 10, 15], "area": 150},
    ]
    if outlined:
        for entry in boxes:
            x, y, w, h = entry["bbox"]
            entry["segmentation"] = [[x, y, x + w, y, x + w, y + h, x, y + h]]
    path = write(tmp_path, boxes)
    table = read_coco(path, tmp_path)
    places = [([5, 5, 10, 9], 0.7), ([22, 4, 8, 8], 0.9), ([31, 20, 10, 15], 0.6), ([50, 30, 8, 8], 0.8)]
    found = [{"image_id": 7, "category_id": 3, "bbox": box, "score": score} for box, score in places]
    truth = COCO()
    truth.dataset = json.loads(path.read_text())
    truth.createIndex()
    oracle = COCOeval(truth, truth.loadRes([dict(entry) for entry in found]), "bbox")
    oracle.params.maxDets = [1, 10, 300]
    oracle.evaluate()
    oracle.accumulate()
    precision = oracle.eval["precision"][:, :, 0, 0, -1]
    own = [entry | {"category_id": 1} for entry in found]
    assert coco_metrics(table.ground_truth(), own)["ap"] == pytest.approx(precision.mean(), abs=1e-9)
    assert 0.3 < precision.mean() < 0.9
    (pair,) = pair_pictures(table.ground_truth(), own)
    assert len(pair.truth) == 2 and pair.found.scores.tolist() == pytest.approx([0.8, 0.7, 0.6])


def test_a_file_of_crowd_regions_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no usable box in 1 annotations; annotation 1: a crowd region, not trained on"):
        read_coco(write(tmp_path, [{"bbox": [5, 5, 10, 10], "iscrowd": 1}]), tmp_path)


def test_a_no_in_words_is_no_yes(tmp_path: Path) -> None:
    told = (
        {"bagged": "no", "track": 7},
        {"bagged": " True ", "track": 9},
        {"bagged": 0.0},
        {"bagged": None, "big": ""},
    )
    table = read_coco(write(tmp_path, [{"bbox": [5, 5, 10, 10], "attributes": known} for known in told]), tmp_path)
    assert table.images[0].attributes == ({"bagged": False}, {"bagged": True}, {"bagged": False}, {})
    assert table.faults == ("attribute 'track': 2 values such as 7 are neither yes nor no, not used",)


def test_camera_and_time_of_a_picture(tmp_path: Path) -> None:
    record = {"id": 7, "file_name": "a.png", "width": 60, "height": 40}
    box = {"bbox": [5, 5, 10, 10]}

    def read(image: dict[str, Any], *boxes: dict[str, Any]) -> Any:
        return read_coco(write(tmp_path, list(boxes) or [box], {"images": [record | image]}), tmp_path)

    [image] = read({"camera_id": 4, "captured_at": "2026-03-01T08:30:00"}).images
    assert (image.camera_id, image.captured_at) == ("4", datetime(2026, 3, 1, 8, 30))
    assert read({}).images[0].camera_id is None and read({}).images[0].captured_at is None
    # Told beside the objects, it is taken where they agree.
    assert read({}, box | {"camera_id": "left"}, box).images[0].camera_id == "left"
    assert read({}, box | {"camera_id": "left"}, box | {"camera_id": "right"}).images[0].camera_id is None
    table = read({"captured_at": "noon"})
    assert table.images[0].captured_at is None
    assert table.faults == ("image 7: captured_at is 'noon'; expected ISO 8601, such as 2026-03-01T08:30:00",)


def test_a_class_without_samples_keeps_its_number(tmp_path: Path) -> None:
    table = read_coco(write(tmp_path, [{"bbox": [5, 5, 10, 10], "category_id": 9}]), tmp_path)
    assert table.labels == ("packaged", "produce") and table.images[0].labels.tolist() == [1]


@pytest.mark.parametrize(
    "changes, expected",
    [
        ({"images": []}, "'images' is empty"),
        ({"annotations": []}, "no usable box"),
        ({"categories": []}, "categor"),
        ({"images": [{"id": 7, "file_name": "gone.png", "width": 60, "height": 40}]}, "gone.png"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 77, "bbox": [1, 1, 5, 5]}]}, "77"),
        ({"annotations": [{"id": 1, "image_id": 7, "category_id": 3, "bbox": [1, 1, "x", 5]}]}, "bbox"),
    ],
)
def test_what_cannot_be_used_is_refused(tmp_path: Path, changes: dict[str, Any], expected: str) -> None:
    path = write(tmp_path, [{"bbox": [5, 5, 10, 10]}], changes)
    with pytest.raises(DataError, match=expected):
        read_coco(path, tmp_path)


def test_missing_and_broken_files_are_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"nothing\.json"):
        read_coco(tmp_path / "nothing.json", tmp_path)
    (tmp_path / "cut.json").write_text('{"images": [')
    with pytest.raises(DataError, match=r"cut\.json"):
        read_coco(tmp_path / "cut.json", tmp_path)


@pytest.mark.parametrize("mode", ["L", "RGBA", "CMYK", "P", "I;16"])
def test_pictures_of_every_mode_make_the_same_batch(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path, [{"bbox": [5, 5, 10, 10]}])
    picture = Image.open(tmp_path / "a.png")
    name = "a.tif" if mode == "CMYK" else "b.png"
    if mode == "I;16":
        Image.fromarray(np.full((40, 60), 90 * 257, np.uint16)).save(tmp_path / name)
    else:
        picture.convert(mode, palette=Image.Palette.ADAPTIVE).save(tmp_path / name)
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = name
    path.write_text(json.dumps(content))
    dataset = DetectionDataset(read_coco(path, tmp_path), image_size=64, mean=HALF, std=HALF)
    item = dataset[0]
    middle = item["pixels"][:, 32, 32].numpy()
    np.testing.assert_allclose(middle, (90 / 255 - 0.5) / 0.5, atol=0.02)
    np.testing.assert_allclose(item["boxes"][0], np.array([5, 5, 15, 15]) * 64 / 60 + [0, 10, 0, 10], atol=1.0)


@pytest.mark.parametrize("mosaic", [0.0, 1.0])
def test_augmented_boxes_stay_on_their_objects(tmp_path: Path, mosaic: float) -> None:
    """A white square on grey: after any augmentation the box holds bright pixels and its surroundings do not."""
    picture = np.full((120, 160, 3), 60, np.uint8)
    picture[40:80, 60:110] = 255
    frame = {"id": 7, "file_name": "w.png", "width": 160, "height": 120}
    path = write(tmp_path, [{"bbox": [60, 40, 50, 40]}], {"images": [frame]})
    Image.fromarray(picture).save(tmp_path / "w.png")
    transform = training_transform(
        size=96, crop_scale=(0.5, 1.0), crop_ratio=(0.75, 1.33), zoom_out=0.3, flip=0.5, rotate_degrees=0.0, brightness=0.0,
        saturation=0.0, hue=0.0, blur=0.0, noise=0.0, compression=0.0, min_visibility=0.3,
    )  # fmt: skip
    dataset = DetectionDataset(
        read_coco(path, tmp_path),
        image_size=96,
        mean=HALF,
        std=HALF,
        augmentation=transform,
        mosaic=mosaic,
        cache_size=512,
    )
    seen = 0
    for seed in range(20):
        item = dataset[Draw(0, seed)]
        bright = item["pixels"][0].numpy() > 0.6
        covered = np.zeros_like(bright)
        for x1, y1, x2, y2 in item["boxes"].numpy():
            inside = bright[round(y1) : round(y2), round(x1) : round(x2)]
            assert inside.mean() > (0.7 if mosaic else 0.8)
            covered[max(0, int(y1) - 1) : int(y2) + 2, max(0, int(x1) - 1) : int(x2) + 2] = True
            seen += 1
        # A mosaic cuts objects at its seams; what is left of them below the least visibility is not labelled.
        assert mosaic or (bright & ~covered).sum() < 60
        again = dataset[Draw(0, seed)]
        assert np.array_equal(again["pixels"], item["pixels"])
    assert seen > 10


def test_collate_keeps_frames_without_objects(tmp_path: Path) -> None:
    path = write(tmp_path, [{"bbox": [5, 5, 10, 10]}])
    item = DetectionDataset(read_coco(path, tmp_path), image_size=64, mean=HALF, std=HALF)[0]
    empty = {**item, "boxes": item["boxes"][:0], "labels": item["labels"][:0]}
    batch = collate([item, empty])
    assert batch["pixels"].shape == (2, 3, 64, 64) and [len(b) for b in batch["boxes"]] == [1, 0]


def data_module(**sources: Any) -> CocoDetectionDataModule:
    return CocoDetectionDataModule(
        augmentation=training_transform(size=32), image_size=32, mean=HALF, std=HALF, batch_size=2, seed=0, **sources
    )


def test_a_split_may_join_several_tables(tmp_path: Path) -> None:
    sources = []
    for name, boxes in (("one", [[2, 2, 20, 20]]), ("two", [[5, 5, 9, 9], [30, 10, 12, 12], [70, 0, 5, 5]])):
        (tmp_path / name).mkdir()
        path = write(tmp_path / name, [{"bbox": box} for box in boxes])
        sources.append({"annotations": str(path), "images": str(tmp_path / name)})
    data = data_module(train=sources, val=sources[0], test=sources)
    assert [len(image.boxes) for image in data.train_table.images] == [1, 2]
    assert [image.image_id for image in data.train_table.images] == [1, 2]  # both files call theirs 7
    assert [image.image_id for image in data.val_table.images] == [7]
    assert next(iter(data.train_dataloader()))["pixels"].shape == (2, 3, 32, 32)
    assert list(data.checksums()) == ["instances.json", "two/instances.json"]
    assert len(data.faults()) == 1


def test_frames_are_kept_while_they_fit(tmp_path: Path) -> None:
    frames = [{"id": n, "file_name": f"{n}.png", "width": 60, "height": 40} for n in range(1, 6)]
    path = write(tmp_path, [{"bbox": [2, 2, 20, 20], "image_id": n} for n in range(1, 6)], {"images": frames})
    for number in range(1, 6):
        Image.fromarray(np.full((40, 60, 3), 40 * number, np.uint8)).save(tmp_path / f"{number}.png")
    options: dict[str, Any] = {"image_size": 32, "mean": HALF, "std": HALF, "augmentation": training_transform(size=32)}
    table = read_coco(path, tmp_path)
    whole, part = (
        DetectionDataset(table, cache_size=640, cache_bytes=room * 40 * 60 * 3, **options) for room in (5, 2)
    )
    assert whole.warm() == 0 and part.warm() == 3
    for draw in (Draw(number, 3) for number in range(5)):
        np.testing.assert_array_equal(whole[draw]["pixels"], part[draw]["pixels"])
    assert len(part._cache) == 2
    source = {"annotations": str(path), "images": str(tmp_path)}
    with pytest.warns(UserWarning, match="4 of 5 training pictures find no room in memory"):
        data_module(train=source, val=source, cache_bytes=40 * 60 * 3 + 9).train_dataloader()


def test_tables_of_other_categories_do_not_join(tmp_path: Path) -> None:
    (tmp_path / "other").mkdir()
    first = {"annotations": str(write(tmp_path, [{"bbox": [2, 2, 20, 20]}])), "images": str(tmp_path)}
    renamed = {"categories": [{"id": 3, "name": "cans"}, {"id": 9, "name": "produce"}]}
    path = write(tmp_path / "other", [{"bbox": [2, 2, 20, 20]}], renamed)
    other = {"annotations": str(path), "images": str(tmp_path / "other")}
    with pytest.raises(ConfigError, match=r"other/instances.json: has the categories .*cans.*class_agnostic=true"):
        data_module(train=[first, other], val=first)
