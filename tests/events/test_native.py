import json
from typing import Any

import pytest

from rollbackd.events import native as decoder
from rollbackd.events.collecting import Collector
from rollbackd.events.envelope import Envelope, EventReader
from rollbackd.events.series import EventSeries, Sender, SeriesCache
from rollbackd.model.events import Batch, KnownGood, KnownTarget, PinsSeen, Rejected, Sample
from rollbackd.model.labels import Scope
from tests.events.bodies import NOW, PINS, encoded, lines, native


def decode(body: bytes) -> Batch:
    return decoder.decode(body, now_ms=NOW)


def judge(body: bytes) -> tuple[Batch, list[Rejected | None]]:
    """What the good items of a body say, and the verdict on each."""
    into = Collector()
    verdicts = list(decoder.decode_each(body, into, now_ms=NOW))
    return into.batch(), verdicts


def test_an_event_becomes_samples_and_pins() -> None:
    """Each value, the code and the pins of one event; unknown fields are ignored."""
    batch = decode(encoded(native(trace_id="t-1", sticky=True)))
    own = (("arm", "canary"), ("region", "eu"), ("service", "rag"), ("stage", "retrieve"))
    assert batch.samples == [
        Sample((("__name__", "delta_s"), *own), 0.31, NOW - 750),
        Sample((("__name__", "latency_seconds"), *own), 0.4, NOW - 750),
        Sample(
            (
                ("__name__", "requests"),
                ("arm", "canary"),
                ("code", "200"),
                ("region", "eu"),
                ("service", "rag"),
            ),
            1.0,
            NOW - 750,
        ),
    ]
    assert batch.pins == [
        PinsSeen(scope=Scope("rag", "eu"), arm="canary", pins=PINS, time_ms=NOW - 750)
    ]
    assert batch.alerts == []
    assert batch.known_good == []


def test_the_pins_of_a_retriever_are_those_of_a_part() -> None:
    """It knows no others; a request of the same arm with the same pins is told apart."""
    beat = native(event="retriever.heartbeat", reader="r-1", code=None, values=None)
    batch = decode(encoded(beat) + b"\n" + encoded(native()))
    assert [(seen.pins, seen.partial) for seen in batch.pins] == [(PINS, True), (PINS, False)]


