"""What the demo plays: one scenario of the generator's catalogue, with times that suit a demo.

The canary's prompt pack is bad: its answers drift away from what was retrieved (ΔS up by a quarter)
and cite less of it (coverage down by a tenth). Its errors and its latency stay those of the
baseline, so nothing but quality can give it away.
"""

from typing import Final

from msgspec.structs import replace

from rollbackd.app.generating.plans import Plan, draw
from rollbackd.app.generating.scenario import Scenario
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.model.labels import Scope

#: Recorded time, 2025-09-01T10:00:00Z on: the load follows the hour, and no two demos may differ.
_START_MS: Final = 1_756_720_800_000
_MINUTE_MS: Final = 60_000
#: Seconds from the rollout to the onset, and from there to the worst: slow enough to be watched.
_ONSET: Final = 30.0
_RAMP: Final = 180.0


def _watchable(scenario: Scenario) -> Scenario:
    onset, ramp = (_ONSET, _ONSET), (_RAMP, _RAMP)
    injections = [replace(each, onset=onset, ramp=ramp) for each in scenario.injections]
    return replace(scenario, injections=tuple(injections))


PLAN: Final[Plan] = draw(
    _watchable(SCENARIOS["delta-s-drift"]),
    seed=2,
    start_ms=_START_MS,
    rate=14.0,
    # Longer than the demo may take.
    duration_ms=60 * _MINUTE_MS,
    scopes=(Scope("rag", "eu"),),
    pinned_after_ms=2 * _MINUTE_MS,
    rollout_after_ms=3 * _MINUTE_MS,
)
#: Which share of the users the canary gets.
CANARY_SHARE: Final = PLAN.scenario.steps[-1][1]
