"""The notebooks: pairs that agree, nothing in them that belongs to a machine, and pages that run to their end."""

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from facings.commands.benchmark import run as benchmark
from facings.commands.composition import compose_verb
from tests.conftest import TinyShop, load_script

ROOT = Path(__file__).resolve().parents[1]
PAIRS = sorted((ROOT / "notebooks").glob("*.py"))
NAMES = [
    "01_dataset", "02_detection_errors", "03_mask_errors", "04_recognition_errors", "05_unknowns_and_turnover", "06_latency",
    "07_compare_runs", "08_label_faults",
]  # fmt: skip
# A path from the root of a disk, of any system.
ABSOLUTE = re.compile(r"""(?<![\w.:/*-])(/(?:home|Users|root|work|tmp|mnt|opt|usr|var)\b|[A-Z]:\\\\)""")


@pytest.fixture(scope="module")
def notebooks() -> ModuleType:
    return load_script("notebooks")


def test_all_are_there() -> None:
    assert [path.stem for path in PAIRS] == NAMES == sorted(path.stem for path in (ROOT / "notebooks").glob("*.ipynb"))


@pytest.mark.parametrize("source", PAIRS, ids=lambda path: path.stem)
def test_the_two_of_a_pair_agree_and_hold_nothing_of_a_run(source: Path, notebooks: ModuleType) -> None:
    text = source.with_suffix(".ipynb").read_text(encoding="utf-8")
    content, wanted = json.loads(text), notebooks.paired(source)
    for number, (cell, other) in enumerate(zip(content["cells"], wanted.cells, strict=True), start=1):
        same = (cell["cell_type"], "".join(cell["source"])) == (other.cell_type, other.source)
        assert same, f"{source.name}, cell {number}: run python scripts/notebooks.py --sync"
        assert not cell.get("outputs") and cell.get("execution_count") is None
    assert not ABSOLUTE.search(text)


@pytest.mark.parametrize("source", PAIRS, ids=lambda path: path.stem)
def test_each_opens_with_its_run_and_ends_with_what_to_do(source: Path, notebooks: ModuleType) -> None:
    cells = notebooks.paired(source).cells
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    assert re.search(r"^RUNS? = ", code[0], re.M) and "FACINGS_RUN" in code[1]
    assert cells[-2].source == "## What to do next" and "steps_as_markdown" in cells[-1].source
    # Thin: no cell defines anything that could be wrong without a test.
    assert not any(re.search(r"^(def|class|for|while) ", text, re.M) for text in code)


@pytest.fixture(scope="module")
def detector_run(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What a middling detector would leave of the tiny shop: most objects, a little beside their place, some strays."""
    data, rng = tiny_data / "synthetic" / "quickstart", np.random.default_rng(0)
    truth = json.loads((data / "instances_val.json").read_text())
    found: list[dict[str, Any]] = []
    for entry in truth["annotations"]:
        if rng.random() < 0.85:
            box = (np.array(entry["bbox"]) + rng.normal(0, 1.0, 4)).clip(0.5).round(2).tolist()
            own = {name: entry[name] for name in ("image_id", "category_id")}
            found.append({**own, "bbox": box, "score": round(float(rng.uniform(0.3, 1)), 4)})
    found += [
        {"image_id": image["id"], "category_id": 1, "bbox": [3.0, 3.0, 20.0, 20.0], "score": 0.4}
        for image in truth["images"]
    ]
    folder = tmp_path_factory.mktemp("run")
    (folder / "predictions").mkdir()
    (folder / "predictions" / "test.json").write_text(json.dumps(found))
    lines = [f"annotations: {data}/instances_val.json", f"images: {data}/images/val"]
    (folder / "config.yaml").write_text("verb: evaluate\n" + "\n".join(lines) + "\n")
    return folder


@pytest.mark.parametrize("name", ["02_detection_errors", "08_label_faults"])
def test_smoke(name: str, detector_run: Path, notebooks: ModuleType, tmp_path: Path) -> None:
    executed = notebooks.execute(ROOT / "notebooks" / f"{name}.py", run=str(detector_run), folder=tmp_path)
    assert notebooks.keep(executed, tmp_path / "shown", name) >= 2
    last = executed.cells[-1].outputs[-1]["data"]["text/markdown"]
    assert last.startswith("1. **")


@pytest.fixture(scope="module")
def shop_run(tiny_shop: TinyShop, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of `facings benchmark` on the tiny shop's bundle, of which every notebook can tell its story."""
    folder, data = tmp_path_factory.mktemp("shop") / "benchmark", tiny_shop.data
    words = [
        f"bundle={tiny_shop.bundle}",
        "benchmark_data=coco",
        "data.name=tiny",
        f"data.images={data / 'images' / 'val'}",
    ]
    words += [f"data.annotations={data / 'instances_val.json'}", f"recognition.table={data / 'recognition.csv'}"]
    words += ["recognition.split=val", "threads=1", "warmup=1", "repeats=1"]
    benchmark(compose_verb("benchmark", words, output_dir=folder))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_every_notebook_runs_to_its_end(name: str, shop_run: Path, notebooks: ModuleType, tmp_path: Path) -> None:
    executed = notebooks.execute(ROOT / "notebooks" / f"{name}.py", run=str(shop_run), folder=tmp_path)
    assert notebooks.keep(executed, tmp_path / "shown", name) >= 2
    assert executed.cells[-1].outputs[-1]["data"]["text/markdown"]


@pytest.mark.slow
def test_two_runs_are_compared(shop_run: Path, notebooks: ModuleType, tmp_path: Path) -> None:
    """A run beside its own copy: nothing may be shown to differ."""
    import os
    import shutil

    other = Path(shutil.copytree(shop_run, tmp_path / "copy"))
    executed = notebooks.execute(
        ROOT / "notebooks" / "07_compare_runs.py", run=os.pathsep.join([str(shop_run), str(other)]), folder=tmp_path
    )
    last = executed.cells[-1].outputs[-1]["data"]["text/markdown"]
    assert "no difference to" in last and "better" not in last and "worse" not in last
