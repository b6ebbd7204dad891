"""What happens when a target turns red, a lever fails, another branch fires or a person speaks."""

import pytest
from msgspec.structs import replace

from rollbackd.incidents import messages as m
from rollbackd.incidents.moves import MAX_MOVED
from rollbackd.incidents.step import next_command, step
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import TERMINAL, AuditCheck, Incident, MeasureStatus, State
from rollbackd.model.policy import LeverCall
from rollbackd.model.triggers import Verdict
from tests.incidents.samples import MINUTE, opened, policy_of, trigger_of
from tests.incidents.walking import Answer, Walk, failed, reads

S = State


def fails(lever: str, reason: Reason, times: int = 1_000) -> Answer:
    """The lever's acts fail so many times."""
    left = [reason] * times

    def answer(command: m.Command) -> m.Event | None:
        here = isinstance(command, m.Perform) and command.intent.change.target.lever == lever
        return failed(left.pop()) if here and left else None

    return answer


def refuses(*levers: str) -> Answer:
    """The preflight of these levers says no."""

    def answer(command: m.Command) -> m.Event | None:
        if isinstance(command, m.Prepare) and command.call.lever in levers:
            return m.Refused(call=command.call, index=command.index, message="dead target")
        return None

    return answer


def green_for(walk: Walk) -> int:
    """How long the walk watched."""
    walk.to(S.WATCHING)
    entered = walk.now_ms
    walk.to(S.RESTORING)
    return walk.now_ms - entered


# The hold


def test_red_restarts_the_hold() -> None:
    """A breach in minute nine costs the whole hold again (C7)."""
    nine_minutes = [Verdict.GREEN] * 108
    walk = Walk(opened(), reads([*nine_minutes, Verdict.RED]))
    assert green_for(walk) == 109 * 5_000 + 600_000 + 5_000


def test_unknown_pauses_the_hold() -> None:
    """Time without data is neither counted nor held against it."""
    half = [Verdict.GREEN] * 61  # five minutes
    walk = Walk(opened(), reads([*half, *[Verdict.UNKNOWN] * 60]))
    assert green_for(walk) == 61 * 5_000 + 60 * 5_000 + 5_000 + 5 * MINUTE


def test_no_target_at_all_is_never_green() -> None:
    """Zero readings never verify (trap 3)."""
    walk = Walk(opened(), lambda c: m.Read(readings=[]) if isinstance(c, m.Watch) else None)
    assert walk.to(S.NEEDS_HUMAN, S.RESTORING).state is S.NEEDS_HUMAN
    assert walk.incident.hold.green_ms == 0


def test_a_gap_in_the_readings_does_not_count() -> None:
    """The daemon was down: its absence is not ten minutes of green."""
    walk = Walk(opened())
    walk.to(S.WATCHING)
    for _ in range(3):
        walk.turn()
    walk.now_ms += 20 * MINUTE
    before = walk.incident.hold.green_ms
    walk.turn()
    assert walk.incident.hold.green_ms == before == 10_000
    walk.turn()
    assert walk.incident.hold.green_ms == before + 5_000


def test_a_clock_set_back_does_not_count() -> None:
    """No early unfreeze, and no negative time (T16)."""
    walk = Walk(opened())
    walk.to(S.WATCHING)
    walk.turn()
    walk.turn()
    walk.now_ms -= 60 * MINUTE
    walk.turn()
    assert walk.incident.hold.green_ms == 5_000


def test_a_gap_does_not_spend_the_time_to_the_first_green() -> None:
    """After an outage of the daemon the next lever is not pulled on its first reading."""
    walk = Walk(opened(), reads([], then=Verdict.RED))
    walk.to(S.WATCHING)
    walk.now_ms += 30 * MINUTE
    walk.turn()
    assert walk.incident.state is S.WATCHING
    walk.now_ms -= 60 * MINUTE
    started = walk.now_ms
    walk.to(S.ESCALATING)
    assert 9 * MINUTE <= walk.now_ms - started <= 10 * MINUTE + 10_000


