"""RPC → COCO. Wei et al.: "RPC: A Large-Scale Retail Product Checkout Dataset", arXiv 1901.07249.

`instances_{train,val,test}2019.json` (with a byte order mark: utf-8-sig) beside `{train,val,test}2019/`; COCO keys and
`__raw_Chinese_name_df`. Ids are kept and are not consecutive. A picture's `level` (easy, medium, hard) is kept. Single
products on a turntable are train, checkout counters val and test.
"""

from pathlib import Path

from facings.data.adapters.base import Advance, Card, Report, silent
from facings.data.adapters.coco_source import CocoText, samples, shared
from facings.data.adapters.coco_writer import CocoSet
from facings.data.adapters.layout import Check, Pictures, locate
from facings.errors import DataError

SPLITS = ("train", "val", "test")
CARD = Card(
    name="rpc",
    title="RPC, retail product checkout",
    task="detection",
    licence="CC BY-NC-SA 4.0",
    commercial="no",
    images="53739 / 6000 / 24000",
    objects="53739 / 73602 / 294333",
    classes="200 (17 coarse)",
    get="accept the terms at rpc-dataset.github.io or Kaggle (diyer22/retail-product-checkout-dataset); download "
    "the archive and unpack it",
    layout="{train,val,test}2019/*.jpg\ninstances_{train,val,test}2019.json   COCO, utf-8 with a byte order mark",
    faults=(
        "ids are not consecutive",
        "train holds single products on white, not checkouts",
        "train has empty outlines",
    ),
    source="Wei et al.: RPC: A Large-Scale Retail Product Checkout Dataset, arXiv 1901.07249",
)


def convert(source: Path, output: Path, *, advance: Advance = silent, check: Check = "tail") -> Report:
    """Convert the splits that are there. Raises DataError where none is, or for a file that is not this set's."""
    report = Report()
    files = {split: locate(source, f"instances_{split}2019.json") for split in SPLITS}
    there = {split: path for split, path in files.items() if path is not None}
    if not there:
        raise DataError(f"{source}: no instances_{{train,val,test}}2019.json; expected\n{CARD.layout}")
    for split in [s for s in SPLITS if s not in there]:
        report.fault("missing split", f"instances_{split}2019.json is not there; no {split}")
    root = next(iter(there.values())).parent
    texts = {split: CocoText(path) for split, path in there.items()}
    with CocoSet(output, report, Pictures(root, check), categories=shared(texts.values()), advance=advance) as made:
        for split, text in texts.items():
            report.inputs.append(text.path)
            folder = f"{split}2019/"
            made.write(split, samples(text, report, file_name=lambda n, f=folder: f + n, fields=("level",)))  # type: ignore[misc]
    return report
