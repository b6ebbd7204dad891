"""The service of docs/examples obeys every control, over real Redis."""

import asyncio
import json
import re
import shlex
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import redis
from aiohttp import DummyCookieJar, web
from aiohttp.test_utils import TestClient, TestServer
from aiokafka import AIOKafkaConsumer

from rollbackd.guard import AsyncGuard, Guard, RedisAddress
from tests.backends import RedisBackend, redis_cli
from tests.end_to_end.live_service import example
from tests.guard.conftest import Board, until
from tests.guard.test_processes import confirmed
from tests.services.kafka import Broker

pytestmark = pytest.mark.services

DOCS = Path(__file__).parents[2] / "docs"
SCOPE = "rag/eu-1"
ALL_CANARY: dict[str, object] = {"baseline_weight": 0, "canary_weight": 1}


class Opened:
    """The service with its payments, and a client that keeps no cookies by itself."""

    def __init__(self, client: Any, guard: AsyncGuard, ledger: Any) -> None:
        self.client = client
        self.guard = guard
        self.ledger = ledger

    async def ask(self, question: str = "why", *, user: str = "u1", arm: str = "") -> Any:
        """The status and what was told, with the cookie."""
        headers = {"X-User": user, "Cookie": f"arm={arm}"} if arm else {"X-User": user}
        async with self.client.get("/answers", params={"q": question}, headers=headers) as answer:
            told = json.loads(await answer.text() or "{}")
            cookie = answer.cookies.get("arm")
            return answer.status, told | {"cookie": cookie.value if cookie else ""}

    async def refund(self, name: str, body: str = "10 EUR") -> tuple[int, Any]:
        """The status and the answer."""
        headers = {"Idempotency-Key": name}
        async with self.client.post("/refunds", data=body, headers=headers) as answer:
            if answer.status == 503:
                assert answer.headers["Retry-After"]
            return answer.status, await answer.json()


@asynccontextmanager
async def service(backend: RedisBackend) -> AsyncIterator[Opened]:
    module, payments = example("rag_service"), example("payments")
    downstream: web.Application = payments.build()
    async with TestServer(downstream) as there:
        app = module.build(
            redis=backend.url, scope=SCOPE, payments=str(there.make_url("")).rstrip("/")
        )
        async with TestClient(TestServer(app), cookie_jar=DummyCookieJar()) as client:
            yield Opened(client, app[module.GUARD], downstream[payments.LEDGER])


async def test_no_refund_gets_through_after_the_freeze_is_confirmed(
    board: Board, backend: RedisBackend
) -> None:
    """Each is made once, a refusal says when to come back, and it goes on afterwards."""
    async with service(backend) as opened:
        statuses: list[int] = []
        frozen = asyncio.Event()

        async def shopper(number: int) -> None:
            count = 0
            while not frozen.is_set():
                statuses.append((await opened.refund(f"{number}:{count // 2}"))[0])  # each twice
                count += 1

        shoppers = [asyncio.create_task(shopper(n)) for n in range(8)]
        await until(lambda: len(statuses) > 200)
        await board.freeze()
        await confirmed(backend)
        made = len(opened.ledger.payments)
        await until(lambda: statuses[-50:] == [503] * 50)
        frozen.set()
        await asyncio.gather(*shoppers)
        assert len(opened.ledger.payments) == made > 0
        assert opened.ledger.fence == str(opened.guard.view.tokens["writes"])
        await board.trip("writes", None)
        await until(opened.guard.writes_allowed)
        assert (await opened.refund("0:0"))[1]["decision"] == "duplicate"
        assert (await opened.refund("0:0", body="20 EUR"))[0] == 409
        assert len({payment.effect_id for payment in opened.ledger.payments}) == made
        async with opened.client.post("/refunds", data="10 EUR") as answer:
            assert answer.status == 400
        assert set(statuses) == {200, 503}


async def test_a_freeze_of_writers_that_are_not_idempotent_leaves_the_others(
    board: Board, backend: RedisBackend
) -> None:
    """One of all of them does not."""
    async with service(backend) as opened:

        async def rate() -> int:
            async with opened.client.put("/feedback/a1", data="5") as answer:
                return int(answer.status)

        for width, status in (("non_idempotent", 204), ("all", 503)):
            await board.freeze(width)
            await until(lambda: opened.guard.view.writes.blocked)
            await until(
                lambda wide=width == "all": opened.guard.view.writes.blocks_idempotent == wide
            )
            assert await rate() == status
            assert (await opened.refund("1"))[0] == 503
        assert opened.ledger.payments == []


async def test_what_payments_refuse_behind_their_fence_is_not_made(
    board: Board, backend: RedisBackend
) -> None:
    """And may be tried again at once: nothing is in doubt."""
    async with service(backend) as opened:
        opened.ledger.raise_fence("0000000000000009.0000000000")
        assert (await opened.refund("1"))[0] == 503
        assert await opened.guard.open_effects() == []
        await board.trip("writes", None, epoch=9)
        await until(lambda: opened.guard.view.writes_token.epoch == 9)
        assert (await opened.refund("1"))[1]["decision"] == "new"
        assert len(opened.ledger.payments) == 1