@pytest.mark.parametrize(
    ("ts", "time_ms"),
    [
        ("2026-11-22T20:00:00Z", NOW),
        ("2026-11-22T21:00:00.001+01:00", NOW + 1),
        ("2026-11-22 20:00:00z", NOW),
        (NOW // 1000, NOW),
        (NOW / 1000 + 0.125, NOW + 125),
        (0, 0),
        (..., NOW),
        (None, NOW),
        (NOW / 1000 + 300, NOW + 300_000),
    ],
)
def test_times(ts: object, time_ms: int) -> None:
    """RFC 3339 with any offset, Unix seconds, or no time at all."""
    assert decode(encoded(native(ts=ts))).samples[0].time_ms == time_ms


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"event": ...}, "`event` is missing"),
        ({"event": ""}, "`event` is missing"),
        ({"ts": NOW / 1000 + 300.001}, "more than 5 minutes in the future"),
        ({"ts": NOW}, "are these milliseconds?"),
        ({"ts": 1e300}, "in the future"),
        ({"ts": -1}, "before 1970"),
        ({"ts": "2026-11-22T20:00:00"}, "no time zone; for UTC write `2026-11-22T20:00:00Z`"),
        ({"ts": "yesterday"}, '`ts`: invalid RFC3339 encoded datetime in `"yesterday"`'),
        ({"ts": [1]}, "`ts`: expected"),
        (
            {"values": {"delta_s": None}},
            'got `null` in `{"delta_s":null}`; no data is not a number',
        ),
        ({"values": {"delta_s": "NaN"}}, "`values[...]`: expected `float`, got `str`"),
        ({"values": {"delta_s": True}}, "expected `float`, got `bool`"),
        ({"values": {"delta-s": 1}}, "`delta-s` is not a metric name"),
        ({"values": {"delta_s\n": 1}}, "is not a metric name"),
        ({"values": {"": 1}}, "is not a metric name"),
        ({"values": {"ALERTS": 1}}, "`ALERTS` is reserved"),
        ({"values": {"baseline:delta_s:p95": 1}}, "is reserved"),
        ({"values": {f"m{i}": 1 for i in range(201)}}, "201 values; at most 200"),
        ({"values": [1]}, "`values`: expected `object | null`, got `array` in `[1]`"),
        ({"labels": {"__name__": "x"}}, "`labels.__name__` is not allowed"),
        ({"labels": {"a:b": "x"}}, "`a:b` is not a name"),
        ({"labels": {"1": "x"}}, "`1` is not a name"),
        ({"labels": {"region": "us"}}, "`us` is not the event's own `region` `eu`"),
        ({"labels": {"a": "x" * 2049}}, "has 2049 characters; at most 2048"),
        ({"labels": {"a": ["x"]}}, "`labels[...]`: expected"),
        ({"labels": {"a": None}}, "`labels[...]`: expected"),
        ({"labels": {f"l{i}": "x" for i in range(31)}}, "31 labels; at most 30"),
        ({"service": "r/g"}, "`service`: `r/g` is not allowed"),
        ({"service": "rag\n", "pins": ...}, "`service`: `rag\n` is not allowed"),
        ({"service": ...}, "`service` is missing"),
        ({"region": "é"}, "`region`: `é` is not allowed"),
        ({"arm": "a" * 129}, "`arm`: `aaa"),
        ({"code": True}, "`code`: expected"),
        ({"code": "4 4"}, "`code`: `4 4` is not allowed"),
        ({"pins": {"a b": "1"}}, "`pins`: `a b` is not a name"),
        ({"pins": {"INDEX_HASH": None}}, "`pins[...]`: expected"),
        ({"pins": {"INDEX_HASH": "a", "index_hash": "b"}}, "INDEX_HASH is `a`, but `index_hash`"),
        ({"pins": {f"P{i}": "x" for i in range(65)}}, "65 pins; at most 64"),
    ],
)
def test_rejected(changes: dict[str, Any], message: str) -> None:
    """Every mistake is named with its field, its value and what is allowed."""
    with pytest.raises(Rejected) as rejected:
        decode(encoded(native(**changes)))
    assert message in str(rejected.value)
    assert rejected.value.position in {None, 0}


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" \n ",
        b"null",
        b"1",
        b'"x"',
        b"{",
        b'{"event":"a"}}',
        b'{"event":"\xff"}',
        b'{"event":"\\ud800"}',
        b'{"event":"a","values":{"x":1e999}}',
        b'{"event":"a","values":{"x":NaN}}',
        b"[{]",
        b"[1]",
        b"[" * 100_000,
        b'{"event":"a","x":' + b"[" * 100_000,
        b'{"event":"a","controls":' + b'{"a":' * 100_000,
        b"\xef\xbb\xbf{}",
        b"\x00",
    ],
    ids=lambda body: repr(body[:20]),
)
def test_malformed(body: bytes) -> None:
    """What is not an event is rejected with what it begins with, and never longer than a line."""
    with pytest.raises(Rejected) as rejected:
        decode(body)
    assert len(str(rejected.value)) < 400


def test_no_sample_of_a_rejected_event_stays() -> None:
    """The first value of an event whose second one is refused is not kept."""
    bad = native(values={"good": 1, "not good": 2})
    good = native(values={"other": 3}, code=..., pins=...)
    batch, (first, second) = judge(lines(bad, good))
    assert isinstance(first, Rejected)
    assert second is None
    assert [s.value for s in batch.samples] == [3.0]


@pytest.mark.parametrize("alias", ["color", "variant", "arm"])
def test_the_arm_has_three_names(alias: str) -> None:
    batch = decode(encoded(native(**{"arm": ..., alias: "green"})))
    assert dict(batch.samples[0].labels)["arm"] == "green"
    assert batch.pins[0].arm == "green"


def test_a_missing_region_is_no_label_and_the_scope_global() -> None:
    batch = decode(encoded(native(region=...)))
    assert "region" not in dict(batch.samples[0].labels)
    assert batch.pins[0].scope == Scope("rag", "global")


def test_values_without_a_service_are_allowed() -> None:
    """The labels that name a scope are configurable, so that `service` may be another label."""
    batch = decode(encoded(native(service=..., pins=..., code=..., labels={"app": "rag"})))
    assert dict(batch.samples[0].labels)["app"] == "rag"


def test_label_values_become_text() -> None:
    """Equal as numbers, but three labels: the memory of label sets keeps them apart."""
    texts = [
        dict(decode(encoded(native(labels={"a": value}))).samples[0].labels).get("a")
        for value in (1, True, 1.0, "1", False, 10**30, "", "é")
    ]
    assert texts == ["1", "true", "1.0", "1", "false", str(10**30), None, "é"]


