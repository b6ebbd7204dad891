"""`haproxy_server`: give servers of an HAProxy their known good state or weight back.

https://docs.haproxy.org/dev/management.html#9.3-set%20server
"""

from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from rollbackd.errors import PermanentError
from rollbackd.levers.external_lever import version_of
from rollbackd.levers.haproxy_api import HAProxyLever, HAProxySettings, Server
from rollbackd.levers.lever_type import Surroundings
from rollbackd.model.levers import Change, Observation, Op, Target
from rollbackd.ports import TargetMovedError

_STATES: Final = ("ready", "drain", "maint")
_HEAVIEST: Final = 256


class HAProxyServerSettings(HAProxySettings, frozen=True, kw_only=True):
    """Which HAProxy, and what of its servers is moved."""

    moves: Annotated[
        Literal["state", "weight"],
        Meta(
            description="The administrative `state`, or the `weight` among the backend's servers."
        ),
    ] = "state"


class HAProxyServer(HAProxyLever):
    """Sets the administrative state, or the weight, of one server in the running HAProxy."""

    Settings: ClassVar[type[msgspec.Struct] | None] = HAProxyServerSettings

    def __init__(
        self, name: str, settings: HAProxyServerSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, settings, surroundings)
        self._moves = settings.moves

    async def observe(self, target: Target) -> Observation:
        """`{"state": "ready"}`, or `{"weight": 100}`."""
        server, _ = await self._read(target)
        held = server.state if self._moves == "state" else server.weight
        value: dict[str, object] = {self._moves: held}
        return Observation(value=value, version=version_of(value))

    async def preflight(self, change: Change) -> str:
        """A known state or weight, and never the last server of its backend taken out."""
        objection = await super().preflight(change)
        if objection:
            return objection
        wanted = change.after.get(self._moves)
        if self._moves == "state" and wanted not in _STATES:
            return f"{change.target}: `{wanted}` is no state; there are {', '.join(_STATES)}"
        if self._moves == "weight" and not _is_weight(wanted):
            return f"{change.target}: `{wanted}` is no weight between 0 and {_HEAVIEST}"
        _, others = await self._read(change.target)
        if wanted in ("drain", "maint", 0) and not any(other.usable for other in others):
            backend = change.target.name.partition("/")[0]
            return f"{change.target} is the last server of `{backend}` that can be used"
        return ""

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One `set server`, right after one more look: HAProxy cannot compare."""
        del op  # a server has no room for it
        if (await self.observe(target)).value != now.value:
            raise TargetMovedError(f"{target} no longer holds {now.value}")
        await self._api.change("set", "server", target.name, self._moves, str(wanted[self._moves]))

    async def _read(self, target: Target) -> tuple[Server, list[Server]]:
        """The server, and the others of its backend."""
        backend, _, name = target.name.partition("/")
        if not backend or not name:
            raise PermanentError(f"{target}: a server is named `BACKEND/SERVER`")
        servers = await self._api.servers(backend)
        for index, server in enumerate(servers):
            if server.name == name:
                return server, servers[:index] + servers[index + 1 :]
        raise PermanentError(f"{target}: backend `{backend}` has no server `{name}`")


def _is_weight(value: object) -> bool:
    is_number = isinstance(value, int) and not isinstance(value, bool)
    return is_number and 0 <= int(str(value)) <= _HEAVIEST
