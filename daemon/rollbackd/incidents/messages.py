"""What the runner is told to do, and what it answers. One command leads to one event."""

from enum import StrEnum

import msgspec

from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import AuditCheck, Confirmation, Evidence, Intent
from rollbackd.model.levers import Applied, Change, LeverKind, Receipt
from rollbackd.model.policy import BranchPolicy, FreezeProbe, LeverCall
from rollbackd.model.reconciliation import Reconciliation
from rollbackd.model.triggers import TargetReading, Trigger


class Continue(msgspec.Struct, frozen=True, kw_only=True):
    """Nothing to perform: step again with `Continued`."""


class CaptureEvidence(msgspec.Struct, frozen=True, kw_only=True):
    """Write down what can be seen; answer `Captured`."""


class Prepare(msgspec.Struct, frozen=True, kw_only=True):
    """Observe, plan and preflight a lever; answer `Prepared`, `NothingToMove` or `Refused`.

    `index` is the lever's place in the branch when it is one of those that move a pointer.
    """

    call: LeverCall
    index: int | None = None


class Perform(msgspec.Struct, frozen=True, kw_only=True):
    """Read the target, act if it is still as observed, read back; answer `Sealed` or `Failed`.

    The same command is given after a restart: reading first makes it a reconciliation.
    """

    intent: Intent


class ConfirmFreeze(msgspec.Struct, frozen=True, kw_only=True):
    """Ask every probe once whether writers stand still; answer `FreezeChecked`.

    The command is given again while one is missing; `again` says that it was given before, so that
    the shell pauses between two rounds.
    """

    probes: list[FreezeProbe]
    again: bool = False


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """Wait a little, then read the exit targets and the pointers; answer `Read`.

    `flips` are the changes that should still stand, and `freeze` the fence, where it was confirmed.
    """

    flips: list[Change] = []
    freeze: LeverCall | None = None


class AwaitPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Wait for a person's decision; meanwhile answer `Continued` now and then.

    Not beyond `until_ms`, the deadline of the decision, where it has one.
    """

    until_ms: int | None = None


class Reconcile(msgspec.Struct, frozen=True, kw_only=True):
    """Compare receipts with what is there downstream; answer `Reconciled`."""


class RunAudit(msgspec.Struct, frozen=True, kw_only=True):
    """Check the result; answer `Audited`."""


class Continued(msgspec.Struct, frozen=True, kw_only=True):
    """Go on."""


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence is stored."""

    evidence: Evidence


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """The change is planned, and nothing stands against it.

    `held_by` is another open incident that has made it already, as a temporary measure; what is to
    be put back in the end is what stood there before that one.
    """

    change: Change
    kind: LeverKind
    call: LeverCall
    index: int | None = None
    held_by: str = ""


class NothingToMove(msgspec.Struct, frozen=True, kw_only=True):
    """The target already is as wanted."""

    call: LeverCall
    index: int | None = None


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """The lever cannot be used now: no such target, or the preflight said no."""

    call: LeverCall
    index: int | None = None
    message: str


class Sealed(msgspec.Struct, frozen=True, kw_only=True):
    """The act took effect and was read back.

    `unseen` says why its readers were not seen to follow in time; mostly nothing.
    """

    receipt: Receipt
    applied: Applied
    unseen: str = ""


class GivenBack(msgspec.Struct, frozen=True, kw_only=True):
    """A measure or a pointer was put back; `restored` is False when it was no longer ours."""

    restored: bool
    receipt: Receipt


class HandedOver(msgspec.Struct, frozen=True, kw_only=True):
    """A measure was not given back: the incident `to` needs it, or a person has it from that."""

    to: str


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The act cannot succeed: the target moved, a higher epoch was seen, or it was refused.

    With `may_stand` the act may have taken effect all the same: the target did not say.
    """

    reason: Reason
    message: str
    may_stand: bool = False


class FreezeChecked(msgspec.Struct, frozen=True, kw_only=True):
    """What each probe said, in the order of the command's."""

    confirmations: list[Confirmation]


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of every exit target.

    `drifted` holds, of the flips that were seen not to stand any more, the change from what is
    there now. A target that could not be read has not drifted. `lifted` is the same of the freeze.
    """

    readings: list[TargetReading]
    drifted: list[Change] = []
    lifted: Change | None = None


class Reconciled(msgspec.Struct, frozen=True, kw_only=True):
    """What the comparison found."""

    reconciliation: Reconciliation


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit found; with the comparison of receipts, where there is a listing."""

    checks: list[AuditCheck]
    reconciliation: Reconciliation | None = None


class TriggerJoined(msgspec.Struct, frozen=True, kw_only=True):
    """Another trigger fired for the scope; `policy` is its branch."""

    trigger: Trigger
    policy: BranchPolicy


class Decision(StrEnum):
    """A person's word on an incident."""

    #: Go on: the branch asks before its first act.
    APPROVE = "approve"
    #: Do not act: the incident ends as observed.
    DECLINE = "decline"
    #: Give every temporary measure back, audit and close.
    RESTORE = "restore"
    #: The cache was rotated by hand, after a flip whose own rotation did not happen.
    ROTATED = "rotated"
    #: End it as it stands; refused while a temporary measure is in force.
    ABORT = "abort"
    #: End it and take the measures that are in force over.
    ABORT_LEAVING_MEASURES = "abort_leaving_measures"


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word, a `Decision`; one that does not fit the state changes nothing."""

    decision: str
    by: str


class ItemsAccepted(msgspec.Struct, frozen=True, kw_only=True):
    """A person accepts open items of the reconciliation as they are, by key."""

    keys: list[str]
    by: str
    because: str


class CompensationAsked(msgspec.Struct, frozen=True, kw_only=True):
    """A later step of the unit failed: put the pointer back. Saying it twice changes nothing."""

    because: str


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """This process took the incident over; from here on it acts under a higher epoch."""

    epoch: int


class StillPerforming(msgspec.Struct, frozen=True, kw_only=True):
    """The command in hand takes long; that this is stored tells other processes who drives it.

    `since_ms` is when it began; `first` says that nobody was told of it yet.
    """

    since_ms: int
    first: bool = False


#: Something the shell has to do.
Command = (
    Continue
    | CaptureEvidence
    | Prepare
    | Perform
    | ConfirmFreeze
    | Watch
    | AwaitPerson
    | Reconcile
    | RunAudit
)

#: Something that happened; the last six may come at any time.
Event = (
    Continued
    | Captured
    | Prepared
    | NothingToMove
    | Refused
    | Sealed
    | GivenBack
    | HandedOver
    | Failed
    | FreezeChecked
    | Read
    | Reconciled
    | Audited
    | TriggerJoined
    | Decided
    | ItemsAccepted
    | CompensationAsked
    | Resumed
    | StillPerforming
)
