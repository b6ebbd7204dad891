"""A load of HTTP requests over connections that stay open, cheap enough to leave the server a core.

Closed loop: each connection sends its next request when the answer to its last one is in.
"""

import asyncio
import itertools
import os
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.processes import HOST

_WARM_UP_SECONDS = 0.3
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Load:
    """What a server did under load."""

    per_second: float
    #: Microseconds of the server's processor time for a request.
    busy_us: float


class _Caller(asyncio.Protocol):
    """One connection."""

    def __init__(self, requests: Iterator[bytes], status: bytes) -> None:
        self.answered = 0
        self.failed = asyncio.get_running_loop().create_future()
        self._requests = requests
        self._opening = b"HTTP/1.1 " + status
        self._read = b""
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._read += data
        head, complete, body = self._read.partition(b"\r\n\r\n")
        if not complete or len(body) < _length(head):
            return
        if not head.startswith(self._opening):
            self._fail(f"answered {self._read[:300]!r}")
            return
        self._read = b""
        self.answered += 1
        assert self._transport is not None
        self._transport.write(next(self._requests))

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"closed the connection: {exc}")

    def _fail(self, how: str) -> None:
        if not self.failed.done():
            self.failed.set_exception(RuntimeError(f"the server {how}"))

    def close(self) -> None:
        self.failed.cancel()
        if self._transport is not None:
            self._transport.close()


async def load(
    port: int,
    requests: Sequence[bytes],
    *,
    pid: int,
    connections: int,
    seconds: float,
    status: bytes = b"200",
) -> Load:
    """Send the requests in turns, again and again; `pid` is the server's."""
    loop = asyncio.get_running_loop()
    turns = itertools.cycle(requests)
    callers = [
        (await loop.create_connection(lambda: _Caller(turns, status), HOST, port))[1]
        for _ in range(connections)
    ]
    try:
        await asyncio.sleep(_WARM_UP_SECONDS)
        before, began, busy = _answered(callers), time.perf_counter(), _busy_seconds(pid)
        await asyncio.wait(
            [caller.failed for caller in callers],
            timeout=seconds,
            return_when=asyncio.FIRST_EXCEPTION,
        )
        answers = _answered(callers) - before
        took, used = time.perf_counter() - began, _busy_seconds(pid) - busy
        for caller in callers:
            if caller.failed.done():
                caller.failed.result()
    finally:
        for caller in callers:
            caller.close()
    return Load(per_second=answers / took, busy_us=used / answers * 1e6)


def _answered(callers: list[_Caller]) -> int:
    return sum(caller.answered for caller in callers)


def _length(head: bytes) -> int:
    _, found, rest = head.lower().partition(b"content-length:")
    return int(rest.partition(b"\r\n")[0]) if found else 0


def _busy_seconds(pid: int) -> float:
    """The processor time of a process, in all of its threads; see proc_pid_stat(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS
