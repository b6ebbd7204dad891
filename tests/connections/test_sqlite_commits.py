"""Calls that wait for the SQLite connection share a commit, and nothing else."""

import asyncio
import contextlib
import resource
import sqlite3
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path

import pytest

from rollbackd.connections.sqlite import Database
from rollbackd.errors import PermanentError, TemporaryError

Work = Callable[[sqlite3.Connection], int]


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    """A database with an empty table of numbers."""
    opened = await Database.open(tmp_path / "r.db")
    await opened.run(lambda c: c.execute("CREATE TABLE t (x INTEGER PRIMARY KEY)"))
    yield opened
    await opened.close()


def inserting(number: int) -> Work:
    """A call that adds a row and says its number."""

    def work(connection: sqlite3.Connection) -> int:
        connection.execute("INSERT INTO t VALUES (?)", (number,))
        return number

    return work


def raising(error: Exception) -> Work:
    """A call that adds row 99 and fails."""

    def work(connection: sqlite3.Connection) -> int:
        inserting(99)(connection)
        raise error

    return work


def ending_the_transaction(connection: sqlite3.Connection) -> int:
    """A call that fails in the way of a full disk: SQLite rolls back everything."""
    connection.execute("INSERT OR ROLLBACK INTO t VALUES (1), (1)")
    return 0


async def rows(database: Database) -> list[int]:
    """The numbers in the table."""
    found = await database.read(lambda c: c.execute("SELECT x FROM t ORDER BY x").fetchall())
    return [x for (x,) in found]


@contextlib.asynccontextmanager
async def busy(database: Database) -> AsyncIterator[None]:
    """The thread is busy until the end of the block; what is asked for in it waits."""
    begun, end = threading.Event(), threading.Event()

    def work(_: sqlite3.Connection) -> None:
        begun.set()
        end.wait()

    occupied = asyncio.create_task(database.read(work))
    await asyncio.to_thread(begun.wait)
    try:
        yield
        # the tasks of the block come to where they wait
        await asyncio.sleep(0)
    finally:
        end.set()
        await occupied


async def together(database: Database, *works: Work) -> list[int | BaseException]:
    """What comes of calls that wait at the same time."""
    async with busy(database):
        calls = [asyncio.create_task(database.run(work)) for work in works]
    return await asyncio.gather(*calls, return_exceptions=True)


@contextlib.asynccontextmanager
async def statements(database: Database) -> AsyncIterator[list[str]]:
    """The statements of the block, as SQLite sees them."""
    seen: list[str] = []
    await database.read(lambda c: c.set_trace_callback(seen.append))
    yield seen
    await database.read(lambda c: c.set_trace_callback(None))


@contextlib.contextmanager
def files_that_cannot_grow() -> Iterator[None]:
    """Every write beyond the first 4 KiB of a file fails, as on a disk with an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4_096, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_calls_that_wait_share_one_commit(database: Database) -> None:
    """In the order in which they were made, each with its own result."""
    async with statements(database) as seen:
        answers = await together(database, *(inserting(n) for n in range(50)))
    assert answers == list(range(50))
    assert await rows(database) == list(range(50))
    assert seen.count("COMMIT") == 1
    inserts = [s for s in seen if s.startswith("INSERT")]
    assert inserts == [f"INSERT INTO t VALUES ({n})" for n in range(50)]


async def test_a_call_that_does_not_wait_is_committed_at_once(database: Database) -> None:
    """Nothing waits for company."""
    async with statements(database) as seen:
        for n in range(3):
            await database.run(inserting(n))
    assert seen.count("COMMIT") == 3


async def test_nothing_is_answered_before_the_commit(database: Database) -> None:
    """All work is done and the commit is about to begin: nobody has heard of it."""
    reached, go_on = threading.Event(), threading.Event()

    def stop_at_commit(statement: str) -> None:
        if statement == "COMMIT":
            reached.set()
            go_on.wait()

    await database.read(lambda c: c.set_trace_callback(stop_at_commit))
    async with busy(database):
        calls = [asyncio.create_task(database.run(inserting(n))) for n in range(3)]
    await asyncio.to_thread(reached.wait)
    done, _ = await asyncio.wait(calls, timeout=0)
    assert done == set()
    go_on.set()
    assert await asyncio.gather(*calls) == [0, 1, 2]


@pytest.mark.parametrize("error", [LookupError("mine"), TemporaryError("mine")])
async def test_a_call_that_raises_harms_no_other(database: Database, error: Exception) -> None:
    """What it wrote is undone, its error is its own, and the others are kept."""
    answers = await together(database, inserting(1), raising(error), inserting(2))
    assert answers == [1, error, 2]
    assert await rows(database) == [1, 2]


async def test_a_statement_that_is_left_open_harms_no_other(database: Database) -> None:
    """A call may return a cursor that nobody reads to its end."""

    def reading(connection: sqlite3.Connection) -> int:
        open_cursors.append(connection.execute("SELECT x FROM t"))
        return 0

    open_cursors: list[sqlite3.Cursor] = []
    await together(database, inserting(1), inserting(2))
    answers = await together(database, reading, raising(LookupError()), inserting(3), reading)
    assert answers[::2] == [0, 3]
    assert isinstance(answers[1], LookupError)
    assert await rows(database) == [1, 2, 3]


async def test_a_statement_that_is_refused_harms_no_other(database: Database) -> None:
    """SQLite's own errors are translated for the one who made them."""
    one, refused, two = await together(database, inserting(1), inserting(1), inserting(2))
    assert (one, two) == (1, 2)
    assert isinstance(refused, PermanentError)
    assert "refused a statement: UNIQUE constraint failed" in str(refused)
    assert await rows(database) == [1, 2]


