"""Cards of sets that need no adapter: COCO as they are, or made here. Knows no format."""

from collections.abc import Mapping

from facings.data.adapters import base
from facings.data.adapters.base import Card

OUTLINES = "images/*.jpg\ninstances_train.json, instances_val.json"
CARDS = (
    Card(
        name="synthetic",
        title="synthetic shelves",
        task="detection",
        licence="yours",
        commercial="yes",
        images="as many as asked; 320 / 60 by default",
        objects="20 to 60 a scene by default, with masks and product ids",
        classes="as many products as asked; 48 by default",
        get="`facings synthesize name=quickstart`",
        layout="NAME/images/{train,val}/NNNNNN.jpg\nNAME/instances_{train,val}.json\nNAME/recognition.csv",
        faults=(),
        source="made here",
    ),
    Card(
        name="ai231_grocery_masks",
        title="ai231 grocery masks",
        task="detection",
        licence="MIT, © 2025 Joshua Dela Cruz",
        commercial="yes",
        images="693 / 153, longest side 512",
        objects="1411 / 361 outlines",
        classes="24: 22 packaged goods, garlic, lemon",
        get="the validation pictures of the repository grocery-detection-segmentation-webapp of josh-rdc, as COCO",
        layout=OUTLINES,
        faults=("further facings and heaps of garlic are unlabelled", "dark and blurred photos"),
        source="AI 231, University of the Philippines Diliman, 2024-25",
    ),
    Card(
        name="fruits300_masks",
        title="fruits300",
        task="detection",
        licence="none stated; not to be redistributed",
        commercial="ask",
        images="200 / 40 web photos",
        objects="536 / 97 outlines",
        classes="3: apple, banana, orange",
        get="the polygons of the repository Fruits-and-Mask-RCNN of TenaciousTapioca, as COCO",
        layout=OUTLINES,
        faults=("a hand of bananas is one outline, leaves lie inside it", "halves and slices carry the fruit's class"),
        source="TenaciousTapioca: Fruits-and-Mask-RCNN",
    ),
    Card(
        name="laboro_tomato_masks",
        title="Laboro Tomato",
        task="detection",
        licence="CC BY-NC-SA 4.0, © Laboro.AI",
        commercial="no",
        images="79 / 27 greenhouse photos",
        objects="1293 / 276 outlines, up to 62 a photo",
        classes="6 of size and ripeness",
        get="a part (205 of 804 photos) of the repository LaboroTomato of Laboro.AI, as COCO",
        layout=OUTLINES,
        faults=("a class is size and ripeness together", "ripeness is judged by eye"),
        source="Laboro.AI: LaboroTomato",
    ),
    Card(
        name="fruits_nuts_masks",
        title="fruits and nuts",
        task="detection",
        licence="MIT text",
        commercial="yes",
        images="13 / 5 photos 800 × 600",
        objects="117 / 48 outlines",
        classes="3: date, fig, hazelnut",
        get="the fruits_nuts pictures of Tony607, as COCO",
        layout="images/*.jpg\ninstances_train.json, instances_test.json",
        faults=("wrapped sweets lie between and are unlabelled", "5 test photos: every interval is wide"),
        source="Tony607: fruits_nuts",
    ),
    Card(
        name="fridge_products",
        title="fridge products",
        task="detection",
        licence="MIT, © Microsoft",
        commercial="yes",
        images="25 / 5, a fixed camera in a fridge",
        objects="180 / 45",
        classes="8",
        get="the fridge pictures of Microsoft's Azure object detection example, as COCO",
        layout="images/*.jpg\ninstances_train.json, instances_test.json",
        faults=("5 test photos: every interval is wide",),
        source="Microsoft, Azure examples",
    ),
)


def every_card() -> Mapping[str, Card]:
    """The adapters' cards and those above, by the dataset's name."""
    return {card.name: card for card in (*base.cards().values(), *CARDS)}
