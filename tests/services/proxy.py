"""A proxy before a server's port or UNIX socket that loses, holds, delays and cuts on command.

A fault holds for all connections, also for new ones, until `heal` or the next fault. Chunks are
what one read returns: with one request in flight, a chunk is a reply. HTTP/2, and so gRPC, passes
too; there a chunk is a few frames of any stream. A UNIX socket knows no RST: its client sees the
end of the stream.
"""

import asyncio
import socket
import struct
from collections.abc import Coroutine
from enum import Enum, auto
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.services.polling import eventually
from tests.services.processes import HOST, free_port

_CHUNK_BYTES = 65_536
_RESET_ON_CLOSE = struct.pack("ii", 1, 0)


class Fault(Enum):
    """What happens to the traffic."""

    #: All bytes pass.
    NONE = auto()
    #: The server gets and does what is asked, its replies vanish, connections stay open.
    DROP_REPLIES = auto()
    #: The server gets and does what is asked; the client gets a RST in place of the reply.
    RESET_ON_REPLY = auto()
    #: Each reply comes late.
    DELAY_REPLIES = auto()
    #: Nothing passes either way and nothing is lost: after `heal` the bytes arrive.
    BLACK_HOLE = auto()
    #: Connecting succeeds, and the connection is reset before it is of any use.
    RESET = auto()


class _Link:
    """One client's connection and the connection to the server that belongs to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.lost_bytes = False

    def reset(self) -> None:
        """Send the client a RST."""
        connection: socket.socket = self.writer.get_extra_info("socket")
        if not self.writer.is_closing():
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.writer.transport.abort()


class FaultProxy:
    """Listens on loopback and passes all bytes to `upstream` until told otherwise.

    `upstream` is `host:port` or the path of a UNIX socket. With `path` it listens on a UNIX socket
    there, and not on a port. The end of either side's stream ends the connection. `hits` counts how
    often the present fault struck.
    """

    def __init__(
        self, upstream: str | Path, *, port: int | None = None, path: Path | None = None
    ) -> None:
        self.port = free_port() if port is None else port
        self.path = path
        self.hits = 0
        self._upstream = upstream
        self._fault = Fault.NONE
        self._delay_seconds = 0.0
        self._passable = asyncio.Event()
        self._passable.set()
        self._links: dict[asyncio.Task[None], _Link] = {}
        self._server: asyncio.Server | None = None

    @property
    def address(self) -> str:
        """Where clients connect: `host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def connections(self) -> int:
        """How many clients are connected now."""
        return len(self._links)

    async def start(self) -> None:
        """Accept connections; nothing to do while it does."""
        if self._server is None:
            self._server = await (
                asyncio.start_server(self._accept, HOST, self.port)
                if self.path is None
                else asyncio.start_unix_server(self._accept, self.path)
            )

    async def refuse(self) -> None:
        """Reset all connections and refuse new ones, as a host does whose server has died."""
        if self._server is not None:
            self._server.close()
            self._server = None
        self.reset_connections()
        tasks = [*self._links]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def accept(self) -> None:
        """The end of `refuse`."""
        await self.start()

    def heal(self) -> None:
        """Let all bytes pass again; connections that lost some are reset."""
        self._inject(Fault.NONE)
        for link in self._links.values():
            if link.lost_bytes:
                link.reset()

    def drop_replies(self) -> None:
        """Inject `Fault.DROP_REPLIES`."""
        self._inject(Fault.DROP_REPLIES)

    def reset_on_reply(self) -> None:
        """Inject `Fault.RESET_ON_REPLY`."""
        self._inject(Fault.RESET_ON_REPLY)

    def delay_replies(self, seconds: float) -> None:
        """Inject `Fault.DELAY_REPLIES`."""
        self._delay_seconds = seconds
        self._inject(Fault.DELAY_REPLIES)

    def black_hole(self) -> None:
        """Inject `Fault.BLACK_HOLE`."""
        self._inject(Fault.BLACK_HOLE)

    def reset(self) -> None:
        """Inject `Fault.RESET`, on the connections that exist too."""
        self._inject(Fault.RESET)
        self.reset_connections()

    def reset_connections(self) -> None:
        """Cut the connections that exist, once; new ones are not touched."""
        for link in self._links.values():
            link.reset()

    async def struck(self, *, within_seconds: float = 5.0) -> None:
        """Return when the present fault has hit at least once."""

        async def has_hit() -> int:
            return self.hits

        await eventually(has_hit, within_seconds=within_seconds, every_seconds=0.005)

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.refuse()

    def _inject(self, fault: Fault) -> None:
        self._fault = fault
        self.hits = 0
        if fault is Fault.BLACK_HOLE:
            self._passable.clear()
        else:
            self._passable.set()

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(reader, writer)
        task = asyncio.create_task(self._serve(link))
        self._links[task] = link
        task.add_done_callback(self._links.pop)

    async def _serve(self, link: _Link) -> None:
        try:
            await self._pass_gate()
            if self._fault is Fault.RESET:
                self.hits += 1
                link.reset()
                return
            reader, writer = await self._connect()
            try:
                await _first_of(self._pump_requests(link, writer), self._pump_replies(reader, link))
            finally:
                writer.close()
        except ConnectionError:
            link.reset()
        finally:
            link.writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        if isinstance(self._upstream, Path):
            return await asyncio.open_unix_connection(self._upstream)
        host, _, port = self._upstream.rpartition(":")
        return await asyncio.open_connection(host, int(port))

    async def _pump_requests(self, link: _Link, server: asyncio.StreamWriter) -> None:
        while chunk := await link.reader.read(_CHUNK_BYTES):
            await self._pass_gate()
            server.write(chunk)
            await server.drain()

    async def _pump_replies(self, server: asyncio.StreamReader, link: _Link) -> None:
        while chunk := await server.read(_CHUNK_BYTES):
            await self._pass_gate()
            match self._fault:
                case Fault.DROP_REPLIES:
                    self.hits += 1
                    link.lost_bytes = True
                    continue
                case Fault.RESET_ON_REPLY:
                    self.hits += 1
                    link.reset()
                    return
                case Fault.DELAY_REPLIES:
                    self.hits += 1
                    await asyncio.sleep(self._delay_seconds)
                case _:
                    pass
            link.writer.write(chunk)
            await link.writer.drain()

    async def _pass_gate(self) -> None:
        if not self._passable.is_set():
            self.hits += 1
            await self._passable.wait()


async def _first_of(*pumps: Coroutine[Any, Any, None]) -> None:
    """Run the pumps until the first one ends, and raise what it raised."""
    tasks = [asyncio.create_task(pump) for pump in pumps]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in done:
            task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
