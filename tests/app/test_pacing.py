"""How often changed samples are looked at while a source catches up."""

from typing import Any, cast

from prometheus_client import CollectorRegistry

from rollbackd.app.evaluation import EvaluationLoop
from rollbackd.clock import ManualClock
from rollbackd.telemetry import Telemetry
from rollbackd.triggers.engine import Evaluation
from tests.triggers.rule_texts import T0, engine_of, feed


class World:
    """A loop over one rule in a group of 15 seconds, which a sample every turn makes dirty."""

    def __init__(self) -> None:
        self.clock = ManualClock(T0)
        self.engine = engine_of("- {alert: R, expr: x > 1}")
        self.behind = True
        self.keys: list[str] = []
        self.rounds: list[int] = []
        self.loop = EvaluationLoop(
            engine=lambda: self.engine, intake=cast("Any", self), dispatcher=cast("Any", self),
            clock=self.clock, telemetry=Telemetry(CollectorRegistry()), coalesce_ms=100,
            on_evaluated=self.note, behind=lambda: self.behind,
        )  # fmt: skip

    def note(self, _evaluation: Evaluation) -> None:
        self.rounds.append(self.clock.now() - T0)

    async def take_inbox(self) -> list[str]:
        return self.keys

    async def mark_handled(self, keys: list[str]) -> None:
        assert keys

    async def dispatch(self, *_: object) -> None:
        pass

    async def turns(self, count: int) -> list[int]:
        """When there was a round, in milliseconds since the start."""
        self.rounds.clear()
        for _ in range(count):
            feed(self.engine, "x", 0, self.clock.now())
            await self.loop.turn()
            self.clock.advance(100)
        return list(self.rounds)


async def test_far_behind_a_change_waits_for_a_second() -> None:
    world = World()
    assert await world.turns(31) == [0, 1_000, 2_000, 3_000]


async def test_caught_up_every_beat_looks() -> None:
    world = World()
    world.behind = False
    assert await world.turns(4) == [0, 100, 200, 300]
    world.behind = True
    assert await world.turns(2) == []
    world.behind = False
    assert await world.turns(2) == [600, 700]


async def test_a_page_does_not_wait() -> None:
    world = World()
    await world.turns(1)
    world.keys = ["a page"]
    assert await world.turns(2) == [100, 200]


async def test_a_group_that_is_due_does_not_wait() -> None:
    """Behind or not, no interval of a group goes by without a round."""
    world = World()
    await world.turns(1)
    world.clock.advance(14_300)
    assert await world.turns(9) == [14_400, 15_000]
