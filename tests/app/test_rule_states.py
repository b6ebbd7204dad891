"""What is written of the instances of rules, and when."""

from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from rollbackd.app.rule_states import RuleStates
from rollbackd.clock import ManualClock
from rollbackd.connections.sqlite import Database
from rollbackd.model.triggers import RuleInstance, RuleState
from rollbackd.stores.sqlite import SQLiteStore
from rollbackd.triggers.engine import Engine
from rollbackd.triggers.memory import RestorePolicy
from tests.triggers.rule_texts import T0, engine_of, feed

RULE = "- {alert: A, expr: x > 1, for: 20s}"
SECOND = 1_000


class Noting:
    """The real store, with a note of what was put."""

    def __init__(self, inner: SQLiteStore) -> None:
        self._inner = inner
        self.puts: list[list[RuleInstance]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def put_rule_states(self, instances: Sequence[RuleInstance]) -> None:
        self.puts.append(list(instances))
        await self._inner.put_rule_states(instances)

    def states(self) -> list[str]:
        """The states that the last put wrote."""
        return [instance.state for instance in self.puts[-1]]


class Desk:
    """A keeper with an engine, as one process has them."""

    def __init__(self, store: Noting, clock: ManualClock, *, caught_up: bool = True) -> None:
        self.store = store
        self.clock = clock
        self.engine: Engine = engine_of(RULE)
        self.caught_up = caught_up
        self.keeper = RuleStates(
            engine=lambda: self.engine,
            store=store,  # type: ignore[arg-type]
            clock=clock,
            policy=RestorePolicy(grace_ms=0, tolerance_ms=3_600_000),
            caught_up=lambda: self.caught_up,
        )

    async def pass_seconds(self, seconds: int, *, value: float | None = 2) -> None:
        """As the daemon: a sample and an evaluation a second, and housekeeping."""
        for _ in range(seconds):
            self.clock.advance(SECOND)
            if value is not None:
                feed(self.engine, "x", value, self.clock.now())
            self.engine.evaluate(self.clock.now())
            await self.keeper.keep()


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Noting]:
    opened = await SQLiteStore.open(await Database.open(tmp_path / "rollbackd.db"))
    yield Noting(opened)
    await opened.close()


@pytest.fixture
async def desk(store: Noting) -> Desk:
    """At its first start."""
    made = Desk(store, ManualClock(T0))
    await made.keeper.restore()
    await made.keeper.settle()
    return made


async def test_nothing_is_written_while_nothing_is_active(desk: Desk) -> None:
    await desk.pass_seconds(10, value=0)
    await desk.keeper.write()
    assert desk.store.puts == []


async def test_a_pending_instance_is_written_every_two_seconds(desk: Desk) -> None:
    """That it still holds is what a restart has to know."""
    await desk.pass_seconds(10)
    assert len(desk.store.puts) == 5
    (stored,) = await desk.store.rule_states()
    assert desk.clock.now() - stored.seen_at_ms <= 2 * SECOND
    assert (stored.state, stored.active_at_ms) == (RuleState.PENDING, T0 + SECOND)


async def test_a_firing_instance_is_written_when_it_fires_and_once_a_minute(desk: Desk) -> None:
    await desk.pass_seconds(22)
    before = len(desk.store.puts)
    assert desk.store.states() == ["firing"]
    await desk.pass_seconds(58)
    assert len(desk.store.puts) == before
    await desk.pass_seconds(10)
    assert len(desk.store.puts) == before + 1


async def test_an_instance_that_ended_is_forgotten(desk: Desk) -> None:
    """Once."""
    await desk.pass_seconds(5)
    await desk.pass_seconds(4, value=0)
    assert desk.store.states() == ["inactive"]
    count = len(desk.store.puts)
    assert await desk.store.rule_states() == []
    await desk.pass_seconds(4, value=0)
    assert len(desk.store.puts) == count


async def test_what_the_store_refuses_is_written_next_time(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def down(_instances: object) -> None:
        raise OSError("down")

    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "put_rule_states", down)
        with pytest.raises(OSError, match="down"):
            await desk.pass_seconds(2)
    await desk.pass_seconds(2)
    assert desk.store.states() == ["pending"]


async def test_a_new_process_goes_on(desk: Desk, store: Noting) -> None:
    """Twelve seconds before, three away, eight after; give or take those since the last write."""
    await desk.pass_seconds(12)
    desk.clock.advance(3 * SECOND)
    second = Desk(store, desk.clock, caught_up=True)
    await second.keeper.restore()
    await second.keeper.settle()
    await second.pass_seconds(1)
    (instance,) = second.engine.rule_instances()
    assert instance.state is RuleState.PENDING
    await second.pass_seconds(10)
    (instance,) = second.engine.rule_instances()
    assert instance.state is RuleState.FIRING


async def test_what_did_not_come_back_is_forgotten_once_that_is_known(
    desk: Desk, store: Noting
) -> None:
    """Not while the windows are being refilled: it may only not be there yet."""
    await desk.pass_seconds(12)
    second = Desk(store, desk.clock)
    await second.keeper.restore()
    await second.pass_seconds(10, value=None)
    assert len(await store.rule_states()) == 1
    await second.keeper.settle()
    await second.pass_seconds(14, value=None)
    assert len(await store.rule_states()) == 1
    await second.pass_seconds(16, value=None)
    assert await store.rule_states() == []
