"""The harness itself: each server does real work, comes back, and never outlives the run."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer
from redis.asyncio import Redis as RedisClient

from tests.services.alertmanager import Alertmanager
from tests.services.availability import MISSING, Component, require
from tests.services.fixtures import AlertmanagerFactory, PrometheusFactory
from tests.services.kafka import Broker, Kafka, Tansu
from tests.services.polling import eventually
from tests.services.processes import HOST, ServerFailedError, ServerProcess, free_port
from tests.services.prometheus import (
    Prometheus,
    QueryError,
    Sample,
    check_metrics,
    check_rules,
    unit_test_rules,
)
from tests.services.proxy import FaultProxy
from tests.services.redis import Redis

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]

RULES = """
groups:
  - name: example
    rules:
      - {alert: TooHigh, expr: app_level > 5, for: 1m}
"""

RULES_TEST = """
rule_files: [rules.yml]
evaluation_interval: 1m
tests:
  - interval: 1m
    input_series: [{series: 'app_level', values: '9 9 9'}]
    alert_rule_test:
      - {eval_time: 2m, alertname: TooHigh, exp_alerts: [{exp_labels: {}}]}
"""


@contextlib.asynccontextmanager
async def http_server(application: web.Application) -> AsyncIterator[str]:
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, HOST, free_port())
    await site.start()
    try:
        yield site.name
    finally:
        await runner.cleanup()


class Webhook:
    """Keeps what Alertmanager sends."""

    def __init__(self) -> None:
        self.received: asyncio.Queue[tuple[str, dict[str, Any]]] = asyncio.Queue()
        self.application = web.Application()
        self.application.router.add_post("/", self._receive)

    async def next(self) -> tuple[str, dict[str, Any]]:
        async with asyncio.timeout(10):
            return await self.received.get()

    async def _receive(self, request: web.Request) -> web.Response:
        token = request.headers.get("Authorization", "")
        self.received.put_nowait((token, await request.json()))
        return web.Response()


async def produce(broker: Broker, topic: str, *values: bytes) -> None:
    producer = AIOKafkaProducer(bootstrap_servers=broker.address)
    await producer.start()
    try:
        for value in values:
            await producer.send_and_wait(topic, value)
    finally:
        await producer.stop()


async def consume(broker: Broker, topic: str, *, group: str, count: int) -> list[bytes]:
    """Read `count` records as a member of `group`, and commit them."""
    consumer = AIOKafkaConsumer(
        topic,
        bootstrap_servers=broker.address,
        group_id=group,
        auto_offset_reset="earliest",
        enable_auto_commit=False,
    )
    await consumer.start()
    try:
        values: list[Any] = []
        async with asyncio.timeout(20):
            while len(values) < count:
                batches = await consumer.getmany(timeout_ms=200)
                values += [record.value for batch in batches.values() for record in batch]
        await consumer.commit()
        return values
    finally:
        await consumer.stop()


async def answers_no_ping(address: str, *, within_seconds: float = 0.3) -> bool:
    """Whether a Redis PING at `address` stays without its answer."""
    host, _, port = address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(b"PING\r\n")
        async with asyncio.timeout(within_seconds):
            return await reader.readline() != b"+PONG\r\n"
    except TimeoutError:
        return True
    finally:
        writer.close()


def run_script(script: str) -> tuple[int, bytes]:
    command = [sys.executable, "-c", script]
    run = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=False)
    return run.returncode, run.stdout


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"


async def test_kafka_carries_records_and_offsets_over_a_stop_and_a_kill(tmp_path: Path) -> None:
    """Apache Kafka keeps records and committed offsets over `restart` and over `kill`."""
    require(Component.APACHE_KAFKA)
    async with Kafka(tmp_path) as broker:
        await broker.create_topic("kept", 2)
        await produce(broker, "kept", b"1", b"2")
        assert sorted(await consume(broker, "kept", group="a", count=2)) == [b"1", b"2"]

        await broker.restart()
        await produce(broker, "kept", b"3")
        assert await consume(broker, "kept", group="a", count=1) == [b"3"]

        broker.kill()
        await broker.start()
        await produce(broker, "kept", b"4")
        assert await consume(broker, "kept", group="a", count=1) == [b"4"]
        assert len(await consume(broker, "kept", group="b", count=4)) == 4


async def test_tansu_carries_records_and_forgets_them_when_it_ends(tmp_path: Path) -> None:
    """Tansu serves producers and groups, and starts empty each time."""
    require(Component.TANSU)
    async with Tansu(tmp_path) as broker:
        await broker.create_topic("kept", 2)
        await produce(broker, "kept", b"1", b"2")
        assert sorted(await consume(broker, "kept", group="a", count=2)) == [b"1", b"2"]

        await broker.restart()
        await broker.create_topic("kept", 2)
        await produce(broker, "kept", b"3")
        assert await consume(broker, "kept", group="a", count=1) == [b"3"]


@pytest.mark.parametrize(
    ("component", "kind"), [(Component.APACHE_KAFKA, Kafka), (Component.TANSU, Tansu)]
)
async def test_a_broker_can_be_reached_only_through_a_proxy(
    component: Component, kind: type[Broker], tmp_path: Path
) -> None:
    """With an advertised port, all of a client's traffic after its first question is proxied."""
    require(component)
    proxy_port = free_port()
    async with (
        kind(tmp_path, advertised_port=proxy_port) as broker,
        FaultProxy(broker.address, port=proxy_port) as proxy,
    ):
        await broker.create_topic("proxied", 1)
        await produce(broker, "proxied", b"1")
        proxy.black_hole()
        consuming = asyncio.create_task(consume(broker, "proxied", group="a", count=1))
        await proxy.struck()
        assert not consuming.done()
        proxy.heal()
        assert await consuming == [b"1"]


