"""Group commit: calls that wait for the SQLite connection share one transaction.

A commit is an fsync, which takes many times as long as the statements of a small call. Each call
runs in a savepoint of its own, so that one that raises takes nothing of the others with it, and
none is answered before the commit.
"""

import contextlib
import sqlite3
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Final, Generic, TypeVar

from rollbackd.errors import RollbackdError

T = TypeVar("T")


class Call(Generic[T]):
    """Work for the connection; `answer` is set once what came of it is durable."""

    def __init__(self, work: Callable[[sqlite3.Connection], T]) -> None:
        self.answer: Final = Future[T]()
        self._work = work
        self._result: list[T] = []
        self.error: BaseException | None = None

    def begin(self) -> bool:
        """Whether it is still wanted; from here on it is carried out, cancelled or not."""
        return self.answer.set_running_or_notify_cancel()

    def perform(self, connection: sqlite3.Connection) -> None:
        """Do the work in a savepoint; its error is kept, and what it had done is undone."""
        connection.execute("SAVEPOINT call")
        try:
            self._result.append(self._work(connection))
        except BaseException as error:  # noqa: BLE001 - it is the caller's, and goes there
            self.error = error
            if not connection.in_transaction:
                return
            connection.execute("ROLLBACK TO call")
        connection.execute("RELEASE call")

    def settle(self, error: BaseException | None) -> None:
        """Answer with the error, or with the result of the work."""
        if error is not None:
            self.answer.set_exception(error)
        else:
            self.answer.set_result(self._result[0])


def share_commit(
    connection: sqlite3.Connection,
    waiting: deque[Call[Any]],
    *,
    translated: Callable[[sqlite3.Error], RollbackdError],
    undone: Callable[[], RollbackdError],
) -> None:
    """Perform the waiting calls in order, commit, and answer those that were performed.

    A call whose error makes SQLite end the transaction (a full disk) ends this one: the calls
    before it get `undone`, those behind it go on waiting. An error of the transaction itself, such
    as a commit that fails, is that of every call.
    """
    performed: list[Call[Any]] = []
    failure: sqlite3.Error | None = None
    try:
        connection.execute("BEGIN IMMEDIATE")
        while waiting and connection.in_transaction:
            performed.append(waiting.popleft())
            performed[-1].perform(connection)
        kept = connection.in_transaction
        if kept:
            connection.execute("COMMIT")
    except sqlite3.Error as error:
        failure = error
        performed += waiting
        waiting.clear()
        if connection.in_transaction:
            # should this fail too, the calls are answered all the same
            with contextlib.suppress(sqlite3.Error):
                connection.execute("ROLLBACK")
    for call in performed:
        # each its own, for raising an error adds to its traceback
        if isinstance(call.error, sqlite3.Error):
            call.settle(translated(call.error))
        elif call.error is not None:
            call.settle(call.error)
        elif failure is not None:
            call.settle(translated(failure))
        else:
            call.settle(None if kept else undone())
