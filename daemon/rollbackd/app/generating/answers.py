"""Requests: `answer.served` of each, and now and then the `cache.event` behind it."""

import random
from typing import Any, Final

from rollbackd.app.generating.conditions import Arm
from rollbackd.app.generating.effects import Effects
from rollbackd.app.generating.noise import NORMAL, SIZE, lognormal
from rollbackd.app.generating.plans import Plan
from rollbackd.app.generating.schedule import Schedule, Timed
from rollbackd.app.generating.sides import Side
from rollbackd.app.generating.tools import Tools
from rollbackd.model.labels import Scope

USERS: Final = 2_000

_DELTA_S: Final = (0.33, 0.045)
_COVERAGE: Final = (0.84, 0.06)
_LATENCY: Final = lognormal(0.42, 0.3)
_TOKENS: Final = lognormal(700.0, 0.35)
_COST_OF_TOKEN: Final = 4e-6
_CACHED_LATENCY: Final = 0.6
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
        self._plan = plan
        self._scope = scope
        self._sides = sides
        self._chance = chance
        self._canary_users = 0
        self._skew_ms = 0
        #: What is late, or follows from a request.
        self.schedule = schedule = Schedule()
        self._effects = Effects(plan, scope, chance, schedule)
        self._tools = Tools(plan, scope, chance, schedule)
        #: Since the last retry window.
        self.requests = 0
        self.throttled = 0

    def refresh(self, at_ms: int) -> None:
        """Once a second: how many users are on the canary, and whose clock is off."""
        after = (at_ms - self._plan.rollout_ms) / 1_000
        share = [share for since, share in self._plan.scenario.steps if since <= after]
        self._canary_users = int(USERS * share[-1]) if share else 0
        self._skew_ms = int(self._sides[0].condition.skew * 1_000)

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
        event = self._answer(at_ms, side, user, str(claimed.arm))
        if whole.late and chance() < whole.late:
            late_ms = _LEAST_LATE_MS + int(chance() * (_MOST_LATE_MS - _LEAST_LATE_MS))
            self.schedule.add(at_ms + late_ms, event)
        else:
            out.append((at_ms, event))
        if event["code"] == 200:
            self._effects.request(at_ms, side, out)
            self._tools.request(at_ms, side, out)

    def _answer(self, at_ms: int, side: Side, user: int, claimed_arm: str) -> dict[str, Any]:
        chance, condition = self._chance.random, side.condition
        self.requests += 1
        pins = side.pins
        if condition.stray_index and self._canary_users and chance() < condition.stray_index:
            other = self._sides[side.arm == Arm.BASELINE]
            pins = {**pins, "INDEX_HASH": other.pins["INDEX_HASH"]}
        own_ms = at_ms + self._skew_ms if self._skew_ms and user % 3 == 0 else at_ms
        event: dict[str, Any] = {
            "event": "answer.served",
            "ts": own_ms / 1_000,
            "service": self._scope.service,
            "region": self._scope.region,
            "arm": side.arm,
            "code": 200,
            "values": None,
            "user": f"u{user:04d}",
            "claimed_arm": claimed_arm,
            "pins": pins,
        }
        outcome = chance()
        if outcome < condition.throttled:
            self.throttled += 1
            event["code"] = 429
            del event["values"]
            return event
        hit = chance() < condition.cache_hits
        if chance() < _LOGGED:
            self.schedule.add(at_ms, self._cache_read(at_ms, side, hit=hit))
        latency = self._latency(side, event, hit=hit)
        if outcome < condition.throttled + condition.errors:
            event["code"] = _ERROR_CODES[int(chance() * 3)]
            event["values"] = {"latency_seconds": latency}
        else:
            event["values"] = self._values(side, latency)
        return event

    def _latency(self, side: Side, event: dict[str, Any], *, hit: bool) -> float:
        chance, condition = self._chance.random, side.condition
        latency = _LATENCY[int(chance() * SIZE)] * side.latency_noise * condition.latency
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

    def _cache_read(self, at_ms: int, side: Side, *, hit: bool) -> dict[str, Any]:
        chance, condition = self._chance.random, side.condition
        entry = {name: side.pins[name] for name in ("INDEX_HASH", "PROMPT_VER", "MODEL_VER")}
        shadow = False
        if hit and self._canary_users:
            kind = chance()
            if kind < condition.foreign_entries:
                other = self._sides[side.arm == Arm.BASELINE]
                entry["INDEX_HASH"] = other.pins["INDEX_HASH"]
            elif kind < condition.foreign_entries + condition.unkeyed_entries:
                del entry["PROMPT_VER"]
            shadow = chance() < condition.shadow_entries
        return {
            "event": "cache.event",
            "ts": at_ms / 1_000,
            "service": self._scope.service,
            "region": self._scope.region,
            "arm": side.arm,
            "hit": hit,
            "namespace": side.namespace,
            "shadow": shadow,
            "entry_pins": entry,
            "pins": side.pins,
        }
