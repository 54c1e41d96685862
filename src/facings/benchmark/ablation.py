"""A recipe and its variants, each of which differs in one thing. Knows nothing of what is trained."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from facings.errors import ConfigError

# The recipe itself.
BASE = "all"


@dataclass(frozen=True)
class Variant:
    """`label`: what is different; `scenes` and `training`: overrides of `facings synthesize` and `facings train`; a word in braces
    is the data folder; `seed` of both."""

    name: str
    label: str
    scenes: tuple[str, ...] = ()
    training: tuple[str, ...] = ()
    seed: int = 0


def chosen_variants(variants: Mapping[str, Variant], names: Sequence[str]) -> list[Variant]:
    """Those of `names`, in the table's order, always with the whole recipe; all of them where none is named.

    Raises ConfigError for an unknown one.
    """
    if unknown := [name for name in names if name not in variants]:
        raise ConfigError(f"--only {unknown[0]}: unknown; known are {', '.join(variants)}")
    return [one for one in variants.values() if not names or one.name in names or one.name == BASE]
