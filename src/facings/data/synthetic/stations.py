"""Where the cameras of a shelf hang, and what their lenses and sensors are like. Knows nothing of pictures."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Station:
    """A camera before a wall. `yaw`, `pitch`: degrees to the right of and above the straight view; `field`: horizontal angle of
    view in degrees; `distortion`: k1, k2, p1, p2, k3 (Brown: "Decentering distortion of lenses", 1966; Conrady, 1919) in
    OpenCV's order. `sway`: degrees by which a hand moves it from frame to frame, 0 for one that is fixed.

    `exposure` of 1 is right; `warmth`: -1 cold to 1 warm. `blur`, `motion`: pixels of a frame of 640; `moving`, `unsharp`,
    `glazed`: chances (0–1) of motion blur, of defocus, of a glass door before the shelf. `noise`: grey levels; `quality`: of JPEG.
    """

    camera_id: str
    yaw: float
    pitch: float
    field: float
    distortion: tuple[float, float, float, float, float]
    sway: float = 0.0
    exposure: float = 1.0
    warmth: float = 0.0
    blur: float = 0.4
    motion: float = 3.0
    moving: float = 0.03
    unsharp: float = 0.08
    glazed: float = 0.12
    noise: float = 3.0
    quality: tuple[int, int] = (78, 95)


STATIONS = {
    station.camera_id: station
    for station in (
        Station("front", 0.0, 4.0, 52.0, (-0.06, 0.01, 0.0, 0.0, 0.0), noise=2.0),
        Station("overhead", 0.0, 27.0, 64.0, (-0.26, 0.07, 0.001, -0.0005, 0.0), warmth=0.1, noise=4.0),
        Station("oblique", 30.0, 11.0, 52.0, (-0.2, 0.05, 0.0, 0.001, 0.0), exposure=1.08, warmth=0.2),
        Station("oblique_left", -27.0, 15.0, 52.0, (-0.2, 0.05, 0.0, 0.001, 0.0), exposure=0.92, warmth=-0.2),
        Station("across", 9.0, 7.0, 28.0, (0.03, 0.0, 0.0, 0.0, 0.0), blur=0.7, noise=4.0),
        Station(
            "walk_by", -6.0, 9.0, 58.0, (0.05, -0.03, 0.0005, 0.0005, 0.0), sway=6.0, motion=9.0, moving=0.4,
            unsharp=0.2, noise=3.5, quality=(60, 90),
        ),
    )
}  # fmt: skip
