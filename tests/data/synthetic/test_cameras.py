"""Calibrated cameras: what COCO says of K, lens and pose leads from the wall to the very pixels."""

import importlib.util
import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from facings.data.coco import read_coco
from facings.data.synthetic.dataset import Parameters, synthesize
from facings.data.synthetic.lens import View, hang, swayed
from facings.data.synthetic.optics import Light, disc, streak
from facings.data.synthetic.painter import paint
from facings.data.synthetic.photograph import Taken, photograph
from facings.data.synthetic.planogram import Placement, Row, Wall, plan, settled
from facings.data.synthetic.products import Product, assortment
from facings.data.synthetic.renderer import Renderer
from facings.data.synthetic.solids import LID, sides_of
from facings.data.synthetic.stations import STATIONS
from facings.errors import ConfigError
from tests.conftest import tiny_parameters

SIZE = (200, 150)


def look(pieces: tuple[Placement, ...], camera: str, size: tuple[int, int] = SIZE) -> tuple[View, bytes, list[Taken]]:
    wall = Wall(60, 60, (Row(40.0, pieces),))
    view = hang(STATIONS[camera], (60.0, 60.0), size, np.random.default_rng(1))
    rng = np.random.default_rng(2)
    return view, *photograph(paint(wall, view, Renderer(200), [0]), view, Light(), rng, rng, min_visibility=0.1)


def product(kind: str, size: tuple[float, float] | None = None) -> Product:
    found = next(p for p in assortment(48, produce_share=0.4, seed=0) if p.kind == kind)
    return found if size is None else replace(found, size=size)


@pytest.mark.parametrize("camera", STATIONS)
def test_pixels_lead_to_the_wall_and_back(camera: str) -> None:
    """OpenCV's projection, fed with what COCO gets, undoes the way that the frame was sampled by; no frame sees past the wall."""
    view = hang(STATIONS[camera], (100.0, 90.0), SIZE, np.random.default_rng(3))
    view = swayed(view, (100.0, 90.0), np.random.default_rng(4))
    wall = view.wall_of_pixels()
    assert wall.shape == (SIZE[1], SIZE[0], 2)
    assert wall.min() >= 0 and wall[..., 0].max() <= 100 and wall[..., 1].max() <= 90
    lens, pose = view.camera(), view.pose()
    rotation, _ = cv2.Rodrigues(np.array(pose["R"]))
    points = np.dstack([wall, np.zeros(wall.shape[:2])]).reshape(-1, 1, 3)
    back, _ = cv2.projectPoints(
        points, rotation, np.array(pose["t"]), np.array(lens["K"]), np.array(lens["distortion"])
    )
    y, x = np.mgrid[0 : SIZE[1], 0 : SIZE[0]]
    assert np.abs(back.reshape(SIZE[1], SIZE[0], 2) - np.dstack([x, y])).max() < 0.02
    turned = np.array(pose["R"])
    assert np.allclose(turned @ turned.T, np.eye(3), atol=1e-6) and np.linalg.det(turned) > 0
    assert view.centre[2] < 0
    assert (view.centre[1] < 45) == (STATIONS[camera].pitch > 4.5) or abs(STATIONS[camera].pitch - 4) < 1


def test_a_pack_is_where_the_calibration_says() -> None:
    """A flat pouch, 12 x 18 cm, at (30, 40): its corners through K, lens and pose bound its mask."""
    pouch = product("pouch", (12.0, 18.0))
    for camera in ("overhead", "oblique"):
        view, _, (taken,) = look((Placement(pouch, 30.0, 40.0),), camera)
        corners = np.array([[24, 22, 0], [36, 22, 0], [36, 40, 0], [24, 40, 0]], float)
        pixels = view.pixels_of(corners)
        (left, top), (right, bottom) = pixels.min(axis=0), pixels.max(axis=0)
        x, y, width, height = taken.box
        assert np.abs(np.array([x - left, y - top, x + width - right, y + height - bottom])).max() < 0.08 * height
        assert taken.visibility > 0.9


