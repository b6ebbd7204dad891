"""Alertmanager's webhook (version 4) and Grafana's variant of it, told by shape, not by version."""

import hashlib
from datetime import datetime
from typing import Final

import msgspec
import orjson

from rollbackd.events.json import decode_json
from rollbackd.events.timestamps import milliseconds
from rollbackd.model.events import Alert, AlertStatus, Rejected

#: Alerts in one notification; the body limit is reached first.
MAX_ALERTS: Final = 100_000

_CUSTOM: Final = (
    "; this is not an Alertmanager notification: a receiver with a custom `payload` cannot be read,"
    " remove `payload` from its `webhook_configs`"
)


class _Alert(msgspec.Struct, rename="camel"):
    status: AlertStatus
    starts_at: datetime
    labels: dict[str, str]
    ends_at: datetime | None = None
    annotations: dict[str, str] | None = None
    generator_url: str | None = msgspec.field(default=None, name="generatorURL")
    fingerprint: str | None = None


class _Notification(msgspec.Struct, rename="camel"):
    alerts: list[_Alert]
    truncated_alerts: int | None = None


_DECODER: Final = msgspec.json.Decoder(_Notification)


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """The alerts of one body, and how many more the sender left out."""

    alerts: list[Alert]
    truncated: int = 0


def decode(body: bytes) -> list[Alert]:
    """The alerts of a notification. Raises Rejected."""
    return decode_notification(body).alerts


def decode_notification(body: bytes) -> Notification:
    """The alerts of a notification and the count of those left out. Raises Rejected."""
    try:
        read = decode_json(_DECODER, body)
    except Rejected as rejected:
        custom = _CUSTOM if "missing required field `alerts`" in str(rejected) else ""
        raise Rejected(f"{rejected}{custom}") from None
    if len(read.alerts) > MAX_ALERTS:
        raise Rejected(f"{len(read.alerts)} alerts; at most {MAX_ALERTS} are allowed")
    truncated = max(read.truncated_alerts or 0, 0)
    alerts: list[Alert] = []
    for position, alert in enumerate(read.alerts):
        try:
            alerts.append(_alert(alert, truncated=truncated > 0))
        except Rejected as rejected:
            raise Rejected(f"alert {position}: {rejected}", position=position) from None
    return Notification(alerts=alerts, truncated=truncated)


def inbox_key(alert: Alert) -> str:
    """What makes two deliveries one: the same firing of the same alert in the same status."""
    identity = ["alertmanager", alert.fingerprint, alert.starts_at_ms, alert.status.value]
    return hashlib.sha256(orjson.dumps(identity)).hexdigest()


def _alert(alert: _Alert, *, truncated: bool) -> Alert:
    return Alert(
        fingerprint=alert.fingerprint or _fingerprint(alert.labels),
        status=alert.status,
        starts_at_ms=milliseconds(alert.starts_at, field="startsAt"),
        ends_at_ms=_ends_at(alert.ends_at),
        labels=alert.labels,
        annotations=alert.annotations or {},
        generator_url=alert.generator_url or "",
        truncated=truncated,
    )


def _ends_at(moment: datetime | None) -> int | None:
    # Year 1 is Go's zero time: not ended.
    if moment is None or moment.year == 1:
        return None
    return milliseconds(moment, field="endsAt")


def _fingerprint(labels: dict[str, str]) -> str:
    return hashlib.sha256(orjson.dumps(sorted(labels.items()))).hexdigest()[:16]
