"""The papers that travel with a bundle: model card, licences, the training's configuration. Knows nothing of graphs."""

from collections.abc import Mapping
from typing import Any

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
    """LICENCES.json. `configs`: role → training configuration; `stated`: further name → licence, given by the user."""
    data = {str(c.get("run_name", role)): str(c.get("data_licence") or "not stated") for role, c in configs.items()}
    weights = {}
    for model in (config.get("model", {}) for config in configs.values()):
        if model.get("pretrained") in WEIGHTS:
            name, licence = WEIGHTS[model["pretrained"]]
            weights[name.format(backbone=model["backbone"])] = licence
    return {"schema": "facings.licences/1", "code": "Apache-2.0", "weights": weights, "data": data | dict(stated)}


def model_card(
    *,
    manifest: Mapping[str, Any],
    postprocess: Mapping[str, Any],
    report: Mapping[str, Any],
    licence: Mapping[str, Any],
    gallery: Mapping[str, Any] | None,
) -> str:
    """MODEL_CARD.md, after Mitchell et al.: "Model Cards for Model Reporting", FAT* 2019."""
    lines = [f"# {manifest['name']} {manifest['version']}", "", *_purpose(manifest, gallery), ""]
    lines += ["## How it was trained", ""]
    for role, training in report["training"].items():
        lines.append(f"- {role}: `{training['experiment']}`, seed {training['seed']}, {training['model']}")
        lines += [f"  - {name} {value:.4f}" for name, value in training["figures"].items()]
    lines += [
        "",
        "These figures are the torch model's own, on its test split. For the bundle's, through the store runtime,",
    ]
    lines += ["run `facings benchmark`.", ""]
    lines += [
        "## Does the export agree with torch?",
        "",
        "| stage | largest difference | tolerance |",
        "| --- | --- | --- |",
    ]
    lines += [f"| {s} | {p['difference']:.2g} | {p['tolerance']:.2g} |" for s, p in report["parity"].items()]
    lines += ["", "## Decisions", ""]
    lines += [f"- {name}: {value}" for name, value in postprocess.items() if name != "schema"]
    lines += ["", "## Latency where it was made", "", *_latency(report["latency"]), f"On {report['machine']}.", ""]
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


def _latency(latency: Mapping[str, Any] | None) -> list[str]:
    if latency is None:
        return ["Not measured (`latency.images=0`)."]
    stages = latency["stages"]
    rows = [f"| {s} | {stages[s]['p50']:.1f} | {stages[s]['p95']:.1f} | {stages[s]['p99']:.1f} |" for s in stages]
    return ["| stage | p50 ms | p95 ms | p99 ms |", "| --- | --- | --- | --- |", *rows, ""]
