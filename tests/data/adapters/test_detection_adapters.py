"""Detection sets in their authors' formats, made small, with their traps in them."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from facings.data.adapters import (
    d2s,
    grozi,
    holoselecta,
    labelme,
    locount,
    minneapple,
    rpc,
    sku110k,
    sku110k_r,
    unitail_det,
    webmarket,
    wgisd,
)  # fmt: skip
from facings.data.adapters.base import Report, adapters, prepare, read_record
from facings.data.coco import read_coco
from facings.errors import DataError


def picture(path: Path, width: int = 40, height: int = 30) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def write(path: Path, text: str, *, bom: bool = False) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8-sig" if bom else "utf-8")
    return path


def coco(images: Sequence[Any], annotations: Sequence[Any], categories: Sequence[Any]) -> str:
    return json.dumps({"images": images, "annotations": annotations, "categories": categories}, ensure_ascii=False)


def converted(module: Any, source: Path, output: Path, **options: Any) -> tuple[Report, dict[str, dict[str, Any]]]:
    """The report and every table, each read once more by the project's own reader."""
    report = prepare(
        lambda s, o, *, advance: module.convert(s, o, advance=advance, **options), module.CARD, source, output
    )
    tables = {}
    for path in report.outputs:
        tables[path.stem.removeprefix("instances_")] = json.loads(path.read_text())
        assert report.pictures is not None
        assert not read_coco(path, report.pictures).faults
    assert read_record(output)["outputs"].keys() == {path.name for path in report.outputs}
    return report, tables


def boxes(table: dict[str, Any]) -> list[list[float]]:
    return [entry["bbox"] for entry in table["annotations"]]


def test_sku110k_broken_jpegs_and_odd_boxes(tmp_path: Path) -> None:
    source = tmp_path / "s" / "SKU110K_fixed"
    for name in ("train_0", "train_882", "test_0"):
        picture(source / "images" / f"{name}.jpg")
    truncate(source / "images" / "train_882.jpg")
    rows = [
        "train_0.jpg,1,2,11,22,object,40,30", "train_0.jpg,5,5,5,9,object,40,30", "train_0.jpg,30,20,60,28,object,40,30",
        "train_882.jpg,1,2,11,22,object,40,30", "train_0.jpg,2,2,8,8,object,40,30", "train_9.jpg,1,2,3,4,object,40,30",
        "train_0.jpg,50,2,60,8,object,40,30", "train_0.jpg,9,9,3,12,object,40,30",
    ]  # fmt: skip
    write(source / "annotations" / "annotations_train.csv", "\n".join(rows) + "\n")
    write(source / "annotations" / "annotations_test.csv", "test_0.jpg,0,0,40,30,object,20,15\n")
    report, tables = converted(sku110k, tmp_path / "s", tmp_path / "out")
    assert boxes(tables["train"]) == [[1, 2, 10, 20], [30, 20, 10, 8], [2, 2, 6, 6]]
    assert report.fault_counts == {
        "missing split": 1, "box without area": 1, "box leaves its picture": 1, "unreadable picture": 1, "missing picture": 1,
        "box outside": 1, "box turned around": 1, "size differs": 1,
    }  # fmt: skip
    assert any("train_882.jpg" in line and "left out with its 1 objects" in line for line in report.faults)
    assert tables["test"]["images"][0]["width"] == 40


