"""What a guard does, written once for both kinds of connection.

A piece of work is a generator: it yields what has to be done outside (a script, commands, a
function of the application, a pause) and gets the answer back, or the exception. A connection for
asyncio and one for threads differ only in how they do these four things
(https://sans-io.readthedocs.io/).
"""

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from rollbackd.guard.scripts import Argument, Call

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Commands:
    """Plain commands, seen at one point in time; the answer is the list of replies."""

    commands: Sequence[tuple[Argument, ...]]


@dataclass(frozen=True, slots=True)
class Invoke:
    """A function of the application; for asyncio's guard it may be a coroutine function."""

    function: Callable[..., Any]
    arguments: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class Wait:
    """Nothing for so long."""

    seconds: float


Step = Call[Any] | Commands | Invoke | Wait
Work = Generator[Step, Any, T]
