"""The verbs of the store: predict, stream, enroll, remove, gallery, words, verify, sign, keygen.

argparse and numpy; torch is never loaded.

Also `python -m facings.runtime VERB …`.
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from facings.errors import ConfigError, DataError, FacingsError
from facings.files import atomic_write
from facings.runtime.bundle import Bundle
from facings.runtime.enroll_verb import enroll_parser, remove_parser, run_enroll, run_remove
from facings.runtime.gallery import Gallery
from facings.runtime.gallery_verb import gallery_parser, run_gallery
from facings.runtime.images import read_image
from facings.runtime.pack_text import PackReader, PackWords, read_words, settled
from facings.runtime.parsing import Parser, count, find_pictures, key_options, pixels
from facings.runtime.recognizer import Recognizer
from facings.runtime.signature_verbs import keygen_parser, run_keygen, run_sign, sign_parser
from facings.runtime.stream_verb import run_stream, stream_parser
from facings.runtime.words_verb import run_words, words_parser
from facings.structures import Decision
from facings.suggestions import nearest
from facings.tiles import Tiling


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb. Returns 0 when done, 1 when a check or a picture failed, 2 for wrong use."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    verb = words[0] if words else "--help"
    if verb in ("-h", "--help"):
        sys.stdout.write(f"usage: python -m facings.runtime {{{','.join(VERBS)}}} …\n")
        return 0
    try:
        if verb not in VERBS:
            near = nearest(verb, VERBS) or f"; valid: {', '.join(VERBS)}"
            raise ConfigError(f"unknown verb {verb!r}{near}")
        parser, run = VERBS[verb]
        return int(run(parser().parse_all(words[1:])))
    except FacingsError as fault:
        sys.stderr.write(f"facings {verb}: {fault}\n")
        return 2
    except OSError as fault:
        if fault.strerror is None:
            raise
        where = f"{fault.filename}: " if fault.filename else ""
        sys.stderr.write(f"facings {verb}: {where}{fault.strerror}\n")
        return 2


def predict_parser() -> Parser:
    parser = Parser(
        "facings predict", description="Recognise the products in pictures: decision JSON and annotated picture."
    )
    parser.add_argument("pictures", type=Path, nargs="+", metavar="IMAGE", help="pictures, or folders of pictures")
    parser.add_argument(
        "--output", type=Path, default=Path("predictions"), help="where to write (default: predictions)"
    )
    parser.add_argument("--threads", type=count, help="threads of the runtime (default: one a core)")
    parser.add_argument(
        "--tile-size",
        type=pixels,
        help="look at large pictures in tiles of so many pixels; 0: never (default: as exported)",
    )
    parser.add_argument(
        "--overlap", type=pixels, help="pixels that tiles share: more than a product (default: a quarter)"
    )
    parser.add_argument(
        "--whole", action="store_true", help="look at the whole picture too, for products beyond --overlap"
    )
    parser.add_argument(
        "--read-text", action="store_true", help="let the words on packs settle what is ambiguous (facings[text])"
    )
    parser.add_argument("--words", type=Path, help="what stands on the packs beside their names: see `facings words`")
    key_options(parser)
    parser.add_argument("--no-annotate", action="store_true", help="write the JSON alone")
    parser.add_argument("--json", action="store_true", help="also print each decision as a line of JSON")
    return parser


def predict(options: argparse.Namespace) -> int:
    """`STEM.decision.json` and `STEM.annotated.jpg` for each picture; a damaged one is named, the others are done."""
    bundle = Bundle.open(options.bundle, require_key=options.require_key, signed_gallery=options.signed_gallery)
    recognizer = Recognizer(bundle, threads=options.threads, tiling=tiling_of(options, bundle))
    pictures = find_pictures(options.pictures)
    names = product_names(bundle, recognizer.gallery)
    if options.words is not None and not options.read_text:
        raise ConfigError("--words is about reading: give --read-text too")
    words = PackWords.named(names, read_words(options.words) if options.words else None)
    reader = PackReader(threads=options.threads) if options.read_text else None
    failed = 0
    for path, stem in zip(pictures, distinct_stems(pictures), strict=True):
        try:
            image = read_image(path)
        except DataError as fault:
            sys.stderr.write(f"facings predict: {fault}\n")
            failed += 1
            continue
        result = recognizer.run(image)
        decision = result.decision
        if reader is not None:
            decision = settled(image, decision, reader, words, margin=bundle.postprocess.crop_margin)
        target = options.output / f"{stem}.decision.json"
        atomic_write(target, decision.to_json() + "\n")
        if not options.no_annotate:
            from facings.runtime.annotate import annotate, write_jpeg

            target = options.output / f"{stem}.annotated.jpg"
            write_jpeg(annotate(image, decision, names), target)
        if options.json:
            sys.stdout.write(json.dumps({"image": str(path), **decision.to_dict()}) + "\n")
        else:
            sys.stdout.write(f"{path}: {summary(decision)}, {result.timings['total']:.0f} ms → {target}\n")
    if failed:
        sys.stderr.write(f"facings predict: {failed} of {len(pictures)} pictures could not be read\n")
    return 1 if failed else 0


def tiling_of(options: argparse.Namespace, bundle: Bundle) -> Tiling | None:
    """The tiles that --tile-size, --overlap and --whole ask for, else the bundle's. Raises ConfigError when they do not fit."""
    own = bundle.postprocess.tiles
    if options.tile_size is None and options.overlap is None and not options.whole:
        return own
    size, overlap = options.tile_size, options.overlap
    if size is None and own is not None:
        size, overlap = own.size, own.overlap if overlap is None else overlap
    if size:
        large = own.large if own is not None and options.whole else 1.0
        return Tiling.of(size, overlap, options.whole, large)
    if overlap is not None or options.whole:
        raise ConfigError("--overlap and --whole are about tiles: give --tile-size too, e.g. --tile-size 1280")
    return None


