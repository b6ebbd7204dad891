"""What both guards promise: local reads, writes, arms, keys, and a store that is away."""

import json

import pytest
import redis

from rollbackd.guard import Arm, Refusal, WriteRefusedError
from rollbackd.guard.view import Token
from tests.backends import RedisBackend, redis_cli
from tests.guard.conftest import Board, OpenGuard, until
from tests.guard.driving import PINS

pytestmark = pytest.mark.services

READERS = "rollbackd:{rag/eu-1}:guard:readers"


async def test_every_control_is_obeyed(board: Board, open_guard: OpenGuard) -> None:
    """The defaults first, and each change soon after it was made."""
    guard = (await open_guard()).local
    assert (guard.degrade_level, guard.cite_only, guard.cache_generation) == (0, False, 0)
    assert guard.writes_allowed()
    assert guard.arm("reranker", "u1") is Arm.BASELINE
    assert guard.pins == PINS
    before = guard.cache_key("q", "what?")
    await board.trip("degrade", {"level": 4})
    await board.trip("cache", {"generation": 3, "namespace": "9f2c"})
    await board.trip("pins", {"PROMPT_VER": "p-0"})
    await board.trip("flag:reranker", {"baseline_weight": 0, "canary_weight": 1})
    await board.freeze()
    await until(lambda: not guard.writes_allowed())
    assert (guard.degrade_level, guard.cite_only, guard.cache_generation) == (4, True, 3)
    assert guard.pins == {**PINS, "PROMPT_VER": "p-0"}
    assert guard.arm("reranker", "u1") is Arm.CANARY
    assert guard.cache_key("q", "what?").startswith("q:g3:")
    assert guard.cache_key("q", "what?") != before
    assert guard.view.writes_token == Token(epoch=7, version=1)


@pytest.mark.parametrize(
    ("scope", "idempotent", "allowed"),
    [
        ("non_idempotent", False, False),
        ("non_idempotent", True, True),
        ("all", True, False),
        ("everyhting", True, False),
    ],
)
async def test_a_freeze_refuses_with_503_and_retry_after(
    board: Board, open_guard: OpenGuard, scope: str, *, idempotent: bool, allowed: bool
) -> None:
    """K20; a fence of an unknown width is the widest."""
    guard = (await open_guard()).local
    await board.freeze(scope)
    await until(lambda: not guard.writes_allowed())
    assert guard.writes_allowed(idempotent=idempotent) is allowed
    if allowed:
        with guard.write(idempotent=True) as write:
            write.check()
        return
    with pytest.raises(WriteRefusedError) as refused:
        guard.write(idempotent=idempotent)
    assert refused.value.reason is Refusal.FROZEN
    assert (refused.value.status, refused.value.counted_as) == (503, 423)
    assert refused.value.headers == {"Retry-After": "30", "X-Rollbackd-Refused": "frozen"}


async def test_a_write_that_began_before_a_freeze_does_not_go_on(
    board: Board, open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """Neither here once it is known, nor at the target before it is."""
    guard = await open_guard(poll_seconds=4.0, lease_seconds=60.0)
    with guard.local.write() as write:
        await guard.do("set_fields", write, "order:{rag/eu-1}:1", {"state": "paid"})
        await board.freeze()
        with pytest.raises(WriteRefusedError) as refused:
            await guard.do("set_fields", write, "order:{rag/eu-1}:1", {"state": "twice"})
        assert refused.value.reason is Refusal.SUPERSEDED
        await until(lambda: not guard.local.writes_allowed())
        with pytest.raises(WriteRefusedError):
            write.check()
        with pytest.raises(ValueError, match="hash tag"):
            await guard.do("set_fields", write, "order:1", {"state": "twice"})
    client = redis.Redis.from_url(backend.url)
    assert client.hgetall("order:{rag/eu-1}:1") == {b"state": b"paid"}
    client.close()


async def test_after_the_unfreeze_an_old_token_is_still_refused(
    board: Board, open_guard: OpenGuard
) -> None:
    """The write began before the freeze: what it has read may be undone."""
    guard = await open_guard()
    with guard.local.write() as write:
        await board.freeze()
        await board.trip("writes", None)
        await until(lambda: guard.local.view.writes_token.version == 2)
        with pytest.raises(WriteRefusedError) as refused:
            write.check()
        assert refused.value.reason is Refusal.SUPERSEDED
    with guard.local.write() as write:
        write.check()


async def test_a_store_that_is_down_changes_nothing_and_a_lease_that_passes_only_writes(
    board: Board, open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """The last value stays; a write that is not idempotent needs to know. Then Redis is back."""
    now = [100.0]
    opened = await open_guard(clock=lambda: now[0])
    guard = opened.local
    await board.trip("degrade", {"level": 2})
    await until(lambda: guard.degrade_level == 2)
    backend.server.kill()
    now[0] += 5.0
    await until(lambda: guard._unreachable)
    assert guard.stale
    assert guard.age_seconds is not None
    assert guard.age_seconds >= 5.0
    assert guard.degrade_level == 2
    assert guard.writes_allowed()
    with pytest.raises(WriteRefusedError) as refused:
        guard.write()
    assert refused.value.reason is Refusal.STALE
    with guard.write(idempotent=True) as write:
        write.check()
    await backend.server.start()
    await until(lambda: not guard.stale)
    with guard.write() as write:
        write.check()


async def test_a_guard_that_never_read_anything_lets_no_write_in(open_guard: OpenGuard) -> None:
    """It opens all the same, and everything else is at its default."""
    opened = await open_guard(url="redis://127.0.0.1:1/0")
    guard = opened.local
    assert (guard.age_seconds, guard.stale, guard.degrade_level) == (None, True, 0)
    assert not guard.writes_allowed()
    assert guard.writes_allowed(idempotent=True)
    with pytest.raises(WriteRefusedError):
        guard.write()


async def test_a_clock_that_goes_backwards_ends_the_lease(open_guard: OpenGuard) -> None:
    """How old the controls are is then not known."""
    now = [100.0]
    guard = (await open_guard(clock=lambda: now[0], poll_seconds=4.0)).local
    assert not guard.stale
    now[0] = 99.0
    assert guard.stale


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("degrade", '{"level": 9}'),
        ("degrade", "not JSON"),
        ("throttle", '{"requests_per_second": -1}'),
        ("cache", '{"generation": true}'),
        ("pins", '{"PROMPT_VER": 3}'),
        ("writes", "[]"),
        ("flag:a", '"x"'),
    ],
)
async def test_a_value_that_cannot_be_used_leaves_the_last_one(
    board: Board, open_guard: OpenGuard, backend: RedisBackend, name: str, broken: str
) -> None:
    """With its version, so that nobody thinks the new one is obeyed; and it is logged."""
    guard = (await open_guard()).local
    await board.trip("degrade", {"level": 2})
    await until(lambda: guard.degrade_level == 2)
    token = guard.view.tokens.get(name, Token())
    key = "rollbackd:{rag/eu-1}:control:" + name
    database = str(backend.database)
    redis_cli(backend.server, "-n", database, "SADD", "rollbackd:{rag/eu-1}:controls", name)
    redis_cli(backend.server, "-n", database, "HSET", key, "effective", broken, "version", "9")
    await until(lambda: guard.view.unreadable == (name,))
    assert guard.degrade_level == 2
    assert guard.view.tokens[name] == token


