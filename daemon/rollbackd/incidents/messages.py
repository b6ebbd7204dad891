"""What the runner is told to do, and what it answers. One command leads to one event."""

import msgspec

from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import AuditCheck, Evidence, Intent
from rollbackd.model.levers import Applied, Change, LeverKind, Receipt
from rollbackd.model.policy import BranchPolicy, LeverCall
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


class Watch(msgspec.Struct, frozen=True, kw_only=True):
    """Wait a little, then read the exit targets; answer `Read`."""


class AwaitPerson(msgspec.Struct, frozen=True, kw_only=True):
    """Wait for a person's decision; meanwhile answer `Continued` now and then."""


class RunAudit(msgspec.Struct, frozen=True, kw_only=True):
    """Check the result; answer `Audited`."""


class Continued(msgspec.Struct, frozen=True, kw_only=True):
    """Go on."""


class Captured(msgspec.Struct, frozen=True, kw_only=True):
    """The evidence is stored."""

    evidence: Evidence


class Prepared(msgspec.Struct, frozen=True, kw_only=True):
    """The change is planned, and nothing stands against it."""

    change: Change
    kind: LeverKind
    call: LeverCall
    index: int | None = None


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
    """The act took effect and was read back."""

    receipt: Receipt
    applied: Applied


class GivenBack(msgspec.Struct, frozen=True, kw_only=True):
    """A measure was given back; `restored` is False when it was no longer ours."""

    restored: bool
    receipt: Receipt


class Failed(msgspec.Struct, frozen=True, kw_only=True):
    """The act cannot succeed: the target moved, a higher epoch was seen, or it was refused."""

    reason: Reason
    message: str


class Read(msgspec.Struct, frozen=True, kw_only=True):
    """One reading of every exit target."""

    readings: list[TargetReading]


class Audited(msgspec.Struct, frozen=True, kw_only=True):
    """What the audit found."""

    checks: list[AuditCheck]


class TriggerJoined(msgspec.Struct, frozen=True, kw_only=True):
    """Another trigger fired for the scope; `policy` is its branch."""

    trigger: Trigger
    policy: BranchPolicy


class Decided(msgspec.Struct, frozen=True, kw_only=True):
    """A person's word: `restore` gives everything back, `abort` ends it as it stands."""

    decision: str
    by: str


class Resumed(msgspec.Struct, frozen=True, kw_only=True):
    """This process took the incident over; from here on it acts under a higher epoch."""

    epoch: int


#: Something the shell has to do.
Command = Continue | CaptureEvidence | Prepare | Perform | Watch | AwaitPerson | RunAudit

#: Something that happened; the last three come from outside, at any time.
Event = (
    Continued
    | Captured
    | Prepared
    | NothingToMove
    | Refused
    | Sealed
    | GivenBack
    | Failed
    | Read
    | Audited
    | TriggerJoined
    | Decided
    | Resumed
)
