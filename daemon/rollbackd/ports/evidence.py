"""What an incident looks at, checks and writes down."""

from collections.abc import Sequence
from typing import Protocol

from rollbackd.model.incidents import (
    AuditCheck,
    Confirmation,
    Evidence,
    Incident,
    JournalRecord,
    SeriesWindow,
)
from rollbackd.model.policy import FreezeProbe
from rollbackd.model.triggers import TargetReading


class Capture(Protocol):
    """Writes down what can be seen before the first act."""

    async def capture(self, incident: Incident) -> Evidence:
        """Bounded in time; a source that fails is listed in `unavailable`. Never raises."""
        ...


class FreezeProbes(Protocol):
    """Looks whether writers really stand still once the fence is up (requirements C2, F2)."""

    async def confirm(self, incident: Incident, probe: FreezeProbe) -> Confirmation:
        """Ask one probe once, bounded in time. Never raises: a probe that fails confirms nothing.

        It must change nothing where the freeze holds; where it does not, a probe write may pass.
        """
        ...


class Targets(Protocol):
    """Reads the exit targets from the live series."""

    def read(self, incident: Incident, now_ms: int) -> list[TargetReading]:
        """One reading a target, over samples after the flip only."""
        ...


class Windows(Protocol):
    """Reads what the triggers of an incident looked at."""

    def read(self, incident: Incident, now_ms: int) -> tuple[list[SeriesWindow], int]:
        """The windows, bounded, and how many series were beyond the bound. Raises ValueError."""
        ...


class Auditor(Protocol):
    """Checks the result once everything was given back."""

    async def audit(self, incident: Incident) -> list[AuditCheck]:
        """One line a check. Never raises: a check that cannot run has failed."""
        ...


class Reporter(Protocol):
    """Writes the post-mortem."""

    async def write(self, incident: Incident, journal: Sequence[JournalRecord]) -> str:
        """Write the bundle and the report atomically; returns where the report is."""
        ...
