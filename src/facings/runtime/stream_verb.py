"""`facings stream`: the frames of one camera that stands still, one after the other, as lines of JSON."""

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import IO, Any

from facings.errors import ConfigError, DataError
from facings.runtime.bundle import Bundle
from facings.runtime.hot_swap import HotSwap
from facings.runtime.images import read_image
from facings.runtime.parsing import PICTURES, Parser, count, find_pictures, key_options
from facings.runtime.recognizer import Recognizer
from facings.runtime.stream import StreamRecognizer, StreamResult, StreamSettings
from facings.runtime.track_events import to_lines
from facings.runtime.tracking import Patience


def stream_parser() -> Parser:
    parser = Parser(
        "facings stream",
        description="Recognise the frames of one camera that stands still: what did not change is not worked out again. "
        "A line of JSON a frame: its decision, the track of each item, events, and what it cost.",
    )
    parser.add_argument(
        "frames",
        metavar="FRAMES",
        help="a folder of pictures, taken in the order of their names, or a pattern 'cam1/*.jpg'",
    )
    parser.add_argument("--events", type=Path, metavar="FILE", help="also write the events alone, a line of JSON each")
    key_options(parser)
    parser.add_argument("--threads", type=count, help="threads of the runtime (default: one a core)")
    parser.add_argument("--refresh", type=count, default=3000, help="frames after which all is worked out anew (3000)")
    parser.add_argument("--hidden", type=count, default=15, help="frames after which what is missing is gone (15)")
    parser.add_argument("--confirm", type=count, default=2, help="frames after which what is new has appeared (2)")
    return parser


def run_stream(options: argparse.Namespace) -> int:
    """A damaged picture is named and left out, the others are done. A gallery version that is committed meanwhile is taken,
    but with --signed-gallery: it would be one that nobody signed."""
    pictures = find_frames(options.frames)
    if options.events is not None and options.events.exists() and not options.events.is_file():
        raise ConfigError(f"--events {options.events}: is no file")
    settings = StreamSettings(
        patience=Patience(confirm=options.confirm, hidden=options.hidden), refresh_frames=options.refresh
    )

    def load(path: Path) -> Recognizer:
        bundle = Bundle.open(path, require_key=options.require_key, signed_gallery=options.signed_gallery)
        return Recognizer(bundle, threads=options.threads)

    failed = embedded = items = 0
    with contextlib.ExitStack() as stack:
        holder = stack.enter_context(HotSwap(options.bundle, load=load, golden=False))
        if not options.signed_gallery:
            holder.watch()
        events: IO[str] | None = None
        if options.events is not None:
            options.events.parent.mkdir(parents=True, exist_ok=True)
            events = stack.enter_context(options.events.open("w", encoding="utf-8"))
        stream = StreamRecognizer(holder, settings)
        for path in pictures:
            try:
                result = stream.run(read_image(path))
            except DataError as fault:
                place = "" if str(path) in str(fault) else f"{path}: "
                sys.stderr.write(f"facings stream: {place}{fault}\n")
                failed += 1
                continue
            embedded, items = embedded + result.work.embedded, items + len(result.decision.items)
            sys.stdout.write(json.dumps(record(path, result)) + "\n")
            sys.stdout.flush()
            if events is not None:
                events.write(to_lines(result.events))
                events.flush()
    sys.stderr.write(
        f"facings stream: {len(pictures) - failed} of {len(pictures)} frames, {items} items, {embedded} embedded\n"
    )
    return 1 if failed else 0


def find_frames(text: str) -> list[Path]:
    """Pictures of a folder, or those that a pattern names, by name. Raises DataError where there are none."""
    path = Path(text)
    if path.exists():
        return find_pictures([path])
    parts = path.parts
    wild = next((number for number, part in enumerate(parts) if any(mark in part for mark in "*?[")), None)
    if wild is None:
        raise DataError(f"{path}: no such folder; give a folder of pictures, or a pattern in quotes: 'cam1/*.jpg'")
    found = sorted(Path(*parts[:wild]).glob(str(Path(*parts[wild:]))))
    pictures = [p for p in found if p.is_file() and p.suffix.lower() in PICTURES]
    if not pictures:
        raise DataError(f"{path}: matches no picture; expected files ending in {', '.join(PICTURES)}")
    return pictures


def record(path: Path, result: StreamResult) -> dict[str, Any]:
    """One frame's line."""
    return {
        "frame": result.frame,
        "image": str(path),
        **result.decision.to_dict(),
        "tracks": result.tracks.tolist(),
        "events": [event.to_dict() for event in result.events],
        "work": vars(result.work),
        "milliseconds": round(result.result.timings["total"], 3),
    }
