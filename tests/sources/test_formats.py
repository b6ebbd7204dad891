"""Topics in formats that need packages of their own."""

from typing import cast

import pytest
from prometheus_client import CollectorRegistry

from rollbackd.clock import ManualClock
from rollbackd.events import decoders
from rollbackd.ports import Sink
from rollbackd.settings import KafkaSettings, KafkaTopic
from rollbackd.sources.kafka import KafkaSource
from rollbackd.telemetry import Telemetry


def source(declared: str) -> KafkaSource:
    settings = KafkaSettings(
        bootstrap_servers=["b:9092"], topics=[KafkaTopic(name="metrics", format=declared)]
    )
    return KafkaSource(settings, cast("Sink", None), Telemetry(CollectorRegistry()), ManualClock())


@pytest.mark.parametrize(
    ("declared", "packages"),
    [("remote_write", "protobuf and cramjam"), ("otlp_protobuf", "protobuf"), ("otlp_json", "")],
)
def test_a_missing_package_stops_the_start_with_what_to_install(
    declared: str, packages: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    source(declared)
    monkeypatch.setattr(decoders, "find_spec", lambda _: None)
    if not packages:
        source(declared)
        return
    with pytest.raises(ValueError, match=f"topic `metrics`: .*{packages}; install") as caught:
        source(declared)
    assert "`rollbackd[formats]`" in str(caught.value)
