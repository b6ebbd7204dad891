"""What the worlds on a real HAProxy share."""

from typing import ClassVar

from tests.levers.external.world import World
from tests.services.haproxy import HAProxy


class HAProxyWorld(World):
    """Its runtime API through a proxy on a port; past it on the UNIX socket."""

    needs: ClassVar[tuple[str, ...]] = ("haproxy",)
    # HAProxy ends each connection itself, so that a reply which is dropped is not waited for
    hangs_by: ClassVar[str] = "black_hole"

    @property
    def haproxy(self) -> HAProxy:
        """The server."""
        server = self.servers["haproxy"]
        assert isinstance(server, HAProxy)
        return server

    async def way_there(self) -> str:
        """The address to give to the lever."""
        return await self.proxied(self.haproxy.socket)

    async def done(self, *commands: str) -> None:
        """Commands that answer nothing when they were done."""
        for command in commands:
            assert await self.haproxy.runtime(command) == ""

    async def served_by(self, host: str) -> set[str]:
        """The servers that answer eight requests: two rounds over all of them."""
        return {await self.haproxy.routes(host) for _ in range(8)}

    async def stop(self) -> None:
        pass
