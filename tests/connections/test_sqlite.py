"""The one connection to a SQLite file: what it keeps, and what it refuses."""

import asyncio
import os
import signal
import sqlite3
import sys
import tempfile
from pathlib import Path

import pytest

from rollbackd.connections.sqlite import Database
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.errors import PermanentError, RollbackdError, TemporaryError
from rollbackd.model.labels import Scope
from rollbackd.stores.sqlite import SQLiteStore
from tests.stores.samples import SCOPE, alert_entry, new_incident, record_of, stepped

#: Commits alerts, several at the same time, and prints each key once `accept` has returned.
_COMMITTER = """
import asyncio, sys
from rollbackd.connections.sqlite import Database
from rollbackd.stores.sqlite import SQLiteStore
from tests.stores.samples import alert_entry

async def main():
    path, first, at_a_time = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    store = await SQLiteStore.open(await Database.open(path))

    async def commit(start):
        for number in range(start, 1_000_000, at_a_time):
            entry = alert_entry(f"f{number}")
            await store.accept([entry])
            print(entry.key, flush=True)

    await asyncio.gather(*(commit(first + n) for n in range(at_a_time)))

asyncio.run(main())
"""

#: Opens a database as somebody who may not write it, and prints the refusal.
_READER = """
import asyncio, os, sys
from rollbackd.connections.sqlite import Database
from rollbackd.errors import PermanentError

os.seteuid(65534)
try:
    asyncio.run(Database.open(sys.argv[1]))
except PermanentError as error:
    print(error)
"""


async def child(code: str, *arguments: str) -> asyncio.subprocess.Process:
    """A Python process with this project on its path."""
    root = Path(__file__).parents[2]
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        code,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        env={"PYTHONPATH": f"{root / 'daemon'}:{root}", "PYTHONDONTWRITEBYTECODE": "1"},
    )


async def refusal(path: Path) -> RollbackdError:
    """The error with which the file is refused."""
    with pytest.raises(RollbackdError) as caught:
        await Database.open(path, busy_timeout_ms=50)
    assert str(path) in str(caught.value)
    return caught.value


def let_others_read(path: Path) -> None:
    """Open the folder and the file; pytest's own folder could not be opened this way."""
    path.chmod(0o444)
    path.parent.chmod(0o755)


async def fill(path: Path) -> None:
    """A database with a few hundred rows."""
    store = await SQLiteStore.open(await Database.open(path))
    await store.accept([alert_entry(f"f{number}") for number in range(500)])
    await store.close()


@pytest.mark.slow
@pytest.mark.parametrize("at_a_time", [1, 20])
async def test_sigkill_loses_no_committed_row(tmp_path: Path, at_a_time: int) -> None:
    """Five times a process is killed amid its commits; everything it was told is there."""
    path = tmp_path / "r.db"
    told: set[str] = set()
    for _ in range(5):
        process = await child(_COMMITTER, str(path), str(len(told)), str(at_a_time))
        assert process.stdout is not None
        goal = len(told) + 200
        while len(told) < goal and (line := await process.stdout.readline()):
            told.add(line.decode().strip())
        process.send_signal(signal.SIGKILL)
        told.update((await process.stdout.read()).decode().split("\n")[:-1])
        assert await process.wait() == -signal.SIGKILL
        store = await SQLiteStore.open(await Database.open(path))
        kept = {entry.key for entry in await store.unhandled(1_000_000)}
        await store.close()
        assert told - kept == set()
        assert len(kept - told) <= at_a_time
        told = kept


async def test_the_file_is_locked_for_one_connection(tmp_path: Path) -> None:
    """A second one is refused, in this process too, until the first is closed."""
    path = tmp_path / "r.db"
    database = await Database.open(path)
    error = await refusal(path)
    assert isinstance(error, TemporaryError)
    assert "in use by another process" in str(error)
    await database.close()
    await (await Database.open(path)).close()


async def test_every_commit_is_synced(tmp_path: Path) -> None:
    """WAL with synchronous=FULL, on a file that only its owner can read."""
    database = await Database.open(tmp_path / "r.db")
    assert await database.read(lambda c: c.execute("PRAGMA journal_mode").fetchone()) == ("wal",)
    assert await database.read(lambda c: c.execute("PRAGMA synchronous").fetchone()) == (2,)
    assert (tmp_path / "r.db").stat().st_mode & 0o777 == 0o600
    await database.close()


async def test_store_and_controls_share_one_file(tmp_path: Path) -> None:
    """The last of them closes it."""
    database = await Database.open(tmp_path / "r.db")
    store, controls = await SQLiteStore.open(database), await SQLiteControls.open(database)
    await asyncio.gather(
        store.accept([alert_entry()]),
        controls.set_intent(SCOPE, "degrade", {"level": 1}, now_ms=1),
    )
    await store.close()
    assert await controls.scopes() == [SCOPE]
    await controls.close()
    with pytest.raises(TemporaryError, match="is closed"):
        await database.read(lambda c: c.execute("SELECT 1"))


async def test_a_fast_clock_of_the_past_does_not_stop_epochs(tmp_path: Path) -> None:
    """After an epoch far ahead of the clock the next is one more."""
    database = await Database.open(tmp_path / "r.db")
    store = await SQLiteStore.open(database)
    ahead = 4_000_000_000_000_000
    await store.next_epoch(SCOPE)
    await database.run(lambda c: c.execute("UPDATE epochs SET epoch = ?", (ahead,)))
    assert [await store.next_epoch(SCOPE) for _ in range(2)] == [ahead + 1, ahead + 2]
    await store.close()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    """And left as it is."""
    path = tmp_path / "r.db"
    path.write_text("rules:\n" * 1_000)
    error = await refusal(path)
    assert isinstance(error, PermanentError)
    assert "is not a SQLite database; move it away" in str(error)
    assert path.read_text() == "rules:\n" * 1_000


