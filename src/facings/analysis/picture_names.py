"""What pictures are called where two folders may hold one of the same name. Knows nothing of what is in them."""

import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath


def picture_names(paths: Sequence[Path]) -> list[str]:
    """Each path from the folder on in which all pictures lie, so that two of one name in two folders stay apart.

    >>> picture_names([Path("shop/a/1.jpg"), Path("shop/b/1.jpg")]), picture_names([Path("shop/a/1.jpg")])
    (['a/1.jpg', 'b/1.jpg'], ['1.jpg'])
    """
    whole = [path.absolute() for path in paths]
    home = os.path.commonpath([path.parent for path in whole]) if whole else ""
    return [path.relative_to(home).as_posix() for path in whole]


def drawn_names(names: Sequence[str]) -> list[str]:
    """File names of JPEGs made of pictures of these names: the ending replaced, or where that makes two alike added.

    >>> drawn_names(["a/1.png", "b/1.png", "b/2.png", "b/2.jpg"])
    ['a/1.jpg', 'b/1.jpg', 'b/2.png.jpg', 'b/2.jpg.jpg']
    """
    short = [str(PurePosixPath(name).with_suffix(".jpg")) for name in names]
    taken = Counter(short)
    return [own if taken[own] == 1 else f"{name}.jpg" for name, own in zip(names, short, strict=True)]
