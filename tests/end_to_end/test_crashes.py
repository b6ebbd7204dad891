"""`kill -9` at every journal point of one incident of each branch: same end, each lever once."""

import asyncio
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.end_to_end.daemon import BRANCHES, TREE, DaemonProcess, Healthy, rollout
from tests.services.polling import eventually

_AT_A_TIME = 3
_SCOPE = "rag/eu"
_SHORT = TREE.replace("hold: 1s", "hold: 300ms").replace("200ms", "100ms")


def alert_for(branch: str) -> dict[str, Any]:
    """One notification, as Alertmanager sends it."""
    service, region = _SCOPE.split("/")
    labels = {"alertname": "Bad", "service": service, "region": region, "rollback": branch}
    return {
        "version": "4",
        "groupKey": "{}:{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "rollbackd",
        "alerts": [
            {
                "status": "firing",
                "labels": labels,
                "annotations": {},
                "startsAt": "2026-11-22T03:00:00Z",
                "endsAt": "0001-01-01T00:00:00Z",
                "fingerprint": "f00d",
            }
        ],
    }


class CrashingDaemon(DaemonProcess):
    """A daemon that dies at `point`."""

    def __init__(self, directory: Path, point: str) -> None:
        super().__init__(
            directory,
            tree=_SHORT,
            program=(
                "env",
                f"CRASH_PLAN={directory / 'plan'}",
                f"PYTHONPATH={Path.cwd()}",
                sys.executable,
                "-m",
                "tests.end_to_end.crashing",
            ),
        )
        (directory / "plan").write_text(point)


async def one_incident(directory: Path, branch: str, point: str) -> dict[str, Any]:
    """Run one incident to its end, through a crash at the point; what it left behind."""
    async with CrashingDaemon(directory, point) as daemon:
        await rollout(daemon, _SCOPE)
        await daemon.send_or_die("POST", "/api/v1/alertmanager", alert_for(branch))
        async with Healthy(daemon, _SCOPE):
            if point:

                async def crashed() -> bool:
                    return not daemon.running

                await eventually(crashed, within_seconds=30)
                await daemon.start()
            closed = await daemon.until_incident(_SCOPE, "closed", within_seconds=40)
        incidents = await daemon.incidents(_SCOPE)
        assert len(incidents) == 1, [i["state"] for i in incidents]
        detail = await daemon.get(f"/api/v1/incidents/{closed['id']}")
        controls = (await daemon.get(f"/api/v1/controls/{_SCOPE}"))["controls"]
        return {
            "levers": Counter(
                f"{r['target']['lever']}:{r['target']['name']}"
                for r in detail["incident"]["receipts"]
            ),
            "ledger": [
                (m["change"]["target"]["lever"], m["status"]) for m in detail["incident"]["ledger"]
            ],
            # the version counts every change that a control ever saw
            "controls": {n: (c["value"], c["version"]) for n, c in sorted(controls.items())},
            "journal": [(r["kind"], r["to_state"]) for r in detail["journal"]],
            "problems": daemon.unhandled(),
        }


def points_of(journal: list[tuple[str, str]], trips: int) -> Iterator[str]:
    """Every record of an undisturbed run, less those that only repeat, and every control write."""
    seen: Counter[str] = Counter()
    for kind, state in journal[:-1]:
        point = f"{kind}:{state}"
        seen[point] += 1
        if point != "Read:watching" or seen[point] == 1:
            yield f"{point}:{seen[point]}"
    yield from (f"trip:{number}" for number in range(1, trips + 1))


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("branch", BRANCHES)
async def test_an_incident_ends_the_same_wherever_the_daemon_was_killed(
    branch: str, tmp_path: Path
) -> None:
    """After a crash at any point, receipts, ledger and controls are those of a calm run."""
    calm = await one_incident(tmp_path / "calm", branch, "")
    points = list(points_of(calm["journal"], trips=sum(calm["levers"].values())))
    assert len(points) >= 8
    gate = asyncio.Semaphore(_AT_A_TIME)

    async def crash_at(number: int, point: str) -> tuple[str, dict[str, Any]]:
        async with gate:
            return point, await one_incident(tmp_path / str(number), branch, point)

    results = await asyncio.gather(*(crash_at(n, p) for n, p in enumerate(points)))
    for point, after in results:
        for aspect in ("levers", "ledger", "controls", "problems"):
            assert after[aspect] == calm[aspect], f"{aspect} differ after a crash at {point}"
