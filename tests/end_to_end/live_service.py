"""The example service in processes of its own, what its effects land in, and impatient clients."""

import asyncio
import importlib
import itertools
import json
import random
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp
from aiohttp import web

from rollbackd.guard import idempotency_key
from tests.services.processes import ServerProcess, answers_http, free_port

EXAMPLES = Path(__file__).parents[2] / "docs" / "examples"
HOST = "127.0.0.1"
QUESTIONS = [f"why-{number}" for number in range(30)]
_LOST = (aiohttp.ClientError, OSError, TimeoutError)


def example(name: str) -> Any:
    """A module of the examples, which import each other as files beside them."""
    if str(EXAMPLES) not in sys.path:
        sys.path.append(str(EXAMPLES))
    return importlib.import_module(name)


class ServiceProcess(ServerProcess):
    """`rag_service.py` as its page says to run it."""

    name = "rag_service"

    def __init__(self, directory: Path, **options: str | float) -> None:
        super().__init__(directory)
        self.url = f"http://{self.address}"
        self._options = options

    def command(self) -> Sequence[str | Path]:
        named = {**self._options, "port": self.port}
        options = [(f"--{name.replace('_', '-')}", str(value)) for name, value in named.items()]
        return [sys.executable, EXAMPLES / "rag_service.py", *itertools.chain(*options)]

    async def answers(self) -> bool:
        return await answers_http(f"{self.url}/healthz")


class PaymentSystem:
    """The example's payments behind one address for each service, so that it knows who asks."""

    def __init__(self, app: web.Application, ledger: Any) -> None:
        self.ledger = ledger
        self.ports = [free_port(), free_port()]
        self._runner = web.AppRunner(app)
        self._killing: tuple[int, bool, Callable[[], None]] | None = None
        self.killed = asyncio.Event()

    @classmethod
    @asynccontextmanager
    async def open(cls) -> AsyncIterator["PaymentSystem"]:
        payments = example("payments")
        app = payments.build()
        system = cls(app, app[payments.LEDGER])
        app.middlewares.append(system.kill_who_asks)
        await system._runner.setup()
        for port in system.ports:
            await web.TCPSite(system._runner, HOST, port).start()
        try:
            yield system
        finally:
            await system._runner.cleanup()

    async def kill_next(self, service: int, kill: Callable[[], None], *, made: bool) -> None:
        """Return once a service was killed in the middle of a payment that was made, or was not."""
        self.killed.clear()
        self._killing = (self.ports[service], made, kill)
        await self.killed.wait()

    @property
    def kill_who_asks(self) -> Any:
        @web.middleware
        async def middleware(request: web.Request, handler: Any) -> web.StreamResponse:
            killing, transport = self._killing, request.transport
            if killing is None or request.method != "POST" or transport is None:
                return await handler(request)  # type: ignore[no-any-return]
            port, made, kill = killing
            if transport.get_extra_info("sockname")[1] != port:
                return await handler(request)  # type: ignore[no-any-return]
            self._killing = None
            response = await handler(request) if made else web.Response(status=500)
            kill()
            self.killed.set()
            return response  # type: ignore[no-any-return]

        return middleware


@dataclass(frozen=True, slots=True)
class Answer:
    """What one user was told."""

    asked_at_ms: int
    user: str
    told: dict[str, Any]


