"""A known good set, from before a rollout to the rollback that goes back to it."""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from rollbackd.model.pins import REQUIRED_PINS
from tests.end_to_end.daemon import TREE, DaemonProcess, Healthy
from tests.services.polling import eventually

GOOD = {name: f"{name.lower()}-1" for name in REQUIRED_PINS}
BAD = {**GOOD, "INDEX_HASH": "index_hash-2"}


async def serve(
    daemon: DaemonProcess,
    scope: str,
    count: int,
    *,
    arm: str = "baseline",
    pins: Mapping[str, str] = GOOD,
) -> None:
    """So many answers of one arm, with what they measured and what they ran with."""
    service, region = scope.split("/")
    answers = [
        {
            "event": "answer.served",
            "service": service,
            "region": region,
            "arm": arm,
            "pins": dict(pins),
            "code": 200,
            "values": {"delta_s": 0.3 + 0.2 * n / count, "latency_seconds": 1.0},
        }
        for n in range(count)
    ]
    await daemon.events(*answers)


async def point(daemon: DaemonProcess, scope: str, index: str) -> None:
    body = {"value": {"index": index}}
    status, answer = await daemon.send("PUT", f"/api/v1/controls/{scope}/alias:docs_live", body)
    assert status == 200, answer


async def pins_command(daemon: DaemonProcess, *arguments: str) -> tuple[int, str, str]:
    """The shipped program, as a pipeline calls it."""
    command = [sys.executable, "-m", "rollbackd", "pins", *arguments, "--url", daemon.url]
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, err = await process.communicate()
    return process.returncode or 0, out.decode(), err.decode()


async def baseline_p95(daemon: DaemonProcess) -> list[Any]:
    answer = await daemon.get("/api/v1/query?expr=baseline:delta_s:p95")
    return [element["value"] for element in answer["vector"]]


async def test_what_was_recorded_before_a_rollout_is_rolled_back_to(
    scope: str, tmp_path: Path
) -> None:
    """Pins, alias and baseline, over a restart; the incident closes green with the alias back."""
    async with DaemonProcess(tmp_path / "daemon") as daemon:
        await point(daemon, scope, "docs_vA")
        await serve(daemon, scope, 150)
        code, _, err = await pins_command(daemon, "record", scope, "--from-live")
        assert (code, "`delta_s` has 150" in err) == (1, True)
        await serve(daemon, scope, 100)
        wanted = ("record", scope, "--from-live", "--note", "before 2", "-o", "json")
        code, out, err = await pins_command(daemon, *wanted)
        assert code == 0, err
        recorded = json.loads(out)
        known = recorded["set"]
        assert (known["status"], known["in_force"], known["pins"]) == ("good", True, GOOD)
        assert known["baseline"]["delta_s"]["count"] == 250
        assert known["baseline"]["errors"] == {"ratio": 0.0, "count": 250.0}
        assert recorded["not_measured"] == ["coverage", "tokens", "cost_per_solved_query"]
        again = json.loads((await pins_command(daemon, *wanted))[1])
        assert (again["is_new"], again["set"]["id"]) == (False, known["id"])

        daemon.kill()
        await daemon.start()
        assert await baseline_p95(daemon) == [known["baseline"]["delta_s"]["p95"]]
        await point(daemon, scope, "docs_vB")
        await serve(daemon, scope, 10, arm="canary", pins=BAD)
        pull = {"branch": "retriever_mismatch", "scope": scope, "reason": "wrong answers"}
        status, _ = await daemon.send("POST", "/api/v1/incidents", pull)
        assert status == 201
        await daemon.until_incident(scope, "watching")
        refused = await pins_command(daemon, "record", scope, "--from-live")
        assert (refused[0], "is open for this scope" in refused[2]) == (1, True)
        async with Healthy(daemon, scope):
            incident = await daemon.until_incident(scope, "closed")
        assert incident["evidence"]["known_good_pins"] == GOOD
        assert (await daemon.controls(scope))["alias:docs_live"] == {"index": "docs_vA"}
        code, out, _ = await pins_command(daemon, "diff", known["id"], "current", "--arm", "canary")
        assert (code, "INDEX_HASH" in out, "PROMPT_VER" in out) == (0, True, False)
        assert daemon.unhandled() == []


async def test_a_retired_set_serves_no_baseline(scope: str, tmp_path: Path) -> None:
    """The one before it is in force again; without any, a branch that needs one refuses."""
    async with DaemonProcess(tmp_path / "daemon") as daemon:
        ids = []
        for p95 in (0.4, 0.6):
            body = {
                "scope": scope,
                "pins": GOOD,
                "baseline": {"delta_s": {"p95": p95, "count": 900}},
            }
            status, answer = await daemon.send("POST", "/api/v1/pins", body)
            assert status == 201, answer
            ids.append(answer["set"]["id"])
        assert await baseline_p95(daemon) == [0.6]
        metrics = await daemon.get("/metrics", parse=False)
        assert 'rollbackd_known_good_changes_total{change="recorded"} 2.0' in metrics
        for set_id, left in ((ids[1], [0.4]), (ids[0], [])):
            code, out, _ = await pins_command(daemon, "retire", set_id, "--reason", "was slow")
            assert (code, f"{set_id} is retired" in out) == (0, True)
            assert await baseline_p95(daemon) == left
        pull = {"branch": "retriever_mismatch", "scope": scope, "reason": "wrong answers"}
        status, answer = await daemon.send("POST", "/api/v1/incidents", pull)
        assert (status, "no_known_good" in answer["error"]) == (400, True)
        await pins_command(daemon, "promote", ids[0], "--reason", "it was not")
        assert await baseline_p95(daemon) == [0.4]


async def test_the_daemon_pins_by_itself_once_it_is_green_for_long(
    scope: str, tmp_path: Path
) -> None:
    """On a clock of forty times the speed; its set is good and says who recorded it."""
    tree = yaml.safe_load(TREE)
    tree["exit_targets"] = [
        {
            "name": "errors",
            "value": "sum by (service, region) (count_over_time(requests[5m])) * 0",
            "below": 0.005,
        }
    ]
    config = {"clock": {"speed": 40.0}, "pins": {"auto": {"after": "1m"}, "min_samples": 50}}
    async with DaemonProcess(tmp_path / "d", tree=yaml.safe_dump(tree), config=config) as daemon:

        async def pinned() -> list[dict[str, Any]]:
            await serve(daemon, scope, 20)
            sets: list[dict[str, Any]] = (await daemon.get("/api/v1/pins"))["sets"]
            return sets

        (known,) = await eventually(pinned, within_seconds=30)
        assert (known["by"], known["status"], known["pins"]) == ("rollbackd", "good", GOOD)
        assert known["baseline"]["delta_s"]["count"] >= 50
        assert daemon.unhandled() == []
