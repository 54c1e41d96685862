"""What decides the content of a synthetic set, checked once. Knows nothing of drawing."""

from dataclasses import asdict, dataclass, fields
from typing import Any

from facings.data.synthetic.stations import STATIONS
from facings.errors import ConfigError

# A crowded frame's products need so many pixels of its side each: smaller, they could not be outlined.
LEAST_PITCH = 14
LEAST_SIDE, MOST_SIDE = 96, 8192


@dataclass(frozen=True)
class SequenceParameters:
    """What cameras see of one wall in the course of time, `seconds` from frame to frame, from eight in the morning.

    `takes`: pieces that are taken in a frame's time while the shop is open, on average; shares of these are put back later
    (`put_back`) or left at a wrong place (`misplace`). `restock`: frames from one filling of gaps to the next. `swap`: frames
    from one change of the assortment to the next, at which `turnover` (0–1) of the products on the wall are replaced. `night`:
    whether the shop closes from ten at night to seven.
    """

    frames: int
    cameras: tuple[str, ...] = ("overhead", "oblique")
    seconds: float = 300.0
    takes: float = 0.8
    put_back: float = 0.25
    misplace: float = 0.15
    restock: int = 24
    swap: int = 96
    turnover: float = 0.2
    night: bool = True

    def check(self) -> None:
        """Raise ConfigError for a value out of its range."""
        for name, low in {"frames": 1, "restock": 1, "swap": 1}.items():
            if getattr(self, name) < low:
                raise ConfigError(f"sequence.{name}={getattr(self, name)}: expected {low} or more")
        if not self.seconds > 0:
            raise ConfigError(f"sequence.seconds={self.seconds}: expected more than 0")
        if not self.takes >= 0:
            raise ConfigError(f"sequence.takes={self.takes}: expected 0 or more")
        for name in ("put_back", "misplace", "turnover"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"sequence.{name}={getattr(self, name)}: expected a share from 0 to 1")
        if self.put_back + self.misplace > 1:
            raise ConfigError(
                f"sequence.put_back={self.put_back} and sequence.misplace={self.misplace}: together 1 or less, "
                "they are shares of what is taken"
            )
        check_cameras("sequence.cameras", self.cameras)


