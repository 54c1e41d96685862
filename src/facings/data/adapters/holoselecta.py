"""HoloSelecta → COCO. Fuchs, Grundmann, Fleisch: "Towards Identification of Packaged Products via Computer Vision", IoT 2019.

295 photos of Selecta vending machines in Zurich, from phones and a HoloLens; 10036 boxes of 109 products. Source of the layout: the
README of tobiagru/ObjectDetectionGroceryProducts (licence CC BY 4.0) and public readers of its `FinalDataset/`: a Pascal VOC XML
beside each JPEG; an object's name is `PRODUCT__SIZE__GTIN` (`fuse_peach__50__5449000236623`). The GTIN becomes `product_id`. No
splits: all is `all`; photos come in bursts of one machine, so split by time, not by photo.
"""

from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.layout import Check
from facings.data.adapters.voc import convert_voc

CARD = Card(
    name="holoselecta",
    title="HoloSelecta",
    task="detection",
    licence="CC BY 4.0",
    commercial="yes",
    images="295, no splits",
    objects="10036",
    classes="109",
    get="follow the link FinalDataset in the README of the repository tobiagru/ObjectDetectionGroceryProducts; unpack it",
    layout="FinalDataset/NAME.jpg with NAME.xml (Pascal VOC) beside; object names PRODUCT__SIZE__GTIN",
    faults=("photos come in bursts of the same machine: a random split leaks", "behind glass: reflections"),
    source="Fuchs, Grundmann, Fleisch: Towards Identification of Packaged Products via Computer Vision, IoT 2019",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert every XML below `source`. Raises DataError where there is none."""
    return convert_voc(source, output, CARD, advance=advance, check=check, one_based=True, fields=_product)


def _product(name: str) -> dict[str, object] | None:
    gtin = name.rpartition("__")[2]
    return {"product_id": gtin} if gtin.isdigit() else None
