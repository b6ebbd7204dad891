"""The controls as they were last known, in a file: for a daemon that starts while Redis is away.

The file is replaced as a whole, at a change and every half minute, so that its age says how old it
may be. What is older than an hour is not used: somebody else may have pulled a lever since, and
then the default that stands in an application's code is the better answer.
"""

import asyncio
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from rollbackd.clock import Clock
from rollbackd.model.controls import Control
from rollbackd.model.labels import Scope

logger = logging.getLogger(__name__)

FORMAT: Final = 1
MAX_BYTES: Final = 16 << 20
#: A snapshot is written again after so long, also when nothing has changed.
REFRESH_MS: Final = 30_000
#: Nor is one used that is older, or that comes from so far in the future.
MAX_AGE_MS: Final = 3_600_000
#: Controls by name, by scope.
Known = Mapping[Scope, Mapping[str, Control]]


class _Document(msgspec.Struct, frozen=True, kw_only=True):
    """The file: JSON; scopes as `service/region`."""

    format: int
    written_at_ms: int
    scopes: dict[str, list[Control]]


class Snapshot:
    """One file, written by one process and read at its next start."""

    def __init__(self, path: Path, clock: Clock) -> None:
        self._path = path
        self._clock = clock
        self._written: tuple[int, int] | None = None
        self._failing = False

    async def keep(self, known: Known, revision: int) -> None:
        """Write what was just read, if it is another revision or due; a failure is logged once."""
        now_ms = self._clock.now()
        if self._written is not None:
            before, at_ms = self._written
            if before == revision and 0 <= now_ms - at_ms < REFRESH_MS:
                return
        try:
            await asyncio.to_thread(self._write, _encoded(known, now_ms))
        except OSError as error:
            if not self._failing:
                logger.warning(
                    "the last known controls are not kept", extra={"because": error.strerror}
                )
            self._failing = True
            return
        self._failing = False
        self._written = revision, now_ms

    def load(self) -> dict[Scope, dict[str, Control]]:
        """What was kept; empty where nothing is, or where it is too old or cannot be read."""
        try:
            with self._path.open("rb") as file:
                text = file.read(MAX_BYTES + 1)
        except OSError:
            return {}
        try:
            document = msgspec.json.decode(text, type=_Document)
            known = {
                Scope.parse(scope): {control.name: control for control in controls}
                for scope, controls in document.scopes.items()
            }
        except (msgspec.MsgspecError, ValueError) as error:
            logger.warning("the kept controls cannot be read", extra={"because": str(error)})
            return {}
        age_ms = self._clock.now() - document.written_at_ms
        if document.format != FORMAT or abs(age_ms) > MAX_AGE_MS:
            logger.warning(
                "the kept controls are too old to be used",
                extra={"age_ms": age_ms, "format": document.format},
            )
            return {}
        return known

    def _write(self, text: bytes) -> None:
        beside = self._path.with_suffix(".tmp")
        beside.unlink(missing_ok=True)
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


def _encoded(known: Known, now_ms: int) -> bytes:
    """The document; beyond the bound those scopes are left out that changed the longest ago."""
    newest = sorted(known.items(), key=lambda each: -_changed_at_ms(each[1]))
    scopes: dict[str, list[Control]] = {}
    size = 0
    for scope, controls in newest:
        size += len(msgspec.json.encode(list(controls.values()))) + 2 * len(str(scope)) + 16
        if size > MAX_BYTES - 256:
            break
        scopes[str(scope)] = list(controls.values())
    return msgspec.json.encode(_Document(format=FORMAT, written_at_ms=now_ms, scopes=scopes))


def _changed_at_ms(controls: Mapping[str, Control]) -> int:
    return max((control.updated_at_ms for control in controls.values()), default=0)
