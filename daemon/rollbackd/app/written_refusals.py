"""Refusals that are in the store already, so that one firing is not written down twice."""

from typing import Final

from rollbackd.app.refusals import Instance, instance_of
from rollbackd.clock import Clock
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, State
from rollbackd.model.triggers import Trigger
from rollbackd.ports import Store

#: How many of the newest incidents are looked through after a restart.
_NEWEST: Final = 200

#: A rule instance, since when it fires, and why nothing was opened.
_Refused = tuple[Instance, int | None, Reason]


class WrittenRefusals:
    """What an earlier process wrote down, and what the store took without our hearing of it.

    A rule instance goes on firing over a restart, and is refused for the same reason again.
    """

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store = store
        self._began_ms = clock.now()
        self._looked_back = False
        self._known: dict[_Refused, Incident] = {}

    def note(self, incident: Incident) -> None:
        """An opening is in the store after all, or always was."""
        if incident.state is State.OBSERVED and incident.triggers:
            self._known[_refused(incident.triggers[0], incident.reason)] = incident

    async def take(self, trigger: Trigger, reason: Reason) -> Incident | None:
        """Where this firing was refused for this reason, once; or None. Raises TemporaryError."""
        fired_ms = trigger.fired_at_ms
        if not self._looked_back and fired_ms is not None and fired_ms < self._began_ms:
            for incident in await self._store.incidents(limit=_NEWEST):
                self.note(incident)
            self._looked_back = True
        return self._known.pop(_refused(trigger, reason), None)


def _refused(trigger: Trigger, reason: Reason) -> _Refused:
    return instance_of(trigger), trigger.fired_at_ms, reason
