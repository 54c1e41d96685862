"""COCO segmentations, against pycocotools' own drawing."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as oracle

from facings.data.coco import read_coco
from facings.data.outlines import checked, identity_map, mask_area, to_rle

SQUARE = [10, 10, 30, 10, 30, 30, 10, 30]


def test_map_agrees_with_pycocotools() -> None:
    rng = np.random.default_rng(0)
    for _ in range(10):
        angles = np.sort(rng.uniform(0, 2 * np.pi, 12))
        polygon = (np.stack([np.cos(angles), np.sin(angles)], 1) * rng.uniform(15, 35) + [50, 40]).ravel().tolist()
        drawn = identity_map([[polygon]], (80, 100), (80, 100))
        wanted = oracle.decode(oracle.frPyObjects([polygon], 80, 100))[..., 0]
        shared = ((drawn > 0) & (wanted > 0)).sum()
        # cv2 also fills the pixels that the outline only touches.
        assert shared / ((drawn > 0) | (wanted > 0)).sum() > 0.9


def test_smaller_objects_lie_in_front_and_parts_are_joined() -> None:
    found = identity_map(
        [[[0, 0, 60, 0, 60, 60, 0, 60]], [SQUARE, [40, 40, 50, 40, 50, 50, 40, 50]], None], (60, 60), (60, 60)
    )
    assert found[20, 20] == 2 and found[45, 45] == 2 and found[35, 35] == 1
    assert set(np.unique(found)) == {1, 2}


def test_map_of_another_size() -> None:
    found = identity_map([[SQUARE]], (60, 60), (30, 30))
    assert found.shape == (30, 30) and found[10, 10] == 1 and found[20, 20] == 0
    rle = to_rle([SQUARE], 60, 60)
    np.testing.assert_array_equal(identity_map([rle], (60, 60), (60, 60)) > 0, oracle.decode(rle) > 0)


def test_area_by_hand_and_run_lengths_of_both_kinds() -> None:
    assert mask_area([SQUARE], 60, 60) == pytest.approx(400, abs=45)
    runs = {"size": [2, 3], "counts": [2, 1, 3]}
    assert mask_area(runs, 2, 3) == 1
    assert mask_area(to_rle(runs, 2, 3), 2, 3) == 1


@pytest.mark.parametrize(
    "segmentation, usable, fault",
    [
        ([], None, ""),
        (None, None, ""),
        ([SQUARE], [SQUARE], ""),
        ([SQUARE, [1, 2]], [SQUARE], "1 polygons are malformed"),
        ([[1, 2, 3, 4]], None, "1 polygons are malformed"),
        ([[float("nan")] * 8], None, "malformed"),
        ("x", None, "expected polygons or RLE"),
        ({"size": [1, 1], "counts": [1]}, None, "its picture of"),
        ({"size": [60, 60], "counts": [1]}, None, "covers 1 pixels"),
        ({"size": [60, 60]}, None, "lacks its counts"),
    ],
)
def test_what_cannot_be_read_is_told(segmentation: object, usable: object, fault: str) -> None:
    found, said = checked(segmentation, 60, 60)
    assert found == usable and fault in said


def write_set(folder: Path, segmentation: object) -> tuple[Path, Path]:
    images = folder / "images"
    images.mkdir()
    Image.new("RGB", (60, 60)).save(images / "a.png")
    annotation = {"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 20, 20], "iscrowd": 0}
    plain = annotation | {"id": 2, "bbox": [30, 30, 10, 10], "attributes": {"bagged": True}}
    content = {
        "images": [{"id": 1, "file_name": "a.png", "width": 60, "height": 60}],
        "annotations": [annotation | {"segmentation": segmentation}, plain],
        "categories": [{"id": 1, "name": "apple"}],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path, images


def test_table_carries_outlines_and_attributes(tmp_path: Path) -> None:
    table = read_coco(*write_set(tmp_path, [SQUARE]))
    assert table.outlined and not table.faults and table.class_counts() == [2]
    assert table.images[0].attributes == ({}, {"bagged": True})
    truth = table.ground_truth()["annotations"]
    assert truth[0]["area"] == mask_area([SQUARE], 60, 60)
    # The object without an outline is judged by its box.
    assert truth[1]["area"] == 100 and oracle.area(truth[1]["segmentation"]) == 100


def test_a_broken_outline_is_listed_and_its_box_kept(tmp_path: Path) -> None:
    table = read_coco(*write_set(tmp_path, [[1, 2]]))
    assert not table.outlined and len(table.images[0].labels) == 2
    assert "annotation 1: 1 polygons are malformed, used without an outline" in table.faults[0]
