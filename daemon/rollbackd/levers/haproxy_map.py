"""`haproxy_map`: turn one key of an HAProxy map, such as a host, back to its known good backend.

https://docs.haproxy.org/dev/management.html#9.3-set%20map
"""

from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from rollbackd.errors import PermanentError
from rollbackd.levers.external_lever import version_of
from rollbackd.levers.haproxy_api import HAProxyLever, HAProxySettings, word_of
from rollbackd.levers.lever_type import Surroundings
from rollbackd.model.levers import Change, Observation, Op, Target
from rollbackd.ports import TargetMovedError


class HAProxyMapSettings(HAProxySettings, frozen=True, kw_only=True):
    """Which HAProxy, and which of its maps."""

    map: Annotated[
        str,
        Meta(
            min_length=1,
            description="The map by the file that HAProxy loaded it from, e.g. "
            "`/etc/haproxy/hosts.map`; `show map` lists them.",
        ),
    ]
    values_are_backends: Annotated[
        bool,
        Meta(description="Refuse a value that is no backend with a server that can be used."),
    ] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        try:
            word_of(self.map)
        except PermanentError as error:
            raise ValueError(f"`map`: {error}") from None


class HAProxyMap(HAProxyLever):
    """Sets the value of one key in a map of the running HAProxy; the map's file is not written."""

    Settings: ClassVar[type[msgspec.Struct] | None] = HAProxyMapSettings

    def __init__(self, name: str, settings: HAProxyMapSettings, surroundings: Surroundings) -> None:
        super().__init__(name, settings, surroundings)
        self._settings = settings

    async def observe(self, target: Target) -> Observation:
        """`{"value": "blue"}`."""
        value: dict[str, object] = {"value": await self._held(target)}
        return Observation(value=value, version=version_of(value))

    async def preflight(self, change: Change) -> str:
        """The backend is there, and has a server that can be used."""
        objection = await super().preflight(change)
        if objection:
            return objection
        wanted = change.after.get("value")
        if not isinstance(wanted, str):
            return f"{change.target}: {change.after} is no value of a map"
        backend = word_of(wanted)
        if not self._settings.values_are_backends:
            return ""
        if not any(server.usable for server in await self._api.servers(backend)):
            return f"{change.target}: backend `{backend}` has no server that can be used"
        return ""

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One `set map`, right after one more look: HAProxy cannot compare."""
        del op  # a map has no room for it
        if await self._held(target) != now.value["value"]:
            raise TargetMovedError(f"{target} no longer holds {now.value}")
        key, value = target.name, str(wanted["value"])
        await self._api.change("set", "map", self._settings.map, key, value)

    async def _held(self, target: Target) -> str:
        map_, key = self._settings.map, word_of(target.name)
        said = await self._api.ask("show", "map", map_)
        if said.startswith("Unknown map"):
            raise PermanentError(f"{target}: HAProxy has no map `{map_}`; `show map` lists them")
        # each line is an address in memory, the key and the value
        lines = [line.split(maxsplit=2) for line in said.splitlines()]
        values = {line[2] for line in lines if len(line) == 3 and line[1] == key}
        if len(values) != 1:
            found = f"{len(values)} values" if values else "no value"
            raise PermanentError(f"{target}: map `{map_}` has {found} for `{key}`")
        return values.pop()
