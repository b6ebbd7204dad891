"""The hot path says what the slow one says."""

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollbackd.events.collecting import Collector
from rollbackd.events.envelope import EventReader
from rollbackd.events.recognizing import Recognizer
from rollbackd.events.record import Headers, decode_record_into, decode_records
from rollbackd.model.events import Batch, Rejected
from rollbackd.model.facts import AnswerServed
from tests.events.bodies import NOW, encoded, lines, native, notification

NAMES = st.sampled_from(["ts", "values", "service", "arm", 'x"ts":1', "code", "a}b", "größe"])
SCALARS = st.sampled_from(["ts", '"values":{', "}", ",", "svc-1", "svc-2", "", 'a\\"ts":7'])
MAPPINGS = st.dictionaries(NAMES, SCALARS | st.integers(0, 2) | st.booleans(), max_size=2)
TIMES = st.sampled_from(
    [0, 1, NOW / 1_000, NOW // 1_000 + 299.5, NOW / 1_000 + 301, -1, None, "x", [1, 2],
     "2026-11-22T19:59:59.250Z", "2026-11-22T20:59:59"]
)  # fmt: skip
VALUES = st.none() | st.dictionaries(
    st.sampled_from(["a", "b", "ts", "not good", "}"]),
    st.sampled_from([0, 1.5, -2e3, "1", None, True]),
    max_size=2,
)
USERS = st.sampled_from(
    ["u-1", "u-2", "u-1", "", "größe", 'a"b', "x" * 3_000, 7, None, {"user": "u-3"}, ["user"]]
).map(lambda user: ("user", user)) | st.sampled_from(
    [("ctx", {"user": "u-4"}), ("user_agent", "x"), ("claimed_arm", "canary"), ("claimed_arm", 1)]
)


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """An event whose fields stand anywhere, some twice or with something odd in them."""
    fields: list[tuple[str, Any]] = [
        ("event", draw(st.sampled_from(["e", "e", "answer.served", "", "baseline.pinned"]))),
        ("ts", draw(TIMES)),
        ("values", draw(VALUES)),
        ("service", draw(st.sampled_from(["svc-1", "svc-2", "bad/name"]))),
        ("labels", draw(MAPPINGS)),
        ("pins", draw(MAPPINGS)),
        ("code", draw(st.sampled_from([200, "200", 500, None, "bad code"]))),
        ("other", draw(st.sampled_from([1, {"ts": 5}, {"values": {"a": 1}}, '"ts":5,']))),
    ]
    fields += draw(st.lists(USERS, max_size=2))
    fields += draw(st.lists(st.sampled_from(fields), max_size=1))
    picked = draw(st.permutations(fields))[: draw(st.integers(2, len(fields)))]
    comma, colon = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    text = comma.join(f"{json.dumps(name)}{colon}{json.dumps(value)}" for name, value in picked)
    return f"{{{text}}}".encode()


def told(body: bytes, now_ms: int) -> Batch | str:
    """What the slow path says."""
    into = Collector()
    try:
        decode_record_into(body, into, now_ms=now_ms)
    except Rejected as rejected:
        return str(rejected)
    return into.batch()


#: As JSON, and damaged where a user stands.
DAMAGED = st.sampled_from([b'"user":', b'"user":,', b'"user":"', b'"user": "u-1"x', b'"user":u'])
RECORDS = st.lists(
    bodies()
    | st.builds(lambda body, bad: body.replace(b'"user":"u-1"', bad), bodies(), DAMAGED)
    | st.sampled_from([lines(native(), native()), encoded(notification()), b"{}", b""]),
    min_size=1,
    max_size=6,
)


@settings(max_examples=1_000, deadline=None)
@given(RECORDS)
def test_records_together_say_what_each_says_alone(records: list[bytes]) -> None:
    """Twice each, so that the second is recognized where the first could be learned."""
    for record in [*records, *records]:
        into = Collector()
        rejected = decode_records([record], into, headers={}, now_ms=NOW)
        alone = told(record, NOW)
        if isinstance(alone, str):
            assert [str(error) for _, error in rejected] == [alone]
            assert into.batch() == Batch()
        else:
            assert rejected == []
            assert into.batch() == alone


@settings(max_examples=300, deadline=None)
@given(st.lists(st.sampled_from([(1, "a"), (2, "a"), (1, "b")]), min_size=1, max_size=9))
def test_the_order_of_records_is_kept(said: list[tuple[int, str]]) -> None:
    """Those that are read in full stand between those that are recognized."""
    records = [
        encoded(native(values={name: number}, code=..., pins=...))
        if name == "a"
        else lines(*[native(values={name: number}, code=..., pins=...)] * 2)
        for number, name in said
    ]
    into = Collector()
    assert decode_records(records, into, headers={}, now_ms=NOW) == []
    expected = [number for number, name in said for _ in range(1 if name == "a" else 2)]
    assert [sample.value for sample in into.samples] == expected


