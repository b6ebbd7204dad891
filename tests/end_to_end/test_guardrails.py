"""Guardrails that stand until a person says otherwise, on a real process."""

import itertools
from pathlib import Path
from typing import Any

import yaml

from tests.end_to_end.daemon import TREE, DaemonProcess, known_good
from tests.services.polling import eventually

RULES = """
groups:
- name: pressed
  interval: 1s
  rules:
  - {alert: Pressed, expr: 'max by (service, region) (pressure) > 1',
     labels: {branch: cost_or_latency}}
"""


def config_of(folder: Path) -> dict[str, Any]:
    (folder / "rules.yaml").write_text(RULES)
    return {"rules": [str(folder / "rules.yaml")]}


async def press(daemon: DaemonProcess, scope: str, value: float = 2) -> None:
    service, region = scope.split("/")
    sample = {"event": "metric.sample", "service": service, "region": region}
    await daemon.events({**sample, "values": {"pressure": value, "error_ratio": 0.0}})


async def test_the_pause_file_outlives_the_process(scope: str, tmp_path: Path) -> None:
    """Nothing is opened before `kill -9` nor after it; the HTTP resume says what still pauses."""
    async with DaemonProcess(tmp_path / "daemon", config=config_of(tmp_path)) as daemon:
        file = daemon.state_dir / "PAUSED"
        file.write_text("index rebuild\n")
        await press(daemon, scope)
        refused = await daemon.until_incident(scope, "observed")
        assert refused["note"] == "paused: index rebuild"
        daemon.kill()
        await daemon.start()
        await press(daemon, scope)
        status = await daemon.get("/api/v1/status")
        assert status["paused"]["reason"] == "index rebuild"
        assert status["guardrails"]["paused"] == [f"index rebuild (by file {file})"]
        code, answer = await daemon.send("POST", "/api/v1/resume", {})
        assert (code, f"still paused by file {file}" in answer["error"]) == (400, True)
        assert {i["state"] for i in await daemon.incidents(scope)} == {"observed"}
        file.unlink()
        await press(daemon, scope)
        await daemon.until_incident(scope, "watching")
        assert daemon.unhandled() == []


async def test_a_latch_outlives_the_process_until_it_is_released(
    scope: str, tmp_path: Path
) -> None:
    """One flip is enough here; the second one is refused, also after `kill -9`."""
    tree = TREE.replace("flap_latch: {times: 1000", "flap_latch: {times: 1")
    assert yaml.safe_load(tree)["flap_latch"]["times"] == 1
    config = config_of(tmp_path)
    async with DaemonProcess(tmp_path / "daemon", config=config, tree=tree) as daemon:
        await daemon.events(known_good(scope))

        async def refused() -> dict[str, Any] | None:
            await press(daemon, scope)
            found = [i for i in await daemon.incidents(scope) if i["reason"] == "flap_latch"]
            return found[0] if found else None

        async def ended() -> dict[str, Any] | None:
            await press(daemon, scope, 0)
            found = [i for i in await daemon.incidents(scope) if i["state"] == "closed"]
            return found[0] if found else None

        await press(daemon, scope)
        await daemon.until_incident(scope, "watching")
        await eventually(ended, within_seconds=30)
        await eventually(refused, within_seconds=30)
        daemon.kill()
        await daemon.start()

        async def latched() -> str:
            standing = (await daemon.get("/api/v1/status"))["guardrails"]
            return " ".join(standing.get("flap_latch", []))

        shown = await eventually(latched, within_seconds=10)
        assert shown.startswith(f"{scope} cost_or_latency: ")
        metrics = await daemon.get("/metrics", parse=False)
        assert 'rollbackd_guard_state{guard="flap_latch"} 1.0' in metrics
        code, answer = await daemon.send(
            "POST", "/api/v1/unlatch", {"scope": scope, "reason": "looked at it"}
        )
        assert (code, [each["branch"] for each in answer["released"]]) == (200, ["cost_or_latency"])
        again = {"scope": scope, "reason": "again"}
        assert (await daemon.send("POST", "/api/v1/unlatch", again))[0] == 404
        values = itertools.cycle((0, 2))

        async def acts_again() -> bool:
            # what fired before the kill is answered for until it has stopped
            await press(daemon, scope, next(values))
            return len([i for i in await daemon.incidents(scope) if i["receipts"]]) == 2

        await eventually(acts_again, within_seconds=20)
        assert daemon.unhandled() == []
