"""The service of docs/examples obeys every control, under load and over real Redis."""

import asyncio
import importlib.util
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import redis
from aiohttp.test_utils import TestClient, TestServer

from rollbackd.guard import Guard, RedisAddress
from tests.backends import RedisBackend, redis_cli
from tests.guard.conftest import Board, until
from tests.guard.test_processes import confirmed

pytestmark = pytest.mark.services

DOCS = Path(__file__).parents[2] / "docs"
SCOPE = "rag/eu-1"


def example() -> Any:
    """The module."""
    spec = importlib.util.spec_from_file_location("orders", DOCS / "examples" / "orders.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


async def test_no_write_gets_through_after_the_freeze_is_confirmed(
    board: Board, backend: RedisBackend
) -> None:
    """Each order is charged once, a refusal says when to come back, and it goes on afterwards."""
    module = example()
    app = module.build(backend.url, SCOPE)
    async with TestClient(TestServer(app)) as client:
        payments = app[module.PAYMENTS]
        statuses: list[int] = []
        frozen = asyncio.Event()

        async def order(name: str) -> Any:
            headers = {"Idempotency-Key": name}
            async with client.post("/orders", data="10 EUR", headers=headers) as response:
                statuses.append(response.status)
                if response.status == 503:
                    assert response.headers["Retry-After"]
                return await response.json()

        async def shopper(number: int) -> None:
            count = 0
            while not frozen.is_set():
                await order(f"{number}:{count // 2}")  # each twice
                count += 1

        shoppers = [asyncio.create_task(shopper(n)) for n in range(8)]
        await until(lambda: len(statuses) > 200)
        await board.freeze()
        await confirmed(backend)
        made = len(payments)
        await until(lambda: statuses[-50:] == [503] * 50)
        frozen.set()
        await asyncio.gather(*shoppers)
        assert len(payments) == made > 0
        await board.trip("writes", None)
        await until(app[module.GUARD].writes_allowed)
        assert (await order("0:0"))["decision"] == "duplicate"
        assert len(payments) == made
        assert set(statuses) == {200, 503}


async def test_answers_follow_the_arm_the_level_and_the_generation(
    board: Board, backend: RedisBackend
) -> None:
    """No entry of the bad arm is served after the rotation."""
    module = example()
    app = module.build(backend.url, SCOPE)
    async with TestClient(TestServer(app)) as client:
        guard = app[module.GUARD]

        async def ask() -> Any:
            query = {"q": "why", "user": "u1"}
            async with client.get("/answers", params=query) as response:
                return response.status, await response.json(content_type=None)

        await board.trip("flag:reranker", {"baseline_weight": 0, "canary_weight": 1})
        await until(lambda: guard.arm("reranker", "u1") == "canary")
        assert (await ask())[1]["text"] == "canary answers why"
        await board.trip("flag:reranker", None)
        await board.trip("cache", {"generation": 1, "namespace": "x"})
        await board.trip("degrade", {"level": 4})
        await until(lambda: guard.cite_only)
        assert await ask() == (200, {"arm": "baseline", "level": 4, "text": "see [1]"})
        await board.trip("throttle", {"requests_per_second": 0, "burst": 1, "breaker": "closed"})
        await until(lambda: guard.view.throttle.requests_per_second == 0)
        async with client.get("/answers", params={"q": "x", "user": "u"}) as response:
            assert (response.status, bool(response.headers["Retry-After"])) == (429, True)


def test_the_documented_permissions_suffice(backend: RedisBackend, tmp_path: Path) -> None:
    """For everything that a guard does, and for no control."""
    (line,) = re.findall(r"```sh\n(.*ACL.*)\n```", (DOCS / "guard.md").read_text())
    command = shlex.split(line.replace("on nopass", "on >t0p"))[1:]
    assert redis_cli(backend.server, *command) == "OK"
    (tmp_path / "password").write_text("t0p\n")
    address = RedisAddress(url=backend.url, username="guard", password_file=tmp_path / "password")
    try:
        with Guard(SCOPE, address) as guard:
            assert not guard.stale
            with guard.write() as write:
                guard.once(write, "k", lambda _claim: "r")
                guard.set_fields(write, "rollbackd:{rag/eu-1}:guard:x", {"a": 1})
            assert guard.get_or_load("q:g0:x", lambda: b"v") == b"v"
            assert guard.open_effects() == []
        client = redis.Redis.from_url(backend.url, username="guard", password="t0p")
        with pytest.raises(redis.exceptions.NoPermissionError):
            client.hset("rollbackd:{rag/eu-1}:control:writes", "effective", "{}")
        client.close()
    finally:
        redis_cli(backend.server, "ACL", "DELUSER", "guard")
