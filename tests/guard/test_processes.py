"""Processes that are stopped past their lease, or killed between the effect and its seal."""

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis

from rollbackd.connections.redis import RedisConnection
from rollbackd.guard import EffectBusyError, EffectInDoubtError, Receipt
from rollbackd.guard.keys import ScopeKeys
from rollbackd.model.incidents import Confirmation, Incident
from rollbackd.model.labels import Scope
from rollbackd.model.policy import FreezeProbe
from rollbackd.probes import Probes
from tests.backends import RedisBackend
from tests.guard.conftest import Board, OpenGuard
from tests.guard.driving import SCOPE, as_flavor
from tests.guard.test_effects import KEY
from tests.incidents.samples import opened as incident_opened
from tests.services.polling import eventually

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[2]


@contextlib.asynccontextmanager
async def child(backend: RedisBackend, what: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A child that is about to make its effect."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.guard.child", backend.url, what),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        assert (await process.stdout.readline()).strip() == b"about to"
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


def incident() -> Incident:
    """An incident of the guard's scope."""
    from msgspec.structs import replace  # noqa: PLC0415

    return replace(incident_opened(), scope=Scope.parse(SCOPE))


async def asked(backend: RedisBackend, readers: int = 1) -> Confirmation:
    """What the probe says once."""
    connection = await RedisConnection.open(backend.url)
    try:
        probe = FreezeProbe(kind="acknowledgements", params={"readers": readers})
        return await Probes(None, connection).confirm(incident(), probe)
    finally:
        await connection.close()


async def confirmed(backend: RedisBackend) -> None:
    """Ask until it confirms."""

    async def says_so() -> bool:
        return (await asked(backend)).confirmed

    await eventually(says_so, within_seconds=20)


@pytest.mark.parametrize("reopened", [False, True], ids=["frozen", "reopened"])
@pytest.mark.parametrize(
    ("what", "says"),
    [
        ("check", b"frozen|stale|superseded"),
        ("claim", b"superseded"),
        ("target", b"superseded"),
    ],
)
async def test_a_process_that_was_stopped_past_its_lease_cannot_write(
    board: Board, backend: RedisBackend, what: str, says: bytes, *, reopened: bool
) -> None:
    """It had looked, the freeze was confirmed without it, and then it goes on.

    Where writers are free again by then, its write still is one of an epoch that has passed.
    """
    async with child(backend, what) as process:
        os.kill(process.pid, signal.SIGSTOP)
        await board.freeze()
        assert not (await asked(backend)).confirmed

        async def silent() -> bool:
            return "0 of at least 1" in (await asked(backend)).detail

        await eventually(silent, within_seconds=20)
        if reopened:
            await board.trip("writes", None, epoch=8)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(b"go on\n")
        os.kill(process.pid, signal.SIGCONT)
        said = await process.stdout.readline()
        assert any(word in said for word in says.split(b"|")), said
    client = redis.Redis.from_url(backend.url)
    assert not client.exists("order:{rag/eu-1}:1")
    assert not client.exists(ScopeKeys(SCOPE).effect(KEY))
    client.close()


async def test_a_child_killed_between_effect_and_seal_is_reconciled(
    open_guard: OpenGuard, flavor: str, backend: RedisBackend
) -> None:
    """The effect is found downstream and sealed; it is made once."""
    async with child(backend, "charge") as process:
        process.kill()
        await process.wait()
    client = redis.Redis.from_url(backend.url, decode_responses=True)
    guard = await open_guard()
    make = as_flavor(flavor, lambda _claim: pytest.fail("made twice"))

    def find(effect_id: str) -> str | None:
        return "found" if client.hexists("payments", effect_id) else None

    async def tried() -> Receipt | None:
        with guard.local.write() as write:
            try:
                await guard.do("once", write, KEY, make)
            except EffectBusyError:
                return None
            except EffectInDoubtError:
                answer = await guard.do("once", write, KEY, make, find=as_flavor(flavor, find))
                assert isinstance(answer, Receipt)
                return answer
        pytest.fail("it was not in doubt")

    receipt = await eventually(tried, within_seconds=20)
    assert receipt is not None
    assert (receipt.status, receipt.result, receipt.reconciled) == ("sealed", "found", True)
    assert list(client.hgetall("payments").values()) == ["1"]
    client.close()


async def test_the_freeze_is_confirmed_once_every_live_guard_runs_with_it(
    board: Board, open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """Not while a write that began before is under way, and not by fewer than are wanted."""
    assert "fence does not stand" in (await asked(backend)).detail
    first, _second = await open_guard(), await open_guard()
    with first.local.write():
        await board.freeze()

        async def only_one_is_missing() -> bool:
            return (await asked(backend)).detail.startswith("1 of 2 readers")

        await eventually(only_one_is_missing, within_seconds=20)
    await confirmed(backend)
    assert (await asked(backend, readers=3)).detail == "2 of at least 3 readers say so"


async def test_a_target_whose_fence_was_not_raised_is_not_acknowledged(
    board: Board, open_guard: OpenGuard, flavor: str, backend: RedisBackend
) -> None:
    """And the raising is tried again."""
    raised: list[str] = []
    down = [True]

    def raise_fence(token: object) -> None:
        if down[0]:
            raise OSError("the database is away")
        raised.append(str(token))

    await open_guard(raise_fence=as_flavor(flavor, raise_fence))
    await board.freeze()
    assert not (await asked(backend)).confirmed
    down[0] = False
    await confirmed(backend)
    assert raised[-1] == "0000000000000007.0000000001"


async def test_without_redis_or_with_nonsense_nothing_is_confirmed(
    board: Board, backend: RedisBackend
) -> None:
    """A reader that cannot be understood is one that does not say so."""
    probe = FreezeProbe(kind="acknowledgements", params={"readers": 1})
    said = await Probes(None).confirm(incident(), probe)
    assert (said.confirmed, "not in Redis" in said.detail) == (False, True)
    await board.freeze()
    client = redis.Redis.from_url(backend.url)
    client.hset("rollbackd:{rag/eu-1}:guard:readers", "x", "nonsense")
    client.close()
    assert (await asked(backend)).detail == "1 of 1 readers do not say so: x"
