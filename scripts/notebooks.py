"""The notebooks, kept as pairs: write each `.ipynb` anew from its `.py`, or run all of them and keep what they show.

A `.ipynb` of the repository has no outputs. What a run shows goes to another folder, with every figure as a file beside it.
"""

import argparse
import base64
import os
import sys
import time
from pathlib import Path
from typing import Any

import jupytext
import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from rich.console import Console

NOTEBOOKS = Path(__file__).resolve().parents[1] / "notebooks"
# Of one cell; a notebook as a whole is meant to take less than two minutes.
CELL_SECONDS = 300
KERNEL = {"display_name": "Python 3", "language": "python", "name": "python3"}
FORMATS = "ipynb,py:percent"
ENDINGS = {"image/png": ".png", "image/jpeg": ".jpg"}


def main() -> int:
    """Returns 0, or 1 where a notebook failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="as 02_detection_errors (default: all)")
    parser.add_argument("--sync", action="store_true", help="write the .ipynb from the .py, and run nothing")
    parser.add_argument("--run", metavar="FOLDER", help="look at this run instead of the quickstart's")
    parser.add_argument("--output", type=Path, default=Path("logs/notebooks"), metavar="FOLDER")
    options = parser.parse_args()
    console, failed = Console(), 0
    for source in sources(options.names):
        if options.sync:
            source.with_suffix(".ipynb").write_text(nbformat.writes(paired(source)) + "\n", encoding="utf-8")
            continue
        began = time.monotonic()
        try:
            executed = execute(source, run=options.run)
        except CellExecutionError as fault:
            console.print(
                f"[red]{source.stem} failed[/]", f"{fault.ename}: {fault.evalue}", markup=True, highlight=False
            )
            failed = 1
            continue
        figures = keep(executed, options.output, source.stem)
        console.print(
            f"{source.stem}: {time.monotonic() - began:.0f} s, {figures} figures, {options.output / source.stem}.ipynb"
        )
    return failed


def sources(names: list[str]) -> list[Path]:
    """The `.py` of each notebook. Raises SystemExit for a name that there is not."""
    found = sorted(NOTEBOOKS.glob("*.py"))
    if strange := set(names) - {path.stem for path in found}:
        raise SystemExit(f"no notebook {sorted(strange)[0]!r}; there are {', '.join(path.stem for path in found)}")
    return [path for path in found if not names or path.stem in names]


def paired(source: Path) -> Any:
    """The notebook of a `.py`, without outputs; cells are numbered, so that the same text gives the same file."""
    notebook = jupytext.read(source, fmt="py:percent")
    for number, cell in enumerate(notebook.cells, start=1):
        cell["id"] = f"cell-{number}"
        cell["metadata"] = {}
        if cell.cell_type == "code":
            cell["outputs"], cell["execution_count"] = [], None
    notebook.metadata = nbformat.from_dict({"jupytext": {"formats": FORMATS}, "kernelspec": KERNEL})
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    nbformat.validate(notebook)
    return notebook


def execute(source: Path, *, run: str | None = None, folder: Path | None = None) -> Any:
    """Run a notebook in a process of its own, in `folder` (default: the notebooks' own); `run`: the FACINGS_RUN that it sees.

    Raises CellExecutionError where a cell fails.
    """
    notebook = paired(source)
    environment = os.environ | ({"FACINGS_RUN": run} if run else {})
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder or NOTEBOOKS)}},
    )
    client.execute(env=environment)
    return notebook


def keep(notebook: Any, folder: Path, name: str) -> int:
    """Write the executed notebook and its figures, and return how many there are."""
    folder.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, folder / f"{name}.ipynb")
    count = 0
    for cell in notebook.cells:
        for output in cell.get("outputs", []):
            kind = next((kind for kind in ENDINGS if kind in output.get("data", {})), None)
            if kind is not None:
                count += 1
                path = folder / f"{name}_{count}{ENDINGS[kind]}"
                path.write_bytes(base64.b64decode(output["data"][kind]))
    return count


if __name__ == "__main__":
    sys.exit(main())