def verify_parser() -> Parser:
    parser = Parser("facings verify", description="Check a bundle: checksums, schema, operators, golden samples.")
    key_options(parser)
    parser.add_argument("--threads", type=count, help="threads of the runtime (default: one a core)")
    parser.add_argument("--json", action="store_true", help="print the checks as JSON")
    return parser


def verify_bundle(options: argparse.Namespace) -> int:
    """Every check with what it found."""
    from facings.runtime.verify import verify

    checks = verify(
        options.bundle,
        threads=options.threads,
        require_key=options.require_key,
        signed_gallery=options.signed_gallery,
    )
    if options.json:
        sys.stdout.write(json.dumps([vars(check) for check in checks], indent=1) + "\n")
    else:
        for check in checks:
            sys.stdout.write(f"{'ok    ' if check.passed else 'FAILED'}  {check.name}: {check.detail}\n")
        verdict = "verified" if all(check.passed for check in checks) else "NOT verified: do not use this bundle"
        sys.stdout.write(f"{options.bundle}: {verdict}\n")
    return 0 if all(check.passed for check in checks) else 1


def distinct_stems(paths: Sequence[Path]) -> list[str]:
    """File names without ending; a name that occurs again gets a number, so that no result overwrites another."""
    taken: set[str] = set()
    stems = []
    for path in paths:
        stem, number = path.stem, 2
        while stem in taken:
            stem, number = f"{path.stem}-{number}", number + 1
        taken.add(stem)
        stems.append(stem)
    return stems


def product_names(bundle: Bundle, gallery: Gallery | None) -> dict[str, str]:
    """Product id → name, for the enrolled products."""
    return {p: str(bundle.product(p, gallery).get("name") or p) for p in (gallery.items if gallery else ())}


def summary(decision: Decision) -> str:
    """How many items of each status."""
    counts = {
        status: sum(item.status == status for item in decision.items) for status in ("known", "ambiguous", "unknown")
    }
    return f"{len(decision.items)} items ({', '.join(f'{count} {status}' for status, count in counts.items())})"


VERBS = {
    "predict": (predict_parser, predict),
    "stream": (stream_parser, run_stream),
    "enroll": (enroll_parser, run_enroll),
    "remove": (remove_parser, run_remove),
    "gallery": (gallery_parser, run_gallery),
    "words": (words_parser, run_words),
    "verify": (verify_parser, verify_bundle),
    "sign": (sign_parser, run_sign),
    "keygen": (keygen_parser, run_keygen),
}
