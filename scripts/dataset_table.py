"""Write the table of all datasets in data/README.md from the adapters' cards, between `<!-- datasets -->` marks.

`--check` writes nothing and fails where the page differs, so that table and cards cannot drift apart.
"""

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from facings.commands.script import script
from facings.config import config_dir
from facings.data.adapters.base import Card, adapters
from facings.data.adapters.cards import every_card
from facings.errors import ConfigError
from facings.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "data" / "README.md"
BLOCK = re.compile(r"(<!-- datasets -->\n)(.*?)(<!-- /datasets -->)", re.DOTALL)
SOLD = {"yes": "yes", "no": "no", "ask": "ask the owners"}


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 where `--check` finds that the page differs, 2 for marks or cards at fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where the page differs")
    options = parser.parse_args(arguments)
    stale = refresh(PAGE, write=not options.check)
    if stale:
        state = "differs from the cards; run python scripts/dataset_table.py" if options.check else "written"
        sys.stdout.write(f"{PAGE.relative_to(ROOT)}: {state}\n")
    return 1 if options.check and stale else 0


def refresh(page: Path, *, write: bool) -> bool:
    """Whether the page's table differs from the cards; with `write` it is brought up to date.

    Raises ConfigError for a page without exactly one pair of marks.
    """
    text = page.read_text(encoding="utf-8")
    if len(BLOCK.findall(text)) != 1 or text.count("<!-- datasets -->") != 1:
        raise ConfigError(f"{page}: expected one <!-- datasets --> closed by <!-- /datasets -->")
    prepared = {card.name for _, card in adapters()}
    made = table(list(every_card().values()), prepared)
    fresh = BLOCK.sub(lambda match: match[1] + made + match[3], text)
    if fresh != text and write:
        atomic_write(page, fresh)
    return fresh != text


def table(cards: Sequence[Card], prepared: set[str]) -> str:
    """Markdown, by task and name. `prepared`: sets that `facings prepare` converts; the others are used as they are."""
    lines = [
        "| set | `dataset=`, folder | images | boxes, masks, labels | classes | licence | commercial use of a model | command |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for task in ("detection", "recognition"):
        for card in sorted((c for c in cards if c.task == task), key=lambda c: c.name):
            cells = [
                f"{card.title} ({task})", f"`{card.name}`", card.images, card.objects, card.classes, card.licence,
                SOLD[card.commercial], command(card, prepared),
            ]  # fmt: skip
            lines.append("| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def command(card: Card, prepared: set[str]) -> str:
    """What makes the set usable once it lies on disk."""
    if card.downloads:
        return f"`python scripts/fetch_dataset.py {card.name}`, `facings prepare dataset={card.name}`"
    if card.name in prepared:
        return f"`facings prepare dataset={card.name} source=FOLDER`"
    if card.get.startswith("`"):
        return card.get
    if (config_dir() / "experiment" / card.task / f"{card.name}.yaml").is_file():
        return f"`facings train experiment={card.task}/{card.name}`"
    return "`facings train data=coco data.train.annotations=… data.train.images=…`"


if __name__ == "__main__":
    sys.exit(main())
