"""Frames of one wall in the course of time, by several cameras. Knows nothing of files."""

from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

import cv2
import numpy as np

from facings.data.synthetic.foreground import draw_passer
from facings.data.synthetic.happenings import happen
from facings.data.synthetic.lens import View, hang, swayed
from facings.data.synthetic.optics import Light
from facings.data.synthetic.painter import paint
from facings.data.synthetic.parameters import Parameters, SequenceParameters
from facings.data.synthetic.photograph import photograph
from facings.data.synthetic.planogram import plan, plan_crowded, settled
from facings.data.synthetic.scenes import (
    WIDTH,
    divide,
    fixtures_of,
    full_annotation,
    goods_of,
    image_record,
    renderer_of,
)
from facings.data.synthetic.shards import Frame
from facings.data.synthetic.stations import STATIONS
from facings.data.synthetic.timeline import Timeline, is_closed

SPLIT = "sequence"
NIGHT = 0.1  # of the day's light: a lamp over the door


@lru_cache(maxsize=2)
def timeline_of(parameters: Parameters) -> Timeline:
    """All that happens; the same for every process. The trained goods stand there first, the new ones come by and by."""
    assert parameters.sequence is not None
    p, rng = parameters, np.random.default_rng([parameters.seed, 40])
    products = goods_of(p)
    shown = list(divide(products, p)[0])
    fitted = fixtures_of(p)
    if p.products_per_scene is None:
        width = float(rng.uniform(*WIDTH))
        wall = plan(shown, rng, misplaced=p.misplaced, gaps=p.gaps, width=width, fixtures=fitted)
    else:
        count = p.products_per_scene[0]
        wall = plan_crowded(shown, rng, count=count, misplaced=p.misplaced, gaps=p.gaps, fixtures=fitted)
    return happen(settled(wall), products, parameters.sequence, rng)


def light_at(time: datetime, sequence: SequenceParameters) -> Light:
    """Lamps by night and day, and what the windows add: most at two, warm in the evening."""
    if sequence.night and is_closed(time):
        return Light(NIGHT, 0.3)
    hour = time.hour + time.minute / 60
    return Light(0.9 + 0.16 * float(np.cos((hour - 14) / 12 * np.pi)), 0.12 * float(np.sin((hour - 14) / 12 * np.pi)))


@dataclass(frozen=True)
class SequenceFrames:
    """All frames of the first camera, then all of the next."""

    parameters: Parameters
    split: str = SPLIT

    @property
    def _sequence(self) -> SequenceParameters:
        assert self.parameters.sequence is not None
        return self.parameters.sequence

    @property
    def count(self) -> int:
        """Frames of all cameras."""
        return self._sequence.frames * len(self._sequence.cameras)

    def name(self, index: int) -> str:
        """CAMERA/FRAME.jpg."""
        camera, frame = divmod(index, self._sequence.frames)
        return f"{self._sequence.cameras[camera]}/{frame:06d}.jpg"

    def frame(self, index: int) -> Frame:
        """Draw one moment as one camera sees it."""
        cv2.setNumThreads(1)
        p, timeline = self.parameters, timeline_of(self.parameters)
        camera, number = divmod(index, self._sequence.frames)
        wall, slot_of = timeline.wall_at(number)
        view = self._view(camera, number, (wall.width, wall.height))
        time = timeline.time(number)
        painted = paint(wall, view, renderer_of(p), [p.seed, 42])
        # The same shopper before all cameras, while the shop is open.
        passing = np.random.default_rng([p.seed, 47, number])
        if float(passing.random()) < p.people and not (self._sequence.night and is_closed(time)):
            draw_passer(painted.canvas, painted.ids, painted.scale, passing)
        jpeg, taken = photograph(
            painted,
            view,
            light_at(time, self._sequence),
            np.random.default_rng([p.seed, 43, camera]),
            np.random.default_rng([p.seed, 44, camera, number]),
            min_visibility=p.min_visibility,
        )
        objects = [
            full_annotation(seen, view.station.camera_id)
            | {"piece_id": seen.placement.piece, "slot": slot_of[seen.placement.piece]}
            for seen in taken
        ]
        moment = {"frame": number, "captured_at": time.isoformat()}
        return Frame(jpeg, image_record(self.name(index), view) | moment, objects)

    def _view(self, camera: int, number: int, wall: tuple[float, float]) -> View:
        seed = self.parameters.seed
        station = STATIONS[self._sequence.cameras[camera]]
        hung = hang(station, wall, self.parameters.frame, np.random.default_rng([seed, 45, camera]))
        return swayed(hung, wall, np.random.default_rng([seed, 46, camera, number]))