def test_seldom_readings_still_make_a_hold() -> None:
    """A branch that reads every two minutes gets its ten minutes of green."""
    policy = policy_of("quality_regression", watch_interval_ms=2 * MINUTE)
    walk = Walk(opened(policy=policy))
    assert green_for(walk) == 12 * MINUTE


# Escalation


def test_a_missed_deadline_pulls_the_next_lever_and_then_asks_a_person() -> None:
    """Every lever once, in order, and the measures stay as they are."""
    walk = Walk(opened(), reads([], then=Verdict.RED))
    walk.to(S.NEEDS_HUMAN)
    pulled = [c.intent.change.target.lever for c in walk.commands if isinstance(c, m.Perform)]
    flips = [lever for lever in pulled if lever in {"flag_off", "alias_revert", "repin"}]
    assert flips == ["flag_off", "repin", "alias_revert"]
    assert walk.states.count(S.ESCALATING) == 3
    assert walk.incident.reason is Reason.NO_LEVER_LEFT
    assert {each.status for each in walk.incident.ledger} == {MeasureStatus.TAKEN}


def test_silence_after_the_flip_asks_a_person_and_pulls_nothing() -> None:
    """No data is no reason to pull the next lever (T17): the freeze stays, somebody is asked."""
    walk = Walk(opened(), reads([Verdict.GREEN] * 3, then=Verdict.UNKNOWN))
    walk.to(S.NEEDS_HUMAN)
    assert S.ESCALATING not in walk.states
    assert walk.incident.reason is Reason.FIRST_GREEN_MISSED
    assert walk.states.count(S.FLIPPING) == 1
    assert {each.status for each in walk.incident.ledger} == {MeasureStatus.TAKEN}


def test_each_flip_is_followed_by_its_own_rotation() -> None:
    """F1 also for the second lever."""
    walk = Walk(opened(), reads([], then=Verdict.RED))
    walk.to(S.NEEDS_HUMAN)
    assert walk.states.count(S.FLIPPING) == walk.states.count(S.ROTATING) == 3


def test_red_after_green_has_the_whole_deadline_again() -> None:
    """The deadline of the first green counts from the last green."""
    walk = Walk(opened(), reads([Verdict.GREEN] * 20, then=Verdict.RED))
    walk.to(S.WATCHING)
    started = walk.now_ms
    walk.to(S.ESCALATING)
    assert walk.now_ms - started == 21 * 5_000 + 10 * MINUTE


# Levers that fail


@pytest.mark.parametrize("reason", [Reason.LEVER_FAILED, Reason.TARGET_MOVED])
def test_an_unconfirmed_freeze_stops_everything(reason: Reason) -> None:
    """No flip with writers running (F2)."""
    walk = Walk(opened(), fails("write_block", reason))
    walk.to(S.NEEDS_HUMAN)
    assert walk.incident.reason is Reason.FREEZE_NOT_CONFIRMED
    assert S.FLIPPING not in walk.states
    assert {each.status for each in walk.incident.ledger} == {MeasureStatus.VOID}


def test_a_refused_freeze_stops_everything() -> None:
    """The same when the lever cannot even be prepared."""
    walk = Walk(opened(), refuses("write_block"))
    walk.to(S.NEEDS_HUMAN)
    assert (walk.incident.reason, walk.incident.note) == (
        Reason.FREEZE_NOT_CONFIRMED,
        "dead target",
    )


def test_a_dead_rollback_target_is_not_flipped_to() -> None:
    """The preflight says no, the next lever is tried (trap 7)."""
    walk = Walk(opened(), refuses("flag_off"))
    walk.to(S.CLOSED)
    flipped = [c.intent.change.target.lever for c in walk.commands if isinstance(c, m.Perform)]
    assert "flag_off" not in flipped
    assert "repin" in flipped


