"""What fires and what has ended lately, ready to be sent to an Alertmanager. Pure."""

from collections.abc import Iterable
from typing import Final

import msgspec

from rollbackd.notifications.links import Links
from rollbackd.notifications.standing import Identity, OwnAlert, render

#: How long the end of an alert is repeated, for an instance that was down (Prometheus's
#: `resolvedRetention` in rules/alerting.go).
RESOLVED_RETENTION_MS: Final = 15 * 60_000
#: An alert that is not repeated ends after so many intervals (`sendAlerts` in Prometheus's
#: rules/manager.go).
_LIVES: Final = 4


class Ended(msgspec.Struct, frozen=True):
    """An alert that fires no more."""

    alert: OwnAlert
    at_ms: int


class Board:
    """Follows the alerts from one look to the next; their ends are kept for a while."""

    def __init__(self, links: Links, resend_ms: int) -> None:
        self._links = links
        self._resend_ms = resend_ms
        self._firing: dict[Identity, OwnAlert] = {}
        self._ended: dict[Identity, Ended] = {}

    def differs(self, alerts: Iterable[OwnAlert]) -> bool:
        """Whether other alerts fire than at the last turn."""
        return {alert.labels for alert in alerts} != self._firing.keys()

    def turn(self, alerts: Iterable[OwnAlert], now_ms: int) -> None:
        """These fire now; whatever fired before and does not any more has ended."""
        firing = {alert.labels: alert for alert in alerts}
        gone = {key: alert for key, alert in self._firing.items() if key not in firing}
        self._ended |= {key: Ended(alert, now_ms) for key, alert in gone.items()}
        self._ended = {
            key: each
            for key, each in self._ended.items()
            if key not in firing and now_ms - each.at_ms < RESOLVED_RETENTION_MS
        }
        self._firing = firing

    def inherit(self, alert: OwnAlert, ended_at_ms: int) -> None:
        """An earlier process may have raised this alert, and it has ended since."""
        self._ended[alert.labels] = Ended(alert, ended_at_ms)

    def render(self, now_ms: int) -> list[dict[str, object]]:
        """The body of a post: what fires ends in the future, what has ended did in the past."""
        ahead_ms = now_ms + _LIVES * self._resend_ms
        return [
            *(render(each, self._links, ends_at_ms=ahead_ms) for each in self._firing.values()),
            *(render(e.alert, self._links, ends_at_ms=e.at_ms) for e in self._ended.values()),
        ]
