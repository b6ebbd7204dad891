"""One SQLite file, one connection, one thread.

SQLite 3.7.0 to 3.51.2 can corrupt a WAL database that has two connections, so the file is locked
for this one: another process that opens it is refused. WAL with `synchronous=FULL` keeps every
committed row over a power cut. The adapters that share a file share the Database, and what they
ask for at the same time shares a commit.
"""

import asyncio
import os
import sqlite3
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Self, TypeVar

from rollbackd.connections.commits import Call, share_commit
from rollbackd.errors import PermanentError, RollbackdError, TemporaryError

T = TypeVar("T")

#: The statements that bring a room's tables one version up.
Migration = Sequence[str]

#: "RBKD" in the file's header, so that another program's database is not taken for ours.
_APPLICATION_ID: Final = 0x52424B44
_LAYOUT_VERSION: Final = 1

_PRAGMAS: Final = (
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
    "PRAGMA locking_mode = EXCLUSIVE",
    "PRAGMA synchronous = FULL",
    "PRAGMA temp_store = MEMORY",
)

#: What SQLite's primary result codes mean to a caller: the text, and when to try again.
_MEANING: Final[dict[int, tuple[str, int | None]]] = {
    sqlite3.SQLITE_BUSY: ("is in use by another process", 1_000),
    sqlite3.SQLITE_LOCKED: ("is in use by another process", 1_000),
    sqlite3.SQLITE_FULL: ("cannot grow: the disk is full", 5_000),
    sqlite3.SQLITE_IOERR: ("cannot be read or written: the disk reports an error", 5_000),
    sqlite3.SQLITE_NOMEM: ("cannot be used: there is no memory left", 5_000),
    sqlite3.SQLITE_INTERRUPT: ("was interrupted", 1_000),
    sqlite3.SQLITE_CORRUPT: ("is corrupt; restore it from a backup, or move it away", None),
    sqlite3.SQLITE_NOTADB: ("is not a SQLite database; move it away", None),
    sqlite3.SQLITE_READONLY: ("is read-only; make the file and its folder writable", None),
    sqlite3.SQLITE_CANTOPEN: ("cannot be opened; check the path and its permissions", None),
    sqlite3.SQLITE_PERM: ("cannot be opened; check its permissions", None),
    sqlite3.SQLITE_TOOBIG: ("was given a value that is too large", None),
}