async def test_redis_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """A value survives `restart` and `kill`, on the same port."""
    require(Component.REDIS)
    async with Redis(tmp_path) as server:
        address = server.address
        async with RedisClient.from_url(server.url) as client:
            await client.set("key", "1")
            assert await client.get("key") == b"1"
            assert (await client.config_get("maxmemory-policy")) == {
                "maxmemory-policy": "noeviction"
            }
        await server.restart()
        async with RedisClient.from_url(server.url) as client:
            assert await client.incr("key") == 2
        server.kill()
        await server.start()
        async with RedisClient.from_url(server.url) as client:
            assert await client.get("key") == b"2"
        assert server.address == address


async def test_a_paused_server_is_silent_and_goes_on_where_it_was(tmp_path: Path) -> None:
    """`pause` leaves the port open and unanswered; after `resume` the server answers."""
    require(Component.REDIS)
    async with Redis(tmp_path) as server:
        server.pause()
        assert await answers_no_ping(server.address)
        server.resume()
        assert not await answers_no_ping(server.address, within_seconds=5)
        server.pause()
        await server.stop()
        assert not server.running


async def test_alertmanager_tells_the_webhook_what_fires_and_what_is_over(
    alertmanager_factory: AlertmanagerFactory, tmp_path: Path
) -> None:
    """An alert reaches the webhook with the bearer token, firing and resolved, over a restart."""
    token_file = tmp_path / "token"
    token_file.write_text("secret-for-tests")
    webhook = Webhook()
    async with (
        http_server(webhook.application) as url,
        alertmanager_factory(f"{url}/", bearer_token_file=token_file) as alertmanager,
    ):
        await sees_alert(alertmanager, webhook, "First")
        await alertmanager.restart()
        await sees_alert(alertmanager, webhook, "Second")


async def sees_alert(alertmanager: Alertmanager, webhook: Webhook, alertname: str) -> None:
    now = datetime.now(UTC)
    await alertmanager.post_alert({"alertname": alertname}, {"summary": "it fires"}, starts_at=now)
    token, firing = await webhook.next()
    assert token == "Bearer secret-for-tests"
    assert firing["status"] == "firing"
    assert firing["alerts"][0]["annotations"] == {"summary": "it fires"}

    over = now + timedelta(milliseconds=1)
    await alertmanager.post_alert({"alertname": alertname}, {}, starts_at=now, ends_at=over)
    _, resolved = await webhook.next()
    assert (resolved["status"], resolved["groupLabels"]) == ("resolved", {"alertname": alertname})


