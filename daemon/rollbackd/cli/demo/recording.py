"""The recorded rollout: for each request, how it went on the baseline and on the canary.

Made by a seeded generator instead of a file: the same seed is the same recording, to the last bit.
The canary's prompt pack is bad: over a few minutes its answers drift away from what was retrieved
(ΔS up by a quarter) and cite less of it (coverage down by a quarter). Its errors and its latency
stay those of the baseline, so nothing but quality can give it away.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

SEED: Final = 7

_QUESTIONS: Final = 400
_WRITE_SHARE: Final = 0.05
_ERROR_SHARE: Final = 0.0005


class Outcome(NamedTuple):
    """How one request went on one arm."""

    delta_s: float
    coverage: float
    latency_ms: float
    code: int


class Request(NamedTuple):
    """One request: when, which question, which user, and how it went on either arm.

    `bucket` in [0, 1) belongs to the user: with a canary weight above it, the user is on the
    canary, today and tomorrow.
    """

    at_ms: int
    question: int
    bucket: float
    writes: bool
    baseline: Outcome
    canary: Outcome


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """The plot of the recording, in milliseconds of recorded time."""

    seed: int = SEED
    requests_per_second: float = 16.0
    canary_from_ms: int = 180_000
    #: How long the canary takes from as good as the baseline to its worst.
    decay_ms: int = 180_000
    drift: float = 0.25
    coverage_loss: float = 0.27


def record(rollout: Rollout) -> Iterator[Request]:
    """The requests in order of time, without an end."""
    # A recording has to be the same every time; nothing here is a secret.
    chance = random.Random(rollout.seed)  # noqa: S311
    at_ms = 0.0
    while True:
        at_ms += chance.expovariate(rollout.requests_per_second) * 1_000
        yield _request(chance, rollout, int(at_ms))


def _request(chance: random.Random, rollout: Rollout, at_ms: int) -> Request:
    question = chance.randrange(_QUESTIONS)
    bucket = chance.random()
    writes = chance.random() < _WRITE_SHARE
    baseline = _outcome(chance)
    decay = min(1.0, max(0.0, (at_ms - rollout.canary_from_ms) / rollout.decay_ms))
    other = _outcome(chance)
    canary = Outcome(
        delta_s=_bounded(other.delta_s + rollout.drift * decay),
        coverage=_bounded(other.coverage - rollout.coverage_loss * decay),
        latency_ms=other.latency_ms,
        code=other.code,
    )
    return Request(at_ms, question, bucket, writes, baseline, canary)


def _outcome(chance: random.Random) -> Outcome:
    return Outcome(
        delta_s=_bounded(chance.gauss(0.33, 0.04)),
        coverage=_bounded(chance.gauss(0.84, 0.05)),
        latency_ms=round(420 * chance.lognormvariate(0.0, 0.25), 1),
        code=500 if chance.random() < _ERROR_SHARE else 200,
    )


def _bounded(value: float) -> float:
    return round(min(1.0, max(0.0, value)), 4)
