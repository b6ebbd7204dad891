"""Budgets that never over-admit, and one load for all who miss."""

import asyncio
import threading
from typing import Any

import pytest
import redis

from rollbackd.guard import BreakerOpenError, BreakerState, Flight
from tests.backends import RedisBackend, redis_cli
from tests.guard.conftest import Board, OpenGuard, until
from tests.guard.driving import as_flavor

pytestmark = pytest.mark.services


def server_seconds(backend: RedisBackend) -> float:
    seconds, micros = redis_cli(backend.server, "TIME").split()
    return int(seconds) + int(micros) / 1e6


async def test_a_bucket_never_gives_more_than_burst_and_rate(
    board: Board, open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """Two guards ask as fast as they can; time is the server's."""
    guards = [await open_guard(), await open_guard()]
    await board.trip("throttle", {"requests_per_second": 50, "burst": 10, "breaker": "closed"})
    await until(lambda: all(g.local.view.throttle.burst == 10 for g in guards))
    began = server_seconds(backend)
    answers = []
    for _ in range(15):
        answers += await asyncio.gather(*(guard.do("admit") for guard in guards for _ in range(10)))
    span = server_seconds(backend) - began
    admitted = sum(map(bool, answers))
    assert 10 <= admitted <= 10 + 50 * span
    refused = next(answer for answer in answers if not answer)
    assert (refused.status, refused.local) == (429, False)
    assert int(refused.headers["Retry-After"]) >= 1


async def test_a_tenant_has_a_budget_of_its_own(board: Board, open_guard: OpenGuard) -> None:
    """What one refuses, the other is not charged for."""
    guard = await open_guard()
    limits = {"requests_per_second": 1e-6, "burst": 3, "breaker": "closed"}
    limits |= {"tenant_requests_per_second": 1e-6, "tenant_burst": 1}
    await board.trip("throttle", limits)
    await until(lambda: guard.local.view.throttle.tenant_burst == 1)
    tenants = ["a", "a", "a", "b", "c", "d"]
    judged = [bool(await guard.do("admit", tenant=tenant)) for tenant in tenants]
    assert judged == [True, False, False, True, True, False]


async def test_a_rate_of_nothing_and_a_breaker_admit_nobody(
    board: Board, open_guard: OpenGuard
) -> None:
    """429 and 503; without a throttle everybody is admitted."""
    guard = await open_guard()
    assert (await guard.do("admit")).status == 200
    await board.trip("throttle", {"requests_per_second": 0, "burst": 9, "breaker": "closed"})
    await until(lambda: guard.local.view.throttle.requests_per_second == 0)
    assert (await guard.do("admit")).status == 429
    await board.trip("throttle", {"requests_per_second": 9, "burst": 9, "breaker": "open"})
    await until(lambda: guard.local.view.throttle.breaker == "open")
    assert (await guard.do("admit")).status == 503
    with pytest.raises(ValueError, match="over 0"):
        await guard.do("admit", cost=float("nan"))


async def test_a_breaker_that_is_held_half_open_lets_single_calls_try(
    board: Board, open_guard: OpenGuard
) -> None:
    """Requests are admitted; of the calls behind it one at a time passes, until it is let go."""
    guard = await open_guard()
    breaker = guard.local.breaker("llm")
    await board.trip("throttle", {"breaker": "half_open"})
    await until(lambda: breaker.state is BreakerState.HALF_OPEN)
    assert await guard.do("admit")
    for _ in range(3):
        with breaker.call():
            with pytest.raises(BreakerOpenError) as refused, breaker.call():
                pytest.fail("two at once")
            assert refused.value.status == 503
    await board.trip("throttle", None)
    await until(lambda: breaker.state is BreakerState.CLOSED)
    with breaker.call(), breaker.call():
        pass


async def test_without_redis_each_process_keeps_to_the_limits_by_itself(
    board: Board, open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """The last limits that were read."""
    guard = await open_guard()
    await board.trip("throttle", {"requests_per_second": 1e-6, "burst": 2, "breaker": "closed"})
    await until(lambda: guard.local.view.throttle.burst == 2)
    backend.server.kill()
    answers = [await guard.do("admit") for _ in range(3)]
    assert [(bool(answer), answer.local) for answer in answers] == [
        (True, True),
        (True, True),
        (False, True),
    ]


async def test_a_hundred_misses_make_one_load(open_guard: OpenGuard, flavor: str) -> None:
    """Over two processes' worth of guards."""
    guards = [await open_guard(), await open_guard()]
    loads: list[int] = []
    lock = threading.Lock()

    def load() -> bytes:
        with lock:
            loads.append(1)
        return b"value"

    flight = Flight(wait_seconds=30.0, lease_seconds=30.0)
    found = await asyncio.gather(
        *(
            guards[n % 2].do("get_or_load", "q:g0:x", as_flavor(flavor, load), flight)
            for n in range(100)
        )
    )
    assert found == [b"value"] * 100
    assert len(loads) == 1


async def test_a_loader_that_died_is_succeeded_and_ends_nobody_elses_load(
    open_guard: OpenGuard, flavor: str, backend: RedisBackend
) -> None:
    """The lease passes; the dead one's token is not ours to delete, nor ours its."""
    guard = await open_guard()
    client = redis.Redis.from_url(backend.url)
    key = "rollbackd:{rag/eu-1}:guard:load:q:g0:x"
    client.set(key, "dead", px=60)
    load = as_flavor(flavor, lambda: b"mine")
    assert await guard.do("get_or_load", "q:g0:x", load, Flight(wait_seconds=30.0)) == b"mine"
    assert client.get(key) is None
    client.set(key.replace(":x", ":y"), "other", px=60_000)
    impatient = Flight(wait_seconds=0.02)
    assert await guard.do("get_or_load", "q:g0:y", load, impatient) == b"mine"
    assert client.get(key.replace(":x", ":y")) == b"other"
    assert client.get(key.replace("load:q:g0:x", "entry:q:g0:y")) is None
    client.close()


async def test_a_load_that_fails_lets_the_next_one_try(open_guard: OpenGuard, flavor: str) -> None:
    """At once, not after the lease."""
    guard = await open_guard()

    def fail() -> bytes:
        raise OSError("no")

    def text() -> Any:
        return "text"

    for bad, error in ((fail, OSError), (text, TypeError)):
        with pytest.raises(error):
            await guard.do("get_or_load", "q:g0:x", as_flavor(flavor, bad))
    assert await guard.do("get_or_load", "q:g0:x", as_flavor(flavor, lambda: b"ok")) == b"ok"


async def test_without_redis_it_loads(
    open_guard: OpenGuard, flavor: str, backend: RedisBackend
) -> None:
    """A cache is no dependency."""
    guard = await open_guard()
    backend.server.kill()
    load = as_flavor(flavor, lambda: b"value")
    assert await guard.do("get_or_load", "q:g0:x", load) == b"value"
