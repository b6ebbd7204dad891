"""Native events: one JSON object, a JSON array of them, or one a line (NDJSON).

{"event": "answer.served", "ts": "2026-11-22T20:00:00Z", "service": "rag", "region": "eu",
 "arm": "canary", "code": 200, "values": {"delta_s": 0.31}, "labels": {"stage": "retrieve"},
 "pins": {"PROMPT_VER": "p-12"}}
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from rollbackd.events.collecting import Collector
from rollbackd.events.envelope import Envelope, EventReader
from rollbackd.events.json import decode_json
from rollbackd.model.events import Batch, Rejected

#: Events in one body.
MAX_EVENTS: Final = 50_000

_Item = bytes | msgspec.Raw

_ONE: Final = msgspec.json.Decoder(Envelope)
_MANY: Final[msgspec.json.Decoder[list[msgspec.Raw]]] = msgspec.json.Decoder(list[msgspec.Raw])
#: Memory of label sets, shared by all callers: a cache of pure functions.
READER: Final = EventReader()


def decode(body: bytes, *, now_ms: int) -> Batch:
    """Decode a body as a whole. Raises the first Rejected, with the item's position."""
    into = Collector()
    decode_into(body, into, now_ms=now_ms)
    return into.batch()


def decode_into(body: bytes, into: Collector, *, now_ms: int) -> None:
    """Add a body to what was collected. Raises Rejected; what was added before that stays."""
    for position, item in enumerate(_items(body)):
        try:
            _read(item, into, now_ms)
        except Rejected as rejected:
            raise _at(position, rejected) from None


def decode_each(body: bytes, *, now_ms: int) -> Iterator[Batch | Rejected]:
    """Decode item by item: a Batch for each good one, the Rejected for each bad one.

    A body that is not a sequence of items at all yields one Rejected.
    """
    try:
        items = _items(body)
    except Rejected as rejected:
        yield rejected
        return
    for position, item in enumerate(items):
        into = Collector()
        try:
            _read(item, into, now_ms)
        except Rejected as rejected:
            yield _at(position, rejected)
        else:
            yield into.batch()


def decode_one(body: bytes) -> Envelope | None:
    """The envelope of a body that is a single event, or None when it is not. Never raises."""
    try:
        return _ONE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read(item: _Item | Envelope, into: Collector, now_ms: int) -> None:
    event = item if isinstance(item, Envelope) else decode_json(_ONE, item)
    READER.read(event, into, now_ms=now_ms)


def _items(body: bytes) -> list[_Item | Envelope]:
    text = body.strip()
    if not text:
        raise Rejected("the body is empty")
    if text.startswith(b"["):
        raw = decode_json(_MANY, text)
        return _limited([*raw])
    try:
        return [decode_json(_ONE, text)]
    except Rejected:
        # More than one line, and the first is complete: NDJSON. Otherwise one object over lines.
        first, newline, _ = text.partition(b"\n")
        if not newline or not first.rstrip().endswith(b"}"):
            raise
    if text.count(b"\n") > MAX_EVENTS * 2:
        raise Rejected(f"more than {MAX_EVENTS} events; send them in several bodies")
    return _limited([line for line in text.splitlines() if not line.isspace() and line])


def _limited(items: list[_Item | Envelope]) -> list[_Item | Envelope]:
    if len(items) > MAX_EVENTS:
        raise Rejected(
            f"{len(items)} events; at most {MAX_EVENTS} are allowed, send them in several bodies"
        )
    return items


def _at(position: int, rejected: Rejected) -> Rejected:
    return Rejected(f"event {position}: {rejected}", position=position)
