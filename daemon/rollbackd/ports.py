"""Every seam on one page.

Only two errors cross a seam: TemporaryError, which says when another try makes sense, and
PermanentError. Retries, deadlines and metrics are wrappers outside; an adapter has none of them.
Cancelling a call leaves the adapter usable; whether the effect happened is then unknown, and the
caller reads the target to find out.
"""

from collections.abc import Mapping, Sequence
from typing import Protocol

import msgspec

from rollbackd.errors import PermanentError
from rollbackd.model.controls import Control, ControlValue, ControlWrite
from rollbackd.model.events import Alert, Batch, KnownGood
from rollbackd.model.explanations import RuleExplanation
from rollbackd.model.facts import AnyFact, Scorable
from rollbackd.model.history import History, Latch
from rollbackd.model.incidents import (
    AuditCheck,
    Confirmation,
    Evidence,
    Incident,
    JournalRecord,
    SeriesWindow,
)
from rollbackd.model.known_good import PinRequest, SetStatus
from rollbackd.model.labels import Scope
from rollbackd.model.levers import (
    Applied,
    Change,
    LeverKind,
    Observation,
    Op,
    PlanRequest,
    Target,
)
from rollbackd.model.policy import FreezeProbe
from rollbackd.model.reconciliation import (
    DownstreamPage,
    LedgerChange,
    LedgerEntry,
    LedgerPage,
    Reconciliation,
    Retention,
)
from rollbackd.model.scoring import Scores
from rollbackd.model.triggers import RuleInstance, TargetReading


class TargetMovedError(PermanentError):
    """The target is not as it was observed: somebody else moved it. Look again, then decide."""


class FencedOffError(PermanentError):
    """A higher epoch has written the target: this process no longer owns the scope."""


class Lever(Protocol):
    """Moves one kind of thing, by compare-and-set, and reads it back."""

    @property
    def name(self) -> str:
        """The name in the decision tree, e.g. `flag_off`."""
        ...

    @property
    def kind(self) -> LeverKind:
        """What becomes of its effect when the incident ends."""
        ...

    @property
    def reader_timeout_ms(self) -> int | None:
        """How long after a write `verify` may wait for readers; None when none can lag.

        Whatever they say by then, the read-back of the target itself counts, and people are told.
        """
        ...

    async def observe(self, target: Target) -> Observation:
        """What stands at the target now. Changes nothing."""
        ...

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        """The wanted value, or None when there is nothing to move. Pure.

        Raises PermanentError when the request cannot be met (no such known good value).
        """
        ...

    async def preflight(self, change: Change) -> str:
        """Why the change must not be made now, or an empty string. Changes nothing."""
        ...

    async def apply(self, change: Change, op: Op) -> Applied:
        """Make the change if the target still is as observed.

        Idempotent by `op.op_id`. Raises TargetMovedError, FencedOffError, or TemporaryError when
        it cannot be reached.
        """
        ...

    async def verify(self, change: Change) -> bool:
        """Whether the target holds `change.after`: false before apply, true after."""
        ...

    async def revert(self, applied: Applied, op: Op) -> bool:
        """Put back what stood before, if the target still holds what we put there.

        False when it does not: it is left alone.

        Idempotent by `op.op_id`; raises as `apply` does.
        """
        ...


class Controls(Protocol):
    """The switches that applications read, per scope, fenced by epoch."""

    async def read(self, scope: Scope, name: str) -> Control:
        """The control as it stands; one that was never written has version 0."""
        ...

    async def read_all(self, scope: Scope) -> dict[str, Control]:
        """Every control of the scope that was ever written, by name."""
        ...

    async def set_intent(
        self, scope: Scope, name: str, value: ControlValue, *, now_ms: int
    ) -> Control:
        """Write the rollout's own intent; never touches a trip, needs no epoch."""
        ...

    async def set_trip(
        self,
        scope: Scope,
        name: str,
        value: ControlValue | None,
        *,
        expected_version: int,
        op: Op,
        now_ms: int,
    ) -> ControlWrite:
        """Lay a trip over the intent, or take it away with None. One atomic compare and write.

        In this order: a known `op_id` is `replayed`; an epoch below the scope's highest is
        `stale_epoch`; a version other than the expected one is `conflict`; else `applied`.
        """
        ...

    async def fence(self, scope: Scope, epoch: int) -> int:
        """Raise the scope's highest epoch, never lower it, and change no control.

        Answers with the highest one: above `epoch`, whoever asks owns the scope no longer.
        """
        ...

    async def scopes(self) -> list[Scope]:
        """Scopes that have any control."""
        ...

    async def close(self) -> None:
        """Release connections. Idempotent."""
        ...


