"""What a mistyped name probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(word: str, names: Iterable[str]) -> str:
    """`; nearest valid names: a, b`, or an empty string where nothing is near.

    A dotted key is also compared by its last part, so that a right leaf in a wrong group is found.
    """
    names = sorted(set(names))
    found = get_close_matches(word, names, n=3, cutoff=0.6)
    leaf = word.rsplit(".", 1)[-1]
    for name in names:
        if len(found) < 4 and name not in found and get_close_matches(leaf, [name.rsplit(".", 1)[-1]], cutoff=0.8):
            found.append(name)
    return f"; nearest valid names: {', '.join(found)}" if found else ""
