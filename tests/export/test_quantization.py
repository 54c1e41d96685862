"""Which nodes become eight bits, what ranges they get, what each part costs, and when a file may be used."""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from facings.errors import BundleError, ConfigError, DataError
from facings.export.calibration_data import Samples
from facings.export.fp16 import half_precision
from facings.export.graphs import GraphBuilder
from facings.export.layer_costs import LayerCost, as_rows, cost_table, layer_costs, noise
from facings.export.network_part import WEIGHTED, cut, network_part
from facings.export.precision_gate import GateSettings, Verdict, fewest_kept, judge
from facings.export.quantize import Int8Settings, load_float, measure_ranges, quantized, save
from facings.runtime.onnx_file import check_portable
from facings.runtime.session import Session

SIDE = 16
DECODING = {"TopK", "GatherElements", "Reshape", "Transpose", "Unsqueeze", "Expand", "Softmax", "Mul"}


def small_detector(seed: int = 0, delicate: float = 1.0) -> onnx.ModelProto:
    """Stem, block with a shortcut, two heads and a decoding with a top-k, as the exporter names them.

    `delicate`: how much larger one channel of the class head's input is than the others.
    """
    rng = np.random.default_rng(seed)
    b = GraphBuilder()

    def conv(name: str, source: str, width: int, to: int) -> str:
        weight = rng.normal(0, 0.4, (to, width, 3, 3)).astype(np.float32)
        if name == "classes.outputs.0":
            weight *= 0.05
            weight[:, 0] *= 0.1 / delicate
        if name == "classes.towers.0":
            weight[0] *= delicate
        inputs = [
            source,
            b.constant(f"model.{name}.weight", weight),
            b.constant(f"{name}.bias", np.zeros(to, np.float32)),
        ]
        return b.node("Conv", inputs, f"{name}.out", pads=[1, 1, 1, 1])

    def act(source: str) -> str:
        return b.node("Relu", [source], f"{source}.relu")

    stem = act(conv("backbone.stem", "pixels", 3, 8))
    block = b.node("Add", [act(conv("backbone.blocks.0", stem, 8, 8)), stem], "joined")
    boxes = conv("boxes.outputs.0", act(conv("boxes.towers.0", block, 8, 8)), 8, 4)
    classes = conv("classes.outputs.0", act(conv("classes.towers.0", block, 8, 8)), 8, 1)
    b.node("Reshape", [classes, b.constant("rows", np.array([0, -1], np.int64))], "logits")
    b.node("Reshape", [boxes, b.constant("four", np.array([0, 4, -1], np.int64))], "sides")
    b.node("Transpose", ["sides"], "all_boxes", perm=[0, 2, 1])
    b.node("Sigmoid", ["logits"], "certain")
    b.nodes.append(
        helper.make_node(
            "TopK", ["certain", b.constant("k", np.array([10], np.int64))], ["scores", "order"], name="topk"
        )
    )
    b.node("Unsqueeze", ["order", b.constant("last", np.array([-1], np.int64))], "order3")
    b.node("Expand", ["order3", b.constant("as_four", np.array([1, 1, 4], np.int64))], "index")
    b.node("GatherElements", ["all_boxes", "index"], "boxes", axis=1)
    return b.model(
        "detector",
        [helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["batch", 3, SIDE, SIDE])],
        [
            helper.make_tensor_value_info("boxes", TensorProto.FLOAT, ["batch", 10, 4]),
            helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 10]),
        ],
        20,
    )


def pictures(count: int = 6, seed: int = 1) -> Samples:
    seeds = range(seed, seed + count)
    return Samples(
        "pixels", seeds, lambda s: np.random.default_rng(s).normal(size=(1, 3, SIDE, SIDE)).astype(np.float32)
    )


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    path = tmp_path / "detector.onnx"
    onnx.save(small_detector(), str(path))
    return path


def ancestors(model: onnx.ModelProto, tensors: set[str]) -> set[str]:
    """Names of all nodes that the tensors are computed from."""
    found, wanted = set(), set(tensors)
    for node in reversed(model.graph.node):
        if wanted.intersection(node.output):
            found.add(node.name)
            wanted.update(node.input)
    return found


