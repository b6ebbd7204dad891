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
from rollbackd.events.recognizing import Recognizer
from rollbackd.model.events import Batch, Rejected

#: Events in one body.
MAX_EVENTS: Final = 50_000
#: Items between two verdicts that are handed out.
_TOGETHER: Final = 256


_ONE: Final = msgspec.json.Decoder(Envelope)
_MANY: Final[msgspec.json.Decoder[list[msgspec.Raw]]] = msgspec.json.Decoder(list[msgspec.Raw])
#: Memory of what was read, shared by all callers: caches of pure functions.
READER: Final = EventReader()
RECOGNIZER: Final = Recognizer(READER)


def decode(body: bytes, *, now_ms: int) -> Batch:
    """Decode a body as a whole. Raises the first Rejected, with the item's position."""
    into = Collector()
    decode_into(body, into, now_ms=now_ms)
    return into.batch()


def decode_into(body: bytes, into: Collector, *, now_ms: int) -> None:
    """Add a body to what was collected. Raises Rejected; what was added before that stays."""
    items = _items(body)

    def read_in_full(position: int) -> None:
        try:
            _read(items[position], into, now_ms)
        except Rejected as rejected:
            raise _at(position, rejected) from None

    RECOGNIZER.read(items, into, now_ms=now_ms, otherwise=read_in_full)


def decode_each(body: bytes, into: Collector, *, now_ms: int) -> Iterator[Rejected | None]:
    """Add item by item to what was collected: a verdict each, None for one that was added.

    A body that is not a sequence of items at all yields one Rejected.
    """
    try:
        items = _items(body)
    except Rejected as rejected:
        yield rejected
        return
    for first in range(0, len(items), _TOGETHER):
        yield from _verdicts(items[first : first + _TOGETHER], first, into, now_ms)


def _verdicts(
    items: list[bytes], first: int, into: Collector, now_ms: int
) -> list[Rejected | None]:
    verdicts: list[Rejected | None] = [None] * len(items)

    def read_in_full(position: int) -> None:
        try:
            _read(items[position], into, now_ms)
        except Rejected as rejected:
            verdicts[position] = _at(first + position, rejected)

    RECOGNIZER.read(items, into, now_ms=now_ms, otherwise=read_in_full)
    return verdicts


def decode_one(body: bytes) -> Envelope | None:
    """The envelope of a body that is a single event, or None when it is not. Never raises."""
    try:
        return _ONE.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _read(item: bytes, into: Collector, now_ms: int) -> None:
    READER.read(decode_json(_ONE, item), item, into, now_ms=now_ms)


def _items(body: bytes) -> list[bytes]:
    text = body.strip()
    if not text:
        raise Rejected("the body is empty")
    if text.startswith(b"["):
        raw = decode_json(_MANY, text)
        return _limited([bytes(item) for item in raw])
    try:
        decode_json(_ONE, text)
    except Rejected:
        # More than one line, and the first is complete: NDJSON. Otherwise one object over lines.
        first, newline, _ = text.partition(b"\n")
        if not newline or not first.rstrip().endswith(b"}"):
            raise
    else:
        return [text]
    if text.count(b"\n") > MAX_EVENTS * 2:
        raise Rejected(f"more than {MAX_EVENTS} events; send them in several bodies")
    return _limited([line for line in text.splitlines() if not line.isspace() and line])


def _limited(items: list[bytes]) -> list[bytes]:
    if len(items) > MAX_EVENTS:
        raise Rejected(
            f"{len(items)} events; at most {MAX_EVENTS} are allowed, send them in several bodies"
        )
    return items


def _at(position: int, rejected: Rejected) -> Rejected:
    return Rejected(f"event {position}: {rejected}", position=position)
