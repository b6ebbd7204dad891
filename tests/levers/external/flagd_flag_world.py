"""A flag in a definition file, read by the evaluator of flagd's own project."""

import asyncio
import contextlib
import json
from typing import ClassVar, Final

from rollbackd.levers.flagd_flag import FlagdFlagSettings
from tests.levers.external.flagd_reader import FlagdReader
from tests.levers.external.world import Value, World

TARGETING: Final[Value] = {"if": [{"ends_with": [{"var": "email"}, "@example.com"]}, "on", "off"]}


def definition(value: Value) -> str:
    """A definition with three flags; the one under test is as `value` says."""
    flags = {
        "banner": {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "on",
        },
        "canary": {
            "variants": {"on": True, "off": False},
            "metadata": {"owner": "search"},
            **value,
        },
        "size": {"state": "ENABLED", "variants": {"s": 1, "l": 2}, "defaultVariant": "s"},
    }
    return json.dumps(
        {"$schema": "https://flagd.dev/schema/v0/flags.json", "flags": flags}, indent=2
    )


class FlagdFlagWorld(World):
    """The flag `canary` between two others."""

    lever_type: ClassVar[str] = "flagd_flag"
    name: ClassVar[str] = "canary"
    bad: ClassVar[Value] = {"state": "ENABLED", "defaultVariant": "on", "targeting": TARGETING}
    good: ClassVar[Value] = {"state": "ENABLED", "defaultVariant": "off", "targeting": {}}
    other: ClassVar[Value] = {"state": "ENABLED", "defaultVariant": "on", "targeting": {}}
    needs_recorded: ClassVar[bool] = False
    over_network: ClassVar[bool] = False
    can_be_empty: ClassVar[bool] = False

    async def start(self) -> None:
        self.file = self.folder / "flags.json"
        await self.put(self.bad)
        self._stack = contextlib.AsyncExitStack()
        self.reader = FlagdReader(lambda: asyncio.to_thread(self.file.read_text))
        await self._stack.enter_async_context(self.reader.serving())
        self.build(FlagdFlagSettings(definition_file=self.file, reader_url=self.reader.url))

    async def put(self, value: Value) -> None:
        self.file.write_text(definition(value))

    async def held(self) -> Value:
        flag = json.loads(self.file.read_text())["flags"]["canary"]
        return {field: flag[field] for field in self.bad}

    async def changes(self) -> int | None:
        # each write makes a new file
        return self.file.stat().st_ino

    async def stop(self) -> None:
        await self._stack.aclose()
