"""What can go wrong, as values: a schedule is a list of them, and each stands for itself.

A fault strikes at a virtual time, or at the n-th call of a kind; so one can be left out without
changing what the others mean, which is what makes a schedule shrinkable.
"""

from enum import StrEnum
from typing import Final

import msgspec


class FaultKind(StrEnum):
    """The kinds of faults; those of a call strike at its n-th occurrence."""

    # At a call
    #: The process dies before the call is sent.
    CRASH_BEFORE = "crash_before"
    #: The process dies after the call took effect, before it hears so.
    CRASH_AFTER = "crash_after"
    #: The call takes effect, the caller hears of an error.
    LOST_REPLY = "lost_reply"
    #: The call does not take effect, the caller hears of an error.
    UNAVAILABLE = "unavailable"
    #: The call takes effect, the caller hears nothing until it gives up.
    TIMEOUT_DONE = "timeout_done"
    #: The caller hears nothing until it gives up; the call takes effect some time later.
    LATE_EFFECT = "late_effect"
    #: The process stops while it sends the call, the other replica takes over; what it was sending
    #: is sent when it goes on.
    STALL = "stall"
    #: The answer takes long.
    SLOW = "slow"
    #: The target refuses for good.
    REFUSED = "refused"
    #: The call takes effect, and the target answers that it refuses.
    REFUSED_DONE = "refused_done"
    #: Somebody moves the target just before the call.
    MOVED_BEFORE = "moved_before"
    #: Somebody moves the target just after the call.
    MOVED_AFTER = "moved_after"

    # At a time: machines
    #: The owner dies and comes back, or the other replica takes over.
    CRASH = "crash"
    #: The owner sleeps; the other replica takes over; the sleeper wakes and goes on.
    STALE_OWNER = "stale_owner"
    #: The owner stops in good order, the other replica takes over.
    HANDOVER = "handover"
    #: The store cannot be reached.
    STORE_OUTAGE = "store_outage"
    #: The targets cannot be reached.
    TARGET_OUTAGE = "target_outage"
    #: The owner's wall clock is set.
    CLOCK_JUMP = "clock_jump"

    # At a time: data
    #: The exit targets have no data.
    SILENCE = "silence"
    #: The exit targets are red whatever stands.
    RELAPSE = "relapse"
    #: Red, and much worse than before.
    WORSE = "worse"
    #: Writers go on although the fence is up.
    WRITERS_LINGER = "writers_linger"
    #: An alert comes again.
    DUPLICATE = "duplicate"
    #: An alert resolves while it is red, and fires again.
    FLAP = "flap"
    #: An alert of another branch fires for the scope.
    SECOND_BRANCH = "second_branch"

    # At a time: people
    PAUSE = "pause"
    RESTORE = "restore"
    ABORT = "abort"
    APPROVE = "approve"
    DECLINE = "decline"
    #: Everything is to be given back, and the owner dies as soon as it has said yes.
    RESTORE_THEN_CRASH = "restore_then_crash"
    PULL = "pull"
    #: Somebody moves a pointer by hand.
    MOVE_POINTER = "move_pointer"
    #: Somebody moves a measure by hand.
    MOVE_MEASURE = "move_measure"
    #: The rollout goes on and sets its own intent.
    ROLLOUT = "rollout"


#: Where an act is sent.
_ACT: Final = "controls.set_trip"

#: Calls that faults strike at.
POINTS: Final = (
    "store.advance",
    "store.open_incident",
    "store.next_epoch",
    "store.other",
    _ACT,
    "controls.fence",
    "controls.read",
)

#: The first act of an incident, each time that it is sent.
FIRST_ACT: Final = "controls.first_act"

#: A person is asked for, and among these: one without whom the incident goes no further.
PAGE: Final = "people.page"
PAGE_TO_DECIDE: Final = "people.page_to_decide"

#: Faults at a call, with the points that they fit; what is named more often is drawn more often.
AT_CALLS: Final[dict[FaultKind, tuple[str, ...]]] = {
    FaultKind.CRASH_BEFORE: (*POINTS, PAGE, *(PAGE_TO_DECIDE,) * 4),
    FaultKind.CRASH_AFTER: (*POINTS, PAGE),
    FaultKind.LOST_REPLY: (*POINTS, _ACT, _ACT),
    FaultKind.UNAVAILABLE: POINTS,
    FaultKind.TIMEOUT_DONE: (*POINTS, _ACT, _ACT),
    FaultKind.LATE_EFFECT: ("store.advance", "store.open_incident", _ACT, "controls.fence"),
    # Most often where nothing of the incident has moved, so that nothing but the takeover itself
    # keeps the old process from acting.
    FaultKind.STALL: (
        "store.advance",
        "store.next_epoch",
        "controls.fence",
        _ACT,
        _ACT,
        *(FIRST_ACT,) * 4,
    ),
    FaultKind.SLOW: POINTS,
    FaultKind.REFUSED: (_ACT, "controls.fence", "controls.read"),
    FaultKind.REFUSED_DONE: (_ACT, _ACT, "controls.fence"),
    FaultKind.MOVED_BEFORE: (_ACT,),
    FaultKind.MOVED_AFTER: (_ACT,),
}

#: Faults that keep a process, or its way to the others, from working; the rest is its daily bread.
DISABLING: Final = {
    *AT_CALLS,
    FaultKind.CRASH,
    FaultKind.STALE_OWNER,
    FaultKind.HANDOVER,
    FaultKind.STORE_OUTAGE,
    FaultKind.TARGET_OUTAGE,
    FaultKind.CLOCK_JUMP,
    FaultKind.RESTORE_THEN_CRASH,
}
_CRASHES: Final = {
    FaultKind.CRASH_BEFORE,
    FaultKind.CRASH_AFTER,
    FaultKind.CRASH,
    FaultKind.RESTORE_THEN_CRASH,
}
_POINTLESS_DURATION: Final = {
    FaultKind.LOST_REPLY,
    FaultKind.UNAVAILABLE,
    FaultKind.REFUSED,
    FaultKind.REFUSED_DONE,
    FaultKind.TIMEOUT_DONE,
}


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One fault: at the `nth` call of `point`, or `at_ms` after the start."""

    kind: FaultKind
    point: str = ""
    nth: int = 0
    at_ms: int = 0
    #: How long it lasts, or until the process is back.
    for_ms: int = 0
    #: After a crash: the other replica takes over instead of the same one coming back. While one
    #: is stalled: its target refuses everybody else, and a person clears up.
    elsewhere: bool = False
    #: Which scope, control or branch, where the kind has a choice.
    choice: int = 0

    def __str__(self) -> str:
        where = (
            f"at call {self.nth} of {self.point}" if self.point else f"at {self.at_ms / 1e3:g} s"
        )
        words = [where, self.kind]
        if self.for_ms and self.kind not in _POINTLESS_DURATION:
            words.append(f"{self.for_ms / 1e3:g} s")
        if self.kind in _CRASHES:
            words.append("then the other replica" if self.elsewhere else "then the same replica")
        return " ".join(words)