class Load:
    """Clients that ask any of the services, again and again until they have their answer."""

    def __init__(self, services: Sequence[ServiceProcess], seed: int) -> None:
        self._services = services
        self._random = random.Random(seed)
        self.answers: list[Answer] = []
        self.refused: Counter[str] = Counter()
        self.lost = 0
        self.begun: list[str] = []
        self.done: list[str] = []
        self.decided: Counter[str] = Counter()
        self.closing = False

    def idempotency_key(self, key: str) -> str:
        """What the service makes of a client's key."""
        return idempotency_key(
            source_type="refund", source_id=key, action="refund", tenant=tenant_of(key)
        )

    @asynccontextmanager
    async def refunding(self, clients: int) -> AsyncIterator[None]:
        """Refunds and feedback while the block runs; what is begun is brought to its end."""
        self.closing = False
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            for client in range(clients):
                tasks.create_task(self._refunds(session, client))
            tasks.create_task(self._feedback(session))
            yield
            self.closing = True

    @asynccontextmanager
    async def asking(self, clients: int, users: int) -> AsyncIterator[None]:
        """Questions for as long as the block runs."""
        async with aiohttp.ClientSession(cookie_jar=aiohttp.DummyCookieJar()) as session:
            tasks = [
                asyncio.create_task(
                    self._asks(session, [f"u{n}" for n in range(client, users, clients)])
                )
                for client in range(clients)
            ]
            try:
                yield
                assert not any(task.done() for task in tasks)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    async def _refunds(self, session: aiohttp.ClientSession, client: int) -> None:
        for number in itertools.count():
            if self.closing:
                return
            if self.done and self._random.random() < 0.3:
                key = self._random.choice(self.done)
            else:
                key = f"{client}-{number}"
                self.begun.append(key)
            decision = await self._refund(session, key)
            self.decided[decision] += 1
            self.done.append(key)

    async def _refund(self, session: aiohttp.ClientSession, key: str) -> str:
        """Send one refund until somebody says that it was made."""
        headers = {"Idempotency-Key": key, "X-Tenant": tenant_of(key)}
        while True:
            # an impatient client hangs up: its reply is lost, and the effect may be made
            patience = self._random.uniform(0.001, 0.02) if self._random.random() < 0.1 else 10.0
            url = f"{self._random.choice(self._services).url}/refunds"
            try:
                async with (
                    asyncio.timeout(patience),
                    session.post(url, data="10 EUR", headers=headers) as response,
                ):
                    text = await response.text()
                    if response.status == 200:
                        return str(json.loads(text)["decision"])
                    assert response.status in {429, 503}, text
                    assert response.headers["Retry-After"]
                    self.refused[f"refund {response.status}"] += 1
            except _LOST:
                self.lost += 1
            await asyncio.sleep(self._random.uniform(0.02, 0.1))

    async def _feedback(self, session: aiohttp.ClientSession) -> None:
        """An idempotent write that carries the time at which it was sent."""
        while not self.closing:
            url = f"{self._random.choice(self._services).url}/feedback/{len(self.refused)}"
            try:
                async with session.put(url, data=str(now_ms())) as response:
                    assert response.status in {204, 429, 503}
                    if response.status != 204:
                        self.refused[f"feedback {response.status}"] += 1
            except _LOST:
                self.lost += 1
            await asyncio.sleep(0.01)

    async def _asks(self, session: aiohttp.ClientSession, users: list[str]) -> None:
        """Each user's questions one after the other, with the cookie that the last answer set."""
        cookies: dict[str, str] = {}
        for user in itertools.cycle(users):
            url = f"{self._random.choice(self._services).url}/answers"
            headers = {"X-User": user}
            if user in cookies:
                headers["Cookie"] = f"arm={cookies[user]}"
            asked_at_ms = now_ms()
            query = {"q": self._random.choice(QUESTIONS)}
            try:
                async with session.get(url, params=query, headers=headers) as response:
                    if response.status == 200:
                        cookies[user] = response.cookies["arm"].value
                        self.answers.append(Answer(asked_at_ms, user, await response.json()))
                        continue
                    assert response.status in {429, 503}
                    self.refused[f"answer {response.status}"] += 1
            except _LOST:
                self.lost += 1
            await asyncio.sleep(0.05)


def tenant_of(key: str) -> str:
    """Whose refund it is."""
    return f"t{len(key) % 3}"


def now_ms() -> int:
    """As the daemon and the payments date things."""
    return int(time.time() * 1000)
