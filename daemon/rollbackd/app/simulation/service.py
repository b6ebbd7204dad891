"""The services that are rolled back: their health follows what stands in the controls."""

import math
from collections.abc import Callable
from typing import Final

from rollbackd.app.simulation.controls import SimulatedControls
from rollbackd.app.simulation.scenario import Service
from rollbackd.app.targets import reading_of
from rollbackd.model.controls import ControlValue
from rollbackd.model.events import KnownGood
from rollbackd.model.incidents import Incident
from rollbackd.model.triggers import TargetReading

GOOD_PINS: Final = {
    "BUILD_ID": "b1",
    "GIT_SHA": "abc",
    "MODEL_VER": "m1",
    "PROMPT_VER": "p1",
    "INDEX_HASH": "a1",
    "RERANK_CONF": "r1",
    "TOK_VER": "t1",
    "ANALYZER_CONF": "c1",
}
#: What the rollout has set before it goes wrong.
INTENTS: Final[dict[str, ControlValue]] = {
    "flag:canary": {"baseline_weight": 0.9, "canary_weight": 0.1, "global_off": False},
    "alias:docs_live": {"index": "docs_vB"},
    "pointer:live": {"target": "green"},
    "pins": {**GOOD_PINS, "PROMPT_VER": "p2"},
    "throttle": {"requests_per_second": 500, "burst": 900, "breaker": "closed"},
    "cache": {"generation": 3, "namespace": "old"},
}
_GOOD: Final[dict[str, ControlValue]] = {
    "alias:docs_live": {"index": "docs_vA"},
    "pointer:live": {"target": "blue"},
}
_IS_GOOD: Final[dict[str, Callable[[ControlValue], bool]]] = {
    "flag:canary": lambda value: bool(value.get("global_off")),
    "alias:docs_live": lambda value: value == _GOOD["alias:docs_live"],
    "pointer:live": lambda value: value == _GOOD["pointer:live"],
    "pins": lambda value: value.get("PROMPT_VER") == "p1",
}
#: How long a service has to be throttled before the load that hurt it is gone.
_LOAD_GONE_MS: Final = 12_000


def known_good_of(service: Service, now_ms: int) -> KnownGood:
    """The set that was recorded before the rollout."""
    return KnownGood(
        scope=service.scope,
        pins=GOOD_PINS,
        recorded_at_ms=now_ms,
        controls=dict(_GOOD),
    )


def pins_seen(service: Service) -> dict[str, str]:
    """The pins that the canary runs with."""
    changed = {"alias:docs_live": "INDEX_HASH", "pins": "PROMPT_VER", "flag:canary": "PROMPT_VER"}
    name = changed.get(service.cause)
    return {**GOOD_PINS, name: "new"} if name else dict(GOOD_PINS)


class SimulatedService:
    """Knows whether its users are well, and what its metrics say of it."""

    def __init__(self, plan: Service, controls: SimulatedControls) -> None:
        self.plan = plan
        self.mended = False
        self.silent_until_ms = 0
        self.red_until_ms = 0
        self.worse_until_ms = 0
        self.quiet_until_ms = 0
        self.lingering_until_ms = 0
        #: Whether somebody asked while writers stood still, since the fence is up.
        self.stood_still = False
        self._controls = controls
        self._right_since_ms: int | None = None
        self._blocked_since_ms: int | None = None

    def look(self, now_ms: int) -> None:
        """Notice what stands in the controls; to be called whenever one has changed."""
        if not self._stands_right():
            self._right_since_ms = None
        elif self._right_since_ms is None:
            self._right_since_ms = now_ms
        if not self._controls.look(self.plan.scope, "writes").effective.get("blocked"):
            self._blocked_since_ms = None
            self.stood_still = False
        elif self._blocked_since_ms is None:
            self._blocked_since_ms = now_ms

    def writers_stopped(self, now_ms: int) -> bool:
        """Whether writers, which notice a fence after a while, really stand still."""
        since = self._blocked_since_ms
        stopped = since is not None and now_ms - since >= self.plan.writers_stop_after_ms
        if stopped and now_ms >= self.lingering_until_ms:
            self.stood_still = True
            return True
        return False

    def is_red(self, now_ms: int) -> bool:
        """Whether users suffer; `now_ms` is true time."""
        if now_ms < max(self.red_until_ms, self.worse_until_ms):
            return True
        if self.mended or now_ms < self.plan.breaks_at_ms:
            return False
        since = self._right_since_ms
        if since is None or now_ms - since < self.plan.heals_after_ms:
            return True
        if self.plan.cause == "load" and now_ms - since >= _LOAD_GONE_MS:
            self.mended = True
        return False

    def is_alerting(self, now_ms: int) -> bool:
        """Whether rules and Alertmanager fire: red, with data, and nobody resolved it early."""
        return now_ms >= max(self.silent_until_ms, self.quiet_until_ms) and self.is_red(now_ms)

    def readings(self, incident: Incident, now_ms: int) -> list[TargetReading]:
        """What the exit targets of an incident read."""
        values = [self._value(now_ms)]
        return [reading_of(target, values) for target in incident.policy.exit_targets]

    def _value(self, now_ms: int) -> float:
        if now_ms < self.silent_until_ms:
            return math.nan
        if now_ms < self.worse_until_ms:
            return 20.0
        return 2.0 if self.is_red(now_ms) else 0.001

    def _stands_right(self) -> bool:
        scope, cause = self.plan.scope, self.plan.cause
        if cause == "load":
            limit = self._controls.look(scope, "throttle").effective.get("requests_per_second")
            return isinstance(limit, int) and limit <= 100
        good = _IS_GOOD.get(cause)
        return good is not None and good(self._controls.look(scope, cause).effective)
