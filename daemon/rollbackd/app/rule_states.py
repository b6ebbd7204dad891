"""Keeps what is pending and firing in the store, so that `for` survives a restart.

Written every two seconds and only what changed. That an instance is still there is a change too: a
restart counts the time of the outage from when it was seen last.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from msgspec.structs import replace

from rollbackd.clock import Clock
from rollbackd.model.labels import Labels
from rollbackd.model.triggers import RuleInstance, RuleState
from rollbackd.ports import Store
from rollbackd.triggers.engine import Engine
from rollbackd.triggers.memory import RestorePolicy

logger = logging.getLogger(__name__)

#: The least time between two writes. It is asked once a second, now and then a little early.
_EVERY_SECONDS: Final = 1.5
#: How often an instance is written that is merely still there; pending, at every write.
_PENDING_MS: Final = 1_000
_FIRING_MS: Final = 60_000
#: Instances that are kept; as the stores have it.
_MOST: Final = 10_000
#: How often it is looked whether the windows are full again, and for how long.
_LOOK_SECONDS: Final = 0.2
_GIVE_UP_MS: Final = 60_000


class RuleStates:
    """Restores the instances of alert rules at start, and keeps them from then on."""

    def __init__(
        self,
        *,
        engine: Callable[[], Engine],
        store: Store,
        clock: Clock,
        policy: RestorePolicy,
        caught_up: Callable[[], bool],
    ) -> None:
        self._engine = engine
        self._store = store
        self._clock = clock
        self._policy = policy
        self._caught_up = caught_up
        self._stored: dict[tuple[str, Labels], RuleInstance] = {}
        self._due = 0.0

    async def restore(self) -> None:
        """Before the first evaluation. Raises TemporaryError."""
        instances = await self._store.rule_states()
        self._stored = {instance.key: instance for instance in instances}
        self._engine().restore(instances, self._policy)
        if instances:
            logger.info("restored rule instances", extra={"instances": len(instances)})

    async def settle(self) -> None:
        """Tell the engine once the windows are full again, or it has taken longer than they are."""
        give_up_ms = self._clock.now() + self._engine().longest_window_ms + _GIVE_UP_MS
        while not self._caught_up() and self._clock.now() < give_up_ms:  # noqa: ASYNC110  # seldom
            await asyncio.sleep(_LOOK_SECONDS)
        self._engine().settle(self._clock.now())

    async def keep(self) -> None:
        """Write what changed, if it is time. Raises TemporaryError."""
        if self._clock.monotonic() >= self._due:
            self._due = self._clock.monotonic() + _EVERY_SECONDS
            await self.write(refresh=False)

    async def write(self, *, refresh: bool = True) -> None:
        """Write what changed, with `refresh` also when what is there was seen last."""
        engine = self._engine()
        current = {i.key: i for i in _chosen(engine.rule_instances())}
        changed = [i for i in current.values() if refresh or self._is_news(i)]
        ended: list[RuleInstance] = []
        if not engine.restoring:
            # Until then, what is not there may only not be there yet.
            gone = self._stored.keys() - current.keys()
            ended = [replace(self._stored[key], state=RuleState.INACTIVE) for key in gone]
        if not changed and not ended:
            return
        await self._store.put_rule_states([*changed, *ended])
        self._stored.update((i.key, i) for i in changed)
        for instance in ended:
            del self._stored[instance.key]

    def _is_news(self, instance: RuleInstance) -> bool:
        stored = self._stored.get(instance.key)
        if stored is None:
            return True
        every_ms = _PENDING_MS if instance.state is RuleState.PENDING else _FIRING_MS
        still_there = instance.seen_at_ms - stored.seen_at_ms >= every_ms
        return still_there or replace(instance, seen_at_ms=stored.seen_at_ms) != stored


def _chosen(instances: list[RuleInstance]) -> list[RuleInstance]:
    """Where there are too many: those that are pending, for whom most is at stake."""
    if len(instances) <= _MOST:
        return instances
    ranked = sorted(instances, key=lambda i: (i.state is not RuleState.PENDING, i.active_at_ms))
    return ranked[:_MOST]
