"""A flag in a real Unleash."""

import uuid
from typing import Any, ClassVar

import aiohttp

from rollbackd.levers.unleash_flag import UnleashFlagSettings
from tests.levers.external.world import Value, World
from tests.services.unleash import Unleash


class UnleashAdmin:
    """Somebody with an admin token, who works past the lever."""

    def __init__(self, server: Unleash) -> None:
        self._session = aiohttp.ClientSession(
            server.url, headers={"Authorization": server.admin_token}
        )

    async def call(self, method: str, path: str, body: object = None) -> Any:
        async with self._session.request(method, f"/api/admin/{path}", json=body) as response:
            assert response.status < 300, await response.text()
            is_json = response.content_type == "application/json"
            return await response.json() if is_json else None

    async def create(self, flag: str, *, enabled: bool) -> None:
        path = "projects/default/features"
        await self.call("POST", path, {"name": flag, "type": "kill-switch"})
        await self.switch(flag, enabled=enabled)

    async def switch(self, flag: str, *, enabled: bool) -> None:
        way = "on" if enabled else "off"
        path = f"projects/default/features/{flag}/environments/development/{way}"
        await self.call("POST", path)

    async def enabled(self, flag: str) -> bool:
        feature = await self.call("GET", f"projects/default/features/{flag}")
        (found,) = [each for each in feature["environments"] if each["name"] == "development"]
        return bool(found["enabled"])

    async def events(self, flag: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = (await self.call("GET", f"events/{flag}"))["events"]
        return found

    async def close(self) -> None:
        await self._session.close()


class UnleashFlagWorld(World):
    """A flag of its own in the environment `development`."""

    lever_type: ClassVar[str] = "unleash_flag"
    needs: ClassVar[tuple[str, ...]] = ("unleash",)
    secret: ClassVar[str] = "admin-secret-for-tests"
    bad: ClassVar[Value] = {"enabled": True}
    good: ClassVar[Value] = {"enabled": False}
    other: ClassVar[Value] = {"enabled": True}
    needs_recorded: ClassVar[bool] = False
    can_be_empty: ClassVar[bool] = False

    async def start(self) -> None:
        server = self.servers["unleash"]
        assert isinstance(server, Unleash)
        self.name = f"canary.{uuid.uuid4().hex[:8]}"  # type: ignore[misc]  # one server for all tests
        self.admin = UnleashAdmin(server)
        await self.admin.create(self.name, enabled=True)
        token_file, client_token_file = self.folder / "token", self.folder / "client-token"
        token_file.write_text(server.admin_token)
        client_token_file.write_text(server.client_token)
        self.build(
            UnleashFlagSettings(
                url=f"http://{await self.proxied(server.address)}",
                token_file=token_file,
                client_token_file=client_token_file,
                environment="development",
            )
        )

    async def put(self, value: Value) -> None:
        await self.admin.switch(self.name, enabled=bool(value["enabled"]))

    async def held(self) -> Value:
        return {"enabled": await self.admin.enabled(self.name)}

    async def changes(self) -> int | None:
        return len(await self.admin.events(self.name))

    async def stop(self) -> None:
        await self.admin.close()
