"""During the hold: somebody moves the pointer back, or the act made it worse."""

import itertools
from collections.abc import Callable

import pytest
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.step import next_command
from rollbackd.incidents.watching import MAX_TRACE, is_worse
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, JournalRecord, MeasureStatus, State
from rollbackd.model.levers import LeverKind
from rollbackd.model.policy import WorseAfter
from rollbackd.model.triggers import TargetReading, Verdict
from tests.incidents.samples import MINUTE, evidence_of, opened, policy_of, reading
from tests.incidents.walking import Walk, drift, failed, lift, reads

S = State


def watching(**policy: object) -> Walk:
    walk = Walk(opened(policy=policy_of("quality_regression", **policy)))
    walk.to(S.WATCHING)
    return walk


def drifts(walk: Walk) -> None:
    """The next reading sees that somebody moved the pointer."""
    command = next_command(walk.incident)
    assert isinstance(command, m.Watch)
    (flip,) = command.flips
    walk.say(m.Read(readings=[reading(Verdict.GREEN)], drifted=[drift(flip)]))


# Drift


def test_the_watch_looks_at_the_pointer_too() -> None:
    """At what was flipped, as it was set."""
    walk = watching()
    command = next_command(walk.incident)
    assert isinstance(command, m.Watch)
    assert [(c.target.lever, c.after) for c in command.flips] == [("flag_off", {"is": 2})]


def test_a_pointer_that_drifted_is_flipped_again_from_what_is_there_now() -> None:
    """By compare-and-set, under a new op, journaled, and with a rotation and a hold of its own."""
    walk = watching()
    walk.turn()
    drifts(walk)
    pending = walk.incident.pending
    assert pending is not None
    assert (walk.incident.state, walk.incident.reason) == (S.FLIPPING, Reason.POINTER_DRIFTED)
    assert pending.reasserts
    assert pending.change.before.value == {"theirs": 3}
    assert pending.change.after == {"is": 2}
    walk.turn()
    assert (walk.incident.state, walk.incident.reason) == (S.ROTATING, Reason.REASSERTED)
    walk.to(S.WATCHING)
    assert walk.incident.hold.green_ms == 0
    assert walk.to(S.CLOSED).reasserts == 1


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_it_is_not_fought_over(allowed: int) -> None:
    """After so many times a person goes on; the freeze stays."""
    walk = watching(max_reasserts=allowed)
    for _ in range(allowed):
        drifts(walk)
        walk.to(S.WATCHING)
    drifts(walk)
    assert (walk.incident.state, walk.incident.reason) == (S.NEEDS_HUMAN, Reason.POINTER_DRIFTED)
    assert walk.incident.reasserts == allowed
    assert MeasureStatus.TAKEN in {each.status for each in walk.incident.ledger}


@pytest.mark.parametrize("reason", [Reason.TARGET_MOVED, Reason.LEVER_FAILED, Reason.FENCED_OFF])
def test_a_reassertion_that_fails_is_not_tried_again(reason: Reason) -> None:
    """Somebody moves it while we do: that is for people to sort out."""
    walk = watching()
    drifts(walk)
    walk.say(failed(reason))
    assert (walk.incident.state, walk.incident.reason) == (S.NEEDS_HUMAN, reason)


def test_what_was_not_flipped_by_us_does_not_drift() -> None:
    """A reading that tells of another target moves nothing."""
    walk = watching()
    command = next_command(walk.incident)
    assert isinstance(command, m.Watch)
    (flip,) = command.flips
    other = replace(drift(flip), target=replace(flip.target, name="other"))
    walk.say(m.Read(readings=[reading(Verdict.GREEN)], drifted=[other]))
    assert walk.incident.state is S.WATCHING


def test_a_drift_in_the_last_reading_does_not_complete_the_hold() -> None:
    """Green with the wrong pointer is not what was waited for."""
    walk = watching(hold_ms=5_000)
    walk.turn()
    walk.now_ms += 5_000
    drifts(walk)
    assert walk.incident.state is S.FLIPPING


# The freeze


def lifts(walk: Walk) -> JournalRecord:
    """The next reading sees that somebody took the fence away."""
    command = next_command(walk.incident)
    assert isinstance(command, m.Watch)
    assert command.freeze == walk.incident.policy.freeze
    record = walk.say(m.Read(readings=[reading(Verdict.GREEN)], lifted=lift(walk)))
    assert record is not None
    return record


def test_a_freeze_that_was_lifted_is_put_on_again() -> None:
    """No other lever is pulled for it, nothing is flipped again, and the hold starts over."""
    walk = watching(hold_ms=60_000)
    walk.turn()
    walk.turn()
    assert walk.incident.hold.green_ms
    flips, tried = walk.incident.flips, walk.incident.tried
    assert lifts(walk).detail["lifted"] == {"write_block@rag/eu-1": {"was": 1}}
    assert (walk.incident.state, walk.incident.reason) == (S.FREEZING, Reason.FREEZE_LIFTED)
    assert walk.incident.ledger[0].status is MeasureStatus.ENDED_BY_HAND
    walk.states.clear()
    walk.to(S.WATCHING)
    assert walk.states == [S.WATCHING]
    assert (walk.incident.flips, walk.incident.tried) == (flips, tried)
    assert (walk.incident.hold.green_ms, walk.incident.refreezing) == (0, False)
    closed = walk.to(S.CLOSED)
    freezes = [each for each in closed.ledger if each.change.target.lever == "write_block"]
    ended = [MeasureStatus.ENDED_BY_HAND, MeasureStatus.RESTORED]
    assert ([each.status for each in freezes], closed.refreezes) == (ended, 1)