class Database:
    """The only connection of this process to one file; calls are run in order on its thread.

    While the thread is busy, calls of `run` gather in a group that shares one commit; a call of
    `read` ends the group, so that it sees what was asked for before it and nothing behind it.

    A cancelled call that had begun is still carried out; the caller reads to find out.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).absolute()
        self._users = 0
        self._connection: sqlite3.Connection | None = None
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="rollbackd-sqlite")
        #: The calls that the thread has been given and not begun, while more can join them.
        self._gathering: deque[Call[Any]] | None = None
        self._gate = threading.Lock()

    @classmethod
    async def open(cls, path: Path | str, *, busy_timeout_ms: int = 2_000) -> Self:
        """Open or create the file.

        Raises PermanentError when it is corrupt, read-only or not ours, TemporaryError when
        another process has it.
        """
        database = cls(path)
        try:
            await database._submit(lambda: database._connect(busy_timeout_ms))
        except BaseException:
            await database.close()
            raise
        return database

    async def use(self, room: str, migrations: Sequence[Migration]) -> None:
        """Count one more user, and bring the room's tables to the newest version.

        Raises PermanentError when a newer program has written them.
        """
        await self.run(lambda connection: self._migrate(connection, room, migrations))
        self._users += 1

    async def release(self) -> None:
        """Count one user less; the last one closes the file."""
        self._users -= 1
        if self._users <= 0:
            await self.close()

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `work`: committed durably, or rolled back if it raises.

        `work` may share its transaction with calls that are none of its business. SQLite's errors
        come out as TemporaryError or PermanentError, others as they are. A commit that fails is
        the error of all who shared it.
        """
        call = Call(work)
        with self._gate:
            if self._gathering is None:
                group: deque[Call[Any]] = deque()
                self._send(lambda: self._commit(group))
                self._gathering = group
            self._gathering.append(call)
        return await asyncio.wrap_future(call.answer)

    async def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """The result of `work`, which changes nothing."""
        return await self._submit(lambda: self._perform(work))

    async def close(self) -> None:
        """Finish what was begun and close the file. Idempotent."""
        with self._gate:
            self._gathering = None
            try:
                closing = self._thread.submit(self._disconnect)
            except RuntimeError:
                return
            self._thread.shutdown(wait=False)
        await asyncio.wrap_future(closing)

    async def _submit(self, job: Callable[[], T]) -> T:
        with self._gate:
            self._gathering = None
            future = self._send(job)
        return await asyncio.wrap_future(future)

    def _send(self, job: Callable[[], T]) -> Future[T]:
        try:
            return self._thread.submit(job)
        except RuntimeError:
            raise TemporaryError(f"database `{self.path}` is closed") from None

    def _commit(self, group: deque[Call[Any]]) -> None:
        with self._gate:
            if self._gathering is group:
                self._gathering = None
        assert self._connection is not None
        waiting = deque(call for call in group if call.begin())
        while waiting:
            share_commit(
                self._connection, waiting, translated=self._translated, undone=self._undone
            )

    def _perform(self, work: Callable[[sqlite3.Connection], T]) -> T:
        assert self._connection is not None
        try:
            return work(self._connection)
        except sqlite3.Error as error:
            raise self._translated(error) from None

    def _connect(self, busy_timeout_ms: int) -> None:
        try:
            # the rows hold what alerts say: nobody else needs to read them
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise PermanentError(
                f"database `{self.path}` cannot be opened for writing: {error.strerror}"
            ) from None
        try:
            self._connection = sqlite3.connect(
                self.path, timeout=busy_timeout_ms / 1_000, isolation_level=None
            )
        except sqlite3.Error as error:
            raise self._translated(error) from None
        self._perform(self._prepare)

    def _prepare(self, connection: sqlite3.Connection) -> None:
        for pragma in _PRAGMAS:
            connection.execute(pragma)
        _check_owner(connection, self.path)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise PermanentError(f"database `{self.path}` cannot use a write-ahead log")
        (verdict,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if verdict != "ok":
            raise self._error(sqlite3.SQLITE_CORRUPT)
        connection.execute("BEGIN IMMEDIATE")
        _create_layout(connection)
        connection.execute("COMMIT")

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _migrate(
        self, connection: sqlite3.Connection, room: str, migrations: Sequence[Migration]
    ) -> None:
        row = connection.execute(
            "SELECT version FROM schema_versions WHERE room = ?", (room,)
        ).fetchone()
        found = row[0] if row else 0
        if found > len(migrations):
            raise PermanentError(
                f"database `{self.path}` holds version {found} of `{room}`; this program knows"
                f" {len(migrations)}: use the program that wrote it, or a newer one"
            )
        for migration in migrations[found:]:
            for statement in migration:
                connection.execute(statement)
        connection.execute(
            "INSERT OR REPLACE INTO schema_versions (room, version) VALUES (?, ?)",
            (room, len(migrations)),
        )

    def _translated(self, error: sqlite3.Error) -> RollbackdError:
        # the primary result code is the low byte of the extended one
        code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_ERROR) & 0xFF
        if code in _MEANING:
            return self._error(code)
        return PermanentError(f"database `{self.path}` refused a statement: {error}")

    def _undone(self) -> RollbackdError:
        return TemporaryError(f"database `{self.path}` rolled back with another call that failed")

    def _error(self, code: int) -> RollbackdError:
        meaning, delay_ms = _MEANING[code]
        message = f"database `{self.path}` {meaning}"
        if delay_ms is None:
            return PermanentError(message)
        return TemporaryError(message, delay_ms=delay_ms)


def _check_owner(connection: sqlite3.Connection, path: Path) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if owner != _APPLICATION_ID and (owner or tables):
        raise PermanentError(f"database `{path}` belongs to another program")
    (layout,) = connection.execute("PRAGMA user_version").fetchone()
    if layout > _LAYOUT_VERSION:
        raise PermanentError(
            f"database `{path}` has layout {layout}; this program knows {_LAYOUT_VERSION}"
        )


def _create_layout(connection: sqlite3.Connection) -> None:
    # one user_version cannot serve several rooms, each of which moves at its own pace
    connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
    connection.execute(f"PRAGMA user_version = {_LAYOUT_VERSION}")
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_versions"
        " (room TEXT PRIMARY KEY, version INTEGER NOT NULL) STRICT"
    )
