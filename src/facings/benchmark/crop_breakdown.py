"""Which crops a bundle gets wrong, by product, category and pair, and what to try. Knows nothing of pictures or pages."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from facings.analysis.attribution import FATES, are_siblings, errors_of
from facings.analysis.findings import Finding, findings_of_counts
from facings.benchmark.breakdown import COLUMNS
from facings.benchmark.crops import CropAnswers
from facings.metrics.bootstrap import share_interval
from facings.runtime.standard import STATUSES

# Of one pair of products, the most queries that are shown.
OF_A_PAIR = 2
# With so few views of a product more of them are the first thing to try.
FEW_VIEWS = 2
NO_ERROR = ("right", "rightly unknown")
Numbers = NDArray[np.int64]


def picture_groups(crops: CropAnswers) -> list[Numbers]:
    """Places of the queries of each picture: they hang together, and are drawn together."""
    number = {path: place for place, path in enumerate(dict.fromkeys(query.path for query in crops.queries))}
    return grouped(np.array([number[query.path] for query in crops.queries], np.int64))


def grouped(keys: Numbers) -> list[Numbers]:
    """Places of each key, keys rising.

    >>> [places.tolist() for places in grouped(np.array([3, 1, 3]))]
    [[1], [0, 2]]
    """
    order = np.argsort(keys, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(keys[order])) + 1) if len(keys) else []


def crop_breakdown(crops: CropAnswers, views: Mapping[str, int], *, seed: int = 0) -> dict[str, Any]:
    """Of `benchmark.json`: `crops` (how many), `stages`, `errors`, `findings`, `products`, `categories`, `pairs`, `worst`.

    `views`: how many each enrolled product has. Shares are of crops of enrolled products, their intervals are drawn over pictures.
    """
    fates = crops.fates()
    stages = Counter(fates)
    errors = errors_of(stages)
    findings = [_told(finding, crops, fates) for finding in findings_of_counts(errors, of="crops", whole=len(crops))]
    return {
        "crops": len(crops),
        "stages": dict(stages.most_common()),
        "errors": errors,
        "findings": [asdict(finding) for finding in findings],
        "products": product_rows(crops, fates, views, seed=seed),
        "categories": category_rows(crops, fates, seed=seed),
        "pairs": pair_rows(crops, views),
        "worst": [worst_row(crops, place) for place in worst_queries(crops)],
    }


def product_rows(
    crops: CropAnswers, fates: Sequence[str], views: Mapping[str, int], *, seed: int = 0
) -> list[dict[str, Any]]:
    """A row a product that was asked about, most errors first: `product`, `name`, `category`, `enrolled`, `views`, `crops`, `r1`
    with `interval`, how many decisions are `right`, `wrong`, `unknown`, `ambiguous`, `error_share` 0–1, and `nearest`, the other
    product that is nearest most often."""
    rows = []
    catalogue = crops.catalogue
    for product, places in _by(crops, [query.product_id for query in crops.queries]).items():
        others = Counter(crops.nearest[places[crops.ranks[places] != 0], 0].tolist())
        row = {
            "product": product,
            "name": catalogue.name(product),
            "category": "/".join(catalogue.categories.get(product, ())),
            "enrolled": product in catalogue.enrolled,
            "views": views.get(product, 0),
            **_figures(crops, fates, places, seed),
            "nearest": catalogue.name(crops.items[others.most_common(1)[0][0]]) if others else None,
        }
        rows.append(row)
    return sorted(rows, key=lambda row: (row["right"] - row["crops"], row["product"]))


def category_rows(crops: CropAnswers, fates: Sequence[str], *, seed: int = 0) -> list[dict[str, Any]]:
    """The same of each category, from coarse to fine, its products' number as `products`; nothing where products have none."""
    paths = ["/".join(crops.catalogue.categories.get(query.product_id, ())) for query in crops.queries]
    rows = []
    for category, places in _by(crops, paths).items():
        if category:
            products = len({crops.queries[place].product_id for place in places.tolist()})
            rows.append({"category": category, "products": products, **_figures(crops, fates, places, seed)})
    return sorted(rows, key=lambda row: (row["right"] - row["crops"], row["category"]))


def pair_rows(crops: CropAnswers, views: Mapping[str, int]) -> list[dict[str, Any]]:
    """Each enrolled product with another one that its crops are nearest to, the most frequent first: `truth`, `answer`, their
    names, `count`, `of` (its crops), `named`: how many of the count were given that name, `back`: how often the other is taken for
    it, `siblings`, `advice`."""
    asked = Counter(query.product_id for query in crops.queries)
    count: Counter[tuple[str, str]] = Counter()
    named: Counter[tuple[str, str]] = Counter()
    for place in np.flatnonzero((crops.ranks != 0) & (crops.ranks != -2)).tolist():
        pair = crops.queries[place].product_id, crops.items[int(crops.nearest[place, 0])]
        count[pair] += 1
        named[pair] += int(crops.named[place]) == int(crops.nearest[place, 0])
    rows = []
    for (truth, answer), times in count.items():
        siblings = are_siblings(truth, answer, crops.catalogue.categories)
        back = count[answer, truth]
        rows.append(
            {
                "truth": truth,
                "answer": answer,
                "truth_name": crops.catalogue.name(truth),
                "answer_name": crops.catalogue.name(answer),
                "count": times,
                "of": asked[truth],
                "named": named[truth, answer],
                "back": back,
                "siblings": siblings,
                "advice": pair_advice(views.get(truth, 0), back=back, siblings=siblings),
            }
        )
    return sorted(rows, key=lambda row: (-row["count"], -row["named"], row["truth"], row["answer"]))


