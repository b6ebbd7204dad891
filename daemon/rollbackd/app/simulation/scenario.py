"""What a seed draws: the services, what is wrong with them, the decision tree and the faults."""

import random
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from rollbackd.app.simulation.faults import (
    AT_CALLS,
    FIRST_ACT,
    PAGE,
    PAGE_TO_DECIDE,
    Fault,
    FaultKind,
)
from rollbackd.model.labels import Scope
from rollbackd.model.policy import (
    Approval,
    BranchPolicy,
    Budget,
    DecisionTree,
    ExitTarget,
    FreezeProbe,
    LeverCall,
    Repeats,
    WorseAfter,
)

#: Faults strike within this time; then they stop, and people answer.
TROUBLE_MS: Final = 240_000

#: What can be wrong with a service: the control that has to move, `load`, or nothing we can move.
CAUSES: Final = ("flag:canary", "alias:docs_live", "pointer:live", "pins", "load", "unknown")

BRANCHES: Final = (
    "duplicate_effects",
    "retriever_mismatch",
    "quality_regression",
    "cost_or_latency",
)

_LEVERS: Final = {
    "flag:canary": LeverCall(lever="flag_off", name="canary"),
    "alias:docs_live": LeverCall(lever="alias_revert", name="docs_live", reverts=["INDEX_HASH"]),
    "pointer:live": LeverCall(lever="pointer_flip", name="live"),
    "pins": LeverCall(lever="repin"),
}
_FREEZE: Final = LeverCall(lever="write_block", params={"scope": "all"})
_ROTATE: Final = LeverCall(lever="cache_rotate")
_THROTTLE: Final = LeverCall(lever="throttle", params={"requests_per_second": 50, "burst": 100})
_DEGRADE: Final = LeverCall(lever="degrade", params={"level": 2})
_TARGETS: Final = [
    ExitTarget(name="errors", value="errors", below=0.005),
    ExitTarget(name="latency_p95_ratio", value="latency", below=1.15),
]
_PLENTY: Final = Budget(acts=50, per_ms=86_400_000)


