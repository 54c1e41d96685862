"""`facings data augment`: what training sees of a dataset, or in an experiment."""

import argparse
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import torch
from hydra.utils import instantiate
from omegaconf import DictConfig
from PIL import Image

from facings.analysis.batch_sheets import draw_batches, draw_crops
from facings.analysis.contact_sheet import jpeg
from facings.commands.composition import check_overrides, compose_verb, groups_and_options
from facings.commands.inspection import TRAINING_PICTURES, batch_pictures
from facings.data.doctor.sources import Dataset, open_dataset
from facings.errors import ConfigError
from facings.files import atomic_write

TRAINING_CROPS = 40
USAGE = (
    "facings data augment NAME [KEY=VALUE …] [--data-dir DIR] [--output FILE]: name a dataset's folder, or an experiment "
    "(experiment=detection/quickstart)"
)


def augment(words: Sequence[str]) -> Path:
    """Draw the first training batches of a dataset or an experiment. `output=FILE.jpg` says where to; returns where it is.

    `--data-dir` and `--output` are taken as of the other commands. Raises ConfigError or DataError for what the user can mend.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--output", type=Path, default=Path("augmented.jpg"))
    try:
        options, words = parser.parse_known_args(list(words))
    except argparse.ArgumentError as fault:
        raise ConfigError(f"{fault}; {USAGE}") from fault
    output = next((Path(word.partition("=")[2]) for word in words if word.startswith("output=")), options.output)
    names = [word for word in words if "=" not in word]
    overrides = [word for word in words if "=" in word and not word.startswith("output=")]
    if options.data_dir is not None:
        overrides.append(f"paths.data_dir={_word(options.data_dir)}")
    if len(names) > 1 or not (names or overrides) or any(name.startswith("--") for name in names):
        raise ConfigError(USAGE)
    check_overrides("train", overrides)
    if names:
        folder = Path(compose_verb("train", overrides).paths.data_dir) / names[0]
        overrides = [*training_of(open_dataset(folder, Path(names[0]).name), folder), *overrides]
    cfg = compose_verb("train", overrides)
    data: Any = instantiate(cfg.data)
    draw = _detector_sheet if cfg.task.name == "detection" else _embedder_sheet
    atomic_write(output, jpeg(draw(data.train_dataloader(), data, cfg)))
    return output


def training_of(dataset: Dataset, folder: Path) -> list[str]:
    """Overrides of `facings train` that train on a dataset as it lies in `folder`: by its own experiment where there is one."""
    own = [name for name in groups_and_options("train")["experiment"] if name.rpartition("/")[2] == dataset.name]
    if own:
        return [f"experiment={own[0]}"]
    if dataset.splits:
        split = next((s for s in dataset.splits if s.name == "train"), dataset.splits[0])
        files = {"annotations": split.source, "images": split.images_folder}
        return [
            "data=coco",
            *(f"data.{use}.{key}={_word(path)}" for use in ("train", "val") for key, path in files.items()),
        ]
    return ["experiment=reid/quickstart", f"data.table.path={_word(folder / 'recognition.csv')}"]


def _word(path: Path) -> str:
    """Quoted, so that Hydra reads a comma or a bracket in a name as what it is."""
    return "'" + str(path).replace("'", "\\'") + "'"


def _detector_sheet(batches: Iterable[Mapping[str, Any]], data: Any, cfg: DictConfig) -> Image.Image:
    shown: list[Any] = []
    for batch in batches:
        shown += batch_pictures(batch)
        if len(shown) >= TRAINING_PICTURES:
            break
    return draw_batches(shown[:TRAINING_PICTURES], cfg.mean, cfg.std, data.labels)


def _embedder_sheet(batches: Iterable[Mapping[str, Any]], data: Any, cfg: DictConfig) -> Image.Image:
    """Crops of one product side by side, as a batch brings them."""
    few = list(islice(batches, 1 + TRAINING_CROPS // data.train_sampler().batch_size))
    crops = torch.cat([batch["crops"] for batch in few])[:TRAINING_CROPS]
    labels = torch.cat([batch["labels"] for batch in few])[:TRAINING_CROPS]
    order = labels.argsort(stable=True)
    return draw_crops(crops[order].numpy(), [data.products[int(n)] for n in labels[order]], cfg.mean, cfg.std)
