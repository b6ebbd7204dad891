"""Which levers would move, from what to what."""

from pathlib import Path
from typing import Any

import pytest

from rollbackd.app.backtest.findings import Act, Moved
from tests.app.backtest.playing import PINS, TREE, decided, event, level, pinned, played, seconds


def running(at: float, **pins: str) -> dict[str, Any]:
    """An event of the canary with the known good pins but these."""
    return {**event(at, other=1), "pins": {**PINS, **pins}}


def acts_of(folder: Path, *lines: dict[str, Any], tree: str = TREE) -> list[Act]:
    recording = [*lines, *level((10, 11), (400, 1))]
    (decision,) = played(folder, recording, tree=tree).decisions
    return decision.acts


def flip_of(acts: list[Act]) -> Act:
    return next(a for a in acts if a.step == "choosing" and a.moved is Moved.WOULD_MOVE)


def test_the_whole_checklist_is_planned_in_order(tmp_path: Path) -> None:
    """Freeze, flip, rotate, throttle: production's order."""
    acts = acts_of(tmp_path, pinned())
    assert [(a.step, a.lever, a.moved) for a in acts] == [
        ("freezing", "write_block", Moved.WOULD_MOVE),
        ("choosing", "flag_off", Moved.WOULD_MOVE),
        ("rotating", "cache_rotate", Moved.WOULD_MOVE),
        ("throttling", "throttle", Moved.WOULD_MOVE),
    ]
    assert flip_of(acts).after == {
        "baseline_weight": 1.0, "canary_weight": 0.0, "global_off": True,
    }  # fmt: skip
    assert flip_of(acts).before is None


@pytest.mark.parametrize(
    ("pins", "lever"),
    [({"INDEX_HASH": "b2"}, "flag_off"), ({"PROMPT_VER": "p2"}, "flag_off")],
)
def test_the_order_of_the_tree_counts_where_levers_fit_alike(
    tmp_path: Path, pins: dict[str, str], lever: str
) -> None:
    """A lever that brings everything back goes first, else one that fits anything."""
    expected = "alias_revert" if "INDEX_HASH" in pins else lever
    acts = acts_of(tmp_path, pinned(), running(5, **pins))
    assert flip_of(acts).lever == expected


def test_the_index_goes_back_to_the_recorded_one(tmp_path: Path) -> None:
    """Roll back what changed: the pins point at the alias."""
    recording = [pinned(), running(5, INDEX_HASH="b2"), *level((10, 11), (400, 1))]
    (decision,) = played(tmp_path, recording).decisions
    assert [(p.name, p.known_good, p.seen) for p in decision.changed_pins] == [
        ("INDEX_HASH", "a1", "b2")
    ]
    assert flip_of(decision.acts).after == {"index": "docs_vA"}


def test_pins_are_what_the_recording_knows_of_the_time_before(tmp_path: Path) -> None:
    """Version pins travel with the events; flags and aliases do not."""
    tree = TREE.replace("      - {lever: flag_off, name: canary}\n", "").replace(
        "      - {lever: alias_revert, name: docs_live, reverts: [INDEX_HASH]}\n", ""
    )
    acts = acts_of(tmp_path, pinned(), running(5, PROMPT_VER="p2"), tree=tree)
    assert flip_of(acts).before == {**PINS, "PROMPT_VER": "p2"}
    assert flip_of(acts).after == PINS


def test_a_lever_without_a_known_target_is_refused_and_the_next_is_tried(tmp_path: Path) -> None:
    """Nothing is guessed: the recorded set holds no alias."""
    acts = acts_of(tmp_path, pinned(controls={}), running(5, INDEX_HASH="b2"))
    refused = [a for a in acts if a.moved is Moved.REFUSED]
    assert [a.lever for a in refused] == ["alias_revert"]
    assert "holds no `alias:docs_live`" in refused[0].note
    assert flip_of(acts).lever == "flag_off"


def test_what_would_ask_for_a_person_counts_as_open_for_the_hold(tmp_path: Path) -> None:
    """No lever is left to try; the freeze stays until somebody decides."""
    only_alias = TREE.replace("      - {lever: flag_off, name: canary}\n", "").replace(
        "      - {lever: repin}\n", ""
    )
    recording = [pinned(controls={}), *level((10, 11), (60, 1), (700, 11), (710, 1))]
    findings = played(tmp_path, recording, tree=only_alias)
    first = findings.decisions[0]
    assert first.outcome == "aborted"
    assert seconds(first.until_ms) == 310
    assert decided(findings)[1] == (700, "cooldown")


@pytest.mark.parametrize(
    ("otherwise", "outcome", "acts"), [("stand_down", "observed", False), ("act", "closed", True)]
)
def test_nobody_answers_a_branch_that_asks_first(
    tmp_path: Path, otherwise: str, outcome: str, *, acts: bool
) -> None:
    """At the deadline its policy decides; a probe has no writers to ask and counts as agreed."""
    asking = TREE.replace(
        "    freeze: {lever: write_block}\n",
        "    freeze: {lever: write_block, confirm: [{probe: consumers, group: g}]}\n"
        f"    approval: {{within: 1m, otherwise: {otherwise}}}\n",
    )
    recording = [pinned(), *level((10, 11), (60, 1), (700, 1))]
    (decision,) = played(tmp_path, recording, tree=asking).decisions
    assert decision.outcome == outcome
    assert bool(decision.acts) is acts


def test_each_decision_finds_the_scope_as_it_was_recorded(tmp_path: Path) -> None:
    """The first rollback did not happen, so the second one has it all to do again."""
    recording = [pinned(), *level((10, 11), (60, 1), (1_000, 11), (1_400, 1))]
    first, second = played(tmp_path, recording).decisions
    assert [(a.lever, a.after) for a in first.acts] == [(a.lever, a.after) for a in second.acts]


def test_the_budget_is_spent_by_what_would_have_acted(tmp_path: Path) -> None:
    """Three in a day, as the tree says."""
    points = [p for n in range(4) for p in ((1_000 * n + 10, 11), (1_000 * n + 20, 1))]
    steady = f"flap_latch: {{times: 9, within: 1h}}\n{TREE}"
    findings = played(tmp_path, [pinned(), *level(*points)], tree=steady)
    assert [reason for _, reason in decided(findings)] == ["trigger_fired"] * 3 + ["budget_spent"]