def test_order_of_labels_does_not_matter() -> None:
    one = decode(encoded(native(labels={"a": "1", "b": "2"}))).samples[0].labels
    two = decode(encoded(native(labels={"b": "2", "a": "1"}))).samples[0].labels
    assert one == two
    assert list(one) == sorted(one)


def test_labels_of_equal_events_are_one_object() -> None:
    """The hot path builds no label tuple."""
    one, two = (decode(encoded(native())).samples[0].labels for _ in range(2))
    assert one is two


def test_pin_aliases() -> None:
    """Other names for the same pin, in any case; unknown pins keep their name."""
    pins = {
        "index_hash": "a",
        "embed_model": "b",
        "analyzer": "c",
        "build": 12,
        "TOKENIZER_VER": "d",
        "MODEL_TAG": "e",
        "prompt_rev": "f",
        "embed_dim": 768,
        "METRIC": "cosine",
        "RERANK_HASH": "g",
        "WF_REV": "h",
        "NORM": True,
    }
    assert decode(encoded(native(pins=pins))).pins[0].pins == {
        "INDEX_HASH": "a",
        "EMBED_MODEL_VER": "b",
        "ANALYZER_CONF": "c",
        "BUILD_ID": "12",
        "TOK_VER": "d",
        "MODEL_VER": "e",
        "PROMPT_VER": "f",
        "EMBED_DIM": "768",
        "metric": "cosine",
        "RERANK_HASH": "g",
        "WF_REV": "h",
        "NORM": "true",
    }


def test_the_same_pin_said_twice_alike_is_one() -> None:
    batch = decode(encoded(native(pins={"INDEX_HASH": "a", "index_hash": "a"})))
    assert batch.pins[0].pins == {"INDEX_HASH": "a"}


def test_equal_pins_in_one_body_are_one_sighting_at_the_latest_time() -> None:
    early, late, other = (
        native(ts=NOW / 1000 - 10),
        native(ts=NOW / 1000 - 5),
        native(pins={"INDEX_HASH": "else"}),
    )
    pins = decode(lines(late, early, other)).pins
    assert [(p.pins["INDEX_HASH"], p.time_ms) for p in pins] == [
        ("a1d9f0", NOW - 5_000),
        ("else", NOW - 750),
    ]


def test_baseline_pinned_becomes_known_good() -> None:
    body = {
        "event": "baseline.pinned",
        "ts": NOW / 1000,
        "service": "rag",
        "region": "eu",
        "pins": {"index_hash": "a1d9f0"},
        "controls": {"alias:docs_live": {"index": "docs_vA"}},
        "baseline": {"delta_s": {"p50": 0.2, "p95": 0.41, "count": 1800}},
    }
    assert decode(encoded(body)) == Batch(
        known_good=[
            KnownGood(
                scope=Scope("rag", "eu"),
                pins={"INDEX_HASH": "a1d9f0"},
                recorded_at_ms=NOW,
                controls={"alias:docs_live": {"index": "docs_vA"}},
                baseline={"delta_s": {"p50": 0.2, "p95": 0.41, "count": 1800.0}},
            )
        ]
    )


def test_baseline_pinned_says_what_stood_at_targets() -> None:
    """What levers on other systems go back to, by lever and name."""
    body = {
        "event": "baseline.pinned",
        "ts": NOW / 1000,
        "service": "rag",
        "pins": {"index_hash": "a1d9f0"},
        "targets": {
            "qdrant:docs/live": {"value": {"collection": "a"}, "facts": {"documents": 7}},
            "edge": {"value": {"weight": 1}},
        },
    }
    (known,) = decode(encoded(body)).known_good
    assert known.targets == {
        "qdrant:docs/live": KnownTarget(value={"collection": "a"}, facts={"documents": 7}),
        "edge": KnownTarget(value={"weight": 1}),
    }


