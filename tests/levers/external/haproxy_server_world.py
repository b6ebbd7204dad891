"""A server of a real HAProxy."""

from typing import ClassVar

from rollbackd.levers.haproxy_server import HAProxyServerSettings
from tests.levers.external.haproxy_world import HAProxyWorld
from tests.levers.external.world import Value


class HAProxyServerWorld(HAProxyWorld):
    """One of two: it is taken out, and the other is what makes that possible."""

    lever_type: ClassVar[str] = "haproxy_server"
    name: ClassVar[str] = "blue/blue2"
    bad: ClassVar[Value] = {"state": "ready"}
    good: ClassVar[Value] = {"state": "drain"}
    other: ClassVar[Value] = {"state": "maint"}

    async def start(self) -> None:
        self.build(HAProxyServerSettings(address=await self.way_there()))

    async def put(self, value: Value) -> None:
        await self.done(f"set server blue/blue2 state {value['state']}")

    async def held(self) -> Value:
        """By the statistics, which say it another way than the lever reads it."""
        lines = (await self.haproxy.runtime("show stat blue 4 -1")).splitlines()
        columns = lines[0].lstrip("# ").split(",")
        rows = [dict(zip(columns, line.split(","), strict=False)) for line in lines[1:]]
        (status,) = [row["status"] for row in rows if row["svname"] == "blue2"]
        return {"state": {"no check": "ready"}.get(status, status.lower())}

    async def empty(self) -> None:
        await self.done("set server blue/blue1 state maint")
