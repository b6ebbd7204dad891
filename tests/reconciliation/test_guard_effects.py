"""What guards keep in Redis, also of a process that was killed between the effect and its seal."""

from collections.abc import AsyncIterator

import pytest
import redis

from rollbackd.clock import SystemClock
from rollbackd.connections.redis import RedisConnection
from rollbackd.guard import Guard, RedisAddress
from rollbackd.guard.idempotency import effect_id_of
from rollbackd.guard.keys import ScopeKeys
from rollbackd.model.facts import EffectStatus
from rollbackd.model.labels import Scope
from rollbackd.model.reconciliation import (
    DownstreamEffect,
    DownstreamPage,
    EffectVerdict,
    Reconciliation,
)
from rollbackd.reconciliation.guard_effects import GuardEffects
from rollbackd.reconciliation.reconciler import LedgerReconciler
from tests.backends import RedisBackend
from tests.guard.driving import PINS, SCOPE
from tests.guard.test_effects import KEY
from tests.guard.test_processes import child
from tests.reconciliation.world import SETTINGS, telemetry
from tests.services.polling import eventually
from tests.services.redis import Redis

pytestmark = pytest.mark.services


@pytest.fixture
def backend(redis_server: Redis) -> RedisBackend:
    """An empty database."""
    return RedisBackend(redis_server)


@pytest.fixture
async def guards(backend: RedisBackend) -> AsyncIterator[GuardEffects]:
    """What reads them."""
    connection = await RedisConnection.open(backend.url)
    yield GuardEffects(connection)
    await connection.close()


class Payments:
    """The system downstream: the test's own hash of effects, by the key that they were made with.

    It lists what `tests.guard.child` has really made.
    """

    def __init__(self, backend: RedisBackend) -> None:
        self._client = redis.Redis.from_url(backend.url, decode_responses=True)

    async def effects(self, scope: Scope, from_ms: int, to_ms: int) -> DownstreamPage:  # noqa: ARG002
        made = [str(effect_id) for effect_id in self._client.hgetall("payments")]
        keys = {effect_id_of(KEY): KEY}
        return DownstreamPage(
            effects=[DownstreamEffect(key=keys.get(e, e), effect_id=e) for e in made]
        )

    async def close(self) -> None:
        self._client.close()


async def test_sealed_effects_are_known_by_key_and_open_ones_always(
    backend: RedisBackend, guards: GuardEffects
) -> None:
    """With their times; what no guard knows of is not there."""
    with Guard(SCOPE, RedisAddress(url=backend.url), pins=PINS) as guard:
        with guard.write() as write:
            sealed = guard.once(write, "done", lambda _: "r1")
        with guard.write() as write, pytest.raises(ZeroDivisionError):
            guard.once(write, "doubt", lambda _: 1 // 0)
    scope = Scope.parse(SCOPE)
    (doubt,) = await guards.entries(scope, [])
    assert (doubt.key, doubt.status) == ("doubt", EffectStatus.UNKNOWN)
    assert 0 < doubt.first_ms <= doubt.last_ms
    done, again = await guards.entries(scope, ["done", "never", "doubt"])
    assert (done.key, done.effect_id, done.status) == ("done", sealed.effect_id, "sealed")
    assert (done.first_ms, done.last_ms) == (sealed.started_at_ms, sealed.sealed_at_ms)
    assert again == doubt


async def test_reading_changes_nothing(backend: RedisBackend, guards: GuardEffects) -> None:
    """A fence is its owner's."""
    with Guard(SCOPE, RedisAddress(url=backend.url), pins=PINS) as guard, guard.write() as write:
        guard.once(write, "done", lambda _: "r1")
    client = redis.Redis.from_url(backend.url)
    key = ScopeKeys(SCOPE).effect("done")
    before = client.hgetall(key)
    await guards.entries(Scope.parse(SCOPE), ["done"])
    assert client.hgetall(key) == before
    client.close()


@pytest.mark.parametrize("settled", ["was_made", "not_made"])
async def test_a_process_killed_between_effect_and_seal_is_found_and_classified(
    backend: RedisBackend, settled: str
) -> None:
    """K14: no receipt ever came of it; what is there downstream says what became of it."""
    async with child(backend, "charge") as process:
        process.kill()
        await process.wait()
    if settled == "not_made":
        client = redis.Redis.from_url(backend.url)
        client.delete("payments")
        client.close()
    ledger = await backend.receipts()
    connection = await RedisConnection.open(backend.url)
    payments, clock = Payments(backend), SystemClock()
    reconciler = LedgerReconciler(
        SETTINGS,
        ledger=ledger,
        open_effects=GuardEffects(connection),
        clock=clock,
        telemetry=telemetry(),
        listings={"bank": payments},
    )

    async def settles() -> Reconciliation | None:
        """Under its lease, or just after it, nobody judges it."""
        now_ms = clock.now()
        found = await reconciler.compare(Scope.parse(SCOPE), now_ms - 60_000, now_ms, patient=False)
        return found if not found.waiting else None

    found = await eventually(settles, within_seconds=20)
    assert found is not None
    assert (found.counts[EffectVerdict.OK], found.open_items, found.settled) == (1, 0, {settled: 1})
    await reconciler.close()
    await ledger.close()
    await connection.close()
