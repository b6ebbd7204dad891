"""`exec`: a program of this machine that reads and moves what nothing else can."""

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Final

import msgspec
import orjson
from msgspec import Meta

from rollbackd.connections.program import Command, run, untrusted
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.configured_lever import (
    LONGEST_CALL_MS,
    ConfiguredLever,
    Kind,
    Wanted,
    check_wanted,
)
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.placeholders import (
    OF_MOVE,
    OF_TARGET,
    OF_VALUE,
    Values,
    check_text,
    fill_argument,
    values_of,
)
from rollbackd.model.levers import Change, Observation, Op, Target
from rollbackd.settings.structs import Duration, SecretFile

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*\Z")
_EX_TEMPFAIL: Final = 75  # sysexits.h

_Arguments = Annotated[list[str], Meta(min_length=1)]


class ExecSettings(msgspec.Struct, frozen=True, kw_only=True):
    """The program, and its arguments for each part."""

    program: Annotated[
        str, Meta(description="Its absolute path; only root and rollbackd's user may write it.")
    ]
    observe: Annotated[
        _Arguments, Meta(description="Arguments; prints what stands there as a JSON object.")
    ]
    move: Annotated[_Arguments, Meta(description="Arguments; makes the change.")]
    revert: Annotated[
        _Arguments | None,
        Meta(description="Left out, `move` with the value that stood before."),
    ] = None
    verify: Annotated[
        _Arguments | None,
        Meta(description="Prints what a reader sees, as `observe` does; asked beside it."),
    ] = None
    facts: Annotated[
        _Arguments | None,
        Meta(description="Prints what a value leads to; run with `{after...}`."),
    ] = None
    user: Annotated[
        str | None, Meta(description="Run as this user; needs CAP_SETUID, CAP_SETGID, CAP_KILL.")
    ] = None
    cwd: Annotated[str, Meta(description="The working folder, an absolute path.")] = "/"
    environment: Annotated[
        dict[str, str], Meta(description="All of the environment, beside `secret_files`.")
    ] = {}
    secret_files: Annotated[
        dict[str, SecretFile],
        Meta(description="Variables whose values are read from files, and shown nowhere."),
    ] = {}
    timeout: Annotated[Duration, Meta(description="For one run, at most `10m`; then killed.")] = (
        3_000
    )
    kind: Kind = "pointer"
    wanted: Wanted = None

    def __post_init__(self) -> None:
        check_wanted(self.kind, self.wanted)
        if self.timeout > LONGEST_CALL_MS:
            raise ValueError("`timeout` is above `10m`, the longest that one run may take")
        for path, where in ((self.program, "program"), (self.cwd, "cwd")):
            if not path.startswith("/") or "\0" in path:
                raise ValueError(f"`{where}`: `{path[:200]}` is no absolute path")
        if because := untrusted(Path(self.program)):
            raise ValueError(f"`program`: {because}")
        for name in {**self.environment, **self.secret_files}:
            if not _VARIABLE.match(name):
                raise ValueError(f"`{name[:80]}` is no name of an environment variable")
        if any("\0" in value for value in self.environment.values()):
            raise ValueError("`environment` holds a NUL character")
        for arguments, allowed, where in (
            (self.observe, OF_TARGET, "observe"),
            (self.verify, OF_VALUE, "verify"),
            (self.facts, OF_VALUE, "facts"),
            (self.move, OF_MOVE, "move"),
            (self.revert, OF_MOVE, "revert"),
        ):
            for argument in arguments or ():
                check_text(argument, allowed, where)


class Exec(ConfiguredLever):
    """Moves what a program of this machine moves; no shell, and nothing of it is left behind."""

    Settings: ClassVar[type[msgspec.Struct] | None] = ExecSettings

    def __init__(self, name: str, settings: ExecSettings, surroundings: Surroundings) -> None:
        super().__init__(
            name,
            surroundings,
            kind=settings.kind,
            wanted=settings.wanted,
            observe=settings.observe,
            timeout_ms=settings.timeout,
            has_facts=settings.facts is not None,
        )
        self._settings = settings
        self._command = Command(
            program=Path(settings.program),
            cwd=Path(settings.cwd),
            user=settings.user,
            environment=settings.environment,
            secret_files=settings.secret_files,
            timeout_seconds=settings.timeout / 1_000,
        )

    async def read(self, target: Target) -> tuple[dict[str, object], dict[str, object]]:
        """What `observe` prints."""
        return await self._printed(self._settings.observe, values_of(target), target), {}

    async def facts_of(self, target: Target, value: dict[str, object]) -> dict[str, object] | None:
        """What `facts` prints; None where it prints an empty object."""
        if self._settings.facts is None:
            return {}
        values = values_of(target, after=value)
        return await self._printed(self._settings.facts, values, target) or None

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One run of `move`."""
        values = values_of(target, before=now.value, after=wanted, op=op)
        await self._run(self._settings.move, values, target)

    async def put_back(self, change: Change, now: Observation, op: Op) -> None:
        """By `revert`, or by `move` to what stood before."""
        how = self._settings.revert or self._settings.move
        values = values_of(change.target, before=now.value, after=change.before.value, op=op)
        await self._run(how, values, change.target)

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether `verify` prints the same, for the names that it has."""
        if self._settings.verify is None:
            return True
        values = values_of(change.target, after=change.after)
        seen = await self._printed(self._settings.verify, values, change.target)
        return all(change.after.get(name) == value for name, value in seen.items())

    async def _printed(
        self, arguments: list[str], values: Values, target: Target
    ) -> dict[str, object]:
        output = await self._run(arguments, values, target)
        try:
            printed: Any = orjson.loads(output)
        except orjson.JSONDecodeError:
            printed = None
        if not isinstance(printed, dict):
            raise PermanentError(
                f"{target}: `{self._command.program} {arguments[0]}` prints no JSON object"
            )
        return printed

    async def _run(self, arguments: list[str], values: Values, target: Target) -> bytes:
        filled = [fill_argument(argument, values) for argument in arguments]
        ended = await run(self._command, filled)
        if ended.status == 0:
            return ended.output
        said = f": {ended.errors}" if ended.errors else ""
        what = f"{target}: `{self._command.program} {arguments[0]}`"
        if ended.status < 0:
            raise TemporaryError(f"{what} was killed by signal {-ended.status}{said}")
        if ended.status == _EX_TEMPFAIL:
            raise TemporaryError(f"{what} says that it may pass{said}")
        raise PermanentError(f"{what} ended with {ended.status}{said}")
