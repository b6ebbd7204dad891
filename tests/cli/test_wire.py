from itertools import islice

import pytest

from rollbackd.cli.demo.application import CANARY, FLAG, Application
from rollbackd.cli.demo.recording import Rollout, record
from rollbackd.cli.demo.wire import BAD_PROMPT, GOOD_PINS, INTENTS, encode, known_good
from rollbackd.events.native import decode
from rollbackd.model.labels import Scope
from rollbackd.model.pins import REQUIRED_PINS

NOW_MS = 1_763_841_600_000
SCOPE = Scope("rag", "eu")


def test_what_the_service_says_is_what_the_daemon_reads() -> None:
    """Quality, latency, the code and the pins of the arm, at the recorded time."""
    app = Application(controls={FLAG: {"canary_weight": 1.0}, "writes": {"blocked": True}})
    requests = list(islice(record(Rollout()), 200))
    served = [app.serve(request) for request in requests]
    batch = decode(encode(served, scope=SCOPE, started_at_ms=NOW_MS), now_ms=NOW_MS + 60_000)
    names = {dict(sample.labels)["__name__"] for sample in batch.samples}
    assert names == {"delta_s", "coverage", "latency_seconds", "requests"}
    codes = {dict(s.labels).get("code") for s in batch.samples}
    assert {"200", "202"} <= codes
    assert {dict(sample.labels)["arm"] for sample in batch.samples} == {CANARY}
    assert batch.samples[0].time_ms == NOW_MS + requests[0].at_ms
    assert {pins.pins["PROMPT_VER"] for pins in batch.pins} == {BAD_PROMPT}


def test_a_request_that_was_shed_is_a_429_without_quality() -> None:
    """Nothing was answered, so nothing was measured."""
    app = Application(controls={"throttle": {"breaker": "open"}})
    served = [app.serve(next(record(Rollout())))]
    (sample,) = decode(encode(served, scope=SCOPE, started_at_ms=NOW_MS), now_ms=NOW_MS).samples
    assert dict(sample.labels)["code"] == "429"


def test_the_known_good_holds_pins_switches_and_the_measured_window() -> None:
    """Everything that a way back needs, and every pin that the runbook requires."""
    app = Application()
    for request in islice(record(Rollout()), 1_000):
        app.serve(request)
    body = known_good(app, scope=SCOPE, now_ms=NOW_MS)
    (known,) = decode(body, now_ms=NOW_MS).known_good
    assert known.scope == SCOPE
    assert known.pins == GOOD_PINS
    assert set(REQUIRED_PINS) <= set(known.pins)
    assert known.controls == dict(INTENTS)
    assert known.baseline["delta_s"]["p95"] == pytest.approx(0.396, abs=0.02)
    assert known.baseline["latency_seconds"]["p99"] > known.baseline["latency_seconds"]["p95"]
    assert known.baseline["coverage"]["count"] >= 200
