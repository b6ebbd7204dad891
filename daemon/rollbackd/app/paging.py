"""Asking for a person, through the log and the metrics.

The metric `rollbackd_pages_total` and the gauges are what an alert rule turns into a page.
"""

import logging

from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)


class LogNotifier:
    """Writes a page as a critical log line and counts it."""

    def __init__(self, telemetry: Telemetry) -> None:
        self._telemetry = telemetry

    async def page(self, incident: Incident, reason: str) -> None:
        """Ask for a person."""
        self._telemetry.pages.labels(incident.state).inc()
        logger.critical(
            "a person is needed",
            extra={
                "incident": incident.id,
                "scope": str(incident.scope),
                "state": incident.state,
                "reason": reason,
                "note": incident.note,
            },
        )

    def decided(self, incident: Incident, record: JournalRecord) -> None:
        """Nothing: whoever takes a decision logs it."""
