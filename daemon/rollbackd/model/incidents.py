"""The incident: one frozen value that moves only through `incidents.step`."""

from enum import StrEnum

import msgspec

from rollbackd.model.decisions import Reason
from rollbackd.model.facts import ChangeEvent
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Applied, Change, LeverKind, Op, Receipt
from rollbackd.model.policy import BranchPolicy, LeverCall
from rollbackd.model.reconciliation import ReconciledItem, Reconciliation
from rollbackd.model.triggers import TargetReading, Trigger, Verdict


class State(StrEnum):
    """The states of an incident; `incidents.states` holds the legal transitions."""

    #: A trigger fired or a person pulled; the guardrails have not spoken yet.
    DETECTED = "detected"
    #: Pins, controls and windows are being written down.
    CAPTURING = "capturing"
    #: Writers are being fenced.
    FREEZING = "freezing"
    #: The next lever is being chosen and its target read.
    CHOOSING = "choosing"
    #: One pointer is being moved.
    FLIPPING = "flipping"
    #: The cache namespace is being moved forward.
    ROTATING = "rotating"
    #: Limits and degradation are being put on.
    THROTTLING = "throttling"
    #: Exit targets are watched until the hold is complete.
    WATCHING = "watching"
    #: Temporary measures are being given back.
    RESTORING = "restoring"
    #: The result is being checked.
    AUDITING = "auditing"
    #: Done.
    CLOSED = "closed"
    #: Waiting for a person's word before the first act.
    AWAITING_APPROVAL = "awaiting_approval"
    #: The last lever did not help: the next one is due.
    ESCALATING = "escalating"
    #: The pointer is being put back: the flip made it worse, or a later step of the unit failed.
    REVERTING = "reverting"
    #: A person has to decide; measures stay as they are.
    NEEDS_HUMAN = "needs_human"
    #: Would have acted; a guardrail or observe mode said no. Nothing was touched.
    OBSERVED = "observed"
    #: Ended by a person before it was done.
    ABORTED = "aborted"


#: States that no step leaves.
TERMINAL = frozenset({State.CLOSED, State.OBSERVED, State.ABORTED})


class MeasureStatus(StrEnum):
    """Where a temporary measure stands."""

    #: Written down, not yet taken.
    REGISTERED = "registered"
    #: In force.
    TAKEN = "taken"
    #: Given back.
    RESTORED = "restored"
    #: No longer ours when we came to give it back; left as it was and reported.
    LEFT_ALONE = "left_alone"
    #: Another incident keeps it in force: that one gives it back, or a person who took it over.
    HANDED_OVER = "handed_over"
    #: Never took effect.
    VOID = "void"
    #: A person ended the incident and left it in force, or perhaps in force: theirs from then on.
    LEFT_IN_FORCE = "left_in_force"
    #: Left in force, and a person said that they know of it.
    ACKNOWLEDGED = "acknowledged"
    #: Read back while it should have been in force: it is not there any more.
    ENDED_BY_HAND = "ended_by_hand"


class Measure(msgspec.Struct, frozen=True, kw_only=True):
    """A temporary measure in the undo ledger: registered before it is taken."""

    op_id: str
    change: Change
    deadline_ms: int
    status: MeasureStatus = MeasureStatus.REGISTERED
    applied: Applied | None = None
    taken_at_ms: int | None = None
    ended_at_ms: int | None = None
    paged_overdue: bool = False
    #: The incident that keeps it in force, once it is handed over.
    handed_to: str = ""


class Intent(msgspec.Struct, frozen=True, kw_only=True):
    """An act that is journaled and not sealed yet.

    After a restart it is reconciled by reading the target.
    """

    op: Op
    kind: LeverKind
    change: Change
    started_at_ms: int
    #: Set when this act gives a measure back, or the pointer: what `apply` had answered.
    reverts: Applied | None = None
    #: Flips a pointer again that somebody had moved back.
    reasserts: bool = False
    #: An earlier process may have sent the act; it may still be under way to the target.
    inherited: bool = False


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """How long all exit targets have been green without a gap; time spent survives a restart.

    Only the time between two readings that were both green counts.
    """

    green_ms: int = 0
    read_at_ms: int | None = None
    verdict: Verdict = Verdict.UNKNOWN
    first_green_at_ms: int | None = None
    #: Since when it has not been green; the deadline of the first green counts from here.
    not_green_since_ms: int | None = None
    #: Whether a target was red since the flip; unknown alone never pulls another lever.
    red_seen: bool = False


class Confirmation(msgspec.Struct, frozen=True, kw_only=True):
    """What one probe said of a freeze."""

    probe: str
    confirmed: bool
    detail: str = ""