def test_depth_is_seen_from_the_side_that_the_camera_hangs_on() -> None:
    """From above a carton shows its top, from the right its right flank: the mask outgrows the front there and nowhere else."""
    carton = product("carton", (12.0, 16.0))
    for camera, side in (("overhead", 1), ("oblique", 2)):
        view, _, (taken,) = look((Placement(carton, 30.0, 40.0),), camera)
        front = view.pixels_of(np.array([[24, 24, 0], [36, 24, 0], [36, 40, 0], [24, 40, 0]], float))
        back = view.pixels_of(np.array([[24, 24, 4.8], [36, 24, 4.8], [36, 40, 4.8], [24, 40, 4.8]], float))
        both = np.concatenate([front, back])
        mask = np.zeros((SIZE[1], SIZE[0]), np.uint8)
        cv2.fillPoly(mask, [np.array(p, np.int32).reshape(-1, 2) for p in taken.polygons], 1)
        hull = np.zeros_like(mask)
        # The solid's outline from its eight corners, without any of the painting: the oracle.
        cv2.fillConvexPoly(hull, cv2.convexHull(np.round(both).astype(np.int32)), 1)
        overlap = (mask & hull).sum() / (mask | hull).sum()
        assert overlap > 0.9, (camera, overlap)
        flat = np.zeros_like(mask)
        cv2.fillConvexPoly(flat, cv2.convexHull(np.round(front).astype(np.int32)), 1)
        assert mask.sum() > 1.05 * flat.sum() and side in (1, 2)


def test_hidden_parts_count_for_the_amodal_box_alone() -> None:
    """A pack half hidden by one before it: half visible, its amodal box that of the pack alone."""
    pouch, other = product("pouch", (12.0, 18.0)), product("can", (8.0, 18.0))
    # One piece number: the same film, which lies otherwise on every piece.
    _, _, (alone,) = look((Placement(pouch, 30.0, 40.0, piece=5),), "front")
    _, _, both = look((Placement(pouch, 30.0, 40.0, piece=5), Placement(other, 35.0, 40.0)), "front")
    hidden = both[0]
    assert hidden.visibility < 0.85 * alone.visibility and hidden.area < 0.85 * alone.area
    assert np.allclose(hidden.amodal, alone.amodal, atol=1.0)
    assert hidden.box[2] < alone.box[2] - 3
    x, y, width, _ = hidden.amodal
    assert x <= hidden.box[0] and y <= hidden.box[1] and x + width >= hidden.box[0] + hidden.box[2]


def test_an_empty_wall_is_a_picture_without_truth() -> None:
    _, jpeg, taken = look((), "walk_by", (128, 96))
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR)
    assert taken == [] and picture is not None and picture.shape == (96, 128, 3)


def test_blurs_keep_the_light() -> None:
    for kernel in (streak(9.0, 0.7), streak(0.4, 0.0), disc(2.3), disc(0.4)):
        assert abs(kernel.sum() - 1) < 1e-5 and kernel.min() >= 0
    across = streak(9.0, 0.0)
    assert (across.sum(axis=1) > 0).sum() == 1 and (across.sum(axis=0) > 0).sum() >= 9


CALIBRATED: dict[str, object] = {
    "train_scenes": 3, "val_scenes": 1, "enrol_photos": 0, "image_size": 160,
    "cameras": ("overhead", "oblique", "walk_by"), "resolution": (192, 144),
}  # fmt: skip


@pytest.fixture(scope="module")
def calibrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cameras") / "set"
    synthesize(folder, tiny_parameters(**CALIBRATED))
    return folder