class Service(msgspec.Struct, frozen=True, kw_only=True):
    """One scope and what will be wrong with it."""

    scope: Scope
    cause: str
    #: The branch that its alerts name first, and the one that may follow.
    branches: tuple[str, str]
    #: From the right control standing to green data.
    heals_after_ms: int
    #: When it turns bad.
    breaks_at_ms: int
    #: From the fence to writers that stand still.
    writers_stop_after_ms: int
    #: Whether a known good set is recorded.
    known_good: bool
    #: `alerts` from Alertmanager, which are acknowledged, or `rules` over samples.
    source: str


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is drawn; the same scenario and faults play the same way."""

    seed: int
    tree: DecisionTree
    services: list[Service]
    faults: list[Fault]


def draw(seed: int) -> Scenario:
    """The scenario of a seed."""
    dice = random.Random(seed)  # noqa: S311  # a simulation must be repeatable
    scopes = [Scope("rag", "eu")]
    if dice.random() < 0.25:
        scopes.append(Scope("search", "us"))
    services = [_service(dice, scope) for scope in scopes]
    return Scenario(
        seed=seed, tree=_tree(dice), services=services, faults=_faults(dice, len(services))
    )


def _service(dice: random.Random, scope: Scope) -> Service:
    cause = dice.choice(CAUSES)
    first = {
        "flag:canary": dice.choice(BRANCHES[:3]),
        "load": "cost_or_latency",
        "unknown": dice.choice(BRANCHES),
    }.get(cause, dice.choice(BRANCHES[1:3]))
    return Service(
        scope=scope,
        cause=cause,
        branches=(first, dice.choice(BRANCHES)),
        heals_after_ms=dice.choice((0, 3_000, 12_000)),
        breaks_at_ms=dice.randrange(2_000, 12_000 if dice.random() < 0.7 else 70_000),
        writers_stop_after_ms=dice.choice((0, 0, 1_500)),
        known_good=dice.random() < 0.95,
        source=dice.choice(("alerts", "rules")),
    )


def _tree(dice: random.Random) -> DecisionTree:
    shared = _shared(dice)
    levers = list(_LEVERS.values())
    confirm = [FreezeProbe(kind="write")] if dice.random() < 0.5 else []
    confirmed = replace(_FREEZE, confirm=confirm)
    freeze = confirmed if dice.random() < 0.9 else None
    branches = [
        BranchPolicy(
            branch="duplicate_effects",
            priority=0,
            freeze=confirmed,
            levers=levers[:1],
            rotate=_ROTATE,
            needs_known_good=False,
            **shared,
        ),
        BranchPolicy(
            branch="retriever_mismatch",
            priority=1,
            freeze=freeze,
            levers=levers[1:],
            rotate=_ROTATE,
            **shared,
        ),
        BranchPolicy(
            branch="quality_regression",
            priority=2,
            freeze=freeze,
            levers=levers,
            rotate=_ROTATE,
            throttle=[_THROTTLE] if dice.random() < 0.5 else [],
            throttle_first=dice.random() < 0.2,
            **shared,
        ),
        BranchPolicy(
            branch="cost_or_latency",
            priority=3,
            throttle_first=True,
            throttle=[_THROTTLE, _DEGRADE],
            needs_known_good=False,
            **shared,
        ),
    ]
    return DecisionTree(
        branches={each.branch: each for each in branches},
        global_budget=_PLENTY,
        max_blast_radius=1.0,
        ineffective_chain=Repeats(times=dice.choice((2, 50)), within_ms=86_400_000),
        flap_latch=Repeats(times=dice.choice((3, 50)), within_ms=3_600_000),
    )


def _shared(dice: random.Random) -> dict[str, Any]:
    """What all branches have in common."""
    shared: dict[str, Any] = {
        "exit_targets": _TARGETS,
        "hold_ms": dice.choice((15_000, 30_000, 50_000)),
        "first_green_ms": dice.choice((30_000, 60_000)),
        "watch_interval_ms": 5_000,
        "max_freeze_ms": dice.choice((60_000, 300_000)),
        "cooldown_ms": dice.choice((30_000, 120_000)),
        "budget": _PLENTY,
        "rule_budget": _PLENTY,
        "lever_budget": _PLENTY,
        "confirm_freeze_ms": 6_000,
        "worse_after": WorseAfter(factor=1.5, for_ms=12_000),
        "mode": "observe" if dice.random() < 0.02 else "act",
    }
    if dice.random() < 0.2:
        otherwise = dice.choice(("stand_down", "act"))
        shared["approval"] = Approval(within_ms=20_000, otherwise=otherwise)
    return shared


def _faults(dice: random.Random, services: int) -> list[Fault]:
    """Some faults: mostly a few, at times many, now and then none."""
    count = dice.choice((0, 1, 2, 2, 3, 4, 5, 6, 8, 10, 14, 20))
    kinds = list(FaultKind)
    return [_fault(dice, dice.choices(kinds, _WEIGHTS)[0], services) for _ in range(count)]


def _fault(dice: random.Random, kind: FaultKind, services: int) -> Fault:
    for_ms = dice.choice((3_000, 8_000, 20_000, 45_000, 75_000, 120_000))
    elsewhere = dice.random() < 0.5
    choice = dice.randrange(4 * services)
    if kind is FaultKind.STALL:
        # shorter than an act may take, longer, and longer than its incident is its own
        for_ms, elsewhere = dice.choice((8_000, 30_000, 75_000)), dice.random() < 0.7
    if kind in AT_CALLS:
        point = dice.choice(AT_CALLS[kind])
        nth = dice.randrange(1, _REACH[point])
        if kind is FaultKind.LATE_EFFECT:
            # as long as a dead connection's bytes may still be under way
            for_ms = dice.choice((1_000, 6_000, 12_000))
        return Fault(
            kind=kind, point=point, nth=nth, for_ms=for_ms, elsewhere=elsewhere, choice=choice
        )
    if kind is FaultKind.CLOCK_JUMP:
        for_ms = dice.choice((-90_000, -20_000, 20_000, 50_000, 300_000))
    at_ms = dice.randrange(4_000, TROUBLE_MS)
    if dice.random() < 0.5:
        at_ms = dice.randrange(4_000, 60_000)
    return Fault(kind=kind, at_ms=at_ms, for_ms=for_ms, elsewhere=elsewhere, choice=choice)


#: About as many calls as an incident makes of each kind.
_REACH: Final = {
    "store.advance": 45,
    "store.open_incident": 3,
    "store.next_epoch": 5,
    "store.other": 60,
    "controls.set_trip": 10,
    "controls.fence": 4,
    "controls.read": 40,
    FIRST_ACT: 3,
    PAGE: 3,
    PAGE_TO_DECIDE: 3,
}
_RARE: Final = {FaultKind.ABORT, FaultKind.DECLINE, FaultKind.PULL, FaultKind.ROLLOUT}
#: Those that need a certain moment to do harm.
_OFTEN: Final = {
    FaultKind.STALL,
    FaultKind.CRASH,
    FaultKind.CRASH_BEFORE,
    FaultKind.SILENCE,
    FaultKind.SECOND_BRANCH,
}
_WEIGHTS: Final = [1 if kind in _RARE else 8 if kind in _OFTEN else 3 for kind in FaultKind]
