"""What the referee remembers of each incident, from what was committed and what took effect."""

from enum import StrEnum

import msgspec

from rollbackd.levers import BUILT_IN
from rollbackd.model.incidents import Incident, Intent
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import Verdict


class Invariant(StrEnum):
    """What must hold after every step, whatever happens."""

    ACKNOWLEDGED = "nothing acknowledged is lost"
    INTENT_FIRST = "no effect without a journaled intent"
    ONCE = "each step changes its target at most once"
    EPOCH = "an epoch never goes back at a target"
    ONE_WRITER = "never two writers"
    READ_BACK = "a receipt is sealed after the read-back"
    FENCED_FLIP = "no flip while writers are not frozen"
    ROTATED = "no watch before the cache was rotated"
    UNFROZEN = "never unfrozen without green data held for the hold, or a person"
    COMPARED = "what somebody else put there is left alone"
    FORWARD = "a cache generation never goes back"
    LEDGER = "no temporary measure is forgotten"
    NOTICED = "whoever needs a person asks for one"
    ACTED_ENDS = "every acted lever ends verified, reverted or needs_human"
    PAUSED = "nothing is opened to act while paused"
    APPROVED = "no act before the approval"
    TRANSITION = "no illegal transition"
    REPORTED = "nothing ends without its post-mortem"
    CHAIN = "the journal's hash chain verifies"
    ALIVE = "no task dies, nothing gets stuck"
    ENDS = "every incident reaches an end"


class Violation(msgspec.Struct, frozen=True, kw_only=True):
    """An invariant that did not hold."""

    invariant: Invariant
    message: str
    at_ms: int
    incident_id: str = ""


class Acted(msgspec.Struct, kw_only=True):
    """An intent that was journaled, and what became of it at its target."""

    intent: Intent
    #: The number of the effect, None while there is none.
    number: int | None = None
    received: bool = False


class Track(msgspec.Struct, kw_only=True):
    """One incident as the referee saw it."""

    incident: Incident
    acts: dict[str, Acted] = {}
    #: Numbers of the last effects that moved a pointer, and the cache.
    flipped: int = 0
    rotated: int = 0
    #: Green time as the raw readings have it, since the watch began.
    green_ms: int = 0
    last_reading: tuple[int, Verdict] | None = None
    consumed: int = 0
    held: bool = False
    decisions: list[str] = []
    needed_human: bool = False
    #: Since when it waits for a person without having asked, in true milliseconds.
    silent_since_ms: int | None = None
    approved: bool = False
    paged_overdue: set[str] = set()


def control_of(intent: Intent) -> tuple[Scope, str]:
    """The scope and the name of the control that an intent moves."""
    target = intent.change.target
    kind = BUILT_IN[target.lever].control
    return target.scope, f"{kind}:{target.name}" if target.name else str(kind)