def test_network_part_ends_where_decoding_begins(exported: Path) -> None:
    part = network_part(load_float(exported))
    assert part.ends == ("boxes.outputs.0.out", "classes.outputs.0.out")
    assert {name.removesuffix(".relu").removesuffix(".out") for name in part.nodes} == {
        "backbone.stem", "backbone.blocks.0", "joined", "boxes.towers.0", "boxes.outputs.0", "classes.towers.0",
        "classes.outputs.0",
    }  # fmt: skip
    assert sorted(n for names in part.groups.values() for n in names) == sorted(part.nodes)
    # The sum of two blocks goes with the later of them.
    assert "joined" in part.groups["backbone.stem"] or "joined" in part.groups["backbone.blocks.0"]
    assert list(network_part(load_float(exported), most_groups=3).groups) == ["backbone", "boxes", "classes"]
    assert list(network_part(load_float(exported), most_groups=2).groups) == ["network"]
    with pytest.raises(ValueError, match="no group 'neck'"):
        part.without(["neck"])


def test_network_part_refuses_what_it_cannot_cut() -> None:
    model = small_detector()
    model.graph.node[0].name = ""
    with pytest.raises(ValueError, match="a name of its own"):
        network_part(model)
    del model.graph.node[:]
    with pytest.raises(ValueError, match="nothing to make smaller"):
        network_part(model)


def test_cut_network_computes_its_ends(exported: Path) -> None:
    model = load_float(exported)
    part = network_part(model)
    session = ort.InferenceSession(cut(model, part.ends).SerializeToString())
    (sample,) = pictures(1)
    boxes, classes = session.run(list(part.ends), sample)
    best = np.sort(1 / (1 + np.exp(-classes.reshape(-1))))[::-1][:10]
    np.testing.assert_allclose(Session(exported)(**sample)["scores"][0], best, atol=1e-6)
    assert boxes.shape == (1, 4, SIDE, SIDE)


@pytest.mark.parametrize("method", ["minmax", "entropy", "percentile"])
def test_quantised_graph_is_unsigned_by_signed_and_decodes_in_float(
    exported: Path, tmp_path: Path, method: str
) -> None:
    model = load_float(exported)
    part = network_part(model)
    settings = Int8Settings(method)  # type: ignore[arg-type]
    ranges = measure_ranges(model, part.ends, pictures(), settings, threads=1)
    before = model.SerializeToString()
    path = save(quantized(model, ranges, part.nodes, settings), tmp_path / "int8.onnx")
    assert model.SerializeToString() == before
    smaller = onnx.load(str(path))
    check_portable(path)
    assert [(o.domain, o.version) for o in smaller.opset_import] == [("", 20)] and smaller.ir_version == 10
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in smaller.graph.initializer}
    by_output = {node.output[0]: node for node in smaller.graph.node}
    for node in smaller.graph.node:
        if node.op_type == "QuantizeLinear":
            assert constants[node.input[2]].dtype == np.uint8
        if node.op_type == "Conv":
            weight = by_output[node.input[1]]
            assert weight.op_type == "DequantizeLinear" and constants[weight.input[0]].dtype == np.int8
            assert constants[weight.input[1]].shape == (constants[weight.input[0]].shape[0],)
            assert by_output[node.input[0]].op_type == "DequantizeLinear"
    # Behind the network's ends nothing is rounded, and every node of the decoding is as it was.
    rounded = {n.name for n in smaller.graph.node if n.op_type == "QuantizeLinear"}
    ends = {n.output[0] for n in smaller.graph.node if n.name in ("logits", "sides")}
    assert rounded <= ancestors(smaller, ends)
    outside = [n.op_type for n in model.graph.node if n.name not in part.nodes]
    decoding = [n.op_type for n in smaller.graph.node if n.name in {m.name for m in model.graph.node} - set(part.nodes)]
    assert decoding == outside and not DECODING.isdisjoint(outside)
    (sample,) = pictures(1, seed=50)
    truth, found = Session(exported, threads=1)(**sample), Session(path, threads=1)(**sample)
    assert np.abs(truth["scores"] - found["scores"]).max() < 0.1
    assert found["boxes"].dtype == np.float32 and found["boxes"].shape == truth["boxes"].shape


def test_scales_follow_from_the_ranges(exported: Path, tmp_path: Path) -> None:
    """By the paper's formulas: a map's step is its range, 0 within, over 255; a weight's that of its channel over 127."""
    model = load_float(exported)
    part = network_part(model)
    settings = Int8Settings()
    ranges = measure_ranges(model, part.ends, pictures(), settings, threads=1)
    smaller = quantized(model, ranges, part.nodes, settings)
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in smaller.graph.initializer}
    seen = np.concatenate([sample["pixels"].ravel() for sample in pictures()])
    low, high = min(0.0, float(seen.min())), max(0.0, float(seen.max()))
    assert constants["pixels_scale"] == pytest.approx((high - low) / 255, rel=1e-5)
    assert constants["pixels_zero_point"] == round(-low / ((high - low) / 255))
    name = "model.backbone.stem.weight"
    weight = next(numpy_helper.to_array(t) for t in model.graph.initializer if t.name == name)
    np.testing.assert_allclose(constants[f"{name}_scale"], np.abs(weight).max(axis=(1, 2, 3)) / 127, rtol=0.01)


