import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from rollbackd.cli.client import Api, Connection
from rollbackd.cli.demo.application import CANARY, FLAG
from rollbackd.cli.demo.observer import DRIFT, Observer
from rollbackd.cli.demo.recording import Rollout
from rollbackd.cli.demo.scene import Scene
from rollbackd.cli.demo.traffic import DaemonTime, Traffic
from rollbackd.events.native import decode
from tests.cli.fake_daemon import FakeDaemon
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
    return Traffic(api, SCOPE, DaemonTime(OPENED_MS, time.monotonic(), 40.0), Rollout())


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
    """Sixteen requests a recorded second, stamped with the daemon's time, none lost."""
    await play_until(traffic, "t.events_sent > 300")
    sent = [a for a in fake.asked if a.path == "/api/v1/events"]
    assert {a.headers["Content-Type"] for a in sent} == {"application/x-ndjson"}
    now_ms = traffic.clock.now()
    samples = [s for a in sent for s in decode(a.body, now_ms=now_ms).samples]
    times = [s.time_ms for s in samples]
    assert times == sorted(times)
    assert times[0] >= OPENED_MS
    assert traffic.events_sent == sum(dict(s.labels)["__name__"] == "requests" for s in samples)


async def test_the_service_obeys_what_it_reads(traffic: Traffic) -> None:
    """The weight comes from the daemon and from nowhere else."""
    await play_until(traffic, "t.events_sent > 50")
    assert traffic.application.share(CANARY) == 1.0


async def test_a_daemon_that_says_not_now_loses_a_batch_and_no_more(
    fake: FakeDaemon, traffic: Traffic
) -> None:
    """Users do not wait, and the demo does not die."""
    fake.answer("POST /api/v1/events", {"error": "full"}, status=503)
    await play_until(traffic, "t.batches_lost > 0")
    fake.answer("POST /api/v1/events", {"accepted": 1})
    await play_until(traffic, "t.events_sent > 0")


async def test_the_observer_sees_what_an_operator_would(
    fake: FakeDaemon, api: Api, traffic: Traffic
) -> None:
    """The drift, the newest incident with its journal, and the controls with their trips."""
    fake.answer("GET /api/v1/query", {"now_ms": 1, "vector": [{"labels": {}, "value": 0.19}]})
    fake.answer("GET /api/v1/incidents", {"incidents": []})
    scene = Scene(scope=str(SCOPE), speed=40, threshold=0.15)
    observer = Observer(api, traffic, scene)
    await play_until(traffic, "t.events_sent > 0")
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
