"""An act that stands, and whose readers were not seen to follow."""

import pytest
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, MeasureStatus, State
from rollbackd.model.levers import Applied
from tests.incidents.samples import opened
from tests.incidents.walking import Answer, Walk, receipt_of

SAID = "SDKs are told `on: true`"


def unseen(lever: str) -> Answer:
    """The lever's acts take effect, and the readers of its target never say so."""

    def answer(command: m.Command) -> m.Event | None:
        if not isinstance(command, m.Perform) or command.intent.reverts is not None:
            return None
        intent = command.intent
        if intent.change.target.lever != lever:
            return None
        applied = Applied(change=intent.change, op_id=intent.op.op_id, version=2)
        return m.Sealed(receipt=receipt_of(command), applied=applied, unseen=SAID)

    return answer


def statuses(incident: Incident) -> dict[str, MeasureStatus]:
    """The ledger by lever."""
    return {each.change.target.lever: each.status for each in incident.ledger}


def test_a_flip_goes_on_and_tells() -> None:
    """The rest of the checklist still has to run; the journal has what readers said."""
    walk = Walk(opened(), unseen("flag_off"))
    watched = walk.to(State.WATCHING)
    assert watched.flipped_at_ms is not None
    assert [flip.change.target.lever for flip in watched.flips] == ["flag_off"]
    (said,) = [record.detail["unseen"] for record in walk.records if "unseen" in record.detail]
    assert said == SAID
    walk.to(State.CLOSED)


def test_a_freeze_is_not_confirmed_by_it() -> None:
    """Whoever has not seen it may still write: no flip before a person has looked (F2)."""
    walk = Walk(opened(), unseen("write_block"))
    incident = walk.to(State.NEEDS_HUMAN)
    assert incident.reason is Reason.FREEZE_NOT_CONFIRMED
    assert SAID in incident.note
    assert State.FLIPPING not in walk.states
    assert statuses(incident) == {"write_block": MeasureStatus.TAKEN}


def test_a_freeze_that_was_not_seen_is_given_back() -> None:
    """It is in the ledger as any other."""
    walk = Walk(opened(), unseen("write_block"))
    walk.to(State.NEEDS_HUMAN)
    walk.say(m.Decided(decision=m.Decision.RESTORE, by="ana"))
    walk.to(State.RESTORING)
    walk.to(State.CLOSED, State.NEEDS_HUMAN)
    assert statuses(walk.incident) == {"write_block": MeasureStatus.RESTORED}


@pytest.mark.parametrize("lever", ["throttle", "cache_rotate"])
def test_other_acts_go_on(lever: str) -> None:
    """A limit, and a namespace that moved forward."""
    walk = Walk(opened(), unseen(lever))
    walk.to(State.CLOSED)
    assert any("unseen" in record.detail for record in walk.records)


def test_what_was_seen_leaves_no_note() -> None:
    """Of the ordinary way nothing is said."""
    walk = Walk(replace(opened(), note=""))
    walk.to(State.CLOSED)
    assert not any("unseen" in record.detail for record in walk.records)
