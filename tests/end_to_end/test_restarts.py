"""What a restart in the middle does not forget."""

import asyncio
import time
from pathlib import Path
from typing import Any

from tests.end_to_end.daemon import DaemonProcess
from tests.services.polling import eventually

HOLD_SECONDS = 6
RULES = f"""
groups:
- name: held
  interval: 1s
  rules:
  - {{alert: Held, expr: 'max by (service, region) (pressure) > 1', for: {HOLD_SECONDS}s,
      labels: {{branch: cost_or_latency}}}}
"""


class Pressing:
    """Sends a sample that makes the rule hold, ten times a second."""

    def __init__(self, daemon: DaemonProcess, scope: str) -> None:
        self._daemon = daemon
        self._service, self._region = scope.split("/")

    async def __aenter__(self) -> None:
        self._task = asyncio.create_task(self._press())

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _press(self) -> None:
        while True:
            await self._daemon.events(
                {
                    "event": "metric.sample",
                    "service": self._service,
                    "region": self._region,
                    "values": {"pressure": 2},
                }
            )
            await asyncio.sleep(0.1)


async def until_held(daemon: DaemonProcess, milliseconds: int) -> None:
    """The rule is pending, and has been for so long."""

    async def held() -> bool:
        found = await held_rule(daemon)
        held_ms = max((each["held_ms"] for each in found["instances"]), default=0)
        return found["state"] == "pending" and held_ms >= milliseconds

    await eventually(held, within_seconds=HOLD_SECONDS)


async def held_rule(daemon: DaemonProcess) -> dict[str, Any]:
    answer = await daemon.get("/api/v1/explain?rule=Held")
    explanation: dict[str, Any] = answer["explanations"][0]
    return explanation


async def test_for_goes_on_after_a_kill(scope: str, tmp_path: Path) -> None:
    """Four of six seconds before `kill -9`, and about two after: not six."""
    (tmp_path / "rules.yaml").write_text(RULES)
    config = {"rules": [str(tmp_path / "rules.yaml")], "engine": {"for_grace": "0s"}}

    async def state() -> str:
        return str((await held_rule(daemon))["state"])

    async def fires() -> bool:
        return await state() == "firing"

    async with DaemonProcess(tmp_path / "daemon", config=config) as daemon:
        async with Pressing(daemon, scope):
            await until_held(daemon, 3_500)
        daemon.kill()
        await daemon.start()
        began = time.monotonic()
        async with Pressing(daemon, scope):
            await until_held(daemon, 1)
            found = await held_rule(daemon)
            # It was written at most two seconds and a round of housekeeping before the kill.
            assert found["instances"][0]["held_ms"] >= 1_000 + 500
            await eventually(fires, within_seconds=HOLD_SECONDS)
            assert time.monotonic() - began < HOLD_SECONDS - 0.5
            await daemon.until_incident(scope, "watching")
        assert daemon.unhandled() == []


async def test_for_starts_anew_when_the_rule_changed(scope: str, tmp_path: Path) -> None:
    """Another threshold is another rule."""
    (tmp_path / "rules.yaml").write_text(RULES)
    config = {"rules": [str(tmp_path / "rules.yaml")], "engine": {"for_grace": "0s"}}
    async with DaemonProcess(tmp_path / "daemon", config=config) as daemon:
        async with Pressing(daemon, scope):
            await until_held(daemon, 3_500)
        daemon.kill()
        (tmp_path / "rules.yaml").write_text(RULES.replace("> 1'", "> 1.5'"))
        await daemon.start()
        async with Pressing(daemon, scope):
            await until_held(daemon, 1)
            found = await held_rule(daemon)
        assert found["state"] == "pending"
        assert found["instances"][0]["held_ms"] < 1_500
