"""RP2K → recognition table. Peng, Xiao, Li, Li: "RP2K: A Large-Scale Retail Product Dataset for Fine-Grained Image
Classification", 2020 (arXiv 2006.12634).

`all/{train,test}/CATEGORY/IMAGE.jpg`: one folder a product, its name (often Chinese) is the product id. Crops of shelf photos.
"""

from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.image_folder import add_folders
from facings.data.adapters.layout import Check, locate
from facings.data.adapters.recognition_writer import RecognitionSet
from facings.data.tables import Role
from facings.errors import DataError

SPLITS: dict[str, tuple[str, Role]] = {"train": ("train", "train"), "test": ("test", "query")}
CARD = Card(
    name="rp2k",
    title="RP2K",
    task="recognition",
    licence="unconfirmed: ask the authors (Pinlan Data Technology)",
    commercial="ask",
    images="more than 500,000 crops in the paper; archives hold fewer",
    objects="one a crop",
    classes="about 2,000 products",
    get="www.pinlandata.com/rp2k_dataset links the archive rp2k_dataset.zip; unpack it as UTF-8",
    layout="all/train/CATEGORY/*.jpg\nall/test/CATEGORY/*.jpg",
    faults=("counts differ between versions of the archive", "folder names are not ASCII: unpack as UTF-8"),
    source="Peng, Xiao, Li, Li: RP2K, 2020 (arXiv 2006.12634)",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert train (role train) and test (role query). Raises DataError where there is no train folder."""
    train = locate(source, "all/train") or locate(source, "train")
    if train is None:
        raise DataError(f"{source}: no folder all/train; expected\n{CARD.layout}")
    report = Report()
    with RecognitionSet(train.parent, output, report, advance=advance, check=check) as made:
        for name, (split, role) in SPLITS.items():
            if not (train.parent / name).is_dir():
                report.fault("missing split", f"{train.parent / name} is not there; no {split}")
                continue
            add_folders(made, name, split, role)
    return report