class LastKnown(Protocol):
    """The controls from memory, for readers who must have an answer whatever is down."""

    def last_known(self, scope: Scope) -> Mapping[str, Control]:
        """Every control of the scope by name, as it was last read or written. Never fails."""
        ...


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
    """What must survive a crash: inbox, incidents with their journal, latches, what is known good.

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

    async def ping(self) -> None:
        """Raise TemporaryError when the store cannot be used."""
        ...

    async def close(self) -> None:
        """Flush and release. Idempotent."""
        ...


class ReceiptLedger(Protocol):
    """Receipts of effects, kept as long and as many as the retention says. TemporaryError.

    Each word on an effect is merged with what is known of it (`model.reconciliation.merged`): the
    same receipt again changes nothing, in whatever order receipts come.
    """

    async def put(
        self, entries: Sequence[LedgerEntry], *, retention: Retention, now_ms: int
    ) -> LedgerChange:
        """Keep what the entries say; durable on return. What is dropped for it is counted."""
        ...

    async def page(self, scope: Scope, from_ms: int, to_ms: int) -> LedgerPage:
        """What was heard of in a time, both ends included, by key."""
        ...

    async def of_keys(self, scope: Scope, keys: Sequence[str]) -> list[LedgerEntry]:
        """What is known of these keys, whenever it was heard of."""
        ...


class OpenEffects(Protocol):
    """Effects that applications keep beside the controls: what their guards know of."""

    async def entries(self, scope: Scope, keys: Sequence[str]) -> list[LedgerEntry]:
        """What is not sealed, and what is known of these keys. Changes nothing.

        Raises TemporaryError, and PermanentError for more than can be looked at.
        """
        ...


class Listing(Protocol):
    """Lists the effects that a system downstream really holds. Changes nothing there."""

    async def effects(self, scope: Scope, from_ms: int, to_ms: int) -> DownstreamPage:
        """Every effect of the scope in a time, and perhaps more.

        Bounded in number and size; raises PermanentError beyond it, as for what cannot be read, and
        TemporaryError when it cannot be reached.
        """
        ...

    async def close(self) -> None:
        """Release connections. Idempotent."""
        ...


class Reconciler(Protocol):
    """Compares the receipts of an incident with what is there downstream."""

    def lists(self, scope: Scope) -> bool:
        """Whether a listing is configured for the service."""
        ...

    async def reconcile(self, incident: Incident) -> Reconciliation:
        """One comparison, bounded in time. Never raises: what cannot be compared is `unavailable`.

        What is too fresh to be judged is waited for.
        """
        ...


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


class Sink(Protocol):
    """Where sources put what they decoded."""

    async def ingest(self, batch: Batch, *, source: str, origin: str = "") -> None:
        """Take a batch. State in it is durable on return. Raises TemporaryError when full.

        `source` names the kind of source in metrics, `origin` the part of it that can be lost on
        its own and read again, e.g. a partition.
        """
        ...

    async def forget(self, origin: str) -> None:
        """Drop the samples of an origin: somebody else has it now, or it is read again.

        Idempotent. What is durable stays, and so does a series that another origin feeds too.
        """
        ...

    async def bury(self, source: str, body: bytes, reason: str) -> None:
        """Take an input that could not be decoded."""
        ...


class FactSink(Protocol):
    """Takes single facts that are no samples: detectors, the ledger of receipts."""

    async def take(self, facts: Sequence[AnyFact], *, source: str, origin: str) -> None:
        """Take what one batch said. What must be durable is on return. Raises TemporaryError.

        The same fact may come again: sources deliver at least once.
        """
        ...

    async def forget(self, origin: str) -> None:
        """Drop what came from an origin, as Sink.forget. Idempotent."""
        ...


class Scorer(Protocol):
    """Computes the distances of texts: a model, here or elsewhere."""

    @property
    def model(self) -> str:
        """What computes them, with `version`; empty where nobody said."""
        ...

    @property
    def version(self) -> str:
        """Distances of two versions do not compare."""
        ...

    async def score(self, facts: Sequence[Scorable]) -> list[Scores]:
        """One item a fact, in their order; all of them have texts.

        Raises TemporaryError and PermanentError; no message of theirs quotes a text.
        """
        ...

    async def close(self) -> None:
        """Release what it holds. Idempotent."""
        ...


class Source(Protocol):
    """Something that yields batches until it is told to stop."""

    async def run(self) -> None:
        """Feed the sink until cancelled. Recovers by itself from whatever may pass."""
        ...

    def healthy(self) -> bool:
        """Whether it made progress lately."""
        ...


#: Levers by name, as the composition root builds them.
LeverTable = Mapping[str, Lever]


class IncidentDetail(msgspec.Struct, frozen=True, kw_only=True):
    """One incident with its journal and where its report is."""

    incident: Incident
    journal: list[JournalRecord]
    report_path: str = ""


class Recorded(msgspec.Struct, frozen=True, kw_only=True):
    """A set that was asked for, as it is in the store."""

    known_good: KnownGood
    #: False when the same request had recorded it before.
    is_new: bool
    #: Required pins that it does not have.
    missing: list[str] = []
    #: Metrics and ratios without a sample in the window.
    not_measured: list[str] = []
    #: Targets that their lever could not read, with the reason.
    not_observed: dict[str, str] = {}


class LiveState(msgspec.Struct, frozen=True, kw_only=True):
    """What a scope runs with now: pins by arm as they were seen last, controls as they stand."""

    scope: Scope
    arms: dict[str, dict[str, str]]
    controls: dict[str, ControlValue]
    #: The id of the set in force, empty when there is none.
    in_force: str = ""


class KnownGoodDesk(Protocol):
    """What may be asked about known good sets. TemporaryError when nothing can be read."""

    async def record(self, request: PinRequest, *, by: str) -> Recorded:
        """Record what runs now, or what the request says, as a set.

        Raises ValueError for what is missing or was measured too seldom, ScopeBusyError while an
        incident is open and something live is asked for.
        """
        ...

    async def restate(self, set_id: str, status: SetStatus, *, by: str) -> KnownGood:
        """Promote or retire a set. Raises KeyError."""
        ...

    async def sets(self, scope: Scope | None, *, limit: int) -> list[KnownGood]:
        """Newest first; of one scope, or of all."""
        ...

    async def one(self, set_id: str) -> KnownGood:
        """One set. Raises KeyError."""
        ...

    async def in_force(self) -> dict[Scope, str]:
        """The id of the set in force of every scope that has one."""
        ...

    async def live(self, scope: Scope) -> LiveState:
        """What the scope runs with now."""
        ...


class Operations(Protocol):
    """What the HTTP API may ask of the daemon. TemporaryError becomes 503 everywhere."""

    async def accept_alerts(self, alerts: Sequence[Alert]) -> int:
        """Commit alerts to the inbox; returns how many were new. Durable on return."""
        ...

    async def ingest(self, batch: Batch, *, source: str) -> None:
        """As Sink.ingest."""
        ...

    async def bury(self, source: str, body: bytes, reason: str) -> None:
        """As Sink.bury."""
        ...

    def status(self) -> dict[str, object]:
        """Version, clock, pause, sources, rules and open incidents, as JSON."""
        ...

    def not_ready(self) -> list[str]:
        """Why the daemon cannot do its work now; empty when it can."""
        ...

    async def reload(self) -> None:
        """Read rules and tree again, all or nothing. Raises DocumentError."""
        ...

    async def set_pause(self, pause: Pause | None) -> None:
        """Pause with a reason, or resume. Raises ValueError when a local file pauses on."""
        ...

    async def unlatch(self, scope: Scope, *, by: str) -> list[Latch]:
        """Reset the latches of a scope; those that were. Raises KeyError when none holds."""
        ...

    async def pull(
        self, branch: str, scope: Scope, *, reason: str, by: str, regions: Sequence[str] = ()
    ) -> Incident:
        """Open an incident by hand; further regions of the service follow one after another.

        Raises ValueError for an unknown branch, ScopeBusyError.
        """
        ...

    async def decide(self, incident_id: str, decision: str, *, by: str) -> Incident:
        """A person's word on an incident: `incidents.messages.Decision`, or `acknowledge`.

        Raises ValueError with the way out when it does not fit the incident, KeyError.
        """
        ...

    async def reconciliation(self, incident_id: str) -> Reconciliation:
        """The receipts of an incident compared once, as they stand now. Raises KeyError."""
        ...

    async def compare_receipts(
        self, scope: Scope, from_ms: int, to_ms: int | None
    ) -> Reconciliation:
        """The receipts of a time compared once; None is up to now. Raises ValueError."""
        ...

    async def accept_items(
        self, incident_id: str, keys: Sequence[str], *, by: str, because: str
    ) -> Incident:
        """Accept open items of what an incident was told last; no keys are all that are named.

        Raises KeyError, ValueError with the way out when one of them is no open item.
        """
        ...

    async def close(
        self, incident_id: str, *, cause: str, summary: str, owner: str, link: str, by: str
    ) -> Incident:
        """File the root cause of an incident that has ended.

        Raises KeyError, and ValueError while a field is empty or the evidence is not whole.
        """
        ...

    async def report(self, incident_id: str) -> bytes | None:
        """The post-mortem as an HTML page; None when it is not here."""
        ...

    async def incidents(self, *, open_only: bool, limit: int) -> list[Incident]:
        """Newest first, without the recorded windows and the trace."""
        ...

    async def incident(self, incident_id: str) -> IncidentDetail | None:
        """One incident by id."""
        ...

    async def controls(self, scope: Scope) -> dict[str, Control]:
        """Every control of a scope."""
        ...

    async def set_intent(self, scope: Scope, name: str, value: ControlValue) -> Control:
        """Write the rollout's own intent. Raises ValueError for a bad name or value."""
        ...

    async def release(self, scope: Scope, name: str, *, because: str, by: str) -> Control:
        """Take away the trip that a closed incident left on a control.

        Raises ValueError when there is none, ScopeBusyError while an incident is open.
        """
        ...

    def explain(
        self, rule: str, *, scope: Scope | None, at: str, limit: int
    ) -> list[RuleExplanation]:
        """Why the rules of this name fire or do not; `at` is RFC 3339, Unix seconds or empty.

        Raises ValueError for an unknown rule, with the nearest name, and for a bad time.
        """
        ...

    def query(self, expr: str) -> list[tuple[dict[str, str], float]]:
        """The instant vector of a PromQL expression now. Raises ValueError."""
        ...
