"""An endpoint is a path with the permission that it needs; there is no other way to add one."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final

from aiohttp import web

from rollbackd.http.auth import Authenticator, refuse_cross_site
from rollbackd.http.callers import NOBODY, Caller
from rollbackd.http.refusals import Refusal
from rollbackd.settings import Permission

Handler = Callable[[web.Request, Caller], Awaitable[web.StreamResponse]]

_SAFE_METHODS: Final = frozenset({"GET", "HEAD"})
READING: Final = ("GET", "HEAD")


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """`permission` has no default: who adds an endpoint says who may call it."""

    methods: tuple[str, ...]
    path: str
    #: None lets everybody in.
    permission: Permission | None
    handler: Handler
    #: Whether a mutating call has to be `application/json`, which no HTML form can send.
    json_only: bool = False
    #: Whether it waits for anything but its body, which has a deadline of its own.
    waits: bool = True


def install(
    app: web.Application,
    endpoints: Iterable[Endpoint],
    authenticator: Authenticator,
    *,
    answer_seconds: float,
) -> None:
    """Add the endpoints to the application, each behind its permission and a deadline."""
    for endpoint in endpoints:
        handler = _guarded(endpoint, authenticator, answer_seconds)
        for method in endpoint.methods:
            app.router.add_route(method, endpoint.path, handler)


def _guarded(
    endpoint: Endpoint, authenticator: Authenticator, answer_seconds: float
) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def guarded(request: web.Request) -> web.StreamResponse:
        caller = NOBODY
        if endpoint.permission is not None:
            caller = authenticator.authorize(request, endpoint.permission)
        if request.method not in _SAFE_METHODS:
            refuse_cross_site(request)
        if endpoint.json_only and request.content_type != "application/json":
            raise Refusal(415, "send `Content-Type: application/json`")
        if not endpoint.waits:
            return await endpoint.handler(request, caller)
        async with asyncio.timeout(answer_seconds):
            return await endpoint.handler(request, caller)

    return guarded
