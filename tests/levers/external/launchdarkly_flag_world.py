"""A flag in a small faithful LaunchDarkly."""

import contextlib
from typing import ClassVar

from rollbackd.levers.launchdarkly_flag import LaunchDarklyFlagSettings
from tests.levers.external.launchdarkly_server import (
    API_TOKEN,
    ENVIRONMENT,
    PROJECT,
    SDK_KEY,
    LaunchDarklyServer,
)
from tests.levers.external.world import Value, World


class LaunchDarklyFlagWorld(World):
    """The flag `canary` in the environment `production`."""

    lever_type: ClassVar[str] = "launchdarkly_flag"
    name: ClassVar[str] = "canary"
    secret: ClassVar[str] = API_TOKEN
    bad: ClassVar[Value] = {"on": True}
    good: ClassVar[Value] = {"on": False}
    other: ClassVar[Value] = {"on": True}
    needs_recorded: ClassVar[bool] = False
    can_be_empty: ClassVar[bool] = False

    async def start(self) -> None:
        self.server = LaunchDarklyServer()
        self.server.create(self.name, on=True)
        self._stack = contextlib.AsyncExitStack()
        await self._stack.enter_async_context(self.server.serving())
        token_file, sdk_key_file = self.folder / "token", self.folder / "sdk-key"
        token_file.write_text(API_TOKEN)
        sdk_key_file.write_text(SDK_KEY)
        url = f"http://{await self.proxied(self.server.address)}"
        self.build(
            LaunchDarklyFlagSettings(
                url=url,
                token_file=token_file,
                project=PROJECT,
                environment=ENVIRONMENT,
                sdk_key_file=sdk_key_file,
                reader_url=url,
            )
        )

    async def put(self, value: Value) -> None:
        self.server.turn(self.name, on=bool(value["on"]))

    async def held(self) -> Value:
        return {"on": self.server.is_on(self.name)}

    async def changes(self) -> int | None:
        return len(self.server.patches)

    async def stop(self) -> None:
        await self._stack.aclose()
