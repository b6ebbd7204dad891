"""Entries, conditions, lists and bodies."""

import json
from typing import Any

import pytest

from rollbackd.documents.diagnostics import DocumentError
from rollbackd.events.collecting import Collector
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.model.events import PinsSeen, Rejected
from rollbackd.model.facts import EffectReceipt
from rollbackd.model.labels import Scope
from tests.events.mapping.samples import NOW, mapping, samples, taken

TWO = """
service: $.app
region: eu
time: {path: $.ms, format: unix_ms}
events:
  - event: answer.served
    when: {$.kind: [answer, reply], $.test: {exists: false}}
    values: {latency_seconds: $.took}
    pins: {prompt_rev: $.prompt}
  - event: effect.receipt
    when: {$.kind: effect}
    fact: {key: $.key, effect_id: $.id}
"""


@pytest.mark.parametrize(
    ("when", "event", "met"),
    [
        ("$.a: 1", {"a": 1}, True),
        ("$.a: 1", {"a": 1.0}, True),
        ("$.a: 1", {"a": True}, False),
        ("$.a: 1", {"a": "1"}, False),
        ("$.a: true", {"a": True}, True),
        ("$.a: true", {"a": 1}, False),
        ("$.a: [x, y]", {"a": "y"}, True),
        ("$.a: [x, y]", {"a": ["x"]}, False),
        ("$.a: {exists: true}", {"a": 0}, True),
        ("$.a: {exists: true}", {"a": None}, False),
        ("$.a: {exists: true}", {"a": "-"}, False),
        ("$.a: {exists: false}", {}, True),
        ("$.a.b: {exists: true}", {"a": 3}, False),
        ("$.a: 1\n  $.b: 2", {"a": 1}, False),
    ],
)
def test_a_condition(when: str, event: Any, *, met: bool) -> None:
    by = mapping(f"when:\n  {when}\ncode: 200", before="absent: ['-']")
    batch, refused = taken(by, event)
    assert refused == []
    assert (len(batch.samples), by.ignored) == ((1, 0) if met else (0, 1))


def test_each_entry_takes_what_is_for_it() -> None:
    by = FieldMapping.read(TWO, file="m.yaml")
    common = {"app": "rag", "ms": NOW}
    batch, refused = taken(
        by,
        {**common, "kind": "reply", "took": 0.5, "prompt": "p-1"},
        {**common, "kind": "effect", "key": "k", "id": 7},
        {**common, "kind": "answer", "test": 1, "took": 1},
        {**common, "kind": "other"},
    )
    assert refused == []
    assert [s.value for s in batch.samples] == [0.5]
    rag = Scope("rag", "eu")
    assert batch.pins == [PinsSeen(scope=rag, arm="", pins={"PROMPT_VER": "p-1"}, time_ms=NOW)]
    assert EffectReceipt(scope=rag, time_ms=NOW, key="k", effect_id="7") in batch.facts
    assert by.ignored == 2


def test_a_list_is_taken_apart_one_level() -> None:
    by = mapping('each: $.steps\nwhen: {"@.ok": true}\nvalues: {m: "@.ms"}\nlabels: {at: $.host}')
    event = {"host": "h", "steps": [{"ok": True, "ms": 1}, {"ok": False}, 7, {"ok": True, "ms": 2}]}
    batch, refused = taken(by, event)
    assert refused == []
    assert [(s.value, dict(s.labels)["at"]) for s in batch.samples] == [(1, "h"), (2, "h")]


def test_one_bad_item_refuses_the_event() -> None:
    by = mapping('each: $.steps\nvalues: {m: "@.ms"}')
    batch, refused = taken(by, {"steps": [{"ms": 1}, {"ms": "x"}]}, {"steps": [{"ms": 3}]})
    assert len(refused) == 1
    assert [s.value for s in batch.samples] == [3]


@pytest.mark.parametrize(
    ("body", "count"),
    [
        (b'{"v": 1}', 1),
        (b' [{"v": 1}, {"v": 2}] ', 2),
        (b'{"v": 1}\n{"v": 2}\n\n', 2),
        (b'{\n"v": 1\n}', 1),
        (b"[]", 0),
    ],
)
def test_bodies_and_records_hold_one_event_a_list_or_lines(body: bytes, count: int) -> None:
    by, body_into, record_into = mapping("values: {m: $.v}"), Collector(), Collector()
    assert list(by.take_each(body, body_into, now_ms=NOW)) == [None] * count
    assert by.take_records([body], record_into, now_ms=NOW) == []
    assert list(body_into.samples) == list(record_into.samples)
    assert len(body_into.samples) == count


@pytest.mark.parametrize("body", [b"", b"x", b"7", b'{"v": 1', b"[1]", b"\xff", b"[" * 5_000])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    by, into = mapping("values: {m: $.v}"), Collector()
    (verdict,) = by.take_each(body, into, now_ms=NOW)
    assert isinstance(verdict, Rejected)
    assert len(by.take_records([body], into, now_ms=NOW)) == 1
    assert not into.samples


