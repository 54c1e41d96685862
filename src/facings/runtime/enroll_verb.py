"""`facings enroll` and `facings remove`: options in, sentences or JSON out."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from facings.errors import ConfigError
from facings.runtime.bundle import Bundle
from facings.runtime.enrolment import Outcome, Proposal, Request, Settings, enroll
from facings.runtime.enrolment_effect import Effect
from facings.runtime.enrolment_table import known_category, read_categories, read_requests
from facings.runtime.gallery import Gallery
from facings.runtime.parsing import Parser, count, find_pictures, key_options
from facings.runtime.product_catalogue import SOLD_BY
from facings.runtime.recognizer import Recognizer
from facings.suggestions import nearest

SHOWN = 10


def enroll_parser() -> Parser:
    parser = Parser("facings enroll", description="Add products to a bundle's gallery from photos, without training.")
    parser.add_argument(
        "pictures", type=Path, nargs="*", metavar="PHOTO", help="photos of this product, or folders of them"
    )
    parser.add_argument("--product", help="product id; an id that is enrolled gets further views")
    parser.add_argument("--table", type=Path, help="a CSV file of many products instead, enrolled in one commit")
    parser.add_argument("--name", help="what a person calls it")
    parser.add_argument("--category", help="from coarse to fine, e.g. Fruit/Apple")
    parser.add_argument("--categories", type=Path, help="a CSV file category,parent: others are refused")
    parser.add_argument("--gtin", help="number below the bar code")
    parser.add_argument("--plu", help="price look-up code of loose produce")
    parser.add_argument("--sold-by", choices=SOLD_BY, help="default: piece")
    where = parser.add_mutually_exclusive_group()
    where.add_argument(
        "--whole", action="store_true", help="the whole photo is the product (default: it is looked for)"
    )
    where.add_argument(
        "--find", action="store_true", help="cut out the surest detection, whatever else the photo shows"
    )
    parser.add_argument("--views", type=count, default=8, help="at most so many new views a product (default: 8)")
    parser.add_argument("--replace", action="store_true", help="the new views stand for the old ones")
    parser.add_argument("--force", action="store_true", help="take unfit photos and twins too; the version records it")
    parser.add_argument(
        "--keep-crops", action=argparse.BooleanOptionalAction, default=None,
        help="keep the views' pictures in the gallery, for `facings gallery NEW_BUNDLE reembed` (default: as the gallery does)",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="say what would happen, change nothing")
    parser.add_argument("--author", help="kept in the gallery's version (default: the user's name)")
    parser.add_argument("--reason", default="enroll", help="kept in the gallery's version")
    key_options(parser)
    parser.add_argument("--threads", type=count, help="threads of the runtime (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print the outcome as JSON")
    return parser


def run_enroll(options: argparse.Namespace) -> int:
    """A new gallery version with the products' views. Returns 1 when a product was refused."""
    if (options.table is None) == (options.product is None):
        raise ConfigError("give --product ID with its photos, or --table FILE.csv")
    # The gallery's vectors are the float graph's, whichever is used to look for products later.
    bundle = Bundle.open(
        options.bundle, precision="float32", require_key=options.require_key, signed_gallery=options.signed_gallery
    )
    recognizer = Recognizer(bundle, threads=options.threads)
    if recognizer.gallery is None:
        raise ConfigError(f"{options.bundle}: has no gallery; export it with an embedder and gallery.table")
    settings = Settings(
        views=options.views,
        locate="whole" if options.whole else "surest" if options.find else "central",
        force=options.force,
        keep_crops=options.keep_crops,
    )
    outcome = enroll(
        recognizer, _requests(options, bundle, recognizer.gallery), settings,
        author=options.author, reason=options.reason, dry_run=options.dry_run,
    )  # fmt: skip
    if options.json:
        sys.stdout.write(json.dumps(outcome_content(outcome, dry_run=options.dry_run), indent=1) + "\n")
    else:
        sys.stdout.write("".join(f"{line}\n" for line in sentences(outcome, dry_run=options.dry_run)))
    return 1 if outcome.refused else 0


def _requests(options: argparse.Namespace, bundle: Bundle, gallery: Gallery) -> list[Request]:
    categories = read_categories(options.categories) if options.categories else None
    if options.table is not None:
        alone = {"PHOTO": options.pictures, "--name": options.name, "--category": options.category}
        alone |= {"--gtin": options.gtin, "--plu": options.plu, "--sold-by": options.sold_by}
        if strange := [name for name, value in alone.items() if value]:
            raise ConfigError(f"{strange[0]} is about one product; with --table it stands in the table")
        return read_requests(options.table, categories=categories, replace=options.replace)
    if not options.pictures:
        raise ConfigError(f"product {options.product!r}: give photos of it, or folders of them")
    given: dict[str, Any] = {"name": options.name, "sold_by": options.sold_by, "gtin": options.gtin, "plu": options.plu}
    given = {name: value for name, value in given.items() if value is not None}
    if options.category is not None:
        given["category"] = list(known_category(options.category, categories))
    details = None
    enrolled = options.product in gallery.content.items
    if given or not enrolled:
        empty = {"name": options.product, "category": [], "sold_by": "piece", "gtin": None, "plu": None}
        details = empty | (dict(bundle.product(options.product, gallery)) if enrolled else {}) | given
    return [Request(options.product, tuple(find_pictures(options.pictures)), details, options.replace)]


