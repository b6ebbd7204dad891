"""Controls with a memory: what was read last is there when the store is not.

Applications ask thousands of times a second, and they must get an answer while the store is away.
So the memory is what they read. A write of this process is in it at once; what another replica
wrote is in it after the next look, at most a second later for a scope that somebody asks about.

Controls are never deleted, so one that the store no longer has was lost by it: the memory keeps it,
as a kill switch must not let go because a database was emptied.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Final

from rollbackd.controls.snapshot import Snapshot
from rollbackd.errors import PermanentError, RollbackdError
from rollbackd.model.controls import Control, ControlValue, ControlWrite
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op
from rollbackd.ports import Controls

logger = logging.getLogger(__name__)

#: Scopes that are read in one look beside those that somebody asked about; each has its turn.
SCOPES_A_LOOK: Final = 100
_LOOK_SECONDS: Final = 1.0
_DEADLINE_SECONDS: Final = 5.0
_NOTHING: Final[Mapping[str, Control]] = MappingProxyType({})


class LastKnownControls:
    """Implements `ports.Controls` and `ports.LastKnown` over the controls that it wraps."""

    def __init__(self, controls: Controls, snapshot: Snapshot | None = None) -> None:
        self._controls = controls
        self._snapshot = snapshot
        #: Counts the changes of what is known.
        self._revision = 0
        self._known: dict[Scope, dict[str, Control]] = {}
        #: What was written to a scope since the read of it that is under way began.
        self._written: dict[Scope, dict[str, Control]] = {}
        self._asked: set[Scope] = set()
        #: Scopes that wait for their turn.
        self._waiting: list[Scope] = []
        self._failing = False

    def last_known(self, scope: Scope) -> Mapping[str, Control]:
        """See `ports.LastKnown`."""
        known = self._known.get(scope)
        # names that somebody made up must not fill the memory, or the look
        if known is not None or len(self._asked) < SCOPES_A_LOOK:
            self._asked.add(scope)
        return _NOTHING if known is None else known

    async def load(self) -> None:
        """Read every scope, before anybody asks. Raises TemporaryError.

        What cannot be read at all is logged and left out: it must not keep the daemon down.
        """
        try:
            await self._look_at(await self._controls.scopes())
        except (PermanentError, ValueError) as error:
            self._failed(error)
        else:
            await self._keep()

    async def run(self) -> None:
        """Look once a second until cancelled; while it fails, the memory stays as it is."""
        while True:
            await asyncio.sleep(_LOOK_SECONDS)
            try:
                async with asyncio.timeout(_DEADLINE_SECONDS):
                    await self.look()
            except (RollbackdError, ValueError, TimeoutError) as error:
                self._failed(error)
            else:
                self._succeeded()
                await self._keep()

    async def look(self) -> None:
        """Read the scopes that were asked about, and the next of the others.

        Raises TemporaryError, PermanentError, and ValueError for what is no scope.
        """
        self._waiting = self._waiting or await self._controls.scopes()
        turn = list(dict.fromkeys([*self._asked, *self._waiting[:SCOPES_A_LOOK]]))
        self._waiting = self._waiting[SCOPES_A_LOOK:]
        self._asked = set()
        await self._look_at(turn)

    async def read(self, scope: Scope, name: str) -> Control:
        """See `ports.Controls`; from the store."""
        return await self._controls.read(scope, name)

    async def read_all(self, scope: Scope) -> dict[str, Control]:
        """See `ports.Controls`; from the store."""
        return await self._controls.read_all(scope)

    async def set_intent(
        self, scope: Scope, name: str, value: ControlValue, *, now_ms: int
    ) -> Control:
        """See `ports.Controls`."""
        control = await self._controls.set_intent(scope, name, value, now_ms=now_ms)
        self._remember(scope, control)
        return control

    async def set_trip(
        self,
        scope: Scope,
        name: str,
        value: ControlValue | None,
        *,
        expected_version: int,
        op: Op,
        now_ms: int,
    ) -> ControlWrite:
        """See `ports.Controls`."""
        write = await self._controls.set_trip(
            scope, name, value, expected_version=expected_version, op=op, now_ms=now_ms
        )
        self._remember(scope, write.control)
        return write

    async def fence(self, scope: Scope, epoch: int) -> int:
        """See `ports.Controls`."""
        return await self._controls.fence(scope, epoch)

    async def scopes(self) -> list[Scope]:
        """See `ports.Controls`; from the store."""
        return await self._controls.scopes()

    async def close(self) -> None:
        """See `ports.Controls`."""
        await self._controls.close()

    async def _look_at(self, scopes: Sequence[Scope]) -> None:
        unreadable: PermanentError | None = None
        for scope in scopes:
            try:
                await self._read_into_memory(scope)
            except PermanentError as error:
                # one scope that cannot be read must not keep the others from being read
                unreadable = error
        if unreadable is not None:
            raise unreadable

    async def _read_into_memory(self, scope: Scope) -> None:
        written = self._written[scope] = {}
        try:
            found = await self._controls.read_all(scope)
        finally:
            del self._written[scope]
        # a read that began before a write of ours may not have seen it
        before = self._known.get(scope, {})
        if (now := {**before, **found, **written}) != before:
            self._known[scope] = now
            self._revision += 1

    def _remember(self, scope: Scope, control: Control) -> None:
        known = self._known.setdefault(scope, {})
        before = known.get(control.name)
        # a repeated act answers with the control as its first try left it
        if control.version and (before is None or before.version <= control.version):
            known[control.name] = control
            self._revision += 1
            if scope in self._written:
                self._written[scope][control.name] = control

    async def _keep(self) -> None:
        if self._snapshot is not None:
            await self._snapshot.keep(self._known, self._revision)

    def _failed(self, error: Exception) -> None:
        if not self._failing:
            logger.warning(
                "controls cannot all be read; applications get the last known ones",
                extra={"because": str(error) or "no answer"},
            )
        self._failing = True

    def _succeeded(self) -> None:
        if self._failing:
            logger.info("all controls can be read again")
        self._failing = False
