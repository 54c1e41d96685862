"""The assortment of a synthetic shop: what each product is, not yet how it looks. Knows nothing of pixels."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from facings.data.taxonomy import product_entry

Colour = tuple[int, int, int]
PACKAGES = ("carton", "can", "bag", "bottle", "jar", "pouch", "gable", "bag", "tray", "multipack")
# Width and height of a pack in cm.
PACKAGE_SIZES = {
    "carton": (11.0, 17.0),
    "can": (7.5, 11.0),
    "bottle": (8.0, 25.0),
    "jar": (8.5, 12.0),
    "pouch": (13.0, 17.0),
    "gable": (8.0, 21.0),
    "bag": (17.0, 24.0),
    "tray": (19.0, 12.0),
    "multipack": (20.0, 15.0),
}
BRANDS = (
    "NORDA", "Bellavo", "Kisu", "OATLY HILL", "Terrano", "Miko", "Solveig", "PUNTO", "Lumi", "Arbor", "Dolce Via", "FJELL",
    "Tamaro", "Heks", "BRISA", "Olmo", "Kapten", "Vinga",
)  # fmt: skip
SORTS = {
    "carton": ("Crispbread", "Muesli", "Tea", "Rice", "Biscuits"),
    "can": ("Tomatoes", "Beans", "Lemonade", "Corn"),
    "bottle": ("Juice", "Oil", "Syrup", "Water"),
    "jar": ("Jam", "Pesto", "Honey", "Pickles"),
    "pouch": ("Chips", "Nuts", "Pasta", "Coffee"),
    "gable": ("Milk", "Oat Drink", "Juice", "Yoghurt"),
    "bag": ("Chips", "Nachos", "Popcorn", "Pretzels", "Rings"),
    "tray": ("Ravioli", "Mince", "Wraps", "Cookies"),
    "multipack": ("Lemonade", "Corn", "Yoghurt"),
}
# Members of a brand family share a layout and differ in this word and its colour.
FLAVOURS: tuple[tuple[str, Colour], ...] = (
    ("Classic", (200, 30, 40)),
    ("Lemon", (240, 200, 20)),
    ("Herbs", (40, 140, 60)),
    ("Berry", (130, 40, 140)),
    ("Sea Salt", (40, 110, 200)),
    ("Orange", (240, 120, 20)),
    ("Cocoa", (100, 60, 35)),
    ("Rose", (235, 110, 150)),
)
FAMILY_SIZE = 3


@dataclass(frozen=True)
class Variety:
    """A sort of fruit or vegetable. `size`: width and height in cm, lying or standing as it does in a crate."""

    category: tuple[str, ...]
    name: str
    shape: str
    colour: Colour
    blush: Colour
    size: tuple[float, float]


VARIETIES = (
    Variety(("Fruit", "Apple"), "Apple Red", "round", (178, 28, 38), (215, 140, 60), (7.5, 7.2)),
    Variety(("Fruit", "Apple"), "Apple Green", "round", (130, 180, 60), (170, 205, 95), (7.8, 7.4)),
    Variety(("Fruit", "Apple"), "Apple Pink", "round", (215, 105, 100), (226, 196, 110), (7.2, 6.8)),
    Variety(("Fruit", "Banana"), "Banana", "curved", (236, 202, 60), (150, 170, 60), (17.0, 8.0)),
    Variety(("Fruit", "Citrus"), "Orange", "round", (240, 140, 30), (246, 165, 60), (8.0, 8.0)),
    Variety(("Fruit", "Citrus"), "Lemon", "oval", (244, 214, 60), (225, 205, 70), (8.2, 6.2)),
    Variety(("Fruit", "Citrus"), "Lime", "oval", (92, 146, 46), (130, 170, 70), (6.6, 5.4)),
    Variety(("Fruit", "Pear"), "Pear Green", "pear", (168, 190, 80), (196, 200, 110), (7.0, 10.5)),
    Variety(("Fruit", "Pear"), "Pear Brown", "pear", (160, 116, 62), (182, 146, 82), (7.0, 10.5)),
    Variety(("Vegetable", "Tomato"), "Tomato", "round", (206, 40, 30), (220, 90, 50), (6.8, 6.0)),
    Variety(("Vegetable", "Pepper"), "Pepper Red", "lobed", (196, 26, 30), (214, 60, 40), (8.5, 9.5)),
    Variety(("Vegetable", "Pepper"), "Pepper Yellow", "lobed", (242, 190, 36), (248, 214, 90), (8.5, 9.5)),
    Variety(("Vegetable", "Pepper"), "Pepper Green", "lobed", (46, 110, 46), (80, 140, 60), (8.5, 9.5)),
    Variety(("Vegetable", "Potato"), "Potato", "lump", (184, 148, 96), (160, 124, 78), (9.5, 6.8)),
    Variety(("Vegetable", "Onion"), "Onion Yellow", "bulb", (200, 140, 66), (222, 172, 96), (7.5, 7.5)),
    Variety(("Vegetable", "Onion"), "Onion Red", "bulb", (120, 32, 70), (154, 66, 100), (7.5, 7.5)),
    Variety(("Vegetable", "Cucumber"), "Cucumber", "long", (44, 98, 44), (84, 130, 60), (24.0, 4.8)),
    Variety(("Vegetable", "Carrot"), "Carrot", "taper", (234, 120, 34), (240, 150, 66), (18.0, 3.8)),
    Variety(("Vegetable", "Broccoli"), "Broccoli", "florets", (66, 112, 52), (96, 140, 70), (11.0, 9.5)),
    Variety(("Vegetable", "Lettuce"), "Lettuce", "leafy", (120, 170, 66), (170, 206, 110), (15.0, 13.0)),
    Variety(("Fruit", "Grapes"), "Grapes Green", "cluster", (164, 186, 88), (196, 208, 130), (13.0, 13.0)),
    Variety(("Fruit", "Grapes"), "Grapes Red", "cluster", (96, 34, 66), (130, 60, 92), (13.0, 13.0)),
    Variety(("Vegetable", "Aubergine"), "Aubergine", "pear", (58, 28, 66), (84, 46, 90), (8.0, 15.0)),
    Variety(("Fruit", "Kiwi"), "Kiwi", "oval", (122, 94, 56), (142, 112, 70), (6.8, 5.6)),
)


@dataclass(frozen=True)
class Product:
    """One product. `kind`: a package or a produce shape; `colours`: ground, second and flavour; `seed`: of its artwork."""

    product_id: str
    name: str
    category: tuple[str, ...]
    produce: bool
    kind: str
    size: tuple[float, float]
    colours: tuple[Colour, ...]
    words: tuple[str, ...]
    seed: int
    gtin: str | None = None
    plu: str | None = None

    def taxonomy(self) -> dict[str, Any]:
        """The entry of taxonomy.json."""
        entry = product_entry(self.name, category=list(self.category), sold_by="weight" if self.produce else "piece")
        return entry | {"gtin": self.gtin, "plu": self.plu}


def assortment(count: int, *, produce_share: float, seed: int) -> tuple[Product, ...]:
    """`count` products, `produce_share` (0–1) of them produce (as far as there are varieties), the rest brand families."""
    rng = np.random.default_rng([seed, 1])
    grown = min(round(count * produce_share), len(VARIETIES))
    chosen = sorted(rng.permutation(len(VARIETIES))[:grown].tolist())
    fresh = [_produce(VARIETIES[index], index, seed) for index in chosen]
    packed: list[Product] = []
    while len(packed) < count - grown:
        packed += _family(len(packed) // FAMILY_SIZE, rng, seed)
    return (*packed[: count - grown], *fresh)


def check_digit(digits: str) -> str:
    """The last digit of a GTIN: weights 3 and 1 in turn from the right (GS1 General Specifications, 7.9)."""
    total = sum(int(digit) * (3 if place % 2 == 0 else 1) for place, digit in enumerate(reversed(digits)))
    return str(-total % 10)


def _family(number: int, rng: np.random.Generator, seed: int) -> list[Product]:
    kind = PACKAGES[number % len(PACKAGES)]
    brand = BRANDS[number % len(BRANDS)]
    sort = SORTS[kind][int(rng.integers(len(SORTS[kind])))]
    width, height = PACKAGE_SIZES[kind]
    scale = float(rng.uniform(0.85, 1.15))
    ground, second = _colour(rng), _colour(rng)
    members = []
    for place, flavour in enumerate(rng.permutation(len(FLAVOURS))[:FAMILY_SIZE].tolist()):
        word, colour = FLAVOURS[flavour]
        digits = f"20{number:05d}{place:05d}"
        members.append(
            Product(
                product_id=f"{brand}-{sort}-{word}-{number}".lower().replace(" ", "_"),
                name=f"{brand} {sort} {word}",
                category=("Packaged", sort, brand),
                produce=False,
                kind=kind,
                size=(width * scale, height * scale),
                colours=(ground, second, colour),
                words=(brand, sort, word),
                # One artwork a family: its members share the layout.
                seed=seed * 1000 + number,
                gtin=digits + check_digit(digits),
            )
        )
    return members


def _produce(variety: Variety, index: int, seed: int) -> Product:
    return Product(
        product_id=variety.name.lower().replace(" ", "_"),
        name=variety.name,
        category=("Produce", *variety.category),
        produce=True,
        kind=variety.shape,
        size=variety.size,
        colours=(variety.colour, variety.blush),
        words=(variety.name,),
        seed=seed * 1000 + 500 + index,
        plu=str(3900 + index),
    )


def _colour(rng: np.random.Generator) -> Colour:
    """A printing colour: saturated, dark or light, seldom grey."""
    channels = rng.permutation([int(rng.integers(10, 70)), int(rng.integers(60, 190)), int(rng.integers(170, 250))])
    return int(channels[0]), int(channels[1]), int(channels[2])
