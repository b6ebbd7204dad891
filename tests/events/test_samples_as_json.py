"""prometheus-kafka-adapter and Telegraf."""

import json
from typing import Any

import pytest

from rollbackd.events.collecting import Collector
from rollbackd.events.decoders import Decoders
from rollbackd.events.record import decode_record, decode_records
from rollbackd.model.events import Rejected, Sample
from rollbackd.promql.values import is_stale
from rollbackd.settings import FormatSettings
from tests.events.bodies import NOW

UP = (("__name__", "up"), ("job", "api"))


def adapter(**changes: Any) -> bytes:
    """As https://github.com/Telefonica/prometheus-kafka-adapter writes a sample."""
    body = {
        "timestamp": "2026-11-22T20:00:00Z",
        "value": "0.5",
        "name": "up",
        "labels": {"__name__": "up", "job": "api"},
        **changes,
    }
    return json.dumps(body).encode()


def read_adapter(body: bytes) -> Sample:
    (sample,) = decode_record(body, format="prometheus_json", now_ms=NOW).samples
    return sample


def test_a_sample_of_the_adapter() -> None:
    assert read_adapter(adapter()) == Sample(UP, 0.5, NOW)
    assert read_adapter(adapter(value="+Inf", more=1)).value == float("inf")
    assert read_adapter(adapter(labels={"job": "api"})).labels == UP


def test_nan_ends_the_series_for_the_adapter_writes_stale_markers_so() -> None:
    assert is_stale(read_adapter(adapter(value="NaN")).value)


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"value": "half"}, "`value`: `half` is not a number"),
        ({"value": None}, "value"),
        ({"timestamp": "2026-11-22T20:00:00"}, "no time zone"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": 5}, "timestamp"),
    ],
)
def test_what_is_no_sample_is_rejected(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(Rejected, match=why):
        read_adapter(adapter(**changes))


@pytest.mark.parametrize("labels", [{"__name__": "a b"}, {"__name__": "up", "l": 1}, 3])
def test_labels_that_are_none_leave_the_sample_out(labels: object) -> None:
    into = Collector()
    rejected = decode_records(
        [adapter(labels=labels), adapter()],
        into,
        format="prometheus_json",
        headers={},
        now_ms=NOW,
    )
    assert [position for position, _ in rejected] == [0]
    assert len(into.samples) == 1
    assert into.refused == {"bad_labels": 1}


def docker(**changes: Any) -> dict[str, Any]:
    """As Telegraf's documentation of its JSON serializer shows it."""
    return {
        "name": "docker",
        "tags": {"host": "raynor"},
        "fields": {"n_images": 660, "cpu.usage": 1.5, "ok": True, "state": "up", "none": None},
        "timestamp": NOW // 1_000,
        **changes,
    }


def telegraf(body: object, memory: Decoders | None = None) -> tuple[Collector, list[str]]:
    into = Collector()
    rejected = decode_records(
        [json.dumps(body).encode()],
        into,
        format="telegraf",
        headers={},
        now_ms=NOW,
        memory=memory,
    )
    return into, [str(error) for _, error in rejected]


def test_fields_are_series_and_text_is_counted() -> None:
    for body in (docker(), {"metrics": [docker()], "more": 1}):
        into, rejected = telegraf(body)
        assert list(into.samples) == [
            Sample((("__name__", f"docker_{name}"), ("host", "raynor")), value, NOW)
            for name, value in (("n_images", 660.0), ("cpu_usage", 1.5), ("ok", 1.0))
        ]
        assert into.refused == {"not_a_number": 2}
        assert rejected == []


@pytest.mark.parametrize(
    ("unit", "timestamp"),
    [("1s", NOW / 1_000), ("1ms", NOW), ("1us", NOW * 1_000), ("1ns", NOW * 1_000_000)],
)
def test_the_unit_of_times_is_settable(unit: Any, timestamp: float) -> None:
    memory = Decoders(FormatSettings(telegraf_timestamp_unit=unit))
    into, _ = telegraf(docker(timestamp=timestamp), memory)
    assert into.samples[0].time_ms == NOW


def test_a_time_in_another_unit_is_rejected_with_what_to_set() -> None:
    into, (why,) = telegraf({"metrics": [docker(), docker(timestamp=NOW)]})
    assert "telegraf_timestamp_unit" in why
    assert not into.samples


@pytest.mark.parametrize("body", [[], {}, docker(fields=[]), docker(fields={"a": []}), "x"])
def test_what_is_no_metric_is_rejected(body: object) -> None:
    into, rejected = telegraf(body)
    assert len(rejected) == 1
    assert not into.samples


@pytest.mark.parametrize(
    "odd",
    [docker(tags={"a": 1}), docker(name="1", fields={"a": 1}), docker(fields={"a.b": 1, "a_b": 2})],
)
def test_an_odd_metric_is_left_out_and_the_others_are_taken(odd: dict[str, Any]) -> None:
    into, (why,) = telegraf({"metrics": [odd, docker()]})
    assert "the rest of the record is taken" in why
    assert len(into.samples) == 3
