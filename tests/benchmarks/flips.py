"""`flip`: from the transition to firing to the pointer, flipped and read back, on a real Redis.

One incident after the other, each of a scope of its own, in the daemon with Redis for everything.
"""

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from redis.asyncio import Redis as RedisClient

from rollbackd.app.daemon import Daemon
from rollbackd.app.process import spare_the_collector
from rollbackd.events.record import decode_record
from rollbackd.model.controls import ControlValue
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.ports import Store
from rollbackd.settings import Backend, HttpSettings, RedisSettings, Settings
from rollbackd.settings.values import EngineSettings
from tests.benchmarks.bench import Bench, isolated, run_async
from tests.benchmarks.results import Figure, Result, percentile
from tests.services.processes import free_port

INCIDENTS = 200
_BOUND_MS = 100
_TREE = """
defaults: {hold: 1h, first_green: 1h, watch_interval: 1m, max_freeze: 1h, cooldown: 0s,
           budget: {acts: 100000, per: 1h}, rule_budget: {acts: 100000, per: 1h},
           lever_budget: {acts: 100000, per: 1h}}
global_budget: {acts: 100000, per: 1h}
max_open_incidents: 100000
max_blast_radius: 1
correlated: {scopes: 100000, within: 1m}
exit_targets: [{name: errors, value: 'max by (service, region) (error_ratio)', below: 0.005}]
branches:
  retriever_mismatch:
    freeze: {lever: write_block}
    levers: [{lever: pointer_flip, name: live}]
    rotate: {lever: cache_rotate}
    throttle: [{lever: throttle, params: {requests_per_second: 50, burst: 100}}]
    targets: [errors]
"""
_RULES = """
groups:
  - name: bench
    rules:
      - {alert: M, expr: 'retriever_index_mismatch > 0', labels: {branch: retriever_mismatch}}
"""
#: Scope -> seconds on the monotonic clock.
Times = dict[str, float]


async def flip(bench: Bench) -> list[Result]:
    """The pointer, then the whole checklist up to `watching`."""
    redis = await bench.redis()
    found = []
    for number in range(bench.runs):
        directory = bench.scratch("flip")
        found.append(await isolated(act, redis.url.removesuffix("0") + str(number % 8), directory))
    flips, whole, bare = ([run[i] for run in found] for i in range(3))
    p99 = _figure(flips, 0.99)
    return [
        Result(
            row="flip",
            what=f"fired -> pointer flipped, read back (Redis), {INCIDENTS} incidents a run: p99",
            ours=p99,
            peer=_figure(bare, 0.99),
            peer_name="SET and GET of a bare client, p99",
            verdict=f"p50 {_figure(flips, 0.5)}",
            bound=f"< {_BOUND_MS} ms",
            met=p99.median < _BOUND_MS,
        ),
        Result(
            row="flip",
            what="fired -> watching: freeze, flip, rotate, throttle, all journalled: p99",
            ours=_figure(whole, 0.99),
            verdict=f"p50 {_figure(whole, 0.5)}",
        ),
    ]


def _figure(runs: Sequence[Sequence[float]], share: float) -> Figure:
    return Figure("ms", [percentile(run, share) for run in runs])


def act(url: str, directory: Path) -> tuple[list[float], list[float], list[float]]:
    """Milliseconds to the flip, to `watching`, and of a bare round trip."""
    return run_async(_act(url, directory))


async def _act(url: str, directory: Path) -> tuple[list[float], list[float], list[float]]:
    client: Any = RedisClient.from_url(url)
    await client.flushdb()
    watch = Stopwatch()
    daemon = Daemon(_settings(url, directory), wrap_store=watch.around)
    await daemon.start()
    spare_the_collector()  # as `rollbackd run` does
    try:
        watch.listen(daemon)
        # The first one warms up.
        for number in range(INCIDENTS + 1):
            await _incident(daemon, watch, f"svc-{number}")
        del watch.fired["svc-0"]
        bare = [await _bare(client, number) for number in range(INCIDENTS)]
        return watch.since_fired(watch.flipped), watch.since_fired(watch.watching), bare
    finally:
        await daemon.stop()
        await client.aclose()


async def _incident(daemon: Daemon, watch: "Stopwatch", service: str) -> None:
    now_ms = daemon.clock.now()
    watch.watches.clear()
    scope = f'"service":"{service}","region":"eu"'.encode()
    good = b'{"event":"baseline.pinned",%b,"controls":{"pointer:live":{"target":"blue"}}}'
    bad = b'{"event":"answer.served",%b,"values":{"retriever_index_mismatch":1}}'
    value: ControlValue = {"target": "green"}
    await daemon._parts.receiving.intake.ingest(
        decode_record(good % scope, now_ms=now_ms), source="http"
    )
    await daemon._parts.ground.backends.controls.set_intent(
        Scope(service, "eu"), "pointer:live", value, now_ms=now_ms
    )
    await daemon._parts.receiving.intake.ingest(
        decode_record(bad % scope, now_ms=now_ms), source="http"
    )
    async with asyncio.timeout(20):
        await watch.watches.wait()


async def _bare(client: Any, number: int) -> float:
    began = time.monotonic()
    await client.set(f"bare-{number}", b"x" * 200)
    await client.get(f"bare-{number}")
    return (time.monotonic() - began) * 1_000


class Stopwatch:
    """Notes when a trigger fired, and when the journal had the flip sealed and the watch begun."""

    def __init__(self) -> None:
        self.fired: Times = {}
        self.flipped: Times = {}
        self.watching: Times = {}
        #: Set when an incident has come to its watch.
        self.watches = asyncio.Event()

    def since_fired(self, times: Times) -> list[float]:
        return [(times[service] - at) * 1_000 for service, at in self.fired.items()]

    def around(self, store: Store) -> Store:
        """The store, with an eye on its journal."""
        advance = store.advance

        async def watched(incident: Incident, records: Sequence[JournalRecord]) -> None:
            await advance(incident, records)
            now = time.monotonic()
            service = incident.scope.service
            for record in records:
                if record.from_state is State.FLIPPING and record.kind == "Sealed":
                    self.flipped[service] = now
                if record.to_state is State.WATCHING and service not in self.watching:
                    self.watching[service] = now
                    self.watches.set()

        store.advance = watched  # type: ignore[method-assign]
        return store

    def listen(self, daemon: Daemon) -> None:
        """From now on note what fires."""
        dispatch = daemon._parts.deciding.dispatcher.dispatch

        async def watched(transitions: list[Trigger], firing: list[Trigger]) -> None:
            for trigger in transitions:
                if trigger.state is RuleState.FIRING:
                    self.fired[trigger.label("service")] = time.monotonic()
            await dispatch(transitions, firing)

        daemon._parts.deciding.dispatcher.dispatch = watched  # type: ignore[method-assign,assignment]


def _settings(url: str, directory: Path) -> Settings:
    rules, tree = directory / "rules.yaml", directory / "tree.yaml"
    rules.write_text(_RULES)
    tree.write_text(_TREE)
    return Settings(
        state_dir=directory / "state",
        http=HttpSettings(port=free_port()),
        store=Backend.REDIS,
        controls=Backend.REDIS,
        redis=RedisSettings(url=url),
        rules=[rules],
        decision_tree=tree,
        # What is measured begins when the trigger has fired: no need to wait for that.
        engine=EngineSettings(coalesce_ms=10),
        log_level="critical",
    )
