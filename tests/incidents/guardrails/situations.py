"""Situations in which nothing stands against acting, and what may be changed about them."""

from typing import Any

from msgspec.structs import replace

from rollbackd.incidents.guardrails.situation import Guardrail, Situation
from rollbackd.model.decisions import Reason
from rollbackd.model.history import Act, History, Trip
from rollbackd.model.incidents import State
from rollbackd.model.labels import Scope
from tests.incidents.samples import KNOWN_GOOD, NOW, SCOPE, TREE, policy_of, trigger_of

BRANCH = "quality_regression"


def situation(**changes: Any) -> Situation:
    """Calm: ten known scopes, fresh data, a known good set that is not what runs."""
    calm = Situation(
        now_ms=NOW,
        scope=SCOPE,
        policy=policy_of(BRANCH),
        tree=TREE,
        trigger=trigger_of(),
        history=History(scopes=10),
        known_good=KNOWN_GOOD,
        pins_seen={"canary": {**KNOWN_GOOD.pins, "PROMPT_VER": "p2"}},
        coverage=1.0,
    )
    return replace(calm, **changes)


def with_tree(**changes: Any) -> Situation:
    return situation(tree=replace(TREE, **changes))


def after(*acts: Act, **changes: Any) -> Situation:
    """Calm, but for what was done before."""
    return situation(history=History(acts=list(acts), scopes=10), **changes)


def act(number: int = 1, *, ago_ms: int = 0, **changes: Any) -> Act:
    """An incident of this branch and scope that acted, and ended some time ago."""
    ended = Act(
        incident_id=f"INC-{number}",
        scope=SCOPE,
        branches=[BRANCH],
        rules=["quality_regression"],
        levers=["flag_off", "write_block"],
        opened_at_ms=NOW - ago_ms - 60_000,
        ended_at_ms=NOW - ago_ms,
        state=State.CLOSED,
        reason=Reason.AUDIT_PASSED,
        acted=True,
        flipped_at_ms=NOW - ago_ms - 50_000,
        green_at_ms=NOW - ago_ms - 1_000,
    )
    return replace(ended, **changes)


def opened(number: int = 1, *, scope: Scope = SCOPE, **changes: Any) -> Act:
    """An incident that is open and has not acted yet."""
    still: dict[str, Any] = {
        "ended_at_ms": None,
        "state": State.CAPTURING,
        "acted": False,
        "levers": [],
    }
    return act(number, scope=scope, flipped_at_ms=None, green_at_ms=None, **{**still, **changes})


def elsewhere(number: int) -> Scope:
    return Scope(f"service-{number}", "eu-1")


def trips(count: int, *, at_ms: int = NOW, rule: str = "r") -> list[Trip]:
    """Trips of that many other scopes."""
    return [Trip(scope=elsewhere(n), rule=rule, at_ms=at_ms) for n in range(count)]


def says(guardrail: Guardrail, about: Situation) -> Reason | None:
    """The reason of a guardrail; one that says no tells what it saw."""
    objection = guardrail(about)
    if objection is None:
        return None
    assert objection.because
    return objection.reason
