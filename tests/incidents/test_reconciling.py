"""Writers are let go only once receipts agree with what is there downstream (D4, A4)."""

import pytest

from rollbackd.incidents import messages as m
from rollbackd.incidents.reconciling import audit_check, objection
from rollbackd.incidents.step import next_command
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import AuditCheck, State
from rollbackd.model.policy import BranchPolicy
from rollbackd.model.reconciliation import Resolution
from rollbackd.model.triggers import Verdict
from tests.incidents.samples import opened, policy_of, reading
from tests.incidents.walking import Walk, compared

AGREE = compared()
OPEN = compared(open_items=2)
UNKNOWN = compared(unavailable="it is down")
UNLISTED = compared(listing="")


def held(**changes: object) -> Walk:
    """Green for the hold; writers are frozen, and receipts are to be compared."""
    policy: BranchPolicy = policy_of("duplicate_effects", hold_ms=10_000, **changes)
    walk = Walk(opened("duplicate_effects", policy=policy))
    walk.to(State.WATCHING)
    for _ in range(10):
        if isinstance(next_command(walk.incident), m.Reconcile):
            return walk
        walk.turn()
    raise AssertionError("receipts were not asked for")


def _check(detail: str, *, passed: bool = False) -> AuditCheck:
    return AuditCheck(name="receipts_reconciled", passed=passed, detail=detail)


def restore(walk: Walk) -> None:
    walk.say(m.Decided(decision="restore", by="eve"))


def green(walk: Walk) -> None:
    walk.now_ms += 5_000
    walk.say(m.Read(readings=[reading(Verdict.GREEN)]))


def test_once_they_agree_the_next_green_reading_gives_back() -> None:
    """Not the comparison itself: it may have taken a while."""
    walk = held()
    walk.say(AGREE)
    assert (walk.incident.state, walk.incident.reason) == (State.WATCHING, Reason.RECEIPTS_AGREE)
    assert isinstance(next_command(walk.incident), m.Watch)
    green(walk)
    assert walk.incident.state is State.RESTORING


@pytest.mark.parametrize("verdict", [Verdict.RED, Verdict.UNKNOWN])
def test_a_reading_that_is_not_green_asks_for_another_comparison(verdict: Verdict) -> None:
    """What agreed before it says nothing of what came after."""
    walk = held()
    walk.say(AGREE)
    walk.now_ms += 5_000
    walk.say(m.Read(readings=[reading(verdict)]))
    assert walk.incident.state is State.WATCHING
    assert walk.incident.reconciliation is None
    walk.to(State.RESTORING)
    assert sum(isinstance(each, m.Reconcile) for each in walk.commands) == 1


@pytest.mark.parametrize(
    ("found", "reason"),
    [(OPEN, Reason.RECEIPTS_DISAGREE), (UNKNOWN, Reason.RECEIPTS_UNKNOWN)],
)
def test_what_does_not_agree_needs_a_person_and_keeps_the_freeze(
    found: m.Reconciled, reason: Reason
) -> None:
    walk = held()
    record = walk.say(found)
    assert (walk.incident.state, walk.incident.reason) == (State.NEEDS_HUMAN, reason)
    assert walk.incident.note.startswith("writers stay frozen: receipts: ")
    assert record is not None
    told = record.detail
    assert told.get("open") == {"k0": "extra", "k1": "extra"} or "it is down" in str(told)
    for _ in range(5):
        walk.turn()
    assert walk.incident.state is State.NEEDS_HUMAN


@pytest.mark.parametrize(
    ("word", "state", "reason"),
    [
        ("where_listed", State.WATCHING, Reason.NO_LISTING),
        ("required", State.NEEDS_HUMAN, Reason.RECEIPTS_UNKNOWN),
    ],
)
def test_without_a_listing_the_word_decides(word: str, state: State, reason: Reason) -> None:
    """`where_listed` goes on and says so, `required` asks a person."""
    walk = held(reconcile=word)
    walk.say(UNLISTED)
    assert (walk.incident.state, walk.incident.reason) == (state, reason)


@pytest.mark.parametrize("changes", [{"reconcile": "off"}, {"freeze": None}])
def test_without_the_word_or_a_freeze_nothing_is_compared(changes: dict[str, object]) -> None:
    policy = policy_of("duplicate_effects", hold_ms=10_000, **changes)
    walk = Walk(opened("duplicate_effects", policy=policy))
    walk.to(State.CLOSED)
    assert not any(isinstance(command, m.Reconcile) for command in walk.commands)


def test_restore_is_refused_while_one_item_is_open() -> None:
    """Each time it is said they are compared anew."""
    walk = held()
    walk.say(OPEN)
    for _ in range(2):
        restore(walk)
        assert isinstance(next_command(walk.incident), m.Reconcile)
        walk.say(compared(open_items=1))
        assert walk.incident.state is State.NEEDS_HUMAN
        assert not walk.incident.restore_asked
    restore(walk)
    walk.say(AGREE)
    walk.to(State.CLOSED)


@pytest.mark.parametrize("before", [OPEN, UNKNOWN])
def test_who_was_told_that_it_cannot_be_known_may_take_it_upon_themselves(
    before: m.Reconciled,
) -> None:
    """The first word is answered by another try, whatever was found without one; the second
    one counts, if it still cannot be known by then.
    """
    walk = held()
    walk.say(before)
    restore(walk)
    walk.say(UNKNOWN)
    assert walk.incident.state is State.NEEDS_HUMAN
    restore(walk)
    record = walk.say(UNKNOWN)
    assert record is not None
    assert record.detail["on_a_persons_word"] is True
    walk.turn()
    assert walk.states[-2:] == [State.NEEDS_HUMAN, State.RESTORING]


