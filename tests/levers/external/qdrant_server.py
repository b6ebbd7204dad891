"""A faithful Qdrant: what its REST API says of aliases and collections, and nothing else.

Written after https://api.qdrant.tech/api-reference (aliases, collections, points/count) and after
the server's source (`lib/storage/src/content_manager/toc/collection_meta_ops.rs`): the actions of
one list are carried out one after the other while nobody else reads; an action that fails ends the
list, and those before it stand; `create_alias` takes the place of an alias that is there.
"""

from http import HTTPStatus
from typing import Any

from aiohttp import web

_API_KEY = "api-key"


class QdrantServer:
    """Collections are `{"points": 2, "status": "green", "metadata": {...}}`."""

    def __init__(self, api_key: str) -> None:
        self._api_key = api_key
        self.collections: dict[str, dict[str, Any]] = {}
        self.aliases: dict[str, str] = {}
        self.changes = 0
        self._runner: web.AppRunner | None = None

    async def start(self) -> str:
        """Listen on loopback; `host:port`."""
        application = web.Application(middlewares=[self._authorized])
        application.router.add_get("/aliases", self._list_aliases)
        application.router.add_post("/collections/aliases", self._change_aliases)
        application.router.add_get("/collections/{name}", self._describe)
        application.router.add_post("/collections/{name}/points/count", self._count)
        self._runner = web.AppRunner(application, access_log=None)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        host, port = self._runner.addresses[0][:2]
        return f"{host}:{port}"

    async def stop(self) -> None:
        """The end of `start`."""
        if self._runner is not None:
            await self._runner.cleanup()

    @web.middleware
    async def _authorized(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if request.headers.get(_API_KEY) != self._api_key:
            return web.Response(
                status=HTTPStatus.FORBIDDEN, text="Must provide an API key or an Authorization"
            )
        response: web.StreamResponse = await handler(request)
        return response

    async def _list_aliases(self, request: web.Request) -> web.Response:
        del request
        aliases = [
            {"alias_name": alias, "collection_name": collection}
            for alias, collection in self.aliases.items()
        ]
        return _ok({"aliases": aliases})

    async def _change_aliases(self, request: web.Request) -> web.Response:
        self.changes += 1
        for action in (await request.json())["actions"]:
            (kind, what), *_ = action.items()
            if kind == "delete_alias":
                self.aliases.pop(what["alias_name"], None)
            elif kind != "create_alias":
                return _failed(HTTPStatus.BAD_REQUEST, "Format error in JSON body")
            elif what["collection_name"] not in self.collections:
                name = what["collection_name"]
                return _failed(
                    HTTPStatus.NOT_FOUND, f"Not found: Collection `{name}` doesn't exist!"
                )
            elif what["alias_name"] in self.collections:
                name = what["alias_name"]
                return _failed(HTTPStatus.CONFLICT, f"Collection `{name}` already exists!")
            else:
                self.aliases[what["alias_name"]] = what["collection_name"]
        return _ok(result=True)

    async def _describe(self, request: web.Request) -> web.Response:
        found = self._found(request)
        if found is None:
            return _failed(HTTPStatus.NOT_FOUND, "Not found: Collection doesn't exist!")
        described = {
            "status": found["status"],
            "optimizer_status": "ok",
            "points_count": found["points"],
            "segments_count": 1,
            "config": {"params": {}, "metadata": found["metadata"]},
            "payload_schema": {},
        }
        return _ok(described)

    async def _count(self, request: web.Request) -> web.Response:
        found = self._found(request)
        if found is None:
            return _failed(HTTPStatus.NOT_FOUND, "Not found: Collection doesn't exist!")
        assert (await request.json())["exact"] is True
        return _ok({"count": found["points"]})

    def _found(self, request: web.Request) -> dict[str, Any] | None:
        name = request.match_info["name"]
        return self.collections.get(self.aliases.get(name, name))


def _ok(result: Any) -> web.Response:
    return web.json_response({"result": result, "status": "ok", "time": 0.0001})


def _failed(status: HTTPStatus, error: str) -> web.Response:
    return web.json_response({"status": {"error": error}, "time": 0.0001}, status=status)