def test_a_calibrated_set_is_sound(calibrated: Path) -> None:
    content = json.loads((calibrated / "instances_train.json").read_text())
    table = read_coco(calibrated / "instances_train.json", calibrated / "images" / "train")
    assert not table.faults
    assert [camera["id"] for camera in content["cameras"]] == list(CALIBRATED["cameras"])  # type: ignore[call-overload]
    assert [image["camera_id"] for image in content["images"]] == ["overhead", "oblique", "walk_by"]
    for image in content["images"]:
        assert (
            np.shape(image["R"]) == (3, 3) and len(image["t"]) == 3 and (image["width"], image["height"]) == (192, 144)
        )
        shown = cv2.imread(str(calibrated / "images" / "train" / image["file_name"]))
        assert shown is not None and shown.shape == (144, 192, 3)
    for entry in content["annotations"]:
        x, y, width, height = entry["bbox"]
        left, top, wide, tall = entry["amodal_bbox"]
        assert left <= x + 0.01 and top <= y + 0.01
        assert left + wide >= x + width - 0.02 and top + tall >= y + height - 0.02
        assert left >= 0 and top >= 0 and left + wide <= 192.02 and top + tall <= 144.02
    record = json.loads((calibrated / "synthesize.json").read_text())
    assert record["cameras"] == ["overhead", "oblique", "walk_by"] and record["parameters"]["resolution"] == [192, 144]
    assert synthesize(calibrated, tiny_parameters(**CALIBRATED)) is False


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"cameras": ("overhead", "attic")}, "cameras: 'attic' is unknown; expected of front, overhead"),
        ({"cameras": ()}, "expected one or more of front"),
        ({"cameras": ("front", "front")}, "'front' is named 2 times"),
        ({"resolution": (640, 480)}, r"resolution=\[640, 480\]: is of calibrated cameras; name some"),
        ({"cameras": ("front",), "resolution": (64, 9000)}, "96 to 8192 pixels each"),
        ({"cutout_height": 20.0}, "cutout_height=20.0: is of cut-outs"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(change: dict[str, object], message: str) -> None:
    parameters: Parameters = tiny_parameters(**change)
    with pytest.raises(ConfigError, match=message):
        parameters.check()


@pytest.mark.slow
def test_a_4k_frame(tmp_path: Path) -> None:
    big = {"cameras": ("oblique",), "resolution": (3840, 2160), "products_per_scene": (200,), "train_scenes": 1}
    synthesize(tmp_path / "set", tiny_parameters(**CALIBRATED | big | {"products": 24}))
    content = json.loads((tmp_path / "set" / "instances_train.json").read_text())
    assert content["images"][0]["width"] == 3840 and len(content["annotations"]) > 30


def test_heaps_rest_on_the_boards_of_their_crates() -> None:
    products = assortment(30, produce_share=0.7, seed=2)
    wall = settled(plan(products, np.random.default_rng(1), misplaced=0.0, gaps=0.3, width=150.0))
    asked = 0
    for row in wall.rows:
        for crate in row.crates:
            feet = [piece.bottom for piece in row.placements if crate.left <= piece.x <= crate.right]
            if feet:
                assert max(feet) > crate.board
                asked += 1
    assert asked > 3


@pytest.mark.parametrize("kind", ["can", "jar", "bottle"])
def test_a_round_lid_touches_its_front(kind: str) -> None:
    """And ends where the lid's back edge is, by similar triangles."""
    centre = np.array([50.0, -20.0, -80.0])
    pack = product(kind)
    wall, lid = sides_of(Placement(pack, 30.0, 40.0), 30.0, 40.0, 1.0, centre)
    top = 40.0 - 0.98 * pack.size[1]
    assert lid.points[:, 1].max() == pytest.approx(top, abs=0.01)
    assert lid.points[:, 1].min() < top - 0.3
    # The wall reaches from the front's edge to where the lid is widest: nothing is seen between them.
    assert wall.points[:2, 1] == pytest.approx([top, top], abs=0.01)
    assert wall.points[2:, 1] == pytest.approx((lid.points[:, 1].max() + lid.points[:, 1].min()) / 2)
    assert sorted(wall.points[2:, 0]) == pytest.approx([lid.points[:, 0].min(), lid.points[:, 0].max()])
    reach = (lid.points[:, 0].max() - lid.points[:, 0].min()) / pack.size[0]
    assert reach == pytest.approx(LID[kind])
    below = np.array([50.0, 90.0, -80.0])
    assert sides_of(Placement(pack, 30.0, 40.0), 30.0, 40.0, 1.0, below) == []
    assert sides_of(Placement(pack, 30.0, 40.0, angle=90.0), 30.0, 40.0, 1.0, centre) == []


def test_the_sheet_shows_the_first_pictures(
    calibrated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = importlib.util.spec_from_file_location(
        "shelf_sheet", Path(__file__).parents[3] / "scripts" / "shelf_sheet.py"
    )
    assert spec is not None and spec.loader is not None
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    words = [str(calibrated), "--output", str(tmp_path / "sheet.png"), "--columns", "2", "--width", "96"]
    assert script.main([*words, "--truth"]) == 0
    picture = cv2.imread(str(tmp_path / "sheet.png"))
    assert picture is not None and picture.shape == (144, 192, 3)
    assert (picture[72:, 96:] == 255).all() and not (picture[:72, 96:] == 255).all()
    assert script.main([*words, "--count", "0"]) == 2
    assert "--count 0: expected 1 or more" in capsys.readouterr().err
