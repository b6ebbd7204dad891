"""A real rollbackd process under test, and the short tree that lets an incident end in seconds."""

import asyncio
import contextlib
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import aiohttp
import yaml

from tests.services.polling import eventually
from tests.services.processes import ServerProcess, answers_http

#: The shipped rules.
RULES = Path(__file__).parents[2] / "rules"

#: The shipped branches with the shipped levers; the clock's figures are short, and the limits of
#: the guardrails wide.
TREE = """
defaults: {hold: 1s, first_green: 60s, watch_interval: 200ms, cooldown: 0s,
           budget: {acts: 1000, per: 1h}, rule_budget: {acts: 1000, per: 1h},
           lever_budget: {acts: 1000, per: 1h}}
global_budget: {acts: 1000, per: 1h}
max_open_incidents: 1000
max_blast_radius: 1
correlated: {scopes: 1000, within: 1m}
ineffective_chain: {times: 1000, within: 1h}
flap_latch: {times: 1000, within: 1h}
exit_targets:
  - {name: errors, value: 'max by (service, region) (error_ratio)', below: 0.005}
branches:
  duplicate_effects:
    freeze: {lever: write_block, params: {scope: all, retry_after_seconds: 60}}
    levers: [{lever: flag_off, name: canary}]
    rotate: {lever: cache_rotate}
    needs_known_good: false
    targets: [errors]
  retriever_mismatch:
    freeze: {lever: write_block}
    levers:
      - {lever: alias_revert, name: docs_live, reverts: [INDEX_HASH]}
      - {lever: pointer_flip, name: live}
      - {lever: repin}
    rotate: {lever: cache_rotate}
    targets: [errors]
  quality_regression:
    freeze: {lever: write_block}
    levers: [{lever: flag_off, name: canary}, {lever: repin}]
    rotate: {lever: cache_rotate}
    throttle: [{lever: throttle, params: {requests_per_second: 50, burst: 100}}]
    targets: [errors]
  cost_or_latency:
    throttle_first: true
    throttle: [{lever: throttle}, {lever: degrade, params: {level: 2}}]
    needs_known_good: false
    targets: [errors]
"""

BRANCHES = ("duplicate_effects", "retriever_mismatch", "quality_regression", "cost_or_latency")

#: What each branch's switch shows while its incident is open: control, field, value.
FLIPPED = {
    "duplicate_effects": ("writes", "scope", "all"),
    "retriever_mismatch": ("alias:docs_live", "index", "docs_vA"),
    "quality_regression": ("flag:canary", "global_off", True),
    "cost_or_latency": ("degrade", "level", 2),
}

#: Temporary measures of each branch, with the value that they have to come back to.
GIVEN_BACK = {
    "duplicate_effects": {"writes": {"blocked": False}},
    "retriever_mismatch": {"writes": {"blocked": False}},
    "quality_regression": {"writes": {"blocked": False}, "throttle": {"breaker": "closed"}},
    "cost_or_latency": {"degrade": {"level": 0}, "throttle": {"requests_per_second": None}},
}


class DaemonProcess(ServerProcess):
    """`rollbackd run` with a config of its own; `config` is laid over the test's defaults."""

    name = "rollbackd"

    def __init__(
        self,
        directory: Path,
        *,
        config: Mapping[str, Any] | None = None,
        tree: str = TREE,
        program: Sequence[str] = (sys.executable, "-m", "rollbackd"),
    ) -> None:
        super().__init__(directory)
        self.url = f"http://{self.address}"
        self.state_dir = directory / "state"
        self.program = list(program)
        self.config = directory / "rollbackd.yaml"
        (directory / "tree.yaml").write_text(tree)
        settings = {
            "state_dir": str(self.state_dir),
            "http": {"port": self.port},
            "rules": [str(RULES)],
            "decision_tree": "tree.yaml",
            **(config or {}),
        }
        self.config.write_text(yaml.safe_dump(settings))

    def command(self) -> Sequence[str | Path]:
        return [*self.program, "run", "--config", self.config]

    async def answers(self) -> bool:
        return await answers_http(f"{self.url}/-/healthy")

    async def get(self, path: str, *, parse: bool = True) -> Any:
        async with aiohttp.ClientSession() as session, session.get(self.url + path) as response:
            text = await response.text()
            return json.loads(text) if parse else text

    async def send(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        async with (
            aiohttp.ClientSession() as session,
            session.request(method, self.url + path, json=body) as response,
        ):
            return response.status, json.loads(await response.text() or "null")

    async def events(self, *events: Mapping[str, Any]) -> None:
        status, answer = await self.send("POST", "/api/v1/events", list(events))
        assert status == 200, answer

    async def controls(self, scope: str) -> dict[str, Any]:
        answer = await self.get(f"/api/v1/controls/{scope}")
        return {name: control["value"] for name, control in answer["controls"].items()}

    async def incidents(self, scope: str) -> list[dict[str, Any]]:
        service, region = scope.split("/")
        return [
            incident
            for incident in (await self.get("/api/v1/incidents?limit=500"))["incidents"]
            if incident["scope"] == {"service": service, "region": region}
            or incident["scope"] == scope
        ]

    async def until_incident(
        self, scope: str, state: str, *, within_seconds: float = 30
    ) -> dict[str, Any]:
        async def there() -> dict[str, Any] | None:
            found = [i for i in await self.incidents(scope) if i["state"] == state]
            return found[0] if found else None

        return await eventually(there, within_seconds=within_seconds)

    def log_lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.log.read_text().splitlines() if line[:1] == "{"]

    def unhandled(self) -> list[dict[str, Any]]:
        """Log lines with a traceback: there must be none."""
        return [line for line in self.log_lines() if "exception" in line]


def known_good(scope: str) -> dict[str, Any]:
    """The event that records what to go back to."""
    service, region = scope.split("/")
    return {
        "event": "baseline.pinned",
        "service": service,
        "region": region,
        "pins": {"PROMPT_VER": "p-11", "INDEX_HASH": "aaaa", "MODEL_VER": "m-1"},
        "controls": {"alias:docs_live": {"index": "docs_vA"}, "pointer:live": {"target": "blue"}},
        "baseline": {"delta_s": {"p95": 0.4}, "latency_seconds": {"p99": 1.0}},
    }


async def rollout(daemon: DaemonProcess, scope: str) -> None:
    """What a pipeline does: pin the known good, then move the canary, the alias and the pointer."""
    await daemon.events(known_good(scope))
    for name, value in {
        "flag:canary": {"baseline_weight": 0.8, "canary_weight": 0.2, "global_off": False},
        "alias:docs_live": {"index": "docs_vB"},
        "pointer:live": {"target": "green"},
    }.items():
        status, answer = await daemon.send(
            "PUT", f"/api/v1/controls/{scope}/{name}", {"value": value}
        )
        assert status == 200, answer


class Healthy:
    """Reports the exit target of a scope every now and then, while the block runs: 0 is green."""

    def __init__(self, daemon: DaemonProcess, scope: str, error_ratio: float = 0.0) -> None:
        self.error_ratio = error_ratio
        self._daemon = daemon
        self._service, self._region = scope.split("/")

    async def _report(self) -> None:
        while True:
            # The daemon may be down on purpose.
            with contextlib.suppress(aiohttp.ClientError, AssertionError):
                await self._daemon.events(
                    {
                        "event": "metric.sample",
                        "service": self._service,
                        "region": self._region,
                        "values": {"error_ratio": self.error_ratio},
                    }
                )
            await asyncio.sleep(0.1)

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._report())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
