from typing import Any

import pytest

from rollbackd.events import alertmanager
from rollbackd.model.events import Alert, AlertStatus, Rejected
from tests.events.bodies import NOW, alert, encoded, notification


def test_a_notification_becomes_alerts() -> None:
    """Nanoseconds are cut to milliseconds, and an end in year 1 is no end."""
    body = notification(alert(), alert(status="resolved", endsAt="2026-11-22T20:00:00+00:00"))
    assert alertmanager.decode(encoded(body)) == [
        Alert(
            fingerprint="c1f6d1fe8a5f2a7b",
            status=status,
            starts_at_ms=NOW - 120_000 + 123,
            ends_at_ms=ends,
            labels={"alertname": "QualityDrift", "service": "rag", "region": "eu"},
            annotations={"summary": "drift"},
            generator_url="http://prometheus:9090/graph?g0.expr=x",
        )
        for status, ends in ((AlertStatus.FIRING, None), (AlertStatus.RESOLVED, NOW))
    ]


def test_grafana() -> None:
    """Grafana says version 1 and adds fields; the shape is the same."""
    body = notification(
        alert(
            values={"A": 1.5, "B": None},
            valueString="[ var='A' ]",
            silenceURL="http://grafana/silence",
            dashboardURL="",
            panelURL="",
            imageURL="",
            annotations=None,
        ),
        version="1",
        orgId=1,
        title="[FIRING:1]",
        state="alerting",
        message="**Firing**",
        truncatedAlerts=None,
    )
    (read,) = alertmanager.decode(encoded(body))
    assert read.name == "QualityDrift"
    assert read.annotations == {}


def test_only_what_is_needed_is_required() -> None:
    body = {"alerts": [{"status": "firing", "startsAt": "2026-11-22T20:00:00Z", "labels": {}}]}
    (read,) = alertmanager.decode(encoded(body))
    assert len(read.fingerprint) == 16


def test_a_missing_fingerprint_is_made_of_the_labels() -> None:
    """Stable over the order of labels, different for different labels."""

    def fingerprint(labels: dict[str, str]) -> str:
        body = notification(alert(labels=labels, fingerprint=""))
        return alertmanager.decode(encoded(body))[0].fingerprint

    assert fingerprint({"a": "1", "b": "2"}) == fingerprint({"b": "2", "a": "1"})
    assert fingerprint({"a": "1", "b": "2"}) != fingerprint({"a": "1b", "": "2"})


def test_truncated_alerts_mark_every_alert() -> None:
    read = alertmanager.decode_notification(encoded(notification(truncatedAlerts=7)))
    assert read.truncated == 7
    assert [a.truncated for a in read.alerts] == [True]
    assert not alertmanager.decode(encoded(notification()))[0].truncated


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ({"text": "hello"}, "custom `payload` cannot be read"),
        ({"alerts": None}, "`alerts`: expected `array`, got `null`"),
        ({"alerts": [{}]}, "`alerts[0]`: object missing required field `status`"),
        ([], "expected `object`, got `array`"),
        (notification(alert(status="pending")), "invalid enum value 'pending'"),
        (notification(alert(startsAt="now")), "invalid RFC3339"),
        (notification(alert(startsAt="2026-11-22T20:00:00")), "alert 0: `startsAt`"),
        (notification(alert(labels={"a": 1})), "expected `str`, got `int`"),
        (notification(alert(labels=None)), "got `null`"),
        (notification(truncatedAlerts="many"), "`truncatedAlerts`"),
    ],
)
def test_rejected(body: Any, message: str) -> None:
    with pytest.raises(Rejected) as rejected:
        alertmanager.decode(encoded(body))
    assert message in str(rejected.value)
    assert len(str(rejected.value)) < 500


def test_ten_thousand_alerts() -> None:
    """A body of this size is decoded whole."""
    alerts = [alert(fingerprint=f"{i:016x}") for i in range(10_000)]
    read = alertmanager.decode(encoded(notification(*alerts)))
    assert len({alertmanager.inbox_key(a) for a in read}) == 10_000


def test_the_inbox_key_tells_deliveries_from_firings() -> None:
    """A repeat has the same key; another status or another start has another."""

    def key(**changes: Any) -> str:
        return alertmanager.inbox_key(
            alertmanager.decode(encoded(notification(alert(**changes))))[0]
        )

    assert key() == key(annotations={"summary": "other"}, endsAt="2026-11-22T20:00:00Z")
    others = {
        key(),
        key(status="resolved"),
        key(startsAt="2026-11-22T19:58:00.124Z"),
        key(fingerprint="0"),
    }
    assert len(others) == 4


def test_the_inbox_key_never_changes() -> None:
    """It is kept in stores: a golden value."""
    (read,) = alertmanager.decode(encoded(notification()))
    expected = "048191c836359c2dcdab750c3602e336ed96e041091484accaf6dbf5ef5bf2a7"
    assert alertmanager.inbox_key(read) == expected