def test_no_lever_left_asks_a_person() -> None:
    """With the writers still frozen."""
    walk = Walk(opened(), refuses("flag_off", "alias_revert", "repin"))
    walk.to(S.NEEDS_HUMAN)
    assert walk.incident.reason is Reason.NO_LEVER_LEFT
    assert [each.status for each in walk.incident.ledger] == [MeasureStatus.TAKEN]


def test_a_rotation_that_fails_is_not_watched() -> None:
    """F1: traffic rolled back on a poisoned cache needs a person."""
    walk = Walk(opened(), fails("cache_rotate", Reason.LEVER_FAILED))
    walk.to(S.NEEDS_HUMAN)
    assert S.WATCHING not in walk.states


def test_a_throttle_that_fails_is_passed_over() -> None:
    """The rest of the checklist does more good than waiting."""
    walk = Walk(opened("cost_or_latency"), fails("throttle", Reason.LEVER_FAILED))
    walk.to(S.CLOSED)
    statuses = [(e.change.target.lever, e.status) for e in walk.incident.ledger]
    assert statuses == [
        ("throttle", MeasureStatus.VOID),
        ("degrade", MeasureStatus.RESTORED),
    ]


def test_a_target_that_moves_is_chased_three_times() -> None:
    """Each time it is read anew; then the next lever is tried."""
    walk = Walk(opened(), fails("flag_off", Reason.TARGET_MOVED))
    walk.to(S.CLOSED)
    tries = [
        c for c in walk.commands
        if isinstance(c, m.Perform) and c.intent.change.target.lever == "flag_off"
    ]  # fmt: skip
    assert len(tries) == MAX_MOVED == 3
    assert len({c.intent.op.op_id for c in tries}) == 3
    assert walk.incident.tried == [0, 2]


def test_a_target_that_moves_twice_is_caught_the_third_time() -> None:
    """And the count starts anew for the next target."""
    walk = Walk(opened(), fails("flag_off", Reason.TARGET_MOVED, times=2))
    walk.to(S.CLOSED)
    assert walk.incident.tried == [0]
    assert walk.incident.moved == 0


def test_a_refusal_ends_the_chase_of_one_target() -> None:
    """The next lever has its three tries, whatever the one before used up."""
    once = iter([failed(Reason.TARGET_MOVED)] * 2)
    walk = Walk(opened())

    def answer(command: m.Command) -> m.Event | None:
        if isinstance(command, m.Prepare) and command.call.lever == "flag_off":
            return (
                m.Refused(call=command.call, index=0, message="") if walk.incident.moved else None
            )
        flagged = (
            isinstance(command, m.Perform) and command.intent.change.target.lever == "flag_off"
        )
        return next(once) if flagged else None

    walk = Walk(opened(), answer)
    walk.until_pending("repin")
    assert walk.incident.moved == 0


def test_a_target_that_came_to_stand_as_wanted_ends_its_chase() -> None:
    """Somebody else blocked the writers: the pointer has its three tries all the same."""
    moving = fails("write_block", Reason.TARGET_MOVED, times=2)

    def answer(command: m.Command) -> m.Event | None:
        if isinstance(command, m.Prepare) and walk.incident.moved == 2:
            return m.NothingToMove(call=command.call, index=command.index)
        return moving(command)

    walk = Walk(opened())
    walk._answer = answer
    walk.until_pending("flag_off")
    assert walk.incident.moved == 0


def test_who_is_fenced_off_stops() -> None:
    """Somebody newer owns the scope: nothing more is pulled under the old epoch."""
    walk = Walk(opened(), fails("flag_off", Reason.FENCED_OFF))
    walk.to(S.NEEDS_HUMAN)
    assert walk.incident.reason is Reason.FENCED_OFF
    assert walk.incident.tried == [0]


