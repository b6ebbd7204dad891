"""What one place of an event becomes: numbers, texts, times, words."""

from typing import Any

import pytest

from rollbackd.model.facts import AnswerServed
from tests.events.mapping.samples import AT, NOW, mapping, samples, taken


@pytest.mark.parametrize(
    ("source", "event", "value"),
    [
        ("$.v", {"v": 3}, 3.0),
        ("$.v", {"v": "0.25"}, 0.25),
        ("$.v", {"v": True}, 1.0),
        ("7", {}, 7.0),
        ("[$.w, $.v]", {"v": 3}, 3.0),
        ("[$.w, $.v]", {"w": None, "v": 3}, 3.0),
        ("{path: $.v, unit: ms -> s}", {"v": 300}, 0.3),
        ("{path: $.v, unit: ns -> ms}", {"v": 1_500_000}, 1.5),
        ('{path: $.v, unit: "% -> ratio"}', {"v": 78}, 0.78),
        ("{path: $.v, unit: MiB -> bytes}", {"v": 1.5}, 1_572_864.0),
        ("{path: $.v, map: {ok: 1, '*': 0}}", {"v": "ok"}, 1.0),
        ("{path: $.v, map: {ok: 1, '*': 0}}", {"v": "no"}, 0.0),
        ("{path: $.v, map: {'true': 5}}", {"v": True}, 5.0),
        ("{path: $.v, default: 9}", {}, 9.0),
        ("{path: $.v, default: 9, unit: ms -> s}", {"v": 500}, 0.5),
        ("{count: $.v}", {"v": [1, 2, 3]}, 3.0),
        ("{count: $.v}", {"v": []}, 0.0),
        ("{sum: [$.v, $.w, $.x]}", {"v": 1, "w": "2"}, 3.0),
    ],
)
def test_a_value(source: str, event: dict[str, Any], value: float) -> None:
    assert samples(mapping(f"values: {{m: {source}}}"), event) == {"m": value}


@pytest.mark.parametrize(
    ("source", "event"),
    [
        ("$.v", {}),
        ("$.v", {"v": None}),
        ("$.v", {"v": "-"}),
        ("{count: $.v}", {}),
        ("{sum: [$.v]}", {}),
    ],
)
def test_what_is_not_there_is_no_sample(source: str, event: dict[str, Any]) -> None:
    by = mapping(f"code: 200\nvalues: {{m: {source}}}", before="absent: ['-']")
    assert samples(by, event) == {"requests": 1.0}


@pytest.mark.parametrize(
    ("entry", "event", "said"),
    [
        ("values: {m: $.v}", {"v": "abc"}, "`values.m`: `$.v` is `abc`, which is not a number"),
        ("values: {m: $.v}", {"v": "nan"}, "out of range"),
        ("values: {m: $.v}", {"v": "1_000"}, "not a number"),
        ("values: {m: $.v}", {"v": [1]}, "`values.m`: `$.v` is `[1]`, which is not a number"),
        ("values: {m: {path: $.v, unit: GiB -> bytes}}", {"v": 1e305}, "out of range"),
        ("values: {m: {count: $.v}}", {"v": 3}, "`$.v` is `3`, and not a list"),
        (
            "values: {m: {path: $.v, required: true}}",
            {},
            "`values.m` is missing: there is no `$.v`",
        ),
        ("values: {m: {path: $.v, map: {a: 1}}}", {"v": "b"}, "`b`, which `map` does not have"),
        ("code: $.v", {"v": {"a": 1}}, '`code`: `$.v` is `{"a":1}`'),
        ("code: $.v", {"v": "a b"}, "`code`: `a b` is not allowed"),
        ("{code: 200, arm: $.v}", {"v": "a/b"}, "`arm`: `a/b` is not allowed"),
        ("{code: 200, service: $.v}", {}, "`service` is missing: there is no `$.v`"),
        ("{code: 200, time: $.v}", {"v": "yesterday"}, "`$.v`: `ts`"),
        ("{code: 200, time: $.v}", {"v": 1_768_471_200_000}, "are these milliseconds?"),
        ("{code: 200, time: {path: $.v, format: rfc3339}}", {"v": 3}, "not an RFC 3339 time"),
        ("fact: {user: $.v}", {"v": {"id": 1}}, "`fact`: Expected"),
        ("{code: 200, each: $.v}", {"v": 3}, "`each`: `$.v` is not a list"),
        ("{code: 200, each: $.v}", {"v": [0] * 1_001}, "1001 items; at most 1000"),
    ],
)
def test_what_cannot_be_used_is_refused_whole(entry: str, event: Any, said: str) -> None:
    entry = entry if not entry.startswith("{") else entry[1:-1].replace(", ", "\n", 1)
    batch, refused = taken(mapping(entry), event)
    assert len(refused) == 1
    assert said in refused[0]
    assert not batch.samples


@pytest.mark.parametrize(
    ("source", "written"),
    [
        ("$.t", "2026-01-15T10:00:00Z"),
        ("$.t", "2026-01-15T11:00:00+01:00"),
        ("$.t", AT / 1_000),
        ("$.t", str(AT // 1_000)),
        ("$.t", "1768471200.000"),
        ("{path: $.t, format: unix}", AT // 1_000),
        ("{path: $.t, format: unix_ms}", AT),
        ("{path: $.t, format: unix_us}", AT * 1_000),
        ("{path: $.t, format: unix_ns}", str(AT * 1_000_000)),
        ("{path: $.t, format: rfc3339}", "2026-01-15T10:00:00.000Z"),
    ],
)
def test_the_time_of_an_event(source: str, written: Any) -> None:
    batch, refused = taken(mapping(f"code: 200\ntime: {source}"), {"t": written})
    assert refused == []
    assert [sample.time_ms for sample in batch.samples] == [AT]


def test_an_event_without_a_time_happens_now() -> None:
    batch, _ = taken(mapping("code: 200\ntime: $.t"), {})
    assert [sample.time_ms for sample in batch.samples] == [NOW]


def test_texts_that_are_equal_as_keys_stay_apart() -> None:
    """`1`, `1.0`, `True` and `"1"`: a whole number has no dot, a boolean is a word."""
    by = mapping("code: 200\nvalues: {m: 1}\nlabels: {k: $.k}")
    batch, _ = taken(by, *({"k": k} for k in (True, 1, 1.0, "1", 1.5)))
    said = [labels["k"] for s in batch.samples if (labels := dict(s.labels)).get("k")]
    assert said == ["true", "1", "1", "1", "1.5"]


def test_a_label_has_so_many_values_and_then_other() -> None:
    by = mapping("values: {m: 1}\nlabels: {k: {path: $.k, limit: 2}, l: {path: $.k, allow: [b]}}")
    batch, _ = taken(by, *({"k": k} for k in "abcba"))
    said = [(dict(s.labels)["k"], dict(s.labels)["l"]) for s in batch.samples]
    assert said == [("a", "other"), ("b", "b"), ("other", "other"), ("b", "b"), ("a", "other")]
    assert by.over == {"k": 1, "l": 3}


def test_a_user_can_be_hashed() -> None:
    """SHA-256, the first half: the same user stays the same, and is not named."""
    by = mapping("fact: {user: {path: $.u, hash: true}, claimed_arm: canary}")
    batch, _ = taken(by, {"u": "u-4711"}, {"u": 4711})
    first, second = batch.facts
    assert isinstance(first, AnswerServed)
    assert isinstance(second, AnswerServed)
    assert first.user == "08e17dfd45fe47808193b95d6757ec72"
    assert first.claimed_arm == "canary"
    assert len(second.user) == 32
    assert second.user != first.user