async def test_prometheus_scrapes_and_evaluates(
    prometheus_factory: PrometheusFactory, tmp_path: Path
) -> None:
    """A scraped series and a recorded one can be queried, before and after a restart."""
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: g, rules: [{record: twice, expr: app_level * 2}]}]")
    application = web.Application()
    application.router.add_get("/metrics", app_level)
    async with (
        http_server(application) as url,
        prometheus_factory([url.removeprefix("http://")], [rules]) as prometheus,
    ):
        assert (await first_sample(prometheus, "twice")).value == 14
        assert await prometheus.query("1 + 1") == [Sample({}, 2.0)]
        with pytest.raises(QueryError, match="parse error"):
            await prometheus.query("sum(")
        await prometheus.restart()
        sample = await first_sample(prometheus, "app_level")
        assert (sample.labels["job"], sample.value) == ("scraped", 7)


async def app_level(_: web.Request) -> web.Response:
    return web.Response(text="app_level 7\n")


async def first_sample(prometheus: Prometheus, expr: str) -> Sample:
    return (await eventually(lambda: prometheus.query(expr), within_seconds=20))[0]


async def test_prometheus_sends_its_alerts_to_alertmanager(
    prometheus_factory: PrometheusFactory,
    alertmanager_factory: AlertmanagerFactory,
    tmp_path: Path,
) -> None:
    """The whole pipeline: a rule fires in Prometheus and the webhook hears of it."""
    rules = tmp_path / "rules.yml"
    rules.write_text("groups: [{name: g, rules: [{alert: Always, expr: vector(1)}]}]")
    webhook = Webhook()
    async with (
        http_server(webhook.application) as url,
        alertmanager_factory(f"{url}/") as alertmanager,
        prometheus_factory([], [rules], alertmanagers=[alertmanager.address]),
    ):
        _, firing = await webhook.next()
        assert firing["groupLabels"] == {"alertname": "Always"}


def test_promtool_judges_rules_and_metrics(tmp_path: Path) -> None:
    """promtool accepts what is right and says what is wrong."""
    require(Component.PROMTOOL)
    rules = tmp_path / "rules.yml"
    rules.write_text(RULES)
    rules_test = tmp_path / "rules_test.yml"
    rules_test.write_text(RULES_TEST)
    assert check_rules(rules).returncode == 0
    assert unit_test_rules(rules_test).returncode == 0
    assert check_metrics("# HELP a_total A.\n# TYPE a_total counter\na_total 1\n") == (0, "")

    rules_test.write_text(RULES_TEST.replace("TooHigh", "Unknown"))
    assert unit_test_rules(rules_test).returncode != 0
    rules.write_text(RULES.replace("app_level >", "app_level >>"))
    refused = check_rules(rules)
    assert refused.returncode != 0
    assert "could not parse expression" in refused.output
    assert check_metrics("a_total{ 1\n").returncode != 0


async def test_the_proxy_loses_a_reply_after_the_server_has_acted(tmp_path: Path) -> None:
    """The command is carried out though its client saw no reply, or a reset."""
    require(Component.REDIS)
    async with Redis(tmp_path) as server, FaultProxy(server.address) as proxy:
        for inject in (proxy.drop_replies, proxy.reset_on_reply):
            inject()
            reader, writer = await asyncio.open_connection(HOST, proxy.port)
            writer.write(b"INCR lost\r\n")
            await proxy.struck()
            proxy.heal()
            with pytest.raises(ConnectionResetError):
                await reader.readline()
            writer.close()
        async with RedisClient.from_url(f"redis://{proxy.address}") as client:
            assert await client.get("lost") == b"2"


async def test_the_proxy_holds_and_delays_without_losing_a_byte(tmp_path: Path) -> None:
    """After a black hole the held bytes arrive; a delayed reply comes no earlier than that."""
    require(Component.REDIS)
    async with Redis(tmp_path) as server, FaultProxy(server.address) as proxy:
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        proxy.black_hole()
        writer.write(b"PING\r\n")
        await proxy.struck()
        assert await answers_no_ping(proxy.address)
        proxy.heal()
        assert await reader.readline() == b"+PONG\r\n"

        proxy.delay_replies(0.2)
        began = asyncio.get_running_loop().time()
        writer.write(b"PING\r\n")
        assert await reader.readline() == b"+PONG\r\n"
        assert asyncio.get_running_loop().time() - began >= 0.2
        writer.close()


