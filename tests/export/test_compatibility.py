"""The cross test between two bundles and what it lets the new one say; through ONNX Runtime and the command line."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from facings.errors import BundleError, ConfigError
from facings.export.bundle import seal
from facings.export.compatibility import check_pair, declare
from facings.files import sha256
from facings.runtime.bundle import Bundle
from facings.runtime.gallery_adoption import adopt, compatible_embedders
from tests.benchmark.conftest import make_bundle, make_data
from tests.runtime.test_gallery_adoption import sealed, upgraded


def main(words: list[str]) -> int:
    """scripts/compatibility.py, run here."""
    path = Path(__file__).resolve().parents[2] / "scripts" / "compatibility.py"
    spec = importlib.util.spec_from_file_location("compatibility_script", path)
    assert spec is not None and spec.loader is not None
    module: Any = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return int(module.main(words))


def turned(folder: Path) -> Path:
    """A new embedder with the colours' axes in another order: as good as the old one, but not compatible."""
    upgraded(folder)
    model = onnx.load(str(folder / "embedder.onnx"))
    first, last = model.graph.node
    model.graph.initializer.append(numpy_helper.from_array(np.array([1, 2, 0]), "order"))
    del model.graph.node[:]
    last.input[0] = "turned"
    model.graph.node.extend([first, helper.make_node("Gather", ["mean", "order"], ["turned"], axis=1), last])
    onnx.save(model, str(folder / "embedder.onnx"))
    manifest = json.loads((folder / "bundle.json").read_text())
    manifest["graphs"]["embedder"]["sha256"] = sha256(folder / "embedder.onnx")
    manifest["version"] = "3"
    (folder / "gallery" / "CURRENT").unlink()
    seal(folder, {name: value for name, value in manifest.items() if name not in ("schema", "files")})
    return folder


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """Three goods, painted as they are called; half of the pictures is the gallery."""
    names = ("red", "green", "blue")
    scenes = [{cell: (name, name) for cell, name in zip((0, 5, 10), names, strict=True)} for _ in range(4)]
    path = make_data(tmp_path / "data", scenes)[2]
    lines = path.read_text().splitlines()
    marked = [lines[0]] + [
        line.replace(",val,query,", ",train,gallery,") if n % 2 else line for n, line in enumerate(lines[1:])
    ]
    path.write_text("\n".join(marked) + "\n")
    return path


def test_a_compatible_bundle_is_declared_and_then_takes_the_old_gallery_over(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = make_bundle(tmp_path / "old-1"), upgraded(tmp_path / "new-2")
    (new / "report.json").write_text(json.dumps({"schema": "facings.report/1"}))
    (new / "MODEL_CARD.md").write_text("# new 2\n")
    sealed(new)
    words = [str(old), str(new), "--table", str(table), "--query-splits", "val", "--threads", "1"]
    assert main(words) == 0
    assert "1.0000" in capsys.readouterr().out and len(compatible_embedders(Bundle.open(new))) == 1
    assert main([*words, "--declare"]) == 0
    bundle, before = Bundle.open(new), Bundle.open(old)
    assert compatible_embedders(bundle) == (bundle.embedder_sha256, before.embedder_sha256)
    report = json.loads((new / "report.json").read_text())["compatibility"][before.embedder_sha256]
    assert report["cross_r1"]["value"] == 1.0 and report["cross_minus_old"] == {"value": 0.0, "low": 0.0, "high": 0.0}
    assert before.embedder_sha256 in (new / "MODEL_CARD.md").read_text()
    before.gallery().add("yellow", np.array([[1, 1, 0.1]], np.float32))
    assert adopt(bundle, before).adopted == ("yellow",)
    # Said twice is said once.
    assert main([*words, "--declare"]) == 0 and len(compatible_embedders(Bundle.open(new))) == 2


def test_a_bundle_that_finds_less_is_not_declared(
    table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old, new = make_bundle(tmp_path / "old-1"), turned(tmp_path / "new-3")
    words = [str(old), str(new), "--table", str(table), "--query-splits", "val", "--threads", "1"]
    assert main(words) == 1
    text = capsys.readouterr().out
    rows = {
        line.split("│")[1].strip(): line.split("│")[2].strip() for line in text.splitlines() if line.startswith("│")
    }
    assert rows["old queries, old gallery"] == rows["new queries, new gallery"] == "1.0000"
    assert rows["new queries, old gallery"] == "0.0000" and rows["gain in the old gallery"] == "-1.0000"
    files = {path: path.read_bytes() for path in new.rglob("*") if path.is_file()}
    assert main([*words, "--declare"]) == 2 and "it is not compatible" in capsys.readouterr().err
    assert files == {path: path.read_bytes() for path in new.rglob("*") if path.is_file()}


def test_what_cannot_be_declared_is_refused(table: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old, new = make_bundle(tmp_path / "old-1"), upgraded(tmp_path / "new-2")
    fine = {"cross_minus_old": {"value": 0.0, "low": 0.0, "high": 0.0}}
    with pytest.raises(ConfigError, match="has the very embedder"):
        declare(Bundle.open(old), Bundle.open(old), fine)
    (new / "signature.json").write_text("{}")
    with pytest.raises(BundleError, match="is signed"):
        declare(Bundle._read(new), Bundle.open(old), fine)
    boxes = make_bundle(tmp_path / "boxes-1", roles=("preprocess", "detector"))
    with pytest.raises(BundleError, match="has no embedder"):
        check_pair(Bundle.open(old), Bundle.open(boxes))
    assert main([str(old), str(old), "--table", str(table), "--query-splits", "test"]) == 2
    assert "6 gallery and 0 query rows" in capsys.readouterr().err
