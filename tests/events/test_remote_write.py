"""Prometheus remote write; that a real Prometheus is understood, tests/end_to_end says."""

import struct
from collections.abc import Callable

import pytest

from rollbackd.events import remote_write
from rollbackd.events.collecting import Collector
from rollbackd.events.compression import MAX_UNPACKED
from rollbackd.events.foreign import MAX_SAMPLES
from rollbackd.events.protobuf import messages
from rollbackd.events.record import decode_record, decode_records
from rollbackd.model.events import Rejected, Sample
from rollbackd.promql.values import is_stale
from tests.events.bodies import NOW
from tests.events.wire import snappy, write_request, write_request_v2

UP = {"__name__": "up", "job": "api", "instance": "a:1"}
UP_LABELS = (("__name__", "up"), ("instance", "a:1"), ("job", "api"))
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]

VERSIONS = pytest.mark.parametrize(
    ("declared", "written"),
    [("remote_write", write_request), ("remote_write_v2", write_request_v2)],
)


@VERSIONS
def test_every_sample_is_taken_with_its_time(declared: str, written: Callable[..., bytes]) -> None:
    body = written((UP, [(1.0, NOW), (0.0, NOW + 1)]), ({"__name__": "x"}, [(-2.5, 7)]))
    assert list(decode_record(body, format=declared, now_ms=NOW).samples) == [
        Sample(UP_LABELS, 1.0, NOW),
        Sample(UP_LABELS, 0.0, NOW + 1),
        Sample((("__name__", "x"),), -2.5, 7),
    ]


@VERSIONS
def test_nan_is_data_and_the_stale_marker_stays_one(
    declared: str, written: Callable[..., bytes]
) -> None:
    body = written((UP, [(float("nan"), NOW), (STALE, NOW + 1), (float("inf"), NOW + 2)]))
    plain, stale, infinite = decode_record(body, format=declared, now_ms=NOW).samples
    assert plain.value != plain.value
    assert not is_stale(plain.value)
    assert is_stale(stale.value)
    assert infinite.value == float("inf")


@pytest.mark.parametrize(
    ("labels", "why"),
    [
        ({"job": "api"}, "not a metric name"),
        ({"__name__": "a b"}, "not a metric name"),
        ({"__name__": "up", "a-b": "x"}, "not a name"),
        ({"__name__": "up", **{f"l{n}": "x" for n in range(31)}}, "31 labels; at most 30"),
        ({"__name__": "up", "a": "x" * 2_049}, "2049 characters"),
    ],
)
def test_an_odd_series_is_left_out_and_the_others_are_taken(
    labels: dict[str, str], why: str
) -> None:
    body = write_request((labels, [(1.0, NOW), (2.0, NOW)]), (UP, [(1.0, NOW)]))
    into = Collector()
    ((position, rejected),) = decode_records(
        [body], into, format="remote_write", headers={}, now_ms=NOW
    )
    assert position == 0
    assert why in str(rejected)
    assert "the rest of the record is taken" in str(rejected)
    assert [sample.labels for sample in into.samples] == [UP_LABELS]
    assert into.refused == {"bad_labels": 2}


@pytest.mark.parametrize("name", ["ALERTS", "ALERTS_FOR_STATE", "baseline:delta_s:p95"])
def test_what_the_engine_makes_itself_is_counted_and_nobody_is_blamed(name: str) -> None:
    """A Prometheus writes its own `ALERTS` with everything else."""
    body = write_request(({"__name__": name, "alertname": "A"}, [(1.0, NOW)]), (UP, [(1.0, NOW)]))
    into = Collector()
    assert decode_records([body], into, format="remote_write", headers={}, now_ms=NOW) == []
    assert len(into.samples) == 1
    assert into.refused == {"reserved_name": 1}


def test_native_histograms_are_counted_and_left_out() -> None:
    into = Collector()
    body = write_request((UP, []), native_histograms=3)
    assert remote_write.decode_into(body, into) == ""
    assert into.refused == {"native_histogram": 3}
    assert not into.samples


def test_a_label_that_is_there_twice_or_is_no_text_is_a_bad_one() -> None:
    kinds = messages("test.twice", remote_write.V1)
    for first, second in ((b"a", b"a"), (b"a", b"\xff")):
        request = kinds["WriteRequest"]()
        series = request.timeseries.add()
        for name in (b"__name__", first, second):
            label = kinds["Label"](name=name, value=b"up")
            series.labels.append(label.SerializeToString())
        series.samples.add(value=1.0, timestamp=NOW)
        into = Collector()
        assert remote_write.decode_into(snappy(request.SerializeToString()), into) != ""
        assert into.refused == {"bad_labels": 1}


def test_a_reference_to_no_symbol_is_a_bad_label() -> None:
    kinds = messages("test.refs", remote_write.V2)
    for refs in ([1, 9], [1]):
        request = kinds["Request"](symbols=[b"", b"__name__", b"up"])
        series = request.timeseries.add(labels_refs=refs)
        series.samples.add(value=1.0, timestamp=NOW)
        into = Collector()
        assert remote_write.decode_v2_into(snappy(request.SerializeToString()), into) != ""
        assert into.refused == {"bad_labels": 1}


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"\x80", "not a Snappy block"),
        (b"hello", "not a Snappy block"),
        (snappy(b"\xff\xff"), "not a protobuf"),
        (b"\xff\xff\xff\xff\x0f", "over 33554432 bytes when it is unpacked"),
        (snappy(b"\x00" * (MAX_UNPACKED + 1)), "over 33554432 bytes"),
    ],
)
def test_what_is_no_body_is_rejected_as_a_whole(body: bytes, why: str) -> None:
    with pytest.raises(Rejected, match=why):
        decode_record(body, format="remote_write", now_ms=NOW)


def test_too_many_samples_say_what_to_set() -> None:
    body = write_request((UP, [(1.0, NOW)] * (MAX_SAMPLES + 1)))
    with pytest.raises(Rejected, match="lower `max_samples_per_send`"):
        decode_record(body, format="remote_write", now_ms=NOW)
