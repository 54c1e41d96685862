"""Named slices against the numeric ones, the chain's slices against its counts, findings and figures."""

from datetime import datetime

import numpy as np
import pytest

from facings.analysis.attribution import FATES, Fate, FrameAttribution, count_stages
from facings.analysis.confusions import AnsweredFrame
from facings.analysis.curve_figures import png
from facings.analysis.error_figures import draw_counts, draw_slices, draw_tide
from facings.analysis.error_slices import (
    chain_slices,
    glare_share,
    glare_slices,
    picture_slices,
    slices_by_object_name,
    slices_by_picture_name,
    stage_slices,
)
from facings.analysis.findings import ADVICE, as_markdown, findings_of_counts, findings_of_gains
from facings.analysis.slices import slice_by_picture
from facings.analysis.tide import tide
from facings.analysis.tide_judgement import ERRORS
from facings.structures import Decision
from tests.analysis.conftest import Shelf


def test_cameras_equal_slices_by_number(shelf: Shelf) -> None:
    truth, found = shelf(np.random.default_rng(0))
    cameras = {image["id"]: "left" if image["id"] < 4 else "right" for image in truth["images"]}
    rows = slices_by_picture_name(truth, found, cameras)
    numbers = slice_by_picture(truth, found, {key: float(name == "right") for key, name in cameras.items()}, [0.5])
    assert [row["slice"] for row in rows] == ["left", "right"]
    assert [row["ap50"] for row in rows] == [row["ap50"] for row in numbers]
    assert slices_by_picture_name(truth, found, dict.fromkeys(cameras)) == []
    names = [None if n % 3 == 0 else "packaged" for n in range(len(truth["annotations"]))]
    moments = {key: datetime(2026, 3, 1, 8 if name == "left" else 9) for key, name in cameras.items()}
    shot = picture_slices(truth, found, cameras, moments)
    assert shot["camera"] == rows and [row["slice"] for row in shot["time of day"]] == ["06 to 09 h", "09 to 12 h"]
    assert [row["ap50"] for row in shot["time of day"]] == [row["ap50"] for row in rows]
    assert set(picture_slices(truth, found, cameras, dict.fromkeys(cameras))) == {"camera"}
    [row] = slices_by_object_name(truth, found, names)
    assert row["slice"] == "packaged" and row["objects"] == sum(name is not None for name in names)


def test_glare(shelf: Shelf) -> None:
    truth, found = shelf(np.random.default_rng(1))
    rows = glare_slices(truth, found, {image["id"]: image["id"] / 10 for image in truth["images"]})
    assert sum(row["pictures"] for row in rows) == len(truth["images"])
    with pytest.raises(ValueError, match="without pixels"):
        glare_share(np.zeros((0, 4, 3), np.uint8))


def test_stages_by_value_sum_to_all() -> None:
    nothing = np.zeros(0, np.int64)
    frames = [
        FrameAttribution(("right", "sibling", "unjudged"), (), nothing, nothing),
        FrameAttribution(("not detected",), (), nothing, nothing),
    ]
    rows = stage_slices(frames, [["a", "b", "a"], ["b"]])
    assert [(row["slice"], row["objects"], row["error_share"]) for row in rows] == [("a", 2, 0.0), ("b", 2, 1.0)]
    counts = count_stages(frames)
    assert all(sum(row.get(fate, 0) for row in rows) == counts[fate] for fate in FATES)
    with pytest.raises(ValueError, match="1 values for 3 objects"):
        stage_slices(frames, [["a"], ["b"]])


def test_findings_and_figures(shelf: Shelf) -> None:
    truth, found = shelf(np.random.default_rng(2))
    result = tide(truth, found)
    assert set(ERRORS) <= set(ADVICE)
    findings = findings_of_gains(result.gains, result.counts)
    assert [f.cost for f in findings] == sorted((f.cost for f in findings), reverse=True) and len(findings) <= 3
    # Nothing was found at all: AP is not defined without what is missing, and that is the dearest.
    blind = tide(truth, [])
    assert [f.name for f in findings_of_gains(blind.gains, blind.counts)] == ["missed"]
    assert findings_of_counts({}, of="objects", whole=0) == []
    assert "No error was found." in as_markdown("title", [], [], [])
    rows = [{"slice": "a", "objects": 3, "ap50": 0.5}, {"slice": "b", "objects": 0, "ap50": float("nan")}]
    for figure in (
        draw_tide({"boxes": result, "masks": blind}),
        draw_counts({"sibling": 3}, title="t", below="b"),
        draw_slices({"size": rows}, value="ap50", title="t", below="b"),
        draw_slices({}, value="ap50", title="t", below="b"),
    ):
        assert png(figure).startswith(b"\x89PNG")


def test_the_chain_by_crowding_and_by_what_pictures_are_like() -> None:
    """Three boxes, two of them 5 pixels apart; then one alone, in a sharper picture."""
    nothing = np.zeros(0, np.int64)
    boxes = [
        np.array([[0, 0, 10, 10], [15, 0, 25, 10], [90, 0, 130, 40]], np.float32),
        np.array([[0, 0, 9, 9]], np.float32),
    ]
    fates: list[tuple[Fate, ...]] = [("right", "sibling", "right"), ("not detected",)]
    frames = [
        AnsweredFrame(
            str(number), Decision("1", ()), own, ("tea",) * len(own), FrameAttribution(fate, (), nothing, nothing)
        )
        for number, (own, fate) in enumerate(zip(boxes, fates, strict=True))
    ]
    slices = chain_slices(frames, {"tea": ("Dry", "Tea")}, of_frames={"sharpness": [1.0, 9.0]})
    found = {name: [(row["slice"], row["objects"]) for row in rows] for name, rows in slices.items()}
    assert found["size"] == [("below 32 pixels", 3), ("32 to 96 pixels", 1)]
    assert found["objects a picture"] == [("below 10", 4)]
    assert found["gap to the neighbour, in object sizes"] == [("0.25 to 1", 2), ("1 or more", 2)]
    assert found["sharpness"] == [("below 3", 3), ("7 or more", 1)]
    assert [row["error_share"] for row in slices["sharpness"]] == pytest.approx([1 / 3, 1])
    assert found["department"] == [("Dry", 4)] and found["category"] == [("Dry/Tea", 4)] and "camera" not in found
    assert "department" not in chain_slices(frames, {"tea": ("Tea",)})


def test_of_many_slices_the_figure_says_which_are_left() -> None:
    rows = [{"slice": f"s{n}", "objects": n, "ap50": 0.5} for n in range(1, 31)]
    [axis] = draw_slices({"category": rows}, value="ap50", title="t", below="b").axes
    assert "12 of 30, those of most objects" in axis.get_title() and len(axis.get_yticklabels()) == 12


def test_panels_of_as_many_bars_stand_side_by_side() -> None:
    tables = {
        name: [{"slice": f"{name}{n}", "objects": 3, "ap50": 0.5} for n in range(count)]
        for name, count in (("category", 12), ("size", 3), ("camera", 4), ("department", 2))
    }
    figure = draw_slices(tables, value="ap50", title="t", below="b")
    figure.draw_without_rendering()
    left = {axis.get_title(): axis.get_position() for axis in figure.axes}
    assert list(left) == ["by department", "by size", "by camera", "by category"]
    assert left["by department"].y0 == pytest.approx(left["by size"].y0, abs=0.01)
    # The long one has a line of its own, and all of it; what is left over keeps its half.
    assert left["by category"].width > 1.5 * left["by camera"].width
    assert left["by camera"].y0 > left["by category"].y1
