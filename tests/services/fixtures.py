"""The pytest plugin that lends real servers to tests.

Shared servers start once per run, when the first test asks for them; whatever a test does to one,
the next test finds it running. A factory's servers are started by the test, with `async with`.
"""

import asyncio
import contextlib
import tempfile
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import pytest

from tests.services.alertmanager import Alertmanager
from tests.services.availability import MISSING, Component, require
from tests.services.flagd import Flagd
from tests.services.haproxy import HAProxy
from tests.services.kafka import Broker, kafka_broker
from tests.services.milvus import Milvus
from tests.services.opensearch import Elasticsearch, OpenSearch
from tests.services.postgresql import PostgreSQL
from tests.services.processes import ServerProcess
from tests.services.prometheus import Prometheus
from tests.services.redis import Redis
from tests.services.redisearch import Redisearch
from tests.services.unleash import Unleash

#: Takes what Alertmanager takes, less the directory; the result is not started.
AlertmanagerFactory: TypeAlias = Callable[..., Alertmanager]
#: Takes what Prometheus takes, less the directory; the result is not started.
PrometheusFactory: TypeAlias = Callable[..., Prometheus]
#: Takes `file:PATH` or `http://...`; the result is not started.
FlagdFactory: TypeAlias = Callable[[str], Flagd]


_SHARED = pytest.StashKey[list[ServerProcess]]()
_BROKER = pytest.StashKey[Broker]()
_FLAVOR = pytest.StashKey[str]()


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


@pytest.fixture
def haproxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HAProxy]:
    """An HAProxy of the test's own: the runtime API's changes would reach other tests."""
    require(Component.HAPROXY)
    server = HAProxy(tmp_path_factory.mktemp("haproxy"))
    try:
        _run(server.start())
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="session")
def milvus(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Milvus]:
    """The Milvus of this run; collections and aliases are unique to each test."""
    require(Component.MILVUS)
    server = Milvus(tmp_path_factory.mktemp("milvus"))
    with _shared(server, pytestconfig):
        yield server


@pytest.fixture(scope="session")
def opensearch(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OpenSearch]:
    """The OpenSearch of this run; indices and aliases are unique to each test."""
    require(Component.OPENSEARCH)
    server = OpenSearch(tmp_path_factory.mktemp("opensearch"))
    with _shared(server, pytestconfig):
        yield server


@pytest.fixture(scope="session")
def elasticsearch(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Elasticsearch]:
    """The Elasticsearch of this run; indices and aliases are unique to each test."""
    require(Component.ELASTICSEARCH)
    server = Elasticsearch(tmp_path_factory.mktemp("elasticsearch"))
    with _shared(server, pytestconfig):
        yield server


@pytest.fixture(scope="session")
def redisearch(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Redisearch]:
    """The Redis with a query engine of this run; indices and aliases are unique to each test."""
    require(Component.REDISEARCH)
    server = Redisearch(tmp_path_factory.mktemp("redisearch"))
    with _shared(server, pytestconfig):
        yield server


@pytest.fixture(scope="session")
def unleash(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Unleash]:
    """The Unleash of this run; flags are unique to each test."""
    require(Component.UNLEASH)
    # not below pytest's folder, which the account that PostgreSQL runs as cannot enter
    with tempfile.TemporaryDirectory(prefix="rollbackd-postgresql-") as directory:
        database = PostgreSQL(Path(directory))
        server = Unleash(tmp_path_factory.mktemp("unleash"), database)
        with _shared(database, pytestconfig), _shared(server, pytestconfig):
            yield server


@pytest.fixture(scope="session")
def flagd_factory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FlagdFactory]:
    """Makes flagds; those that still run at the end of the run are killed."""
    require(Component.FLAGD)
    with contextlib.ExitStack() as at_end:

        def make(source: str) -> Flagd:
            server = Flagd(tmp_path_factory.mktemp("flagd"), source)
            at_end.callback(server.kill)
            return server

        yield make


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Leave the shared servers running for the next test."""
    for server in item.config.stash.get(_SHARED, []):
        if server.paused or not server.running:
            _run(server.heal())


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process that runs a share of the tests tells the one that reports (pytest-xdist)."""
    broker = session.config.stash.get(_BROKER, None)
    told: dict[str, str] | None = getattr(session.config, "workeroutput", None)
    if broker is not None and told is not None:
        told["broker"] = broker.flavor


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Hear of it."""
    flavor = getattr(node, "workeroutput", {}).get("broker")
    if flavor is not None:
        node.config.stash[_FLAVOR] = flavor


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say which broker it was, and how many tests did not run for want of which service."""
    lines = []
    broker = config.stash.get(_BROKER, None)
    flavor = config.stash.get(_FLAVOR, broker.flavor if broker is not None else None)
    if flavor is not None:
        lines.append(f"kafka broker: {flavor}")
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
