"""Asks every pointer lever of the decision tree what stands at its target now."""

import asyncio
from collections.abc import Callable
from typing import Final

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers import BUILT_IN
from rollbackd.model.events import KnownTarget
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Target
from rollbackd.model.policy import DecisionTree
from rollbackd.ports import LeverTable

#: A lever has so long to read its target.
OBSERVE_SECONDS: Final = 3.0


class ObserveTargets:
    """Targets outside the controls; those on the controls are recorded with the controls."""

    def __init__(self, levers: Callable[[], LeverTable], tree: Callable[[], DecisionTree]) -> None:
        self._levers = levers
        self._tree = tree

    async def __call__(self, scope: Scope) -> tuple[dict[str, KnownTarget], dict[str, str]]:
        """What each holds by `<lever>` or `<lever>:<name>`, and why those that are missing do."""
        calls = [call for policy in self._tree().branches.values() for call in policy.levers]
        targets = {
            target.key: target
            for call in calls
            if call.lever not in BUILT_IN
            and (target := Target(lever=call.lever, scope=scope, name=call.name))
        }
        found = await asyncio.gather(*map(self._observe, targets.values()))
        observed = dict(zip(targets, found, strict=True))
        return (
            {key: each for key, each in observed.items() if isinstance(each, KnownTarget)},
            {key: each for key, each in observed.items() if isinstance(each, str)},
        )

    async def _observe(self, target: Target) -> KnownTarget | str:
        lever = self._levers().get(target.lever)
        if lever is None:
            return f"there is no lever `{target.lever}`"
        try:
            async with asyncio.timeout(OBSERVE_SECONDS):
                observation = await lever.observe(target)
        except TimeoutError:
            return f"no answer within {OBSERVE_SECONDS:g} s"
        except (TemporaryError, PermanentError) as error:
            return str(error)
        return KnownTarget(value=observation.value, facts=observation.facts)
