"""A real daemon in a process of its own, in a folder of its own, gone when the demo is."""

import asyncio
import contextlib
import socket
import sys
from asyncio.subprocess import Process
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from rollbackd.cli.client import Api, RefusedError, UnreachableError
from rollbackd.cli.failures import FailureError

_HOST: Final = "127.0.0.1"
_STOP_SECONDS: Final = 5.0
_POLL_SECONDS: Final = 0.05
_TAIL_LINES: Final = 15

_CONFIG: Final = """\
# The shipped rules and decision tree, unchanged; only the time runs {speed:g} times as fast.
state_dir: state
http:
  host: {host}
  port: {port}
clock:
  speed: {speed}
"""


class DaemonProcess:
    """`rollbackd run` as a child; an async context manager that always ends it."""

    def __init__(self, folder: Path, *, speed: float) -> None:
        self._folder = folder
        self._speed = speed
        self._port = _free_port()
        self._process: Process | None = None
        self.log = folder / "daemon.log"

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://{_HOST}:{self._port}"

    async def __aenter__(self) -> Self:
        config = self._folder / "rollbackd.yaml"
        config.write_text(
            _CONFIG.format(speed=self._speed, host=_HOST, port=self._port), encoding="utf-8"
        )
        command = (sys.executable, "-m", "rollbackd", "run", "--config", str(config))
        with self.log.open("wb") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, stdin=asyncio.subprocess.DEVNULL, stdout=log, stderr=log
            )
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.terminate()
        try:
            async with asyncio.timeout(_STOP_SECONDS):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    async def wait_ready(self, api: Api, *, seconds: float) -> None:
        """Return when it can do its work. Raises FailureError when it ends or takes too long."""
        reason = "it does not answer"
        try:
            async with asyncio.timeout(seconds):
                while True:
                    self.raise_if_ended()
                    try:
                        await api.get("/-/ready")
                    except (UnreachableError, RefusedError) as error:
                        reason = str(error)
                        await asyncio.sleep(_POLL_SECONDS)
                    else:
                        return
        except TimeoutError:
            raise FailureError(f"the daemon was not ready after {seconds:g} s: {reason}") from None

    def raise_if_ended(self) -> None:
        """Raise FailureError when the daemon is gone."""
        if self._process is not None and self._process.returncode is not None:
            raise FailureError(f"the daemon ended with exit code {self._process.returncode}")

    def log_tail(self) -> list[str]:
        """The last lines of its log."""
        if not self.log.exists():
            return []
        text = self.log.read_text(encoding="utf-8", errors="replace")
        return text.splitlines()[-_TAIL_LINES:]


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind((_HOST, 0))
        return int(probe.getsockname()[1])
