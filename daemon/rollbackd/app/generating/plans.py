"""A scenario with every number drawn: what is going to happen, when and to whom."""

import random
from collections.abc import Sequence
from typing import Final

import msgspec

from rollbackd.app.generating.conditions import Drawn, Injection, Span
from rollbackd.app.generating.scenario import Kind, Scenario
from rollbackd.model.labels import Scope

#: The baseline window is pinned and then the rollout begins, in milliseconds after the start.
PINNED_AFTER_MS: Final = 300_000
ROLLOUT_AFTER_MS: Final = 360_000
DURATION_MS: Final = 1_200_000
RATE: Final = 20.0

_REGIONS: Final = ("eu", "us", "ap", "sa", "af")


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """What `events` plays. The faults are in the first of the scopes, unless they say otherwise.

    `rate` is requests a second of each scope at the mean of the day. Times are milliseconds since
    the epoch.
    """

    scenario: Scenario
    seed: int
    rate: float
    start_ms: int
    duration_ms: int
    scopes: tuple[Scope, ...]
    injections: tuple[Drawn, ...]
    pinned_after_ms: int = PINNED_AFTER_MS
    rollout_after_ms: int = ROLLOUT_AFTER_MS

    @property
    def end_ms(self) -> int:
        """The first time that is not part of it."""
        return self.start_ms + self.duration_ms

    @property
    def pinned_ms(self) -> int:
        """When the baseline window is recorded as the known good."""
        return self.start_ms + self.pinned_after_ms

    @property
    def rollout_ms(self) -> int:
        """When the canary gets its first users."""
        return self.start_ms + self.rollout_after_ms

    @property
    def fault_ms(self) -> int | None:
        """Since when something is to be taken back; None when nothing is, or not within it."""
        if self.scenario.kind is Kind.HEALTHY:
            return None
        first_ms = min(each.from_ms for each in self.injections)
        return first_ms if first_ms < self.end_ms else None


def draw(
    scenario: Scenario,
    *,
    seed: int,
    start_ms: int,
    rate: float = RATE,
    duration_ms: int = DURATION_MS,
    scopes: Sequence[Scope] = (Scope("rag", "eu"),),
    pinned_after_ms: int = PINNED_AFTER_MS,
    rollout_after_ms: int = ROLLOUT_AFTER_MS,
) -> Plan:
    """Draw the numbers. A scenario that needs more scopes than named gets regions of the first."""
    # The same seed has to be the same plan; nothing here is a secret.
    chance = random.Random(f"{scenario.name}/{seed}")  # noqa: S311
    when = _When(onset=chance.random(), ramp=chance.random(), lasts=chance.random())
    rollout_ms = start_ms + rollout_after_ms
    return Plan(
        scenario=scenario,
        seed=seed,
        rate=rate * chance.uniform(*scenario.traffic),
        start_ms=start_ms,
        duration_ms=duration_ms,
        scopes=_enough(scopes, scenario.services),
        injections=tuple(
            when.of(each, chance.uniform(*each.by), rollout_ms) for each in scenario.injections
        ),
        pinned_after_ms=pinned_after_ms,
        rollout_after_ms=rollout_after_ms,
    )


class _When(msgspec.Struct, frozen=True, kw_only=True):
    """Where in its ranges everything lies in time: what belongs together happens together."""

    onset: float
    ramp: float
    lasts: float

    def of(self, injection: Injection, by: float, rollout_ms: int) -> Drawn:
        from_ms = rollout_ms + _milliseconds(injection.onset, self.onset)
        lasts = injection.lasts
        return Drawn(
            quantity=injection.quantity,
            by=by,
            arm=injection.arm,
            from_ms=from_ms,
            ramp_ms=_milliseconds(injection.ramp, self.ramp),
            until_ms=None if lasts is None else from_ms + _milliseconds(lasts, self.lasts),
            where=injection.where,
        )


def _milliseconds(span: Span, place: float) -> int:
    low, high = span
    return round((low + (high - low) * place) * 1_000)


def _enough(scopes: Sequence[Scope], count: int) -> tuple[Scope, ...]:
    first = scopes[0]
    taken = {each.region for each in scopes if each.service == first.service}
    others = (Scope(first.service, region) for region in _REGIONS if region not in taken)
    return (*scopes, *(next(others) for _ in range(count - len(scopes))))
