"""Moving the times of events where a mapping finds them."""

import json
from typing import Any

import pytest

from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.events.mapping.moving import immovable, move

THEN_MS, NOW_MS = 1_577_836_800_250, 1_795_204_800_750


def mapping(time: str, each: str = "", absent: str = "[]") -> FieldMapping:
    text = (
        f"absent: {absent}\nservice: rag\nevents:\n"
        f"  - {{event: tool.call, time: {time}, {each} values: {{a: $.a}}}}\n"
    )
    return FieldMapping.read(text, file="m.yaml")


def moved(event: dict[str, Any], by: FieldMapping, shift_ms: int = NOW_MS - THEN_MS) -> Any:
    """The event after the move; the mapping has to read the new time where it stands."""
    event = json.loads(json.dumps(event))
    before = by.times_of(event, now_ms=1 << 50)
    entries = by.entries_of(event, now_ms=1 << 50)
    move(event, entries, by.file.absent, lambda time_ms: time_ms + shift_ms)
    assert by.times_of(event, now_ms=1 << 50) == [time_ms + shift_ms for time_ms in before]
    return event


@pytest.mark.parametrize(
    ("time", "said", "expected"),
    [
        ("$.t", "2020-01-01T00:00:00.25Z", "2026-11-20T20:00:00.750Z"),
        ("$.t", "2020-01-01T02:00:00.25+02:00", "2026-11-20T20:00:00.750Z"),
        ("$.t", 1_577_836_800.25, 1_795_204_800.75),
        ("{path: $.t, format: unix}", "1577836800.25", "1795204800.75"),
        ("{path: $.t, format: unix_ms}", THEN_MS, NOW_MS),
        ("{path: $.t, format: unix_ms}", str(THEN_MS), str(NOW_MS)),
        ("{path: $.t, format: unix_us}", THEN_MS * 1_000, NOW_MS * 1_000),
        ("{path: $.t, format: unix_ns}", str(THEN_MS * 1_000_000), str(NOW_MS * 1_000_000)),
    ],
)
def test_a_time_is_written_back_as_it_was(time: str, said: Any, expected: Any) -> None:
    assert moved({"t": said, "a": 1, "b": [1]}, mapping(time)) == {"t": expected, "a": 1, "b": [1]}


def test_the_path_that_counts_is_the_one_that_moves() -> None:
    """The first that is there, and not a text that means nothing."""
    by = mapping("{path: [$.x, $.y, '$.z[-1].t'], format: unix_ms}", absent="['-']")
    event = {"x": "-", "z": [{"t": 1}, {"t": THEN_MS}], "a": 1}
    assert moved(event, by) == {**event, "z": [{"t": 1}, {"t": NOW_MS}]}
    event = {"y": THEN_MS, "z": [{"t": THEN_MS}], "a": 1}
    assert moved(event, by) == {**event, "y": NOW_MS}


def test_items_move_each_by_itself_and_what_they_share_once() -> None:
    """A time of an item is at the item; one of the event is moved once, however many items."""
    own = mapping("{path: '@.t', format: unix_ms}", each="each: $.calls,")
    assert moved({"a": 1, "calls": [{"t": THEN_MS}, {"t": THEN_MS + 5}]}, own) == {
        "a": 1,
        "calls": [{"t": NOW_MS}, {"t": NOW_MS + 5}],
    }
    shared = mapping("{path: $.t, format: unix_ms}", each="each: $.calls,")
    event = {"a": 1, "t": THEN_MS, "calls": [{}, {}]}
    assert moved(event, shared) == {**event, "t": NOW_MS}


def test_a_time_that_stands_nowhere_cannot_move() -> None:
    assert "goes through `map`" in immovable(mapping("{path: $.t, map: {a: 1}}").file.entries)
    assert immovable(mapping("$.t").file.entries) == ""
    nowhere = FieldMapping.read("events: [{event: e, service: s, values: {a: $.a}}]", file="m")
    assert "has no `time`" in immovable(nowhere.file.entries)
