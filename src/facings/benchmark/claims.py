"""What each headline record claims, and the metrics it holds."""

from collections.abc import Sequence

from facings.errors import ConfigError

MS, MIN, MIB = "ms", "min", "MiB"
CLAIMS: dict[str, tuple[str, dict[str, str | None]]] = {
    "spine-quickstart": (
        "One command makes synthetic data, trains detector and embedder, and exports a verified bundle; accuracy and "
        "latency are the bundle's, on synthetic validation scenes through the store runtime.",
        {
            "detection_ap50": None,
            "reid_r1": None,
            "end_to_end_accuracy": None,
            "frame_ms_p50": MS,
            "bundle_mib": MIB,
            "minutes": MIN,
        },
    ),
    "spine-grocery": (
        "Trained on the Grocery Store Dataset's train split on two cores, the embedder classifies its test split by "
        "the nearest mean of the training photos.",
        {"fine_top1": None, "coarse_top1": None, "minutes": MIN},
    ),
    "spine-snack": (
        "Trained on 11 frames of snack shelves on two cores, the class-agnostic detector finds the products of the 6 "
        "validation frames.",
        {"ap50": None, "ap": None, "minutes": MIN},
    ),
    "spine-snack-bundle": (
        "The bundle of the snack-shelf detector and the Grocery Store embedder, whose gallery is 49 packshots, on the "
        "6 validation frames through the store runtime.",
        {"end_to_end_f1": None, "identification_r1": None, "frame_ms_p50": MS},
    ),
}


def claim_of(identifier: str, *, available: Sequence[str]) -> tuple[str, list[str], dict[str, str]]:
    """The sentence, the metric names and their units of a record.

    Raises ConfigError for an unknown ID, or when a metric that it wants was not measured by this command.
    """
    if identifier not in CLAIMS:
        raise ConfigError(f"result={identifier!r}: unknown; known are {', '.join(CLAIMS)}")
    sentence, metrics = CLAIMS[identifier]
    missing = [name for name in metrics if name not in available]
    if missing:
        has = ", ".join(available)
        raise ConfigError(
            f"result={identifier!r} wants {missing[0]!r}, which this command does not measure; it has {has}"
        )
    return sentence, list(metrics), {name: unit for name, unit in metrics.items() if unit is not None}
