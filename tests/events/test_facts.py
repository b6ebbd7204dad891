"""The keys of an event become one fact or change, whole or not at all."""

from typing import Any

import pytest

from rollbackd.events import native
from rollbackd.events.facts import KEYS_OF
from rollbackd.model import facts as f
from rollbackd.model.events import Batch, Rejected
from rollbackd.model.labels import Scope
from tests.events.bodies import NOW, PINS, encoded, lines

EU = Scope("rag", "eu")
ABOUT: dict[str, Any] = {"scope": EU, "time_ms": NOW, "arm": "canary"}
BARE = {"ts": NOW / 1_000, "service": "rag", "region": "eu", "arm": "canary"}

#: (event with its keys, what it becomes).
GOLDEN: list[tuple[dict[str, Any], Any]] = [
    (
        {"event": "answer.served", "user": "u-1", "claimed_arm": "baseline", "pins": PINS},
        f.AnswerServed(**ABOUT, pins=PINS, user="u-1", claimed_arm="baseline"),
    ),
    ({"event": "answer.served", "user": 7}, f.AnswerServed(**ABOUT, pins={}, user="7")),
    ({"event": "answer.served", "pins": PINS}, f.AnswerServed(**ABOUT, pins=PINS)),
    (
        {
            "event": "cache.event", "hit": True, "pins": PINS, "namespace": "ns-1", "shadow": True,
            "entry_pins": {"index_hash": "b2", "EMBED_DIM": 768, "NORM": "l2"},
        },
        f.CacheRead(
            **ABOUT, hit=True, pins=PINS, namespace="ns-1", shadow=True,
            entry_pins={"INDEX_HASH": "b2", "EMBED_DIM": "768", "NORM": "l2"},
        ),
    ),
    (
        {"event": "cache.event", "hit": False},
        f.CacheRead(**ABOUT, hit=False, pins={}, entry_pins={}),
    ),
    (
        {"event": "effect.receipt", "key": "k", "effect_id": "e", "action": "charge"},
        f.EffectReceipt(**ABOUT, key="k", effect_id="e", action="charge"),
    ),
    (
        {"event": "effect.receipt", "key": 5, "status": "unknown", "incident_id": "INC-1"},
        f.EffectReceipt(**ABOUT, key="5", status=f.EffectStatus.UNKNOWN, incident_id="INC-1"),
    ),
    (
        {"event": "dedupe.decision", "key": "k", "decision": "conflict", "effect_id": "e"},
        f.DedupeDecided(**ABOUT, key="k", decision=f.DedupeDecision.CONFLICT, effect_id="e"),
    ),
    (
        {
            "event": "tool.call", "trace_id": "t", "tool": "search", "args_hash": "a",
            "output_hash": "o",
        },
        f.ToolCalled(**ABOUT, trace_id="t", tool="search", args_hash="a", output_hash="o"),
    ),
    (
        {"event": "retriever.heartbeat", "reader": "r-1", "pins": PINS, "documents": 12},
        f.RetrieverSeen(**ABOUT, reader="r-1", pins=PINS, documents=12),
    ),
    *(
        (
            {
                "event": "probe.lambda", "question": "q", "seed": 1, "paraphrase": 2,
                "state": written,
            },
            f.LambdaProbed(**ABOUT, question="q", seed="1", paraphrase="2", state=state),
        )
        for written, state in [
            ("divergent", "divergent"), ("→", "convergent"), ("←", "divergent"),
            ("<>", "recursive"), ("\u00d7", "chaotic"),
        ]
    ),
    (
        {"event": "retry.window", "requests": 100, "throttled": 3, "retries": 3, "adhered": 2},
        f.Retried(**ABOUT, requests=100, throttled=3, retries=3, adhered=2),
    ),
]  # fmt: skip


def decoded(event: dict[str, Any]) -> Batch:
    return native.decode(encoded({**BARE, **event}), now_ms=NOW)


@pytest.mark.parametrize(("event", "fact"), GOLDEN)
def test_an_event_with_its_keys_is_a_fact(event: dict[str, Any], fact: f.AnyFact) -> None:
    assert decoded(event).facts == [fact]


def test_a_change_is_no_fact() -> None:
    event = {
        "event": "change", "kind": "deploy", "subject": "rag-api", "before": 1, "after": "2",
        "by": "eve", "link": "https://ci.example/7",
    }  # fmt: skip
    batch = decoded(event)
    assert batch.facts == []
    assert batch.changes == [
        f.ChangeEvent(
            scope=EU, kind=f.ChangeKind.DEPLOY, subject="rag-api", time_ms=NOW, before="1",
            after="2", by="eve", link="https://ci.example/7",
        )
    ]  # fmt: skip


@pytest.mark.parametrize("event", [*KEYS_OF, "http.window"])
def test_without_any_of_its_keys_an_event_is_what_it_was(event: str) -> None:
    """Samples stay, and no fact is there, whatever else it carries."""
    batch = decoded({"event": event, "values": {"n": 1}, "code": 200, "other": [1]})
    assert len(batch.samples) == 2
    assert (batch.facts, batch.changes) == ([], [])


@pytest.mark.parametrize("key", ["user", "key", "status", "kind", "requests", "hit", "state"])
def test_other_events_may_use_the_names_for_anything(key: str) -> None:
    assert decoded({"event": "mine", key: {"a": [1]}, "values": {"n": 1}}).facts == []