def test_a_measure_that_cannot_be_given_back_is_not_forgotten() -> None:
    """F4: it stays in the ledger, a person is asked, and may try again."""

    def answer(command: m.Command) -> m.Event | None:
        back = isinstance(command, m.Perform) and command.intent.reverts is not None
        return failed() if back and S.NEEDS_HUMAN not in walk.states else None

    walk = Walk(opened(), answer)
    walk.to(S.NEEDS_HUMAN)
    assert MeasureStatus.TAKEN in {each.status for each in walk.incident.ledger}
    walk.say(m.Decided(decision="restore", by="eve"))
    walk.to(S.CLOSED)
    assert {each.status for each in walk.incident.ledger} == {MeasureStatus.RESTORED}


def test_a_target_that_moves_while_given_back_is_chased_too() -> None:
    """Three new ops, then a person."""

    def answer(command: m.Command) -> m.Event | None:
        back = isinstance(command, m.Perform) and command.intent.reverts is not None
        return failed(Reason.TARGET_MOVED) if back else None

    walk = Walk(opened(), answer)
    walk.to(S.NEEDS_HUMAN)
    backs = [c for c in walk.commands if isinstance(c, m.Perform) and c.intent.reverts]
    assert len({c.intent.op.op_id for c in backs}) == 3


def test_a_value_that_is_no_longer_ours_is_left_alone() -> None:
    """It is reported as such and does not keep the incident open."""

    def answer(command: m.Command) -> m.Event | None:
        event = walk.answer_to(command)
        return replace(event, restored=False) if isinstance(event, m.GivenBack) else None

    walk = Walk(opened())
    walk._answer = answer
    closed = walk.to(S.CLOSED)
    assert {each.status for each in closed.ledger} == {MeasureStatus.LEFT_ALONE}
    assert Reason.LEFT_ALONE in {record.reason for record in walk.records}


def test_a_failed_audit_asks_a_person() -> None:
    """An incident is not closed because its steps are done, but because they held."""
    check = AuditCheck(name="flag_off_stands", passed=False)
    walk = Walk(
        opened(), lambda c: m.Audited(checks=[check]) if isinstance(c, m.RunAudit) else None
    )
    walk.to(S.NEEDS_HUMAN)
    assert walk.incident.note == "audit failed: flag_off_stands"


# Another branch


def joined(branch: str, **changes: object) -> m.TriggerJoined:
    return m.TriggerJoined(trigger=trigger_of(branch), policy=policy_of(branch, **changes))


def test_a_higher_branch_takes_over_after_the_act_in_hand() -> None:
    """The pending act is sealed first; what was taken stays in one ledger."""
    walk = Walk(opened("cost_or_latency"))
    walk.until_pending("degrade")
    walk.say(joined("duplicate_effects"))
    assert walk.incident.branch == "cost_or_latency"
    assert isinstance(next_command(walk.incident), m.Perform)
    walk.to(S.FREEZING)
    assert walk.incident.branch == "duplicate_effects"
    assert walk.incident.reason is Reason.PREEMPTED_BY_HIGHER_BRANCH
    walk.to(S.CLOSED)
    levers = [each.change.target.lever for each in walk.incident.ledger]
    assert levers == ["throttle", "degrade", "write_block"]


@pytest.mark.parametrize("state", [S.CHOOSING, S.ROTATING, S.THROTTLING, S.WATCHING, S.ESCALATING])
def test_a_higher_branch_takes_over_from_any_acting_state(state: State) -> None:
    """And still ends well."""
    walk = Walk(opened(), reads([Verdict.RED] * 121 if state is S.ESCALATING else []))
    walk.to(state)
    walk.say(joined("duplicate_effects"))
    walk.to(S.FREEZING)
    walk.to(S.CLOSED)
    assert walk.incident.branch == "duplicate_effects"


