"""Units: the next step, the steps to put back, and regions that drift apart."""

from typing import Any

import pytest
from msgspec.structs import replace

from rollbackd.incidents.units import (
    STATE_HASH,
    Diverged,
    OpenStep,
    PutBack,
    bad_pins,
    due,
    group_of,
    in_order,
    is_settled,
    runs_with,
    still_to_come,
)
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import AuditCheck, Incident, State, Unit
from rollbackd.model.labels import Scope
from rollbackd.model.policy import Group
from tests.incidents.samples import NOW, PINS, opened, policy_of

SERVICES = ("index", "rag", "web")
GROUP = Group(name="answers", services=list(SERVICES), branches=["quality_regression"])


def step(index: int, order: str = "dependency", **changes: Any) -> Incident:
    """An incident that is a step of a unit of three scopes."""
    scopes = [Scope(service, "eu-1") for service in SERVICES]
    unit = Unit(id="unit-1", order=order, scopes=scopes, index=index)
    incident = replace(opened(), **changes)
    return replace(incident, id=f"INC-{index}", scope=scopes[index], unit=unit)


def flipped(index: int, **changes: Any) -> Incident:
    changes = {"state": State.WATCHING, "flipped_at_ms": NOW, **changes}
    return step(index, **changes)


def green(index: int, state_hash: str = "sha256:a", **changes: Any) -> Incident:
    """A region that is done."""
    return step(
        index,
        "region",
        state=State.CLOSED,
        flipped_at_ms=NOW,
        green_at_ms=NOW,
        audit=[AuditCheck(name=STATE_HASH, passed=True, detail=state_hash)],
        **changes,
    )


def broken(index: int, **changes: Any) -> Incident:
    changes = {"state": State.NEEDS_HUMAN, "reason": Reason.NO_LEVER_LEFT, **changes}
    return step(index, **changes)


def index_of(move: object) -> int:
    assert isinstance(move, OpenStep)
    return move.unit.index


def test_a_group_is_rolled_back_in_its_order_within_the_region() -> None:
    scopes = group_of([GROUP], Scope("rag", "us-1"), policy_of("quality_regression"))
    assert [str(scope) for scope in scopes] == ["index/us-1", "rag/us-1", "web/us-1"]


@pytest.mark.parametrize(
    ("service", "branch", "because"),
    [
        ("mail", "quality_regression", "no group has the service"),
        ("rag", "retriever_mismatch", "the group does not name the branch"),
        ("rag", "cost_or_latency", "the branch moves no pointer"),
    ],
)
def test_it_stands_alone_when(service: str, branch: str, because: str) -> None:
    assert group_of([GROUP], Scope(service, "eu-1"), policy_of(branch)) == [], because


def test_the_next_step_waits_for_the_flip_and_not_for_green() -> None:
    assert due([step(0, state=State.FLIPPING)]) is None
    assert index_of(due([flipped(0)])) == 1
    assert index_of(due([flipped(1), flipped(0)])) == 2
    assert due([flipped(0), flipped(1), flipped(2)]) is None


def test_steps_before_a_failed_one_are_put_back_the_youngest_first() -> None:
    move = due([flipped(0), flipped(1), broken(2)])
    assert move == PutBack(incident_id="INC-1", because="web/eu-1 was not flipped (no_lever_left)")
    asked = flipped(1, compensation_asked=True)
    assert due([flipped(0), asked, broken(2)]) is None
    back = broken(1, flipped_at_ms=NOW, reverted=True, compensation_asked=True)
    move = due([flipped(0), back, broken(2)])
    assert isinstance(move, PutBack)
    assert move.incident_id == "INC-0"


@pytest.mark.parametrize(
    "failed",
    [
        broken(1),
        broken(1, state=State.OBSERVED, reason=Reason.BUDGET_SPENT),
        broken(1, state=State.ABORTED),
        broken(1, flipped_at_ms=NOW, reverted=True, reason=Reason.WORSE_AFTER_ACTING),
    ],
    ids=lambda incident: f"{incident.state}-{incident.reason}",
)
def test_a_step_that_stops_without_a_flip_that_stands_has_failed(failed: Incident) -> None:
    assert isinstance(due([flipped(0), failed]), PutBack)


def test_a_step_that_flipped_and_is_not_green_is_a_persons_to_decide() -> None:
    late = flipped(1, state=State.NEEDS_HUMAN, reason=Reason.FIRST_GREEN_MISSED)
    assert index_of(due([flipped(0), late])) == 2


