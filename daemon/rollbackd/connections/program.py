"""Running one program of this machine, bounded in time, output and what it may reach.

No shell reads the arguments. The program gets a closed standard input, an environment that names
each variable, and a process group of its own, which is killed when it ends or must end. That it can
be changed only by root and by who runs it is looked at before each run, as sshd looks at its files
(`StrictModes`, sshd_config(5)): the file, and every folder on the way to it.
"""

import asyncio
import os
import pwd
import selectors
import signal
import stat
import subprocess
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import IO, Any, Final

import msgspec

from rollbackd.connections.http import shown
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.settings.secrets import Secret, read_secret

#: The most that is taken of standard output; a program that writes more is killed.
MAX_OUTPUT_BYTES: Final = 64 << 10
#: As much of standard error is kept; the rest is read and dropped.
_MAX_ERROR_BYTES: Final = 8 << 10
_CHUNK_BYTES: Final = 16 << 10
#: Whether it has ended is looked at this often.
_LOOK_SECONDS: Final = 0.02
_HIDDEN: Final = b"***"


class Command(msgspec.Struct, frozen=True, kw_only=True):
    """How a program is run; `secret_files` are variables whose values are read at each run.

    A `user` other than this process's needs CAP_SETUID, CAP_SETGID and CAP_KILL.
    """

    program: Path
    cwd: Path = Path("/")
    user: str | None = None
    environment: Mapping[str, str] = {}
    secret_files: Mapping[str, Path] = {}
    timeout_seconds: float = 3.0


class Ended(msgspec.Struct, frozen=True, kw_only=True):
    """How it ended; the secrets stand in neither output. `status` is negative for a signal."""

    status: int
    output: bytes
    errors: str


def untrusted(path: Path) -> str:
    """Why others than root and this process's user could change a program, or an empty string."""
    try:
        real = path.resolve(strict=True)
        found = real.stat()
    except OSError as error:
        return f"`{path}`: {error.strerror}"
    if not stat.S_ISREG(found.st_mode) or not os.access(real, os.X_OK):
        return f"`{path}` is no program that can be run"
    for each in (real, *real.parents):
        now = each.stat()
        if now.st_uid not in {0, os.geteuid()}:
            return f"`{each}` belongs to neither root nor the user of this process"
        # in a folder with the sticky bit nobody replaces what is another's
        shared = stat.S_ISDIR(now.st_mode) and now.st_mode & stat.S_ISVTX
        if now.st_mode & (stat.S_IWGRP | stat.S_IWOTH) and not shared:
            return f"`{each}` can be written by its group or by everybody (`chmod go-w`)"
    return ""


async def run(command: Command, arguments: Sequence[str]) -> Ended:
    """Run it once and wait for its end; nothing of it is left behind.

    Raises TemporaryError when it does not end in time, and PermanentError when it must not or
    cannot be run or writes too much. A run that is cancelled is killed first.
    """
    if because := untrusted(command.program):
        raise PermanentError(f"{because}, and is not run")
    secrets = _secrets(command)
    stop_reading, stop = os.pipe()
    # a thread of its own: in the loop's pool a few long runs would hold everybody else up
    thread = ThreadPoolExecutor(1, thread_name_prefix="program")
    try:
        running = asyncio.get_running_loop().run_in_executor(
            thread, _run, command, arguments, secrets, stop_reading
        )
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            os.write(stop, b"x")
            await asyncio.gather(running, return_exceptions=True)
            raise
    finally:
        thread.shutdown(wait=False)
        os.close(stop_reading)
        os.close(stop)


def _run(
    command: Command, arguments: Sequence[str], secrets: Mapping[str, Secret], stop: int
) -> Ended:
    process = _started(command, arguments, secrets)
    assert process.stdout is not None
    assert process.stderr is not None
    output = _Kept(process.stdout, MAX_OUTPUT_BYTES + 1)
    errors = _Kept(process.stderr, _MAX_ERROR_BYTES)
    try:
        _watch(process, command, output, errors, stop)
    finally:
        _kill(process, command)
        output.finish()
        errors.finish()
    _check_size(command, output)
    return Ended(
        status=process.returncode,
        output=_scrubbed(output, secrets),
        errors=shown(_scrubbed(errors, secrets)),
    )


