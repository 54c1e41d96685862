"""The papers that travel with a bundle: model card, licences, the training's configuration. Knows nothing of graphs."""

from collections.abc import Mapping, Sequence
from typing import Any

from facings.data.doctor.licences import read_licence

# What of a training's configuration says how the model came to be; folders and machine settings stay at home.
TRAINING_KEYS = (
    "run_name", "seed", "image_size", "mean", "std", "labels", "task", "model", "loss", "data", "data_licence",
    "transforms", "optimizer", "scheduler", "trainer", "callbacks",
)  # fmt: skip
# Where a model's first weights came from, by the setting `pretrained`: what it was, and its licence.
WEIGHTS = {
    "offline": ("ImageNet weights of {backbone}, from its Python package", "Apache-2.0"),
    "hub": ("timm's weights of {backbone}, from the model hub", "see the hub's page of the model"),
}
VERIFY = """## How to verify

`facings verify {bundle}` (`pip install facings`, no torch) holds every file against `SHA256SUMS` and `bundle.json`, looks at the
operators of every graph, and asks the golden samples stage by stage on this machine. `--require-key PUBLIC_KEY` asks for the
signature of `facings sign`.
"""


def training_record(config: Mapping[str, Any]) -> dict[str, Any]:
    """The part of a resolved configuration that a bundle carries."""
    record = {key: config[key] for key in TRAINING_KEYS if key in config}
    trainer = {k: v for k, v in dict(record.get("trainer", {})).items() if k != "default_root_dir"}
    callbacks = {
        name: {k: v for k, v in node.items() if k != "dirpath"} if isinstance(node, Mapping) else node
        for name, node in dict(record.get("callbacks", {})).items()
    }
    return record | {"trainer": trainer, "callbacks": callbacks}


def licences(configs: Mapping[str, Mapping[str, Any]], stated: Mapping[str, str]) -> dict[str, Any]:
    """LICENCES.json. `configs`: role → training configuration; `stated`: further name → licence, given by the user;
    `non_commercial`: the data whose licence forbids to sell what is made of them, by its words."""
    data = {str(c.get("run_name", role)): str(c.get("data_licence") or "not stated") for role, c in configs.items()}
    weights = {}
    for model in (config.get("model", {}) for config in configs.values()):
        if model.get("pretrained") in WEIGHTS:
            name, licence = WEIGHTS[model["pretrained"]]
            weights[name.format(backbone=model["backbone"])] = licence
    data |= dict(stated)
    forbidden = sorted(name for name, text in data.items() if read_licence(text) == "no")
    return {
        "schema": "facings.licences/1", "code": "Apache-2.0", "weights": weights, "data": data, "non_commercial": forbidden,
    }  # fmt: skip


def model_card(
    *,
    manifest: Mapping[str, Any],
    postprocess: Mapping[str, Any],
    report: Mapping[str, Any],
    licence: Mapping[str, Any],
    gallery: Mapping[str, Any] | None,
) -> str:
    """MODEL_CARD.md, after Mitchell et al.: "Model Cards for Model Reporting", FAT* 2019."""
    lines = [
        f"# {manifest['name']} {manifest['version']}",
        "",
        *_not_for_sale(licence),
        *_purpose(manifest, gallery),
        "",
    ]
    lines += ["## How it was trained", ""]
    for role, training in report["training"].items():
        lines.append(f"- {role}: `{training['experiment']}`, seed {training['seed']}, {training['model']}")
        lines += [f"  - {name} {value:.4f}" for name, value in training["figures"].items()]
    lines += [
        "",
        "These figures are the torch model's own, on its test split. For the bundle's, through the store runtime,",
    ]
    lines += ["run `facings benchmark`.", "", "## Accuracy by slice", ""]
    for role, training in report["training"].items():
        lines += _slices(role, training["slices"])
    lines += [
        "## Does the export agree with torch?",
        "",
        "| stage | largest difference | tolerance |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {s} | {p['difference']:.2g} | {p['tolerance']:.2g} |" for s, p in report["parity"].items()]
    lines += ["", "## Decisions", ""]
    lines += [f"- {name}: {value}" for name, value in postprocess.items() if name != "schema"]
    lines += ["", "## Latency where it was made", "", *_latency(report["latency"], report["machine"]), ""]
    lines += [VERIFY.format(bundle=f"{manifest['name']}-{manifest['version']}"), ""]
    lines += ["## Limits", ""]
    lines += [
        "- Accuracy on other shops, cameras and seasons than the training data's is not known until it is measured."
    ]
    lines += ["- `unknown` is calibrated on the stored crops: on goods unlike them the chosen rate may not hold."]
    lines += ["- It recognises products. It is not made for, and was not tested on, pictures of people.", ""]
    lines += ["## Licences", "", f"- code: {licence['code']}"]
    lines += [f"- weights: {name}: {text}" for name, text in licence["weights"].items()]
    lines += [f"- data: {name}: {text}" for name, text in licence["data"].items()]
    return "\n".join(lines) + "\n"


def _purpose(manifest: Mapping[str, Any], gallery: Mapping[str, Any] | None) -> list[str]:
    lines = ["A bundle of `facings`: recognises products in shelf pictures with ONNX Runtime, without torch.", ""]
    if manifest["detector"]:
        detector = manifest["detector"]
        labels = ", ".join(detector["labels"])
        lines.append(f"- detector: {detector['image_size']} px, {detector['branch']} branch, classes: {labels}")
    if manifest["embedder"]:
        lines.append(
            f"- embedder: {manifest['embedder']['image_size']} px, {manifest['embedder']['dimension']} dimensions"
        )
    if gallery is not None:
        lines.append(
            f"- gallery: {gallery['products']} products, {gallery['views']} views, {gallery['calibration']} calibration crops"
        )
    return lines


def _latency(latency: Mapping[str, Any] | None, machine: str) -> list[str]:
    if latency is None:
        return [f"Not measured (`latency.images=0`). Made on {machine}."]
    stages, threads = latency["stages"], latency["threads"]
    rows = [f"| {s} | {stages[s]['p50']:.1f} | {stages[s]['p95']:.1f} | {stages[s]['p99']:.1f} |" for s in stages]
    heads = ["| stage | p50 ms | p95 ms | p99 ms |", "| --- | --- | --- | --- |"]
    return [*heads, *rows, "", f"{threads} {'thread' if threads == 1 else 'threads'}, on {machine}."]


def _slices(role: str, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table of one network's rows (`facings.commands.run_slices`)."""
    if not rows:
        return [f"- {role}: not at hand; `facings evaluate checkpoint=…` measures it", ""]
    figures = [name for name in rows[0] if name not in ("by", "slice", "objects")]
    heads = ["what", "slice", "objects", *figures]
    lines = [f"The {role}:", "", f"| {' | '.join(heads)} |", f"| {' | '.join('---' for _ in heads)} |"]
    for row in rows:
        values = ("–" if row[name] is None else f"{row[name]:.3f}" for name in figures)
        cells = (str(row[name]).replace("|", "\\|") for name in ("by", "slice", "objects"))
        lines.append(f"| {' | '.join([*cells, *values])} |")
    return [*lines, ""]


def _not_for_sale(licence: Mapping[str, Any]) -> list[str]:
    """The mark of a bundle that was made of data which must not be sold."""
    names = licence["non_commercial"]
    return [f"**Not for commercial use**, by the licence of {', '.join(names)} (below).", ""] if names else []
