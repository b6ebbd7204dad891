"""Taking open incidents over: at the start, and those that turn up with nobody driving them."""

import asyncio
import contextlib
import logging
from typing import Final

from rollbackd.app.dispatch import Dispatcher
from rollbackd.clock import Clock
from rollbackd.errors import RollbackdError
from rollbackd.incidents.lease import LEASE_MS
from rollbackd.incidents.runner import Runner
from rollbackd.model.incidents import Incident, State
from rollbackd.model.labels import Scope
from rollbackd.ports import Controls, Notifier, Store

logger = logging.getLogger(__name__)

_DAY_MS: Final = 86_400_000
_EVERY: Final = 10_000
_LOOK_EVERY_MS: Final = 15_000
#: How long the fence may take to go up; a target that is down shall not keep people waiting.
_FENCE_SECONDS: Final = 8.0
_TRY_SECONDS: Final = 2.0
_AGAIN_MS: Final = 250
_WAITING: Final = frozenset({State.NEEDS_HUMAN, State.AWAITING_APPROVAL})


class Recovery:
    """Resumes what an earlier process left; `notifier` asks again for people who are waited for."""

    def __init__(
        self,
        *,
        store: Store,
        controls: Controls,
        dispatcher: Dispatcher,
        runner: Runner,
        notifier: Notifier,
        clock: Clock,
    ) -> None:
        self._store = store
        self._controls = controls
        self._clock = clock
        self._dispatcher = dispatcher
        self._runner = runner
        self._notifier = notifier
        #: The version that an incident stands at, and since when.
        self._seen: dict[str, tuple[int, float]] = {}

    async def start(self) -> None:
        """Resume what is open, and remember which triggers were answered for already.

        Raises TemporaryError when the store cannot be reached.
        """
        open_incidents = await self._store.incidents(open_only=True, limit=_EVERY)
        now_ms = self._clock.now()
        history = await self._store.history(acts_since_ms=now_ms - _DAY_MS, trips_since_ms=now_ms)
        acts = [act for act in history.acts if act.acted and not act.is_open]
        ended = [await self._store.incident(act.incident_id) for act in acts]
        self._dispatcher.inherit([*open_incidents, *(each for each in ended if each is not None)])
        await self._runner.left.load()
        for incident in open_incidents:
            await self._resume(incident)

    async def run(self) -> None:
        """Adopt orphans until cancelled."""
        while True:
            await self._clock.sleep(_LOOK_EVERY_MS)
            try:
                await self.adopt()
            except RollbackdError as error:
                logger.warning("will try again", extra={"because": str(error)})

    async def adopt(self) -> None:
        """Resume incidents that no process drives.

        The opening of an incident may reach the store after the process that sent it is gone, and
        after the one that took over has looked. Without a driver it would hold its scope for ever.
        One that is not driven here and has stood still for longer than a driver leaves it alone is
        an orphan. Raises TemporaryError.
        """
        driven = {incident.id for incident in self._runner.current()}
        now_ms = self._clock.now()
        history = await self._store.history(acts_since_ms=now_ms, trips_since_ms=now_ms)
        alone = [a.incident_id for a in history.acts if a.is_open and a.incident_id not in driven]
        found = [await self._store.incident(incident_id) for incident_id in alone]
        now, seen = self._clock.monotonic(), self._seen
        self._seen = {}
        for incident in found:
            if incident is None or not incident.is_open:
                continue
            version, since = seen.get(incident.id, (0, now))
            since = since if version == incident.version else now
            self._seen[incident.id] = incident.version, since
            if (now - since) * 1_000 >= _stands_still_ms(incident):
                logger.warning("adopting an open incident", extra={"incident": incident.id})
                await self._resume(incident)

    async def _resume(self, incident: Incident) -> None:
        await self._shut_out(incident)
        await self._runner.resume(incident)
        if incident.state in _WAITING:
            # Whoever was asked may not have heard it before the restart.
            await self._notifier.page(incident, incident.reason)

    async def _shut_out(self, incident: Incident) -> None:
        """Raise the fence of the controls before anything else.

        Otherwise an act of the earlier process that is still under way could take effect after
        this one has given it up, and ended the incident. Raises TemporaryError when the store
        cannot be reached; without an answer of the controls it goes on, as the first act will
        raise the fence.
        """
        epoch = await self._store.next_epoch(incident.scope)
        try:
            async with asyncio.timeout(_FENCE_SECONDS):
                while not await self._fenced(incident.scope, epoch):
                    await self._clock.sleep(_AGAIN_MS)
        except TimeoutError:
            logger.warning("the fence is not up yet", extra={"incident": incident.id})

    async def _fenced(self, scope: Scope, epoch: int) -> bool:
        with contextlib.suppress(TimeoutError, RollbackdError):
            async with asyncio.timeout(_TRY_SECONDS):
                await self._controls.fence(scope, epoch)
                return True
        return False


def _stands_still_ms(incident: Incident) -> int:
    return max(LEASE_MS, 3 * incident.policy.watch_interval_ms)
