"""Write the tables of README.md and docs/*.md from the records in results/, between `<!-- results:ID … -->` marks.

`<!-- results:spine-snack spine-grocery -->` … `<!-- /results -->`: the metrics of these records, in this order;
`<!-- headlines:… -->` … `<!-- /results -->`: of each record only those that its claim is about.
`--check` writes nothing and fails where a page differs: a figure in a page is a figure of a record, or a test says so.
"""

import argparse
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from facings.benchmark.claims import CLAIMS
from facings.benchmark.record import read_results
from facings.commands.script import script
from facings.errors import ConfigError
from facings.files import atomic_write

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(
    r"(<!-- (?P<what>results|headlines):(?P<ids>[^>]*?) -->\n)(?P<body>.*?)(<!-- /results -->)", re.DOTALL
)
OPENING = re.compile(r"<!-- (?:results|headlines):")


@script(__file__)
def main(arguments: Sequence[str] | None = None) -> int:
    """Returns 0, or 1 where `--check` finds a page that differs, 2 for a record or mark that is at fault."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; fail where a page differs")
    options = parser.parse_args(arguments)
    stale = refresh(ROOT, write=not options.check)
    for path in stale:
        state = "differs from results/; run python scripts/tables.py" if options.check else "written"
        sys.stdout.write(f"{path.relative_to(ROOT)}: {state}\n")
    return 1 if options.check and stale else 0


def refresh(root: Path, *, write: bool) -> list[Path]:
    """Pages whose tables differ from the records; with `write` they are brought up to date.

    Raises ConfigError for a mark that names no record, or is not closed.
    """
    records = read_results(root / "results")
    stale = []
    for path in [root / "README.md", *sorted((root / "docs").glob("**/*.md"))]:
        if not path.is_file():
            continue
        text = path.read_text(encoding="utf-8")
        fresh = with_tables(text, records, source=str(path.relative_to(root)))
        if fresh != text:
            stale.append(path)
            if write:
                atomic_write(path, fresh)
    return stale


def with_tables(text: str, records: Mapping[str, Mapping[str, Any]], *, source: str) -> str:
    """The page with every block's table made anew. Raises ConfigError as `refresh`."""
    if len(OPENING.findall(text)) != len(BLOCK.findall(text)):
        raise ConfigError(f"{source}: a <!-- results:ID --> mark is not closed by <!-- /results -->")

    def fill(match: re.Match[str]) -> str:
        identifiers = match["ids"].split()
        missing = [identifier for identifier in identifiers if identifier not in records]
        if missing or not identifiers:
            name = missing[0] if missing else ""
            raise ConfigError(
                f"{source}: {match['what']}:{name} names no record; results/ has {', '.join(records) or 'none'}"
            )
        root = "../" * (len(Path(source).parts) - 1)
        chosen = [records[identifier] for identifier in identifiers]
        if match["what"] == "headlines":
            chosen = [headlines(record) for record in chosen]
        return match[1] + table(chosen, root=root) + match[5]

    return BLOCK.sub(fill, text)


def headlines(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record with the metrics that its claim is about; all of one that has no claim."""
    _, wanted = CLAIMS.get(record["id"], ("", record["metrics"]))
    return {**record, "metrics": {name: metric for name, metric in record["metrics"].items() if name in wanted}}


def table(records: Sequence[Mapping[str, Any]], *, root: str = "") -> str:
    """Markdown: one row a metric, with its interval, its record, commit and day. `root`: the way to the checkout."""
    lines = ["| record | figure | value | 95 % interval | commit, date |", "| --- | --- | ---: | ---: | --- |"]
    for record in records:
        for number, (name, metric) in enumerate(record["metrics"].items()):
            unit = f" {metric['unit']}" if metric.get("unit") else ""
            interval = "–"
            if metric.get("low") is not None and metric.get("high") is not None:
                interval = f"{figure(metric['low'])} to {figure(metric['high'])}"
            first = f"[`{record['id']}`]({root}results/{record['id']}.json)" if number == 0 else ""
            when = f"`{short_commit(record['commit'])}`, {record['date'][:10]}" if number == 0 else ""
            lines.append(f"| {first} | `{name}` | {figure(metric['value'])}{unit} | {interval} | {when} |")
    return "\n".join(lines) + "\n"


def figure(value: float) -> str:
    """A number with three digits after the point below 1, one below 100, none above; whole numbers as they are."""
    if isinstance(value, int):
        return f"{value:,}".replace(",", "\u202f")
    size = abs(value)
    return f"{value:.3f}" if size < 1 or value == 1.0 else f"{value:.1f}" if size < 100 else f"{value:.0f}"


def short_commit(commit: str) -> str:
    """Ten digits, and the mark of a checkout with changes."""
    name, plus, state = commit.partition("+")
    return name[:10] + plus + state


if __name__ == "__main__":
    sys.exit(main())
