"""CloudEvents 1.0 in its three modes."""

import base64
import json
from typing import Any

import pytest

from rollbackd.events.cloudevents import Headers, SeenEvents
from rollbackd.events.collecting import Collector
from rollbackd.events.decoders import Decoders
from rollbackd.events.record import decode_record, decode_record_into
from rollbackd.model.events import Batch, Rejected
from tests.events.bodies import NOW, encoded, native, notification

TIME = "2026-11-22T19:59:59.250Z"
STRUCTURED: Headers = [("content-type", b"application/cloudevents+json; charset=UTF-8")]
BATCHED: Headers = [("content-type", b"application/cloudevents-batch+json")]


def event(payload: Any, **changes: Any) -> dict[str, Any]:
    said = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/rag/eu",
        "type": "answer.served",
        "time": TIME,
        "datacontenttype": "application/json",
        "traceparent": "00-1-2-00",
        "data": payload,
        **changes,
    }
    return {key: value for key, value in said.items() if value is not ...}


def binary(prefix: str, **changes: str) -> Headers:
    attributes = {
        "specversion": "1.0",
        "id": "e-1",
        "source": "/rag/eu",
        "type": "answer.served",
        "time": TIME,
        **changes,
    }
    return [
        ("Content-Type", b"application/json"),
        *((f"{prefix}{name}", value.encode()) for name, value in attributes.items()),
    ]


def read(body: bytes, headers: Headers = STRUCTURED, declared: str = "auto") -> Batch:
    return decode_record(body, headers=headers, format=declared, now_ms=NOW)


PLAIN = decode_record(encoded(native()), now_ms=NOW)


@pytest.mark.parametrize(
    ("body", "headers", "declared"),
    [
        (encoded(event(native())), STRUCTURED, "auto"),
        (encoded(event(native())), [], "cloudevents"),
        (encoded([event(native())]), BATCHED, "native"),
        (encoded([event(native())]), [], "cloudevents"),
        (encoded(native()), binary("ce_"), "auto"),
        (encoded(native()), binary("ce-"), "cloudevents"),
        (encoded(event(json.dumps(native()))), STRUCTURED, "auto"),
        (
            encoded(event(..., data_base64=base64.b64encode(encoded(native())).decode())),
            STRUCTURED,
            "auto",
        ),
    ],
)
def test_every_mode_says_what_its_data_says(body: bytes, headers: Headers, declared: str) -> None:
    assert read(body, headers, declared) == PLAIN


def test_the_envelope_says_what_the_data_does_not() -> None:
    """What it is, and when it was."""
    said = read(encoded(event(native(event=..., ts=...))))
    assert said == PLAIN
    own = read(encoded(event(native(ts="2026-11-22T19:59:00Z"), type="other")))
    assert own.samples[0].time_ms == NOW - 60_000


def test_a_notification_in_an_event() -> None:
    said = read(encoded(event(notification(), type="com.example.alerts")))
    assert [alert.name for alert in said.alerts] == ["QualityDrift"]


def test_facts_survive_the_envelope() -> None:
    call = {"service": "rag", "region": "eu", "trace_id": "t", "tool": "x", "args_hash": "a"}
    assert len(read(encoded(event(call, type="tool.call"))).facts) == 1


def test_an_event_with_the_id_and_source_of_another_is_counted_and_left_out() -> None:
    memory = Decoders()
    events = [event(native()), event(native(), id="e-2"), event(native(), source="/b")]
    taken = []
    for body in (events, [events[0], events[0]], [event(native(), id="e-3")]):
        into = Collector()
        decode_record_into(encoded(body), into, headers=BATCHED, now_ms=NOW, memory=memory)
        taken.append((len(into.ids), into.refused["duplicate"]))
    assert taken == [(3, 0), (0, 2), (1, 0)]


def test_a_batch_is_taken_whole_or_not_at_all() -> None:
    memory, into = Decoders(), Collector()
    body = encoded([event(native()), event(native(pins=3), id="e-2")])
    with pytest.raises(Rejected, match="event 1: `pins`"):
        decode_record_into(body, into, headers=BATCHED, now_ms=NOW, memory=memory)
    assert into.batch() == Batch()
    # and the first one is new when it comes again
    decode_record_into(encoded([event(native())]), into, headers=BATCHED, now_ms=NOW, memory=memory)
    assert len(into.samples) == 3


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"specversion": "0.3"}, "only 1.0"),
        ({"id": ""}, "`id` is empty"),
        ({"id": ...}, "`id`"),
        ({"data": ...}, "without data"),
        ({"data": None}, "without data"),
        ({"datacontenttype": "text/xml"}, "only JSON"),
        ({"data": ..., "data_base64": "%"}, "not base64"),
        ({"data": "hello"}, "not JSON"),
        ({"data": [3]}, "event 0"),
    ],
)
def test_what_is_no_event_of_ours_is_rejected(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Rejected, match=why):
        read(encoded(event(native(), **changes)))


def test_binary_mode_needs_the_attributes() -> None:
    with pytest.raises(Rejected, match="`source` is empty"):
        read(encoded(native()), binary("ce_", source=""))


def test_the_oldest_events_are_forgotten_first() -> None:
    seen = SeenEvents(2)
    seen.add([("s", "1"), ("s", "2"), ("s", "3")])
    assert [("s", n) in seen for n in "123"] == [False, True, True]
    seen.discard([("s", "3"), ("s", "9")])
    assert ("s", "3") not in seen