def test_what_has_closed_green_is_not_put_back() -> None:
    closed = flipped(0, state=State.CLOSED)
    assert due([closed, broken(1)]) is None
    assert not is_settled([closed, broken(1)])
    assert is_settled([closed, broken(1, state=State.ABORTED)])


def test_the_next_region_waits_until_the_one_before_is_green() -> None:
    assert due([flipped(0, order="region")]) is None
    assert due([replace(green(0), green_at_ms=None)]) is None
    assert index_of(due([green(0)])) == 1


def test_a_region_that_fails_leaves_the_green_ones_alone() -> None:
    assert due([green(0), broken(1, order="region")]) is None


def test_no_region_is_touched_once_two_that_are_done_differ() -> None:
    move = due([green(0), green(1, "sha256:b")])
    assert move == Diverged(
        incident_id="INC-1", because="rag/eu-1 is not in the state of the other regions"
    )
    assert index_of(due([green(0), green(1)])) == 2


def test_regions_with_the_same_bad_pins_do_not_wait() -> None:
    assert index_of(due([step(0, "at_once", state=State.CAPTURING)])) == 1
    assert index_of(due([step(0, "at_once"), step(2, "at_once")])) == 1


def test_a_step_that_had_nothing_to_roll_back_is_passed_over() -> None:
    skipped = step(1, state=State.OBSERVED, reason=Reason.KNOWN_GOOD_IS_CURRENT)
    assert index_of(due([flipped(0), skipped])) == 2


def names(scopes: list[Scope]) -> list[str]:
    return [scope.service for scope in scopes]


def test_scopes_wait_for_their_turn_while_the_unit_moves() -> None:
    assert names(still_to_come([step(0, state=State.FREEZING)])) == ["rag", "web"]
    assert names(still_to_come([flipped(0), flipped(1)])) == ["web"]
    assert still_to_come([]) == []


@pytest.mark.parametrize(
    "steps",
    [
        [broken(0)],
        [broken(0, state=State.ABORTED)],
        [flipped(0, state=State.NEEDS_HUMAN)],
        [flipped(0), broken(1, state=State.OBSERVED, reason=Reason.NO_KNOWN_GOOD)],
        [green(0), green(1, "sha256:b")],
    ],
    ids=["failed", "aborted", "a person is asked", "refused", "regions differ"],
)
def test_a_unit_that_has_stopped_holds_nobody_up(steps: list[Incident]) -> None:
    """A trigger of a later scope opens an incident of its own."""
    assert still_to_come(steps) == []


def test_regions_that_differ_settle_once_they_have_ended() -> None:
    assert is_settled([green(0), green(1, "sha256:b")])
    assert not is_settled([green(0), green(1)])


BAD = {"PROMPT_VER": "p2"}


@pytest.mark.parametrize(
    ("seen", "bad"),
    [
        ({"canary": {**PINS, **BAD}, "baseline": PINS}, BAD),
        ({"live": {**PINS, **BAD, "EXTRA": "e1"}}, BAD),
        ({"blue": {**PINS, **BAD}, "green": PINS}, {}),
        ({}, {}),
    ],
    ids=["the canary", "the only arm", "either may be it", "nothing was seen"],
)
def test_bad_are_the_pins_in_which_the_suspect_arm_differs(
    seen: dict[str, dict[str, str]], bad: dict[str, str]
) -> None:
    assert bad_pins(seen, PINS) == bad


def test_a_region_runs_with_them_when_an_arm_has_all_of_them() -> None:
    both = {**BAD, "MODEL_VER": "m2"}
    assert runs_with({"baseline": PINS, "canary": {**PINS, **both}}, both)
    assert not runs_with({"canary": {**PINS, **BAD}}, both)
    assert not runs_with({"canary": PINS}, {})


def test_regions_go_in_the_order_of_the_tree() -> None:
    scopes = in_order(["ap-1", "us-1"], Scope("rag", "eu-1"), ["us-1", "sa-1", "ap-1", "us-1"])
    assert [scope.region for scope in scopes] == ["ap-1", "us-1", "eu-1", "sa-1"]
    with pytest.raises(ValueError, match="region `no/pe` is not a scope name"):
        in_order([], Scope("rag", "eu-1"), ["no/pe"])
