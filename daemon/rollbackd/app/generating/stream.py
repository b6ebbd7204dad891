"""All events of a plan in the order in which they are sent."""

import heapq
import random
from collections.abc import Iterator
from math import cos, tau
from operator import itemgetter
from typing import Final

from rollbackd.app.generating.answers import Answers
from rollbackd.app.generating.conditions import Arm
from rollbackd.app.generating.plans import Plan
from rollbackd.app.generating.rollout import Pipeline
from rollbackd.app.generating.rounds import Rounds
from rollbackd.app.generating.schedule import Timed
from rollbackd.app.generating.sides import Side
from rollbackd.app.generating.switches import Reading, planned

_TICK_MS: Final = 1_000
_DAY_MS: Final = 86_400_000
#: Load over the day: the busiest hour (UTC), and how far it swings around its mean.
_PEAK_MS: Final = 14 * 3_600_000
_SWING: Final = 0.35

_sent_at = itemgetter(0)


def events(plan: Plan, read: Reading | None = None) -> Iterator[Timed]:
    """Each event with the time at which it is sent; no more than a second of them is held.

    What is late, or comes from a clock that is off, carries another `ts` than that time. Without
    `read` the rollout goes on as planned; with it, the services obey what they read, a second at a
    time and not before the second is asked for.
    """
    read = read or planned(plan)
    streams = [_service(plan, where, read) for where in range(len(plan.scopes))]
    return heapq.merge(*streams, key=_sent_at) if len(streams) > 1 else streams[0]


def load_at(at_ms: int) -> float:
    """The share of the mean load that a time of the day has, 0.65 to 1.35."""
    return 1.0 + _SWING * cos(tau * (at_ms - _PEAK_MS) / _DAY_MS)


def _service(plan: Plan, where: int, read: Reading) -> Iterator[Timed]:
    scope = plan.scopes[where]
    # The same seed has to be the same traffic; nothing here is a secret.
    chance = random.Random(f"{plan.scenario.name}/{plan.seed}/{where}")  # noqa: S311
    baseline = Side(plan, where, Arm.BASELINE, chance)
    sides = (baseline, Side(plan, where, Arm.CANARY, chance))
    answers = Answers(plan, scope, sides, chance)
    rounds, pipeline = Rounds(plan, scope, sides, chance), Pipeline(plan, scope, baseline)
    for tick_ms in range(plan.start_ms, plan.end_ms, _TICK_MS):
        out: list[Timed] = []
        for side in sides:
            side.refresh(tick_ms)
        answers.refresh(read(scope, tick_ms), tick_ms, out)
        pipeline.tick(tick_ms, out)
        rounds.tick(tick_ms, answers, out)
        # Arrivals within a second are a Poisson process, begun anew with each.
        rate = plan.rate * load_at(tick_ms) * baseline.condition.load / 1_000
        end_ms = min(tick_ms + _TICK_MS, plan.end_ms)
        at = tick_ms + chance.expovariate(rate)
        while at < end_ms:
            answers.request(int(at), out)
            at += chance.expovariate(rate)
        out += answers.schedule.due(end_ms)
        out.sort(key=_sent_at)
        if end_ms == plan.end_ms:
            out = [each for each in out if each[0] < end_ms]
        yield from out