def test_sku110k_names_the_line_that_is_wrong(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    table = write(tmp_path / "annotations" / "annotations_train.csv", "a.jpg,1,2,3,4,object,40,30\na.jpg,1,2\n")
    with pytest.raises(DataError, match=r"annotations_train.csv, line 2: 3 fields; expected image_name,x1"):
        sku110k.convert(tmp_path, tmp_path / "out", check="none")
    table.write_text("image_name,x1,y1,x2,y2,class,image_width,image_height\n")
    with pytest.raises(DataError, match=r"a header\? this set has none"):
        sku110k.convert(tmp_path, tmp_path / "out", check="none")
    assert not list((tmp_path / "out").iterdir())
    with pytest.raises(DataError, match="no such folder; expected SKU-110K"):
        prepare(sku110k.convert, sku110k.CARD, tmp_path / "gone", tmp_path / "out")


def test_rpc_byte_order_mark_and_ids_that_skip(tmp_path: Path) -> None:
    picture(tmp_path / "val2019" / "a.jpg")
    categories = [{"id": 3, "name": "1_puffed_food", "supercategory": "puffed"}, {"id": 70, "name": "70_tea"}]
    images = [{"id": 912, "file_name": "a.jpg", "width": 40, "height": 30, "level": "hard"}]
    annotations = [
        {"id": 8, "image_id": 912, "category_id": 70, "bbox": [1.5, 2, 10, 9.25], "segmentation": [[]], "iscrowd": 0},
        {"id": 9, "image_id": 5, "category_id": 3, "bbox": [1, 2, 3, 4]},
        {"id": 10, "image_id": 912, "category_id": 4, "bbox": [1, 2, 3, 4]},
    ]
    text = json.loads(coco(images, annotations, categories)) | {"__raw_Chinese_name_df": [{"name": "茶"}]}
    write(tmp_path / "instances_val2019.json", json.dumps(text, ensure_ascii=False), bom=True)
    report, tables = converted(rpc, tmp_path, tmp_path / "out")
    assert tables["val"]["images"][0] == {
        "id": 912, "file_name": "val2019/a.jpg", "width": 40, "height": 30, "level": "hard",
    }  # fmt: skip
    assert boxes(tables["val"]) == [[1.5, 2, 10, 9.25]] and tables["val"]["annotations"][0]["category_id"] == 70
    assert report.fault_counts == {
        "missing split": 2, "object of an unknown picture": 1, "unknown category": 1, "empty class": 1,
    }  # fmt: skip


def test_d2s_masks_stay_what_they_were(tmp_path: Path) -> None:
    picture(tmp_path / "d2s_images_v1" / "images" / "a.jpg")
    bits = np.zeros((30, 40), np.uint8, order="F")
    bits[5:15, 10:30] = 1
    rle = coco_mask.encode(bits)
    outline = {"size": [30, 40], "counts": rle["counts"].decode()}
    objects = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 5, 20, 10], "segmentation": outline}]
    objects.append(objects[0] | {"id": 2, "segmentation": outline | {"size": [3, 4]}})
    text = coco([{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}], objects, [{"id": 1, "name": "apple"}])
    write(tmp_path / "d2s_annotations_v1.1" / "annotations" / "D2S_validation_clutter.json", text)
    report, tables = converted(d2s, tmp_path, tmp_path / "out")
    first, second = tables["val_clutter"]["annotations"]
    assert first["segmentation"] == outline and first["area"] == 200 and "segmentation" not in second
    assert report.fault_counts["malformed outline"] == 1


