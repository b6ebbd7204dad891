"""What all worlds on Kubernetes share: the server, its token and the way there."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar, TypeVar

from rollbackd.levers.lever_type import close_lever
from rollbackd.ports import Controls
from tests.levers.external.kubernetes_server import NAMESPACE, TOKEN, KubernetesServer
from tests.levers.external.world import World

W = TypeVar("W", bound="KubernetesWorld")


class KubernetesWorld(World):
    """A namespace of a server of the tests' own, behind TLS and a bearer token."""

    secret: ClassVar[str] = TOKEN
    name: ClassVar[str] = "web"

    async def start(self) -> None:
        self.server = KubernetesServer(self.folder)
        await self.server.start()
        self.populate()
        await self.put(self.bad)
        #: How the lever gets there: through the proxy, with the token and the CA.
        self.access = await self._access()
        self.build(self.settings(**self.access))

    def populate(self) -> None:
        """The objects that the lever needs, and their controllers."""
        raise NotImplementedError

    def settings(self, **access: Any) -> object:
        """The lever's settings."""
        raise NotImplementedError

    async def _access(self) -> dict[str, Any]:
        token_file = self.folder / "token"
        token_file.write_text(f"{TOKEN}\n")
        return {
            "url": f"https://{await self.proxied(self.server.address)}",
            "token_file": token_file,
            "ca_file": self.server.ca_file,
            "namespace": NAMESPACE,
        }

    async def changes(self) -> int:
        return self.server.writes

    async def stop(self) -> None:
        await self.server.stop()


@asynccontextmanager
async def opened(world_type: type[W], folder: Path, controls: Controls) -> AsyncIterator[W]:
    """A world of one test, at what the rollout set."""
    world = world_type(folder, {}, controls)
    await world.start()
    try:
        yield world
    finally:
        await close_lever(world.lever)
        assert world.proxy is not None
        await world.proxy.refuse()
        await world.stop()
