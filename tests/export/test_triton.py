"""The model repository for Triton. No server is at hand here: the files are read back, and the ensembles' steps are run by ONNX
Runtime in the order that the configurations tell. Where `tritonclient` is installed, its own description of `ModelConfig` reads
them.
"""

import importlib.util
import re
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest

from facings.commands.cli import main
from facings.errors import BundleError, ConfigError
from facings.export.triton import LINKS, dims, ensemble_config, graph_config, has_batch, write_repository
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer
from tests.benchmark.conftest import make_bundle
from tests.conftest import TinyShop

ORT_TYPES = {"tensor(float)": "TYPE_FP32", "tensor(uint8)": "TYPE_UINT8", "tensor(int64)": "TYPE_INT64"}
Table = dict[str, list[Any]]


def port(name: str, kind: str, *shape: int | str) -> dict[str, Any]:
    return {"name": name, "type": kind, "shape": list(shape)}


ENTRIES = {
    "preprocess": {
        "inputs": [port("image", "uint8", 1, "height", "width", 3)],
        "outputs": [port("pixels", "float", 1, 3, 64, 64), port("transform", "float", 4)],
    },
    "detector": {
        "inputs": [port("pixels", "float", "batch", 3, 64, 64)],
        "outputs": [port("boxes", "float", "batch", 7, 4), port("labels", "int64", "batch", 7)],
    },
    "match": {
        "inputs": [port("embeddings", "float", "batch", 8), port("item", "int64", "views")],
        "outputs": [port("items", "int64", "batch", "k")],
    },
}


def parse(text: str) -> Table:
    """Protobuf's text format, as far as configurations use it: field → its values in order; a list counts as its elements."""
    words = re.findall(r'"(?:[^"\\]|\\.)*"|[{}\[\],:]|[^\s{}\[\],:"]+', text)
    table, rest = _fields(words)
    assert not rest
    return table


def _fields(words: list[str]) -> tuple[Table, list[str]]:
    table: Table = {}
    while words and words[0] != "}":
        name, words = words[0], words[1:]
        assert re.fullmatch(r"[a-z_]+", name), name
        if words[0] == "{":
            value, words = _fields(words[1:])
            assert words[0] == "}"
            table.setdefault(name, []).append(value)
            words = words[1:]
            continue
        assert words[0] == ":", f"{name}: {words[:3]}"
        words = words[1:]
        if words[0] != "[":
            table.setdefault(name, []).append(_scalar(words[0]))
            words = words[1:]
            continue
        end = words.index("]")
        table.setdefault(name, []).extend(_scalar(word) for word in words[1:end] if word != ",")
        words = words[end + 1 :]
    return table, words


def _scalar(word: str) -> Any:
    if word.startswith('"'):
        return word[1:-1]
    return int(word) if re.fullmatch(r"-?\d+", word) else word


def test_a_graph_with_a_batch_leaves_it_out_of_its_shapes() -> None:
    config = parse(graph_config("shop_detector", ENTRIES["detector"], 16))
    assert config["name"] == ["shop_detector"]
    assert config["platform"] == ["onnxruntime_onnx"]
    assert config["max_batch_size"] == [16]
    assert config["input"] == [{"name": ["pixels"], "data_type": ["TYPE_FP32"], "dims": [3, 64, 64]}]
    assert [output["dims"] for output in config["output"]] == [[7, 4], [7]]
    assert config["dynamic_batching"] == [{}]


@pytest.mark.parametrize("role", ["preprocess", "match"])
def test_a_graph_without_a_common_batch_gives_whole_shapes(role: str) -> None:
    config = parse(graph_config("any", ENTRIES[role], 16))
    assert config["max_batch_size"] == [0]
    assert "dynamic_batching" not in config
    for side in ("input", "output"):
        assert [entry["dims"] for entry in config[side]] == [dims(port) for port in ENTRIES[role][f"{side}s"]]


def test_a_batch_of_one_is_not_waited_for() -> None:
    assert "dynamic_batching" not in parse(graph_config("any", ENTRIES["detector"], 1))


def test_an_ensemble_gives_the_transform_beside_the_boxes() -> None:
    config = parse(ensemble_config("shop_detect", "shop", LINKS[0], ENTRIES))
    assert config["platform"] == ["ensemble"]
    assert [entry["name"][0] for entry in config["output"]] == ["transform", "boxes", "labels"]
    first, second = config["ensemble_scheduling"][0]["step"]
    assert (first["model_name"], second["model_name"]) == (["shop_preprocess"], ["shop_detector"])
    assert second["input_map"] == [{"key": ["pixels"], "value": ["pixels"]}]


def test_unfit_ports_are_named() -> None:
    with pytest.raises(BundleError, match="'mask' has type 'bool'"):
        graph_config("any", {"inputs": [port("mask", "bool", 1)], "outputs": [port("x", "float", 1)]}, 1)
    with pytest.raises(BundleError, match="'x' is a single number"):
        graph_config("any", {"inputs": [port("x", "float")], "outputs": [port("y", "float", 1)]}, 1)