def test_a_fact_and_the_samples_of_its_event_go_together() -> None:
    batch = decoded({"event": "tool.call", "trace_id": "t", "tool": "x", "args_hash": "a",
                     "values": {"tool_seconds": 0.2}, "pins": PINS})  # fmt: skip
    assert len(batch.facts) == len(batch.samples) == len(batch.pins) == 1


BAD: list[tuple[dict[str, Any], str]] = [
    ({"event": "answer.served", "user": 1.5}, "`user`: expected `int | str"),
    ({"event": "answer.served", "user": ["u"]}, "`user`: expected `int | str"),
    ({"event": "answer.served", "user": "u" * 2_049}, "`user`: `uuu.* has 2049 characters"),
    ({"event": "answer.served", "user": "u", "service": ...}, "`service` is missing"),
    ({"event": "answer.served", "user": "u", "arm": "a b"}, "`arm`: `a b` is not allowed"),
    ({"event": "cache.event", "hit": "yes"}, "`hit`: expected `bool"),
    ({"event": "cache.event", "shadow": True}, "`hit` is missing"),
    ({"event": "cache.event", "hit": True}, "`entry_pins` is missing"),
    ({"event": "cache.event", "hit": True, "entry_pins": {"a b": 1}}, "`entry_pins`: `a b`"),
    ({"event": "effect.receipt", "effect_id": "e"}, "`key` is missing"),
    ({"event": "effect.receipt", "key": ""}, "`key` is empty"),
    (
        {"event": "effect.receipt", "key": "k", "status": "done"},
        "`status`: `done` is .* one of pending, sealed, failed, unknown",
    ),
    ({"event": "dedupe.decision", "key": "k"}, "`decision` is missing"),
    (
        {"event": "dedupe.decision", "key": "k", "decision": "maybe"},
        "`decision`: `maybe`.*new, duplicate, conflict",
    ),
    ({"event": "tool.call", "trace_id": "t", "tool": "x"}, "`args_hash` is missing"),
    ({"event": "tool.call", "trace_id": "t", "tool": 1, "args_hash": "a"}, "`tool`: expected `str"),
    ({"event": "retriever.heartbeat", "reader": "r"}, "`pins` is missing"),
    ({"event": "retriever.heartbeat", "documents": 1, "pins": PINS}, "`reader` is missing"),
    (
        {"event": "retriever.heartbeat", "reader": "r", "pins": PINS, "documents": -1},
        "`documents`: `-1`",
    ),
    (
        {"event": "probe.lambda", "question": "q", "seed": 1, "paraphrase": 1, "state": "ok"},
        "`state`: `ok` is .* convergent, divergent, recursive, chaotic",
    ),
    ({"event": "probe.lambda", "state": "→", "seed": 1, "paraphrase": 1}, "`question` is missing"),
    ({"event": "retry.window", "throttled": 1}, "`requests` is missing"),
    (
        {"event": "retry.window", "requests": 1, "throttled": 2},
        "`throttled`: `2` is more than the 1",
    ),
    (
        {"event": "retry.window", "requests": 1, "throttled": 0, "adhered": 1},
        "`adhered`: `1` is more than the 0",
    ),
    (
        {"event": "retry.window", "requests": 1 << 60, "throttled": 0},
        "`requests`: .* is not a count",
    ),
    (
        {"event": "change", "kind": "magic", "subject": "x"},
        "`kind`: `magic`.*deploy, flag, index, prompt, config",
    ),
    ({"event": "change", "kind": "flag"}, "`subject` is missing"),
    ({"event": "change", "subject": "x"}, "`kind` is missing"),
]


@pytest.mark.parametrize(("event", "because"), BAD)
def test_half_a_fact_is_rejected_with_the_key(event: dict[str, Any], because: str) -> None:
    """Nothing of the event is taken, neither samples nor pins."""
    whole = {**BARE, "values": {"n": 1}, "pins": PINS, **event}
    whole = {key: value for key, value in whole.items() if value is not ...}
    if event["event"] == "retriever.heartbeat" and "pins" not in event:
        del whole["pins"]
    body = lines({**BARE, "event": "e"}, whole)
    with pytest.raises(Rejected, match=f"event 1: {because}") as caught:
        native.decode(body, now_ms=NOW)
    assert caught.value.position == 1


def test_answers_to_nobody_are_one_fact_of_a_body_at_the_latest_time() -> None:
    times = [NOW - 3_000, NOW - 1_000, NOW - 2_000]
    events = [{**BARE, "event": "answer.served", "ts": t / 1_000, "pins": PINS} for t in times]
    batch = native.decode(lines(*events), now_ms=NOW)
    assert batch.facts == [f.AnswerServed(**{**ABOUT, "time_ms": NOW - 1_000}, pins=PINS)]
    assert len(batch.pins) == 1


@pytest.mark.parametrize("event", ["quality.sample", "retriever.heartbeat"])
def test_pins_of_other_events_are_no_answers(event: str) -> None:
    batch = decoded({"event": event, "pins": PINS})
    assert (len(batch.pins), batch.facts) == (1, [])


def test_answers_to_somebody_are_not_told_twice() -> None:
    events = [{**BARE, "event": "answer.served", "user": u, "pins": PINS} for u in ("u", "v", "u")]
    assert len(native.decode(lines(*events), now_ms=NOW).facts) == 3
