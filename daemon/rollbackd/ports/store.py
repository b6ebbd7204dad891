"""What survives a crash."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from rollbackd.model.events import Alert, KnownGood
from rollbackd.model.facts import ChangeEvent
from rollbackd.model.history import History, Latch
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.known_good import SetStatus
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import RuleInstance


class InboxEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One alert that was accepted, durable until it is handled.

    `key` is the hash of (fingerprint, startsAt, status): a repeat is the same entry.
    """

    key: str
    alert: Alert
    received_at_ms: int


class DeadLetter(msgspec.Struct, frozen=True, kw_only=True):
    """An input that could not be used, with the reason; `body` is at most 64 KiB of it."""

    source: str
    reason: str
    body: bytes
    at_ms: int


class Pause(msgspec.Struct, frozen=True, kw_only=True):
    """The global stop: set by a person, survives restarts and reloads."""

    reason: str
    by: str
    since_ms: int


class ScopeBusyError(Exception):
    """The scope has an open incident."""

    def __init__(self, incident_id: str) -> None:
        super().__init__(f"incident `{incident_id}` is open for this scope")
        self.incident_id = incident_id


class StaleIncidentError(Exception):
    """The incident in the store is not the one this step was made from; somebody was faster."""


class Store(Protocol):
    """What must survive a crash: inbox, incidents with journals, latches, known good sets, changes.

    Every method that changes something has committed durably when it returns. TemporaryError when
    the store cannot be reached; then nothing is known about the change.
    """

    async def accept(self, entries: Sequence[InboxEntry]) -> int:
        """Commit alerts to the inbox in one transaction; returns how many were new.

        An alert that turns back to a status it had before is new: it is offered again.
        """
        ...

    async def unhandled(self, limit: int) -> list[InboxEntry]:
        """Accepted and not yet handled, oldest first."""
        ...

    async def mark_handled(self, keys: Sequence[str]) -> None:
        """The engine has them; they are not offered again."""
        ...

    async def firing_alerts(self) -> list[InboxEntry]:
        """The latest entry of each fingerprint whose latest status is firing."""
        ...

    async def next_epoch(self, scope: Scope) -> int:
        """A number greater than every one given before for the scope, also after a failover."""
        ...

    async def open_incident(self, incident: Incident, record: JournalRecord) -> None:
        """Store a new incident and its first record. Raises ScopeBusyError.

        Repeating the same call, as after a lost reply, changes nothing.
        """
        ...

    async def advance(self, incident: Incident, records: Sequence[JournalRecord]) -> None:
        """Replace the incident whose version is one less, and append to its journal, atomically.

        Raises StaleIncidentError when the stored version is another, and IllegalTransitionError
        (`incidents.states`) when the stored state does not lead to the new one. Repeating the same
        call changes nothing.
        """
        ...

    async def incident(self, incident_id: str) -> Incident | None:
        """One incident, or None."""
        ...

    async def incidents(self, *, open_only: bool = False, limit: int = 100) -> list[Incident]:
        """Newest first."""
        ...

    async def journal(self, incident_id: str) -> list[JournalRecord]:
        """The steps of an incident in order."""
        ...

    async def history(self, *, acts_since_ms: int, trips_since_ms: int) -> History:
        """What the guardrails need of the past; as cheap as the acts and trips are few.

        Every incident that was opened to act and is open, or ended at or after `acts_since_ms`, by
        opening; the newest trip of each scope and rule at or after `trips_since_ms` and within a
        day; every latch, also a released one.
        """
        ...

    async def latches(self) -> list[Latch]:
        """Every latch, also a released one, by scope and branch."""
        ...

    async def put_latch(self, latch: Latch) -> None:
        """Keep a latch, in place of the one that its scope and branch had."""
        ...

    async def put_known_good(self, known_good: KnownGood) -> KnownGood:
        """Record a set. The newest good one of a scope is the one to go back to.

        Returns what is in the store: the set itself, or the one of the same id or of the same
        `key` in its scope, which is left as it is. Of each scope `SETS_KEPT` are kept: the oldest
        go, but never the one in force.
        """
        ...

    async def known_good(self, scope: Scope) -> KnownGood | None:
        """The set that is in force: the scope's newest good one, by `good_since_ms`.

        Of several since the same time the last one that was put.
        """
        ...

    async def all_known_good(self) -> list[KnownGood]:
        """The set in force of every scope that has one, by scope."""
        ...

    async def known_good_sets(
        self, scope: Scope | None = None, *, limit: int = 100
    ) -> list[KnownGood]:
        """Every kept set of a scope, or of all of them, whatever its status; newest first."""
        ...

    async def known_good_set(self, set_id: str) -> KnownGood | None:
        """One set by its id, or None."""
        ...

    async def set_known_good_status(
        self, set_id: str, status: SetStatus, *, by: str, now_ms: int
    ) -> KnownGood | None:
        """Promote or retire a set; as it stands then, or None when it is not kept.

        A good one that is promoted again becomes the newest; one that is retired already is left.
        """
        ...

    async def set_pause(self, pause: Pause | None) -> None:
        """Pause, or resume with None."""
        ...

    async def pause(self) -> Pause | None:
        """The pause in force."""
        ...

    async def bury(self, letter: DeadLetter) -> None:
        """Keep an input that could not be used."""
        ...

    async def dead_letters(self, limit: int = 100) -> list[DeadLetter]:
        """Newest first."""
        ...

    async def put_rule_states(self, instances: Sequence[RuleInstance]) -> None:
        """Keep rule instances as they are now; one that is inactive is forgotten.

        A stored instance that was seen later than the one given is left as it is: several
        replicas may keep theirs in one store. What was not seen for a day is forgotten, and of
        more than 10,000 those that were seen last are kept.
        """
        ...

    async def rule_states(self) -> list[RuleInstance]:
        """Every instance that is kept, those that were seen last first."""
        ...

    async def put_changes(self, changes: Sequence[ChangeEvent]) -> None:
        """Keep the newest change of each kind of each scope; one that is older is let go.

        Of several at the same time the last one that was put. Of more than 10,000 the newest are
        kept.
        """
        ...

    async def changes(self) -> list[ChangeEvent]:
        """Every change that is kept, oldest first."""
        ...

    async def ping(self) -> None:
        """Raise TemporaryError when the store cannot be used."""
        ...

    async def close(self) -> None:
        """Flush and release. Idempotent."""
        ...
