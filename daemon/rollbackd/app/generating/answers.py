"""Requests: `answer.served` of each, and now and then the `cache.event` behind it.

The service obeys its switches: it sends users to the arm that they are meant for, sheds what the
throttle does not let in, lets side effects wait, and finds nothing in a cache that was rotated.
"""

import random
from typing import Any, Final

from rollbackd.app.generating.admission import Admission
from rollbackd.app.generating.caches import Cache
from rollbackd.app.generating.conditions import Arm
from rollbackd.app.generating.effects import Effects
from rollbackd.app.generating.noise import NORMAL, SIZE, lognormal
from rollbackd.app.generating.plans import Plan
from rollbackd.app.generating.schedule import Schedule, Timed
from rollbackd.app.generating.sides import Side
from rollbackd.app.generating.switches import Switches
from rollbackd.app.generating.tools import Tools
from rollbackd.model.labels import Scope

USERS: Final = 2_000

_NAMES: Final = tuple(f"u{number:04d}" for number in range(USERS))
_DELTA_S: Final = (0.33, 0.045)
_COVERAGE: Final = (0.84, 0.06)
_LATENCY: Final = lognormal(0.42, 0.3)
_TOKENS: Final = lognormal(700.0, 0.35)
_COST_OF_TOKEN: Final = 4e-6
_CACHED_LATENCY: Final = 0.6
#: What each degrade level takes off the latency.
_LEVEL_GAIN: Final = 0.1
_SLOW: Final = 8.0
_COLD_SECONDS: Final = (2.0, 6.0)
_ERROR_CODES: Final = (500, 502, 503)
#: Cache reads that are logged.
_LOGGED: Final = 0.3
_MOST_LATE_MS: Final = 50_000
_LEAST_LATE_MS: Final = 3_000
_COLD: Final = {"cold_start": "true"}


class Answers:
    """The users of one service and the answers that they get."""

    def __init__(
        self, plan: Plan, scope: Scope, sides: tuple[Side, Side], chance: random.Random
    ) -> None:
        self._scope = scope
        self._sides = sides
        self._chance = chance
        self._canary_users = 0
        self._skew_ms = 0
        self._pace = 1.0
        self._admission = Admission()
        self._cache = Cache(scope, sides, chance)
        #: What is late, or follows from a request.
        self.schedule = schedule = Schedule()
        self._effects = Effects(plan, scope, chance, schedule)
        self._tools = Tools(plan, scope, chance, schedule)
        #: Since the last retry window.
        self.requests = 0
        self.throttled = 0

    def refresh(self, switches: Switches, at_ms: int, out: list[Timed]) -> None:
        """Once a second: how the switches stand, and whose clock is off."""
        self._canary_users = int(USERS * switches.canary_share)
        self._skew_ms = int(self._sides[0].condition.skew * 1_000)
        self._pace = 1.0 - _LEVEL_GAIN * switches.degrade_level
        self._admission.refresh(switches, at_ms)
        self._cache.refresh(switches.cache_generation, at_ms)
        self._effects.refresh(at_ms, out, blocked=switches.writes_blocked)

    @property
    def canary_runs(self) -> bool:
        """Whether anybody is on the canary."""
        return self._canary_users > 0

    def request(self, at_ms: int, out: list[Timed]) -> None:
        """One request and everything that it causes."""
        chance = self._chance.random
        whole = self._sides[0].condition
        # The one user who sends more than his share is on the baseline.
        user = USERS - 1 if chance() < whole.one_user else int(chance() * USERS)
        on_canary = user < self._canary_users
        claimed = self._sides[on_canary]
        if self._canary_users and chance() < claimed.condition.strayed_users:
            on_canary = not on_canary
        side = self._sides[on_canary]
        event = self._event(at_ms, side, user, claimed.arm)
        self.requests += 1
        if self._admission.limited and not self._admission.admit(at_ms):
            event["event"] = "request.shed"
            self._refuse(event)
        else:
            self._answer(event, at_ms, side)
        if whole.late and chance() < whole.late:
            late_ms = _LEAST_LATE_MS + int(chance() * (_MOST_LATE_MS - _LEAST_LATE_MS))
            self.schedule.add(at_ms + late_ms, event)
        else:
            out.append((at_ms, event))
        if event["code"] == 200:
            if self._effects.request(at_ms, side, out):
                event["code"] = 202
            self._tools.request(at_ms, side, out)

    def _event(self, at_ms: int, side: Side, user: int, claimed_arm: str) -> dict[str, Any]:
        """What is said of a request, but for how it went."""
        pins, stray = side.pins, side.condition.stray_index
        if stray and self._canary_users and self._chance.random() < stray:
            other = self._sides[side.arm == Arm.BASELINE]
            pins = {**pins, "INDEX_HASH": other.pins["INDEX_HASH"]}
        own_ms = at_ms + self._skew_ms if self._skew_ms and user % 3 == 0 else at_ms
        return {
            "event": "answer.served",
            "ts": own_ms / 1_000,
            "service": self._scope.service,
            "region": self._scope.region,
            "arm": side.arm,
            "code": 200,
            "values": None,
            "user": _NAMES[user],
            "claimed_arm": claimed_arm,
            "pins": pins,
        }

    def _answer(self, event: dict[str, Any], at_ms: int, side: Side) -> None:
        chance, condition = self._chance.random, side.condition
        outcome = chance()
        if outcome < condition.throttled:
            self._refuse(event)
            return
        hit = chance() < condition.cache_hits * self._cache.warmth
        if chance() < _LOGGED:
            read = self._cache.read(at_ms, side, hit=hit, both_run=self.canary_runs)
            self.schedule.add(at_ms, read)
        latency = self._latency(side, event, hit=hit)
        if outcome < condition.throttled + condition.errors:
            event["code"] = _ERROR_CODES[int(chance() * 3)]
            event["values"] = {"latency_seconds": latency}
        else:
            event["values"] = self._values(side, latency)

    def _refuse(self, event: dict[str, Any]) -> None:
        self.throttled += 1
        event["code"] = 429
        del event["values"]

    def _latency(self, side: Side, event: dict[str, Any], *, hit: bool) -> float:
        chance, condition = self._chance.random, side.condition
        latency = _LATENCY[int(chance() * SIZE)] * side.latency_noise * condition.latency
        latency *= self._pace
        if hit:
            latency *= _CACHED_LATENCY
        if chance() < condition.slow:
            latency *= _SLOW
        if condition.cold and chance() < condition.cold:
            latency += self._chance.uniform(*_COLD_SECONDS)
            event["labels"] = _COLD
        return round(latency, 4)

    def _values(self, side: Side, latency: float) -> dict[str, float]:
        chance, condition = self._chance.random, side.condition
        mean, deviation = _DELTA_S
        delta_s = NORMAL[int(chance() * SIZE)] * deviation
        delta_s = round(max(0.0, delta_s + mean + side.delta_s_noise + condition.delta_s), 4)
        mean, deviation = _COVERAGE
        coverage = NORMAL[int(chance() * SIZE)] * deviation + mean + condition.coverage
        coverage = round(min(1.0, max(0.0, coverage)), 4)
        tokens = int(_TOKENS[int(chance() * SIZE)] * condition.tokens)
        cost = tokens * _COST_OF_TOKEN
        side.solved += 1
        side.cost += cost
        if side.measuring:
            side.answers.append((delta_s, coverage, latency, tokens, cost))
        return {
            "delta_s": delta_s,
            "coverage": coverage,
            "latency_seconds": latency,
            "tokens": tokens,
            "citations": 1 + int(coverage * 4),
        }