def test_groups_stay_in_float(exported: Path) -> None:
    model = load_float(exported)
    part = network_part(model)
    settings = Int8Settings()
    ranges = measure_ranges(model, part.ends, pictures(), settings, threads=1)
    for kept in ([], ["classes.outputs.0"], list(part.groups)):
        smaller = quantized(model, ranges, part.without(kept), settings)
        plain = {t.name for t in smaller.graph.initializer if t.data_type == TensorProto.FLOAT and len(t.dims) > 1}
        assert plain == {f"model.{group}.weight" for group in kept}
    assert not [n for n in smaller.graph.node if n.op_type == "QuantizeLinear"]


def test_half_precision_keeps_its_doors_and_its_decoding(exported: Path, tmp_path: Path) -> None:
    model = load_float(exported)
    part = network_part(model)
    path = save(half_precision(model, part), tmp_path / "half.onnx")
    check_portable(path)
    half = onnx.load(str(path))
    weights = [t for t in half.graph.initializer if ".weight" in t.name or ".bias" in t.name]
    assert len(weights) == 12 and all(t.data_type == TensorProto.FLOAT16 for t in weights)
    for value in [*half.graph.input, *half.graph.output]:
        assert value.type.tensor_type.elem_type in (TensorProto.FLOAT, TensorProto.INT64)
    (sample,) = pictures(1)
    truth, found = Session(exported, threads=1)(**sample), Session(path, threads=1)(**sample)
    np.testing.assert_allclose(found["scores"], truth["scores"], atol=5e-3)
    inferred = onnx.shape_inference.infer_shapes(half)
    kinds = {v.name: v.type.tensor_type.elem_type for v in inferred.graph.value_info}
    assert kinds["logits"] == kinds["certain"] == kinds["all_boxes"] == TensorProto.FLOAT


def test_delicate_part_costs_most(tmp_path: Path) -> None:
    """One channel a hundred times larger than the rest, and hardly used: steps fit for it drown the others."""
    path = tmp_path / "delicate.onnx"
    onnx.save(small_detector(delicate=100.0), str(path))
    model = load_float(path)
    part = network_part(model)
    settings = Int8Settings()
    ranges = measure_ranges(model, part.ends, pictures(), settings, threads=1)
    calls: list[int] = []
    costs = layer_costs(model, part, ranges, pictures(2), settings, threads=1, advance=lambda: calls.append(1))
    assert costs[0].group.startswith("classes") and costs[0].end == "classes.outputs.0.out"
    assert len(costs) == len(calls) == len(part.groups) and sum(cost.nodes for cost in costs) == len(part.nodes)
    assert [cost.noise for cost in costs] == sorted((cost.noise for cost in costs), reverse=True)
    assert all(cost.noise > 0 for cost in costs)
    assert costs[0].group in cost_table(costs, most=1) and len(cost_table(costs).splitlines()) == len(costs)


def test_noise_at_its_edges() -> None:
    constant = np.full(4, 3.0)
    assert noise(constant, constant) == 0 and noise(constant, constant + 3) == 1
    assert noise(np.zeros(4), np.zeros(4)) == 0 and noise(np.zeros(4), np.ones(4)) == float("inf")
    assert noise(np.zeros(0), np.zeros(0)) == 0
    assert noise(np.arange(3.0), np.array([0, np.nan, 2])) == float("inf")
    assert as_rows([LayerCost("stem", 1, float("inf"), "end")])[0]["noise"] is None


@pytest.mark.parametrize(
    "needed, most, tried",
    [(0, 8, [0]), (3, 8, [0, 1, 2, 4, 3]), (6, 8, [0, 1, 2, 4, 8, 6, 5]), (5, 4, [0, 1, 2, 4]), (1, 0, [0])],
)
def test_fewest_groups_are_found(needed: int, most: int, tried: list[int]) -> None:
    trials = fewest_kept(
        "abcdefgh", lambda kept: 80.0 if len(kept) >= needed else 70.0, baseline=80.0, allowed=1.0, most=most
    )
    assert [len(trial.kept) for trial in trials] == tried
    good = [len(trial.kept) for trial in trials if trial.loss <= 1]
    assert min(good, default=None) == (needed if needed <= most else None)


