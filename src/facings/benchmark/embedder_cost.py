"""What an embedder costs and how much it recognises: the networks and sizes that are compared, a record's names, its table.

Knows nothing of how a network is exported, made smaller, asked or timed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from facings.errors import ConfigError

IDENTIFIER = "emb-cost"
# Metric of the record → its unit: of the small one in int8. All else that was measured stands beside them.
METRICS: dict[str, str | None] = {"ms_per_crop": "ms", "r1_loss": "points"}
# What the small one should reach.
MOST_MS, MOST_LOSS = 2.5, 1.0
PRECISIONS = ("float32", "int8")
DISTURBANCE = "other_cpu_share"
TRAINED = "trained"


@dataclass(frozen=True)
class Point:
    """A backbone at a size. `backbone`: timm's name; `size`: side of the square input in pixels."""

    name: str
    backbone: str
    size: int


def point_name(backbone: str, size: int, *, trained: bool = False) -> str:
    """What a record calls it.

    >>> point_name("tf_efficientnet_lite0", 128), point_name("mobilenetv4_conv_small", 224, trained=True)
    ('lite0_128', 'trained_mobilenetv4_conv_small_224')
    """
    short = backbone.removeprefix("tf_efficientnet_")
    return f"{TRAINED}_{short}_{size}" if trained else f"{short}_{size}"


# Backbones whose ImageNet weights a package carries, at sizes up to their own.
SIZES = {
    "tf_efficientnet_lite0": (96, 128, 144, 160, 192, 224),
    "tf_efficientnet_lite2": (128, 160, 192, 224, 260),
}
POINTS: dict[str, Point] = {
    name: Point(name, backbone, size)
    for backbone, sizes in SIZES.items()
    for size in sizes
    for name in [point_name(backbone, size)]
}
SMALL = "lite0_128"


def chosen(names: Sequence[str]) -> list[Point]:
    """The points of these names, all where none is named. Raises ConfigError for an unknown name."""
    if unknown := [name for name in names if name not in POINTS]:
        raise ConfigError(f"--only {unknown[0]}: unknown; there are {', '.join(POINTS)}")
    return [point for name, point in POINTS.items() if not names or name in names]


def names_of(metrics: Mapping[str, Any]) -> list[str]:
    """The networks that a record tells of, the fastest in int8 first.

    >>> names_of({"b_2_int8_ms": {"value": 2.0}, "a_1_int8_ms": {"value": 1.0}, "r1_loss": {"value": 0.1}})
    ['a_1', 'b_2']
    """
    ending = "_int8_ms"
    found = [name for name in metrics if name.endswith(ending)]
    return [name.removesuffix(ending) for name in sorted(found, key=lambda name: metrics[name]["value"])]


def family_of(name: str) -> tuple[str, int]:
    """A network's name as its family, in words, and its size in pixels.

    >>> family_of("trained_lite0_128")
    ('trained lite0', 128)
    """
    family, _, size = name.rpartition("_")
    return family.replace("_", " "), int(size)


def cost_table(metrics: Mapping[str, Mapping[str, Any]]) -> str:
    """Markdown of a record's metrics: one row a network, the fastest in int8 first; those that reach the aim in bold."""
    head = ("network", "px", "GFLOP", "ms float32", "ms int8", "R@1 float32 (95 %)", "R@1 int8", "points lost (95 %)")
    lines = [f"| {' | '.join(head)} |", "| --- " + "| ---: " * (len(head) - 1) + "|"]
    for name in names_of(metrics):
        family, size = family_of(name)
        own = {key: metrics[f"{name}_{key}"] for key in ("gflop", "float32_r1", "int8_r1", "loss")}
        float_ms, int8_ms = (metrics[f"{name}_{precision}_ms"]["value"] for precision in PRECISIONS)
        reached = int8_ms <= MOST_MS and own["loss"]["value"] <= MOST_LOSS
        cells = (
            f"**{family}**" if reached else family,
            f"{size}",
            f"{own['gflop']['value']:.2f}",
            f"{float_ms:.2f}",
            f"{int8_ms:.2f}",
            f"{_percent(own['float32_r1'])} ({_percent(own['float32_r1'], 'low')}–{_percent(own['float32_r1'], 'high')})",
            _percent(own["int8_r1"]),
            f"{own['loss']['value']:.2f} ({own['loss']['low']:.2f} to {own['loss']['high']:.2f})",
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def _percent(metric: Mapping[str, Any], key: str = "value") -> str:
    return f"{100 * metric[key]:.1f}"
