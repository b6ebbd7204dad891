"""Real senders of other formats: Prometheus, the OpenTelemetry SDK, Kafka."""

import asyncio
import json
import math
import time
from pathlib import Path
from typing import Any, Self
from urllib.parse import quote

import pytest
from aiohttp import web
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import Counter, Histogram, MeterProvider
from opentelemetry.sdk.metrics.export import AggregationTemporality, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from tests.end_to_end.daemon import DaemonProcess
from tests.end_to_end.test_kafka import config_for, produce, topic
from tests.services.fixtures import PrometheusFactory
from tests.services.kafka import Broker
from tests.services.polling import eventually
from tests.services.prometheus import Prometheus
from tests.services.redis import Redis

__all__ = ["topic"]

#: Keeps what the tests look at; a series that no rule reads is not kept.
RULES = """
groups:
  - name: watched
    rules:
      - {alert: Up, expr: 'up < 0'}
      - {alert: Go, expr: 'go_gc_duration_seconds < 0'}
      - {alert: Requests, expr: 'rate(http_requests_total[5m]) < 0'}
      - {alert: Buckets, expr: 'rate(latency_seconds_bucket[5m]) < 0'}
      - {alert: Depth, expr: 'queue_depth < 0'}
"""

Vector = dict[tuple[tuple[str, str], ...], float]


def configured(folder: Path, **more: Any) -> DaemonProcess:
    folder.mkdir()
    (folder / "watched.yaml").write_text(RULES)
    return DaemonProcess(
        folder / "daemon", config={"rules": [str(folder / "watched.yaml")], **more}
    )


class Page:
    """A scrape target of one page."""

    def __init__(self, text: str) -> None:
        self.text = text

    async def __aenter__(self) -> Self:
        app = web.Application()
        app.router.add_get("/metrics", self._answer)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.address = "{}:{}".format(*self._runner.addresses[0])
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()

    async def _answer(self, _request: web.Request) -> web.Response:
        return web.Response(text=self.text)


async def vector(daemon: DaemonProcess, expr: str) -> Vector:
    answer = await daemon.get(f"/api/v1/query?expr={quote(expr)}")
    return {
        tuple(sorted(each["labels"].items())): float(each["value"]) for each in answer["vector"]
    }


async def theirs(prometheus: Prometheus, expr: str) -> Vector:
    found = await prometheus.query(expr)
    return {tuple(sorted(sample.labels.items())): sample.value for sample in found}


@pytest.mark.services
async def test_what_prometheus_writes_is_what_it_has(
    tmp_path: Path, prometheus_factory: PrometheusFactory
) -> None:
    """It scrapes itself and a page that changes."""
    async with configured(tmp_path / "e") as daemon, Page("queue_depth 3\n") as page:
        write = {
            "url": f"{daemon.url}/api/v1/write",
            "queue_config": {"batch_send_deadline": "200ms"},
        }
        prometheus = prometheus_factory([], remote_write=write)
        prometheus.scrape_targets = [prometheus.address, page.address]
        async with prometheus:
            expr = "count_over_time(up[5m])"

            async def seen() -> bool:
                counts = await vector(daemon, expr)
                return bool(counts) and min(counts.values()) >= 5

            await eventually(seen, within_seconds=60)
            # up to a moment that both know everything of
            at = f"@ {time.time() - 3:.3f}"

            async def all_came() -> bool:
                return await vector(daemon, f"up {at}") == await theirs(prometheus, f"up {at}")

            await eventually(all_came, within_seconds=30)
            for series in ("up", "go_gc_duration_seconds", "queue_depth"):
                for wanted in (f"{series} {at}", f"sum_over_time({series}[2s] {at})"):
                    expected = await theirs(prometheus, wanted)
                    found = await vector(daemon, wanted)
                    assert found.keys() == expected.keys(), wanted
                    for labels, value in found.items():
                        assert math.isclose(value, expected[labels], rel_tol=1e-12) or (
                            math.isnan(value) and math.isnan(expected[labels])
                        ), wanted
            # what is no longer exposed ends at once, and not after five minutes
            assert await vector(daemon, "queue_depth")
            page.text = ""

            async def ended() -> bool:
                return await vector(daemon, "queue_depth") == {}

            await eventually(ended, within_seconds=30)
            assert await vector(daemon, "up") != {}
        assert daemon.unhandled() == []


@pytest.mark.services
@pytest.mark.parametrize("temporality", ["cumulative", "delta"])
async def test_what_the_opentelemetry_sdk_exports_is_what_was_measured(
    temporality: str, tmp_path: Path
) -> None:
    async with configured(tmp_path / "e") as daemon:
        chosen = getattr(AggregationTemporality, temporality.upper())
        exporter = OTLPMetricExporter(
            endpoint=f"{daemon.url}/v1/metrics",
            compression=Compression.Gzip,
            preferred_temporality={Counter: chosen, Histogram: chosen},
        )
        reader = PeriodicExportingMetricReader(exporter, export_interval_millis=3_600_000)
        resource = Resource({"service.name": "rag", "cloud.region": "eu"})
        provider = MeterProvider([reader], resource=resource)
        meter = provider.get_meter("test")
        requests = meter.create_counter("http.requests", unit="{request}")
        latency = meter.create_histogram(
            "latency", unit="s", explicit_bucket_boundaries_advisory=[0.1, 1.0]
        )
        depth = meter.create_gauge("queue.depth")
        try:
            for _ in range(2):
                requests.add(3, {"code": 200})
                for seconds in (0.05, 0.5, 5.0):
                    latency.record(seconds)
                depth.set(7)
                assert await asyncio.to_thread(provider.force_flush)
        finally:
            await asyncio.to_thread(provider.shutdown)
        scope = 'service="rag", region="eu"'

        async def values(expr: str) -> list[float]:
            return sorted((await vector(daemon, expr)).values())

        assert await values(f'http_requests_total{{{scope}, code="200"}}') == [6.0]
        assert await values(f"latency_seconds_bucket{{{scope}}}") == [2.0, 4.0, 6.0]
        assert await values(f"queue_depth{{{scope}}}") == [7.0]
        assert daemon.unhandled() == []


@pytest.mark.services
async def test_the_adapters_samples_come_over_kafka(
    tmp_path: Path, kafka: Broker, topic: str, redis_server: Redis
) -> None:
    """With a bad one among them, which goes to the dead letters and stops nothing."""
    config = config_for(kafka, topic, redis_server)
    config["kafka"]["topics"][0]["format"] = "prometheus_json"
    async with configured(tmp_path / "e", **config) as daemon:
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        records = [
            json.dumps(
                {
                    "timestamp": now,
                    "value": value,
                    "name": "up",
                    "labels": {"__name__": "up", "instance": str(number)},
                }
            ).encode()
            for number, value in enumerate(("1", "x", "0.5"))
        ]
        await produce(kafka, topic, *records, key="k")

        async def came() -> bool:
            return sorted((await vector(daemon, "up")).values()) == [0.5, 1.0]

        await eventually(came, within_seconds=40)
        metrics = await daemon.get("/metrics", parse=False)
        assert 'rollbackd_dead_letters_total{source="kafka"} 1.0' in metrics
        assert daemon.unhandled() == []
