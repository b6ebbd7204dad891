"""flagd's OFREP endpoint as far as the lever asks it, on the evaluator of flagd's own project.

It evaluates with `openfeature-flagd-core`, the official in-process evaluator, and answers as
flagd does: https://flagd.dev/reference/flagd-ofrep/, and OFREP 0.3.0 for the bodies. It reads the
definition, from a file or over HTTP, before each answer, where flagd watches or polls it.
"""

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from aiohttp import web
from openfeature.contrib.tools.flagd.core import FlagdCore

from tests.levers.external.serving import serving
from tests.services.processes import HOST, free_port

_TYPES = {bool: "boolean", str: "string", int: "integer", float: "float", dict: "object"}


class FlagdReader:
    """Serves `POST /ofrep/v1/evaluate/flags/{key}`; `url` is where."""

    def __init__(self, definition: Callable[[], Awaitable[str]]) -> None:
        self._definition = definition
        #: What is evaluated in place of the definition: a reader that lags.
        self.stale: str | None = None
        self.url = f"http://{HOST}:{free_port()}"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["FlagdReader"]:
        """While the block runs."""
        application = web.Application()
        application.router.add_post("/ofrep/v1/evaluate/flags/{key}", self._evaluate)
        async with serving(application, port=int(self.url.rpartition(":")[2])):
            yield self

    async def _evaluate(self, request: web.Request) -> web.Response:
        context = (await request.json())["context"]
        assert context == {}
        text = await self._definition() if self.stale is None else self.stale
        key = request.match_info["key"]
        flag = json.loads(text)["flags"].get(key)
        if flag is None or flag["state"] == "DISABLED":
            return web.json_response({"key": key, "errorCode": "FLAG_NOT_FOUND"}, status=404)
        core = FlagdCore()
        core.set_flags(text)
        resolve = getattr(
            core, f"resolve_{_TYPES[type(next(iter(flag['variants'].values())))]}_value"
        )
        details = resolve(key, None)
        answer = {"key": key, "value": details.value, "reason": str(details.reason)}
        if details.variant is not None:
            answer["variant"] = details.variant
        return web.json_response(answer)