def nested(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"service": None}, "`service` is missing; `baseline.pinned` are of one service"),
        ({"pins": {}}, "neither `pins` nor `controls`"),
        ({"baseline": {"delta_s": {"p95": None}}}, "no data is not a number"),
        ({"baseline": {"delta s": {"p95": 1}}}, "`delta s` is not a metric name"),
        ({"baseline": {"delta_s": {"p 95": 1}}}, "`p 95` is not a name"),
        ({"controls": {"": 1}}, "`` is not a control name"),
        ({"controls": {"a": nested(17)}}, "`controls.a`: more than 16 levels"),
        ({"targets": {"": {"value": {}}}}, "`` is not a target; write `<lever>`"),
        ({"targets": {"a b": {"value": {}}}}, "`a b` is not a target"),
        ({"targets": {"a": {"value": nested(17)}}}, "`targets.a`: more than 16 levels"),
        ({"targets": {"a": {}}}, "`targets`: Object missing required field `value`"),
        ({"targets": {"a": {"value": 1}}}, "`targets`: Expected `object`, got `int`"),
        ({"targets": {f"a{n}": {"value": {}} for n in range(201)}}, "at most 200 are allowed"),
    ],
)
def test_baseline_rejected(changes: dict[str, Any], message: str) -> None:
    body = {"event": "baseline.pinned", "service": "rag", "pins": {"INDEX_HASH": "a"}, **changes}
    with pytest.raises(Rejected, match=message.replace("(", r"\(")):
        decode(encoded(body))


@pytest.mark.parametrize(
    "body",
    [
        lines(native(), native()),
        b"\n\n" + lines(native()) + b"\r\n\r\n" + lines(native()) + b"\n",
        encoded([native(), native()]),
        json.dumps([native(), native()], indent=2).encode(),
        b" " + encoded([native(), native()]),
    ],
)
def test_several_events_by_shape(body: bytes) -> None:
    """An array or NDJSON is told by its shape, whatever the content type said."""
    assert len(decode(body).samples) == 6
    assert judge(body)[1] == [None, None]


def test_one_event_over_several_lines() -> None:
    body = json.dumps(native(), indent=2).encode()
    assert len(decode(body).samples) == 3
    assert judge(body)[1] == [None]


def test_a_broken_event_over_several_lines_is_one_mistake() -> None:
    body = json.dumps(native(ts="x"), indent=2).encode()
    _, (rejected,) = judge(body)
    assert "`ts`" in str(rejected)


def test_an_empty_array_holds_nothing() -> None:
    assert decode(b"[]") == Batch()


def test_the_first_mistake_carries_its_position() -> None:
    with pytest.raises(Rejected, match="event 1: `event` is missing") as rejected:
        decode(encoded([native(), native(event=""), native(ts="x")]))
    assert rejected.value.position == 1


def test_each_item_of_a_stream_is_judged_alone() -> None:
    body = b"\n".join([encoded(native()), b"{broken", encoded(native()), b"[]", b"7"])
    batch, verdicts = judge(body)
    assert len(batch.samples) == 6
    assert [v is None for v in verdicts] == [True, False, True, False, False]
    assert [v.position for v in verdicts if isinstance(v, Rejected)] == [1, 3, 4]


def test_too_many_events() -> None:
    one = b'{"event":"a"}'
    assert decode(b"\n".join([one] * decoder.MAX_EVENTS)) == Batch()
    for body in (
        b"\n".join([one] * (decoder.MAX_EVENTS + 1)),
        b"[" + b",".join([one] * (decoder.MAX_EVENTS + 1)) + b"]",
        one + b"\n" * (3 * decoder.MAX_EVENTS) + one,
    ):
        with pytest.raises(Rejected, match="events"):
            decode(body)


def test_the_memory_of_label_sets_is_bounded() -> None:
    """It forgets what was not used since its last turn, and keeps what is in use."""
    cache = SeriesCache(size=10)
    hot = cache.get(("hot", "", "", ()))
    for i in range(1_000):
        cache.get((f"s{i}", "", "", ()))
        assert cache.get(("hot", "", "", ())) is hot
        assert len(cache) <= 20


def test_one_label_set_may_not_fill_the_memory_with_names() -> None:
    sender = Sender("rag", "eu", "canary")
    series = EventSeries(sender, (("Zone", "a"),))
    for i in range(5_000):
        assert series[f"m{i}"][1] == ("__name__", f"m{i}")
        assert list(series[f"m{i}"]) == sorted(series[f"m{i}"])
        assert dict(sender.requests(str(i)))["code"] == str(i)
        assert series.schema((f"m{i}",), None).series == (series[f"m{i}"],)
    assert len(series) <= 1_000
    assert max(len(sender._codes), 10 * len(series._schemas)) <= 1_000


def test_pins_are_remembered_up_to_a_bound() -> None:
    reader = EventReader()
    for i in range(10_050):
        reader.read(
            Envelope(event="a", service="rag", pins={"GIT_SHA": str(i)}),
            b"{}",
            Collector(),
            now_ms=NOW,
        )
    assert len(reader._sightings) <= 10_000
