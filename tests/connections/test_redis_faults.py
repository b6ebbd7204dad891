"""Redis under faults: what the adapters say, how soon, and that nothing happens twice."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from rollbackd.connections.redis import RedisConnection
from rollbackd.controls.redis import RedisControls
from rollbackd.errors import TemporaryError
from rollbackd.model.controls import WriteResult
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op
from rollbackd.stores.redis import RedisStore
from tests.backends import RedisBackend, redis_cli
from tests.connections.calls import fails_soon, opened, recovers
from tests.services.polling import eventually
from tests.services.proxy import FaultProxy
from tests.services.redis import Redis
from tests.stores.samples import SCOPE, alert_entry, new_incident, record_of, stepped

pytestmark = pytest.mark.services

OP = Op(op_id="o1", epoch=5, incident_id="i1")


async def test_a_lost_reply_applies_a_trip_once(
    connection: RedisConnection, proxy: FaultProxy
) -> None:
    """The server did it, the caller is told that nothing is known, and the op id settles it."""
    controls = await RedisControls.open(connection)
    for fault in (proxy.drop_replies, proxy.reset_on_reply):
        before = await controls.read(SCOPE, "writes")
        op = Op(op_id=f"o-{fault.__name__}", epoch=5, incident_id="i1")

        async def attempt(op: Op = op, version: int = before.version) -> WriteResult:
            write = await controls.set_trip(
                SCOPE, "writes", {"blocked": True}, expected_version=version, op=op, now_ms=1
            )
            return write.result

        fault()
        await fails_soon(attempt())
        proxy.heal()
        assert await attempt() is WriteResult.REPLAYED
        assert (await controls.read(SCOPE, "writes")).version == before.version + 1


async def test_a_lost_reply_journals_a_step_once(
    connection: RedisConnection, proxy: FaultProxy
) -> None:
    """Opening, advancing and accepting can be repeated with the same arguments."""
    store = await RedisStore.open(connection)
    incident = new_incident()
    step = stepped(incident)
    calls: list[Callable[[], Awaitable[object]]] = [
        lambda: store.open_incident(incident, record_of(incident)),
        lambda: store.advance(step, [record_of(step)]),
        lambda: store.accept([alert_entry()]),
        lambda: store.mark_handled([alert_entry("other").key]),
    ]
    for call in calls:
        proxy.reset_on_reply()
        await fails_soon(call())
        assert proxy.hits == 1, "sent again by itself"
        proxy.heal()
        await call()
    assert await store.incident("i1") == step
    assert await store.journal("i1") == [record_of(incident), record_of(step)]
    assert await store.unhandled(10) == [alert_entry()]


async def test_a_lost_epoch_is_never_given_again(
    connection: RedisConnection, proxy: FaultProxy, backend: RedisBackend
) -> None:
    """The next one is greater than the one that got lost."""
    store = await RedisStore.open(connection)
    before = await store.next_epoch(SCOPE)
    proxy.reset_on_reply()
    await fails_soon(store.next_epoch(SCOPE))
    proxy.heal()
    database = str(backend.database)
    lost = int(redis_cli(backend.server, "-n", database, "GET", f"rollbackd:{{{SCOPE}}}:epoch"))
    assert await store.next_epoch(SCOPE) > lost > before


async def test_a_read_is_tried_again(connection: RedisConnection, proxy: FaultProxy) -> None:
    """One cut connection is not seen by the caller."""
    controls = await RedisControls.open(connection)
    await controls.read(SCOPE, "writes")
    proxy.reset_connections()
    assert (await controls.read(SCOPE, "writes")).version == 0


@pytest.mark.parametrize("fault", ["black_hole", "drop_replies", "reset", "refuse"])
async def test_an_unreachable_server_is_reported_in_time(
    connection: RedisConnection, proxy: FaultProxy, fault: str
) -> None:
    """Within two seconds, for one call and for forty at once; the same objects recover."""
    store, controls = await RedisStore.open(connection), await RedisControls.open(connection)
    await store.ping()
    if fault == "refuse":
        await proxy.refuse()
    else:
        getattr(proxy, fault)()
    for call in (store.ping, store.incidents, lambda: store.accept([alert_entry()])):
        assert "Redis `127.0.0.1:" in str(await fails_soon(call()))
    await asyncio.gather(*(fails_soon(controls.read(SCOPE, "writes")) for _ in range(40)))
    if fault == "refuse":
        await proxy.accept()
    proxy.heal()
    await recovers(store.ping)
    await controls.set_intent(SCOPE, "degrade", {"level": 1}, now_ms=1)


async def test_a_stopped_server_is_reported_and_a_restarted_one_used(backend: RedisBackend) -> None:
    """No new object is needed, and the server needs not remember the scripts."""
    async with opened(backend.url) as connection:
        store, controls = await RedisStore.open(connection), await RedisControls.open(connection)
        await store.accept([alert_entry()])
        await backend.server.stop()
        assert "cannot be reached" in str(await fails_soon(store.ping()))
        await fails_soon(controls.read(SCOPE, "writes"))
        await fails_soon(store.next_epoch(SCOPE))
        await backend.server.start()
        await recovers(store.ping)
        assert await store.unhandled(10) == [alert_entry()]
        write = await controls.set_trip(SCOPE, "pins", {}, expected_version=0, op=OP, now_ms=1)
        assert write.result is WriteResult.APPLIED
        redis_cli(backend.server, "SCRIPT", "FLUSH")
        incident = new_incident()
        await store.open_incident(incident, record_of(incident))
        assert await store.journal("i1") == [record_of(incident)]


@pytest.mark.slow
async def test_kill_9_loses_nothing_that_was_acknowledged(tmp_path: Path) -> None:
    """With `appendfsync always`: epochs go on, alerts, incidents and trips are there."""
    async with (
        Redis(tmp_path, options=["--appendfsync", "always"]) as server,
        opened(server.url) as connection,
    ):
        store, controls = await RedisStore.open(connection), await RedisControls.open(connection)
        told: set[str] = set()
        epoch = 0

        async def commit() -> None:
            nonlocal epoch
            number = len(told)
            scope = Scope(f"s{number}")
            incident = new_incident(f"i{number}", scope)
            await store.open_incident(incident, record_of(incident))
            await store.accept([alert_entry(f"f{number}")])
            await controls.set_trip(scope, "pins", {}, expected_version=0, op=OP, now_ms=1)
            epoch = await store.next_epoch(SCOPE)
            told.add(str(number))

        async def commit_for_ever() -> None:
            while True:
                await commit()

        for _ in range(3):
            goal = len(told) + 50
            committing = asyncio.create_task(commit_for_ever())

            async def enough(goal: int = goal) -> bool:
                return len(told) >= goal

            await eventually(enough, within_seconds=20, every_seconds=0.002)
            server.kill()
            with pytest.raises(TemporaryError):
                await committing
            await server.start()
            await recovers(store.ping)
            opened_ids = {i.id[1:] for i in await store.incidents(open_only=True, limit=9_999)}
            assert told - opened_ids == set()
            alerts = await store.unhandled(9_999)
            assert told - {entry.alert.fingerprint[1:] for entry in alerts} == set()
            tripped = {scope.service[1:] for scope in await controls.scopes()}
            assert told - tripped == set()
            assert await store.next_epoch(SCOPE) > epoch
            # what was under way when it died may have happened: it is repeated as a caller would
            told.update(opened_ids & tripped)


async def test_wait_replicas_counts_what_replicas_have(tmp_path: Path) -> None:
    """Too few is an error although the change stands; with one replica it passes."""
    at_once = ["--repl-diskless-sync-delay", "0"]
    async with (
        Redis(tmp_path / "primary", options=at_once) as primary,
        opened(primary.url) as connection,
    ):
        store = await RedisStore.open(connection, wait_replicas=1)
        error = await fails_soon(store.next_epoch(SCOPE))
        assert "fewer than 1 replicas have acknowledged" in str(error)
        incident = new_incident()
        await fails_soon(store.open_incident(incident, record_of(incident)))
        options = ["--replicaof", "127.0.0.1", str(primary.port)]
        async with Redis(tmp_path / "replica", options=options) as replica:
            await recovers(lambda: store.open_incident(incident, record_of(incident)))
            stored = redis_cli(replica, "GET", f"rollbackd:{{{SCOPE}}}:open")
            assert stored == incident.id
            async with opened(replica.url) as to_replica:
                on_replica = await RedisStore.open(to_replica)
                assert await on_replica.incident("i1") == incident
                assert "is a replica" in str(await fails_soon(on_replica.next_epoch(SCOPE)))


async def test_a_repetition_waits_for_what_it_repeats(tmp_path: Path) -> None:
    """It writes nothing itself, on a connection that has written nothing, and must not pass."""
    at_once = ["--repl-diskless-sync-delay", "0"]
    async with Redis(tmp_path / "primary", options=at_once) as primary:
        options = ["--replicaof", "127.0.0.1", str(primary.port)]
        incident = new_incident()
        async with Redis(tmp_path / "replica", options=options) as replica:
            async with opened(primary.url) as connection:
                store = await RedisStore.open(connection, wait_replicas=1)
                await recovers(lambda: store.set_pause(None))
                replica.pause()
                await fails_soon(store.open_incident(incident, record_of(incident)))
            async with opened(primary.url) as connection:
                store = await RedisStore.open(connection, wait_replicas=1)
                await fails_soon(store.open_incident(incident, record_of(incident)))


async def test_a_fast_clock_of_the_past_does_not_stop_epochs(backend: RedisBackend) -> None:
    """After an epoch far ahead of the clock the next is one more."""
    store = await backend.store()
    ahead = 4_000_000_000_000_000
    key = f"rollbackd:{{{SCOPE}}}:epoch"
    redis_cli(backend.server, "-n", str(backend.database), "SET", key, str(ahead))
    assert [await store.next_epoch(SCOPE) for _ in range(2)] == [ahead + 1, ahead + 2]
    await store.close()


async def test_an_epoch_does_not_fall_behind_one_that_a_failover_lost(
    backend: RedisBackend,
) -> None:
    """It follows the clock, so a store that lost the last grant still goes above it."""
    store = await backend.store()
    granted = await store.next_epoch(SCOPE)
    redis_cli(backend.server, "-n", str(backend.database), "FLUSHDB")
    assert await store.next_epoch(SCOPE) > granted
    await store.close()


async def test_a_server_out_of_memory_takes_no_writes(tmp_path: Path) -> None:
    """Reading goes on; once there is memory, so does writing."""
    async with Redis(tmp_path) as server, opened(server.url) as connection:
        store = await RedisStore.open(connection)
        redis_cli(server, "CONFIG", "SET", "maxmemory", "1")
        error = await fails_soon(store.accept([alert_entry()]))
        assert "out of memory" in str(error)
        assert await store.unhandled(10) == []
        redis_cli(server, "CONFIG", "SET", "maxmemory", "0")
        assert await store.accept([alert_entry()]) == 1


async def test_cancelled_commands_leave_no_reply_behind(
    connection: RedisConnection, proxy: FaultProxy
) -> None:
    """Each later command gets its own reply (CVE-2023-28858)."""
    for number in range(20):
        await connection.write(("SET", f"k{number}", number))
    proxy.delay_replies(0.005)

    async def echo(number: int) -> None:
        assert await connection.read("GET", f"k{number}") == str(number).encode()

    for round_ in range(15):
        tasks = [asyncio.create_task(echo(number)) for number in range(20)]
        await asyncio.sleep(0.002 * (round_ % 5))
        for task in tasks[::2]:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert results[1::2] == [None] * 10
        assert {type(result) for result in results[::2]} <= {type(None), asyncio.CancelledError}
    assert proxy.connections <= 32