async def test_answers_follow_the_arm_the_level_the_index_and_the_generation(
    board: Board, backend: RedisBackend
) -> None:
    """No entry of the bad arm is served after the rotation."""
    async with service(backend) as opened:
        guard = opened.guard
        await board.trip("flag:canary", ALL_CANARY)
        await until(lambda: guard.arm("canary", "u1") == "canary")
        _, told = await opened.ask()
        assert (told["arm"], told["pins"]["PROMPT_VER"], told["hit"]) == ("canary", "p-12", False)
        assert (await opened.ask())[1]["hit"]
        await board.trip("flag:canary", None)
        await board.trip("cache", {"generation": 1, "namespace": "x"})
        await board.trip("alias:docs_live", {"index": "docs_vB"})
        await board.trip("pins", {"MODEL_VER": "m-0"})
        await board.trip("degrade", {"level": 4})
        await until(lambda: guard.cite_only)
        _, told = await opened.ask()
        assert (told["arm"], told["generation"], told["hit"]) == ("baseline", 1, False)
        pins = {name: told["pins"][name] for name in ("INDEX_HASH", "PROMPT_VER", "MODEL_VER")}
        assert pins == {"INDEX_HASH": "bbbb", "PROMPT_VER": "p-11", "MODEL_VER": "m-0"}
        assert (told["text"], bool(told["citations"])) == ("", True)


async def test_each_degrade_level_does_less(board: Board, backend: RedisBackend) -> None:
    """P1: no rerank, fewer passages, a shorter chain, citations alone."""
    async with service(backend) as opened:
        told = []
        for level in range(5):
            await board.trip("degrade", {"level": level})
            await until(lambda wanted=level: opened.guard.degrade_level == wanted)
            told.append((await opened.ask())[1])
        assert [len(each["citations"]) for each in told] == [8, 8, 3, 3, 3]
        assert told[0]["citations"] != told[1]["citations"]
        steps = [each["text"].partition(" in ")[2][:1] for each in told]
        assert steps == ["3", "3", "3", "1", ""]


async def test_whom_a_newer_version_took_off_the_canary_stays_off(
    board: Board, backend: RedisBackend
) -> None:
    """P2: where the next process has not read it yet. A cookie puts nobody on the canary."""
    async with service(backend) as opened:
        await board.trip("flag:canary", ALL_CANARY)
        await until(lambda: opened.guard.arm("canary", "u1") == "canary")
        cookie = (await opened.ask())[1]["cookie"]
        version = cookie.removeprefix("canary:")
        assert version == str(opened.guard.view.tokens["flag:canary"])
        newer = "0000000000000008.0000000001"
        for claim, arm in {
            f"baseline:{newer}": "baseline",
            f"baseline:{version}": "canary",
            f"canary:{newer}": "canary",
            "nonsense": "canary",
        }.items():
            _, told = await opened.ask(arm=claim)
            assert told["arm"] == arm, claim
        await board.trip("flag:canary", None)
        await until(lambda: opened.guard.arm("canary", "u1") == "baseline")
        assert (await opened.ask(arm="canary:9"))[1]["arm"] == "baseline"


async def test_a_breaker_that_is_open_leaves_the_citations(
    board: Board, backend: RedisBackend
) -> None:
    """Without keeping them as an answer; the control's open breaker admits nobody at all."""
    async with service(backend) as opened:
        breaker = opened.guard.breaker("llm")
        for _ in range(5):
            with pytest.raises(OSError), breaker.call():  # noqa: PT011
                raise OSError
        _, told = await opened.ask()
        assert (told["text"], bool(told["citations"])) == ("", True)
        limits: dict[str, object] = {"requests_per_second": 0, "burst": 1, "breaker": "closed"}
        for limit, status in ((limits, 429), ({"breaker": "open"}, 503)):
            await board.trip("throttle", limit)
            await until(
                lambda wanted=limit["breaker"]: opened.guard.view.throttle.breaker == wanted
            )
            await until(lambda: opened.guard.view.tokens["throttle"].version >= 1)
            assert (await opened.ask("other"))[0] == status


def blocked(guard: AsyncGuard) -> tuple[bool, bool]:
    """Whether writers are, and whether the idempotent ones are too."""
    writes = guard.view.writes
    return writes.blocked, writes.blocks_idempotent


async def test_its_events_reach_a_topic(kafka: Broker) -> None:
    """Keyed by the scope, as rollbackd wants them."""
    topic = f"service-{uuid.uuid4().hex[:8]}"
    await kafka.create_topic(topic, 1)
    consumer = AIOKafkaConsumer(
        topic, bootstrap_servers=kafka.address, auto_offset_reset="earliest"
    )
    await consumer.start()
    try:
        events = example("service_events").Events(f"kafka://{kafka.address}/{topic}", SCOPE)
        async with events:
            events.say("answer.served", arm="canary", values={"delta_s": 0.8})
            record = await asyncio.wait_for(consumer.getone(), 30)
    finally:
        await consumer.stop()
    event = json.loads(record.value)
    assert record.key == SCOPE.encode()
    assert {"event": "answer.served", "service": "rag", "region": "eu-1"}.items() <= event.items()


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
