"""One line a lever: adding one to the project is adding a case here."""

from typing import Final

import msgspec

from rollbackd.clock import ManualClock
from rollbackd.levers import build_levers
from rollbackd.model.controls import ControlValue
from rollbackd.model.events import KnownGood
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Change, Op, PlanRequest, Target
from rollbackd.ports import Controls, Lever

SCOPE: Final = Scope("rag", "eu-1")
KNOWN_GOOD: Final = KnownGood(
    scope=SCOPE,
    pins={"PROMPT_VER": "p1", "MODEL_VER": "m1", "INDEX_HASH": "a1", "RERANK_CONF": "r1"},
    recorded_at_ms=1,
    controls={"alias:docs_live": {"index": "docs_vA"}, "pointer:live": {"target": "blue"}},
)


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A lever, what the rollout had set, and what the lever makes of it."""

    lever: str
    control: str
    name: str = ""
    intent: ControlValue
    wanted: ControlValue


CASES: Final = (
    Case(
        lever="flag_off",
        control="flag:canary",
        name="canary",
        intent={"baseline_weight": 0.9, "canary_weight": 0.1, "global_off": False},
        wanted={"baseline_weight": 1.0, "canary_weight": 0.0, "global_off": True},
    ),
    Case(
        lever="alias_revert",
        control="alias:docs_live",
        name="docs_live",
        intent={"index": "docs_vB"},
        wanted={"index": "docs_vA"},
    ),
    Case(
        lever="pointer_flip",
        control="pointer:live",
        name="live",
        intent={"target": "green"},
        wanted={"target": "blue"},
    ),
    Case(
        lever="repin",
        control="pins",
        intent={"PROMPT_VER": "p2", "MODEL_VER": "m1"},
        wanted=dict(KNOWN_GOOD.pins),
    ),
    Case(lever="degrade", control="degrade", intent={"level": 1}, wanted={"level": 2}),
    Case(
        lever="write_block",
        control="writes",
        intent={"blocked": False, "scope": "none", "retry_after_seconds": 0},
        wanted={"blocked": True, "scope": "non_idempotent", "retry_after_seconds": 30},
    ),
    Case(
        lever="kafka_pause",
        control="consumers",
        intent={"paused": False, "groups": []},
        wanted={"paused": True, "groups": []},
    ),
    Case(
        lever="cache_rotate",
        control="cache",
        intent={"generation": 7, "namespace": "old"},
        wanted={"generation": 8, "namespace": "8b3a1c3fd8038035"},
    ),
    Case(
        lever="throttle",
        control="throttle",
        intent={"requests_per_second": 100, "burst": 200, "breaker": "closed"},
        wanted={"requests_per_second": 20, "burst": 40, "breaker": "closed"},
    ),
)


def lever_of(controls: Controls, name: str) -> Lever:
    """The lever by its name."""
    return build_levers(controls, ManualClock())[name]


def op(op_id: str = "o1", epoch: int = 5) -> Op:
    """Under whose name an act happens."""
    return Op(op_id=op_id, epoch=epoch, incident_id="INC-1")


async def planned(
    lever: Lever,
    name: str = "",
    *,
    known_good: KnownGood | None = KNOWN_GOOD,
    **params: object,
) -> Change | None:
    """The change that a lever wants, from what it observes."""
    target = Target(lever=lever.name, scope=SCOPE, name=name)
    observed = await lever.observe(target)
    after = lever.plan(
        PlanRequest(
            target=target, observed=observed, known_good=known_good, params=params, pins_seen={}
        )
    )
    return None if after is None else Change(target=target, before=observed, after=after)


async def change_of(lever: Lever, name: str = "", **params: object) -> Change:
    """The same, where there is something to move."""
    change = await planned(lever, name, **params)
    assert change is not None
    return change
