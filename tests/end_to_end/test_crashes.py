"""`kill -9` at four moments of every act of every branch: same end, each effect once."""

import asyncio
import json
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.backends import redis_cli
from tests.end_to_end.crashing import MOMENTS
from tests.end_to_end.daemon import BRANCHES, TREE, DaemonProcess, rollout
from tests.services.polling import eventually
from tests.services.redis import Redis

_SHORT: Final = TREE.replace("hold: 1s", "hold: 300ms").replace("200ms", "100ms")
#: A database of the shared Redis that no other suite uses.
_DATABASE: Final = "6"


class CrashingDaemon(DaemonProcess):
    """A daemon that dies where it is told to."""

    def __init__(self, directory: Path, config: dict[str, Any], tree: str = _SHORT) -> None:
        self.plan = directory / "plan"
        self.effects_log = directory / "effects"
        super().__init__(
            directory,
            config=config,
            tree=tree,
            program=(
                "env",
                f"CRASH_PLAN={self.plan}",
                f"CRASH_LOG={self.effects_log}",
                f"PYTHONPATH={Path.cwd()}",
                sys.executable,
                "-m",
                "tests.end_to_end.crashing",
            ),
        )

    def effects(self) -> dict[str, list[tuple[str, object]]]:
        """What took effect for each scope, in order."""
        found: dict[str, list[tuple[str, object]]] = {}
        ops: Counter[str] = Counter()
        for text in self.effects_log.read_text().splitlines():
            line = json.loads(text)
            ops[line["op"]] += 1
            found.setdefault(line["scope"], []).append((line["control"], line["trip"]))
        assert not [op for op, times in ops.items() if times > 1]
        return found


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(400)
async def test_an_incident_ends_the_same_wherever_the_daemon_was_killed(
    redis_server: Redis, tmp_path: Path
) -> None:
    """On SQLite and on Redis: after a crash at any moment of any act all is as after a calm run."""
    redis_cli(redis_server, "-n", _DATABASE, "FLUSHDB")
    redis = {"url": f"redis://{redis_server.address}/{_DATABASE}"}
    await asyncio.gather(
        crash_everywhere(tmp_path / "sqlite", {}),
        crash_everywhere(
            tmp_path / "redis", {"store": "redis", "controls": "redis", "redis": redis}
        ),
    )


async def crash_everywhere(directory: Path, config: dict[str, Any]) -> None:
    """Let one daemon go from crash to crash.

    Each crash hits one incident of its own; what is still open of the ones before has to come
    through it as well.
    """
    async with CrashingDaemon(directory, config) as daemon:
        calm = [f"calm-{number}/eu" for number in range(len(BRANCHES))]
        async with healthy(daemon, calm):
            for scope, branch in zip(calm, BRANCHES, strict=True):
                await rollout(daemon, scope)
                await send_alert(daemon, scope, branch)
            ends = [await end_of(daemon, scope) for scope in calm]
        effects = daemon.effects()
        points = {
            f"crash-{number}-{moment}-{act}/eu": (number, moment, act)
            for number, end in enumerate(ends)
            for act in range(1, len(end["receipts"]) + 1)
            for moment in MOMENTS
        }
        assert len(points) == len(MOMENTS) * sum(len(end["receipts"]) for end in ends) >= 64
        async with healthy(daemon, points):
            for scope, (number, moment, act) in points.items():
                await rollout(daemon, scope)
                await crash(daemon, scope, BRANCHES[number], f"{moment} {act}")
            for scope, (number, moment, act) in points.items():
                end = await end_of(daemon, scope)
                assert end == ends[number], f"after a crash {moment} {act} of {BRANCHES[number]}"
        happened = daemon.effects()
        for scope, (number, _, _) in points.items():
            assert happened[scope] == effects[calm[number]], scope
        assert daemon.unhandled() == []


async def crash(daemon: CrashingDaemon, scope: str, branch: str, point: str) -> None:
    """Begin an incident, see the daemon die at the point, and wait until it is back."""
    daemon.plan.write_text(f"{scope} {point}")
    await send_alert(daemon, scope, branch)

    async def died() -> bool:
        return not daemon.plan.exists()

    await eventually(died, within_seconds=30)
    await daemon.wait_until_it_answers()


async def end_of(daemon: DaemonProcess, scope: str) -> dict[str, Any]:
    """What the incident of a scope has left behind."""
    closed = await daemon.until_incident(scope, "closed", within_seconds=40)
    assert len(await daemon.incidents(scope)) == 1
    incident = (await daemon.get(f"/api/v1/incidents/{closed['id']}"))["incident"]
    return {
        "receipts": [f"{r['target']['lever']}:{r['target']['name']}" for r in incident["receipts"]],
        "ledger": [(m["change"]["target"]["lever"], m["status"]) for m in incident["ledger"]],
        "audit": [(check["name"], check["passed"]) for check in incident["audit"]],
        "controls": await daemon.controls(scope),
    }


async def send_alert(daemon: DaemonProcess, scope: str, branch: str) -> None:
    """One notification, as Alertmanager sends it; the daemon may die before it answers."""
    service, region = scope.split("/")
    labels = {"alertname": "Bad", "service": service, "region": region, "rollback": branch}
    alert = {
        "status": "firing",
        "labels": labels,
        "annotations": {},
        "startsAt": "2026-11-22T03:00:00Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "fingerprint": service,
    }
    notification = {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "rollbackd",
        "alerts": [alert],
    }
    with suppress(aiohttp.ClientError):
        await daemon.send("POST", "/api/v1/alertmanager", notification)


@asynccontextmanager
async def healthy(daemon: DaemonProcess, scopes: Iterable[str]) -> AsyncIterator[None]:
    """Report green exit targets of every scope, while the block runs and the daemon takes them."""
    events = [
        {
            "event": "metric.sample",
            "service": scope.split("/")[0],
            "region": scope.split("/")[1],
            "values": {"error_ratio": 0.0},
        }
        for scope in scopes
    ]

    async def report() -> None:
        while True:
            with suppress(aiohttp.ClientError, AssertionError):
                await daemon.events(*events)
            await asyncio.sleep(0.1)

    reporting = asyncio.create_task(report())
    try:
        yield
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
