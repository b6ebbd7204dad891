"""Names by the rules of https://github.com/prometheus/otlptranslator."""

import pytest

from rollbackd.events.otlp_names import Kind, bound_text, label_of, labels_from, metric_of


@pytest.mark.parametrize(
    ("name", "unit", "kind", "expected"),
    [
        ("system.network.io", "By", Kind.COUNTER, "system_network_io_bytes_total"),
        ("requests_total", "", Kind.COUNTER, "requests_total"),
        ("requests.total.count", "{x}", Kind.COUNTER, "requests_count_total"),
        ("memory.utilization", "1", Kind.GAUGE, "memory_utilization_ratio"),
        ("memory.utilization", "1", Kind.COUNTER, "memory_utilization_total"),
        ("(lambda).executions(#)", "", Kind.OTHER, "lambda_executions"),
        ("speed", "km/h", Kind.GAUGE, "speed_km_per_hour"),
        ("speed", "m/s", Kind.GAUGE, "speed_meters_per_second"),
        ("rate", "{packet}/s", Kind.GAUGE, "rate_per_second"),
        ("latency_seconds", "s", Kind.OTHER, "latency_seconds"),
        ("temperature", "Cel", Kind.GAUGE, "temperature_celsius"),
        ("job:rate", "", Kind.GAUGE, "job:rate"),
        ("2xx", "", Kind.GAUGE, "_2xx"),
        ("été", "", Kind.GAUGE, "t"),
        ("", "", Kind.GAUGE, ""),
    ],
)
def test_metric_names(name: str, unit: str, kind: Kind, expected: str) -> None:
    assert metric_of(name, unit, kind) == expected


@pytest.mark.parametrize(
    ("attribute", "label"),
    [("http.route", "http_route"), ("a..b", "a_b"), ("0x", "key_0x"), ("_x", "_x")],
)
def test_label_names(attribute: str, label: str) -> None:
    assert label_of(attribute) == label


def test_attributes_that_become_one_label_are_joined_in_the_order_of_their_names() -> None:
    assert labels_from([("a_b", "2"), ("a.b", "1"), ("c", "3")]) == {"a_b": "1;2", "c": "3"}


@pytest.mark.parametrize(
    ("bound", "text"),
    [
        (5.0, "5"),
        (0.005, "0.005"),
        (1e21, "1000000000000000000000"),
        (1e-7, "0.0000001"),
        (float("inf"), "+Inf"),
        (-float("inf"), "-Inf"),
    ],
)
def test_bounds_are_written_as_go_writes_them(bound: float, text: str) -> None:
    assert bound_text(bound) == text
