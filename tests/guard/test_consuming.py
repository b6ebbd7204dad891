"""Consumers that obey the `consumers` control, and what their guards say of it."""

import pytest
from msgspec.structs import replace

from rollbackd.connections.redis import RedisConnection
from rollbackd.model.incidents import Confirmation, Incident
from rollbackd.model.labels import Scope
from rollbackd.model.policy import FreezeProbe
from rollbackd.probes import Probes
from tests.backends import RedisBackend
from tests.guard.conftest import Board, OpenGuard, until
from tests.guard.driving import SCOPE
from tests.incidents.samples import opened as incident_opened
from tests.services.polling import eventually

pytestmark = pytest.mark.services

PAUSED = {"paused": True, "groups": ["billing"]}


def incident() -> Incident:
    """An incident of the guard's scope."""
    return replace(incident_opened(), scope=Scope.parse(SCOPE))


async def asked(backend: RedisBackend, readers: int = 1) -> Confirmation:
    """What the probe says once."""
    connection = await RedisConnection.open(backend.url)
    try:
        params: dict[str, object] = {"readers": readers, "control": "consumers"}
        probe = FreezeProbe(kind="acknowledgements", params=params)
        return await Probes(None, connection).confirm(incident(), probe)
    finally:
        await connection.close()


async def says(backend: RedisBackend, text: str) -> None:
    """Ask until the detail is so."""

    async def said() -> bool:
        return (await asked(backend)).detail == text

    await eventually(said, within_seconds=20)


async def test_a_pause_lets_no_turn_begin_and_ends_with_the_incident(
    board: Board, open_guard: OpenGuard
) -> None:
    """Of the groups that it names; a turn that is under way is told."""
    guard = (await open_guard()).local
    with guard.consuming("billing") as turn:
        assert turn.still_allowed()
        await board.trip("consumers", PAUSED)
        await until(lambda: guard.consumer_paused("billing"))
        assert turn
        assert not turn.still_allowed()
        assert not guard.consuming("billing")
        assert not guard.consumer_paused("mails")
        with guard.consuming("mails") as other:
            assert other.still_allowed()
    await board.trip("consumers", None)
    await until(lambda: guard.consuming("billing"))


async def test_a_pause_is_confirmed_once_the_last_turn_has_ended(
    board: Board, open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """Also when it began long before; who consumes nothing does not count."""
    guard = (await open_guard()).local
    await open_guard()
    with guard.consuming("billing"):
        await board.trip("consumers", PAUSED)
        await says(backend, f"1 of 2 readers do not say so: {guard.reader_id}")
    await says(backend, "all 1 consumers of `billing` say so")
    assert (await asked(backend)).confirmed
    assert (await asked(backend, 2)).detail == "1 of at least 2 consumers of `billing` say so"


async def test_a_group_that_nobody_consumes_for_is_not_confirmed(
    board: Board, open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """Its name may be mistyped."""
    guard = (await open_guard()).local
    with guard.consuming("billing"):
        pass
    await board.trip("consumers", {"paused": True, "groups": ["biling"]})
    await says(backend, "0 of at least 1 consumers of `biling` say so")
    await board.trip("consumers", {"paused": True, "groups": []}, epoch=8)
    await says(backend, "all 1 consumers say so")


async def test_without_a_pause_nothing_is_confirmed(
    open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """However many say that they run with it."""
    with (await open_guard()).local.consuming("billing"):
        assert (await asked(backend)).detail == "the fence does not stand"


async def test_a_pause_that_is_spelled_wrong_still_is_one(
    board: Board, open_guard: OpenGuard
) -> None:
    """And of every group."""
    guard = (await open_guard()).local
    await board.trip("consumers", {"paused": "yes", "groups": [7]})
    await until(lambda: guard.consumer_paused("billing"))
    assert not guard.consuming("mails")


async def test_past_the_lease_nobody_consumes(open_guard: OpenGuard, backend: RedisBackend) -> None:
    """Nobody waits for this process any more, and a pause may have been confirmed without it."""
    now = [0.0]
    guard = (await open_guard(clock=lambda: now[0])).local
    with guard.consuming("billing") as turn:
        assert turn.still_allowed()
        backend.server.kill()
        now[0] = 60.0
        assert not turn.still_allowed()
    assert not guard.consuming("billing")
