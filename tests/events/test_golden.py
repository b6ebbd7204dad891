"""What a sample of each format becomes, written out.

The samples are shaped as the documentation of each sender shows them: Grafana's webhook notifier,
Telegraf's JSON serializer, prometheus-kafka-adapter's serializer, the CloudEvents JSON format, and
`examples/metrics.json` of opentelemetry-proto.
"""

from pathlib import Path

import pytest

from rollbackd.events.record import decode_record
from rollbackd.model.labels import format_labels
from tests.events.bodies import NOW

_GOLDEN = Path(__file__).parent / "golden"

SAMPLES = {
    "telegraf": """
        cpu_usage_idle{cpu="cpu0", host="raynor"} 98.5 @0
        cpu_usage_user{cpu="cpu0", host="raynor"} 1.0 @0
        docker_n_images{host="raynor"} 660.0 @-10000
    """,
    "prometheus_json": """
        up{instance="a:9100", job="node"} 1.0 @0
    """,
    "cloudevents": """
        delta_s{arm="canary", region="eu", service="rag"} 0.31 @0
        requests{arm="canary", code="503", region="eu", service="rag"} 1.0 @0
    """,
    "otlp_json": """
        my_counter_total{my_attr="some value", service="rag"} 5.0 @0
        my_gauge_bytes{service="rag"} 10.0 @0
        my_histogram_milliseconds_bucket{le="2.5", service="rag"} 1.0 @0
        my_histogram_milliseconds_bucket{le="+Inf", service="rag"} 3.0 @0
        my_histogram_milliseconds_count{service="rag"} 3.0 @0
        my_histogram_milliseconds_sum{service="rag"} 7.5 @0
    """,
}


@pytest.mark.parametrize("declared", SAMPLES)
def test_a_sample_becomes_these_series(declared: str) -> None:
    body = (_GOLDEN / f"{declared}.json").read_bytes()
    batch = decode_record(body, format=declared, now_ms=NOW)
    found = [f"{format_labels(s.labels)} {s.value} @{s.time_ms - NOW}" for s in batch.samples]
    assert found == [line.strip() for line in SAMPLES[declared].strip().splitlines()]


@pytest.mark.parametrize("declared", ["auto", "alertmanager"])
def test_grafanas_notification_becomes_alerts(declared: str) -> None:
    body = (_GOLDEN / "grafana.json").read_bytes()
    firing, resolved = decode_record(body, format=declared, now_ms=NOW).alerts
    assert (firing.name, firing.status, firing.fingerprint) == (
        "Quality drift", "firing", "c6eadffa33fcdf37",
    )  # fmt: skip
    assert (firing.starts_at_ms, firing.ends_at_ms) == (NOW - 116_844 + 1, None)
    assert (resolved.name, resolved.status) == ("Cost", "resolved")
    assert resolved.ends_at_ms == NOW + 59 * 60_000
