"""Incidents of the shipped branches, and what is said to them."""

from pathlib import Path
from typing import Any, Final

from msgspec.structs import replace

from rollbackd.evidence.capture import digest_of
from rollbackd.incidents.opening import new_incident
from rollbackd.levers import LEVER_SPECS
from rollbackd.model.events import KnownGood
from rollbackd.model.incidents import Evidence, Incident
from rollbackd.model.labels import Scope, labels_of
from rollbackd.model.levers import LeverKind
from rollbackd.model.policy import BranchPolicy, DecisionTree
from rollbackd.model.triggers import RuleState, TargetReading, Trigger, Verdict
from rollbackd.rulefmt.decision_tree import read_decision_tree

NOW: Final = 1_790_000_000_000
MINUTE: Final = 60_000
SCOPE: Final = Scope("rag", "eu-1")
BRANCHES: Final = (
    "duplicate_effects",
    "retriever_mismatch",
    "quality_regression",
    "cost_or_latency",
)
PINS: Final = {
    "BUILD_ID": "b1",
    "GIT_SHA": "abc",
    "MODEL_VER": "m1",
    "PROMPT_VER": "p1",
    "INDEX_HASH": "a1",
    "RERANK_CONF": "r1",
    "TOK_VER": "t1",
    "ANALYZER_CONF": "c1",
}
KNOWN_GOOD: Final = KnownGood(
    scope=SCOPE,
    pins=PINS,
    recorded_at_ms=NOW - 3_600_000,
    controls={"alias:docs_live": {"index": "docs_vA"}, "pointer:live": {"target": "blue"}},
)
#: What the suspect arm runs with instead, by the branch that is about it.
BAD: Final = {"retriever_mismatch": {"INDEX_HASH": "b1"}}
ELSE_BAD: Final = {"PROMPT_VER": "p2"}
KINDS: Final[dict[str, LeverKind]] = {name: spec.kind for name, spec in LEVER_SPECS.items()}

_RULES: Final = Path(__file__).parents[2] / "rules"


def shipped_tree() -> DecisionTree:
    """The tree that the project ships."""
    path = _RULES / "decision-tree.yaml"
    return read_decision_tree(
        path.read_text(), file=str(path), levers=LEVER_SPECS, check_expression=lambda _: []
    )


TREE: Final = shipped_tree()


def policy_of(branch: str, **changes: Any) -> BranchPolicy:
    """The policy of a shipped branch, changed where the test says so."""
    return replace(TREE.branches[branch], **changes)


def trigger_of(branch: str = "quality_regression", *, rule: str = "", **changes: Any) -> Trigger:
    """A rule of a branch that fires for the scope."""
    labels = {
        "alertname": rule or branch,
        "branch": branch,
        "service": SCOPE.service,
        "region": SCOPE.region,
    }
    trigger = Trigger(
        rule=rule or branch,
        group="when-to-pull",
        state=RuleState.FIRING,
        labels=labels_of(labels),
        annotations={"summary": "it went wrong"},
        value=0.5,
        active_at_ms=NOW - MINUTE,
        fired_at_ms=NOW,
        evaluated_at_ms=NOW,
        event_time_ms=NOW,
        expr="x > 0.1",
    )
    return replace(trigger, **changes)


def opened(
    branch: str = "quality_regression", *, policy: BranchPolicy | None = None, epoch: int = 7
) -> Incident:
    """An incident that was just opened."""
    incident, _ = new_incident(
        incident_id="INC-1",
        scope=SCOPE,
        policy=policy or policy_of(branch),
        epoch=epoch,
        now_ms=NOW,
        trigger=trigger_of(branch),
    )
    return incident


def bad_pins(branch: str) -> dict[str, str]:
    """The pins of a canary that gives the branch its symptoms."""
    return {**PINS, **BAD.get(branch, ELSE_BAD)}


def evidence_of(
    seen: dict[str, dict[str, str]] | None = None,
    *,
    branch: str = "quality_regression",
    **changes: Any,
) -> Evidence:
    """Evidence with a digest that holds."""
    bare = Evidence(
        captured_at_ms=NOW,
        pins_seen=seen if seen is not None else {"canary": bad_pins(branch)},
        known_good_pins=PINS,
    )
    bare = replace(bare, **changes)
    return replace(bare, digest=digest_of(bare))


def reading(verdict: Verdict, name: str = "errors") -> TargetReading:
    """One reading of one exit target."""
    value = {Verdict.GREEN: 0.001, Verdict.RED: 0.2, Verdict.UNKNOWN: None}[verdict]
    return TargetReading(name=name, verdict=verdict, value=value, bound=0.005, direction="below")
