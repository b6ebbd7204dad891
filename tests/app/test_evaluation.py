"""The evaluation loop: a long round keeps nobody waiting, and a reload in it loses nothing."""

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest
from prometheus_client import CollectorRegistry

from rollbackd.app.evaluation import EvaluationLoop
from rollbackd.clock import ManualClock
from rollbackd.errors import TemporaryError
from rollbackd.model.triggers import Trigger
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Engine
from tests.triggers.rule_texts import T0, engine_of, feed, states

RULES = "\n".join(f"- {{alert: R{n}, expr: x > {n}}}" for n in range(5))


class SlowClock(ManualClock):
    """Every look at it costs 10 ms."""

    def __init__(self) -> None:
        super().__init__(T0)
        self._seconds = 0.0

    def monotonic(self) -> float:
        self._seconds += 0.01
        return self._seconds


class Inbox:
    """An inbox without pages."""

    async def take_inbox(self) -> list[str]:
        return []


class Desk:
    """Notes what it was to dispatch."""

    def __init__(self) -> None:
        self.transitions: list[Trigger] = []
        self.telemetry = Telemetry(CollectorRegistry())
        #: How often the store cannot be reached.
        self.outages = 0

    async def dispatch(self, transitions: list[Trigger], _firing: list[Trigger]) -> None:
        if self.outages:
            self.outages -= 1
            raise TemporaryError("the store is down")
        self.transitions += transitions


def loop_of(engine: Callable[[], Engine], desk: Desk) -> EvaluationLoop:
    return EvaluationLoop(
        engine=engine, intake=cast("Any", Inbox()), dispatcher=cast("Any", desk),
        clock=SlowClock(), telemetry=desk.telemetry, coalesce_ms=100,
    )  # fmt: skip


async def test_others_have_their_turn_between_two_rules() -> None:
    """While a round goes on for long, whatever waits goes on too; all is dispatched at its end."""
    engine, desk = engine_of(RULES), Desk()
    feed(engine, "x", 9, T0)
    turn = asyncio.create_task(loop_of(lambda: engine, desk).turn())
    turns = 0
    while not turn.done():
        await asyncio.sleep(0)
        turns += 1
        assert turn.done() or desk.transitions == []
    assert turns >= 5
    evaluated = desk.telemetry.registry.get_sample_value("rollbackd_rule_evaluations_total")
    assert evaluated == 5
    assert states(desk.transitions) == [(f"R{n}", "firing") for n in range(5)]


async def test_a_reload_within_a_round_leaves_the_rest_to_the_new_engine() -> None:
    """What the old one has found is dispatched, and the new one finds what is left."""
    engines, desk = [engine_of(RULES)], Desk()
    feed(engines[0], "x", 9, T0)
    loop = loop_of(lambda: engines[-1], desk)
    turn = asyncio.create_task(loop.turn())
    await asyncio.sleep(0)
    fresh = engine_of(RULES)
    fresh.carry_over(engines[0])
    engines.append(fresh)
    await turn
    found = len(desk.transitions)
    assert 0 < found < 5
    await loop.turn()
    assert states(desk.transitions) == [(f"R{n}", "firing") for n in range(5)]


async def test_a_trigger_that_is_dispatched_again_is_counted_once() -> None:
    """The store was down: what had begun to fire is looked at again, and began once."""
    engine, desk = engine_of(RULES), Desk()
    desk.outages = 2
    feed(engine, "x", 0.5, T0)
    loop = loop_of(lambda: engine, desk)
    for _ in range(2):
        with pytest.raises(TemporaryError):
            await loop.turn()
    await loop.turn()
    assert states(desk.transitions) == [("R0", "firing")]
    read = desk.telemetry.registry.get_sample_value
    assert read("rollbackd_triggers_total", {"rule": "R0"}) == 1
