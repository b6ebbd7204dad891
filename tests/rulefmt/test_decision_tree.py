"""The decision tree: values with every default filled in, or every problem with its place."""

from pathlib import Path

import msgspec
import pytest

from rollbackd.documents.diagnostics import Diagnostic, DocumentError
from rollbackd.levers import LEVER_SPECS
from rollbackd.model.policy import (
    Approval,
    BranchPolicy,
    Budget,
    Correlated,
    DecisionTree,
    ExitTarget,
    FreezeProbe,
    Group,
    LeverCall,
    Repeats,
    Window,
    WorseAfter,
)
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
    "approval-half": ["key/missing 3:22"],
    "approval-otherwise": ["value/choice 3:46"],
    "approval-word": ["value/type 3:22"],
    "bad-duration": ["value/duration 3:22"],
    "bad-expression": ["promql/syntax 2:27"],
    "bad-mode": ["value/choice 3:18"],
    "blast-radius": ["value/range 3:19"],
    "boolean-word": ["value/type 7:21"],
    "bound-infinite": ["value/range 2:37"],
    "bound-nan": ["value/range 2:37"],
    "budget-half": ["key/missing 3:16"],
    "budget-negative": ["value/range 3:23"],
    "chain-zero": ["value/range 3:28"],
    "change-freeze": ["value/choice 3:16"],
    "confirm-elsewhere": ["key/unknown 5:34"],
    "correlated-half": ["key/missing 3:13"],
    "correlated-one": ["value/range 3:22"],
    "coverage-percent": ["value/range 3:32"],
    "duplicate-branch": ["yaml/duplicate-key 7:3"],
    "empty": ["tree/no-branch 1:1"],
    "flap-list": ["value/type 3:13", "key/missing 3:13", "key/missing 3:13"],
    "group-branch": ["value/choice 4:50"],
    "group-of-one": ["tree/group 4:15"],
    "group-overlap": ["tree/group 5:15"],
    "group-service-twice": ["value/choice 4:38"],
    "group-twice": ["tree/group 5:6"],
    "hold-zero": ["value/range 3:18"],
    "lever-budget-zero-time": ["value/range 3:41"],
    "lever-without-name-key": ["key/missing 5:16"],
    "no-bound": ["tree/target-bound 2:5", "value/choice 6:15"],
    "no-branches": ["tree/no-branch 3:11"],
    "no-exit-targets": ["key/missing 1:1", "value/choice 4:15"],
    "no-lever": ["tree/no-lever 5:5"],
    "no-rotation": ["tree/no-rotation 5:5"],
    "no-target": ["tree/no-target 6:14"],
    "open-incidents-zero": ["value/range 3:21"],
    "params-list": ["value/type 5:42"],
    "probe-credentials": ["tree/probe-url 5:64"],
    "probe-key": ["key/unknown 5:73"],
    "probe-kind": ["value/choice 5:52"],
    "probe-no-group": ["value/range 5:70"],
    "probe-no-kind": ["key/missing 5:44"],
    "probe-no-refusal": ["value/range 5:90"],
    "probe-no-url": ["key/missing 5:44"],
    "probe-taken-is-no-refusal": ["value/range 5:91"],
    "probe-url": ["tree/probe-url 5:64"],
    "reasserts-negative": ["value/range 3:27"],
    "region-twice": ["value/choice 3:19"],
    "reverts-scalar": ["value/type 5:43"],
    "rule-budget-unknown-key": ["key/unknown 3:44"],
    "shares-with-itself": ["value/choice 6:27"],
    "target-twice": ["tree/target-name 3:5"],
    "targets-missing": ["key/missing 5:5"],
    "tree-mode": ["value/choice 3:7"],
    "two-bounds": ["tree/target-bound 2:5", "value/choice 6:15"],
    "unknown-default": ["key/unknown 3:12"],
    "unknown-key": ["key/unknown 7:5"],
    "unknown-lever": ["value/choice 5:24"],
    "unknown-target": ["value/choice 6:15"],
    "window-backwards": ["tree/window 4:63"],
    "window-kind": ["value/choice 4:21"],
    "window-no-end": ["key/missing 4:5"],
    "window-no-offset": ["value/timestamp 4:41"],
    "window-no-time": ["value/timestamp 4:41"],
    "window-twice": ["tree/window 5:5"],
    "worse-factor": ["value/range 3:34"],
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
    assert "one of `degrade`, `kafka_pause`, `throttle`, `write_block`" in str(caught.value)


