"""What happened on a shelf, as objects and as lines of JSON. Knows nothing of how it was noticed."""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from facings.errors import DataError
from facings.strict_json import parse, shown

EVENT_SCHEMA = "facings.event/1"
Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class Event:
    """`frame`: number of the frame in its stream, from 0, in which it was sure; `track`: number of the facing, never used again;
    `product_id` None where the product is not known; `box`: x1, y1, x2, y2, pixels of the frame."""

    frame: int
    track: int
    product_id: str | None
    box: Box
    kind: ClassVar[str] = ""

    def to_dict(self) -> dict[str, Any]:
        """The JSON content: `event` is `appeared`, `gone` or `moved`."""
        return {"schema": EVENT_SCHEMA, "event": self.kind, **asdict(self)}

    def to_json(self) -> str:
        """One line, without its end."""
        return json.dumps(self.to_dict())


@dataclass(frozen=True)
class Appeared(Event):
    """A facing that was not there before; at the start of a stream, every one."""

    kind: ClassVar[str] = "appeared"


@dataclass(frozen=True)
class Gone(Event):
    """A facing that has been missing long enough. `box`: where it was last seen."""

    kind: ClassVar[str] = "gone"


@dataclass(frozen=True)
class Moved(Event):
    """The same facing elsewhere. `before`: where it was."""

    before: Box
    kind: ClassVar[str] = "moved"


KINDS: dict[str, type[Event]] = {cls.kind: cls for cls in (Appeared, Gone, Moved)}


def event_from_json(text: str) -> Event:
    """The inverse of `to_json`. Raises DataError for another schema, an unknown kind, or a field that is missing or wrong.

    >>> event_from_json(Gone(7, 3, "milk", (0.0, 0.0, 9.0, 9.0)).to_json())
    Gone(frame=7, track=3, product_id='milk', box=(0.0, 0.0, 9.0, 9.0))
    """
    try:
        content = parse(text)
    except ValueError as fault:
        raise DataError(f"not a line of JSON ({fault})") from fault
    found = content.get("schema") if isinstance(content, dict) else type(content).__name__
    if found != EVENT_SCHEMA:
        raise DataError(f"schema is {shown(found)}; expected {EVENT_SCHEMA!r}")
    kind = content.get("event")
    if not isinstance(kind, str) or kind not in KINDS:
        raise DataError(f"event is {shown(kind)}; expected one of {', '.join(KINDS)}")
    fields = {name: value for name, value in content.items() if name not in ("schema", "event")}
    try:
        for name in {"box", "before"} & set(fields):
            fields[name] = _box(fields[name])
        event = KINDS[kind](**fields)
    except (TypeError, ValueError) as fault:
        raise DataError(f"event {kind!r}: a field is missing or wrong ({fault})") from fault
    numbers = (event.frame, event.track)
    if not all(type(number) is int and number >= 0 for number in numbers):
        raise DataError(f"event {kind!r}: frame and track are {numbers}; expected whole numbers of 0 or more")
    if not (event.product_id is None or isinstance(event.product_id, str)):
        raise DataError(f"event {kind!r}: product_id is {event.product_id!r}; expected a text or null")
    return event


def to_lines(events: Iterable[Event]) -> str:
    """JSON lines, each with its end."""
    return "".join(event.to_json() + "\n" for event in events)


def _box(values: Any) -> Box:
    if not isinstance(values, list) or any(isinstance(v, bool) or not isinstance(v, int | float) for v in values):
        raise ValueError(f"box is {shown(values)}; expected four numbers")
    x1, y1, x2, y2 = (float(value) for value in values)
    return x1, y1, x2, y2