@pytest.mark.parametrize("allowed", [0, 1, 2])
def test_a_freeze_is_not_fought_over(allowed: int) -> None:
    """After so many times a person goes on; what else is in force stays."""
    walk = watching(max_reasserts=allowed)
    for _ in range(allowed):
        lifts(walk)
        walk.to(S.WATCHING)
    lifts(walk)
    assert (walk.incident.state, walk.incident.reason) == (S.NEEDS_HUMAN, Reason.FREEZE_LIFTED)
    assert walk.incident.refreezes == allowed
    assert MeasureStatus.TAKEN in {each.status for each in walk.incident.ledger}


def test_a_freeze_that_cannot_be_put_on_again_needs_a_person() -> None:
    """And when a branch takes over from there, it runs from its own freeze on."""
    walk = watching()
    lifts(walk)
    command = next_command(walk.incident)
    assert isinstance(command, m.Prepare)
    walk.say(m.Refused(call=command.call, message="403"))
    assert walk.incident.state is S.NEEDS_HUMAN
    assert walk.incident.reason is Reason.FREEZE_NOT_CONFIRMED
    assert not walk.incident.refreezing


def test_a_branch_that_takes_over_a_second_freeze_goes_on_from_it() -> None:
    """It does not jump to the watch of the branch before."""
    walk = watching()
    lifts(walk)
    higher = policy_of("duplicate_effects")
    walk.say(m.TriggerJoined(trigger=walk.incident.triggers[0], policy=higher))
    walk.states.clear()
    walk.to(S.WATCHING)
    assert S.CHOOSING in walk.states
    assert walk.incident.branch == "duplicate_effects"


def test_what_was_compared_before_a_lifted_freeze_is_compared_again() -> None:
    """Writers ran in between; the reading that lifts it does not complete the hold either."""
    policy = policy_of("duplicate_effects", hold_ms=5_000)
    walk = Walk(opened("duplicate_effects", policy=policy))
    walk.to(S.WATCHING)
    while not isinstance(next_command(walk.incident), m.Reconcile):
        walk.turn()
    walk.turn()
    assert walk.incident.reconciliation is not None
    lifts(walk)
    assert walk.incident.state is S.FREEZING
    walk.to(S.WATCHING)
    assert walk.incident.reconciliation is None
    walk.to(S.CLOSED)
    assert sum(isinstance(each, m.Reconcile) for each in walk.commands) == 2


# Worse


def red(value: float, name: str = "errors") -> TargetReading:
    return replace(reading(Verdict.RED, name), value=value)


def acted(before: TargetReading | None, *, factor: float = 1.5) -> Walk:
    """Watching, with what a target read before the act; its bound is 0.005."""
    evidence = evidence_of(readings=[before] if before else [])

    def answer(command: m.Command) -> m.Event | None:
        return m.Captured(evidence=evidence) if isinstance(command, m.CaptureEvidence) else None

    policy = policy_of("quality_regression", worse_after=WorseAfter(factor=factor, for_ms=MINUTE))
    walk = Walk(opened(policy=policy), answer)
    walk.to(S.WATCHING)
    return walk


def sees(walk: Walk, *readings: TargetReading) -> None:
    walk.now_ms += 5_000
    walk.say(m.Read(readings=list(readings)))


UNKNOWN = reading(Verdict.UNKNOWN)


@pytest.mark.parametrize(
    ("before", "now", "worse"),
    [
        (red(0.105), red(0.155), True),  # 0.10 beyond the bound, and then 0.15
        (red(0.105), red(0.154), False),
        (red(0.105), red(0.05), False),
        (replace(reading(Verdict.GREEN), value=0.001), red(0.0111), True),
        (replace(reading(Verdict.GREEN), value=0.001), red(0.0109), False),
        (UNKNOWN, red(0.9), False),
        (None, red(0.9), False),
        (red(0.105), UNKNOWN, False),
        (red(0.105), replace(reading(Verdict.GREEN), value=0.001), False),
        (red(0.105, "other"), red(0.9), False),
    ],
)
def test_worse_is_further_from_the_bound_than_before_the_act(
    before: TargetReading | None, now: TargetReading, *, worse: bool
) -> None:
    """By the factor, for the same target; what was unknown before cannot tell."""
    incident: Incident = acted(before).incident
    assert is_worse(incident, [now]) is worse


