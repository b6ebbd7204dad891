"""A host in the map of a real HAProxy."""

from typing import ClassVar

from rollbackd.levers.haproxy_map import HAProxyMapSettings
from tests.levers.external.haproxy_world import HAProxyWorld
from tests.levers.external.world import Value


class HAProxyMapWorld(HAProxyWorld):
    """`docs` is answered by blue, by green, or by nobody."""

    lever_type: ClassVar[str] = "haproxy_map"
    name: ClassVar[str] = "docs"
    bad: ClassVar[Value] = {"value": "green"}
    good: ClassVar[Value] = {"value": "blue"}
    other: ClassVar[Value] = {"value": "red"}

    async def start(self) -> None:
        map_file = self.haproxy.map_file
        await self.done(f"add map {map_file} docs green", f"add map {map_file} web blue")
        address = await self.way_there()
        self.build(HAProxyMapSettings(address=address, map=str(map_file)))

    async def put(self, value: Value) -> None:
        await self.done(f"set map {self.haproxy.map_file} docs {value['value']}")

    async def held(self) -> Value:
        """By whom a request is answered."""
        servers = await self.served_by("docs")
        backends = {name for name, its in self.haproxy.backends.items() if servers <= set(its)}
        return {"value": backends.pop() if backends else "red"}

    async def empty(self) -> None:
        servers = self.haproxy.backends["blue"]
        await self.done(*(f"set server blue/{server} state maint" for server in servers))
