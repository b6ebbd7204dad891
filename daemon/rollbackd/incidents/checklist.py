"""The choices along the checklist: which lever next, and what the hold says."""

from collections.abc import Iterable, Mapping

from rollbackd.model.incidents import Hold, Incident, State
from rollbackd.model.pins import Pins
from rollbackd.model.policy import BranchPolicy, LeverCall
from rollbackd.model.triggers import TargetReading, Verdict

#: Two readings further apart than this do not vouch for the time between them; nor do those that
#: are further apart than three intervals of a branch that reads seldom.
MAX_READING_GAP_MS = 60_000


def changed_pins(incident: Incident) -> frozenset[str]:
    """The pins that differ, as they were captured."""
    evidence = incident.evidence
    if evidence is None:
        return frozenset()
    return differing_pins(evidence.pins_seen, evidence.known_good_pins)


def differing_pins(seen: Mapping[str, Pins], known_good: Pins) -> frozenset[str]:
    """Names of pins that the suspect arm runs with and the known good set does not.

    The suspect arm is `canary` where one was seen, else every arm.
    """
    arms = [seen["canary"]] if "canary" in seen else list(seen.values())
    return frozenset(_differences(arms, known_good))


def choose_lever(
    policy: BranchPolicy, changed: frozenset[str], tried: Iterable[int]
) -> tuple[int, LeverCall] | None:
    """The untried lever that fits best, or None when none is left.

    Roll back what changed: first a lever that brings back every changed pin, then one that fits
    anything, then one that brings back some; in each group the order of the tree, fastest first.
    Without a known difference it is the order of the tree alone.
    """
    done = set(tried)
    left = [(i, call) for i, call in enumerate(policy.levers) if i not in done]
    return min(left, key=lambda item: (_misfit(item[1], changed), item[0]), default=None)


def calls_in(incident: Incident, state: State) -> list[LeverCall]:
    """The lever calls that a state consists of.

    Giving back begins with the rotation, where a flip still waits for it (F1).
    """
    policy = incident.policy
    if state is State.FREEZING and policy.freeze is not None:
        return [policy.freeze]
    rotates = state is State.ROTATING or (state is State.RESTORING and incident.rotation_owed)
    if rotates and policy.rotate is not None:
        return [policy.rotate]
    return list(policy.throttle) if state is State.THROTTLING else []


def overall(readings: Iterable[TargetReading]) -> Verdict:
    """Red if any is red, else unknown if any is unknown or there is none, else green."""
    verdicts = {reading.verdict for reading in readings}
    if Verdict.RED in verdicts:
        return Verdict.RED
    return Verdict.GREEN if verdicts == {Verdict.GREEN} else Verdict.UNKNOWN


def advance_hold(
    hold: Hold, verdict: Verdict, now_ms: int, *, max_gap_ms: int = MAX_READING_GAP_MS
) -> Hold:
    """The hold after one more reading.

    Green adds the time since the reading before, if that was green too; unknown adds nothing; red
    starts over. A gap in the readings (the daemon was down, the clock was set) counts neither for
    the hold nor against the deadline of the first green.
    """
    started_ms = hold.read_at_ms if hold.read_at_ms is not None else hold.not_green_since_ms
    gap = now_ms - started_ms if started_ms is not None else 0
    watched = 0 <= gap <= max_gap_ms
    green_ms = hold.green_ms
    if verdict is Verdict.RED:
        green_ms = 0
    elif verdict is Verdict.GREEN and hold.verdict is Verdict.GREEN:
        green_ms += gap if watched else 0
    if verdict is Verdict.GREEN:
        not_green_since = None
    elif hold.not_green_since_ms is None:
        not_green_since = now_ms
    else:
        not_green_since = hold.not_green_since_ms + (0 if watched else gap)
    first_green = hold.first_green_at_ms
    if first_green is None and verdict is Verdict.GREEN:
        first_green = now_ms
    return Hold(
        green_ms=green_ms,
        read_at_ms=now_ms,
        verdict=verdict,
        first_green_at_ms=first_green,
        not_green_since_ms=not_green_since,
        red_seen=hold.red_seen or verdict is Verdict.RED,
    )


def _misfit(call: LeverCall, changed: frozenset[str]) -> int:
    reverts = set(call.reverts)
    if reverts >= changed:  # nothing changed, or nothing is known: the order of the tree
        return 0
    if not reverts:
        return 1
    return 2 if reverts & changed else 3


def _differences(arms: Iterable[Pins], known_good: Pins) -> Iterable[str]:
    for pins in arms:
        yield from (n for n, v in pins.items() if n in known_good and known_good[n] != v)
