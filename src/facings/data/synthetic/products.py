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
    """A sort of fruit or vegetable. `size`: width and height in cm, lying or standing as it does in a crate.

    `ripening`: its colours before and past its best, where they change much. `content`: name of the sort that a net or a bag of
    film holds.
    """

    category: tuple[str, ...]
    name: str
    shape: str
    colour: Colour
    blush: Colour
    size: tuple[float, float]
    ripening: tuple[Colour, Colour] | None = None
    content: str | None = None


UNRIPE, BROWN = (128, 162, 62), (112, 78, 42)
VARIETIES = (
    Variety(("Fruit", "Apple"), "Apple Red", "round", (178, 28, 38), (215, 140, 60), (7.5, 7.2)),
    Variety(("Fruit", "Apple"), "Apple Green", "round", (130, 180, 60), (170, 205, 95), (7.8, 7.4)),
    Variety(("Fruit", "Apple"), "Apple Pink", "round", (215, 105, 100), (226, 196, 110), (7.2, 6.8)),
    Variety(("Fruit", "Banana"), "Banana", "curved", (236, 202, 60), (226, 206, 80), (17.0, 8.0), (UNRIPE, BROWN)),
    Variety(("Fruit", "Citrus"), "Orange", "round", (240, 140, 30), (246, 165, 60), (8.0, 8.0)),
    Variety(("Fruit", "Citrus"), "Lemon", "oval", (244, 214, 60), (225, 205, 70), (8.2, 6.2)),
    Variety(("Fruit", "Citrus"), "Lime", "oval", (92, 146, 46), (130, 170, 70), (6.6, 5.4)),
    Variety(
        ("Fruit", "Pear"), "Pear Green", "pear", (168, 190, 80), (196, 200, 110), (7.0, 10.5), (UNRIPE, (206, 178, 86))
    ),
    Variety(("Fruit", "Pear"), "Pear Brown", "pear", (160, 116, 62), (182, 146, 82), (7.0, 10.5)),
    Variety(
        ("Vegetable", "Tomato"),
        "Tomato",
        "round",
        (206, 40, 30),
        (220, 90, 50),
        (6.8, 6.0),
        ((206, 140, 60), (160, 22, 26)),
    ),
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
    Variety(("Vegetable", "Tomato"), "Tomatoes on the Vine", "vine", (204, 34, 28), (222, 84, 44), (17.0, 11.0)),
    Variety(("Vegetable", "Carrot"), "Carrot Bunch", "bunch", (232, 116, 34), (70, 128, 48), (12.0, 27.0)),
    Variety(("Vegetable", "Mushroom"), "Mushroom", "cap", (236, 226, 208), (206, 184, 150), (4.6, 4.4)),
    Variety(("Fruit", "Melon"), "Watermelon Half", "half_seeds", (52, 96, 48), (214, 52, 58), (22.0, 21.0)),
    Variety(("Fruit", "Melon"), "Cantaloupe Half", "half_hollow", (190, 168, 104), (240, 162, 84), (14.0, 14.0)),
    Variety(("Vegetable", "Cabbage"), "Red Cabbage Half", "half_leaves", (92, 36, 84), (226, 206, 226), (15.0, 15.0)),
    Variety(
        ("Fruit", "Citrus"), "Oranges in a Net", "net", (236, 96, 30), (250, 200, 60), (19.0, 27.0), content="Orange"
    ),
    Variety(
        ("Fruit", "Citrus"), "Lemons in a Net", "net", (240, 216, 40), (60, 140, 60), (14.0, 21.0), content="Lemon"
    ),
    Variety(
        ("Vegetable", "Onion"),
        "Onions in a Net",
        "net",
        (206, 52, 44),
        (250, 246, 230),
        (17.0, 25.0),
        content="Onion Yellow",
    ),
    Variety(
        ("Vegetable", "Potato"),
        "Potatoes in a Net",
        "net",
        (240, 196, 60),
        (70, 120, 60),
        (22.0, 30.0),
        content="Potato",
    ),
    Variety(
        ("Fruit", "Apple"), "Apples in a Bag", "film", (226, 232, 230), (196, 30, 44), (20.0, 26.0), content="Apple Red"
    ),
    Variety(
        ("Vegetable", "Carrot"),
        "Carrots in a Bag",
        "film",
        (228, 234, 228),
        (40, 120, 60),
        (20.0, 25.0),
        content="Carrot",
    ),
    Variety(
        ("Vegetable", "Mushroom"),
        "Mushrooms in a Bag",
        "film",
        (232, 232, 236),
        (40, 60, 130),
        (15.0, 15.0),
        content="Mushroom",
    ),
)


@dataclass(frozen=True)
class Product:
    """One product. `kind`: a package or a produce shape; `colours`: ground, second and flavour, of produce skin
    and blush, and those before and past its best where they differ; `seed`: of its artwork. `content`: what a net or bag holds."""

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
    content: "Product | None" = None

    def taxonomy(self) -> dict[str, Any]:
        """The entry of taxonomy.json."""
        entry = product_entry(self.name, category=list(self.category), sold_by="weight" if self.plu else "piece")
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
    """Loose goods have a PLU; what is packed in a net or a bag has a GTIN."""
    inside = next((number for number, other in enumerate(VARIETIES) if other.name == variety.content), None)
    digits = f"21{index:05d}00000"
    return Product(
        product_id=variety.name.lower().replace(" ", "_"),
        name=variety.name,
        category=("Produce", *variety.category),
        produce=True,
        kind=variety.shape,
        size=variety.size,
        colours=(variety.colour, variety.blush, *(variety.ripening or ())),
        words=(variety.name,),
        seed=seed * 1000 + 500 + index,
        gtin=None if inside is None else digits + check_digit(digits),
        plu=str(3900 + index) if inside is None else None,
        content=None if inside is None else _produce(VARIETIES[inside], inside, seed),
    )


def _colour(rng: np.random.Generator) -> Colour:
    """A printing colour: saturated, dark or light, seldom grey."""
    channels = rng.permutation([int(rng.integers(10, 70)), int(rng.integers(60, 190)), int(rng.integers(170, 250))])
    return int(channels[0]), int(channels[1]), int(channels[2])
