"""`soak`: ten million random samples through decoding, windows and rules, in bounded memory.

2,000 events a second of stream time, up to four seconds out of order, of services whose instances
are replaced all the time, as rollouts do it. What should be in the windows is counted beside the
engine, and compared every million samples: how many samples and which series.
"""

import gc
import random
from array import array
from dataclasses import dataclass, field

from rollbackd.events.collecting import Collector
from rollbackd.events.record import decode_records
from rollbackd.triggers.engine import Engine
from tests.benchmarks.bench import Bench, isolated
from tests.benchmarks.memory import resident
from tests.benchmarks.results import Figure, Result, shown
from tests.benchmarks.workload import ARMS, SAMPLES_PER_EVENT, SERVICES, event, rule_files

_START_MS = 1_795_377_600_000
_MILLION = 1_000_000
_MILLIONS = 10
_PER_SECOND = 2_000
_TURN_MS = 500
_LATENESS_MS = 4_000
_WINDOW_MS = 300_000
_SOURCES = 2_000
#: Every source has a delta, a latency and the requests of two codes.
_MOST_SERIES = 40_000
#: An instance is replaced this often.
_REPLACED_EVERY_MS = 1_500
#: The windows are full of samples after 1.8 million, and idle series begin to expire.
_WARM = 3
_FLAT = 0.05


async def soak(_: Bench) -> list[Result]:
    """Resident size million by million, once; the last figures against those after warm-up."""
    found = await isolated(run)
    warm = found.megabytes[_WARM - 1]
    growth = max(found.megabytes[_WARM:]) / warm - 1
    sizes = ", ".join(shown(size) for size in found.megabytes)
    held = ", ".join(f"{count:,}" for count in found.series)
    return [
        Result(
            row="soak",
            what=f"{_MILLIONS} million samples: resident size after {_WARM} million and later",
            ours=Figure("MB", found.megabytes[_WARM - 1 :]),
            verdict=f"{growth:+.1%} at most; {found.lost} series or samples lost or refused",
            bound=f"< {_FLAT:+.0%}, none lost",
            met=growth < _FLAT and found.lost == 0,
            notes=[
                f"resident after each million: {sizes} MB",
                f"series in memory: {held}; {found.ever:,} different ones in all",
                f"{found.rounds:,} rounds of {len(rule_files()[0].groups[0].rules)} rules",
            ],
        )
    ]


@dataclass
class Found:
    """What a run measured; sizes are taken after each million samples."""

    megabytes: list[float] = field(default_factory=list)
    series: list[int] = field(default_factory=list)
    #: Samples refused, and those and series that the windows should have and do not, or have and
    #: should not.
    lost: int = 0
    ever: int = 0
    rounds: int = 0


class _Expected:
    """The newest events by time and source, in memory that is there from the start."""

    def __init__(self) -> None:
        self._size = _PER_SECOND * (_WINDOW_MS + 60_000) // 1_000
        self._times = array("q", [0]) * self._size
        self._sources = array("q", [0]) * self._size
        self._next = 0

    def add(self, time_ms: int, source: int) -> None:
        """One more event, over the oldest."""
        self._times[self._next] = time_ms
        self._sources[self._next] = source
        self._next = (self._next + 1) % self._size

    def in_window(self, now_ms: int) -> dict[str, float]:
        """How many events of each instance are in the window that ends now."""
        counts: dict[str, float] = {}
        for time_ms, source in zip(self._times, self._sources, strict=True):
            if now_ms - _WINDOW_MS <= time_ms <= now_ms:
                name = f"i-{source}"
                counts[name] = counts.get(name, 0.0) + 1
        return counts


def run() -> Found:
    """Feed, evaluate, and look at every million."""
    rng = random.Random(7)
    engine = Engine.build(rule_files(), lateness_ms=_LATENESS_MS + 1_000, max_series=_MOST_SERIES)
    by_instance = engine.compile("sum by (instance) (count_over_time(delta_s[5m]))")
    expected, found = _Expected(), Found()
    # a source is a place (service, arm) and the number of the instance that is there now
    sources = list(range(_SOURCES))
    newest, samples, now_ms = _SOURCES, 0, _START_MS
    per_turn = _PER_SECOND * _TURN_MS // 1_000
    while samples < _MILLIONS * _MILLION:
        now_ms += _TURN_MS
        values: list[bytes] = []
        for _ in range(per_turn):
            place = rng.randrange(_SOURCES)
            at_ms = now_ms - rng.randrange(_LATENESS_MS)
            expected.add(at_ms, sources[place])
            values.append(_event(place, sources[place], at_ms, rng))
        samples += _fed(engine, values, now_ms, found)
        if now_ms % _REPLACED_EVERY_MS < _TURN_MS:
            sources[rng.randrange(_SOURCES)] = newest
            newest += 1
        engine.evaluate(now_ms)
        found.rounds += 1
        if samples // _MILLION > len(found.megabytes):
            got = {
                dict(labels).get("instance", ""): count
                for labels, count in engine.query(by_instance, now_ms)
            }
            found.lost += len(got.items() ^ expected.in_window(now_ms).items())
            gc.collect()
            found.megabytes.append(resident() / 1e6)
            found.series.append(engine.series_count)
    found.ever = newest
    return found


def _fed(engine: Engine, values: list[bytes], now_ms: int, found: Found) -> int:
    """Decode and ingest a turn's events; how many samples they were."""
    collected = Collector()
    rejected = decode_records(values, collected, headers={}, now_ms=now_ms)
    batch = collected.batch()
    result = engine.ingest(batch.samples, now_ms)
    found.lost += len(rejected) + sum(result.refused.values())
    found.lost += len(values) * SAMPLES_PER_EVENT - result.accepted
    return result.accepted


def _event(place: int, source: int, at_ms: int, rng: random.Random) -> bytes:
    service = f"svc-{place % SERVICES:02d}"
    arm = ARMS[place // SERVICES % len(ARMS)]
    return event(service, arm, f"i-{source}", ts=at_ms / 1_000, rng=rng)