def test_a_record_is_taken_as_a_whole_and_a_body_item_by_item() -> None:
    by = mapping("values: {m: $.v}")
    body = b'{"v": 1}\n{"v": "x"}\n{"v": 3}'
    into = Collector()
    assert len(by.take_records([body], into, now_ms=NOW)) == 1
    assert not into.samples
    verdicts = list(by.take_each(body, into, now_ms=NOW))
    assert [verdict and verdict.position for verdict in verdicts] == [None, 1, None]
    assert [s.value for s in into.samples] == [1, 3]


def test_what_is_common_is_said_once_and_an_entry_may_say_otherwise() -> None:
    by = FieldMapping.read(
        "service: rag\narm: canary\nevents:\n"
        "  - {event: a, when: {$.k: 1}, code: 200}\n"
        "  - {event: b, when: {$.k: 2}, code: 200, arm: baseline}\n",
        file="m.yaml",
    )
    batch, _ = taken(by, {"k": 1}, {"k": 2})
    assert [dict(s.labels)["arm"] for s in batch.samples] == ["canary", "baseline"]


def test_two_entries_may_write_one_metric_with_labels_that_differ() -> None:
    by = FieldMapping.read(
        "service: rag\nevents:\n"
        "  - {event: a, values: {tokens: $.in}, labels: {kind: input}}\n"
        "  - {event: a, values: {tokens: $.out}, labels: {kind: output}}\n",
        file="m.yaml",
    )
    batch, _ = taken(by, {"in": 1, "out": 2})
    assert [s.value for s in batch.samples] == [1, 2]


@pytest.mark.parametrize(
    ("entries", "problems"),
    [
        ("[]", ["value/range"]),
        ("[{event: a}]", ["mapping/empty"]),
        ("[{event: a, coed: 1}]", ["key/unknown", "mapping/empty"]),
        ("[{event: a, values: {m: {path: $.a, const: 1}}}]", ["config/exclusive-keys"]),
        ("[{event: a, values: {m: {unit: ms -> s}}}]", ["key/missing"]),
        ("[{event: a, values: {m: x}}]", ["value/type"]),
        ("[{event: a, values: {ALERTS: $.a}}]", ["mapping/name"]),
        ("[{event: a, values: {m: {path: $.a, unit: s -> MB}}}]", ["mapping/unit"]),
        ("[{event: a, code: {path: $.a, unit: ms -> s}}]", ["key/unknown"]),
        ("[{event: a, code: {count: $.a}}]", ["value/type"]),
        ("[{event: a, code: 1, time: 5}]", ["value/type"]),
        ("[{event: answer.served, fact: {usr: $.u}}]", ["key/unknown"]),
        ("[{event: http.window, code: 1, fact: {user: $.u}}]", ["mapping/fact"]),
        ("[{event: baseline.pinned, code: 1}]", ["mapping/fact"]),
        ("[{event: a, code: 1, when: {$.a: null}}]", ["value/type"]),
        ("[{event: a, code: 1, when: {$.a: []}}]", ["value/range"]),
        ("[{event: a, code: 1, each: '@.b'}]", ["mapping/path"]),
        ("[{event: a, code: '@.b'}]", ["mapping/path"]),
        ("[{event: a, code: $.c}, {event: b, code: $.c}]", ["mapping/repeated"]),
        ("[{event: a, code: 1, arm: {path: $.s, map: {a: [1]}}}]", ["value/type"]),
        ("[{event: a, code: 1, labels: {l: {path: $.l, limit: 0}}}]", ["value/range"]),
    ],
)
def test_what_is_wrong_is_said_when_it_is_loaded(entries: str, problems: list[str]) -> None:
    with pytest.raises(DocumentError) as refused:
        FieldMapping.read(f"service: s\nevents: {entries}", file="m.yaml")
    assert [problem.id for problem in refused.value.diagnostics] == problems


@pytest.mark.parametrize("text", ["", "events: [{event: a, code: 1}]"])
def test_a_mapping_needs_events_and_a_service(text: str) -> None:
    with pytest.raises(DocumentError) as refused:
        FieldMapping.read(text, file="m.yaml")
    assert [problem.id for problem in refused.value.diagnostics] == ["key/missing"]


def test_values_and_pins_are_given_to_the_reader_once() -> None:
    """What comes a second time is the same object: nothing is checked again."""
    by = mapping("values: {m: $.v}\npins: {PROMPT_VER: $.p}")
    into = Collector()
    bodies = [json.dumps({"v": n, "p": "p-1"}).encode() for n in range(3)]
    assert by.take_records(bodies, into, now_ms=NOW) == []
    assert len({id(schema) for schema, _, _ in into.samples.rows}) == 1
    assert len(into.sightings) == 1
    assert samples(by, {"v": 7, "p": "p-1"}) == {"m": 7}
