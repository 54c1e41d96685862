"""One picture of many: the first scenes of a synthetic set side by side, for docs and for looking a set over.

    facings synthesize name=shop 'cameras=[front,overhead,oblique,walk_by]' 'resolution=[640,480]' train_scenes=12 val_scenes=1
    python scripts/shelf_sheet.py data/synthetic/shop --output docs/shelves.jpg

With --truth the outlines of what is labelled are drawn in.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image, ImageDraw

from facings.commands.script import script
from facings.data.coco import read_coco
from facings.errors import ConfigError

COLOURS = ((255, 80, 80), (80, 200, 255), (255, 220, 60), (120, 255, 120), (255, 120, 255), (255, 160, 60))


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 2 for what the user can mend."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="of a set that `facings synthesize` made")
    parser.add_argument("--output", type=Path, required=True, help="the picture to write")
    parser.add_argument("--split", default="train")
    parser.add_argument("--count", type=int, default=12, help="pictures (12)")
    parser.add_argument("--columns", type=int, default=4, help="side by side (4)")
    parser.add_argument("--width", type=int, default=320, help="pixels of each (320)")
    parser.add_argument("--truth", action="store_true", help="draw outlines")
    options = parser.parse_args(arguments)
    sheet(options).save(options.output, quality=85)
    return 0


def sheet(options: argparse.Namespace) -> Image.Image:
    """The pictures, row by row. Raises ConfigError for sizes below 1, DataError for a set that cannot be read."""
    for name in ("count", "columns", "width"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} {getattr(options, name)}: expected 1 or more")
    table = read_coco(options.folder / f"instances_{options.split}.json", options.folder / "images" / options.split)
    tiles = []
    for image in table.images[: options.count]:
        with Image.open(image.path) as opened:
            picture = opened.convert("RGB")
        if options.truth:
            pen = ImageDraw.Draw(picture)
            for number, outline in enumerate(image.segmentations):
                draw(pen, outline, COLOURS[number % len(COLOURS)])
        tiles.append(picture.resize((options.width, round(options.width * picture.height / picture.width))))
    tall = max(tile.height for tile in tiles)
    columns = min(options.columns, len(tiles))
    made = Image.new("RGB", (columns * options.width, -(-len(tiles) // columns) * tall), (255, 255, 255))
    for number, tile in enumerate(tiles):
        made.paste(tile, (number % columns * options.width, number // columns * tall))
    return made


def draw(pen: ImageDraw.ImageDraw, outline: Any, colour: tuple[int, int, int]) -> None:
    """The polygons of an object; an RLE has none."""
    for polygon in outline if isinstance(outline, list) else []:
        points = [*polygon, *polygon[:2]]
        pen.line([float(value) for value in points], fill=colour, width=2)


if __name__ == "__main__":
    sys.exit(main())
