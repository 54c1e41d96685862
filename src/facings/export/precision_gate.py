"""Is a smaller file as good as the float one, and faster? If not, which of its parts go back to float?

Knows nothing of data sets: accuracy and speed are asked of functions that the caller gives, about files.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from facings.errors import BundleError, ConfigError
from facings.export.calibration_data import Samples
from facings.export.fp16 import half_precision
from facings.export.layer_costs import LayerCost, as_rows, cost_table, layer_costs
from facings.export.network_part import NetworkPart, network_part
from facings.export.quantize import Int8Settings, load_float, measure_ranges, quantized, save

Sibling = Literal["int8", "float16"]
Advance = Callable[[], None]


@dataclass(frozen=True)
class GateSettings:
    """`allowed_loss`: points of 100 that the file may lose; `min_speedup`: times float's speed that it must exceed, 0 for no
    demand; `most_float`: share of the groups that may go back to float, 0–1; `groups`: most groups of a network;
    `cost_samples`: samples to measure their costs with; `threads`: of everything that runs. Raises ConfigError for others."""

    int8: Int8Settings
    allowed_loss: float = 1.0
    min_speedup: float = 1.0
    most_float: float = 0.5
    groups: int = 40
    cost_samples: int = 8
    threads: int | None = None

    def __post_init__(self) -> None:
        for name in ("allowed_loss", "min_speedup"):
            if not getattr(self, name) >= 0:
                raise ConfigError(f"quantization: {name}={getattr(self, name)}: expected 0 or more")
        if not 0 <= self.most_float <= 1:
            raise ConfigError(f"quantization.most_float={self.most_float}: expected a share from 0 to 1")
        for name in ("groups", "cost_samples"):
            if getattr(self, name) < 1:
                raise ConfigError(f"quantization.{name}={getattr(self, name)}: expected 1 or more")


@dataclass(frozen=True)
class Trial:
    """One file: the groups that stayed in float, its accuracy and what it lost against float, in points of 100."""

    kept: tuple[str, ...]
    accuracy: float
    loss: float


@dataclass(frozen=True)
class Verdict:
    """What was found of one network. `metric`: what accuracy is; `baseline`: float's, in points; `chosen`: the trial whose
    file `path` is; `speedup`: float's time over its own (`value`, `low`, `high`), None where nobody asked; `accepted`: it
    belongs in the bundle; `reason`: why, for a person."""

    role: str
    precision: Sibling
    metric: str
    baseline: float
    settings: GateSettings
    trials: tuple[Trial, ...]
    chosen: Trial
    costs: tuple[LayerCost, ...]
    speedup: dict[str, float] | None
    accepted: bool
    reason: str
    path: Path
    bytes: dict[str, int]

    def as_report(self) -> dict[str, Any]:
        """For report.json."""
        return {
            "precision": self.precision,
            "accepted": self.accepted,
            "reason": self.reason,
            "metric": self.metric,
            "float32": self.baseline,
            self.precision: self.chosen.accuracy,
            "loss": self.chosen.loss,
            "speedup": self.speedup,
            "bytes": self.bytes,
            "kept_in_float": list(self.chosen.kept),
            "settings": asdict(self.settings),
            "trials": [asdict(trial) for trial in self.trials],
            "layer_costs": as_rows(self.costs),
        }


def judge(
    source: Path,
    folder: Path,
    role: str,
    precision: Sibling,
    samples: Samples,
    settings: GateSettings,
    *,
    metric: str,
    measure: Callable[[Path], float],
    speed: Callable[[Path, Path], dict[str, float]] | None,
    advance: Advance = lambda: None,
) -> Verdict:
    """Make a smaller file of the graph `source` in `folder`, with as few parts in float as accuracy allows.

    `measure`: file → accuracy in points of 100; `speed`: (float file, smaller file) → the first one's time over the second
    one's, as `value`, `low` and `high`, taken in turns. `advance` is called after each file and each group measured.

    Raises BundleError when even with the share `most_float` in float more than `allowed_loss` is lost; the message has the
    table of what each part costs.
    """
    model = load_float(source)
    part = network_part(model, most_groups=settings.groups)
    baseline = measure(source)
    advance()
    costs: list[LayerCost] = []
    if precision == "float16":
        build: Callable[[tuple[str, ...]], Any] = lambda kept: half_precision(model, part)  # noqa: E731
    else:
        ranges = measure_ranges(model, part.ends, samples, settings.int8, threads=settings.threads)
        few = samples.first(settings.cost_samples)
        costs = layer_costs(model, part, ranges, few, settings.int8, threads=settings.threads, advance=advance)
        build = lambda kept: quantized(model, ranges, part.without(kept), settings.int8)  # noqa: E731
    files: dict[tuple[str, ...], Path] = {}

    def attempt(kept: tuple[str, ...]) -> float:
        files[kept] = save(build(kept), folder / f"{role}.{precision}.{len(kept)}.onnx")
        accuracy = measure(files[kept])
        advance()
        return accuracy

    most = int(len(part.groups) * settings.most_float) if precision == "int8" else 0
    trials = fewest_kept(
        [cost.group for cost in costs], attempt, baseline=baseline, allowed=settings.allowed_loss, most=most
    )
    good = [trial for trial in trials if trial.loss <= settings.allowed_loss]
    if not good:
        raise BundleError(_too_costly(role, precision, metric, baseline, trials, costs, part, settings))
    chosen = min(good, key=lambda trial: len(trial.kept))
    speedup = speed(source, files[chosen.kept]) if speed is not None else None
    accepted, reason = _decided(precision, metric, chosen, speedup, settings)
    sizes = {"float32": source.stat().st_size, precision: files[chosen.kept].stat().st_size}
    return Verdict(
        role, precision, metric, baseline, settings, tuple(trials), chosen, tuple(costs), speedup, accepted, reason,
        files[chosen.kept], sizes,
    )  # fmt: skip


def fewest_kept(
    order: Sequence[str], attempt: Callable[[tuple[str, ...]], float], *, baseline: float, allowed: float, most: int
) -> list[Trial]:
    """Try files with the first 0, 1, 2, 4 … `most` groups of `order` (costliest first) in float until one loses no more than
    `allowed` points, then halve the step down to the fewest that do. All trials, in the order they were made.

    By hand: what is lost halves with every group, 4 points with none. Allowed is 1: two groups.

    >>> lost = lambda kept: 90 - 4 / 2 ** len(kept)
    >>> [(len(t.kept), t.loss) for t in fewest_kept("abcdefgh", lost, baseline=90, allowed=1, most=8)]
    [(0, 4.0), (1, 2.0), (2, 1.0)]

    An accuracy that is not a number is no accuracy: it never passes.

    >>> [len(t.kept) for t in fewest_kept("abcd", lambda kept: float("nan"), baseline=90, allowed=1, most=4)]
    [0, 1, 2, 4]
    """
    trials: list[Trial] = []

    def passes(count: int) -> bool:
        kept = tuple(order[:count])
        accuracy = attempt(kept)
        trials.append(Trial(kept, accuracy, baseline - accuracy))
        return trials[-1].loss <= allowed

    most = min(most, len(order))
    failed, count = -1, 0
    while not passes(count):
        if count >= most:
            return trials
        failed, count = count, min(max(1, 2 * count), most)
    while count - failed > 1:
        middle = (failed + count) // 2
        if passes(middle):
            count = middle
        else:
            failed = middle
    return trials


def _decided(
    precision: str, metric: str, chosen: Trial, speedup: dict[str, float] | None, settings: GateSettings
) -> tuple[bool, str]:
    kept = f", {len(chosen.kept)} groups in float" if chosen.kept else ""
    lost = f"loses {chosen.loss:.2f} points of {metric} (allowed {settings.allowed_loss:g}){kept}"
    if speedup is None:
        return True, f"{precision} {lost}"
    fast = f"{speedup['value']:.2f} times as fast as float32 here ({speedup['low']:.2f} to {speedup['high']:.2f})"
    if settings.min_speedup and not speedup["value"] > settings.min_speedup:
        return False, f"{precision} is {fast}, not more than {settings.min_speedup:g}: not chosen; it {lost}"
    return True, f"{precision} is {fast} and {lost}"


def _too_costly(
    role: str,
    precision: str,
    metric: str,
    baseline: float,
    trials: Sequence[Trial],
    costs: Sequence[LayerCost],
    part: NetworkPart,
    settings: GateSettings,
) -> str:
    tried = "; ".join(f"{len(t.kept)} in float: {t.accuracy:.2f}" for t in trials)
    groups = len(part.groups)
    table = f"\nWhat each part costs (signal to noise at the network's ends):\n{cost_table(costs)}" if costs else ""
    return (
        f"{role}: {precision} loses more than {settings.allowed_loss:g} points of {metric} (float32 {baseline:.2f}) with up "
        f"to {int(groups * settings.most_float)} of {groups} groups in float ({tried}); nothing was written. Give more or "
        "other pictures to calibrate with, another quantization.method, a higher quantization.most_float, or "
        f"quantization=none.{table}"
    )