@pytest.mark.parametrize(("now", "worse"), [(0.55, True), (0.70, False), (1.5, False)])
def test_a_target_that_has_to_stay_above_is_worse_below(now: float, *, worse: bool) -> None:
    """The bound is 0.9 and it read 0.7 before the act."""
    above: Callable[[float], TargetReading] = lambda value: replace(  # noqa: E731
        red(value), bound=0.9, direction="above"
    )
    assert is_worse(acted(above(0.7)).incident, [above(now)]) is worse


def test_what_got_worse_is_put_back_once_and_a_person_goes_on() -> None:
    """Only the pointer: the freeze and the cache stay as they are."""
    walk = acted(red(0.105))
    flip = walk.incident.flips[0]
    while walk.incident.state is S.WATCHING:
        sees(walk, red(0.9))
    assert (walk.incident.state, walk.incident.reason) == (
        S.REVERTING,
        Reason.WORSE_AFTER_ACTING,
    )
    walk.turn()
    pending = walk.incident.pending
    assert pending is not None
    assert (pending.kind, pending.reverts) == (LeverKind.POINTER, flip)
    walk.turn()
    after = walk.incident
    assert (after.state, after.reason) == (S.NEEDS_HUMAN, Reason.WORSE_AFTER_ACTING)
    assert (after.reverted, after.flips) == (True, [])
    assert {each.status for each in after.ledger} == {MeasureStatus.TAKEN}
    reverts = [c for c in walk.commands if isinstance(c, m.Perform) and c.intent.reverts]
    assert [c.intent.change.target.lever for c in reverts] == ["flag_off"]


def test_worse_has_to_last() -> None:
    """A minute of readings that are all worse; one that is not starts it anew."""
    walk = acted(red(0.105))
    for _ in range(11):
        sees(walk, red(0.9))
    sees(walk, red(0.05))
    for _ in range(12):
        sees(walk, red(0.9))
        assert walk.incident.state is S.WATCHING
    sees(walk, red(0.9))
    assert walk.incident.state is S.REVERTING


def test_a_gap_in_the_readings_is_no_minute_of_worse() -> None:
    """The daemon was down; nobody looked."""
    walk = acted(red(0.105))
    sees(walk, red(0.9))
    walk.now_ms += 10 * MINUTE
    sees(walk, red(0.9))
    assert walk.incident.state is S.WATCHING
    walk.now_ms -= 20 * MINUTE
    sees(walk, red(0.9))
    assert walk.incident.state is S.WATCHING


def test_what_was_never_flipped_is_not_put_back() -> None:
    """A branch that only throttles has no pointer to restore."""
    policy = policy_of("cost_or_latency", worse_after=WorseAfter(for_ms=1))
    walk = Walk(opened("cost_or_latency", policy=policy))
    walk.to(S.WATCHING)
    assert walk.incident.evidence is not None
    known = replace(walk.incident.evidence, readings=[red(0.105)])
    walk.incident = replace(walk.incident, evidence=known)
    for _ in range(5):
        sees(walk, red(0.9))
    assert walk.incident.state is S.WATCHING


def test_a_pointer_that_was_put_back_is_not_flipped_again() -> None:
    """Not by a branch that takes over, either: it freezes, and a person goes on."""
    walk = acted(red(0.105))
    while walk.incident.state is not S.NEEDS_HUMAN:
        if walk.incident.state is S.WATCHING:
            sees(walk, red(0.9))
        else:
            walk.turn()
    higher = policy_of("duplicate_effects")
    trigger = walk.incident.triggers[0]
    walk.say(m.TriggerJoined(trigger=trigger, policy=higher))
    walk.to(S.FREEZING)
    walk.to(S.NEEDS_HUMAN)
    assert walk.incident.reason is Reason.NO_LEVER_LEFT
    assert walk.states.count(S.FLIPPING) == 1


# The trace


def test_every_reading_leaves_a_point() -> None:
    """With the values by target; unknown is None."""
    walk = Walk(opened(), reads([Verdict.GREEN, Verdict.RED, Verdict.UNKNOWN]))
    walk.to(S.WATCHING)
    for _ in range(3):
        walk.turn()
    trace = walk.incident.trace
    assert [point.values for point in trace] == [
        {"errors": 0.001},
        {"errors": 0.2},
        {"errors": None},
    ]
    assert [b.at_ms - a.at_ms for a, b in itertools.pairwise(trace)] == [5_000, 5_000]


@pytest.mark.parametrize("readings", [MAX_TRACE, MAX_TRACE + 1, 3 * MAX_TRACE])
def test_a_long_trace_is_thinned(readings: int) -> None:
    """It keeps the first and the newest, in order, and never grows beyond its bound."""
    walk = watching(hold_ms=10**12)
    longest = 0
    for _ in range(readings):
        walk.turn()
        longest = max(longest, len(walk.incident.trace))
    kept = [point.at_ms for point in walk.incident.trace]
    assert longest <= MAX_TRACE
    assert kept == sorted(set(kept))
    assert kept[-1] == walk.now_ms
    assert kept[-1] - kept[0] == (readings - 1) * 5_000
