"""Pascal VOC out: `Annotations/*.xml`, `JPEGImages/`, `ImageSets/Main/SPLIT.txt`. Everingham et al., IJCV 2010.

Pixels count from 1 and both ends are inside: xmin = x1 + 1, xmax = x2, rounded to whole pixels; a box keeps a pixel at least.
"""

from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

from facings.data.formats.instances import Copy, Picture, Split, class_names, free_name, pictures, place
from facings.files import atomic_write


def write_voc(splits: Mapping[str, Split], output: Path, *, copy: Copy = "copy") -> list[Path]:
    """Write every split; returns the XML files. Outlines cannot be said in this format. Raises DataError."""
    names = class_names(splits)
    written: list[Path] = []
    taken: set[str] = set()
    for name, split in splits.items():
        stems = []
        for picture in pictures(split.annotations):
            # All splits share a folder, so that one's pictures may have another's names.
            target = Path(free_name(picture.file_name, taken, name))
            place(split.images / picture.file_name, output / "JPEGImages" / target, copy)
            path = output / "Annotations" / f"{target.stem}.xml"
            atomic_write(path, _xml(picture, target.name, names))
            stems.append(target.stem)
            written.append(path)
        atomic_write(output / "ImageSets" / "Main" / f"{name}.txt", "".join(f"{stem}\n" for stem in stems))
    return written


def _xml(picture: Picture, name: str, names: Mapping[int, str]) -> str:
    root = ElementTree.Element("annotation")
    _leaf(root, "folder", "JPEGImages")
    _leaf(root, "filename", name)
    size = ElementTree.SubElement(root, "size")
    for key, value in (("width", picture.width), ("height", picture.height), ("depth", 3)):
        _leaf(size, key, value)
    for annotation in picture.annotations:
        node = ElementTree.SubElement(root, "object")
        _leaf(node, "name", names[annotation["category_id"]])
        _leaf(node, "difficult", int(bool(annotation.get("difficult"))))
        x, y, w, h = annotation["bbox"]
        left, top = round(x) + 1, round(y) + 1
        box = ElementTree.SubElement(node, "bndbox")
        corners = (left, top, max(round(x + w), left), max(round(y + h), top))
        for key, value in zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True):
            _leaf(box, key, value)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode") + "\n"


def _leaf(parent: ElementTree.Element, name: str, value: object) -> None:
    ElementTree.SubElement(parent, name).text = str(value)