@dataclass(frozen=True)
class Parameters:
    """What decides the content. Shares are 0–1.

    `new_share`: of the products are only in the validation frames: goods that came after training. `min_visibility`:
    pieces that show less are not labelled; `query_visibility`: those that show less are neither trained nor asked about
    by product. `products_per_scene`: null leaves it to chance how many products a frame holds, some 20 to 60; else about so
    many, from a wider wall; of several values each scene takes the next.

    `cameras`: null for the four flat views; names of `STATIONS` for calibrated cameras, of which each scene takes the next.
    `resolution`: width and height of what they take, null for `image_size` square. `cutouts`: a folder of transparent PNGs, or
    COCO JSON of packshots with masks, whose goods come first; procedural ones fill up to `products`. `cutout_images`: folder of
    the packshots, null for the one beside the JSON; `cutout_height`: cm, of a cut-out whose table does not tell it.

    Chances: `people`: that somebody stands or reaches between camera and goods; `cards`: that a row carries promotion cards;
    `cabinets`: that a wall is a fridge cabinet with glass doors; `pegs`: that a row of packs hangs on hooks.
    """

    train_scenes: int
    val_scenes: int
    products: int
    produce_share: float
    new_share: float
    image_size: int
    misplaced: float
    gaps: float
    min_visibility: float
    query_visibility: float
    enrol_photos: int
    crops_per_product: int
    queries_per_product: int
    seed: int
    products_per_scene: tuple[int, ...] | None = None
    cameras: tuple[str, ...] | None = None
    resolution: tuple[int, int] | None = None
    cutouts: str | None = None
    cutout_images: str | None = None
    cutout_height: float | None = None
    sequence: SequenceParameters | None = None
    people: float = 0.1
    cards: float = 0.25
    cabinets: float = 0.12
    pegs: float = 0.12

    @property
    def frame(self) -> tuple[int, int]:
        """Width and height of the frames of calibrated cameras, in pixels."""
        return self.resolution or (self.image_size, self.image_size)

    def record(self) -> dict[str, Any]:
        """For JSON; what is null is left out."""
        content = {name: value for name, value in asdict(self).items() if value is not None}
        return {name: _plain(value) for name, value in content.items()}

    def check(self) -> None:
        """Raise ConfigError for a value out of its range."""
        least = {"train_scenes": 1, "val_scenes": 1, "products": 4, "image_size": 96, "enrol_photos": 0}
        least |= {"crops_per_product": 2, "queries_per_product": 1, "seed": 0}
        for name, low in least.items():
            if getattr(self, name) < low:
                raise ConfigError(f"{name}={getattr(self, name)}: expected {low} or more")
        shares = ("produce_share", "new_share", "misplaced", "gaps", "min_visibility", "query_visibility")
        for name in (*shares, "people", "cards", "cabinets", "pegs"):
            if not 0 <= getattr(self, name) <= 1:
                raise ConfigError(f"{name}={getattr(self, name)}: expected a share from 0 to 1")
        self._check_frames()
        most = (min(self.frame) // LEAST_PITCH) ** 2
        for count in self.products_per_scene or ():
            if not 1 <= count <= most:
                raise ConfigError(
                    f"products_per_scene={count}: expected 1 to {most} at image_size={self.image_size}; "
                    "more need larger frames"
                )
        if self.cutout_height is not None and not self.cutout_height > 0:
            raise ConfigError(f"cutout_height={self.cutout_height}: expected centimetres above 0")
        for name in ("cutout_images", "cutout_height"):
            if self.cutouts is None and getattr(self, name) is not None:
                raise ConfigError(f"{name}={getattr(self, name)}: is of cut-outs; name their source with cutouts=PATH")

    def _check_frames(self) -> None:
        if self.cameras is not None:
            check_cameras("cameras", self.cameras)
        if self.sequence is not None:
            self.sequence.check()
        if self.resolution is None:
            return
        if self.cameras is None and self.sequence is None:
            raise ConfigError(
                f"resolution={list(self.resolution)}: is of calibrated cameras; name some with cameras=[overhead], "
                "or set image_size"
            )
        if len(self.resolution) != 2 or not all(LEAST_SIDE <= side <= MOST_SIDE for side in self.resolution):
            raise ConfigError(
                f"resolution={list(self.resolution)}: expected [width, height], {LEAST_SIDE} to {MOST_SIDE} pixels each"
            )


def difference(found: Any, wanted: Parameters) -> tuple[str, Any, Any] | None:
    """The first setting in which a record and parameters differ: its name, the record's value, the wanted one."""
    record = wanted.record()
    for name in [field.name for field in fields(Parameters)]:
        if found.get(name) != record.get(name):
            return name, found.get(name), record.get(name)
    return None


def check_cameras(setting: str, names: tuple[str, ...]) -> None:
    """Raise ConfigError for no camera, an unknown one, or one that is named twice."""
    known = ", ".join(STATIONS)
    if not names:
        raise ConfigError(f"{setting}=[]: expected one or more of {known}")
    for name in names:
        if name not in STATIONS:
            raise ConfigError(f"{setting}: {name!r} is unknown; expected of {known}")
        if names.count(name) > 1:
            raise ConfigError(f"{setting}: {name!r} is named {names.count(name)} times; once is enough")


def _plain(value: Any) -> Any:
    """As JSON gives it back: tuples are lists."""
    if isinstance(value, tuple):
        return [_plain(item) for item in value]
    return {name: _plain(item) for name, item in value.items()} if isinstance(value, dict) else value
