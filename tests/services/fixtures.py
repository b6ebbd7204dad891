"""The pytest plugin that lends real servers to tests.

Shared servers start once per run, when the first test asks for them; whatever a test does to one,
the next test finds it running. A factory's servers are started by the test, with `async with`.
"""

import asyncio
import contextlib
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any, TypeAlias

import pytest

from tests.services.alertmanager import Alertmanager
from tests.services.availability import MISSING, Component, require
from tests.services.kafka import Broker, kafka_broker
from tests.services.processes import ServerProcess
from tests.services.prometheus import Prometheus
from tests.services.redis import Redis

#: Takes what Alertmanager takes, less the directory; the result is not started.
AlertmanagerFactory: TypeAlias = Callable[..., Alertmanager]
#: Takes what Prometheus takes, less the directory; the result is not started.
PrometheusFactory: TypeAlias = Callable[..., Prometheus]


_SHARED = pytest.StashKey[list[ServerProcess]]()
_BROKER = pytest.StashKey[Broker]()


@pytest.fixture(scope="session")
def kafka(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Broker]:
    """The broker of this run: Apache Kafka, or Tansu where that cannot be had."""
    require(Component.KAFKA)
    broker = kafka_broker(tmp_path_factory.mktemp("kafka"))
    pytestconfig.stash[_BROKER] = broker
    with _shared(broker, pytestconfig):
        yield broker


@pytest.fixture(scope="session")
def redis_server(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Redis]:
    """The Redis of this run."""
    require(Component.REDIS)
    server = Redis(tmp_path_factory.mktemp("redis"))
    with _shared(server, pytestconfig):
        yield server


@pytest.fixture(scope="session")
def alertmanager_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AlertmanagerFactory]:
    """Makes Alertmanagers; those that still run at the end of the run are killed."""
    require(Component.ALERTMANAGER)
    with contextlib.ExitStack() as at_end:

        def make(*args: Any, **kwargs: Any) -> Alertmanager:
            server = Alertmanager(tmp_path_factory.mktemp("alertmanager"), *args, **kwargs)
            at_end.callback(server.kill)
            return server

        yield make


@pytest.fixture(scope="session")
def prometheus_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PrometheusFactory]:
    """Makes Prometheus servers; those that still run at the end of the run are killed."""
    require(Component.PROMETHEUS)
    with contextlib.ExitStack() as at_end:

        def make(*args: Any, **kwargs: Any) -> Prometheus:
            server = Prometheus(tmp_path_factory.mktemp("prometheus"), *args, **kwargs)
            at_end.callback(server.kill)
            return server

        yield make


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Leave the shared servers running for the next test."""
    for server in item.config.stash.get(_SHARED, []):
        if server.paused or not server.running:
            _run(server.heal())


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which broker it was, and how many tests did not run for want of which service."""
    lines = []
    broker = config.stash.get(_BROKER, None)
    if broker is not None:
        lines.append(f"kafka broker: {broker.flavor}")
    prefix = f"Skipped: {MISSING}"
    reasons = [report.longrepr[2] for report in terminalreporter.stats.get("skipped", ())]
    missing = Counter(
        reason.removeprefix(prefix) for reason in reasons if reason.startswith(prefix)
    )
    if missing:
        lines.append(f"skipped for a missing service: {missing.total()}")
        lines.extend(f"  {count} x {reason}" for reason, count in missing.most_common())
    if lines:
        terminalreporter.section("real services")
        terminalreporter.write("\n".join([*lines, ""]))


@contextlib.contextmanager
def _shared(server: ServerProcess, config: pytest.Config) -> Iterator[None]:
    shared = config.stash.setdefault(_SHARED, [])
    try:
        _run(server.start())
        shared.append(server)
        yield
    finally:
        if server in shared:
            shared.remove(server)
        server.kill()


def _run(work: Coroutine[Any, Any, None]) -> None:
    # a loop factory keeps asyncio's current loop, which pytest-asyncio looks after, untouched
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        runner.run(work)
