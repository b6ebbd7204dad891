"""The decision tree: values with every default filled in, or every problem with its place."""

from pathlib import Path

import pytest

from rollbackd.documents.diagnostics import Diagnostic, DocumentError
from rollbackd.levers import LEVER_SPECS
from rollbackd.model.policy import Budget, DecisionTree, ExitTarget, LeverCall
from rollbackd.rulefmt.decision_tree import read_decision_tree
from rollbackd.rulefmt.source_text import SourceText

_DATA = Path(__file__).parent / "testdata" / "tree"
_SHIPPED = Path(__file__).parents[2] / "rules" / "decision-tree.yaml"


def check(text: SourceText) -> list[Diagnostic]:
    """As the trigger engine would, for one expression that is none."""
    broken = str(text) == "rate("
    return [text.diagnostic("promql/syntax", "not an expression")] if broken else []


def read(text: str) -> DecisionTree:
    return read_decision_tree(text, file="tree.yaml", levers=LEVER_SPECS, check_expression=check)


PROBLEMS = {
    "alias": ["yaml/alias 6:15"],
    "bad-duration": ["value/duration 3:22"],
    "bad-expression": ["promql/syntax 2:27"],
    "bad-mode": ["value/choice 3:18"],
    "boolean-word": ["value/type 7:21"],
    "bound-infinite": ["value/range 2:37"],
    "bound-nan": ["value/range 2:37"],
    "budget-half": ["key/missing 3:16"],
    "budget-negative": ["value/range 3:23"],
    "duplicate-branch": ["yaml/duplicate-key 7:3"],
    "empty": ["tree/no-branch 1:1"],
    "hold-zero": ["value/range 3:18"],
    "lever-without-name-key": ["key/missing 5:16"],
    "no-bound": ["tree/target-bound 2:5", "value/choice 6:15"],
    "no-branches": ["tree/no-branch 3:11"],
    "no-exit-targets": ["key/missing 1:1", "value/choice 4:15"],
    "no-lever": ["tree/no-lever 5:5"],
    "no-rotation": ["tree/no-rotation 5:5"],
    "no-target": ["tree/no-target 6:14"],
    "params-list": ["value/type 5:42"],
    "reverts-scalar": ["value/type 5:43"],
    "target-twice": ["tree/target-name 3:5"],
    "targets-missing": ["key/missing 5:5"],
    "two-bounds": ["tree/target-bound 2:5", "value/choice 6:15"],
    "unknown-default": ["key/unknown 3:12"],
    "unknown-key": ["key/unknown 7:5"],
    "unknown-lever": ["value/choice 5:24"],
    "unknown-target": ["value/choice 6:15"],
}


@pytest.mark.parametrize("defect", PROBLEMS)
def test_a_defect_is_shown_where_it_stands(defect: str) -> None:
    """One defect, one file; what follows from it is shown too."""
    text = (_DATA / f"{defect}.bad.yaml").read_text()
    with pytest.raises(DocumentError) as caught:
        read(text)
    found = [f"{d.id} {d.position.line}:{d.position.column}" for d in caught.value.diagnostics]
    assert found == PROBLEMS[defect]


def test_every_file_has_its_problems() -> None:
    """A fixture that no test reads is worth nothing."""
    names = {path.name for path in _DATA.glob("*.bad.yaml")}
    assert names == {f"{defect}.bad.yaml" for defect in PROBLEMS}


def test_all_defects_are_shown_at_once() -> None:
    """One run is enough."""
    with pytest.raises(DocumentError) as caught:
        read("exit_targets: []\ndefaults: {hold: 0s, mode: x}\nbranches: {a: {targets: []}}\n")
    assert [d.id for d in caught.value.diagnostics] == [
        "value/choice",
        "value/range",
        "tree/no-target",
        "tree/no-lever",
    ]


