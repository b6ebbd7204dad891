"""`detectors`: single facts a second, and 50 million keys in the detector of duplicate effects."""

import gc
import itertools
import random
import time
from collections.abc import Callable, Iterator

from rollbackd.model import facts as f
from rollbackd.model.labels import Labels, Scope
from rollbackd.settings.detectors import DetectorSettings, DuplicateEffectsBounds
from rollbackd.triggers.detectors import DetectorBank
from tests.benchmarks.bench import Bench, isolated
from tests.benchmarks.memory import resident
from tests.benchmarks.results import Figure, Result, rate

_START_MS = 1_795_377_600_000
_KEYS = 50_000_000
_ASKED = 1_000_000
_FACTS = 200_000
_BATCH = 500
_SCOPES = [Scope(f"svc-{n:02d}", "eu") for n in range(50)]
_PINS = {"INDEX_HASH": "a1", "PROMPT_VER": "p-1", "MODEL_VER": "m-1"}

#: What is stated in `triggers.detectors.fingerprints`.
_BYTES_A_KEY = 12.1
_MISSED = 2.8e-5 + 2**-16


async def detectors(bench: Bench) -> list[Result]:
    """A line a kind of fact, and one for the 50 million, which takes minutes and is run once."""
    results: list[Result] = []
    for kind in _MAKERS:
        found = [await isolated(measure, kind) for _ in range(bench.runs)]
        results.append(
            Result(row="detectors", what=f"facts of {kind}", ours=rate(found, "facts/s"))
        )
    return [*results, await _keys()]


async def _keys() -> Result:
    false_alarms, lost, grown, seconds = await isolated(remember, _KEYS)
    each, share = grown / _KEYS, lost / _ASKED
    return Result(
        row="detectors",
        what=f"{_KEYS:,} idempotency keys, then a second effect for {_ASKED:,} of any age",
        ours=Figure("keys/s", [_KEYS / seconds]),
        verdict=f"{each:.1f} bytes a key, {false_alarms} false alarms, {share:.1e} missed",
        bound=f"<= {_BYTES_A_KEY} bytes, 0 false alarms, about {_MISSED:.1e} missed",
        met=each <= _BYTES_A_KEY and false_alarms == 0 and share <= 2 * _MISSED,
        notes=[f"resident {grown / 1e6:,.0f} MB after {seconds:,.0f} s"],
    )


def measure(kind: str) -> float:
    """Facts a second of processor time."""
    make = _MAKERS[kind]
    facts = [make(n) for n in range(_FACTS)]
    bank = DetectorBank()
    gc.collect()
    began = time.process_time()
    for first in range(0, _FACTS, _BATCH):
        bank.take(facts[first : first + _BATCH], now_ms=_START_MS + 10**9, origin="p")
    return _FACTS / (time.process_time() - began)


def remember(keys: int) -> tuple[int, int, int, float]:
    """(false alarms, duplicates that were missed, bytes, seconds) of so many keys."""
    bounds = DuplicateEffectsBounds(keys=keys)
    bank = DetectorBank(DetectorSettings(duplicate_effects=bounds))
    before = resident()
    began = time.process_time()
    told: dict[Labels, float] = {}
    false_alarms = _count(bank, (_receipt(n) for n in range(keys)), told)
    seconds = time.process_time() - began
    grown = resident() - before
    replayed, asked = (random.Random(seed).sample(range(keys), _ASKED) for seed in (7, 8))
    false_alarms += _count(bank, (_receipt(n) for n in replayed), told)
    found = _count(bank, (_receipt(n, effect="other") for n in asked), told)
    return false_alarms, _ASKED - found, grown, seconds


def _count(bank: DetectorBank, receipts: Iterator[f.AnyFact], told: dict[Labels, float]) -> int:
    """Duplicates that were found; `told` is what the counters stand at."""
    before = sum(told.values())
    while batch := list(itertools.islice(receipts, _BATCH)):
        for sample in bank.take(batch, now_ms=_START_MS + 10**12, origin="p"):
            told[sample.labels] = sample.value
    return round(sum(told.values()) - before)


def _receipt(number: int, effect: str = "") -> f.EffectReceipt:
    return f.EffectReceipt(
        scope=_SCOPES[number % 50],
        time_ms=_START_MS,
        key=f"order-{number}",
        effect_id=effect or f"ch-{number}",
    )


def _answer(number: int) -> f.AnswerServed:
    return f.AnswerServed(
        scope=_SCOPES[number % 50],
        time_ms=_START_MS + number // 20,
        arm="canary" if number % 3 else "baseline",
        pins=_PINS,
        user=f"user-{number % 60_000 // 3 * 3 + number % 3}",
        claimed_arm="canary",
    )


def _read(number: int) -> f.CacheRead:
    return f.CacheRead(
        scope=_SCOPES[number % 50],
        time_ms=_START_MS + number // 20,
        arm="canary",
        hit=True,
        pins=_PINS,
        entry_pins=_PINS,
    )


def _call(number: int) -> f.ToolCalled:
    return f.ToolCalled(
        scope=_SCOPES[number % 50],
        time_ms=_START_MS + number // 20,
        arm="canary",
        trace_id=f"trace-{number // 4}",
        tool="search",
        args_hash="a",
        output_hash=f"o-{number}",
    )


_MAKERS: dict[str, Callable[[int], f.AnyFact]] = {
    "answer.served": _answer,
    "effect.receipt": _receipt,
    "cache.event": _read,
    "tool.call": _call,
}
