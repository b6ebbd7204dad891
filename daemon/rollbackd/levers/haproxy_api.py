"""HAProxy's runtime API: one command a connection, over a UNIX socket or TCP.

https://docs.haproxy.org/dev/management.html#9.3
"""

import asyncio
import re
from pathlib import Path
from typing import Annotated, Final, NamedTuple

import msgspec
from msgspec import Meta

from rollbackd.connections.http import check_address, shown
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.external_lever import ExternalLever
from rollbackd.levers.lever_type import Surroundings
from rollbackd.settings.addresses import why_not_host
from rollbackd.settings.structs import Duration

_MAX_ANSWER_BYTES: Final = 4 << 20
#: Of a command: what has no meaning to HAProxy's own parser (space, `;`, `\`, `<<`, quotes).
_WORD: Final = re.compile(r"[A-Za-z0-9_./:@~*%=+?&,-][A-Za-z0-9_./:@~*%=+?&,#-]{0,255}\Z")
_ADDRESS: Final = re.compile(r"(?P<host>[^\s:\[\]]+|\[[0-9a-fA-F:.]+\]):(?P<port>[0-9]{1,5})\Z")
#: The bits of `srv_admin_state`, as the management guide lists them.
_MAINTENANCE: Final = 0x01 | 0x02 | 0x20 | 0x40
_DRAINING: Final = 0x08 | 0x10
_STARTING_OR_RUNNING: Final = (1, 2)


class HAProxySettings(msgspec.Struct, frozen=True, kw_only=True):
    """How one HAProxy is reached."""

    socket: Annotated[
        Path | None, Meta(description="Its runtime API as a UNIX socket, of level `admin`.")
    ] = None
    address: Annotated[
        str, Meta(description="Or as `HOST:PORT`; it knows no password and no TLS.")
    ] = ""
    timeout: Annotated[Duration, Meta(description="For one command, at most `5s`.")] = 2_000

    def __post_init__(self) -> None:
        if (self.socket is None) == (not self.address):
            raise ValueError("one of `socket` and `address` has to be given")
        if self.address and not _ADDRESS.match(self.address):
            raise ValueError(f"`{self.address[:80]}` is not `HOST:PORT`")
        if objection := why_not_host(self.address.rpartition(":")[0].strip("[]")):
            raise ValueError(f"`address`: {objection}")
        if self.timeout > 5_000:
            raise ValueError("`timeout` is above `5s`, the time that one act has")


class Server(NamedTuple):
    """One server of a backend."""

    name: str
    #: `ready`, `drain` or `maint`: what an administrator wants of it.
    state: str
    weight: int
    #: Whether it gets new requests: up, wanted and of some weight.
    usable: bool


class HAProxyApi:
    """Commands to one process. Opens a connection for each, as the API closes it after one."""

    def __init__(self, settings: HAProxySettings) -> None:
        self._settings = settings
        self._what = f"HAProxy at {settings.socket or settings.address}"

    async def ask(self, *words: str) -> str:
        """The answer to one command; empty for a change that was made. Raises TemporaryError."""
        command = " ".join(word_of(each) for each in words)
        seconds = self._settings.timeout / 1_000
        try:
            async with asyncio.timeout(seconds):
                reader, writer = await self._connect()
                try:
                    writer.write(f"{command}\n".encode())
                    await writer.drain()
                    found = await self._all_of(reader)
                finally:
                    writer.close()
        except TimeoutError:
            raise TemporaryError(f"{self._what}: no answer within {seconds:g} s") from None
        except OSError as error:
            raise TemporaryError(f"{self._what}: {error.strerror or 'cannot connect'}") from None
        # each answer ends with an empty line; one without was cut, and says nothing of the act
        if found != b"\n" and not found.endswith(b"\n\n"):
            raise TemporaryError(f"{self._what}: the answer was cut")
        text = found.decode(errors="replace").strip()
        if text.startswith("Permission denied"):
            raise PermanentError(f"{self._what}: {text}; the `stats socket` needs `level admin`")
        return text

    async def change(self, *words: str) -> None:
        """One command that answers nothing when it was done. Raises PermanentError."""
        said = await self.ask(*words)
        if said:
            raise PermanentError(f"{self._what}: {shown(said.encode())}")

    async def servers(self, backend: str) -> list[Server]:
        """The servers of a backend. Raises PermanentError when there is no such backend."""
        said = await self.ask("show", "servers", "state", backend)
        version, _, rest = said.partition("\n")
        lines = rest.splitlines()
        if version != "1" or not lines or not lines[0].startswith("# "):
            raise PermanentError(f"{self._what}: backend `{backend}`: {shown(said.encode())}")
        columns = lines[0][2:].split()
        try:
            return [_server(dict(zip(columns, line.split(), strict=True))) for line in lines[1:]]
        except (KeyError, ValueError):
            raise PermanentError(
                f"{self._what}: backend `{backend}`: its state is not as documented"
            ) from None

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if self._settings.socket is not None:
            return await asyncio.open_unix_connection(self._settings.socket)
        host, _, port = self._settings.address.rpartition(":")
        reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
        try:
            check_address(writer.get_extra_info("peername")[0])
        except PermanentError:
            writer.close()
            raise
        return reader, writer

    async def _all_of(self, reader: asyncio.StreamReader) -> bytes:
        found = b""
        while chunk := await reader.read(65_536):
            found += chunk
            if len(found) > _MAX_ANSWER_BYTES:
                raise PermanentError(f"{self._what}: the answer is over {_MAX_ANSWER_BYTES} bytes")
        return found


class HAProxyLever(ExternalLever):
    """A lever on one HAProxy."""

    def __init__(self, name: str, settings: HAProxySettings, surroundings: Surroundings) -> None:
        super().__init__(name, surroundings)
        self._api = HAProxyApi(settings)


def word_of(text: str) -> str:
    """One word of a command. Raises PermanentError for what could be read as more than one."""
    if not _WORD.match(text) or "<<" in text:
        raise PermanentError(f"`{text[:80]}` cannot stand in a command to HAProxy")
    return text


def _server(state: dict[str, str]) -> Server:
    admin, weight = int(state["srv_admin_state"]), int(state["srv_uweight"])
    wanted = "maint" if admin & _MAINTENANCE else "drain" if admin & _DRAINING else "ready"
    up = int(state["srv_op_state"]) in _STARTING_OR_RUNNING
    return Server(
        name=state["srv_name"],
        state=wanted,
        weight=weight,
        usable=up and wanted == "ready" and weight > 0,
    )
