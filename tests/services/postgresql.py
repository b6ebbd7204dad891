"""A PostgreSQL cluster of its own, for the servers that keep their state in one."""

import asyncio
import os
import pwd
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tests.services.availability import postgresql_programs
from tests.services.polling import eventually
from tests.services.processes import HOST, ServerProcess, exited, spawn

#: The superuser, who needs no password on loopback.
USER: Final = "postgres"

_INIT_SECONDS = 60.0
_DETACH_SECONDS = 10.0
_SHARED_MEMORY = Path("/proc/sysvipc/shm")


class PostgreSQL(ServerProcess):
    """One cluster with fsync off: what it acknowledged survives `kill`, not a power cut.

    PostgreSQL refuses to run as root. For root it runs as the account `postgres`, to which
    `directory` is then given; that account has to be able to reach it.
    """

    name = "postgresql"

    @property
    def url(self) -> str:
        """The database `postgres` as a libpq URI."""
        return f"postgres://{USER}@{self.address}/postgres"

    async def prepare(self) -> None:
        """Make the cluster on the first start; later wait until a killed one is out of the way."""
        if (self._data / "PG_VERSION").exists():
            await eventually(self._is_detached, within_seconds=_DETACH_SECONDS)
            return
        if _runs_as_root():
            account = pwd.getpwnam(USER)
            os.chown(self.directory, account.pw_uid, account.pw_gid)
        arguments = ("-D", self._data, "-U", USER, "--auth=trust", "--encoding=UTF8", "--no-sync")
        making = spawn(
            self._unprivileged("initdb", *arguments), log=self.log, directory=self.directory
        )
        if await exited(making, within_seconds=_INIT_SECONDS):
            raise self._failed("could not make its cluster")

    def command(self) -> Sequence[str | Path]:
        settings = {
            "listen_addresses": HOST,
            "port": self.port,
            "unix_socket_directories": "",
            "fsync": "off",
        }
        options = [word for item in settings.items() for word in ("-c", "=".join(map(str, item)))]
        return self._unprivileged("postgres", "-D", self._data, *options)

    async def answers(self) -> bool:
        """Whether it takes a connection as the superuser (protocol 3.0, AuthenticationOk)."""
        reader, writer = await asyncio.open_connection(HOST, self.port)
        try:
            body = (3 << 16).to_bytes(4) + f"user\0{USER}\0\0".encode()
            writer.write((len(body) + 4).to_bytes(4) + body)
            return await reader.readexactly(1) == b"R"
        except asyncio.IncompleteReadError:
            return False
        finally:
            writer.close()

    @property
    def _data(self) -> Path:
        return self.directory / "data"

    def _unprivileged(self, program: str, *arguments: str | Path) -> list[str | Path]:
        command: list[str | Path] = [postgresql_programs() / program, *arguments]
        if not _runs_as_root():
            return command
        # a change of user clears the signal that spawn asked for, so it is asked for again
        return [
            *(shutil.which("setpriv") or "setpriv", "--pdeathsig", "KILL"),
            *(f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "--"),
            *command,
        ]

    async def _is_detached(self) -> bool:
        """Whether the children of a killed server, who leave by themselves, have all left."""
        pid_file = self._data / "postmaster.pid"
        if not pid_file.exists() or not _SHARED_MEMORY.exists():
            return True
        lines = pid_file.read_text().splitlines()
        # the seventh line is the key and the id of the shared memory that guards the cluster
        segment = lines[6].split()[1] if len(lines) > 6 else None
        header, *rows = [line.split() for line in _SHARED_MEMORY.read_text().splitlines()]
        columns = (header.index("shmid"), header.index("nattch"))
        attached = {row[columns[0]]: row[columns[1]] for row in rows}
        return attached.get(segment, "0") == "0"


def _runs_as_root() -> bool:
    return os.geteuid() == 0
