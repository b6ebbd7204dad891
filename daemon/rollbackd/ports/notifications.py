"""Telling people."""

from typing import Protocol

from rollbackd.model.incidents import Incident, JournalRecord


class Notifier(Protocol):
    """Tells people. One that is down never holds an incident up."""

    async def page(self, incident: Incident, reason: str) -> None:
        """Ask for a person. Never raises."""
        ...

    def decided(self, incident: Incident, record: JournalRecord) -> None:
        """Hear of a record that is in the journal, with the incident as it left it.

        Returns at once and never raises: what is to be sent is sent later.
        """
        ...
