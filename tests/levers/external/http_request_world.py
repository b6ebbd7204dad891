"""A resource behind an HTTP API with entity tags."""

import contextlib
from typing import ClassVar

from rollbackd.levers.http_request import HttpRead, HttpRequestSettings, HttpWrite
from tests.levers.external.resource_server import TOKEN, ResourceServer
from tests.levers.external.serving import serving
from tests.levers.external.world import Value, World


class HttpRequestWorld(World):
    """`router`, which points at a backend, and says under which incident it was moved."""

    lever_type: ClassVar[str] = "http_request"
    name: ClassVar[str] = "router"
    secret: ClassVar[str] = TOKEN
    bad: ClassVar[Value] = {"backend": "green", "weight": 10}
    good: ClassVar[Value] = {"backend": "blue", "weight": 90}
    other: ClassVar[Value] = {"backend": "red", "weight": 50}
    facts: ClassVar[Value] = {"up": 3, "zone": "z1"}

    async def start(self) -> None:
        self._stack = contextlib.AsyncExitStack()
        self.server = ResourceServer()
        url = await self._stack.enter_async_context(serving(self.server.application()))
        await self.put(self.bad)
        token_file = self.folder / "token"
        token_file.write_text(TOKEN)
        address = await self.proxied(url.removeprefix("http://"))
        self.build(
            HttpRequestSettings(
                url=f"http://{address}",
                token_file=token_file,
                timeout=1_000,
                observe=HttpRead(
                    path="/resources/{name}",
                    value={"backend": "/spec/backend", "weight": "/spec/weight"},
                ),
                move=HttpWrite(
                    path="/resources/{name}",
                    body={
                        "spec": {"backend": "{after.backend}", "weight": "{after.weight}"},
                        "note": "{incident_id}: {before.backend} -> {after.backend} ({op_id})",
                    },
                ),
                facts=HttpRead(
                    path="/backends/{after.backend}", value={"up": "/up", "zone": "/zone"}
                ),
                verify=HttpRead(path="/resources/{name}", value={"backend": "/spec/backend"}),
                if_match=True,
            )
        )

    async def put(self, value: Value) -> None:
        self.server.put(self.name, {"spec": value, "note": ""})

    async def held(self) -> Value:
        spec: Value = self.server.resources[self.name]["spec"]
        return spec

    async def empty(self) -> None:
        self.server.backends["blue"] = 0

    async def changes(self) -> int | None:
        return self.server.writes

    async def stop(self) -> None:
        await self._stack.aclose()
