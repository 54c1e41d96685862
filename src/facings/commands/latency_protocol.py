"""`facings benchmark protocol=latency`: how fast a bundle is, at several numbers of threads and batches. See docs/benchmark.md."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import DictConfig
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from facings.benchmark.latency import PARTS, measure_latency
from facings.benchmark.provider_agreement import ProviderAgreement, provider_agreements
from facings.benchmark.providers import CPU, chosen_providers
from facings.benchmark.rows import row
from facings.benchmark.steadiness import jitter
from facings.benchmark.throughput import REFERENCE, Network, Round, speedups, time_networks
from facings.commands import protocols
from facings.commands.benchmark_data import read_data
from facings.errors import ConfigError
from facings.files import sha256
from facings.runtime.bundle import Bundle

# Pictures that providers are compared on: enough for a difference to show, few enough not to be waited for.
COMPARED = 4


def run(cfg: DictConfig) -> dict[str, float]:
    """Measure, print, and write `latency.json` and rows. Returns the median frame at each number of threads.

    Whole frames run as the store runtime runs them, on the CPU provider; networks by each of `latency.providers`.

    Raises ConfigError, DataError or BundleError for what the user can mend.
    """
    console, own = Console(), cfg.latency
    if cfg.result:
        raise ConfigError("protocol=latency writes no record; its figures stand in latency.json and benchmark.jsonl")
    threads, batches = _counts(own.threads, "latency.threads"), _counts(own.batches, "latency.batches")
    if int(own.rounds) < 3:
        raise ConfigError(f"latency.rounds is {own.rounds}; expected 3 or more")
    providers, absent = chosen_providers(own.providers)
    bundle, data = protocols.open_bundle(cfg), read_data(cfg)
    pictures = list(dict.fromkeys([f.path for f in data.frames] or [q.path for q in data.queries]))
    pictures = pictures[: int(cfg.latency_images)]
    reference = Network(REFERENCE, Path(str(own.reference)), int(own.reference_size)) if own.reference else None
    settings = {"pictures": len(pictures), "reference": sha256(reference.path) if reference else "facings/1"}
    begun = protocols.begin(cfg, bundle, data.checksums, settings)
    frames: dict[int, dict[str, Any]] = {}
    rounds: dict[int, Round] = {}
    with Progress(console=console) as progress:
        whole = len(threads) * (len(pictures) * int(cfg.repeats) + int(own.rounds))
        task = progress.add_task("runs", total=whole)

        def advance() -> None:
            progress.advance(task)

        for count in threads:
            frames[count] = measure_latency(
                bundle.path, pictures, threads=count, warmup=int(cfg.warmup), repeats=int(cfg.repeats), advance=advance
            )
            rounds[count] = time_networks(
                networks_of(bundle), reference, threads=count, batches=batches, rounds=int(own.rounds),
                providers=providers, warmup=int(cfg.warmup), seed=int(cfg.seed), advance=advance,
            )  # fmt: skip
        agreements = provider_agreements(bundle, pictures[:COMPARED], providers, threads=threads[0])
    content = content_of(frames, rounds) | providers_content(providers, absent, agreements)
    path = protocols.finish(cfg, begun, content, _rows(content))
    for table in tables(content, bundle.name):
        console.print(table)
    console.print(f"all figures: {path}", soft_wrap=True)
    return {f"frame_ms_p50_{count}": found["stages"]["total"]["p50"] for count, found in frames.items()}


def networks_of(bundle: Bundle) -> list[Network]:
    """The networks of a bundle; its other graphs cost little."""
    return [
        Network(role, bundle.graph_path(role), int(bundle.manifest[role]["image_size"]))
        for role in ("detector", "embedder")
        if bundle.has(role)
    ]


def content_of(frames: dict[int, dict[str, Any]], rounds: dict[int, Round]) -> dict[str, Any]:
    """What `latency.json` holds beside the stamp: `frames` by threads, `networks`, `machine_state` by threads, `speedup`."""
    for found in frames.values():
        total = found["stages"]["total"]
        found["jitter"] = jitter(total["p50"], total["p95"])
        found["frames_per_second"] = 1000 / total["mean"]
    state = {
        count: {**asdict(r.steadiness), "disturbed": r.steadiness.disturbed, "throttled": r.steadiness.throttled,
                "peak_gflop_s": r.product_gflop_s, "joules_a_round": r.joules, "left_out": r.left_out}
        for count, r in rounds.items()
    }  # fmt: skip
    return {
        "frames": frames,
        "networks": [asdict(timed) for r in rounds.values() for timed in r.timed],
        "machine_state": state,
        "speedup": speedups(rounds),
    }


def providers_content(
    providers: Sequence[str], absent: Mapping[str, str], agreements: Sequence[ProviderAgreement]
) -> dict[str, Any]:
    """What `latency.json` holds of providers: those asked, those that are `absent` with why, and how far they are apart from
    the CPU provider."""
    told = {"asked": list(providers), "absent": dict(absent), "agreement": [asdict(found) for found in agreements]}
    return {"providers": told}


def tables(content: dict[str, Any], name: str) -> list[Table]:
    """Whole frames, their parts, networks, how providers agree, and what to doubt."""
    whole = Table(
        "threads", "p50 ms", "p95", "p99", "jitter", "frames/s", "cold start ms", "peak MiB", title=f"{name}: frames"
    )
    for count, found in content["frames"].items():
        total = found["stages"]["total"]
        cells = (total["p50"], total["p95"], total["p99"])
        more = (f"{found['jitter']:.0%}", f"{found['frames_per_second']:.1f}", f"{found['cold_start_ms']:.0f}")
        whole.add_row(str(count), *(f"{value:.1f}" for value in cells), *more, f"{found['peak_mib']:.0f}")
    made = [whole, _parts_table(content["frames"]), _networks_table(content)]
    return [*made, _agreement_table(content["providers"])] if content["providers"]["agreement"] else made


def _parts_table(frames: Mapping[int, Mapping[str, Any]]) -> Table:
    """The median of what a frame is made of, a column a number of threads."""
    table = Table("part", *(f"{count} threads" for count in frames), title="parts of a frame, p50 ms")
    for part in (*PARTS, "decode"):
        found = [(f["stages"] if part == "decode" else f["parts"])[part]["p50"] for f in frames.values()]
        table.add_row(part, *(f"{value:.2f}" for value in found))
    return table


def _networks_table(content: Mapping[str, Any]) -> Table:
    table = Table("network", "provider", "threads", "batch", "p50 ms", "p99", "a second", "over reference", "of peak")
    table.title = "networks"
    for timed in content["networks"]:
        f = timed["figures"]
        cells = (timed["name"], timed["provider"].removesuffix("ExecutionProvider"), str(timed["threads"]))
        times = (str(timed["batch"]), f"{f['p50']:.2f}", f"{f['p99']:.2f}", f"{f['per_second']:.1f}")
        ratio, share = timed["over_reference"]["value"], timed["share_of_peak"]["value"]
        table.add_row(*cells, *times, f"{ratio:.2f}", f"{share:.0%}")
    doubts = [f"{name}: {why}" for name, why in content["providers"]["absent"].items()]
    # What a graph does not take it takes at no number of threads.
    doubts += dict.fromkeys(
        f"left out: {why}" for state in content["machine_state"].values() for why in state["left_out"]
    )
    for count, state in content["machine_state"].items():
        if state["disturbed"] or content["frames"][count]["disturbed"]:
            doubts.append(
                f"{count} threads: disturbed, other programs took up to {state['others']:.0%} of the processor"
            )
        if state["throttled"]:
            doubts.append(f"{count} threads: the clock went down, the same product took {state['slowdown']:.0%} longer")
    table.caption = "; ".join(doubts) or None
    return table


def _agreement_table(providers: Mapping[str, Any]) -> Table:
    """The largest difference of each output, by network and provider."""
    table = Table("network", "provider", "of its nodes", "compared", "lost", "largest difference")
    table.title = f"beside {CPU}"
    for found in providers["agreement"]:
        apart = ", ".join(f"{name} {value:.2g}" for name, value in found["differences"].items())
        cells = (
            found["network"],
            found["provider"],
            f"{found['taken']:.0%}",
            str(found["compared"]),
            str(found["lost"]),
        )
        table.add_row(*cells, found["failed"] or apart)
    return table


def _rows(content: dict[str, Any]) -> list[dict[str, Any]]:
    rows = []
    for count, found in content["frames"].items():
        total, part = found["stages"]["total"], {"threads": count, "disturbed": found["disturbed"]}
        rows += [row(f"frame_ms_{name}", total[name], unit="ms", **part) for name in ("p50", "p95", "p99")]
        rows += [
            row("cold_start_ms", found["cold_start_ms"], unit="ms", **part),
            row("jitter", found["jitter"], **part),
        ]
        rows += [row("peak_mib", found["peak_mib"], unit="MiB", **part)]
        rows += [row("frames_per_second", found["frames_per_second"], unit="1/s", **part)]
        for name, times in found["parts"].items():
            rows += [row(f"part_ms_{key}", times[key], unit="ms", part=name, **part) for key in ("p50", "p95", "p99")]
    for timed in content["networks"]:
        state = content["machine_state"][timed["threads"]]
        part = {"network": timed["name"], "provider": timed["provider"], "threads": timed["threads"]}
        part |= {"batch": timed["batch"], "disturbed": state["disturbed"], "throttled": state["throttled"]}
        for name in ("over_reference", "share_of_peak"):
            entry = timed[name]
            rows.append(row(name, entry["value"], (entry["low"], entry["high"]), **part))
        rows.append(row("per_second", timed["figures"]["per_second"], unit="1/s", **part))
    for found in content["providers"]["agreement"]:
        part = {"network": found["network"], "provider": found["provider"]}
        rows += [row("provider_difference", v, output=name, **part) for name, v in found["differences"].items()]
        rows.append(row("provider_lost", found["lost"], **part))
    return rows


def _counts(values: Sequence[Any], name: str) -> list[int]:
    numbers = [int(value) for value in values]
    if not numbers or min(numbers) < 1:
        raise ConfigError(f"{name} is {list(values)}; expected one or more numbers of 1 or more")
    return sorted(set(numbers))