async def test_a_call_that_ends_the_transaction_undoes_those_before_it(database: Database) -> None:
    """They are told to try again; those behind it are kept."""
    before, guilty, behind = await together(
        database, inserting(1), ending_the_transaction, inserting(2)
    )
    assert isinstance(before, TemporaryError)
    assert "rolled back with another call that failed" in str(before)
    assert isinstance(guilty, PermanentError)
    assert behind == 2
    assert await rows(database) == [2]


async def test_a_commit_that_fails_fails_all_of_its_calls(database: Database) -> None:
    """For a while only: nothing of it is kept, and the same calls succeed afterwards."""
    works = [inserting(1), raising(LookupError("mine")), inserting(2)]
    with files_that_cannot_grow():
        first, guilty, second = await together(database, *works)
    for error in (first, second):
        assert isinstance(error, TemporaryError)
        assert "the disk reports an error" in str(error)
    assert first is not second
    assert isinstance(guilty, LookupError)
    assert await rows(database) == []
    assert (await together(database, *works))[::2] == [1, 2]
    assert await rows(database) == [1, 2]


async def test_a_caller_that_gives_up_while_it_waits_is_left_out(database: Database) -> None:
    """Its work is not begun; that of the others is."""
    async with busy(database):
        calls = [asyncio.create_task(database.run(inserting(n))) for n in range(3)]
        await asyncio.sleep(0)
        calls[1].cancel()
    answers = await asyncio.gather(*calls, return_exceptions=True)
    assert answers[::2] == [0, 2]
    assert isinstance(answers[1], asyncio.CancelledError)
    assert await rows(database) == [0, 2]


async def test_a_caller_that_gives_up_later_is_carried_out(database: Database) -> None:
    """Begun is begun, and the others get their answers."""
    begun, go_on = threading.Event(), threading.Event()

    def slow(connection: sqlite3.Connection) -> int:
        begun.set()
        go_on.wait()
        return inserting(1)(connection)

    async with busy(database):
        calls = [asyncio.create_task(database.run(work)) for work in (slow, inserting(2))]
    await asyncio.to_thread(begun.wait)
    for call in calls:
        call.cancel()
    third = asyncio.create_task(database.run(inserting(3)))
    await asyncio.wait(calls)
    go_on.set()
    assert await third == 3
    assert all(call.cancelled() for call in calls)
    assert await rows(database) == [1, 2, 3]


async def test_a_read_sees_what_was_asked_for_before_it(database: Database) -> None:
    """And nothing behind it, also when all of them wait."""
    asked: list[Awaitable[object]] = []
    async with busy(database):
        for n in range(3):
            asked.append(asyncio.create_task(database.run(inserting(n))))
            asked.append(asyncio.create_task(rows(database)))
    assert (await asyncio.gather(*asked))[1::2] == [[0], [0, 1], [0, 1, 2]]


async def test_calls_that_wait_when_it_is_closed_are_carried_out(database: Database) -> None:
    """And one that comes too late is told so."""
    path = database.path
    async with busy(database):
        call = asyncio.create_task(database.run(inserting(1)))
        await asyncio.sleep(0)
        closing = asyncio.create_task(database.close())
        await asyncio.sleep(0)
        with pytest.raises(TemporaryError, match="is closed"):
            await database.run(inserting(2))
    assert await call == 1
    await closing
    reopened = await Database.open(path)
    assert await rows(reopened) == [1]
    await reopened.close()
