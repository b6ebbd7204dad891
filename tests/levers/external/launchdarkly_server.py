"""LaunchDarkly as far as the lever and the official SDK talk to it, in memory.

The REST API: https://launchdarkly.com/docs/api/feature-flags/get-feature-flag and
patch-feature-flag (semantic patches; 400 for conflicts with scheduled changes unless
`ignoreConflicts`, 401, 404, 405 where approvals are required, 409 for concurrent changes, 429 with
`X-Ratelimit-Reset` in milliseconds). What SDKs ask, `/all` (server-sent events) and
`/sdk/flags/{key}`: https://github.com/launchdarkly/ld-relay/blob/v8/docs/endpoints.md.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

from aiohttp import web

from tests.levers.external.serving import serving
from tests.services.processes import HOST, free_port

API_TOKEN: Final = "api-4be5f7c2-launchdarkly-for-tests"
SDK_KEY: Final = "sdk-0d1f2e3c-launchdarkly-for-tests"
PROJECT: Final = "shop"
ENVIRONMENT: Final = "production"

_SEMANTIC_PATCH: Final = "domain-model=launchdarkly.semanticpatch"


class LaunchDarklyServer:
    """One project with one environment."""

    def __init__(self) -> None:
        self.port = free_port()
        self.flags: dict[str, dict[str, Any]] = {}
        #: Every patch that took effect.
        self.patches: list[dict[str, Any]] = []
        #: Every `LD-API-Version` that was sent.
        self.api_versions: list[str] = []
        #: An answer to give to the next calls of a method in place of the right one.
        self.instead: dict[str, tuple[int, dict[str, str], Any]] = {}
        #: Flags with a pending scheduled change.
        self.scheduled: set[str] = set()
        #: What SDKs are told of a flag in place of the truth: a reader that lags.
        self.stale: dict[str, bool] = {}
        self._streams: set[asyncio.Queue[tuple[str, Any]]] = set()

    @property
    def address(self) -> str:
        return f"{HOST}:{self.port}"

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    def create(self, key: str, *, on: bool, off_variation: int | None = 1) -> None:
        self.flags[key] = {
            "variations": [True, False],
            "archived": False,
            "environments": {ENVIRONMENT: {"on": on, "version": 1, "offVariation": off_variation}},
        }

    def is_on(self, key: str) -> bool:
        return bool(self.flags[key]["environments"][ENVIRONMENT]["on"])

    def turn(self, key: str, *, on: bool) -> None:
        environment = self.flags[key]["environments"][ENVIRONMENT]
        environment["on"] = on
        environment["version"] += 1
        for stream in self._streams:
            stream.put_nowait(("patch", {"path": f"/flags/{key}", "data": self._served(key)}))

    @asynccontextmanager
    async def serving(self) -> AsyncIterator["LaunchDarklyServer"]:
        """While the block runs."""
        application = web.Application()
        application.router.add_get("/api/v2/flags/{project}/{key}", self._get)
        application.router.add_patch("/api/v2/flags/{project}/{key}", self._patch)
        application.router.add_get("/sdk/flags/{key}", self._sdk_flag)
        application.router.add_get("/all", self._stream)
        async with serving(application, port=self.port):
            yield self
            for stream in self._streams:
                stream.put_nowait(("end", None))

    def _refused(self, request: web.Request) -> web.Response | None:
        if request.headers.get("Authorization") != API_TOKEN:
            return _error(401, "unauthorized", "Invalid access token")
        self.api_versions.append(request.headers.get("LD-API-Version", ""))
        if request.method in self.instead:
            status, headers, body = self.instead[request.method]
            return web.json_response(body, status=status, headers=headers)
        known = request.match_info["project"] == PROJECT and request.match_info["key"] in self.flags
        return None if known else _error(404, "not_found", "Unknown flag key")

    async def _get(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        return refused or web.json_response(self._represented(request))

    async def _patch(self, request: web.Request) -> web.Response:
        refused = self._refused(request)
        if refused is not None:
            return refused
        if _SEMANTIC_PATCH not in request.headers["Content-Type"]:
            return _error(400, "invalid_request", "only semantic patches here")
        patch = await request.json()
        key = request.match_info["key"]
        if set(patch) - {"comment", "environmentKey", "instructions"}:
            return _error(400, "invalid_request", "unknown property")
        if patch.get("environmentKey") != ENVIRONMENT:
            return _error(400, "invalid_request", "unknown environment")
        if key in self.scheduled and request.query.get("ignoreConflicts") != "true":
            return _error(400, "invalid_request", "this would make a scheduled change fail")
        ways = {"turnFlagOn": True, "turnFlagOff": False}
        for instruction in patch["instructions"]:
            if instruction["kind"] not in ways:
                return _error(400, "invalid_request", "unknown instruction")
            self.turn(key, on=ways[instruction["kind"]])
        self.patches.append(patch)
        return web.json_response(self._represented(request))

    async def _sdk_flag(self, request: web.Request) -> web.Response:
        key = request.match_info["key"]
        if request.headers.get("Authorization") != SDK_KEY:
            return web.Response(status=401)
        return (
            web.json_response(self._served(key)) if key in self.flags else web.Response(status=404)
        )

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("Authorization") != SDK_KEY:
            return web.Response(status=401)
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        stream: asyncio.Queue[tuple[str, Any]] = asyncio.Queue()
        flags = {key: self._served(key) for key in self.flags}
        stream.put_nowait(("put", {"path": "/", "data": {"flags": flags, "segments": {}}}))
        self._streams.add(stream)
        try:
            while (event := await stream.get())[0] != "end":
                text = f"event: {event[0]}\ndata: {json.dumps(event[1])}\n\n"
                await response.write(text.encode())
        finally:
            self._streams.discard(stream)
        return response

    def _represented(self, request: web.Request) -> Mapping[str, Any]:
        """As the REST API shows a flag; `env` leaves other environments out."""
        key = request.match_info["key"]
        flag = self.flags[key]
        wanted = request.query.getall("env", [ENVIRONMENT])
        return {
            "key": key,
            "kind": "boolean",
            "archived": flag["archived"],
            "variations": [{"_id": str(n), "value": v} for n, v in enumerate(flag["variations"])],
            "environments": {
                name: {each: value for each, value in environment.items() if value is not None}
                for name, environment in flag["environments"].items()
                if name in wanted
            },
        }

    def _served(self, key: str) -> dict[str, Any]:
        """As SDKs are told of a flag."""
        environment = self.flags[key]["environments"][ENVIRONMENT]
        return {
            "key": key,
            "on": self.stale.get(key, environment["on"]),
            "version": environment["version"],
            "variations": self.flags[key]["variations"],
            "offVariation": environment["offVariation"],
            "fallthrough": {"variation": 0},
            "targets": [],
            "rules": [],
            "prerequisites": [],
            "salt": "s",
        }


def _error(status: int, code: str, message: str) -> web.Response:
    return web.json_response({"code": code, "message": message}, status=status)
