"""What stands in the way, for the status and the metrics."""

from msgspec.structs import replace

from rollbackd.app.guard_board import GuardBoard
from rollbackd.model.decisions import Reason
from rollbackd.model.history import Latch
from rollbackd.model.labels import Scope
from rollbackd.model.policy import Window
from rollbackd.ports import Pause
from tests.app.desk import Desk, elsewhere
from tests.incidents.samples import MINUTE, NOW, SCOPE, trigger_of

STANDING = (
    "paused",
    "observe_mode",
    "maintenance_window",
    "change_freeze",
    "correlated_trips",
    "flap_latch",
    "ineffective_chain",
)


def board_of(desk: Desk) -> GuardBoard:
    return GuardBoard(
        dispatcher=desk.dispatcher, store=desk.store, clock=desk.clock, telemetry=desk.telemetry
    )


def shown(desk: Desk) -> dict[str, float | None]:
    """The gauges, without those at zero."""
    read = desk.telemetry.registry.get_sample_value
    values = {guard: read("rollbackd_guard_state", {"guard": guard}) for guard in STANDING}
    return {guard: value for guard, value in values.items() if value != 0}


async def test_nothing_stands_in_the_way(desk: Desk) -> None:
    """Every gauge is there, at zero, before anything happens."""
    board = board_of(desk)
    await board.look()
    board.show()
    assert board.standing() == {}
    assert shown(desk) == {}
    assert desk.telemetry.registry.get_sample_value("rollbackd_paused") == 0


async def test_a_pause_shows_whoever_made_it(desk: Desk) -> None:
    """The file before the store, because it is nearer."""
    board = board_of(desk)
    desk.dispatcher.pause = Pause(reason="drill", by="eve", since_ms=1)
    assert board.standing() == {"paused": ["drill (by eve)"]}
    desk.pause_file.write("index rebuild")
    board.show()
    assert board.standing() == {"paused": [f"index rebuild (by file {desk.pause_file.path})"]}
    assert shown(desk) == {"paused": 1}
    assert desk.telemetry.registry.get_sample_value("rollbackd_paused") == 1


async def test_branches_that_observe_are_counted(desk: Desk) -> None:
    """The whole tree is one."""
    board = board_of(desk)
    for branch in ("quality_regression", "cost_or_latency"):
        desk.set_policy(branch, mode="observe")
    board.show()
    assert board.standing() == {"observe_mode": ["quality_regression", "cost_or_latency"]}
    assert shown(desk) == {"observe_mode": 2}
    desk.set_tree(mode="observe")
    assert board.standing() == {"observe_mode": ["the whole tree"]}


async def test_windows_show_while_they_are_on(desk: Desk) -> None:
    """With what a change freeze means to this tree."""
    board = board_of(desk)
    window = Window(name="move", kind="maintenance", start_ms=NOW, end_ms=NOW + MINUTE)
    freeze = replace(window, name="year end", kind="change_freeze")
    desk.set_tree(windows=[window, freeze, replace(window, name="later", start_ms=NOW + 1)])
    board.show()
    assert board.standing() == {
        "maintenance_window": ["move"],
        "change_freeze": ["year end (exempt)"],
    }
    assert shown(desk) == {"maintenance_window": 1, "change_freeze": 1}
    desk.clock.advance(MINUTE)
    board.show()
    assert shown(desk) == {}


async def test_latches_show_until_they_are_released(desk: Desk) -> None:
    """With what happened."""
    board = board_of(desk)
    latch = Latch(
        scope=SCOPE,
        branch="quality_regression",
        reason=Reason.FLAP_LATCH,
        since_ms=NOW,
        because="pulled 3 times",
    )
    whole = replace(latch, branch="", reason=Reason.INEFFECTIVE_CHAIN, because="no help")
    for each in (latch, whole, replace(latch, scope=Scope("x"), released_at_ms=NOW)):
        await desk.store.put_latch(each)
    await board.look()
    board.show()
    assert board.standing() == {
        "flap_latch": ["rag/eu-1 quality_regression: pulled 3 times"],
        "ineffective_chain": ["rag/eu-1 every branch: no help"],
    }
    assert shown(desk) == {"flap_latch": 1, "ineffective_chain": 1}
    await desk.dispatcher.latching.release(SCOPE, by="eve")
    await board.look()
    board.show()
    assert shown(desk) == {}


async def test_a_wave_shows_while_it_may_grow(desk: Desk) -> None:
    """For as long as another trip would belong to it."""
    board = board_of(desk)
    await desk.fire(*(elsewhere(trigger_of(), service=f"s{n}") for n in range(6)))
    board.show()
    assert board.standing() == {"correlated_trips": ["a wave of trips is on"]}
    assert shown(desk) == {"correlated_trips": 1}
    desk.clock.advance(5 * MINUTE)
    board.show()
    assert shown(desk) == {}
