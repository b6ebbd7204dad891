"""Redis, then Kafka, is gone for 30 s under load: the daemon stays up, says so, loses nothing."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiokafka import AIOKafkaProducer

from tests.end_to_end.daemon import RULES, TREE, DaemonProcess, Healthy, rollout
from tests.end_to_end.test_kafka import config_for, topic
from tests.services.kafka import Broker
from tests.services.polling import eventually
from tests.services.redis import Redis

__all__ = ["topic"]

_OUTAGE_SECONDS = 30

#: Only series that a rule reads are kept.
_RULES = """
groups:
  - name: load
    rules:
      - {record: load:events, expr: 'count_over_time(load[5m])'}
      - {record: load:alerts, expr: 'count(ALERTS{alertname="Load"})'}
"""


class Load:
    """Events on a topic, and alerts to the webhook that are retried on 5xx as Alertmanager does."""

    def __init__(self, daemon: DaemonProcess, kafka: Broker, topic: str, scope: str) -> None:
        self._daemon = daemon
        self._kafka = kafka
        self._topic = topic
        self._scope = scope
        self.produced = 0
        self.acknowledged = 0
        self.refused = 0
        self.stopping = False

    async def events(self) -> None:
        service, region = self._scope.split("/")
        # idempotent, or a retry over the outage could write a record twice
        producer = AIOKafkaProducer(
            bootstrap_servers=self._kafka.address,
            request_timeout_ms=60_000,
            enable_idempotence=True,
        )
        await producer.start()
        try:
            while not self.stopping:
                event = {
                    "event": "metric.sample",
                    "service": service,
                    "region": region,
                    "ts": time.time(),
                    "values": {"load": self.produced},
                }
                await producer.send_and_wait(self._topic, json.dumps(event).encode(), key=b"k")
                self.produced += 1
                await asyncio.sleep(0.02)
        finally:
            await producer.stop()

    async def alerts(self) -> None:
        async with aiohttp.ClientSession() as session:
            for number in range(1_000_000):
                if self.stopping:
                    return
                while not await self._deliver(session, number):
                    self.refused += 1
                    await asyncio.sleep(0.1)
                self.acknowledged += 1
                await asyncio.sleep(0.05)

    async def _deliver(self, session: aiohttp.ClientSession, number: int) -> bool:
        alert = {
            "status": "firing",
            "labels": {"alertname": "Load", "number": str(number)},
            "annotations": {},
            "startsAt": "2026-11-22T03:00:00Z",
            "endsAt": "0001-01-01T00:00:00Z",
            "fingerprint": f"{number:016x}",
        }
        body = {"version": "4", "truncatedAlerts": 0, "status": "firing", "alerts": [alert]}
        async with session.post(f"{self._daemon.url}/api/v1/alertmanager", json=body) as response:
            assert response.status in {200, 503}, await response.text()
            return response.status == 200


@asynccontextmanager
async def under_load(load: Load) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(load.events()), asyncio.create_task(load.alerts())]
    try:
        yield
        assert not any(task.done() for task in tasks), [t.exception() for t in tasks if t.done()]
        # what is under way is finished, so that everything sent is also counted
        load.stopping = True
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def metric(daemon: DaemonProcess, line_start: str) -> float | None:
    for line in (await daemon.get("/metrics", parse=False)).splitlines():
        if line.startswith(line_start):
            return float(line.rsplit(" ", 1)[1])
    return None


async def until_metric(daemon: DaemonProcess, line_start: str, value: float) -> None:
    async def is_so() -> bool:
        return await metric(daemon, line_start) == value

    await eventually(is_so, within_seconds=60, every_seconds=0.2)


async def outage(daemon: DaemonProcess, server: Any, gauge: str) -> None:
    """Stop the server for 30 s; the daemon says so and stays up, and says when it is back."""
    await server.stop()
    gone = time.monotonic()
    await until_metric(daemon, gauge, 0)
    while time.monotonic() - gone < _OUTAGE_SECONDS:
        assert daemon.running
        assert (await daemon.get("/-/healthy", parse=False)) is not None
        await asyncio.sleep(1)
    await server.start()
    await until_metric(daemon, gauge, 1)


@pytest.mark.services
@pytest.mark.slow
@pytest.mark.timeout(300)
async def test_an_outage_of_redis_and_of_kafka_loses_nothing(
    scope: str, tmp_path: Path, kafka: Broker, topic: str
) -> None:
    """Every produced sample is counted and every acknowledged alert fires, after both outages."""
    async with Redis(tmp_path / "redis") as redis:
        (tmp_path / "load.yaml").write_text(_RULES)
        config = config_for(kafka, topic, redis)
        config["rules"] = [str(RULES), str(tmp_path / "load.yaml")]
        # nothing can be green during the outages, and that must not call for a person here
        tree = TREE.replace("first_green: 60s", "first_green: 10m")
        async with DaemonProcess(tmp_path / "daemon", config=config, tree=tree) as daemon:
            await rollout(daemon, scope)
            load = Load(daemon, kafka, topic, scope)
            async with under_load(load):
                await daemon.send(
                    "POST",
                    "/api/v1/incidents",
                    {"branch": "cost_or_latency", "scope": scope, "reason": "an open incident"},
                )
                await daemon.until_incident(scope, "watching")
                await outage(daemon, redis, 'rollbackd_store_up{store="store"}')
                await outage(daemon, kafka, "rollbackd_kafka_up")
            assert load.refused > 0
            async with Healthy(daemon, scope):
                await daemon.until_incident(scope, "closed", within_seconds=60)

            async def counted(expr: str) -> float:
                vector = (await daemon.get(f"/api/v1/query?expr={expr}"))["vector"]
                return sum(each["value"] for each in vector)

            async def lost() -> tuple[float, float]:
                samples = load.produced - await counted("count_over_time(load[5m])")
                return samples, load.acknowledged - await counted("count(ALERTS{alertname='Load'})")

            async def settled() -> bool:
                samples, alerts = await lost()
                return samples == alerts == 0

            try:
                await eventually(settled, within_seconds=30, every_seconds=0.5)
            except TimeoutError:
                raise AssertionError(f"lost (samples, alerts): {await lost()}") from None
            assert daemon.unhandled() == []