async def test_the_proxy_resets_and_refuses_connections(tmp_path: Path) -> None:
    """RST on what exists, RST on what comes, refusal, and then all is well again."""
    require(Component.REDIS)
    async with Redis(tmp_path) as server, FaultProxy(server.address) as proxy:
        reader, writer = await asyncio.open_connection(HOST, proxy.port)
        writer.write(b"PING\r\n")
        assert await reader.readline() == b"+PONG\r\n"
        assert proxy.connections == 1
        proxy.reset_connections()
        with pytest.raises(ConnectionResetError):
            await reader.readline()
        writer.close()

        proxy.reset()
        with pytest.raises(ConnectionResetError):
            await answers_no_ping(proxy.address, within_seconds=5)
        proxy.heal()
        await proxy.refuse()
        with pytest.raises(ConnectionRefusedError):
            await answers_no_ping(proxy.address)
        await proxy.accept()
        assert not await answers_no_ping(proxy.address, within_seconds=5)


async def test_a_server_that_cannot_start_says_why(tmp_path: Path) -> None:
    """The error carries the tail of the log, and comes as soon as the process has ended."""
    require(Component.REDIS)
    with pytest.raises(ServerFailedError, match="Bad directive") as failure:
        await Redis(tmp_path, options=["--no-such-option", "1"]).start()
    assert "ended with code 1" in str(failure.value)


@pytest.mark.parametrize(
    ("component", "module", "kind"),
    [(Component.REDIS, "redis", "Redis"), (Component.POSTGRESQL, "postgresql", "PostgreSQL")],
)
async def test_a_killed_test_run_leaves_no_server_behind(
    component: Component, module: str, kind: str
) -> None:
    """SIGKILL to the process that started a server ends the server too, whoever it runs as."""
    require(component)
    # not tmp_path, which the account that PostgreSQL runs as cannot enter
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as directory:
        script = (
            "import asyncio, os, pathlib, signal\n"
            f"from tests.services.{module} import {kind}\n"
            f"server = {kind}(pathlib.Path({directory!r}))\n"
            "asyncio.run(server.start())\n"
            "print(server.pid, flush=True)\n"
            "os.kill(os.getpid(), signal.SIGKILL)\n"
        )
        returncode, output = run_script(script)
        assert returncode == -signal.SIGKILL

        async def is_gone() -> bool:
            return not is_alive(int(output))

        await eventually(is_gone, within_seconds=5)


@pytest.mark.parametrize("blow", ["kill", "pause"])
def test_a_test_may_leave_a_shared_server_broken(redis_server: Redis, blow: str) -> None:
    """Whatever the test before did, a shared server runs and answers when the next one starts."""
    assert redis_server.running
    assert not redis_server.paused
    getattr(redis_server, blow)()


async def test_the_shared_servers_were_healed(redis_server: Redis, kafka: Broker) -> None:
    """The session's own servers answer."""
    shared: list[ServerProcess] = [redis_server, kafka]
    for server in shared:
        assert await server.answers()


@pytest.mark.parametrize(
    ("fixture", "reason", "required", "outcome"),
    [
        (
            "redis_server",
            "redis: no redis-server on the PATH (make services)",
            "0",
            pytest.ExitCode.OK,
        ),
        (
            "redis_server",
            "redis: no redis-server on the PATH (make services)",
            "1",
            pytest.ExitCode.TESTS_FAILED,
        ),
        (
            "flagd_factory",
            "flagd: no flagd on the PATH (install it by hand)",
            "1",
            pytest.ExitCode.OK,
        ),
    ],
)
def test_the_summary_counts_what_a_missing_service_cost(
    tmp_path: Path, fixture: str, reason: str, required: str, outcome: pytest.ExitCode
) -> None:
    """A missing server's tests are skipped and counted; REQUIRE_SERVICES=1 fails all but flagd."""
    (tmp_path / "test_it.py").write_text(f"def test_it({fixture}): pass\n")
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "tests.services.fixtures", tmp_path],
        env={"PATH": "", "PYTHONPATH": str(ROOT), "REQUIRE_SERVICES": required},
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert run.returncode == outcome
    skipped = f"skipped for a missing service: 1\n  1 x {reason}\n"
    assert (skipped if outcome is pytest.ExitCode.OK else f"{MISSING}{reason}") in run.stdout