def test_a_higher_branch_takes_over_from_a_person() -> None:
    """Waiting for somebody does not keep the writers running when effects double."""
    walk = Walk(opened(), refuses("flag_off", "alias_revert", "repin"))
    walk.to(S.NEEDS_HUMAN)
    walk.say(joined("duplicate_effects"))
    assert walk.to(S.FREEZING).branch == "duplicate_effects"


def test_a_branch_that_rotates_nothing_owes_the_rotation_of_the_flip() -> None:
    """F1 when the takeover comes between the flip and its rotation."""
    walk = Walk(opened())
    walk.to(S.ROTATING)
    walk.say(joined("duplicate_effects", levers=[], rotate=None))
    walk.to(S.FREEZING)
    walk.to(S.WATCHING)
    assert walk.states[-3:] == [S.FREEZING, S.ROTATING, S.WATCHING]


@pytest.mark.parametrize("branch", ["quality_regression", "cost_or_latency"])
def test_a_lower_or_equal_branch_only_joins(branch: str) -> None:
    """Its trigger is written down and nothing changes."""
    walk = Walk(opened())
    walk.to(S.CHOOSING)
    command, event = next_command(walk.incident), joined(branch)
    record = walk.say(event)
    assert record is not None
    assert (record.detail["rule"], record.detail["branch"]) == (branch, branch)
    assert next_command(walk.incident) == command
    assert walk.incident.newest_triggers[-1] == event.trigger


def test_the_highest_of_several_takes_over() -> None:
    """Whatever the order in which they fire."""
    for branches in (
        ("retriever_mismatch", "duplicate_effects"),
        ("duplicate_effects", "retriever_mismatch"),
    ):
        walk = Walk(opened())
        walk.to(S.FREEZING)
        for branch in branches:
            walk.say(joined(branch))
        walk.turn()
        assert walk.incident.branch == "duplicate_effects"


def test_a_branch_that_only_observes_never_takes_over() -> None:
    """Shadow mode must not act through an incident that another branch opened."""
    walk = Walk(opened())
    walk.to(S.WATCHING)
    walk.say(joined("duplicate_effects", mode="observe"))
    walk.to(S.CLOSED)
    assert walk.incident.branch == "quality_regression"


# A person


@pytest.mark.parametrize(
    "state", [S.FREEZING, S.CHOOSING, S.ROTATING, S.THROTTLING, S.WATCHING, S.ESCALATING]
)
def test_a_person_can_have_everything_given_back(state: State) -> None:
    """From any state, through the audit to closed."""
    walk = Walk(opened(), reads([Verdict.RED] * 121))
    walk.to(state)
    walk.say(m.Decided(decision="restore", by="eve"))
    walk.to(S.CLOSED)
    after = walk.states[walk.states.index(S.RESTORING) :]
    assert after == [S.RESTORING, S.AUDITING, S.CLOSED]
    assert walk.incident.note == "restore by eve"


@pytest.mark.parametrize("state", [S.DETECTED, S.CAPTURING])
def test_a_restore_before_the_first_act_waits_for_the_evidence(state: State) -> None:
    """Nothing is pulled, and it closes with what was captured."""
    walk = Walk(opened())
    walk.to(state)
    walk.say(m.Decided(decision="restore", by="eve"))
    closed = walk.to(S.CLOSED)
    assert not closed.acted
    assert closed.evidence is not None


def test_a_restore_waits_for_the_pending_act() -> None:
    """What an act did is known before it is given back."""
    walk = Walk(opened())
    walk.until_pending("write_block")
    walk.say(m.Decided(decision="restore", by="eve"))
    assert isinstance(next_command(walk.incident), m.Perform)
    walk.to(S.CLOSED)
    assert [each.status for each in walk.incident.ledger] == [MeasureStatus.RESTORED]
    assert S.FLIPPING not in walk.states


