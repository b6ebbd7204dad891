"""Server processes on loopback: start, kill, stop, pause, resume and restart them.

No process outlives the test run: the kernel kills it when the thread that started it dies, so
servers are started from the main thread. Starting and stopping never block the event loop.
"""

import asyncio
import atexit
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import ClassVar, Self

import aiohttp

from tests.services.polling import eventually

HOST = "127.0.0.1"

_EPHEMERAL_RANGE = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST_PORT = 12_000
_LOG_TAIL_LINES = 30
_PROBE_SECONDS = 5.0

_handed_out: set[int] = set()
#: Test processes that run side by side (pytest-xdist) take ports of their own.
_SHARERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_SHARE = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))


class ServerFailedError(Exception):
    """A server did not come up or did not go down; the message ends with the tail of its log."""


class ServerProcess:
    """One server on a port and in a directory of its own, both kept over restarts.

    A component says how it is run (`command`) and when it is up (`answers`).
    """

    name: ClassVar[str]
    start_seconds: ClassVar[float] = 90.0
    stop_seconds: ClassVar[float] = 30.0

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.log = directory / f"{self.name}.log"
        self.port = free_port()
        self.started_in_seconds = 0.0
        self.paused = False
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def address(self) -> str:
        """`host:port`."""
        return f"{HOST}:{self.port}"

    @property
    def pid(self) -> int:
        """The process to look at; an error when the server was never started."""
        return self._started().pid

    @property
    def running(self) -> bool:
        """Whether there is a live process, paused or not."""
        return self._process is not None and self._process.poll() is None

    async def prepare(self) -> None:
        """What is due before each start: configuration, and on the first one the data."""

    def command(self) -> Sequence[str | Path]:
        """The program and its arguments."""
        raise NotImplementedError

    async def answers(self) -> bool:
        """Whether the server does its work; OSError and TimeoutError mean that it does not yet."""
        raise NotImplementedError

    async def start(self) -> None:
        """Start the server and wait until it answers; nothing to do while it runs."""
        if self.running:
            return
        began = time.monotonic()
        await self.prepare()
        self._process = spawn(self.command(), log=self.log, directory=self.directory)
        self.paused = False
        try:
            await self.wait_until_it_answers()
        except BaseException:
            self.kill()
            raise
        self.started_in_seconds = time.monotonic() - began

    async def wait_until_it_answers(self) -> None:
        """Return when the server answers; fail at once when its process has ended."""
        try:
            await eventually(self._answers_or_ended, within_seconds=self.start_seconds)
        except TimeoutError:
            raise self._failed(f"gave no answer within {self.start_seconds} s") from None
        if not self.running:
            raise self._failed(f"ended with code {self._started().returncode}")

    def kill(self) -> None:
        """SIGKILL, as by the kernel's OOM killer; nothing to do when it is down."""
        if self._process is not None:
            end(self._process)
        self.paused = False

    async def stop(self) -> None:
        """SIGTERM, and wait until the process has ended; a paused one is resumed first."""
        process = self._started()
        self.resume()
        process.terminate()
        try:
            await exited(process, within_seconds=self.stop_seconds)
        except TimeoutError:
            self.kill()
            raise self._failed(f"ignored SIGTERM for {self.stop_seconds} s") from None

    async def restart(self) -> None:
        """Stop the server if it runs, and start it on the same port with the same data."""
        if self.running:
            await self.stop()
        await self.start()

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nothing answers. Returns once it has stopped."""
        process = self._started()
        process.send_signal(signal.SIGSTOP)
        os.waitid(os.P_PID, process.pid, os.WSTOPPED | os.WEXITED | os.WNOWAIT)
        self.paused = True

    def resume(self) -> None:
        """SIGCONT: go on where `pause` left it."""
        self._started().send_signal(signal.SIGCONT)
        self.paused = False

    async def heal(self) -> None:
        """Undo whatever a test did: afterwards the server runs and answers."""
        if not self.running:
            await self.start()
        elif self.paused:
            self.resume()
            await self.wait_until_it_answers()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.kill()

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"{self.name} was never started")
        return self._process

    async def _answers_or_ended(self) -> bool:
        if not self.running:
            return True
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                return await self.answers()
        except (OSError, TimeoutError):
            return False

    def _failed(self, what: str) -> ServerFailedError:
        return ServerFailedError(f"{self.name} {what}; its log ends with:\n{tail(self.log)}")


def free_port() -> int:
    """A loopback port that nobody listens on and that was not handed out before.

    Below the ephemeral range: a client that reconnects to a dead server's port could otherwise be
    given that very port as its own, connect to itself, and keep the server from coming back.
    """
    highest = int(_EPHEMERAL_RANGE.read_text().split()[0]) if _EPHEMERAL_RANGE.exists() else 32_768
    candidates = range(_LOWEST_PORT, highest) if highest > _LOWEST_PORT else range(1_024, 65_536)
    for port in random.sample(candidates, k=len(candidates)):
        if port % _SHARERS == _SHARE and port not in _handed_out and _can_bind(port):
            _handed_out.add(port)
            return port
    raise ServerFailedError("no free loopback port")


def _can_bind(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((HOST, port))
        except OSError:
            return False
    return True


def spawn(command: Sequence[str | Path], *, log: Path, directory: Path) -> subprocess.Popen[bytes]:
    """Run `command` with its output appended to `log`, so that it dies when this thread does."""
    # not preexec_fn: it is unsafe beside threads, and Python 3.12 warns about that
    setpriv = shutil.which("setpriv")
    wrapper = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    with log.open("ab") as output:
        process = subprocess.Popen(
            [*wrapper, *command],
            cwd=directory,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # a Ctrl-C at the terminal is for pytest, which then ends the servers
            start_new_session=True,
        )
    atexit.register(end, process)
    return process


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process and reap it."""
    process.kill()
    process.wait()


async def exited(process: subprocess.Popen[bytes], *, within_seconds: float) -> int:
    """The exit code, as soon as there is one."""

    async def has_ended() -> bool:
        return process.poll() is not None

    await eventually(has_ended, within_seconds=within_seconds)
    return process.wait()


def tail(log: Path) -> str:
    """The last lines of a log."""
    return "\n".join(log.read_text(errors="replace").splitlines()[-_LOG_TAIL_LINES:])


async def answers_http(url: str) -> bool:
    """Whether a GET of `url` is answered with 200."""
    try:
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 200
    except aiohttp.ClientError:
        return False
