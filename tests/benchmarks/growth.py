"""`rules-x10`, `series-x10`: what an event costs in memory, with more rules and with more series.

Decoded once before; timed is what the daemon does with a stream at 20,000 events/s: batches go into
the engine, and every 100 ms of the stream the rules are evaluated.
"""

import time

from rollbackd.app.process import spare_the_collector
from rollbackd.events.collecting import Collector
from rollbackd.events.record import decode_record_into
from rollbackd.model.events import Rows
from rollbackd.rulefmt.rule_files import RuleFile
from rollbackd.triggers.engine import Engine
from tests.benchmarks.bench import Bench, isolated
from tests.benchmarks.results import Figure, Result, rate
from tests.benchmarks.workload import RATE, RULES, SERIES, events, rule_files

_START_MS = 1_795_377_600_000
_EVENTS = 60_000
_ROUND = RATE // 10
#: Rounds before the clock starts.
_WARM = 5

#: (rules that no event touches, series).
Shape = tuple[int, int]


async def more_rules(bench: Bench) -> list[Result]:
    """200 rules, and 1,800 more that no event touches."""
    few, _, many, _ = await isolated(compare, bench.runs, (0, SERIES), (9 * RULES, SERIES))
    slower = 1 - many.median / few.median
    return [
        Result(
            row="rules-x10",
            what=f"{RULES * 10:,} rules of which an event touches {RULES}",
            ours=many,
            peer=few,
            peer_name=f"{RULES} rules",
            verdict=f"{slower:.0%} slower",
            bound="< 10 %",
            met=slower < 0.10,
        )
    ]


async def more_series(bench: Bench) -> list[Result]:
    """1,000 series against 10,000: each event is one of ten times as many."""
    few, few_in, many, many_in = await isolated(compare, bench.runs, (0, SERIES // 10), (0, SERIES))
    slower = 1 - many.median / few.median
    ingest = 1 - many_in.median / few_in.median
    return [
        Result(
            row="series-x10",
            what=f"{SERIES:,} series, all read by the {RULES} rules",
            ours=many,
            peer=few,
            peer_name=f"{SERIES // 10:,} series",
            verdict=f"{slower:.0%} slower",
            bound="< 25 %",
            met=slower < 0.25,
            notes=[
                f"without evaluation, ingest alone: {many_in} against {few_in}, {ingest:.0%} slower"
            ],
        )
    ]


def compare(runs: int, few: Shape, many: Shape) -> tuple[Figure, Figure, Figure, Figure]:
    """Rates with evaluation and of ingest alone, of both shapes in turns."""
    found: list[list[float]] = [[], [], [], []]
    rounds = {series: decoded(_EVENTS, series) for _, series in (few, many)}
    files = {untouched: rule_files(untouched=untouched) for untouched, _ in (few, many)}
    for _ in range(runs):
        for place, (untouched, series) in ((0, few), (2, many)):
            whole, ingest = _feed(rounds[series], files[untouched])
            found[place].append(whole)
            found[place + 1].append(ingest)
    few_all, few_in, many_all, many_in = map(rate, found)
    return few_all, few_in, many_all, many_in


def _feed(rounds: list[Rows], files: list[RuleFile]) -> tuple[float, float]:
    """(events a second with evaluation, events a second of ingest alone), of processor time."""
    engine = Engine.build(files, max_series=200_000)
    now_ms = _START_MS
    # Series are admitted once, and every rule is evaluated at the start: not part of a stream.
    for batch in rounds[:_WARM]:
        engine.ingest(batch, now_ms)
    engine.evaluate(now_ms)
    spare_the_collector()
    began = time.process_time()
    ingesting = 0.0
    for batch in rounds[_WARM:]:
        _, now_ms, _ = batch.rows[-1]
        start = time.process_time()
        engine.ingest(batch, now_ms)
        ingesting += time.process_time() - start
        engine.evaluate(now_ms)
    count = (len(rounds) - _WARM) * _ROUND
    return count / (time.process_time() - began), count / ingesting


def decoded(count: int, series: int) -> list[Rows]:
    """The samples of each 100 ms."""
    rounds: list[Rows] = []
    into = Collector()
    for number, (_, value) in enumerate(events(count, start_ms=_START_MS, series=series), start=1):
        decode_record_into(value, into, now_ms=_START_MS + 60_000)
        if number % _ROUND == 0:
            rounds.append(into.samples)
            into = Collector()
    return rounds
