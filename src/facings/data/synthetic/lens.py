"""A calibrated camera before a wall: pinhole, Brown–Conrady lens, pose; and the way back from a pixel to the wall.

The world is the wall's: x to the right, y down, z into the wall, centimetres from its left top corner; goods' fronts have
z = 0, the camera a negative z. Pixels are OpenCV's: (0, 0) is the centre of the first one. Knows nothing of goods or light.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from facings.data.synthetic.stations import STATIONS, Station

Floats = NDArray[np.float64]
# Of the wall's sides the picture's edges keep so much away, so that no picture looks past a wall.
MARGIN = 0.02
# Degrees by which a camera hangs otherwise than was meant.
ASKEW = 1.5
EXACT = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 60, 1e-10)


@dataclass(frozen=True)
class View:
    """What a station sees of a wall. `matrix`: K (3, 3); a point X (cm) is at `rotation` @ X + `shift` before the camera."""

    station: Station
    width: int
    height: int
    matrix: Floats
    rotation: Floats
    shift: Floats

    @property
    def centre(self) -> Floats:
        """(3,) where the camera is, cm."""
        return -self.rotation.T @ self.shift  # type: ignore[no-any-return]

    @property
    def distortion(self) -> Floats:
        """(5,) k1, k2, p1, p2, k3."""
        return np.array(self.station.distortion)

    def pixels_of(self, points: Floats) -> Floats:
        """(N, 2) pixels of points (N, 3) cm."""
        turned, _ = cv2.Rodrigues(self.rotation)
        found, _ = cv2.projectPoints(points.reshape(-1, 1, 3), turned, self.shift, self.matrix, self.distortion)
        return found.reshape(-1, 2)  # type: ignore[return-value]

    def wall_of_pixels(
        self, corner: tuple[float, float] = (0.0, 0.0), scale: float | None = None
    ) -> NDArray[np.float32]:
        """(height, width, 2) where each pixel's centre looks at the wall's front, x and y in cm; with `scale` in pixels of a
        canvas of so many a cm whose left top is at `corner` (cm)."""
        rays = _rays(self.station.camera_id, self.width, self.height)
        onto = _to_wall(self.rotation, self.shift)
        if scale is not None:
            left, top = corner
            onto = np.array([[scale, 0, -left * scale - 0.5], [0, scale, -top * scale - 0.5], [0, 0, 1]]) @ onto
        return cv2.perspectiveTransform(rays, onto)  # type: ignore[return-value]

    def border_on_wall(self) -> Floats:
        """(N, 2) cm: the picture's edge on the wall's front, as a closed polygon."""
        return _on_wall(_border(self.station, self.width, self.height), self.rotation, self.shift)

    def camera(self) -> dict[str, Any]:
        """Lens and sensor for COCO: `K`, `distortion`."""
        sides = {"id": self.station.camera_id, "width": self.width, "height": self.height}
        return sides | {"K": self.matrix.tolist(), "distortion": self.distortion.tolist()}

    def pose(self) -> dict[str, Any]:
        """Pose for COCO: `R`, `t` in cm of the wall."""
        return {"R": self.rotation.round(9).tolist(), "t": self.shift.round(6).tolist()}


def hang(station: Station, wall: tuple[float, float], size: tuple[int, int], rng: np.random.Generator) -> View:
    """The station before a wall of (width, height) cm, as near as it must be for the frame of (width, height) pixels to see
    nothing but wall."""
    return _placed(station, wall, size, rng.normal(0, ASKEW, 3))


def swayed(view: View, wall: tuple[float, float], rng: np.random.Generator) -> View:
    """The same camera a moment later in a walker's hand; the view itself where it is fixed."""
    if not view.station.sway:
        return view
    return _placed(view.station, wall, (view.width, view.height), rng.normal(0, view.station.sway, 3))


def _placed(station: Station, wall: tuple[float, float], size: tuple[int, int], askew: Floats) -> View:
    yaw, pitch, roll = np.radians([station.yaw + askew[0], station.pitch + askew[1] / 2, askew[2] / 3])
    back = np.array([np.sin(yaw) * np.cos(pitch), -np.sin(pitch), -np.cos(yaw) * np.cos(pitch)])
    right = np.cross([0.0, 1.0, 0.0], -back)
    right /= np.linalg.norm(right)
    upright = np.stack([right, np.cross(-back, right), -back])
    turn = np.array([[np.cos(roll), -np.sin(roll), 0], [np.sin(roll), np.cos(roll), 0], [0, 0, 1]])
    rotation = turn @ upright
    # All that is seen scales with the distance: from 1 cm away the picture's edge is worked out, then the distance.
    edge = _on_wall(_border(station, *size), rotation, -rotation @ back)
    low, high = edge.min(axis=0), edge.max(axis=0)
    distance = float(min(np.array(wall) * (1 - 2 * MARGIN) / (high - low)))
    target = np.append(np.array(wall) / 2 - distance * (low + high) / 2, 0.0)
    shift = -rotation @ (target + distance * back)
    return View(station, *size, _matrix(station, *size), rotation, shift)


def _matrix(station: Station, width: int, height: int) -> Floats:
    focal = width / 2 / np.tan(np.radians(station.field) / 2)
    return np.array([[focal, 0, (width - 1) / 2], [0, focal, (height - 1) / 2], [0, 0, 1]])


def _straightened(pixels: NDArray[np.float32], station: Station, width: int, height: int) -> Floats:
    """(N, 2) where pixels (N, 2) look, at z = 1 before the camera."""
    matrix, distortion = _matrix(station, width, height), np.array(station.distortion)
    undistort = getattr(cv2, "undistortPointsIter", None)
    if undistort is not None:
        return undistort(pixels[:, None], matrix, distortion, None, None, EXACT)[:, 0]  # type: ignore[no-any-return]
    return cv2.undistortPoints(pixels[:, None], matrix, distortion, criteria=EXACT)[:, 0]  # type: ignore


@lru_cache(maxsize=8)
def _rays(camera_id: str, width: int, height: int) -> NDArray[np.float32]:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    pixels = np.stack([x.ravel(), y.ravel()], axis=1)
    return _straightened(pixels, STATIONS[camera_id], width, height).astype(np.float32).reshape(height, width, 2)


@lru_cache(maxsize=32)
def _border(station: Station, width: int, height: int) -> Floats:
    """Rays of points around the frame's edge."""
    across, down = np.linspace(-0.5, width - 0.5, 25), np.linspace(-0.5, height - 0.5, 25)
    sides = [(across, 0 * across - 0.5), (0 * down + width - 0.5, down)]
    sides += [(across[::-1], 0 * across + height - 0.5), (0 * down - 0.5, down[::-1])]
    pixels = np.concatenate([np.stack(side, axis=1) for side in sides]).astype(np.float32)
    return _straightened(pixels, station, width, height).astype(np.float64)


def _to_wall(rotation: Floats, shift: Floats) -> Floats:
    """(3, 3) homography from rays to the wall's front."""
    return np.linalg.inv(np.stack([rotation[:, 0], rotation[:, 1], shift], axis=1))


def _on_wall(rays: Floats, rotation: Floats, shift: Floats) -> Floats:
    return cv2.perspectiveTransform(rays[:, None], _to_wall(rotation, shift))[:, 0]  # type: ignore[return-value]
