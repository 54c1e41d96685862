"""The pictures that a finished run was asked about, for those who look at its answers. Judges nothing."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from facings.commands.inspect import asked_table, tested_in_part
from facings.data.coco import CocoTable
from facings.errors import ConfigError


def asked_pictures(
    given: DictConfig, config: Mapping[str, Any], folder: Path, predictions: Sequence[Mapping[str, Any]]
) -> tuple[CocoTable, bool]:
    """As `asked_table`, without what the run was not asked about, whose objects would count as missed: pictures beyond a
    benchmark's `max_images`, and where a test took some batches alone, pictures that nothing is predicted of.

    Raises ConfigError where nothing is left, and what `asked_table` raises.
    """
    table, agnostic = asked_table(given, config, folder)
    most = config.get("max_images")
    kept = table.images if most is None else table.images[: int(most)]
    if tested_in_part(config):
        seen = {int(prediction["image_id"]) for prediction in predictions}
        kept = tuple(image for image in kept if image.image_id in seen)
    if not kept:
        raise ConfigError(
            f"{folder}: was tested on some batches alone, and found nothing there; test all of the split "
            "(facings evaluate checkpoint=…), and look at that"
        )
    return replace(table, images=kept), agnostic


def named_truth(table: CocoTable) -> dict[str, Any]:
    """`table.ground_truth()` with file names that start at the folder in which all pictures lie: two of one name in two folders
    stay apart, and whoever loads an export finds them."""
    truth = table.ground_truth()
    paths = {image.image_id: image.path.absolute() for image in table.images}
    home = os.path.commonpath([path.parent for path in paths.values()])
    for entry in truth["images"]:
        entry["file_name"] = paths[entry["id"]].relative_to(home).as_posix()
    return truth
