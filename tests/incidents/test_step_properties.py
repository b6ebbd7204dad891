"""What holds whatever happens, in whatever order."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.states import IllegalTransitionError
from rollbackd.incidents.step import next_command, step
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import TERMINAL, AuditCheck, Incident, State
from rollbackd.model.policy import Approval, BranchPolicy, FreezeProbe
from rollbackd.model.triggers import Verdict
from tests.incidents.samples import (
    BRANCHES,
    evidence_of,
    opened,
    policy_of,
    reading,
    trigger_of,
)
from tests.incidents.walking import Walk, checked, drift, failed, lift, reads

_TURNS: Final = 150


_WORDS: Final = ("approve", "decline", "restore", "restore", "rotated", "abort")


def _outside(draw: st.DrawFn, walk: Walk) -> m.Event:
    kinds = ("join", "join", "word", "word", "resume", "resume", "still", "compensate", "end")
    match draw(st.sampled_from(kinds)):
        case "join":
            policy = _policy(draw, mode=draw(st.sampled_from(("act", "observe"))))
            return m.TriggerJoined(trigger=trigger_of(policy.branch), policy=policy)
        case "resume":
            return m.Resumed(epoch=walk.incident.epoch + 1)
        case "still":
            return m.StillPerforming(since_ms=walk.now_ms, first=draw(st.booleans()))
        case "compensate":
            return m.CompensationAsked(because="a later step failed")
        case "end":
            return m.Decided(decision="abort_leaving_measures", by="eve")
        case _:
            return m.Decided(decision=draw(st.sampled_from(_WORDS)), by="eve")


def _policy(draw: st.DrawFn, **changes: Any) -> BranchPolicy:
    policy = policy_of(draw(st.sampled_from(BRANCHES)), **changes)
    if policy.freeze is not None and draw(st.booleans()):
        probes = [FreezeProbe(kind="write"), FreezeProbe(kind="consumers")]
        policy = replace(policy, freeze=replace(policy.freeze, confirm=probes))
    if policy.freeze is not None and draw(st.integers(0, 3)) == 0:
        # a branch that only freezes is the hard case for F1
        policy = replace(policy, levers=[], rotate=None)
    if draw(st.integers(0, 3)) == 0:
        otherwise = draw(st.sampled_from(("act", "stand_down")))
        policy = replace(policy, approval=Approval(within_ms=60_000, otherwise=otherwise))
    return policy


def _inside(draw: st.DrawFn, walk: Walk, command: m.Command) -> m.Event:
    good = walk.answer_to(command)
    if draw(st.integers(0, 3)):
        return good
    match command:
        case m.CaptureEvidence():
            evidence = evidence_of(branch=draw(st.sampled_from(BRANCHES)))
            return m.Captured(evidence=replace(evidence, readings=[reading(Verdict.RED)]))
        case m.Prepare(call=call, index=index):
            return draw(
                st.sampled_from(
                    (
                        m.NothingToMove(call=call, index=index),
                        m.Refused(call=call, index=index, message="no"),
                    )
                )
            )
        case m.Perform():
            if isinstance(good, m.GivenBack) and draw(st.booleans()):
                return replace(good, restored=False)
            measure = walk.incident.state is State.RESTORING
            if measure and isinstance(good, m.GivenBack) and draw(st.booleans()):
                return m.HandedOver(to="INC-2")
            reasons = (Reason.TARGET_MOVED, Reason.LEVER_FAILED, Reason.FENCED_OFF)
            return failed(draw(st.sampled_from(reasons)))
        case m.ConfirmFreeze(probes=probes):
            walk.now_ms += draw(st.sampled_from((0, 500, 60_000, -3_600_000)))
            return checked(*(draw(st.booleans()) for _ in probes))
        case m.Watch(flips=flips, freeze=freeze):
            walk.now_ms += draw(st.sampled_from((0, 5_000, 120_000, 900_000, -3_600_000)))
            seen = reading(draw(st.sampled_from(Verdict)))
            if seen.verdict is Verdict.RED:
                seen = replace(seen, value=draw(st.sampled_from((0.2, 0.9))))
            drifted = [drift(flip) for flip in flips if draw(st.booleans())]
            lifted = lift(walk) if freeze is not None and draw(st.booleans()) else None
            return m.Read(readings=[seen], drifted=drifted, lifted=lifted)
        case m.RunAudit():
            return m.Audited(checks=[AuditCheck(name="x", passed=False)])
        case _:
            return good


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
def test_every_legal_sequence_keeps_the_promises(data: st.DataObject) -> None:
    """The walk itself asserts F1, F2, F4, F5, the ledger's order, op ids and versions."""
    draw = data.draw
    policy = _policy(draw)
    walk = Walk(opened(policy.branch, policy=policy))
    for _ in range(_TURNS):
        command = next_command(walk.incident)
        if command is None:
            break
        if draw(st.integers(0, 9)) == 0:
            walk.say(_outside(draw, walk))
            continue
        walk.now_ms += 5_000 if isinstance(command, m.Watch | m.AwaitPerson) else 10
        walk.say(_inside(draw, walk, command))
    assert (next_command(walk.incident) is None) == (walk.incident.state in TERMINAL)


