"""When the daemon records a known good set by itself: one look after the other. Pure."""

from collections.abc import Iterable, Mapping
from enum import StrEnum

import msgspec

from rollbackd.model.controls import Control, ControlValue, Kind
from rollbackd.model.events import KnownGood
from rollbackd.model.known_good import BASELINE_ARM, SetStatus
from rollbackd.model.pins import REQUIRED_PINS, Pins
from rollbackd.model.triggers import TargetReading, Verdict


class AutoPin(StrEnum):
    """What a look at a scope came to."""

    #: Everything has been as it should be for long enough: record a set.
    PIN = "pin"
    #: Everything is as it should be, but not for long enough yet.
    WAITING = "waiting"
    #: The set in force has these pins.
    KNOWN = "known"
    #: An operator has paused the daemon.
    PAUSED = "paused"
    #: An incident is open on the scope.
    INCIDENT = "incident"
    #: One ended so short ago that its branch may not act again yet.
    COOLDOWN = "cooldown"
    #: A measure of an incident is still in force.
    TRIPPED = "tripped"
    #: No arm has all of the weight, or more than one arm answers.
    SPLIT = "split"
    #: Events say nothing of the pins, or lack a required one, or do not agree.
    PINS = "pins"
    #: An exit target is red or unknown, or there is none.
    NOT_GREEN = "not_green"


class PinPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How long, and how much of the weight one arm must have."""

    after_ms: int
    full_weight: float = 1.0
    #: Nobody knows what was between two looks that are further apart.
    longest_gap_ms: int = 30_000


class Sight(msgspec.Struct, frozen=True, kw_only=True):
    """One look at a scope."""

    now_ms: int
    paused: bool
    incident_open: bool
    cooling: bool
    controls: Mapping[str, Control]
    #: Arm -> the different sets of pins that it was seen with since the look before.
    arms: Mapping[str, list[Pins]]
    readings: list[TargetReading]
    #: The pins of the set in force; None when there is none.
    known: Pins | None


class PinWatch(msgspec.Struct, frozen=True, kw_only=True):
    """Since when one arm has run with these pins, and everything was as it should be."""

    since_ms: int
    seen_ms: int
    arm: str
    pins: Pins


def look(
    watch: PinWatch | None, sight: Sight, policy: PinPolicy
) -> tuple[PinWatch | None, AutoPin]:
    """The watch after this look, and what it came to; whatever is in the way ends the watch."""
    arm = serving_arm(sight, policy.full_weight)
    pins = _agreed(sight.arms.get(arm, []))
    obstacle = _obstacle(sight, arm, pins)
    if obstacle is not None:
        return None, obstacle
    since_ms = sight.now_ms
    if watch is not None and (watch.arm, watch.pins) == (arm, pins):
        gap_ms = sight.now_ms - watch.seen_ms
        since_ms = watch.since_ms if gap_ms <= policy.longest_gap_ms else sight.now_ms
    watch = PinWatch(since_ms=since_ms, seen_ms=sight.now_ms, arm=arm, pins=pins)
    long_enough = sight.now_ms - watch.since_ms >= policy.after_ms
    return watch, AutoPin.PIN if long_enough else AutoPin.WAITING


def decided_before(sets: Iterable[KnownGood], pins: Pins, in_force: str) -> bool:
    """Whether a set with these pins is in force, waits for a person's word, or was retired.

    One that was good and has been replaced may come back.
    """
    return any(
        each.pins == pins and (each.id == in_force or each.status is not SetStatus.GOOD)
        for each in sets
    )


def serving_arm(sight: Sight, full_weight: float) -> str:
    """The arm that has all of the traffic, or an empty string.

    By every flag of the scope, and by the events: an arm that still answers has not left.
    """
    flags = [c for name, c in sight.controls.items() if name.partition(":")[0] == Kind.FLAG]
    arms = {_by_weight(flag.effective, full_weight) for flag in flags} | set(sight.arms)
    return arms.pop() if len(arms) == 1 else ""


def _obstacle(sight: Sight, arm: str, pins: Pins) -> AutoPin | None:
    if sight.paused:
        return AutoPin.PAUSED
    if sight.incident_open:
        return AutoPin.INCIDENT
    if sight.cooling:
        return AutoPin.COOLDOWN
    if any(control.trip is not None for control in sight.controls.values()):
        return AutoPin.TRIPPED
    if not arm:
        return AutoPin.SPLIT if sight.arms else AutoPin.PINS
    if any(name not in pins for name in REQUIRED_PINS):
        return AutoPin.PINS
    if pins == sight.known:
        return AutoPin.KNOWN
    green = [reading.verdict is Verdict.GREEN for reading in sight.readings]
    return None if green and all(green) else AutoPin.NOT_GREEN


def _agreed(sets: list[Pins]) -> Pins:
    """The one set of pins; none where several differ."""
    return sets[0] if sets and all(each == sets[0] for each in sets) else {}


def _by_weight(flag: ControlValue, full_weight: float) -> str:
    """`baseline` or `canary` where it has all of the weight, else an empty string."""
    if flag.get("global_off"):
        return BASELINE_ARM
    weights = {arm: flag.get(f"{arm}_weight") for arm in (BASELINE_ARM, "canary")}
    known = {arm: float(w) for arm, w in weights.items() if isinstance(w, int | float) and w > 0}
    total = sum(known.values())
    full = [arm for arm, weight in known.items() if weight >= full_weight * total]
    return full[0] if full else ""
