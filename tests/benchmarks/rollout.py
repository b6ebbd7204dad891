"""`rollout`: the generator's traffic of a healthy rollout through the daemon as it is shipped.

Beside `drain`, whose events are alike and whose rules are its own: all kinds of events with their
facts, eleven detectors, and the shipped rules.
"""

from collections.abc import Iterator
from pathlib import Path

import msgspec
from msgspec.structs import replace

from rollbackd.app.generating.plans import Plan, draw
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.stream import events
from rollbackd.model.labels import Scope
from rollbackd.settings import (
    ClockSettings,
    HttpSettings,
    KafkaSettings,
    KafkaTopic,
    default_settings,
)
from tests.benchmarks.bench import Bench, isolated, run_async
from tests.benchmarks.draining import drain_bare, drain_with
from tests.benchmarks.results import Figure, Result, rate
from tests.services.processes import free_port

_TOPIC = "rollout"
_SCOPES = (Scope("rag", "eu"), Scope("rag", "us"), Scope("search", "eu"), Scope("search", "us"))
_RATE = 200.0
#: All of it lies within the windows of the rules.
_DURATION_MS = 240_000
_START_MS = 1_790_000_000_000


async def rollout(bench: Bench) -> list[Result]:
    """Kafka to the shipped rules and detectors, against `getmany` and `orjson.loads`."""
    plan = draw(
        SCENARIOS["healthy-prompt"],
        seed=1,
        start_ms=_START_MS,
        rate=_RATE,
        duration_ms=_DURATION_MS,
        scopes=_SCOPES,
        pinned_after_ms=60_000,
        rollout_after_ms=90_000,
    )
    count = await bench.fill_topic(_TOPIC, _keyed(plan))
    address = (await bench.kafka()).address
    played, loops = [], []
    for number in range(bench.runs):
        loops.append(await isolated(drain_bare, address, _TOPIC, count))
        directory = bench.scratch("rollout")
        played.append(await isolated(play, address, f"rollout-{number}", directory, count))
    ours, bare = rate([each[0] for each in played]), rate([each[0] for each in loops])
    busy, bare_busy = (Figure("us", [each[1] for each in found]) for found in (played, loops))
    return [
        Result(
            row="rollout",
            what=f"{count:,} events of a generated rollout, shipped rules and all detectors",
            ours=ours,
            peer=bare,
            peer_name="getmany + orjson.loads",
            verdict=f"{ours.median / bare.median:.2f} of the peer's rate",
            notes=[f"processor time an event: {busy}, of the peer {bare_busy}"],
        )
    ]


def _keyed(plan: Plan) -> Iterator[tuple[str, bytes]]:
    for _, event in events(plan):
        yield f"{event['service']}/{event['region']}", msgspec.json.encode(event)


def play(address: str, group: str, directory: Path, count: int) -> tuple[float, float]:
    """Events a second of the daemon, and its processor time for one in microseconds."""
    settings = replace(
        default_settings(),
        state_dir=directory / "state",
        http=HttpSettings(port=free_port()),
        kafka=KafkaSettings(
            bootstrap_servers=[address], topics=[KafkaTopic(name=_TOPIC)], group_id=group
        ),
        clock=ClockSettings(start_ms=_START_MS + _DURATION_MS, speed=1.0),
        log_level="error",
    )
    return run_async(drain_with(settings, count))
