"""Reading request bodies: bounded in size, in time and, over all callers, in memory.

Alertmanager repeats a notification after a 5xx and drops it after any 4xx. So what may pass
(a body that came too slowly, too many bodies at once) is 503, and only what another try cannot
mend is 4xx.
"""

import asyncio
from collections.abc import Collection
from typing import Final

from aiohttp import web

from rollbackd.http.limits import Limits
from rollbackd.http.refusals import Refusal

_RETRY: Final = {"Retry-After": "1"}


class Bodies:
    """Hands out bodies, and counts the bytes that are held until their handlers are done."""

    def __init__(self, *, max_body_bytes: int, limits: Limits) -> None:
        self._max_body_bytes = max_body_bytes
        self._limits = limits
        self._buffer = max(limits.buffered_bytes, max_body_bytes)
        self._held = 0

    @property
    def max_bytes(self) -> int:
        """The largest body, also after it was unpacked."""
        return self._max_body_bytes

    def hold(
        self, request: web.Request, *, command: bool = False, encodings: Collection[str] = ()
    ) -> "Held":
        """The whole body, for as long as the block runs; packed in one of `encodings` or not.

        Entering raises Refusal.
        """
        limit = self._max_body_bytes
        if command:
            limit = min(limit, self._limits.command_bytes)
        return Held(self, request, limit, encodings)

    def release(self, body: bytearray) -> None:
        """It is held no longer."""
        self._held -= len(body)

    async def read(self, request: web.Request, body: bytearray, limit: int) -> None:
        """Append what comes to `body`, and count it as held. Raises Refusal."""
        try:
            if request.content.is_eof():
                # it came with the headers: nothing to wait for, and no deadline to set
                self._take(request.content.read_nowait(), body, limit)
                return
            async with asyncio.timeout(self._limits.body_seconds):
                async for chunk in request.content.iter_any():
                    self._take(chunk, body, limit)
        except TimeoutError:
            message = f"the body was not complete after {self._limits.body_seconds:g} s"
            raise Refusal(503, message, headers=_RETRY) from None
        except (web.RequestPayloadError, ConnectionError):
            raise Refusal(400, "the body broke off") from None

    def _take(self, chunk: bytes, body: bytearray, limit: int) -> None:
        body += chunk
        self._held += len(chunk)
        if len(body) > limit:
            raise _too_big(limit)
        if self._held > self._buffer:
            raise Refusal(503, "too many bodies are being read", headers=_RETRY)


class Held:
    """One body; an asynchronous context manager."""

    __slots__ = ("_bodies", "_body", "_encodings", "_limit", "_request")

    def __init__(
        self, bodies: Bodies, request: web.Request, limit: int, encodings: Collection[str]
    ) -> None:
        self._bodies = bodies
        self._request = request
        self._limit = limit
        self._encodings = encodings
        self._body = bytearray()

    async def __aenter__(self) -> bytes:
        _refuse_early(self._request, self._limit, self._encodings)
        try:
            await self._bodies.read(self._request, self._body, self._limit)
        except BaseException:
            self._bodies.release(self._body)
            raise
        return bytes(self._body)

    async def __aexit__(self, *_error: object) -> None:
        self._bodies.release(self._body)


def encoding_of(request: web.Request) -> str:
    """How the body is packed; `identity` when it is not."""
    return request.headers.get("Content-Encoding", "identity").strip().lower()


def _refuse_early(request: web.Request, limit: int, encodings: Collection[str]) -> None:
    encoding = encoding_of(request)
    if encoding != "identity" and encoding not in encodings:
        # A few compressed bytes can unpack to gigabytes: only who bounds that takes them.
        allowed = ", ".join([*encodings, "identity"])
        raise Refusal(
            415,
            f"Content-Encoding `{encoding[:40]}` is not accepted; it must be {allowed}",
            headers={"Accept-Encoding": allowed},
        )
    if (request.content_length or 0) > limit:
        raise _too_big(limit)


def _too_big(limit: int) -> Refusal:
    return Refusal(413, f"the body is over {limit} bytes")
