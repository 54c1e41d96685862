"""The fuzzer finds what is planted, makes every input again, and finds nothing in the parsers of the store."""

import mmap
from collections.abc import Callable
from pathlib import Path
from random import Random

import pytest

from facings.benchmark.fuzz import input_of, run
from facings.benchmark.fuzz_mutations import LARGEST, Kind, mutate
from facings.benchmark.fuzz_specimen import KEY, make_specimen
from facings.benchmark.fuzz_targets import Target, checksum, targets
from facings.errors import ConfigError, DataError
from facings.runtime.bundle import Bundle


@pytest.fixture(scope="module")
def parsers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Target]:
    return targets(tmp_path_factory.mktemp("fuzz") / "work")


def target(parse: Callable[[bytes], object], **limits: float) -> dict[str, Target]:
    return {"own": Target("own", "json", (b'{"a": [1, 2, {"b": "text"}]}',), parse, (DataError,), **limits)}  # type: ignore[arg-type]


def test_the_specimen_is_sound_and_always_the_same(tmp_path: Path, parsers: dict[str, Target]) -> None:
    one, two = make_specimen(tmp_path / "a" / "specimen-1"), make_specimen(tmp_path / "b" / "specimen-1")
    files = {path.relative_to(one): path.read_bytes() for path in one.rglob("*") if path.is_file()}
    assert files == {path.relative_to(two): path.read_bytes() for path in two.rglob("*") if path.is_file()}
    assert Bundle.open(one, require_key=KEY.public, signed_gallery=True).precisions == ("float32", "int8")
    assert checksum(parsers) == checksum(targets(tmp_path / "c"))


def test_every_parser_takes_its_sound_inputs(parsers: dict[str, Target]) -> None:
    assert len(parsers) >= 20
    for each in parsers.values():
        for seed in each.seeds:
            each.parse(seed)


def test_nothing_undocumented_comes_out(parsers: dict[str, Target], tmp_path: Path) -> None:
    """A short run; scripts/fuzz.py makes the long one."""
    outcome = run(parsers, 40 * len(parsers), seed=7, save=tmp_path)
    assert not outcome.findings, [(f.name, f.kind, f.detail[-500:]) for f in outcome.findings]
    assert outcome.inputs == 40 * len(parsers)
    # Not all is refused at the first look: some spoiled files are still sound.
    assert outcome.taken > outcome.inputs / 50
    assert {"BundleError", "GalleryError", "DataError"} <= set(outcome.refused)


@pytest.mark.slow
def test_nothing_undocumented_comes_out_of_100_000(parsers: dict[str, Target], tmp_path: Path) -> None:
    outcome = run(parsers, 100_000, seed=0, save=tmp_path)
    assert not outcome.findings, [(f.name, f.kind, f.detail[-500:]) for f in outcome.findings]


def test_an_input_is_made_again(parsers: dict[str, Target]) -> None:
    for each in parsers.values():
        inputs = [input_of(each, 3, number) for number in range(20)]
        assert inputs == [input_of(each, 3, number) for number in range(20)]
        assert len(set(inputs)) > 10 and inputs != [input_of(each, 4, number) for number in range(20)]


@pytest.mark.parametrize("kind", ["json", "array", "picture", "table", "bytes"])
def test_anything_can_be_spoiled(kind: Kind) -> None:
    rng = Random(0)
    for data in (b"", b"x", b"\xff" * 100, b"\x93NUMPY\x01\x00", b"\x89PNG", b"[]", b"3"):
        for _ in range(100):
            assert len(mutate(data, kind, rng, (data, b"other"))) <= LARGEST


def test_what_is_planted_is_found(tmp_path: Path) -> None:
    def faulty(data: bytes) -> None:
        if b'"a"' not in data:
            raise KeyError("a")
        if len(data) < 10:
            raise DataError("short, as documented")

    outcome = run(target(faulty), 200, save=tmp_path)
    assert {finding.kind for finding in outcome.findings} == {"KeyError"} and 0 < outcome.undocumented < 200
    first = outcome.findings[0]
    assert (
        (tmp_path / f"{first.name}.bin").read_bytes() == first.data == input_of(target(faulty)["own"], 0, first.number)
    )
    assert "raise KeyError" in (tmp_path / f"{first.name}.txt").read_text()


def test_time_and_memory_are_watched() -> None:
    # Of the system itself: what earlier tests freed may still be this process's, and would be handed out again.
    held: list[mmap.mmap] = []

    def greedy(data: bytes) -> None:
        if data != target(greedy)["own"].seeds[0] and not held:
            held.append(mmap.mmap(-1, 96 << 20))
            held[0].write(b"\x01" * (96 << 20))

    assert [f.kind for f in run(target(greedy, mebibytes=48), 5).findings] == ["large"]

    def slow(data: bytes) -> None:
        if data != target(slow)["own"].seeds[0]:
            sum(range(400_000))

    assert {f.kind for f in run(target(slow, seconds=0.001), 3).findings} == {"slow"}


def test_messages_that_cannot_be_printed_are_findings() -> None:
    def odd(data: bytes) -> None:
        if b'"b"' not in data:
            raise DataError("\ud800")

    assert {finding.kind for finding in run(target(odd), 100).findings} == {"unprintable"}


def test_nothing_to_do() -> None:
    for inputs, chosen in ((0, target(len)), (5, {})):
        with pytest.raises(ConfigError, match="expected 1 or more of both"):
            run(chosen, inputs)