@pytest.mark.parametrize("damage", ["page", "cut"])
async def test_a_corrupt_file_is_refused(tmp_path: Path, damage: str) -> None:
    """Overwritten in the middle, or cut short."""
    path = tmp_path / "r.db"
    await fill(path)
    content = path.read_bytes()
    middle = len(content) // 2
    if damage == "page":
        path.write_bytes(content[:middle] + b"\xa5" * 8_192 + content[middle + 8_192 :])
    else:
        path.write_bytes(content[:middle])
    error = await refusal(path)
    assert isinstance(error, PermanentError)
    assert "is corrupt; restore it from a backup" in str(error)


async def test_damage_that_shows_later_is_an_error_and_no_crash(tmp_path: Path) -> None:
    """A row whose JSON is broken is named as such, and the other rows stay readable."""
    database = await Database.open(tmp_path / "r.db")
    store = await SQLiteStore.open(database)
    await store.open_incident(new_incident(), record_of(new_incident()))
    await database.run(lambda c: c.execute("UPDATE incidents SET body = X'7B'"))
    with pytest.raises(PermanentError, match="a stored Incident cannot be read"):
        await store.incidents()
    assert await store.journal("i1") == [record_of(new_incident())]
    await store.close()


async def test_another_programs_database_is_refused(tmp_path: Path) -> None:
    """Nothing is written to it."""
    path = tmp_path / "r.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    error = await refusal(path)
    assert isinstance(error, PermanentError)
    assert "belongs to another program" in str(error)
    assert path.read_bytes() == before


async def test_a_newer_programs_tables_are_refused(tmp_path: Path) -> None:
    """With both versions in the message."""
    database = await Database.open(tmp_path / "r.db")
    await database.use("store", [["CREATE TABLE a (x)"], ["CREATE TABLE b (x)"]])
    with pytest.raises(PermanentError, match="holds version 2 of `store`; this program knows 1"):
        await database.use("store", [["CREATE TABLE a (x)"]])
    await database.close()


async def test_migrations_go_on_from_where_they_were(tmp_path: Path) -> None:
    """Each is run once, a failed one not at all."""
    database = await Database.open(tmp_path / "r.db")
    first = ["CREATE TABLE a (x)"]
    await database.use("room", [first])
    with pytest.raises(PermanentError, match="refused a statement"):
        await database.use("room", [first, ["CREATE TABLE b (x)", "CREATE TABLE a (x)"]])
    await database.use("room", [first, ["CREATE TABLE b (x)"]])
    await database.close()


async def test_a_folder_that_is_missing_is_named(tmp_path: Path) -> None:
    """The path and the reason."""
    error = await refusal(tmp_path / "missing" / "r.db")
    assert isinstance(error, PermanentError)
    assert "cannot be opened for writing: No such file or directory" in str(error)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody who may not write")
async def test_a_read_only_file_is_refused() -> None:
    """At once, and with the reason."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "r.db")
        await fill(path)
        let_others_read(path)
        process = await child(_READER, str(path))
        output, _ = await process.communicate()
    assert b"cannot be opened for writing: Permission denied" in output


async def test_a_full_disk_stops_writing_and_nothing_else(tmp_path: Path) -> None:
    """The error passes, nothing is half written, and reading goes on."""
    database = await Database.open(tmp_path / "r.db")
    store, controls = await SQLiteStore.open(database), await SQLiteControls.open(database)
    incident = new_incident()
    await store.open_incident(incident, record_of(incident))
    (pages,) = await database.read(lambda c: c.execute("PRAGMA page_count").fetchone())
    await database.read(lambda c: c.execute(f"PRAGMA max_page_count = {pages + 1}").fetchone())

    step = stepped(incident, note="x" * 50_000)
    with pytest.raises(TemporaryError, match="the disk is full") as caught:
        await store.advance(step, [record_of(step)])
    assert caught.value.delay_ms == 5_000
    with pytest.raises(TemporaryError, match="the disk is full"):
        await store.accept([alert_entry(f"f{number}") for number in range(200)])
    with pytest.raises(TemporaryError, match="the disk is full"):
        await controls.set_intent(Scope("b"), "pins", {"A": "x" * 60_000}, now_ms=1)
    assert await store.incident("i1") == incident
    assert await store.journal("i1") == [record_of(incident)]
    assert await store.unhandled(1_000) == []
    assert await controls.scopes() == []

    await database.read(lambda c: c.execute("PRAGMA max_page_count = 100000").fetchone())
    await store.advance(step, [record_of(step)])
    assert await store.incident("i1") == step
    await store.close()
    await controls.close()


async def test_work_that_raises_is_rolled_back(tmp_path: Path) -> None:
    """Its own error comes out as it is, and the next transaction is not disturbed."""
    database = await Database.open(tmp_path / "r.db")
    await database.run(lambda c: c.execute("CREATE TABLE t (x)"))

    def work(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO t VALUES (1)")
        raise LookupError("mine")

    with pytest.raises(LookupError, match="mine"):
        await database.run(work)
    rows = await database.run(lambda c: c.execute("SELECT count(*) FROM t").fetchone())
    assert rows == (0,)
    await database.close()
    await database.close()
