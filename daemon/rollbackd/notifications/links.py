"""Where a notification leads whoever reads it, and how it prints a time."""

from datetime import UTC, datetime
from urllib.parse import quote

import msgspec


class Links(msgspec.Struct, frozen=True, kw_only=True):
    """Addresses for people; without a `public_url` there is no link to an incident."""

    public_url: str = ""
    runbook_url: str = ""

    def incident(self, incident_id: str) -> str:
        """The incident with its journal, or an empty string."""
        if not self.public_url or not incident_id:
            return ""
        return f"{self.public_url}/api/v1/incidents/{quote(incident_id, safe='')}"

    def report(self, incident_id: str) -> str:
        """The post-mortem of an incident that has ended, or an empty string."""
        incident = self.incident(incident_id)
        return f"{incident}/report" if incident else ""

    def runbook(self, alertname: str) -> str:
        """What to do about an alert, or an empty string."""
        return f"{self.runbook_url}#{alertname.lower()}" if self.runbook_url else ""


def rfc3339(time_ms: int) -> str:
    """A time as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(time_ms / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