def _watch(
    process: subprocess.Popen[bytes], command: Command, output: "_Kept", errors: "_Kept", stop: int
) -> None:
    """Read what it writes until it ends. Raises when it must be killed."""
    ends_at = time.monotonic() + command.timeout_seconds
    with selectors.DefaultSelector() as selector:
        selector.register(stop, selectors.EVENT_READ, None)
        for kept in (output, errors):
            selector.register(kept.pipe, selectors.EVENT_READ, kept)
        while not _has_ended(process):
            for key, _ in selector.select(_LOOK_SECONDS):
                if key.data is None:
                    raise TemporaryError("the run was given up")
                if not key.data.read():
                    selector.unregister(key.fileobj)
            _check_size(command, output)
            if time.monotonic() > ends_at:
                raise TemporaryError(
                    f"`{command.program}` did not end within {command.timeout_seconds:g} s and was "
                    "killed"
                )


def _kill(process: subprocess.Popen[bytes], command: Command) -> None:
    """Kill the whole group, and reap its leader."""
    # the leader is not reaped yet, so that its group cannot be somebody else's
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except PermissionError:
        if not _has_ended(process):
            raise PermanentError(
                f"`{command.program}` runs as `{command.user}` and cannot be killed, which needs "
                "CAP_KILL"
            ) from None
    process.wait()


def _check_size(command: Command, output: "_Kept") -> None:
    if len(output.data) > MAX_OUTPUT_BYTES:
        raise PermanentError(f"`{command.program}` writes over {MAX_OUTPUT_BYTES} bytes")


def _has_ended(process: subprocess.Popen[bytes]) -> bool:
    """Look without reaping."""
    flags = os.WEXITED | os.WNOHANG | os.WNOWAIT
    return os.waitid(os.P_PID, process.pid, flags) is not None


class _Kept:
    """The beginning of what comes out of a pipe."""

    def __init__(self, pipe: IO[bytes], most: int) -> None:
        self.pipe = pipe
        self.data = bytearray()
        self.cut = False
        self._most = most
        os.set_blocking(pipe.fileno(), False)

    def read(self) -> bool:
        """Take what is there; false at its end."""
        try:
            found = os.read(self.pipe.fileno(), _CHUNK_BYTES)
        except BlockingIOError:
            return True
        room = self._most - len(self.data)
        self.cut = self.cut or len(found) > room
        self.data += found[:room]
        return bool(found)

    def finish(self) -> None:
        """Take what was written before the end; who has escaped may still hold the pipe."""
        while not self.cut and self.read() and self._is_ready():
            pass
        self.pipe.close()

    def _is_ready(self) -> bool:
        with selectors.DefaultSelector() as selector:
            selector.register(self.pipe, selectors.EVENT_READ)
            return bool(selector.select(0))


def _started(
    command: Command, arguments: Sequence[str], secrets: Mapping[str, Secret]
) -> subprocess.Popen[bytes]:
    environment = {name: secret.reveal() for name, secret in secrets.items()}
    try:
        return subprocess.Popen(  # noqa: S603  # an argument list, of a program that was looked at
            [str(command.program), *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**command.environment, **environment},
            cwd=command.cwd,
            start_new_session=True,
            **_identity(command.user),
        )
    except BlockingIOError as error:
        raise TemporaryError(f"`{command.program}`: {error.strerror}") from None
    except PermissionError as error:
        as_whom = (
            ""
            if command.user is None
            else (f" as `{command.user}`, which needs CAP_SETUID and CAP_SETGID")
        )
        raise PermanentError(
            f"`{command.program}` cannot be run{as_whom}: {error.strerror}"
        ) from None
    except OSError as error:
        raise PermanentError(f"`{command.program}` cannot be run: {error.strerror}") from None


def _identity(user: str | None) -> dict[str, Any]:
    """The user with its own group and no other: none of this process's rights are kept."""
    if user is None:
        return {}
    try:
        entry = pwd.getpwnam(user)
    except KeyError:
        raise PermanentError(f"there is no user `{user}`") from None
    if entry.pw_uid == os.geteuid():
        return {}
    return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}


def _secrets(command: Command) -> dict[str, Secret]:
    found: dict[str, Secret] = {}
    for name, path in command.secret_files.items():
        try:
            secret = read_secret(path)
        except OSError as error:
            raise PermanentError(f"{error.filename}: {error.strerror}") from None
        if secret is not None:
            found[name] = secret
    return found


def _scrubbed(kept: _Kept, secrets: Mapping[str, Secret]) -> bytes:
    """What was kept without the secrets; where it was cut off, without the half of one."""
    data = bytes(kept.data)
    words = sorted((secret.reveal().encode() for secret in secrets.values()), key=len, reverse=True)
    for word in words:
        data = data.replace(word, _HIDDEN)
    for word in words if kept.cut else ():
        halves = (word[:length] for length in range(len(word) - 1, 0, -1))
        data = data.removesuffix(next((half for half in halves if data.endswith(half)), b""))
    return data
