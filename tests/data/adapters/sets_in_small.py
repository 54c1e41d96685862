"""Every set in its authors' format, sound and as small as can be: what tests spoil."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

Build = Callable[[Path], None]
IMAGES = [
    {"id": 1, "file_name": "a.jpg", "width": 40, "height": 30},
    {"id": 7, "file_name": "b.jpg", "width": 40, "height": 30},
]
OBJECTS = [
    {"id": 1, "image_id": 1, "category_id": 3, "bbox": [1, 2, 10, 9], "iscrowd": 0, "area": 90},
    {"id": 2, "image_id": 7, "category_id": 3, "bbox": [1, 2, 10, 9], "iscrowd": 0, "area": 90},
]
CATEGORIES = [{"id": 3, "name": "tea"}, {"id": 9, "name": "cola"}]
XML = (
    "<annotation><filename>a.jpg</filename><size><width>40</width><height>30</height></size><object><name>f__50__5449</name>"
    "<bndbox><xmin>2</xmin><ymin>3</ymin><xmax>11</xmax><ymax>12</ymax></bndbox></object></annotation>"
)


def picture(path: Path, width: int = 40, height: int = 30) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(len(path.name)).integers(0, 255, (height, width, 3), np.uint8)
    Image.fromarray(noise).save(path)
    return path


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def coco(**fields: Any) -> str:
    """A COCO text; `fields` go into every annotation."""
    objects = [entry | fields for entry in OBJECTS]
    return json.dumps({"images": IMAGES, "annotations": objects, "categories": CATEGORIES})


def _coco_set(text: str, *folders: str, **fields: Any) -> Build:
    """An annotation file and its two pictures in each of `folders`."""

    def build(root: Path) -> None:
        for folder in folders:
            for name in ("a", "b"):
                picture(root / folder / f"{name}.jpg")
        write(root / text, coco(**fields))

    return build


def _plain(pictures: tuple[str, ...], texts: dict[str, str] | None = None) -> Build:
    """Pictures, and texts by their path."""

    def build(root: Path) -> None:
        for name in pictures:
            picture(root / name)
        for name, text in (texts or {}).items():
            write(root / name, text)

    return build


def _grapes(root: Path) -> None:
    picture(root / "data" / "CDY_1.jpg")
    write(root / "data" / "CDY_1.txt", "0 0.2 0.2 0.2 0.2\n")
    masks = np.zeros((30, 40, 1), bool)
    masks[3:9, 4:12, 0] = True
    np.savez_compressed(root / "data" / "CDY_1.npz", masks)
    write(root / "train.txt", "CDY_1\n")


def _apples(root: Path) -> None:
    picture(root / "detection" / "train" / "images" / "a.png")
    numbers = np.zeros((30, 40), np.uint8)
    numbers[2:6, 3:8] = 5
    (root / "detection" / "train" / "masks").mkdir()
    Image.fromarray(numbers).save(root / "detection" / "train" / "masks" / "a.png")


LABELME = {
    "shapes": [{"label": "tea", "shape_type": "rectangle", "points": [[1, 2], [9, 9]], "group_id": None}],
    "imagePath": "a.jpg", "imageHeight": 30, "imageWidth": 40,
}  # fmt: skip
CLASSES = (
    "Class Name (str),Class ID (int),Coarse Class Name (str),Coarse Class ID (int),"
    "Iconic Image Path (str),Product Description Path (str)\n"
    "Apple,0,Apple,0,/iconic/Fruit/a.jpg,/x\n"
)
SOP = "image_id class_id super_class_id path\n"
SETS: dict[str, Build] = {
    "coco": _coco_set("instances_train.json", "images"),
    "rpc": _coco_set("instances_train2019.json", "train2019"),
    "d2s": _coco_set("d2s_annotations_v1.1/annotations/D2S_training.json", "d2s_images_v1/images"),
    "sku110k_r": _coco_set("SKU110K-R-Json/sku110k-r_train.json", "images", rbbox=[20, 15, 10, 4, 0.5]),
    "unitail_det": _coco_set("unitail_train.json", "images", quad=[5, 2, 20, 4, 18, 20, 4, 19]),
    "sku110k": _plain(
        ("images/train_0.jpg",),
        {
            "annotations/annotations_train.csv": "train_0.jpg,1,2,11,22,object,40,30\ntrain_0.jpg,12,2,21,22,object,40,30\n"
        },
    ),
    "locount": _plain(
        ("Locount_ImagesTrain/a.jpg",), {"Locount_GtTxtsTrain/a.txt": "1,2,11,12,Cups, big,3\n5,5,9,9,Juice,1\n"}
    ),
    "webmarket": _plain(("db/one.jpg",), {"Web.csv": "image_name,x1,y1,x2,y2,class\none.jpg,1,2,30,28,object\n"}),
    "grozi": _plain(
        ("src/3264/0.jpg",),
        {"classes/grozi.csv": "imageid,classid,gtbboxid,difficult,lx,ty,rx,by,split\n0,7,0,1,0.25,0.1,0.5,0.5,train\n"},
    ),
    "holoselecta": _plain(("FinalDataset/a.jpg",), {"FinalDataset/a.xml": XML}),
    "voc": _plain(("JPEGImages/a.jpg",), {"Annotations/a.xml": XML, "ImageSets/Main/train.txt": "a\n"}),
    "wgisd": _grapes,
    "minneapple": _apples,
    "labelme": _plain(("train/a.jpg",), {"train/a.json": json.dumps(LABELME)}),
    "yolo": _plain(
        ("images/train/a.jpg",),
        {"labels/train/a.txt": "0 0.5 0.5 0.2 0.2\n", "data.yaml": "path: .\ntrain: images/train\nnames: [tea]\n"},
    ),
    "grocery_store": _plain(
        (*(f"dataset/{s}/Fruit/Apple/a.jpg" for s in ("train", "val", "test")), "dataset/iconic/Fruit/a.jpg"),
        {
            "dataset/classes.csv": CLASSES,
            **{f"dataset/{s}.txt": f"{s}/Fruit/Apple/a.jpg, 0, 0\n" for s in ("train", "val", "test")},
        },
    ),
    "rp2k": _plain(("all/train/x y/a.jpg", "all/test/x y/b.jpg")),
    "products10k": _plain(
        ("train/0.jpg", "test/0.jpg"),
        {"train.csv": "name,class,group\n0.jpg,0,7\n", "test_kaggletest.csv": "name,class,Usage\n0.jpg,0,Public\n"},
    ),
    "freiburg": _plain(
        ("images/BEANS/BEANS0008.png", "images/FISH/FISH0000.png"),
        {
            "splits/train0.txt": "BEANS/BEANS0008.png 15\n",
            "splits/test0.txt": "TUNA/TUNA0000.png 24\n",
            "classid.txt": "BEANS 15\nTUNA 24\n",
        },
    ),
    "fruits360": _plain(
        tuple(
            f"{folder}/Apple 1/{turn}{n}_100.jpg"
            for n, folder in enumerate(("Training", "Test"))
            for turn in ("", "r_")
        )
    ),
    "vegfru": _plain(
        ("veg200_images/leek/a.jpg", "fru92_images/pear/a.jpg"),
        {"veg200_lists/veg_train.txt": "leek/a.jpg 0\n", "fru92_lists/fru_train.txt": "pear/a.jpg 0\n"},
    ),
    "stanford_online_products": _plain(
        ("bicycle_final/1.JPG", "bicycle_final/2.JPG"),
        {"Ebay_train.txt": f"{SOP}1 1 1 bicycle_final/1.JPG\n", "Ebay_test.txt": f"{SOP}2 2 1 bicycle_final/2.JPG\n"},
    ),
    "image_folder": _plain(("train/cola/a.jpg", "val/cola/b.jpg")),
    "recognition_csv": _plain(("i/a.jpg",), {"l.csv": "path,product_id,split\ni/a.jpg,1,train\n"}),
    "snack_shelves": _plain(("crops/a.jpg",), {"reid.csv": "image,label,coarse_label,split\ncrops/a.jpg,x,y,train\n"}),
}
