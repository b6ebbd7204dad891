"""The table of transitions is exact: every pair in it happens, and no other does."""

from collections.abc import Iterator
from typing import Any, Final

import pytest
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.freezing import freeze_stands
from rollbackd.incidents.ledger import taken
from rollbackd.incidents.states import TRANSITIONS
from rollbackd.incidents.step import next_command, step
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import AuditCheck, Incident, State
from rollbackd.model.policy import Approval, BranchPolicy, FreezeProbe, LeverCall, WorseAfter
from rollbackd.model.triggers import Verdict
from tests.incidents.samples import NOW, evidence_of, opened, policy_of, reading, trigger_of
from tests.incidents.walking import Walk, checked, compared, drift, failed

#: Everything that takes time happens with the reading after next.
_SOON: Final[dict[str, Any]] = {
    "hold_ms": 1,
    "first_green_ms": 1,
    "confirm_freeze_ms": 1,
    "worse_after": WorseAfter(for_ms=1),
}
_ROTATE: Final = LeverCall(lever="cache_rotate")
_FLAG: Final = [LeverCall(lever="flag_off", name="canary")]
_THROTTLE: Final = [LeverCall(lever="throttle")]
_FREEZE: Final = LeverCall(lever="write_block")
_PROBED: Final = replace(_FREEZE, confirm=[FreezeProbe(kind="write")])


def _branch(branch: str, **changes: Any) -> BranchPolicy:
    bare: dict[str, Any] = {
        "freeze": None,
        "levers": [],
        "rotate": None,
        "throttle": [],
        "throttle_first": False,
    }
    return policy_of(branch, **(bare | _SOON | changes))


_SHAPES: Final[dict[str, dict[str, Any]]] = {
    "whole": {"freeze": _PROBED, "levers": _FLAG, "rotate": _ROTATE, "throttle": _THROTTLE},
    "throttle first": {
        "levers": _FLAG,
        "rotate": _ROTATE,
        "throttle": _THROTTLE,
        "throttle_first": True,
    },
    "compared": {"freeze": _FREEZE, "throttle": _THROTTLE, "reconcile": "required"},
    "no freeze": {"levers": _FLAG, "rotate": _ROTATE},
    "freeze only": {"freeze": _FREEZE},
    "rotate only": {"rotate": _ROTATE},
    "rotate and throttle": {"rotate": _ROTATE, "throttle": _THROTTLE},
    "throttle only": {"throttle": _THROTTLE},
}
_APPROVALS: Final = (None, Approval(within_ms=1), Approval(within_ms=1, otherwise="act"))


#: Branches that take over: each begins elsewhere.
_RIVALS: Final = [
    _branch("duplicate_effects", approval=Approval(within_ms=1), **_SHAPES["no freeze"]),
    *[
        _branch("duplicate_effects", **_SHAPES[shape])
        for shape in ("freeze only", "no freeze", "rotate only", "throttle only")
    ],
]


def _policies() -> Iterator[BranchPolicy]:
    for shape in _SHAPES.values():
        yield _branch("quality_regression", **shape)
    for approval in _APPROVALS[1:]:
        yield _branch("quality_regression", approval=approval, **_SHAPES["freeze only"])
    lever = LeverCall(lever="alias_revert", name="docs_live", reverts=["PROMPT_VER"])
    other = _branch("retriever_mismatch", levers=[lever], rotate=_ROTATE, approval=_APPROVALS[1])
    yield _branch("quality_regression", shares_symptoms_with=[other], **_SHAPES["freeze only"])


def _outside(incident: Incident) -> Iterator[m.Event]:
    """One thing is said at a time: what follows of two is what follows of one after the other."""
    if incident.restore_asked or incident.compensation_asked or incident.preempted_by is not None:
        return
    for word in m.Decision:
        yield m.Decided(decision=word, by="eve")
    yield m.CompensationAsked(because="a later step failed")
    if incident.branch != _RIVALS[0].branch:
        for policy in _RIVALS:
            yield m.TriggerJoined(trigger=trigger_of(policy.branch), policy=policy)


def _answers(incident: Incident, command: m.Command) -> Iterator[m.Event]:
    yield Walk(incident).answer_to(command)
    match command:
        case m.CaptureEvidence():
            yield m.Captured(evidence=evidence_of(readings=[reading(Verdict.RED)]))
        case m.Prepare(call=call, index=index):
            if index is not None:
                yield m.NothingToMove(call=call, index=index)
            yield m.Refused(call=call, index=index, message="no")
        case m.Perform():
            moved = incident.state is State.FLIPPING and not incident.moved
            yield failed(Reason.TARGET_MOVED if moved else Reason.LEVER_FAILED)
        case m.ConfirmFreeze():
            yield checked(*[False] * len(command.probes))
        case m.Watch(flips=flips):
            yield m.Read(readings=[replace(reading(Verdict.RED), value=0.9)])
            yield m.Read(readings=[reading(Verdict.RED)])
            yield m.Read(readings=[reading(Verdict.UNKNOWN)])
            yield m.Read(readings=[reading(Verdict.GREEN)], drifted=[drift(f) for f in flips])
        case m.Reconcile():
            yield compared(open_items=1)
            yield compared(unavailable="it is down")
        case m.RunAudit():
            yield m.Audited(checks=[AuditCheck(name="x", passed=False)])


def _shape(policy: BranchPolicy) -> tuple[bool, ...]:
    parts = (policy.freeze, policy.levers, policy.rotate, policy.throttle, policy.approval)
    return tuple(bool(part) for part in parts)


def _kept_apart(incident: Incident) -> str:
    """What the way of an incident depends on."""
    pending = incident.pending
    parts = (
        incident.state,
        incident.branch,
        pending and (pending.change.target.lever, pending.reverts is None, pending.reasserts),
        len(incident.todo),
        len(incident.tried),
        len(incident.flips),
        incident.moved,
        incident.evidence is not None and bool(incident.evidence.readings),
        incident.preempted_by and _RIVALS.index(incident.preempted_by),
        incident.branch == _RIVALS[0].branch and _shape(incident.policy),
        incident.restore_asked,
        incident.compensation_asked,
        incident.rotation_owed,
        freeze_stands(incident),
        incident.reconciliation is None,
        bool(incident.reconciliation and incident.reconciliation.open_items),
        incident.reason is Reason.RECEIPTS_UNKNOWN,
        bool(taken(incident)),
        incident.hold.verdict is Verdict.GREEN,
        incident.worse_since_ms is not None,
        incident.reverted,
        incident.reasserts,
    )
    return repr(parts)


def _pairs(policy: BranchPolicy) -> set[tuple[State, State]]:
    frontier = [opened(policy.branch, policy=policy)]
    seen = {_kept_apart(frontier[0])}
    pairs: set[tuple[State, State]] = set()
    while frontier:
        incident = frontier.pop()
        command = next_command(incident)
        if command is None:
            continue
        for event in (*_answers(incident, command), *_outside(incident)):
            now_ms = NOW + incident.version * 10
            after, _ = step(incident, event, now_ms)
            if after.state is not incident.state:
                pairs.add((incident.state, after.state))
            if (key := _kept_apart(after)) not in seen:
                seen.add(key)
                frontier.append(after)
    return pairs


def test_the_table_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every way of every shape of branch is walked: what happens is what the table says."""
    # a hash a step would be most of the work
    monkeypatch.setattr(
        "rollbackd.incidents.step.chain", lambda incident, record: (incident, record)
    )
    happened = {pair for policy in _policies() for pair in _pairs(policy)}
    assert happened == {(b, a) for b, after in TRANSITIONS.items() for a in after}
