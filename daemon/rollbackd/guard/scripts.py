"""The Lua scripts of a guard, and calls of them that a connection of either kind can make."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Any, Final, Generic, TypeVar

T = TypeVar("T")

Argument = str | bytes | int | float


class Script:
    """The Lua of one file beside this module."""

    def __init__(self, name: str) -> None:
        source = resources.files(__package__).joinpath(f"{name}.lua")
        self.text = source.read_text(encoding="utf-8")
        self.sha = hashlib.sha1(self.text.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class Call(Generic[T]):
    """One script with what it is given, and how its reply is read.

    `repeatable` says that a repetition after a lost reply answers as the first try did.
    """

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]
    read: Callable[[Any], T]
    repeatable: bool = True

    def command(self) -> tuple[Argument, ...]:
        """What is sent."""
        return ("EVALSHA", self.script.sha, len(self.keys), *self.keys, *self.arguments)


ACKNOWLEDGE: Final = Script("acknowledge")
ADMIT: Final = Script("admit")
CLAIM: Final = Script("claim")
SETTLE: Final = Script("settle")
LOOKUP: Final = Script("lookup")
STORE: Final = Script("store")
FENCED_SET: Final = Script("fenced_set")

#: All of them, to be loaded into a server that has none.
SCRIPTS: Final = (ACKNOWLEDGE, ADMIT, CLAIM, SETTLE, LOOKUP, STORE, FENCED_SET)
