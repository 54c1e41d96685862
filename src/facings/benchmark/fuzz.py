"""Spoiled files for every parser: only documented errors may come out, and no input may take much time or memory.

Knows nothing of particular parsers. An input is told by target, seed and number alone, so that a finding can be made again.
"""

import signal
import time
import traceback
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from types import FrameType

from facings.benchmark.fuzz_mutations import mutate
from facings.benchmark.fuzz_targets import Target
from facings.benchmark.store_process import peak_mib
from facings.errors import ConfigError

# Processor time after which an input is given up.
DEADLINE_SECONDS = 30.0


class Overtime(BaseException):
    """An input took DEADLINE_SECONDS. No Exception, so that no parser can catch it."""


@dataclass(frozen=True)
class Finding:
    """An input that was not met as documented. `kind`: an exception's name, `slow` or `large`; `detail`: for a person."""

    target: str
    seed: int
    number: int
    kind: str
    detail: str
    data: bytes = field(repr=False)

    @property
    def name(self) -> str:
        """A file name."""
        return f"{self.target.replace('/', '_').replace(' ', '_')}-{self.seed}-{self.number}"


@dataclass
class Outcome:
    """`inputs` tried; `taken`: those that were no fault; `refused`: error type → how many; `slowest`: seconds and input."""

    inputs: int = 0
    taken: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)
    slowest: tuple[float, str] = (0.0, "")

    @property
    def undocumented(self) -> int:
        return len(self.findings)


def input_of(target: Target, seed: int, number: int) -> bytes:
    """The spoiled input of a number: the same one every time."""
    rng = Random(f"{seed}/{target.name}/{number}")
    return mutate(rng.choice(target.seeds), target.kind, rng, target.seeds)


def run(
    targets: Mapping[str, Target], inputs: int, *, seed: int = 0, save: Path | None = None,
    progress: Callable[[int], None] | None = None,
) -> Outcome:  # fmt: skip
    """Try `inputs` inputs, in turn for all targets. `save`: a folder for the inputs of findings; `progress`: told each input done.

    Raises ConfigError for no inputs, or no targets.
    """
    if inputs < 1 or not targets:
        raise ConfigError(f"{inputs} inputs for {len(targets)} parsers: expected 1 or more of both")
    outcome, order = Outcome(), list(targets.values())
    # A sound input first: what the first use of a decoder or a library loads is not the input's doing.
    for target in order:
        for data in target.seeds:
            target.parse(data)
    for place in range(inputs):
        target, number = order[place % len(order)], place // len(order)
        _try(target, seed, number, outcome)
        if progress is not None:
            progress(1)
    for finding in outcome.findings if save is not None else ():
        assert save is not None
        save.mkdir(parents=True, exist_ok=True)
        (save / f"{finding.name}.bin").write_bytes(finding.data)
        (save / f"{finding.name}.txt").write_text(f"{finding.kind}\n{finding.detail}\n", encoding="utf-8")
    return outcome


def _try(target: Target, seed: int, number: int, outcome: Outcome) -> None:
    data = input_of(target, seed, number)

    def report(kind: str, detail: str) -> None:
        outcome.findings.append(Finding(target.name, seed, number, kind, detail, data))

    before, start = _restarted_peak_mib(), time.process_time()
    outcome.inputs += 1
    try:
        with _deadline(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            target.parse(data)
        outcome.taken += 1
    except target.documented as fault:
        outcome.refused[type(fault).__name__] += 1
        try:
            str(fault).encode("utf-8")
        except UnicodeEncodeError:
            report("unprintable", f"{type(fault).__name__}: {fault!r}")
    except KeyboardInterrupt:
        raise
    except BaseException as fault:
        report(type(fault).__name__, "".join(traceback.format_exception(fault)))
    seconds, grown = time.process_time() - start, peak_mib() - before
    outcome.slowest = max(outcome.slowest, (seconds, f"{target.name} {number}"))
    if seconds > target.seconds:
        report("slow", f"{seconds:.2f} s of processor time; at most {target.seconds} s")
    if grown > target.mebibytes:
        report("large", f"{grown:.0f} MiB; at most {target.mebibytes} MiB")


@contextmanager
def _deadline() -> Iterator[None]:
    """Overtime after so much processor time; where there are no such signals (Windows, other threads) none."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def over(_number: int, _frame: FrameType | None) -> None:
        raise Overtime(f"more than {DEADLINE_SECONDS:.0f} s of processor time")

    old = signal.signal(signal.SIGPROF, over)
    signal.setitimer(signal.ITIMER_PROF, DEADLINE_SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, old)


def _restarted_peak_mib() -> float:
    """`peak_mib`, counted anew from here where the system can (Linux): else an input could hide below an earlier one's peak."""
    # proc_pid_clear_refs(5): "5" resets the peak resident set size.
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    return peak_mib()