async def test_a_hint_is_heard_long_before_the_next_poll(
    board: Board, open_guard: OpenGuard
) -> None:
    """The poll is minutes away."""
    guard = (await open_guard(poll_seconds=500.0, lease_seconds=540.0)).local
    await until(lambda: guard.age_seconds is not None)

    async def tripped() -> bool:
        await board.trip("degrade", {"level": 3})
        return guard.degrade_level == 3

    # the first hints may come before the guard has subscribed
    for _ in range(200):
        if await tripped():
            break
    await until(lambda: guard.degrade_level == 3)


async def test_it_says_with_what_it_runs_and_signs_off(
    board: Board, open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """The acknowledgement follows each change, and is gone with the guard."""
    opened = await open_guard()
    guard = opened.local
    client = redis.Redis.from_url(backend.url)

    def said() -> dict[str, str]:
        text = client.hget(READERS, guard.reader_id)
        assert isinstance(text, bytes)
        return dict(json.loads(text)["controls"])

    await board.freeze()
    await until(lambda: said().get("writes") == str(Token(epoch=7, version=1)))
    await board.trip("degrade", {"level": 1}, epoch=8)
    await until(lambda: said()["degrade"] == str(Token(epoch=8, version=1)))
    await opened.close()
    assert client.hgetall(READERS) == {}
    assert client.zcard("rollbackd:{rag/eu-1}:guard:seen") == 0
    client.close()


async def test_with_a_write_under_way_it_does_not_sign_off(
    open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """The freeze waits for its lease; nothing more is let in, and the write may not go on."""
    opened = await open_guard(poll_seconds=4.0, lease_seconds=60.0)
    guard = opened.local
    client = redis.Redis.from_url(backend.url)
    with guard.write() as write:
        write.check()
        await opened.close()
        assert client.hkeys(READERS) == [guard.reader_id.encode()]
        for refused in (write.check, guard.write, lambda: guard.write(idempotent=True)):
            with pytest.raises(WriteRefusedError) as error:
                refused()
            assert error.value.reason is Refusal.STALE
    client.close()


async def test_a_lease_that_outlives_the_memory_of_readers_is_refused(
    open_guard: OpenGuard,
) -> None:
    """A freeze would be confirmed without a reader that may still write."""
    with pytest.raises(ValueError, match="it has to be under 545 s"):
        await open_guard(lease_seconds=546.0)


async def test_a_restarted_server_gets_its_scripts_again(
    open_guard: OpenGuard, backend: RedisBackend
) -> None:
    """SCRIPT FLUSH is what a restart or a failover leaves."""
    opened = await open_guard()
    redis_cli(backend.server, "SCRIPT", "FLUSH")
    assert await opened.do("open_effects") == []
    assert await opened.do("get_or_load", "q:g0:x", lambda: b"value") == b"value"


@pytest.mark.parametrize("scope", ["", "a b", "rag/", "rag/eu/1", "../x", "a/{b}"])
async def test_what_is_no_scope_is_refused(open_guard: OpenGuard, scope: str) -> None:
    """It would be part of a key."""
    del open_guard
    from rollbackd.guard import Guard  # noqa: PLC0415

    with pytest.raises(ValueError, match="is not a scope"):
        Guard(scope)