@pytest.mark.parametrize(
    "order",
    [
        ("event", "ts", "service", "values", "labels"),
        ("event", "values", "service", "labels", "ts"),
        ("values", "event", "service", "labels"),
        ("event", "service", "ts"),
        ("event", "service", "labels"),
    ],
)
def test_wherever_time_and_values_stand_they_are_recognized(order: tuple[str, ...]) -> None:
    """The second event of a sender is not read in full, in whatever order it writes."""
    reader = Recognizer(EventReader())
    missed: list[int] = []
    for number in (1.5, 2.5):
        whole = native(ts=NOW / 1_000 - number, values={"a": number})
        body = encoded({name: whole[name] for name in order})
        into = Collector()
        reader.read([body], into, now_ms=NOW, otherwise=missed.append)
        assert into.batch() == told(body, NOW)
    assert missed == []
    assert len(reader._known) == 1


@pytest.mark.parametrize(
    "changes",
    [{"event": "baseline.pinned"}, {"alerts": []}, {"labels": {"x": "1" * 2_049}}, {"ts": -1}],
)
def test_what_is_odd_is_left_to_others(changes: dict[str, object]) -> None:
    left: list[int] = []
    into = Collector()
    bodies = [encoded(native()), encoded(native(**changes)), encoded(native())]
    Recognizer(EventReader()).read(bodies, into, now_ms=NOW, otherwise=left.append)
    assert left == [1]
    assert len(into.samples) == 6


@pytest.mark.parametrize(
    "text",
    [
        '{"event":"e","values":{"a":1},"ts":0,"labels":{"values":"%s"},"x":{}}',
        '{"event":"e","labels":{"ts":"%s","b":"c"},"values":{"a":1}}',
        '{"event":"e","labels":{"values":"%s","b":"c"},"code":200}',
        '{"event":"e","ts":0,"labels":{"values":"%s"},"values":{"a":1}}',
        '{"event":"e","values":{"a":1},"labels":{"ts":"%s","b":"c"}}',
        '{"event":"e","labels":{"x":"\\"ts\\":%s,"},"values":{"a":1}}',
    ],
)
def test_labels_named_like_them_are_not_taken_for_them(text: str) -> None:
    """What is cut out of the text is the time and the values, never a label."""
    for label in ("x", "y", "x"):
        into = Collector()
        body = (text % label).encode()
        assert decode_records([body], into, headers={}, now_ms=NOW) == []
        assert into.batch() == told(body, NOW)


def test_answers_to_different_users_are_recognized() -> None:
    """What is told apart by its user alone is learned once."""
    reader = Recognizer(EventReader())
    left: list[int] = []
    for number in range(5):
        body = encoded(native(user=f"u-{number}", claimed_arm="baseline", ts=NOW / 1_000 - number))
        into = Collector()
        reader.read([body], into, now_ms=NOW, otherwise=left.append)
        assert into.batch() == told(body, NOW)
        (fact,) = into.facts
        assert isinstance(fact, AnswerServed)
        assert (fact.user, fact.time_ms) == (f"u-{number}", NOW - number * 1_000)
    assert left == []
    assert len(reader._known) == 1


def read_all(reader: Recognizer, events: Iterable[dict[str, Any]]) -> Collector:
    into = Collector()
    for event in events:
        reader.read([encoded(event)], into, now_ms=NOW, otherwise=lambda _: None)
    return into


def test_single_facts_are_not_remembered() -> None:
    reader = Recognizer(EventReader())
    events = [native(event="effect.receipt", key=f"k-{n}") for n in range(50)] * 2
    assert len(read_all(reader, events).facts) == 100
    assert len(reader._known) == 0


def test_events_with_an_id_of_their_own_do_not_push_out_the_others() -> None:
    reader = Recognizer(EventReader(), size=10)
    ordinary = [native(labels={"stage": str(n)}) for n in range(5)]
    read_all(reader, ordinary)
    known = set(reader._known._young)
    read_all(reader, (native(request_id=f"r-{n}") for n in range(100)))
    assert known <= set(reader._known._young)
    assert len(reader._known) == 10
    assert len(reader._met) <= 10
    fresh = native(labels={"stage": "new"})
    read_all(reader, [fresh, fresh])
    assert len(reader._known) == 11


def test_long_texts_are_not_remembered() -> None:
    reader = Recognizer(EventReader())
    left: list[int] = []
    for number in range(3):
        labels = {f"l{n}": "x" * 2_000 for n in range(3)}
        into = Collector()
        body = encoded(native(labels=labels, values={"a": number}))
        reader.read([body], into, now_ms=NOW, otherwise=left.append)
        assert into.samples[0].value == number
    assert left == []
    assert len(reader._known) == 0


def test_headers_of_cloudevents_are_heeded_in_their_place() -> None:
    records = [encoded(native())] * 3
    headers: dict[int, Headers] = {
        1: [("Content-Type", b"application/cloudevents+json")],
        2: [("trace", None)],
    }
    into = Collector()
    ((position, rejected),) = decode_records(records, into, headers=headers, now_ms=NOW)
    assert position == 1
    assert "specversion" in str(rejected)
    assert len(into.samples) == 6