def scorer(truth_file: Path) -> Any:
    """Accuracy of a file without a data set: 100 less the mean error of its scores against the float file's, in percent."""
    inputs = list(pictures(4, seed=90))
    truth = [Session(truth_file, threads=1)(**sample)["scores"] for sample in inputs]

    def measure(path: Path) -> float:
        found = [Session(path, threads=1)(**sample)["scores"] for sample in inputs]
        errors: list[NDArray[np.float32]] = [np.abs(a - b) for a, b in zip(truth, found, strict=True)]
        return 100 - 100 * float(np.mean(errors))

    return measure


def settings_of(**changes: Any) -> GateSettings:
    return GateSettings(Int8Settings(), **({"threads": 1, "cost_samples": 2} | changes))


def judged(path: Path, precision: Any = "int8", times_as_fast: float | None = None, **changes: Any) -> Verdict:
    fast = {"value": times_as_fast, "low": times_as_fast, "high": times_as_fast}
    return judge(
        path,
        path.parent,
        "detector",
        precision,
        pictures(),
        settings_of(**changes),
        metric="ap",
        measure=scorer(path),
        speed=None if times_as_fast is None else lambda plain, smaller: fast,  # type: ignore[arg-type, return-value]
    )


def test_gate_takes_a_good_file(exported: Path) -> None:
    verdict = judged(exported, times_as_fast=1.5, allowed_loss=5.0)
    assert verdict.accepted and verdict.chosen.kept == () and verdict.baseline == 100
    assert "1.50 times as fast" in verdict.reason and verdict.path.is_file()
    report = verdict.as_report()
    assert report["int8"] == 100 - report["loss"] and len(report["layer_costs"]) == len(verdict.costs) == 6
    assert report["bytes"]["int8"] == verdict.path.stat().st_size


def test_gate_goes_back_to_float_as_far_as_needed(tmp_path: Path) -> None:
    path = tmp_path / "delicate.onnx"
    onnx.save(small_detector(delicate=100.0), str(path))
    plain = judged(path, allowed_loss=100.0)
    allowed = plain.chosen.loss / 2
    mixed = judged(path, allowed_loss=allowed, most_float=1.0)
    assert mixed.chosen.kept and mixed.chosen.kept[0] == mixed.costs[0].group
    assert mixed.chosen.loss <= allowed < plain.chosen.loss
    with pytest.raises(BundleError, match=r"(?s)int8 loses more than 0 points of ap.*What each part costs.*dB"):
        judged(path, allowed_loss=0.0, most_float=0.0)


def test_gate_does_not_choose_what_is_not_faster(exported: Path) -> None:
    verdict = judged(exported, times_as_fast=0.8, allowed_loss=50.0)
    assert not verdict.accepted and "0.80 times as fast" in verdict.reason and "not chosen" in verdict.reason
    half = judged(exported, "float16", times_as_fast=0.8, min_speedup=0.0)
    assert half.accepted and half.costs == () and len(half.trials) == 1


def test_settings_are_checked() -> None:
    with pytest.raises(ConfigError, match=r"method='median': expected one of minmax, entropy, percentile"):
        Int8Settings("median")  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="percentile=30"):
        Int8Settings("percentile", 30)
    for changes in ({"allowed_loss": -1.0}, {"most_float": 1.5}, {"groups": 0}, {"min_speedup": float("nan")}):
        with pytest.raises(ConfigError, match=next(iter(changes))):
            settings_of(**changes)
    with pytest.raises(DataError, match="no sample to calibrate 'pixels'"):
        Samples("pixels", [], lambda source: source)


def test_samples_come_again_after_a_rewind() -> None:
    samples = pictures(5)
    seen = []
    while (sample := samples.get_next()) is not None:
        seen.append(sample["pixels"])
    assert len(seen) == len(samples) == 5 and samples.get_next() is None
    samples.rewind()
    first = samples.get_next()
    assert first is not None and np.array_equal(first["pixels"], seen[0])
    few = [sample["pixels"] for sample in samples.first(3)]
    assert len(few) == 3 and np.array_equal(few[0], seen[0]) and np.array_equal(few[-1], seen[-1])
    assert len(samples.first(99)) == 5


def test_kinds_of_nodes_with_weights_are_known() -> None:
    assert {"Conv", "MatMul", "Gemm"} <= set(WEIGHTED)