def sentences(outcome: Outcome, *, dry_run: bool) -> list[str]:
    """The outcome for a person."""
    lines = []
    for proposal in outcome.proposals:
        lines += _of_product(proposal)
    if outcome.gallery is None or outcome.effect is None:
        return [*lines, "nothing was enrolled; the gallery is as it was"]
    after = outcome.gallery
    state = f"dry run: version {after.manifest['parent']} stays" if dry_run else f"gallery version {after.version}"
    lines.append(f"{state}{' and would have' if dry_run else ' has'} {len(after.items)} products")
    return lines + effect_sentences(outcome.effect)


def _of_product(proposal: Proposal) -> list[str]:
    name = proposal.request.product_id
    lines = []
    for photo in proposal.photos:
        if photo.faults:
            taken = "taken by force" if photo.used else "left out"
            lines += [f"{name}: {photo.path}: {taken}: {fault}" for fault in photo.faults]
    if proposal.refused is not None:
        return [*lines, f"{name}: REFUSED: {proposal.refused}"]
    used = sum(photo.used for photo in proposal.photos)
    return [*lines, *(f"{name}: by force: {why}" for why in proposal.overruled), f"{name}: {used} views added"]


def effect_sentences(found: Effect) -> list[str]:
    """What a change of the gallery does to the answers, for a person."""
    rate = f"{100 * found.false_accept_rate:g} % of unknown goods"
    lines = [f"threshold at {rate}: {found.threshold_before:.4f} before, {found.threshold_after:.4f} after"]
    if found.coverage is not None:
        lines.append(
            f"answers for {100 * found.coverage:g} % of enrolled goods: all within {found.gap_before:.4f} of the most similar "
            f"before, {found.gap_after:.4f} after"
        )
    if found.views:
        missed = "" if found.coverage is None else f", {100 * found.uncovered:.1f} % without it among the answers"
        lines.append(
            f"expected of the {found.views} views, each left out in turn: {100 * found.mistaken:.1f} % taken for another "
            f"product, {100 * found.unsure:.1f} % below the threshold{missed}"
        )
    for pair in found.confusions[:SHOWN]:
        lines.append(f"new confusion: {pair.product_id} and {pair.other} (similarity {pair.similarity:.3f})")
    if len(found.confusions) > SHOWN:
        lines.append(f"… and {len(found.confusions) - SHOWN} confusions more (--json lists all)")
    return lines


def outcome_content(outcome: Outcome, *, dry_run: bool) -> dict[str, Any]:
    """The outcome for a program: `facings.enrolment/1`."""
    products = [
        {
            "product_id": proposal.request.product_id,
            "refused": proposal.refused,
            "overruled": list(proposal.overruled),
            "views": sum(photo.used for photo in proposal.photos),
            "photos": [
                {"path": str(photo.path), "box": photo.box, "used": photo.used, "faults": list(photo.faults)}
                for photo in proposal.photos
            ],
        }
        for proposal in outcome.proposals
    ]
    return {
        "schema": "facings.enrolment/1",
        "dry_run": dry_run,
        "gallery_version": None if outcome.gallery is None or dry_run else outcome.gallery.version,
        "products": products,
        "effect": None if outcome.effect is None else outcome.effect.to_dict(),
    }


def remove_parser() -> Parser:
    parser = Parser("facings remove", description="Take a product out of a bundle's gallery; older versions keep it.")
    parser.add_argument("--product", required=True, help="product id")
    parser.add_argument("--author", help="kept in the gallery's version (default: the user's name)")
    parser.add_argument("--reason", default="remove", help="kept in the gallery's version")
    return parser


def run_remove(options: argparse.Namespace) -> int:
    """A new gallery version without the product."""
    gallery = Bundle.open(options.bundle).gallery()
    enrolled = gallery.content.items
    if options.product not in enrolled:
        near = nearest(options.product, enrolled)
        raise ConfigError(f"product {options.product!r} is not in gallery version {gallery.version}{near}")
    left = gallery.remove(options.product, author=options.author, reason=options.reason)
    sys.stdout.write(f"{options.product}: removed; gallery version {left.version} has {len(left.items)} products\n")
    return 0