def pair_advice(views: int, *, back: int, siblings: bool) -> str:
    """What to try where one product is taken for another. `views`: enrolled of it; `back`: the other way round."""
    if siblings:
        way = "both ways; " if back else ""
        told = (
            f"{way}the category is right: enroll views that show what differs, or answer with the category (a standard)"
        )
    elif back:
        told = "both ways: enroll views of both in one light, show size in the crop, or give both one category"
    else:
        told = "look at the wrong product's views: one may show the other, or the ground of this crop"
    if views > FEW_VIEWS:
        return told
    return f"enroll more views of it as the cameras see it (it has {views}); {told}"


def worst_queries(crops: CropAnswers, *, most: int = 12) -> list[int]:
    """Places of the errors that say most, `OF_A_PAIR` of one pair at most: named wrongly first, and of the others, where there are
    some, a third: nearest to another product but not named, then refused though nearest to its own. Of each the clearest first: by
    how much nearer the wrong product is than the right one."""
    wrong = [place for place, fate in enumerate(crops.fates()) if fate not in NO_ERROR]
    lead = np.nan_to_num(crops.similarities[:, 0] - crops.right_similarity, nan=-1.0)
    refused = crops.ranks == 0
    # Of those that were refused though nearest to their own, the least similar.
    order = sorted(wrong, key=lambda place: (refused[place], -lead[place], crops.similarities[place, 0], place))
    taken: Counter[tuple[str, int]] = Counter()
    named: list[int] = []
    others: list[int] = []
    for place in order:
        pair = crops.queries[place].product_id, int(crops.nearest[place, 0])
        taken[pair] += 1
        if taken[pair] <= OF_A_PAIR:
            (named if crops.named[place] >= 0 else others).append(place)
    kept = named[: most - min(len(others), most // 3)]
    return kept + others[: most - len(kept)]


def worst_row(crops: CropAnswers, place: int) -> dict[str, Any]:
    """What is told of one query: `image` (path), `box`, `product`, `name`, `status`, `fate`, `rank`, `right_similarity`, and
    `other`, the product that it was named or is nearest to, of those that it is not, with `other_name`, `other_similarity`."""
    query, catalogue = crops.queries[place], crops.catalogue
    found = [crops.items[item] for item in crops.nearest[place].tolist()]
    similarity = dict(zip(found, crops.similarities[place].tolist(), strict=True))
    named = crops.items[int(crops.named[place])] if crops.named[place] >= 0 else None
    other = named if named is not None else next((name for name in found if name != query.product_id), None)
    return {
        "image": query.path.as_posix(),
        "box": query.box,
        "product": query.product_id,
        "name": catalogue.name(query.product_id),
        "status": STATUSES[int(crops.status[place])],
        "fate": FATES[int(crops.fate[place])],
        "rank": int(crops.ranks[place]),
        "right_similarity": float(crops.right_similarity[place]),
        "other": other,
        "other_name": None if other is None else catalogue.name(other),
        "other_similarity": None if other is None else similarity.get(other),
    }


def _by(crops: CropAnswers, keys: Sequence[str]) -> dict[str, Numbers]:
    """Places of each key."""
    names = sorted(set(keys))
    number = {name: place for place, name in enumerate(names)}
    return dict(zip(names, grouped(np.array([number[key] for key in keys], np.int64)), strict=True))


def _figures(crops: CropAnswers, fates: Sequence[str], places: Numbers, seed: int) -> dict[str, Any]:
    """Of the queries at `places`. One picture alone has no interval: nothing could be drawn anew."""
    own = Counter(fates[place] for place in places.tolist())
    counts = {name: sum(own[fate] for fate in of) for name, of in COLUMNS.items() if name != "lost"}
    enrolled = places[crops.ranks[places] != -2]
    first = crops.ranks[enrolled] == 0
    figures: dict[str, Any] = {"crops": len(places), "r1": None, "interval": None}
    if len(enrolled):
        figures["r1"] = float(first.mean())
        pictures = list(dict.fromkeys(crops.queries[place].path for place in enrolled.tolist()))
        number = {path: place for place, path in enumerate(pictures)}
        group = np.array([number[crops.queries[place].path] for place in enrolled.tolist()], np.int64)
        if len(pictures) > 1:
            parts, wholes = (np.bincount(group[kept], minlength=len(pictures)) for kept in (first, slice(None)))
            figures["interval"] = share_interval(parts, wholes, seed=seed)
    return figures | counts | {"error_share": 1 - counts["right"] / len(places)}


def _told(finding: Finding, crops: CropAnswers, fates: Sequence[str]) -> Finding:
    """The finding, with the product that it is most about, and what that one is called where it is named."""
    places = [place for place, fate in enumerate(fates) if fate == finding.name]
    pairs = Counter((crops.queries[place].product_id, int(crops.named[place])) for place in places)
    (product, named), count = pairs.most_common(1)[0]
    of = sum(query.product_id == product for query in crops.queries)
    called = f", called {crops.catalogue.name(crops.items[named])}" if named >= 0 else ""
    text = f"{finding.text}; {crops.catalogue.name(product)} most: {count} of its {of}{called}"
    return replace(finding, text=text)
