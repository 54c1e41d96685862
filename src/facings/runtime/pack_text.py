"""Words on packs: read from a crop, they choose among the products that the picture cannot tell apart.

Knows nothing of vectors or error rates: whether a crop shows an enrolled product at all is decided before, by the embedding
alone, so that the rate of false accepts stays as chosen. Reading wants `pip install facings[text]` (RapidOCR, whose models lie in
the package) and takes a good part of a second a crop, so only what is ambiguous is read.
"""

import json
import math
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from facings.errors import ConfigError, DataError
from facings.runtime.crops import cut_crop
from facings.strict_json import parse
from facings.structures import Decision, Item

SCHEMA = "facings.words/1"
SHORTEST = 3
# How alike two words must be, 0 to 1, to be the same one, misread.
SAME_WORD = 0.8
# Similarity that a full agreement of words is worth, and the lead with which a candidate is settled on. Goods that the embedder
# was not trained on asked for 0.5, the most that was tried, trained ones for 0 to 0.2 (results/emb-text.json).
WEIGHT, LEAD = 0.2, 0.05
# Letters of packs in a frame are small; the reader finds those of about this height in pixels.
READ_SIDE = 480


@dataclass(frozen=True)
class ReadWord:
    """A word as `words_of` gives it, and how sure the reader is of it, 0 to 1."""

    text: str
    confidence: float


class Reader(Protocol):
    """Whatever reads a crop."""

    def read(self, crop: NDArray[np.uint8]) -> tuple[ReadWord, ...]:
        """(H, W, 3) uint8 RGB → its words."""
        ...


class PackReader:
    """RapidOCR over ONNX Runtime. Raises ConfigError where the extra is not installed."""

    def __init__(self, *, threads: int | None = None) -> None:
        try:
            from rapidocr import RapidOCR
        except ImportError as fault:
            raise ConfigError("reading packs wants rapidocr: pip install facings[text]") from fault
        self._engine = RapidOCR(
            params={
                "Global.log_level": "error",
                "EngineConfig.onnxruntime.intra_op_num_threads": threads or -1,
                "Det.limit_side_len": READ_SIDE,
            }
        )

    def read(self, crop: NDArray[np.uint8]) -> tuple[ReadWord, ...]:
        """(H, W, 3) uint8 RGB → its words, as they stand from top to bottom."""
        found: Any = self._engine(np.ascontiguousarray(crop[..., ::-1]))
        if not found.txts:
            return ()
        return tuple(
            ReadWord(word, float(score))
            for text, score in zip(found.txts, found.scores, strict=True)
            for word in words_of(text)
        )


def words_of(text: str) -> list[str]:
    """Words of three letters or more, or of digits and letters, without case and accents.

    >>> words_of("Kartupeļu čipsi LAY'S, 1.5 % 140g")
    ['kartupelu', 'cipsi', 'lays', '140g']
    """
    plain = "".join(c for c in unicodedata.normalize("NFKD", text.casefold()) if not unicodedata.combining(c))
    return [word for word in re.findall(r"\w+", re.sub(r"['’`´]", "", plain)) if len(word) >= SHORTEST]


