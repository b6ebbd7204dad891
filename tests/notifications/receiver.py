"""A real HTTP receiver that answers as the test wants; time passes until something is so."""

import asyncio
import ssl
from collections.abc import Callable
from typing import Any, NamedTuple, Self

import orjson
from aiohttp import web

from rollbackd.clock import ManualClock
from rollbackd.telemetry import Telemetry
from tests.services.polling import eventually
from tests.services.processes import HOST, free_port


class Request(NamedTuple):
    """What arrived."""

    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Receiver:
    """Takes every POST; `answers` are used up one a request, then it is 200 for ever.

    An answer is a status, a response, `hang` or `reset`.
    """

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self.port = free_port()
        self.requests: list[Request] = []
        self.answers: list[int | str | web.Response] = []
        self._tls = tls
        self._runner: web.ServerRunner | None = None
        self._closing = asyncio.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://{HOST}:{self.port}/hook"

    async def got(self, number: int, clock: ManualClock | None = None) -> list[Request]:
        """The requests, once there are so many; meanwhile the clock, if given, moves."""
        await passing(lambda: len(self.requests) >= number, clock)
        return self.requests

    async def __aenter__(self) -> Self:
        self._runner = web.ServerRunner(
            web.Server(self._answer, access_log=None), shutdown_timeout=1
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, self.port, ssl_context=self._tls).start()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._closing.set()
        assert self._runner is not None
        await self._runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(Request(request.path, dict(request.headers), body))
        answer = self.answers.pop(0) if self.answers else 200
        if answer == "hang":
            await self._closing.wait()
        elif answer == "reset":
            assert request.transport is not None
            request.transport.abort()
        elif isinstance(answer, web.Response):
            return answer
        return web.Response(status=answer if isinstance(answer, int) else 200)


async def passing(done: Callable[[], object], clock: ManualClock | None = None) -> None:
    """Wait until it is so; a manual clock moves by a second at each look."""

    async def look() -> object:
        if not (answer := done()) and clock is not None:
            clock.advance(1_000)
        return answer

    await eventually(look, within_seconds=20)


def counted(telemetry: Telemetry, notifier: str, result: str) -> float:
    """Deliveries of a notifier that ended so."""
    labels = {"notifier": notifier, "result": result}
    return telemetry.registry.get_sample_value("rollbackd_notifications_total", labels) or 0.0
