import json

import pytest

from rollbackd.events.collecting import Collector
from rollbackd.events.record import FORMATS, decode_record, decode_record_into
from rollbackd.model.events import Batch, Rejected
from tests.events.bodies import NOW, alert, encoded, lines, native, notification


def test_auto_tells_notifications_from_events() -> None:
    for body in (encoded(notification()), json.dumps(notification(), indent=1).encode()):
        assert len(decode_record(body, now_ms=NOW).alerts) == 1
    assert len(decode_record(encoded(native()), now_ms=NOW).samples) == 3
    assert len(decode_record(lines(native(), native()), now_ms=NOW).samples) == 6


@pytest.mark.parametrize("extra", ["list of alerts", 3, {"a": 1}, None])
def test_an_event_may_have_a_field_named_alerts(extra: object) -> None:
    """Only a list of them makes a notification."""
    assert len(decode_record(encoded(native(alerts=extra)), now_ms=NOW).samples) == 3


def test_a_declared_format_is_not_guessed() -> None:
    with pytest.raises(Rejected, match="`event` is missing"):
        decode_record(encoded(notification()), format="native", now_ms=NOW)
    with pytest.raises(Rejected, match="not an Alertmanager notification"):
        decode_record(encoded(native()), format="alertmanager", now_ms=NOW)


def test_truncated_alerts_are_counted() -> None:
    into = Collector()
    for _ in range(2):
        decode_record_into(encoded(notification(truncatedAlerts=3)), into, now_ms=NOW)
    assert into.truncated == 6


def test_a_record_of_several_events_is_taken_whole_or_not_at_all() -> None:
    into = Collector()
    decode_record_into(encoded(native(pins=...)), into, now_ms=NOW)
    for bad in (lines(native(), native(event="")), encoded([native(), native(ts="x")])):
        with pytest.raises(Rejected, match="event 1"):
            decode_record_into(bad, into, now_ms=NOW)
    assert len(into.batch().samples) == 3
    assert into.batch().pins == []
    decode_record_into(lines(native(), native(values={"n": 1})), into, now_ms=NOW)
    assert len(into.batch().samples) == 8
    assert len(into.batch().pins) == 1


def test_headers_say_that_a_record_is_a_cloudevent() -> None:
    headers = [("Content-Type", b"application/CloudEvents+json; charset=utf-8")]
    with pytest.raises(Rejected, match="specversion"):
        decode_record(encoded(native()), headers=headers, now_ms=NOW)
    plain = [("content-type", b"application/json"), ("ce_id", b"1")]
    assert decode_record(encoded(native()), headers=plain, now_ms=NOW) != Batch()


@pytest.mark.parametrize("declared", FORMATS)
def test_an_empty_record_is_rejected(declared: str) -> None:
    with pytest.raises(Rejected):
        decode_record(b"", format=declared, now_ms=NOW)


def test_alerts_with_many_labels_are_kept() -> None:
    """Limits of native events do not hold here: an alert must not get lost for its size."""
    labels = {f"l{i}": "x" * 4_000 for i in range(40)}
    (read,) = decode_record(encoded(notification(alert(labels=labels))), now_ms=NOW).alerts
    assert read.labels == labels