def _moments() -> Iterator[tuple[str, Incident]]:
    """An incident at each point of each branch, and at those that trouble leads to."""
    for branch in BRANCHES:
        walk = Walk(opened(branch))
        while next_command(walk.incident) is not None:
            pending = "pending" if walk.incident.pending else "idle"
            yield f"{branch}-{walk.incident.state}-{pending}", walk.incident
            walk.turn()
        yield f"{branch}-{walk.incident.state}", walk.incident
    red = Walk(opened(), reads([], then=Verdict.RED))
    yield "escalating", red.to(State.ESCALATING)
    yield "needs_human", red.to(State.NEEDS_HUMAN)
    asking = policy_of("quality_regression", approval=Approval())
    yield "awaiting_approval", Walk(opened(policy=asking)).to(State.AWAITING_APPROVAL)
    probed = policy_of("quality_regression")
    assert probed.freeze is not None
    freeze = replace(probed.freeze, confirm=[FreezeProbe(kind="write")])
    confirming = Walk(opened(policy=replace(probed, freeze=freeze)))
    confirming.until_pending("write_block")
    confirming.turn()
    yield "confirming", confirming.incident
    reverting = Walk(opened())
    reverting.to(State.WATCHING)
    reverting.say(m.CompensationAsked(because="a later step failed"))
    yield "reverting", reverting.to(State.REVERTING)
    yield "observed", replace(opened(), state=State.OBSERVED)
    yield "aborted", replace(opened(), state=State.ABORTED)


_MOMENTS: Final = dict(_moments())


def _events() -> dict[str, m.Event]:
    walk = Walk(opened())
    collected: dict[str, m.Event] = {}
    while (command := next_command(walk.incident)) is not None:
        event = walk.answer_to(command)
        collected.setdefault(type(event).__name__, event)
        walk.turn()
    call = policy_of("quality_regression").levers[0]
    for index in (None, 0):
        collected[f"NothingToMove-{index}"] = m.NothingToMove(call=call, index=index)
        collected[f"Refused-{index}"] = m.Refused(call=call, index=index, message="")
    collected["Failed"] = failed()
    collected["Joined"] = m.TriggerJoined(
        trigger=trigger_of("duplicate_effects"), policy=policy_of("duplicate_effects")
    )
    for word in m.Decision:
        collected[word] = m.Decided(decision=word, by="eve")
    collected["CompensationAsked"] = m.CompensationAsked(because="")
    collected["FreezeChecked"] = m.FreezeChecked(confirmations=[])
    collected["Resumed"] = m.Resumed(epoch=1_000)
    collected["StillPerforming"] = m.StillPerforming(since_ms=1, first=True)
    return collected


_EVENTS: Final = _events()
_FROM_OUTSIDE: Final = (
    m.TriggerJoined | m.Decided | m.CompensationAsked | m.Resumed | m.StillPerforming
)
_BELONGS: Final[dict[type, tuple[type, ...]]] = {
    m.Continue: (m.Continued,),
    m.CaptureEvidence: (m.Captured,),
    m.Prepare: (m.Prepared, m.NothingToMove, m.Refused),
    m.ConfirmFreeze: (m.FreezeChecked,),
    m.Watch: (m.Read,),
    m.AwaitPerson: (m.Continued,),
    m.RunAudit: (m.Audited,),
}


@pytest.mark.parametrize("moment", _MOMENTS)
def test_an_event_that_answers_nothing_is_refused(moment: str) -> None:
    """Every event at every point: it belongs there, or it raises and nothing is corrupted."""
    incident = _MOMENTS[moment]
    command = next_command(incident)
    for event in _EVENTS.values():
        if isinstance(command, m.Perform):
            done = m.GivenBack if command.intent.reverts else m.Sealed
            belongs = isinstance(event, done | m.Failed)
        else:
            belongs = isinstance(event, _BELONGS.get(type(command), ()))
        belongs |= isinstance(event, _FROM_OUTSIDE)
        if belongs and command is not None:
            after, _ = step(incident, event, 1)
            assert after.version == incident.version + 1
        else:
            with pytest.raises(IllegalTransitionError, match=type(event).__name__):
                step(incident, event, 1)


def test_the_moments_cover_every_state() -> None:
    """So that the test before this one leaves none out."""
    assert {incident.state for incident in _MOMENTS.values()} == set(State)


def test_a_step_leaves_the_incident_it_was_given_alone() -> None:
    """Incidents are values: the one before is what the store compares with."""
    walk = Walk(opened())
    while next_command(walk.incident) is not None:
        before = walk.incident
        copy = replace(before)
        walk.turn()
        assert before == copy
        assert walk.incident is not before