class PackWords:
    """The words of each product, and how well those read on a crop agree with them.

    A word counts by its rarity among the products (inverse document frequency: Spärck Jones, "A statistical interpretation of
    term specificity", 1972): what stands on every pack tells nothing.
    """

    def __init__(self, words: Mapping[str, Iterable[str]]) -> None:
        self._words = {product: tuple(sorted(set(found))) for product, found in words.items()}
        frequency = Counter(word for found in self._words.values() for word in found)
        self._rarity = {word: math.log((1 + len(self._words)) / count) for word, count in frequency.items()}

    @classmethod
    def named(cls, names: Mapping[str, str], read: Mapping[str, Iterable[str]] | None = None) -> "PackWords":
        """Those of the products' names, and with them `read`, those that were read on their packs."""
        read = read or {}
        return cls({product: [*words_of(name), *read.get(product, ())] for product, name in names.items()})

    def agreement(self, read: Sequence[ReadWord], products: Sequence[str]) -> NDArray[np.float32]:
        """(P,) 0 to 1: the share of what was read, by rarity and confidence, that stands on each product; 0 where nothing known
        was read. The rarity of a word that was read is that of the most alike word of the products asked for."""
        from rapidfuzz.fuzz import ratio

        met = np.zeros((len(read), len(products)), np.float32)
        for row, word in enumerate(read):
            for column, product in enumerate(products):
                alike = [(ratio(word.text, own) / 100, self._rarity[own]) for own in self._words.get(product, ())]
                met[row, column] = max(
                    (share * rarity * word.confidence for share, rarity in alike if share >= SAME_WORD), default=0.0
                )
        most = met.max(axis=1).sum() if met.size else 0.0
        return met.sum(axis=0) / most if most > 0 else np.zeros(len(products), np.float32)


def joined(
    similarities: NDArray[np.float32], agreement: NDArray[np.float32], weight: float = WEIGHT
) -> NDArray[np.float32]:
    """(k,) similarities of candidates, moved by what their words agree.

    >>> joined(np.float32([0.9, 0.88]), np.float32([0.0, 1.0]), weight=0.25).tolist()
    [0.8999999761581421, 1.1299999952316284]
    """
    return similarities + np.float32(weight) * agreement


def settled(
    image: NDArray[np.uint8],
    decision: Decision,
    reader: Reader,
    words: PackWords,
    *,
    margin: float = 0.0,
    weight: float = WEIGHT,
    lead: float = LEAD,
) -> Decision:
    """The decision with its ambiguous items read.

    Their candidates are put in the order of `joined`; where the first then leads by `lead` or more and words speak for it, the
    item becomes known. All other items stay as they are. `image` (H, W, 3) uint8 RGB is the frame; `margin`: how much of a box's
    sides is added around it.
    """
    return replace(
        decision,
        items=tuple(
            _settled(item, reader.read(cut_crop(image, np.array(item.box, np.float32), margin)), words, weight, lead)
            if item.status == "ambiguous" and len(item.candidates) > 1
            else item
            for item in decision.items
        ),
    )


def _settled(item: Item, read: Sequence[ReadWord], words: PackWords, weight: float, lead: float) -> Item:
    agreement = words.agreement(read, [candidate.product_id for candidate in item.candidates])
    moved = joined(np.array([c.similarity for c in item.candidates], np.float32), agreement, weight)
    order = np.argsort(-moved, kind="stable")
    candidates = tuple(item.candidates[index] for index in order)
    first, second = order[:2]
    if agreement[first] > agreement[second] and moved[first] - moved[second] >= lead:
        return replace(item, status="known", product_id=candidates[0].product_id, candidates=candidates)
    return replace(item, candidates=candidates)


def read_words(path: Path) -> dict[str, tuple[str, ...]]:
    """Words by product id, as `write_words` stored them. Raises DataError for a file that is something else."""
    try:
        content = parse(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as fault:
        raise DataError(f"{path}: {fault}") from fault
    if not isinstance(content, dict) or content.get("schema") != SCHEMA:
        raise DataError(f"{path}: expected schema {SCHEMA!r}; make it with `facings words`")
    products = content.get("products")
    if not isinstance(products, dict) or not all(
        isinstance(found, list) and all(isinstance(word, str) for word in found) for found in products.values()
    ):
        raise DataError(f"{path}: field products: expected product ids with lists of words")
    return {product: tuple(found) for product, found in products.items()}


def words_json(words: Mapping[str, Iterable[str]]) -> str:
    """The text of a file that `read_words` reads."""
    content = {"schema": SCHEMA, "products": {product: sorted(set(found)) for product, found in words.items()}}
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"