@pytest.mark.parametrize(
    ("place", "allowed"),
    [
        ("freeze: {lever: flag_off}", "one of `degrade`, `kafka_pause`, `throttle`, `write_block`"),
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
    bare = DecisionTree(branches=tree.branches)
    assert tree == bare, "the shipped figures are the defaults"
    ours = tree.branches["duplicate_effects"]
    assert ours == msgspec.structs.replace(
        BranchPolicy(branch=ours.branch, priority=0),
        freeze=ours.freeze,
        levers=ours.levers,
        rotate=ours.rotate,
        exit_targets=ours.exit_targets,
        needs_known_good=False,
        reconcile="where_listed",
    )


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
    assert tree.mode == "act"
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


LIMITS = """
defaults:
  approval: {within: 5m, otherwise: act}
  min_input_coverage: 0.8
  rule_budget: {acts: 4, per: 1h}
  lever_budget: {acts: 5, per: 2h}
  confirm_freeze: 20s
  max_reasserts: 0
  worse_after: {factor: 2}
mode: observe
max_open_incidents: 7
max_blast_radius: 1
correlated: {scopes: 8, within: 90s}
ineffective_chain: {times: 3, within: 2d}
flap_latch: {times: 4, within: 1h}
change_freeze: respect
windows:
  - name: move
    kind: maintenance
    start: 2026-12-24T18:00:00Z
    end: 2026-12-24T20:00:00+01:00
    services: [rag]
    regions: [eu-1]
  - name: year end
    kind: change_freeze
    start: 2026-12-20 00:00:00+00:00
    end: 2027-01-03T00:00:00.5Z
groups:
  - {name: answers, services: [index, rag], branches: [second]}
  - {name: limits, services: [rag, api], branches: [first]}
regions: [eu-1, us-1]
exit_targets: [{name: errors, value: x, below: 0.5}]
branches:
  first: {throttle: [{lever: degrade}], targets: [errors], approval: none, max_reasserts: 3}
  second:
    throttle: [{lever: degrade}]
    targets: [errors]
    worse_after: {for: 2m}
    min_input_coverage: 0
"""


def test_the_limits_of_a_branch() -> None:
    """What the defaults say, and what a branch says instead."""
    first, second = read(LIMITS).branches.values()
    assert (first.approval, second.approval) == (None, Approval(within_ms=300_000, otherwise="act"))
    assert (first.min_input_coverage, second.min_input_coverage) == (0.8, 0)
    assert first.rule_budget == Budget(acts=4, per_ms=3_600_000)
    assert first.lever_budget == Budget(acts=5, per_ms=7_200_000)
    assert (first.confirm_freeze_ms, first.max_reasserts, second.max_reasserts) == (20_000, 3, 0)
    assert first.worse_after == WorseAfter(factor=2, for_ms=60_000)
    assert second.worse_after == WorseAfter(factor=1.5, for_ms=120_000)


def test_the_limits_of_the_tree() -> None:
    """A mode at the top stops everything; one in the defaults only stands for the branches."""
    tree = read(LIMITS)
    assert tree.mode == "observe"
    assert {policy.mode for policy in tree.branches.values()} == {"act"}
    assert (tree.max_open_incidents, tree.max_blast_radius) == (7, 1)
    assert tree.correlated == Correlated(scopes=8, within_ms=90_000)
    assert tree.ineffective_chain == Repeats(times=3, within_ms=172_800_000)
    assert tree.flap_latch == Repeats(times=4, within_ms=3_600_000)
    assert tree.change_freeze == "respect"
    assert tree.regions == ["eu-1", "us-1"]
    assert tree.groups == [
        Group(name="answers", services=["index", "rag"], branches=["second"]),
        Group(name="limits", services=["rag", "api"], branches=["first"]),
    ]


def test_windows_are_points_in_time() -> None:
    """With any offset, and with `T` or a blank between date and time."""
    move, year_end = read(LIMITS).windows
    assert move == Window(
        name="move",
        kind="maintenance",
        start_ms=1_798_135_200_000,
        end_ms=1_798_138_800_000,
        services=["rag"],
        regions=["eu-1"],
    )
    assert (year_end.services, year_end.regions) == ([], [])
    assert (year_end.start_ms, year_end.end_ms) == (1_797_724_800_000, 1_798_934_400_500)


def test_a_freeze_names_its_probes() -> None:
    """With every default filled in."""
    tree = read(
        """
exit_targets: [{name: a, value: x, below: 1}]
branches:
  b:
    freeze:
      lever: write_block
      confirm:
        - {probe: write, url: "https://orders.example/probe", token_file: /run/token}
        - {probe: consumers, group: writers}
        - {probe: consumers, group: writers, idle: 500ms}
        - {probe: acknowledgements, readers: 2}
        - {probe: acknowledgements, control: consumers}
    targets: [a]
"""
    )
    freeze = tree.branches["b"].freeze
    assert freeze is not None
    assert freeze.confirm == [
        FreezeProbe(
            kind="write",
            params={
                "url": "https://orders.example/probe",
                "method": "POST",
                "body": "",
                "token_file": "/run/token",
                "refused_with": [423, 503],
            },
        ),
        FreezeProbe(kind="consumers", params={"group": "writers", "idle_ms": 0}),
        FreezeProbe(kind="consumers", params={"group": "writers", "idle_ms": 500}),
        FreezeProbe(kind="acknowledgements", params={"readers": 2, "control": "writes"}),
        FreezeProbe(kind="acknowledgements", params={"readers": 1, "control": "consumers"}),
    ]


def test_branches_that_share_symptoms_are_carried_whole() -> None:
    """One level deep: the other one is carried without those that it shares with."""
    branches = read(_SHIPPED.read_text()).branches
    quality, mismatch = branches["quality_regression"], branches["retriever_mismatch"]
    bare = msgspec.structs.replace
    assert quality.shares_symptoms_with == [bare(mismatch, shares_symptoms_with=[])]
    assert mismatch.shares_symptoms_with == [bare(quality, shares_symptoms_with=[])]
    assert branches["duplicate_effects"].shares_symptoms_with == []