def test_no_known_disagreement_is_let_go() -> None:
    """Each `restore` compares; one that meets open items stays, however often it was unknown."""
    walk = held()
    walk.say(UNKNOWN)
    restore(walk)
    walk.say(UNKNOWN)
    restore(walk)
    assert isinstance(next_command(walk.incident), m.Reconcile)
    walk.say(OPEN)
    assert walk.incident.state is State.NEEDS_HUMAN
    restore(walk)
    walk.say(UNKNOWN)
    assert walk.incident.state is State.NEEDS_HUMAN, "what was known starts it over"


def test_insisting_does_not_outlive_another_watch() -> None:
    """A branch that takes over asks anew."""
    walk = held(priority=3)
    walk.say(UNKNOWN)
    restore(walk)
    walk.say(UNKNOWN)
    over = policy_of("quality_regression", hold_ms=10_000)
    walk.say(m.TriggerJoined(trigger=walk.incident.triggers[0], policy=over))
    walk.to(State.WATCHING)
    while not isinstance(next_command(walk.incident), m.Reconcile):
        walk.turn()
    walk.say(UNKNOWN)
    restore(walk)
    walk.say(UNKNOWN)
    assert walk.incident.state is State.NEEDS_HUMAN


def test_a_restore_before_the_hold_compares_as_well() -> None:
    walk = Walk(opened("duplicate_effects"))
    walk.to(State.ROTATING)
    restore(walk)
    assert isinstance(next_command(walk.incident), m.Reconcile)
    walk.say(OPEN)
    assert walk.incident.state is State.NEEDS_HUMAN


def test_items_are_accepted_as_they_were_found() -> None:
    """The finding is kept, so that another one under the same key is open again."""
    walk = held()
    walk.say(OPEN)
    record = walk.say(m.ItemsAccepted(keys=["k0"], by="eve", because="refunded"))
    assert record is not None
    assert record.detail == {"by": "eve", "because": "refunded", "keys": ["k0"]}
    (kept,) = walk.incident.accepted_items
    assert (kept.key, kept.resolution) == ("k0", Resolution.NONE)
    found = walk.incident.reconciliation
    assert found is not None
    assert (found.open_items, found.accepted) == (1, 1)
    assert [item.is_open for item in found.items] == [False, True]
    walk.say(m.ItemsAccepted(keys=["k1"], by="eve", because="refunded"))
    assert [item.key for item in walk.incident.accepted_items] == ["k0", "k1"]


@pytest.mark.parametrize(("keys", "said"), [(["k7"], "`k7` is no open item"), (["k0"], "")])
def test_only_an_open_item_can_be_accepted(keys: list[str], said: str) -> None:
    walk = held()
    walk.say(OPEN)
    assert said in objection(walk.incident, keys)
    before = walk.incident.accepted_items
    record = walk.say(m.ItemsAccepted(keys=keys, by="eve", because="x"))
    assert record is not None
    assert ("refused" in record.detail) is bool(said)
    assert (walk.incident.accepted_items == before) is bool(said)


def test_without_a_comparison_there_is_nothing_to_accept() -> None:
    walk = Walk(opened("duplicate_effects"))
    assert "has no open item" in objection(walk.incident, ["k0"])
    walk.say(m.ItemsAccepted(keys=["k0"], by="eve", because="x"))
    assert walk.incident.accepted_items == []


def test_another_branch_that_takes_over_still_compares() -> None:
    """The doubt about effects does not go away with another symptom."""
    low = policy_of("duplicate_effects", priority=3, hold_ms=10_000)
    walk = Walk(opened("duplicate_effects", policy=low))
    walk.to(State.WATCHING)
    over = policy_of("quality_regression")
    trigger = walk.incident.triggers[0]
    walk.say(m.TriggerJoined(trigger=trigger, policy=over))
    walk.turn()
    assert walk.incident.branch == "quality_regression"
    assert walk.incident.policy.reconcile == "where_listed"


@pytest.mark.parametrize(
    ("found", "check"),
    [
        (AGREE, _check("0 ok, 0 missing, 0 extra, 0 conflict", passed=True)),
        (
            OPEN,
            _check("0 ok, 0 missing, 2 extra, 0 conflict; open: k0 (extra), k1 (extra)"),
        ),
        (UNKNOWN, _check("not known: it is down")),
    ],
)
def test_the_audit_says_which_keys(found: m.Reconciled, check: AuditCheck) -> None:
    """What cannot be known has failed (A4)."""
    assert audit_check(found.reconciliation) == check


def test_what_the_audit_found_stays_with_the_incident() -> None:
    walk = held()
    walk.say(AGREE)
    walk.to(State.AUDITING)
    checks = [audit_check(OPEN.reconciliation)]
    walk.say(m.Audited(checks=checks, reconciliation=OPEN.reconciliation))
    assert (walk.incident.state, walk.incident.reason) == (State.NEEDS_HUMAN, Reason.AUDIT_FAILED)
    assert walk.incident.reconciliation == OPEN.reconciliation
    assert objection(walk.incident, ["k0"]) == ""
