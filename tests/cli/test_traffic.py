import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import orjson
import pytest
from msgspec.structs import replace

from rollbackd.app.generating.conditions import Arm
from rollbackd.cli.client import Api, Connection
from rollbackd.cli.demo.application import FLAG
from rollbackd.cli.demo.observer import DRIFT, Observer
from rollbackd.cli.demo.recording import PLAN
from rollbackd.cli.demo.scene import Scene
from rollbackd.cli.demo.traffic import DaemonTime, Traffic
from rollbackd.events.native import decode
from tests.cli.fake_daemon import Asked, FakeDaemon
from tests.cli.samples import OPENED_MS, SCOPE, as_answer, detail, incident
from tests.services.polling import eventually

FLAG_ON = {"canary_weight": 1.0}


def controls(value: dict[str, object], *, tripped: bool = False) -> dict[str, object]:
    shown = {"value": value, "tripped": tripped}
    return {"scope": str(SCOPE), "controls": {FLAG: shown}}


@pytest.fixture
async def api(fake: FakeDaemon) -> AsyncIterator[Api]:
    fake.answer("POST /api/v1/events", {"accepted": 1})
    fake.answer("GET /api/v1/controls/rag/eu", controls(dict(FLAG_ON)))
    async with Api(Connection(url=fake.url)) as client:
        yield client


@pytest.fixture
def traffic(api: Api) -> Traffic:
    return Traffic(api, PLAN, DaemonTime(OPENED_MS, time.monotonic(), 40.0))


def events_of(asked: list[Asked]) -> list[dict[str, Any]]:
    """What was sent, in the order in which it was."""
    bodies = (a.body for a in asked if a.path == "/api/v1/events")
    return [orjson.loads(line) for body in bodies for line in body.splitlines()]


async def play_until(traffic: Traffic, condition: str) -> None:
    async def met() -> bool:
        return bool(eval(condition, {"t": traffic}))  # the test's own text

    task = asyncio.create_task(traffic.play())
    await eventually(met, within_seconds=10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_recording_is_played_at_the_daemons_pace(
    fake: FakeDaemon, traffic: Traffic
) -> None:
    """In the order of time, by the clock of the daemon, nothing ahead of it and nothing lost."""
    await play_until(traffic, "t.sent.total() > 300")
    sent = [a for a in fake.asked if a.path == "/api/v1/events"]
    assert {a.headers["Content-Type"] for a in sent} == {"application/x-ndjson"}
    now_ms = traffic.clock.now()
    told = events_of(sent)
    times = [event["ts"] * 1_000 for event in told]
    assert times == sorted(times)
    assert traffic.started_at_ms <= times[0]
    assert times[-1] <= now_ms
    assert Counter(e["event"] for e in events_of(sent[:-1])) <= traffic.sent
    batch = decode(sent[-1].body, now_ms=now_ms)
    assert {s.time_ms for s in batch.samples} <= set(map(round, times))


async def test_the_service_obeys_what_it_reads(fake: FakeDaemon, traffic: Traffic) -> None:
    """The weight comes from the daemon alone; the answers say what they were made with."""
    await play_until(traffic, "t.sent['answer.served'] > 50")
    assert (traffic.share(Arm.CANARY), traffic.share(Arm.BASELINE)) == (1.0, 0.0)
    assert traffic.shed_share() == 0.0
    answers = [e for e in events_of(fake.asked) if e["event"] == "answer.served"]
    assert {e["pins"]["PROMPT_VER"] for e in answers} == {"p-2026.11.22"}
    assert {e["claimed_arm"] for e in answers} == {Arm.CANARY}
    fake.answer(
        "GET /api/v1/controls/rag/eu",
        {"scope": str(SCOPE), "controls": {"throttle": {"value": {"breaker": "open"}}}},
    )
    await play_until(traffic, "t.shed_share() > 0")


async def test_what_a_daemon_does_not_take_now_it_gets_later(
    fake: FakeDaemon, traffic: Traffic
) -> None:
    """The demo does not die, and the known good is not lost."""
    fake.answer("POST /api/v1/events", {"error": "full"}, status=503)
    task = asyncio.create_task(traffic.play())

    async def refused() -> bool:
        return traffic.refusals > 1

    async def taken() -> bool:
        return traffic.sent.total() > 0

    await eventually(refused, within_seconds=10)
    assert not traffic.sent
    before = len(fake.asked)
    fake.answer("POST /api/v1/events", {"accepted": 1})
    await eventually(taken, within_seconds=10)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    first = events_of(fake.asked[before:])[0]
    assert first["ts"] * 1_000 - traffic.started_at_ms < 1_000


async def test_a_recording_that_is_over_is_over(traffic: Traffic) -> None:
    """It is not begun again."""
    traffic.plan = replace(PLAN, duration_ms=4_000)
    await traffic.play()
    assert traffic.recorded_ms >= 4_000


async def test_the_observer_sees_what_an_operator_would(
    fake: FakeDaemon, api: Api, traffic: Traffic
) -> None:
    """The drift, the newest incident with its journal, and the controls with their trips."""
    fake.answer("GET /api/v1/query", {"now_ms": 1, "vector": [{"labels": {}, "value": 0.19}]})
    fake.answer("GET /api/v1/incidents", {"incidents": []})
    scene = Scene(scope=str(SCOPE), speed=40, threshold=0.15)
    observer = Observer(api, traffic, scene)
    await play_until(traffic, "t.sent.total() > 0")
    await observer.look()
    assert scene.drift == [0.19]
    assert scene.detail is None
    asked = next(a for a in fake.asked if a.path == "/api/v1/query")
    assert asked.query == {"expr": DRIFT}

    fake.answer("GET /api/v1/incidents", {"incidents": [as_answer(incident())]})
    fake.answer("GET /api/v1/incidents/inc-1", as_answer(detail()))
    fake.answer("GET /api/v1/controls/rag/eu", controls({"global_off": True}, tripped=True))
    await play_until(traffic, "t.application.controls['flag:canary'].get('global_off')")
    await observer.look()
    assert scene.detail is not None
    assert scene.during == {FLAG: {"global_off": True}}
    assert scene.controls[FLAG].tripped


@pytest.mark.parametrize("vector", [[], [{"labels": {}, "value": None}]])
async def test_no_drift_is_a_gap_in_the_plot(
    fake: FakeDaemon, api: Api, traffic: Traffic, vector: list[object]
) -> None:
    """No data is not zero."""
    fake.answer("GET /api/v1/query", {"now_ms": 1, "vector": vector})
    fake.answer("GET /api/v1/incidents", {"incidents": []})
    scene = Scene(scope=str(SCOPE), speed=40, threshold=0.15)
    traffic.started_at_ms = OPENED_MS
    await Observer(api, traffic, scene).look()
    assert scene.drift == [None]
