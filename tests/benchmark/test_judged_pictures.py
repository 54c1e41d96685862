"""Which frames are shown, and that what is drawn is what was judged."""

import base64
import io

import numpy as np
import pytest
from PIL import Image, ImageColor

from facings.benchmark.accuracy import Answer, answer_frames
from facings.benchmark.frames import Frame
from facings.benchmark.pictures import (
    COLOURS,
    JudgedFrame,
    data_uri,
    draw_frame,
    judge_frame,
    worst_and_typical,
)
from facings.benchmark.report import Plate, outcome_bar, stage_rows
from facings.data.coco import read_coco
from facings.runtime.bundle import Bundle
from facings.runtime.recognizer import Recognizer


def judged(shop, bundle) -> list[JudgedFrame]:
    frames = [
        Frame(i.image_id, i.path, i.boxes, i.labels, tuple(None if p == "unknown" else p for p in i.product_ids))
        for i in read_coco(shop.annotations, shop.images).images
    ]
    return [judge_frame(answer) for answer in answer_frames(Recognizer(Bundle.open(bundle), threads=1), frames)]


def test_quality_is_the_frames_own_f1(shop) -> None:
    frames = judged(shop, shop.bundle)
    # All right; 2 of 3 names right; one right of one name and two identified products; all right.
    assert [frame.quality for frame in frames] == pytest.approx([1.0, 4 / 6, 2 / 3, 1.0])
    assert frames[1].counts == {"right": 2, "wrong": 1}
    assert frames[2].counts == {"right": 1, "unjudged": 1, "missed": 1}
    assert Plate("worst", frames[2], Image.new("RGB", (4, 4))).caption() == (
        "3 products annotated: 1 right, 1 unjudged, 1 missed"
    )


def test_without_a_gallery_boxes_are_judged(shop, detector_only) -> None:
    frames = judged(shop, detector_only)
    assert [frame.outcomes for frame in frames][:1] == [("found", "found", "found")]
    assert frames[2].quality == pytest.approx(2 * 2 / (2 + 3))


def frame_of(number: int, quality: float) -> JudgedFrame:
    empty = Frame(number, None, np.zeros((0, 4), np.float32), np.zeros(0, np.int64), ())  # type: ignore[arg-type]
    answer = Answer(empty, None, None, None, np.zeros(0, np.int64), ())  # type: ignore[arg-type]
    return JudgedFrame(answer, (), (), quality)


def test_worst_come_first_then_those_near_the_median() -> None:
    frames = [frame_of(n, q) for n, q in enumerate((0.9, 0.1, 0.5, 0.55, 0.2, 1.0, 0.65))]
    chosen = worst_and_typical(frames, worst=2, typical=2)
    assert [(kind, frame.quality) for kind, frame in chosen] == [
        ("worst", 0.1), ("worst", 0.2), ("typical", 0.55), ("typical", 0.5),
    ]  # fmt: skip
    assert len(worst_and_typical(frames[:3], worst=5, typical=5)) == 3
    assert worst_and_typical([]) == []


def test_boxes_have_the_colour_of_their_outcome(shop) -> None:
    frames = judged(shop, shop.bundle)
    picture = np.asarray(draw_frame(frames[1], {}))
    # Drawn four times as large. Frame 2: cell 11 (x 72 to 96, y 48 to 72) is blue, named blue, annotated red.
    assert tuple(picture[4 * 60, 4 * 72]) == ImageColor.getrgb(COLOURS["wrong"])
    assert tuple(picture[4 * 12, 4 * 24]) == ImageColor.getrgb(COLOURS["right"])
    missed = np.asarray(draw_frame(frames[2], {}))
    # Frame 3: cell 12 (x 0, y 72) is not painted: dashed.
    column = (missed[4 * 73 : 4 * 95, 0:2] == ImageColor.getrgb(COLOURS["missed"])).all(axis=-1).any(axis=1)
    assert column.any() and not column.all()


def test_large_pictures_are_shrunk_and_stand_in_the_page(shop) -> None:
    picture = draw_frame(judged(shop, shop.bundle)[0], {"red": "A name much too long for its box"}, longest=48)
    assert picture.size == (48, 48)
    uri = data_uri(picture)
    kind, _, content = uri.partition(",")
    assert kind == "data:image/jpeg;base64"
    assert Image.open(io.BytesIO(base64.b64decode(content))).size == (48, 48)


def test_the_bar_is_whole_and_stages_share_the_frame() -> None:
    figures = {"right": 6.0, "wrong": 2.0, "ambiguous": 0.0, "unknown": 1.0, "missed": 1.0}
    bar = outcome_bar({"figures": figures})
    assert [part["name"] for part in bar] == ["right", "wrong", "unknown", "missed"]
    assert sum(part["share"] for part in bar) == pytest.approx(1.0)
    assert bar[-1]["start"] == pytest.approx(0.9)
    assert outcome_bar(None) == []
    means = {"preprocess": 1.0, "detect": 5.0, "embed": 3.0, "match": 1.0, "total": 10.0, "decode": 4.0}
    rows = stage_rows({"stages": {stage: {"mean": mean} for stage, mean in means.items()}})
    assert [row["share"] for row in rows] == [0.1, 0.5, 0.3, 0.1, None, None]
