"""Whatever the bytes are, a decoder answers with a value or with Rejected."""

import json
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.events import alertmanager, native
from rollbackd.events.collecting import Collector
from rollbackd.events.facts import KEYS_OF
from rollbackd.events.record import FORMATS, decode_record
from rollbackd.model.events import Rejected
from tests.events import bodies

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=12,
)
NAMES = st.sampled_from(
    ["event", "ts", "service", "region", "arm", "color", "code", "values", "labels", "pins",
     "controls", "baseline", "alerts", "status", "startsAt", "endsAt", "fingerprint",
     "truncatedAlerts", "annotations", "user", "hit", "entry_pins", "key", "status", "decision",
     "trace_id", "tool", "args_hash", "reader", "documents", "question", "seed", "paraphrase",
     "state", "requests", "throttled", "kind", "subject", "texts", "vectors", "context", "anchor"]
)  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    """A good body with fields replaced and then bytes changed."""
    body: dict[str, Any] = draw(
        st.sampled_from(
            [
                bodies.native(),
                bodies.notification(),
                bodies.native(event="baseline.pinned", controls={"a": {"b": 1}}),
                bodies.native(user="u-1"),
                bodies.native(values=..., texts={"question": "q", "context": ["c"]}),
                bodies.native(values=..., vectors={"question": [0.5], "context": [1]}),
                *(bodies.native(event=name) for name in KEYS_OF),
            ]
        )
    )
    body = {**body, **draw(st.dictionaries(NAMES, JSON, max_size=3))}
    raw = bytearray(json.dumps(body).encode())
    for _ in range(draw(st.integers(0, 3))):
        raw[draw(st.integers(0, len(raw) - 1))] = draw(st.integers(0, 255))
    if draw(st.booleans()):
        return bytes(raw) + b"\n" + bytes(raw[: draw(st.integers(0, len(raw)))])
    return bytes(raw)


#: Formats in which NaN means something.
NAN_IS_DATA = {"otlp_json", "otlp_protobuf", "prometheus_json", "remote_write", "remote_write_v2"}

BODIES = st.binary(max_size=300) | damaged() | JSON.map(lambda v: json.dumps(v).encode())


@settings(max_examples=500, deadline=None)
@given(BODIES, st.sampled_from(FORMATS))
def test_any_record_is_a_batch_or_rejected(body: bytes, declared: str) -> None:
    try:
        batch = decode_record(body, format=declared, now_ms=bodies.NOW)
    except Rejected as rejected:
        assert str(rejected)  # noqa: PT017  # its text is the claim
        return
    # What was accepted can be stored.
    orjson.dumps([known.controls for known in batch.known_good])
    for sample in batch.samples:
        assert sample.value == sample.value or declared in NAN_IS_DATA
        assert list(sample.labels) == sorted(sample.labels)
        assert all(name and value for name, value in sample.labels)


@settings(max_examples=300, deadline=None)
@given(BODIES)
def test_any_body_is_judged_item_by_item(body: bytes) -> None:
    """What `decode` accepts is what `decode_each` accepts whole, and the first mistake agrees."""
    into = Collector()
    verdicts = list(native.decode_each(body, into, now_ms=bodies.NOW))
    bad = [v for v in verdicts if isinstance(v, Rejected)]
    try:
        whole = native.decode(body, now_ms=bodies.NOW)
    except Rejected as rejected:
        assert str(bad[0]).endswith(str(rejected).removeprefix("event 0: "))  # noqa: PT017
        return
    assert bad == []
    assert whole == into.batch()


@settings(max_examples=300, deadline=None)
@given(BODIES)
def test_any_notification_is_read_or_rejected(body: bytes) -> None:
    try:
        alerts = alertmanager.decode(body)
    except Rejected:
        return
    for alert in alerts:
        assert len(alertmanager.inbox_key(alert)) == 64
