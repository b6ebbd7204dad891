"""A small HTTP API of resources with entity tags, as RFC 9110 says of conditional requests.

Section 8.8.3 for `ETag`, 13.1.1 for `If-Match`: strong comparison, 412 where it does not hold.
`/backends/{name}` says how many servers a backend has; `/resources/{name}` is what is moved.
"""

import json
from typing import Any

from aiohttp import web

TOKEN = "hunter2-http"


class ResourceServer:
    """Resources by name, each with a version that is its entity tag."""

    def __init__(self) -> None:
        self.resources: dict[str, dict[str, Any]] = {}
        self.versions: dict[str, int] = {}
        self.backends = {"blue": 3, "green": 3, "red": 3}
        self.writes = 0
        #: What was asked, as it stood on the wire.
        self.asked: list[tuple[str, str]] = []

    def application(self) -> web.Application:
        application = web.Application(middlewares=[self._authorized])
        application.router.add_get("/resources/{name}", self._get)
        application.router.add_put("/resources/{name}", self._put)
        application.router.add_get("/backends/{name}", self._backend)
        return application

    def put(self, name: str, resource: dict[str, Any]) -> None:
        """A write, by whoever it is."""
        self.resources[name] = resource
        self.versions[name] = self.versions.get(name, 0) + 1
        self.writes += 1

    @web.middleware
    async def _authorized(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append((request.method, request.raw_path))
        if request.headers.get("Authorization") != f"Bearer {TOKEN}":
            return web.json_response({"error": f"no {TOKEN}"}, status=401)
        answer: web.StreamResponse = await handler(request)
        return answer

    async def _get(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.resources:
            return web.json_response({"error": f"no resource {name}"}, status=404)
        return web.json_response(self.resources[name], headers={"ETag": self._tag(name)})

    async def _put(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        tag = request.headers.get("If-Match")
        if tag is not None and (name not in self.resources or tag != self._tag(name)):
            return web.json_response({"error": "precondition failed"}, status=412)
        self.put(name, json.loads(await request.text()))
        return web.json_response(self.resources[name], headers={"ETag": self._tag(name)})

    async def _backend(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.backends:
            return web.json_response({"error": f"no backend {name}"}, status=404)
        return web.json_response({"up": self.backends[name], "zone": "z1"})

    def _tag(self, name: str) -> str:
        return f'"{self.versions[name]}"'