@pytest.mark.parametrize("state", [S.RESTORING, S.AUDITING])
def test_a_restore_while_restoring_changes_nothing(state: State) -> None:
    """It is under way; saying it twice does not start it again."""
    walk = Walk(opened())
    walk.to(state)
    walk.say(m.Decided(decision="restore", by="eve"))
    walk.to(S.CLOSED)
    assert walk.states.count(S.RESTORING) == 1


@pytest.mark.parametrize("state", sorted(set(S) - TERMINAL - {S.FLIPPING}))
def test_a_person_can_abort_at_any_time(state: State) -> None:
    """It ends as it stands."""
    incident = replace(opened(), state=state, version=5)
    after, record = step(incident, m.Decided(decision="abort", by="eve"), 1)
    assert (after.state, after.closed_at_ms) == (S.ABORTED, 1)
    assert record is not None
    assert next_command(after) is None


def test_an_abort_names_the_act_whose_outcome_is_unknown() -> None:
    """A provider error does not keep a person from aborting (trap 5)."""
    walk = Walk(opened())
    walk.until_pending("flag_off")
    record = walk.say(m.Decided(decision="abort_leaving_measures", by="eve"))
    assert record is not None
    assert record.detail["unknown"] == "flag_off:canary@rag/eu-1"
    assert walk.incident.pending is not None


def test_an_unknown_word_changes_nothing() -> None:
    """The API refuses it; the core only writes it down."""
    walk = Walk(opened())
    command = next_command(walk.incident)
    walk.say(m.Decided(decision="dance", by="eve"))
    assert next_command(walk.incident) == command


# Taking over and deadlines


def test_a_new_owner_raises_the_epoch_of_what_is_pending() -> None:
    """Its act fences the old owner's late one off, under the same op id."""
    walk = Walk(opened())
    before = walk.until_pending("flag_off")
    assert before.pending is not None
    walk.say(m.Resumed(epoch=99))
    after = walk.incident.pending
    assert after is not None
    assert (walk.incident.epoch, after.op.epoch) == (99, 99)
    assert after.op.op_id == before.pending.op.op_id
    walk.to(S.CLOSED)


def overdue_notes(walk: Walk) -> list[object]:
    return [r.detail["overdue"] for r in walk.records if "overdue" in r.detail]


def test_an_overdue_measure_is_paged_once() -> None:
    """While a person is waited for, and never again for the same measure."""
    walk = Walk(opened(), refuses("flag_off", "alias_revert", "repin"))
    walk.to(S.NEEDS_HUMAN)
    for _ in range(10):
        walk.now_ms += 10 * MINUTE
        walk.turn()
    assert overdue_notes(walk) == [["write_block@rag/eu-1"]]
    assert walk.incident.state is S.NEEDS_HUMAN


def test_an_overdue_measure_is_paged_while_watching() -> None:
    """F4: a hold that never completes does not hide it."""
    policy = policy_of("quality_regression", max_freeze_ms=MINUTE)
    walk = Walk(opened(policy=policy))
    walk.to(S.CLOSED)
    assert overdue_notes(walk) == [["write_block@rag/eu-1", "throttle@rag/eu-1"]]


def test_approval_is_waited_for() -> None:
    """A wake-up is no approval."""
    waiting: Incident = replace(opened(), state=S.AWAITING_APPROVAL)
    after, _ = step(waiting, m.Continued(), 1)
    assert after.state is S.AWAITING_APPROVAL


def test_a_lever_that_is_temporary_can_be_flipped_with() -> None:
    """A branch may degrade first and block later; each is registered and given back."""
    policy = policy_of(
        "cost_or_latency",
        throttle=[],
        levers=[LeverCall(lever="degrade"), LeverCall(lever="throttle")],
        rotate=LeverCall(lever="cache_rotate"),
    )
    walk = Walk(opened("cost_or_latency", policy=policy), reads([Verdict.RED] * 121))
    closed = walk.to(S.CLOSED)
    assert [e.status for e in closed.ledger] == [MeasureStatus.RESTORED] * 2