class TracePoint(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """The exit targets at one reading, by name; None is unknown."""

    at_ms: int
    values: dict[str, float | None]


class SeriesWindow(msgspec.Struct, frozen=True, kw_only=True):
    """A series that a trigger read, with its samples up to the capture: `[[ms, value], ...]`.

    A long one is thinned evenly: its samples then stand for `count` of them, each for itself and
    those between it and the one before.
    """

    metric: str
    labels: dict[str, str]
    samples: list[tuple[int, float]]
    count: int


class RootCause(msgspec.Struct, frozen=True, kw_only=True):
    """What a person found out afterwards (requirements A5)."""

    cause_class: str
    summary: str
    owner: str
    link: str
    by: str
    filed_at_ms: int


class Unit(msgspec.Struct, frozen=True, kw_only=True):
    """The unit that an incident is a step of: scopes that are rolled back together, in order.

    `order` is one of `incidents.units.Order`: when the next one follows.
    """

    id: str
    order: str
    scopes: list[Scope]
    index: int


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What was captured before the first act; a source that failed is named, never waited for."""

    captured_at_ms: int
    pins_seen: dict[str, dict[str, str]] = {}
    known_good_pins: dict[str, str] = {}
    missing_pins: list[str] = []
    controls: dict[str, object] = {}
    readings: list[TargetReading] = []
    #: The windows of the series that the triggers read.
    windows: list[SeriesWindow] = []
    unavailable: list[str] = []
    digest: str = ""


class AuditCheck(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the audit after the incident."""

    name: str
    passed: bool
    detail: str = ""


class Recurrence(msgspec.Struct, frozen=True, kw_only=True):
    """A rule instance that began to fire more than once while its incident was open."""

    #: In all, with the first time, which `Incident.triggers` tells of.
    times: int
    #: The last time.
    last: Trigger


class Incident(msgspec.Struct, frozen=True, kw_only=True):
    """One rollback of one scope, from the trigger to the post-mortem.

    `version` counts its steps and is the store's compare-and-set; `epoch` fences its acts. What is
    done next follows from this value alone (`incidents.step.next_command`), so a restart and an
    ordinary wake-up are one path.
    """

    id: str
    scope: Scope
    branch: str
    state: State
    reason: Reason
    version: int
    epoch: int
    policy: BranchPolicy
    opened_at_ms: int
    entered_at_ms: int
    #: Each rule instance that fired, as it was the first time, in the order in which they came.
    triggers: list[Trigger] = []
    #: Those of `triggers` that came again, in the order in which they first did.
    recurrences: list[Recurrence] = []
    #: How often instances fired that `triggers` has no room for, by rule.
    unlisted: dict[str, int] = {}
    #: What was changed about the scope before it was opened: the likely causes, oldest first.
    changes: list[ChangeEvent] = []
    evidence: Evidence | None = None
    #: Levers of the branch that were tried, as indexes into `policy.levers`.
    tried: list[int] = []
    #: Lever calls of the current state that are still to do.
    todo: list[LeverCall] = []
    pending: Intent | None = None
    #: Times in a row that the current target moved between reading and writing.
    moved: int = 0
    receipts: list[Receipt] = []
    ledger: list[Measure] = []
    readings: list[TargetReading] = []
    hold: Hold = Hold()
    flipped_at_ms: int | None = None
    green_at_ms: int | None = None
    closed_at_ms: int | None = None
    audit: list[AuditCheck] = []
    #: A branch of higher priority that takes over once nothing is pending.
    preempted_by: BranchPolicy | None = None
    #: Branches that it followed before another one took it over.
    branches_left: list[str] = []
    #: A person wants everything given back, once nothing is pending.
    restore_asked: bool = False
    #: Intents journaled so far; names the next op id.
    acts: int = 0
    pulled_by: str = ""
    #: For people: what went wrong last, or what is waited for.
    note: str = ""
    #: Who said yes to the first act, where the branch asks.
    approved_by: str = ""
    #: When the fence of this branch was read back; its probes are asked from here on.
    frozen_at_ms: int | None = None
    #: What the probes said of the freeze when they were asked last.
    confirmations: list[Confirmation] = []
    #: The pointers that were flipped and not put back, oldest first.
    flips: list[Applied] = []
    #: A flip that no rotation of the cache has followed yet.
    rotation_owed: bool = False
    #: Times that the pointer was flipped again because somebody had moved it back.
    reasserts: int = 0
    #: Times that the freeze was put on again because somebody had lifted it during the hold.
    refreezes: int = 0
    #: It is being put on again: what follows is the watch, and no other lever.
    refreezing: bool = False
    #: Since when every reading was worse than before the act.
    worse_since_ms: int | None = None
    #: The pointer was put back once; it is not flipped a second time.
    reverted: bool = False
    #: The unit wants this step put back, once nothing is pending.
    compensation_asked: bool = False
    #: The last comparison of receipts with what is there downstream; None when it has to be made.
    reconciliation: Reconciliation | None = None
    #: A person's `restore` was answered with "it cannot be known": the next one may insist.
    restore_met_unknown: bool = False
    #: What a person has accepted of it, as it was found.
    accepted_items: list[ReconciledItem] = []
    unit: Unit | None = None
    #: Exit targets at each reading, thinned when it grows long.
    trace: list[TracePoint] = []
    root_cause: RootCause | None = None
    #: The `audit_hash` of the newest journal record.
    chain_head: str = ""

    @property
    def is_open(self) -> bool:
        """Whether a step can still change it."""
        return self.state not in TERMINAL

    @property
    def newest_triggers(self) -> list[Trigger]:
        """Each instance of `triggers` as it was the last time that it fired, in the same order."""
        again = ((first, self.recurrence_of(first)) for first in self.triggers)
        return [first if each is None else each.last for first, each in again]

    def recurrence_of(self, trigger: Trigger) -> Recurrence | None:
        """How often the instance of a trigger came again; None when it did not."""
        instance = trigger.rule, trigger.labels
        return next((r for r in self.recurrences if (r.last.rule, r.last.labels) == instance), None)

    @property
    def acted(self) -> bool:
        """Whether anything was moved on its behalf."""
        return bool(self.receipts)


class JournalRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One step of one incident, written in the same transaction as the incident itself.

    `kind` is the class name of the event that caused the step. `audit_hash` chains the records:
    it is over this record and the hash of the one before.
    """

    incident_id: str
    sequence: int
    at_ms: int
    kind: str
    from_state: State | None
    to_state: State
    reason: Reason
    detail: dict[str, object] = {}
    audit_hash: str = ""