def test_a_misspelt_lever_is_guessed() -> None:
    """With the names of those that belong there."""
    with pytest.raises(DocumentError, match="did you mean `throttle`") as caught:
        read((_DATA / "unknown-lever.bad.yaml").read_text())
    assert "one of `degrade`, `throttle`, `write_block`" in str(caught.value)


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("freeze: {lever: flag_off}", "one of `degrade`, `throttle`, `write_block`"),
        ("levers: [{lever: write_block}]", "one of `alias_revert`, `flag_off`"),
        ("rotate: {lever: throttle}", "one of `cache_rotate`"),
        ("freeze: {lever: write_block, params: {scoop: all}}", "key `scoop` is not known here"),
    ],
)
def test_a_lever_has_to_fit_its_place_and_its_settings(place: str, allowed: str) -> None:
    """What is frozen must be given back, what is flipped must stay, what is rotated only grows."""
    text = f"""
exit_targets: [{{name: errors, value: error_ratio, below: 0.005}}]
branches:
  quality_regression:
    {place}
    targets: [errors]
"""
    with pytest.raises(DocumentError) as caught:
        read(text)
    assert allowed in str(caught.value)


def test_the_shipped_tree_is_what_the_runbook_says() -> None:
    """Four branches in the order of priority, with the levers of each."""
    tree = read_decision_tree(
        _SHIPPED.read_text(), file=str(_SHIPPED), levers=LEVER_SPECS, check_expression=check
    )
    assert {name: policy.priority for name, policy in tree.branches.items()} == {
        "duplicate_effects": 0,
        "retriever_mismatch": 1,
        "quality_regression": 2,
        "cost_or_latency": 3,
    }
    shown = {name: [call.lever for call in policy.levers] for name, policy in tree.branches.items()}
    assert shown == {
        "duplicate_effects": ["flag_off"],
        "retriever_mismatch": ["alias_revert", "pointer_flip", "repin"],
        "quality_regression": ["flag_off", "alias_revert", "repin"],
        "cost_or_latency": [],
    }
    block = tree.branches["duplicate_effects"].freeze
    assert block is not None
    assert block.params["scope"] == "all"
    assert all(p.rotate for p in tree.branches.values() if p.levers)
    assert all(p.mode == "act" for p in tree.branches.values())
    assert tree.global_budget == Budget(acts=10, per_ms=3_600_000)


def test_a_branch_has_the_defaults_it_does_not_override() -> None:
    """What the file says for all, and what it says for one."""
    tree = read(
        """
defaults: {hold: 5m, cooldown: 0s, mode: observe, budget: {acts: 1, per: 1h}}
exit_targets:
  - {name: errors, value: x, below: 0.5}
  - {name: calm, value: y, above: -1}
branches:
  first:
    hold: 1m
    mode: act
    throttle_first: true
    throttle: [{lever: degrade, params: {level: 3}}]
    needs_known_good: false
    targets: [calm, errors]
  second:
    freeze: {lever: write_block}
    levers: [{lever: flag_off, name: canary, reverts: [PROMPT_VER]}]
    rotate: {lever: cache_rotate}
    targets: [errors]
"""
    )
    first, second = tree.branches.values()
    assert tree.mode == "observe"
    assert (first.branch, first.priority, first.hold_ms, first.mode) == ("first", 0, 60_000, "act")
    assert (second.branch, second.priority, second.hold_ms) == ("second", 1, 300_000)
    assert (second.mode, second.cooldown_ms) == ("observe", 0)
    assert first.budget == second.budget == Budget(acts=1, per_ms=3_600_000)
    assert first.throttle == [LeverCall(lever="degrade", params={"level": 3})]
    assert first.throttle_first
    assert (first.needs_known_good, second.needs_known_good) == (False, True)
    assert first.exit_targets == [
        ExitTarget(name="calm", value="y", above=-1.0),
        ExitTarget(name="errors", value="x", below=0.5),
    ]
    assert [target.bound for target in first.exit_targets] == [-1.0, 0.5]
    assert second.levers == [LeverCall(lever="flag_off", name="canary", reverts=["PROMPT_VER"])]
