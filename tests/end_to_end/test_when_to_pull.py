"""Each line of the when-to-pull list, from JSON events on real Kafka to its branch.

Eleven services roll out at once in two regions. In `eu` one line of the list is broken a little
after the rollout; `us` is its healthy twin: the same rollout and nothing wrong. The traffic is
generated, and time runs ten times as fast in the daemon as outside.
"""

import asyncio
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import msgspec
import orjson
import pytest
from aiokafka import AIOKafkaProducer

from rollbackd.app.generating.plans import Plan, draw
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.stream import events
from rollbackd.model.labels import Scope
from tests.end_to_end.daemon import DaemonProcess
from tests.services.kafka import Broker

SPEED: Final = 10
#: The busiest hour of the generated day.
START_MS: Final = 1_764_338_400_000  # 2025-11-28T14:00:00Z
#: The daemon starts; the known good set comes at 5 minutes and the rollout at 6.
BOOT_MS: Final = START_MS + 220_000
FAULT_MS: Final = START_MS + 400_000
END_MS: Final = START_MS + 760_000

RETRIEVER: Final = "retriever_mismatch"
QUALITY: Final = "quality_regression"
COST: Final = "cost_or_latency"
EFFECTS: Final = "duplicate_effects"


class Line(NamedTuple):
    """One line of the list; `rate` is what its sample floors need within a window."""

    scenario: str
    branch: str
    rules: frozenset[str]
    rate: float = 4.0


LINES: Final = {
    "W1": Line("delta-s-drift", QUALITY, frozenset({"QualityDrift"})),
    "W2": Line("coverage-drop", QUALITY, frozenset({"CoverageLow"})),
    "W3": Line("lambda-flips", QUALITY, frozenset({"LambdaFlips"})),
    "W4": Line("tool-loops", QUALITY, frozenset({"ToolLoops"})),
    "W5": Line(
        "errors-canary", QUALITY, frozenset({"CanaryErrorRatio", "CanaryErrorsFarOver"}), 11.0
    ),
    "W6": Line("throttle-storm", COST, frozenset({"ThrottleStorm"}), 5.0),
    "W7": Line("latency-doubles", COST, frozenset({"LatencyP99Doubled", "LatencyFarOver"})),
    "W8": Line("cache-foreign-pins", RETRIEVER, frozenset({"CachePoisoning"})),
    "W9": Line("mixed-versions", RETRIEVER, frozenset({"MixedVersions"})),
    "W10": Line("double-effects", EFFECTS, frozenset({"DuplicateEffects"}), 8.0),
    "W11": Line("index-mismatch", RETRIEVER, frozenset({"IndexMismatch"})),
}
INTENTS: Final[dict[str, dict[str, Any]]] = {
    "flag:canary": {"baseline_weight": 0.7, "canary_weight": 0.3, "global_off": False},
    "alias:docs_live": {"index": "docs_vB"},
    "pointer:live": {"target": "green"},
}


def plan_of(number: str, line: Line) -> Plan:
    """A rollout of a service in two regions, with the fault in the first at a fixed time."""
    scopes = [Scope(number.lower(), "eu"), Scope(number.lower(), "us")]
    drawn = draw(
        SCENARIOS[line.scenario], seed=7, start_ms=START_MS, rate=line.rate,
        duration_ms=END_MS - START_MS, scopes=scopes,
    )  # fmt: skip
    faults = [
        msgspec.structs.replace(each, from_ms=FAULT_MS, ramp_ms=min(each.ramp_ms, 10_000))
        for each in drawn.injections
    ]
    return msgspec.structs.replace(drawn, injections=tuple(faults))


def traffic() -> list[tuple[int, bytes, bytes]]:
    """Time, scope and event of all rollouts together, from the known good set on."""
    return sorted(
        (at_ms, f"{event['service']}/{event['region']}".encode(), orjson.dumps(event))
        for number, line in LINES.items()
        for at_ms, event in _from_the_known_good_on(plan_of(number, line))
    )


def _from_the_known_good_on(plan: Plan) -> Iterator[tuple[int, dict[str, Any]]]:
    """What was before is in the statistics of the known good set, and in nothing else."""
    return (each for each in events(plan) if each[0] >= plan.pinned_ms)


async def feed(
    kafka: Broker, topic: str, sent: list[tuple[int, bytes, bytes]], began: float
) -> None:
    """Send each event when the daemon's clock shows its time."""
    producer = AIOKafkaProducer(bootstrap_servers=kafka.address, linger_ms=20)
    await producer.start()
    try:
        for at_ms, key, value in sent:
            early = (at_ms - BOOT_MS) / 1_000 / SPEED - (time.monotonic() - began)
            if early > 0:
                await asyncio.sleep(early + 0.05)
            await producer.send(topic, value, key=key)
        await producer.flush()
    finally:
        await producer.stop()


async def play(kafka: Broker, directory: Path) -> dict[str, list[dict[str, Any]]]:
    """All rollouts through one daemon; the incidents by scope, as they are after the last event."""
    topic, sent = f"events-{uuid.uuid4().hex[:8]}", traffic()
    await kafka.create_topic(topic, 2)
    config = {
        "clock": {"speed": SPEED, "start_ms": BOOT_MS},
        "kafka": {
            "bootstrap_servers": [kafka.address],
            "topics": [{"name": topic}],
            "group_id": f"group-{topic}",
        },
    }
    scopes = [f"{number.lower()}/{region}" for number in LINES for region in ("eu", "us")]
    daemon, began = DaemonProcess(directory, config=config), time.monotonic()
    async with daemon:
        for scope in scopes:
            for name, value in INTENTS.items():
                path = f"/api/v1/controls/{scope}/{name}"
                status, answer = await daemon.send("PUT", path, {"value": value})
                assert status == 200, answer
        await feed(kafka, topic, sent, began)
        await daemon.until_incident("w6/eu", "watching", within_seconds=20)
        assert daemon.unhandled() == []
        return {scope: await daemon.incidents(scope) for scope in scopes}


@pytest.fixture(scope="module")
def incidents(
    kafka: Broker, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[dict[str, Any]]]:
    """What came of the rollouts, which all tests read."""
    return asyncio.run(play(kafka, tmp_path_factory.mktemp("daemon")))


@pytest.mark.services
@pytest.mark.parametrize("number", LINES)
def test_a_broken_line_pulls_its_branch(
    number: str, incidents: dict[str, list[dict[str, Any]]]
) -> None:
    """One incident, of the right branch, by a rule of the line."""
    line = LINES[number]
    (incident,) = incidents[f"{number.lower()}/eu"]
    assert incident["branch"] == line.branch
    assert incident["triggers"][0]["rule"] in line.rules


@pytest.mark.services
@pytest.mark.parametrize("number", LINES)
def test_its_healthy_twin_stays_quiet(
    number: str, incidents: dict[str, list[dict[str, Any]]]
) -> None:
    """The same rollout with nothing wrong opens no incident."""
    assert incidents[f"{number.lower()}/us"] == []
