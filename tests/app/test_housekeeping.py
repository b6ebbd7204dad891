"""What is looked after once a second, on stand-ins that count."""

from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from rollbackd.app.guard_board import GuardBoard
from rollbackd.app.housekeeping import Housekeeping
from rollbackd.errors import TemporaryError
from rollbackd.model.controls import Control
from rollbackd.model.labels import Scope
from tests.app.desk import Desk


class CountingControls:
    """So many scopes, each with a degrade level."""

    def __init__(self, scopes: int) -> None:
        self.all = [Scope(f"s{n}") for n in range(scopes)]
        self.reads: list[Scope] = []

    async def scopes(self) -> list[Scope]:
        return list(self.all)

    async def read_all(self, scope: Scope) -> dict[str, Control]:
        self.reads.append(scope)
        return {"degrade": Control(name="degrade", intent={"level": 1}, version=1)}


async def nothing() -> None:
    """Nothing to keep."""


def housekeeping(desk: Desk, controls: CountingControls) -> Housekeeping:
    parts: Any = SimpleNamespace
    return Housekeeping(
        engine=lambda: parts(silences=lambda _now_ms: [], active_counts=list),
        store=desk.store,
        controls=controls,  # type: ignore[arg-type]  # what housekeeping uses of it
        dispatcher=desk.dispatcher,
        runner=parts(current=list, gauges=None, left=parts(look=nothing)),
        evaluation=parts(evaluated_at=desk.clock.monotonic()),
        clock=desk.clock,
        telemetry=desk.telemetry,
        service_manager=parts(alive=lambda: None),
        source_healthy=lambda: True,
        rule_states=parts(keep=nothing),
        coverage=parts(note=lambda: None),
        guard_board=GuardBoard(
            dispatcher=desk.dispatcher,
            store=desk.store,
            clock=desk.clock,
            telemetry=desk.telemetry,
        ),
    )


@pytest.mark.parametrize(("scopes", "turns"), [(1, 1), (10, 1), (11, 2), (35, 4)])
async def test_every_scope_has_its_turn(desk: Desk, scopes: int, turns: int) -> None:
    """A few a second: with thousands of them the store has other things to do."""
    controls = CountingControls(scopes)
    keeper = housekeeping(desk, controls)
    for turn in range(1, turns + 1):
        before = len(controls.reads)
        await keeper.turn()
        assert len(controls.reads) - before == min(10, scopes - 10 * (turn - 1))
    assert Counter(controls.reads) == Counter(controls.all)
    await keeper.turn()
    assert controls.reads[scopes:] == controls.all[:10]
    level = desk.telemetry.registry.get_sample_value
    assert {level("rollbackd_degrade_level", {"scope": str(s)}) for s in controls.all} == {1}


async def test_the_pause_file_shows_while_the_store_is_down(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The store's own pause stays as it was known."""

    async def down() -> None:
        raise TemporaryError("down")

    desk.pause_file.write("stop")
    keeper = housekeeping(desk, CountingControls(0))
    with monkeypatch.context() as patch:
        patch.setattr(desk.store, "ping", down)
        await keeper.turn()
    assert keeper.problems == ["store: down"]
    read = desk.telemetry.registry.get_sample_value
    assert read("rollbackd_paused") == 1
    assert read("rollbackd_guard_state", {"guard": "paused"}) == 1