def test_locount_names_with_commas_in_doubled_folders(tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        picture(tmp_path / "Locount_ImagesTrain" / "Locount_ImagesTrain" / f"{name}.jpg")
    texts = tmp_path / "Locount_GtTxtsTrain" / "Locount_GtTxtsTrain"
    write(texts / "a.txt", "1,2,11,12,Cups, glasses and mugs,3\n5,5,9,9,Juice,1\n")
    write(texts / "b.txt", "\n")
    report, tables = converted(locount, tmp_path, tmp_path / "out")
    assert [c["name"] for c in tables["train"]["categories"]] == ["Cups, glasses and mugs", "Juice"]
    assert [e["count"] for e in tables["train"]["annotations"]] == [3, 1] and len(tables["train"]["images"]) == 2
    assert report.fault_counts == {"missing split": 1, "picture without labels": 1}
    write(texts / "b.txt", "1,2,3,4,Juice\n")
    with pytest.raises(DataError, match=r"b.txt, line 1: .*expected x1,y1,x2,y2,ClassName,count"):
        locount.convert(tmp_path, tmp_path / "out")


def test_quads_and_rotated_boxes(tmp_path: Path) -> None:
    picture(tmp_path / "u" / "images" / "a.jpg")
    image = [{"id": 1, "file_name": "a.jpg", "width": 40, "height": 30}]
    quad = [5, 2, 20, 4, 18, 20, 4, 19]
    objects = [
        {"id": 1, "image_id": 1, "category_id": 1, "quad": quad, "bbox": [0, 0, 3, 3]},
        {"id": 2, "image_id": 1, "category_id": 1, "quad": [[5, 2], [20, 4], [18, 20], [4, 19]]},
        {"id": 3, "image_id": 1, "category_id": 1, "bbox": [1, 1, 4, 4]},
    ]
    write(tmp_path / "u" / "unitail_train.json", coco(image, objects, []))
    report, tables = converted(unitail_det, tmp_path / "u", tmp_path / "uo")
    assert boxes(tables["train"]) == [[4, 2, 16, 18]] * 2 + [[1, 1, 4, 4]]
    assert tables["train"]["annotations"][0]["segmentation"] == [quad] and report.fault_counts == {
        "box without quad": 1
    }

    picture(tmp_path / "r" / "images" / "rotate_aug_-15_train_0.jpg")
    image[0]["file_name"] = "rotate_aug_-15_train_0.jpg"
    turned = {"id": 1, "image_id": 1, "category_id": 1, "rbbox": [20, 15, 10, 4, np.pi / 2], "bbox": [0, 0, 1, 1]}
    write(tmp_path / "r" / "SKU110K-R-Json" / "sku110k-r_train.json", coco(image, [turned], [{"id": 1, "name": "sku"}]))
    report, tables = converted(sku110k_r, tmp_path / "r", tmp_path / "ro")
    assert np.allclose(boxes(tables["train"]), [[18, 10, 4, 10]])


def test_webmarket_reads_sizes_from_pictures(tmp_path: Path) -> None:
    picture(tmp_path / "db" / "one.jpg")
    write(tmp_path / "WebMarket.csv", "image_name,x1,y1,x2,y2,class\none.jpg,1,2,30,31,object\n")
    report, tables = converted(webmarket, tmp_path, tmp_path / "out")
    assert tables["all"]["images"][0]["file_name"] == "db/one.jpg" and boxes(tables["all"]) == [[1, 2, 29, 28]]
    assert not report.faults


def test_grozi_tells_shares_from_pixels(tmp_path: Path) -> None:
    for name in ("0", "1"):
        picture(tmp_path / "grozi" / "src" / "3264" / f"{name}.jpg")
    write(tmp_path / "grozi" / "src" / "3264" / "2.jpg", "<html>not found</html>")
    rows = ["imageid,classid,gtbboxid,difficult,lx,ty,rx,by,split", "0,7,0,1,0.25,0.1,0.5,0.5,train"]
    rows += ["1,8,1,0,10,3,20,15,val-old-cl", "2,8,2,0,0.1,0.1,0.2,0.2,val-old-cl"]
    write(tmp_path / "grozi" / "classes" / "grozi.csv", "\n".join(rows) + "\n")
    report, tables = converted(grozi, tmp_path, tmp_path / "out")
    assert boxes(tables["train"]) == boxes(tables["val_old_cl"]) == [[10, 3, 10, 12]]
    assert tables["train"]["annotations"][0]["product_id"] == "7" and tables["train"]["annotations"][0]["difficult"]
    assert report.fault_counts == {"boxes in pixels": 1, "unreadable picture": 1}


def test_holoselecta_names_hold_the_gtin(tmp_path: Path) -> None:
    picture(tmp_path / "FinalDataset" / "a.jpg")
    box = "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>11</xmax><ymax>12</ymax></bndbox>"
    text = f"<object><name>fuse_peach__50__5449000236623</name>{box}</object>"
    write(tmp_path / "FinalDataset" / "a.xml", f"<annotation><filename>IMG a.jpg</filename>{text}</annotation>")
    report, tables = converted(holoselecta, tmp_path, tmp_path / "out")
    assert tables["all"]["annotations"][0]["product_id"] == "5449000236623" and boxes(tables["all"]) == [[1, 2, 10, 10]]
    assert report.fault_counts == {"misnamed picture": 1}


def test_grapes_and_apples_with_masks(tmp_path: Path) -> None:
    data = tmp_path / "wgisd" / "data"
    masks = np.zeros((30, 40, 2), bool)
    masks[3:9, 4:12, 0] = masks[15:25, 20:36, 1] = True
    for name in ("CDY_1", "SYH_2"):
        picture(data / f"{name}.jpg")
        write(data / f"{name}.txt", "0 0.2 0.2 0.2 0.2\n0 0.7 0.6666667 0.4 0.3333333\n")
    np.savez_compressed(data / "CDY_1.npz", masks)
    np.savez_compressed(data / "SYH_2.npz", masks[:, :, :1])
    write(tmp_path / "wgisd" / "train.txt", "CDY_1\nSYH_2\n")
    report, tables = converted(wgisd, tmp_path / "wgisd", tmp_path / "go")
    assert [entry["area"] for entry in tables["train"]["annotations"]] == [48, 160, 48, 160.0]
    assert "segmentation" not in tables["train"]["annotations"][2]
    assert report.fault_counts == {"missing split": 1, "masks that do not fit": 1}
    assert tables["train"]["images"][0]["variety"] == "Chardonnay"

    home = tmp_path / "m" / "detection"
    picture(home / "train" / "images" / "a.png")
    numbers = np.zeros((30, 40), np.uint8)
    numbers[2:6, 3:8], numbers[10, 10:14] = 5, 9
    (home / "train" / "masks").mkdir()
    Image.fromarray(numbers).save(home / "train" / "masks" / "a.png")
    picture(home / "test" / "images" / "b.png")
    report, tables = converted(minneapple, tmp_path / "m", tmp_path / "mo")
    assert boxes(tables["train"]) == [[3, 2, 5, 4]] and tables["train"]["annotations"][0]["area"] == 20
    assert report.fault_counts == {"mask one pixel thin": 1, "split without labels": 1}


def test_labelme_groups_corners_and_backslashes(tmp_path: Path) -> None:
    picture(tmp_path / "train" / "a.jpg")
    shapes = [
        {"label": "tea", "shape_type": "rectangle", "points": [[20, 22], [5, 4]], "group_id": None},
        {"label": "pear", "shape_type": "polygon", "points": [[1, 1], [6, 1], [6, 6]], "group_id": 1},
        {"label": "pear", "shape_type": "polygon", "points": [[9, 9], [12, 9], [12, 14]], "group_id": 1},
        {"label": "tea", "shape_type": "point", "points": [[3, 3]]},
    ]
    content = {
        "shapes": shapes,
        "imagePath": "..\\train\\a.jpg",
        "imageData": "xx",
        "imageHeight": 30,
        "imageWidth": 40,
    }
    write(tmp_path / "train" / "a.json", json.dumps(content))
    report, tables = converted(labelme, tmp_path, tmp_path / "out")
    assert boxes(tables["train"]) == [[5, 4, 15, 18], [1, 1, 11, 13]]
    assert len(tables["train"]["annotations"][1]["segmentation"]) == 2
    assert report.fault_counts == {"shape that is no object": 1}


def test_tables_of_others_are_not_replaced(tmp_path: Path) -> None:
    picture(tmp_path / "db" / "one.jpg")
    write(tmp_path / "WebMarket.csv", "image_name,x1,y1,x2,y2,class\none.jpg,1,2,30,28,object\n")
    mine = write(tmp_path / "out" / "instances_all.json", "{}")
    with pytest.raises(DataError, match="was not made by `facings prepare`"):
        prepare(webmarket.convert, webmarket.CARD, tmp_path, tmp_path / "out")
    assert mine.read_text() == "{}"


def test_every_adapter_has_a_card_of_its_own_name() -> None:
    found = dict(adapters())
    assert {"sku110k", "rpc", "d2s", "coco", "yolo", "voc", "labelme"} <= set(found)
    assert all(name == card.name and card.get and card.layout and card.source for name, card in found.items())
