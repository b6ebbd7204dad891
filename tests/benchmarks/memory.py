"""`memory` and `refill`: what a window costs in bytes, and the time until it is full again."""

import gc
import os
import random
import time
from itertools import cycle, islice

from rollbackd.model.events import Sample
from rollbackd.model.labels import Labels, labels_of
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.triggers.engine import Engine
from tests.benchmarks.bench import Bench, isolated
from tests.benchmarks.draining import refill_from_kafka
from tests.benchmarks.results import Figure, Result, rate
from tests.benchmarks.workload import RATE, SERIES, rule_files

_START_MS = 1_795_377_600_000
_SAMPLES = 1_000_000
_WINDOW_SECONDS = 300
_RULE = """
groups: [{name: g, rules: [{alert: A, expr: 'max_over_time(delta_s[5m]) > 10'}]}]
"""


async def memory(bench: Bench) -> list[Result]:
    """Resident bytes, and what the same samples cost as Python objects."""
    ours: list[float] = []
    peer: list[float] = []
    series: list[float] = []
    for _ in range(bench.runs):
        ours.append(await isolated(bytes_a_sample))
        peer.append(await isolated(bytes_a_tuple))
        series.append(await isolated(bytes_a_series))
    figure = Figure("bytes", ours)
    return [
        Result(
            row="memory",
            what=f"one stored sample of {_SAMPLES:,} in {SERIES:,} series, resident",
            ours=figure,
            peer=Figure("bytes", peer),
            peer_name="a list of (time, value) a series",
            verdict=f"{figure.median:.1f} bytes",
            bound="<= 24",
            met=figure.median <= 24,
        ),
        Result(
            row="memory",
            what="one series with one sample, five labels, of 100,000, resident",
            ours=Figure("bytes", series),
        ),
    ]


async def refill(bench: Bench) -> list[Result]:
    """6 million samples: 5 minutes at 20,000 samples a second."""
    found = [await isolated(fill) for _ in range(bench.runs)]
    samples = RATE * _WINDOW_SECONDS
    seconds = Figure("s", [each[0] for each in found])
    rounds = Figure("ms", [each[1] for each in found])
    notes = [f"one evaluation of all 200 rules over the full windows: {rounds}"]
    return [
        Result(
            row="refill",
            what=f"{samples:,} decoded samples into the windows of {SERIES:,} series",
            ours=rate([samples / s for s in seconds.runs], "samples/s"),
            verdict=f"5 minutes at 20,000 samples/s take {seconds}",
            notes=notes,
        ),
        await refill_from_kafka(bench),
    ]


def bytes_a_sample() -> float:
    """Resident growth by samples that arrive in order, in turns over the series."""
    engine, labels = _engine(SERIES)
    before = resident()
    for turn in range(_SAMPLES // SERIES):
        time_ms = _START_MS + turn * 500
        engine.ingest([Sample(each, turn * 0.7, time_ms) for each in labels], time_ms)
    gc.collect()
    grown = resident() - before
    assert engine.sample_count >= _SAMPLES
    return grown / _SAMPLES


def bytes_a_tuple() -> float:
    """The same as lists of pairs; half of them will do."""
    _, labels = _engine(SERIES)
    held: dict[Labels, list[tuple[int, float]]] = {each: [] for each in labels}
    before = resident()
    turns = _SAMPLES // SERIES // 2
    for turn in range(turns):
        time_ms = _START_MS + turn * 500
        for number, each in enumerate(labels):
            held[each].append((time_ms + number, turn * 0.7))
    gc.collect()
    return (resident() - before) / (turns * SERIES)


def bytes_a_series() -> float:
    """Resident growth by new series, the labels' own memory included."""
    engine, _ = _engine(0)
    before = resident()
    engine.ingest((Sample(_labels(n), 1.0, _START_MS) for n in range(100_000)), _START_MS)
    gc.collect()
    return (resident() - before) / engine.series_count


def fill() -> tuple[float, float]:
    """(seconds of ingest, milliseconds of one evaluation over the full windows)."""
    engine = Engine.build(rule_files(), max_series=200_000)
    labels = [
        labels_of(
            {
                "__name__": metric, "service": f"svc-{s:02d}", "region": "eu", "arm": arm,
                "instance": f"i-{i}",
            }
        )
        for s in range(50) for arm in ("stable", "canary") for i in range(50)
        for metric in ("delta_s", "latency_seconds")
    ]  # fmt: skip
    random.Random(7).shuffle(labels)
    endless = cycle(labels)
    busy = 0.0
    for second in range(_WINDOW_SECONDS):
        time_ms = _START_MS + second * 1_000
        batch = [
            Sample(each, n % 97 * 0.01, time_ms + n // 20)
            for n, each in enumerate(islice(endless, RATE))
        ]
        start = time.process_time()
        engine.ingest(batch, time_ms + 1_000)
        busy += time.process_time() - start
    now_ms = _START_MS + _WINDOW_SECONDS * 1_000
    start = time.process_time()
    engine.evaluate(now_ms)
    return busy, (time.process_time() - start) * 1_000


def _engine(series: int) -> tuple[Engine, list[Labels]]:
    """An engine that knows these series; their first samples are there already."""
    engine = Engine.build([read_rule_file(_RULE, file="bench.yaml")], max_series=200_000)
    labels = [_labels(n) for n in range(series)]
    engine.ingest([Sample(each, 0.0, _START_MS - 1) for each in labels], _START_MS)
    gc.collect()
    return engine, labels


def _labels(number: int) -> Labels:
    return labels_of(
        {
            "__name__": "delta_s",
            "service": f"svc-{number % 50}",
            "region": "eu",
            "arm": "canary",
            "instance": f"i-{number}",
        }
    )


def resident() -> int:
    """Bytes of this process that are in memory."""
    with open("/proc/self/statm", encoding="ascii") as statm:  # noqa: PTH123
        return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
