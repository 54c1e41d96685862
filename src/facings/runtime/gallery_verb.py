"""`facings gallery BUNDLE ACTION …`: look at a gallery's versions, go back, retire and restore products, take over, prune."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from facings.errors import ConfigError
from facings.runtime.bundle import Bundle
from facings.runtime.enroll_verb import effect_sentences
from facings.runtime.gallery import Change, Gallery, gallery_folder
from facings.runtime.gallery_adoption import Adoption, adopt
from facings.runtime.gallery_history import Difference, check, collect_garbage, diff, history
from facings.runtime.gallery_reembedding import Reembedding, reembed
from facings.runtime.parsing import Parser, count
from facings.runtime.recognizer import Recognizer
from facings.suggestions import nearest

# Action → how many words follow it: least, most.
ACTIONS: dict[str, tuple[int, int | None]] = {
    "show": (0, 1),
    "log": (0, 0),
    "diff": (2, 2),
    "rollback": (1, 1),
    "retire": (1, None),
    "restore": (1, None),
    "adopt": (1, 1),
    "reembed": (1, 1),
    "check": (0, 0),
    "gc": (0, 0),
}
USAGE = (
    "show [PRODUCT] | log | diff OLD NEW | rollback VERSION | retire PRODUCT… | restore PRODUCT… | adopt OLD_BUNDLE | "
    "reembed OLD_BUNDLE | check | gc --keep N"
)


def gallery_parser() -> Parser:
    parser = Parser("facings gallery", description=f"The versions of a bundle's gallery: {USAGE}.")
    parser.add_argument("action", metavar="ACTION", help="|".join(ACTIONS))
    parser.add_argument("words", nargs="*", metavar="WORD", help="versions (as 000012 or 12), product ids, or a bundle")
    parser.add_argument("--keep", type=count, help="gc: so many of the newest versions stay")
    parser.add_argument("--author", help="kept in the new version (default: the user's name)")
    parser.add_argument("--reason", help="kept in the new version (default: the action)")
    parser.add_argument("--json", action="store_true", help="print JSON")
    return parser


def run_gallery(options: argparse.Namespace) -> int:
    """One action. Returns 1 when `check` found a version that is not sound, or `reembed` had to leave a product out."""
    action, words = options.action, options.words
    if action not in ACTIONS:
        raise ConfigError(f"unknown action {action!r}{nearest(action, ACTIONS) or f'; valid: {USAGE}'}")
    least, most = ACTIONS[action]
    if not least <= len(words) or (most is not None and len(words) > most):
        raise ConfigError(f"{action} got {len(words)} words; valid: {USAGE}")
    if (action == "gc") != (options.keep is not None):
        raise ConfigError("--keep N goes with gc, and gc with --keep N: versions are pruned only as asked")
    folder = gallery_folder(options.bundle)
    if action == "check":
        return _check(folder, as_json=options.json)
    if action == "gc":
        gone = collect_garbage(folder, options.keep)
        return _say(
            options.json, {"gone": gone}, [f"{len(gone)} files pruned; the newest {options.keep} versions stay"]
        )
    if action == "reembed":
        return _reembed(options.bundle, Path(words[0]), options)
    bundle = Bundle.open(options.bundle)
    if action == "adopt":
        return _adopt(bundle, Path(words[0]), options)
    gallery = bundle.gallery()
    if action == "log":
        entries = [entry.to_dict() for entry in history(folder)]
        return _say(options.json, entries, [_log_line(entry) for entry in entries])
    if action == "diff":
        old, new = (Gallery.open(folder, version=_version(word)) for word in words)
        found = diff(old, new)
        return _say(options.json, vars(found), difference_lines(found))
    if action == "show":
        return _show(gallery, words, as_json=options.json)
    if action == "rollback":
        made = gallery.rollback(_version(words[0]), author=options.author, reason=options.reason)
    else:
        missing = [word for word in words if word not in gallery.content.items]
        if missing:
            near = nearest(missing[0], gallery.content.items)
            raise ConfigError(f"product {missing[0]!r} is not in gallery version {gallery.version}{near}")
        changes = [Change(action, word) for word in words]
        made = gallery.apply(changes, author=options.author, reason=options.reason or action)
    content = {"gallery_version": made.version, "products": len(made.items), "retired": list(made.retired)}
    return _say(options.json, content, [f"gallery version {made.version}: {_size(made)}; {made.manifest['reason']}"])


def difference_lines(found: Difference) -> list[str]:
    """The difference for a person."""
    lines = [f"+ {name}" for name in found.added] + [f"- {name}" for name in found.removed]
    lines += [f"retired {name}" for name in found.retired] + [f"restored {name}" for name in found.restored]
    lines += [f"views of {name}: {before} → {after}" for name, before, after in found.views]
    lines += [f"details of {name}" for name in found.details]
    return lines or [f"{found.old} and {found.new} are the same"]


def _check(folder: Path, *, as_json: bool) -> int:
    found = check(folder)
    content = [{"version": version, "sound": state == "sound", "finding": state} for version, state in found]
    _say(as_json, content, [f"{version}: {state}" for version, state in found])
    return 0 if all(state == "sound" for _, state in found) else 1


def _taken_over(done: Adoption | Reembedding, how: str, products: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """What a version that took `products` over from another bundle says of itself, as JSON and for a person."""
    content = {
        "gallery_version": done.gallery.version,
        how: list(products),
        "retired": list(done.retired),
        "kept": list(done.kept),
    }
    lines = [f"gallery version {done.gallery.version}: {_size(done.gallery)}; {done.gallery.manifest['reason']}"]
    if done.kept:
        lines.append(f"{len(done.kept)} products that were here already keep their own views")
    return content, lines


def _adopt(bundle: Bundle, source: Path, options: argparse.Namespace) -> int:
    done = adopt(bundle, Bundle.open(source), author=options.author, reason=options.reason)
    content, lines = _taken_over(done, "adopted", done.adopted)
    if bundle.postprocess.standard is not None:
        lines.append(
            "the rate of false accepts is calibrated against the views taken over; coverage was measured on photos that this "
            "bundle's own embedder saw, and may be lower for them until they are enrolled again"
        )
    return _say(options.json, content, lines)


def _reembed(path: Path, source: Path, options: argparse.Namespace) -> int:
    # As for enrolment: the gallery's vectors are the float graph's.
    recognizer = Recognizer(Bundle.open(path, precision="float32"))
    done = reembed(recognizer, Bundle.open(source), author=options.author, reason=options.reason)
    content, lines = _taken_over(done, "reembedded", done.taken)
    content |= {
        "without_crops": list(done.bare),
        "fewer_views": [{"product_id": name, "crops": crops, "views": views} for name, crops, views in done.fewer],
        "effect": done.effect.to_dict(),
    }
    lines += [f"{name}: {crops} of its {views} views were kept as crops" for name, crops, views in done.fewer]
    lines += [f"{name}: LEFT OUT: no crop of it was kept; enroll it again from photos" for name in done.bare]
    _say(options.json, content, lines + effect_sentences(done.effect))
    return 1 if done.bare else 0


def _show(gallery: Gallery, words: list[str], *, as_json: bool) -> int:
    if words:
        views = len(gallery.views_of(words[0]))
        details = gallery.products.get(words[0], {})
        retired = words[0] in gallery.retired
        crops = len(gallery.crops_of(words[0]))
        content = {"product_id": words[0], "views": views, "crops": crops, "retired": retired, **details}
        kept = f", {crops} kept as crops" if crops else ""
        lines = [f"{words[0]}: {views} views{kept}{', retired' if retired else ''}"]
        return _say(as_json, content, lines + [f"  {name}: {value}" for name, value in details.items()])
    own = {name: gallery.manifest.get(name) for name in ("version", "parent", "author", "reason", "created")}
    sizes = {"products": len(gallery.items), "views": len(gallery.vectors), "retired": list(gallery.retired)}
    sizes |= {"crops": sum(map(len, gallery.content.crops.values()))}
    content = own | sizes | {"calibration": len(gallery.calibration_items), "embedder_sha256": gallery.embedder_sha256}
    lines = [f"version {gallery.version} of {own['created']} by {own['author']}: {own['reason']}", _size(gallery)]
    return _say(as_json, content, lines)


def _size(gallery: Gallery) -> str:
    retired = f", {len(gallery.retired)} retired" if gallery.retired else ""
    return f"{len(gallery.items)} products, {len(gallery.vectors)} views{retired}"


def _log_line(entry: dict[str, Any]) -> str:
    retired = f" ({entry['retired']} retired)" if entry["retired"] else ""
    size = f"{entry['products']} products{retired}, {entry['views']} views"
    return f"{entry['version']}  {entry['created']}  {entry['author']}: {entry['reason']}; {size}"


def _version(word: str) -> str:
    return word.zfill(6) if word.isdigit() else word


def _say(as_json: bool, content: Any, lines: list[str]) -> int:
    sys.stdout.write(json.dumps(content, indent=1) + "\n" if as_json else "".join(f"{line}\n" for line in lines))
    return 0