def test_folders_and_bundles_that_do_not_fit_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bundle = Bundle.open(make_bundle(tmp_path / "bare-1"))  # its bundle.json names no ports
    with pytest.raises(BundleError, match="does not tell the ports of 'preprocess'"):
        write_repository(bundle, tmp_path / "repository")
    with pytest.raises(ConfigError, match="max_batch is 0"):
        write_repository(bundle, tmp_path / "repository", max_batch=0)
    assert main(["export", "triton", str(bundle.path), str(bundle.path)]) == 2
    assert "is not empty; give a new folder" in capsys.readouterr().err
    assert main(["export", "triton", str(bundle.path), str(tmp_path / "r"), "--presicion", "int8"]) == 2
    assert "--precision" in capsys.readouterr().err
    assert not (tmp_path / "repository").exists()


def test_the_repository_of_a_bundle(tiny_shop: TinyShop, tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    assert main(["export", "triton", str(tiny_shop.bundle), str(repository), "--max-batch", "4"]) == 0
    roles = ["preprocess", "detector", "crop", "embedder", "match"]
    assert {path.name for path in repository.iterdir()} == {f"tiny_{name}" for name in (*roles, "detect", "embed")}
    for role in roles:
        text = (repository / f"tiny_{role}" / "config.pbtxt").read_text()
        session = ort.InferenceSession(str(repository / f"tiny_{role}" / "1" / "model.onnx"))
        config, batched = parse(text), role in ("detector", "embedder")
        assert config["max_batch_size"] == [4 if batched else 0], role
        for side, ports in (("input", session.get_inputs()), ("output", session.get_outputs())):
            assert [entry["name"] for entry in config[side]] == [[node.name] for node in ports]
            assert [entry["data_type"] for entry in config[side]] == [[ORT_TYPES[node.type]] for node in ports]
            for entry, node in zip(config[side], ports, strict=True):
                full = [side if isinstance(side, int) else -1 for side in node.shape]
                assert ([-1, *entry["dims"]] if batched else entry["dims"]) == full, (role, node.name)
    for name in ("detect", "embed"):
        assert list((repository / f"tiny_{name}" / "1").iterdir()) == []


def test_steps_of_the_ensembles_give_the_stages(tiny_shop: TinyShop, tmp_path: Path) -> None:
    bundle = Bundle.open(tiny_shop.bundle, precision="float32")
    write_repository(bundle, tmp_path / "repository")
    image = np.random.default_rng(0).integers(0, 256, (90, 120, 3), np.uint8)
    expected = Recognizer(bundle).stages(image, crop_boxes=np.array([[0, 0, 120, 90]], np.float32))
    for name, outputs in (("detect", ("transform", "boxes", "scores", "labels")), ("embed", ("embeddings",))):
        found = run_ensemble(tmp_path / "repository", f"tiny_{name}", {"image": image[None]})
        for output in outputs:
            assert np.array_equal(found[output], expected[output]), output


def run_ensemble(repository: Path, name: str, tensors: dict[str, Any]) -> dict[str, Any]:
    """What Triton does with an ensemble: each step takes and gives tensors of the request by the names of its maps."""
    config = parse((repository / name / "config.pbtxt").read_text())
    for step in config["ensemble_scheduling"][0]["step"]:
        session = ort.InferenceSession(str(repository / step["model_name"][0] / "1" / "model.onnx"))
        inputs = {entry["key"][0]: tensors[entry["value"][0]] for entry in step["input_map"]}
        outputs = [entry["key"][0] for entry in step["output_map"]]
        for entry, value in zip(step["output_map"], session.run(outputs, inputs), strict=True):
            tensors[entry["value"][0]] = value
    for output in config["output"]:
        shape = tensors[output["name"][0]].shape
        assert [side if fixed >= 0 else -1 for side, fixed in zip(shape, output["dims"], strict=True)] == output["dims"]
    return {output["name"][0]: tensors[output["name"][0]] for output in config["output"]}


def test_tritons_own_description_reads_the_configurations() -> None:
    spec = importlib.util.find_spec("tritonclient")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("tritonclient is not installed (pip install tritonclient): its ModelConfig is not asked")
    text_format = pytest.importorskip("google.protobuf.text_format")
    # By its file: the package around it wants gRPC.
    path = Path(spec.submodule_search_locations[0]) / "grpc" / "model_config_pb2.py"
    found = importlib.util.spec_from_file_location("model_config_pb2", path)
    assert found is not None and found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    texts = [graph_config("any", entry, 8) for entry in ENTRIES.values()]
    texts.append(ensemble_config("shop_detect", "shop", LINKS[0], ENTRIES))
    configs = [text_format.Parse(text, module.ModelConfig()) for text in texts]
    assert [config.max_batch_size for config in configs] == [0, 8, 0, 0]
    assert [len(config.ensemble_scheduling.step) for config in configs] == [0, 0, 0, 2]
    assert list(configs[1].input[0].dims) == [3, 64, 64]


def test_a_batch_is_a_dimension_that_all_ports_share() -> None:
    assert has_batch(ENTRIES["detector"])
    assert not has_batch(ENTRIES["match"])  # `item` begins with the views
    assert not has_batch({"inputs": [port("x", "float", 1, 3)], "outputs": [port("y", "float", 1)]})
