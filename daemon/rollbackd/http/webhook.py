"""Alertmanager's webhook: answered 200 only after the alerts are committed.

A 200 is a promise for `repeat_interval`, four hours by default: Alertmanager stays silent until
then. Anything that may pass is 503, because it never repeats a notification after a 4xx.
"""

from typing import Final

from aiohttp import web

from rollbackd.events import alertmanager
from rollbackd.http.answers import answer
from rollbackd.http.bodies import Bodies
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import Endpoint
from rollbackd.model.events import Rejected
from rollbackd.ports import Operations
from rollbackd.settings import Permission
from rollbackd.telemetry import Telemetry

SOURCE: Final = "alertmanager"


class Webhook:
    """Takes notifications of Alertmanager and of Grafana."""

    def __init__(self, operations: Operations, telemetry: Telemetry, bodies: Bodies) -> None:
        self._operations = operations
        self._telemetry = telemetry
        self._bodies = bodies

    def endpoints(self) -> list[Endpoint]:
        """The one path."""
        return [
            Endpoint(
                methods=("POST",),
                path="/api/v1/alertmanager",
                permission=Permission.INGEST,
                handler=self.receive,
            )
        ]

    async def receive(self, request: web.Request, _caller: Caller) -> web.Response:
        """Commit the alerts of one notification."""
        async with self._bodies.hold(request) as body:
            self._telemetry.events_received.labels(SOURCE).inc()
            try:
                notification = alertmanager.decode_notification(body)
            except Rejected as verdict:
                self._telemetry.decode_failures.labels(SOURCE).inc()
                await self._operations.bury(SOURCE, body, str(verdict))
                raise
            self._telemetry.truncated_alerts.inc(notification.truncated)
            new = await self._operations.accept_alerts(notification.alerts)
        return answer({"accepted": len(notification.alerts), "new": new})
