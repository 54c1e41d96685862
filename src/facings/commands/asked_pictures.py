"""The pictures that a finished run was asked about, for those who look at its answers. Judges nothing."""

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
    """As `asked_table`, without what the run was not asked about, whose objects would count as missed: where a test took some
    batches alone, pictures that nothing is predicted of.

    Raises ConfigError where nothing is left, and what `asked_table` raises.
    """
    table, agnostic = asked_table(given, config, folder)
    kept = table.images
    if tested_in_part(config):
        seen = {int(prediction["image_id"]) for prediction in predictions}
        kept = tuple(image for image in kept if image.image_id in seen)
    if not kept:
        raise ConfigError(
            f"{folder}: was tested on some batches alone, and found nothing there; test all of the split "
            "(facings evaluate checkpoint=…), and look at that"
        )
    return replace(table, images=kept), agnostic
