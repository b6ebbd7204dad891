"""Recordings made by the demo's generator: an hour of two services in which things go wrong.

    python -m tests.app.backtest.recordings FOLDER

writes `rollout.ndjson` and `labels.yaml`, the example of docs/backtest.md.
"""

import heapq
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from rollbackd.cli.demo.application import Application
from rollbackd.cli.demo.recording import Outcome, Rollout, record
from rollbackd.cli.demo.wire import encode, known_good
from rollbackd.model.labels import Scope

START_MS: Final = 1_795_204_800_000  # 2026-11-20T20:00:00Z
MINUTE: Final = 60_000
PINNED_AT: Final = 3 * MINUTE

Stretch = tuple[int, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plot:
    """What goes wrong with one service, in milliseconds from the start."""

    scope: Scope
    rate: float = 10.0
    seed: int = 7
    #: A bad prompt pack on the canary, until people took it back by hand.
    bad_canary: tuple[Stretch, ...] = ()
    #: Everything four times as slow.
    slow: tuple[Stretch, ...] = ()


RAG: Final = Plot(
    scope=Scope("rag", "eu"),
    bad_canary=((6 * MINUTE, 15 * MINUTE), (25 * MINUTE, 33 * MINUTE)),
    slow=((49 * MINUTE, 54 * MINUTE),),
)
#: A load test that nobody counts as an incident.
SEARCH: Final = Plot(
    scope=Scope("search", "us"), rate=6.0, seed=11, slow=((37 * MINUTE, 40 * MINUTE),)
)

LABELS: Final = """\
# What really happened, from the incident review.
- scope: rag/eu
  branch: quality_regression
  start: 2026-11-20T20:06:00Z
  end: 2026-11-20T20:15:00Z
  note: bad prompt pack on the canary
- scope: rag/eu
  branch: quality_regression
  start: 2026-11-20T20:25:00Z
  end: 2026-11-20T20:33:00Z
  note: the same pack, rolled out again
- scope: rag/eu
  branch: cost_or_latency
  start: 2026-11-20T20:49:00Z
  end: 2026-11-20T20:54:00Z
  note: the reranker was slow
"""


def hour(*plots: Plot, length_ms: int = 60 * MINUTE) -> Iterator[bytes]:
    """The lines of a recording, services mixed as they came."""
    for _, line in heapq.merge(*(_lines(plot, length_ms) for plot in plots)):
        yield line


def _lines(plot: Plot, length_ms: int) -> Iterator[tuple[int, bytes]]:
    application = Application()
    application.controls = {"flag:canary": {"canary_weight": 0.3}}
    pinned = False
    # The generator's canary is at its worst from the start; here it is so only now and then.
    for request in record(Rollout(seed=plot.seed, requests_per_second=plot.rate, decay_ms=1)):
        at_ms = request.at_ms
        if at_ms >= length_ms:
            return
        if not pinned and at_ms >= PINNED_AT:
            yield at_ms, known_good(application, scope=plot.scope, now_ms=START_MS + at_ms)
            pinned = True
        factor = 4.0 if _within(at_ms, plot.slow) else 1.0
        canary = request.canary if _within(at_ms, plot.bad_canary) else request.baseline
        went = request._replace(
            canary=_slower(canary, factor), baseline=_slower(request.baseline, factor)
        )
        served = application.serve(went)
        yield at_ms, encode([served], scope=plot.scope, started_at_ms=START_MS)


def _within(at_ms: int, stretches: tuple[Stretch, ...]) -> bool:
    return any(since <= at_ms < until for since, until in stretches)


def _slower(outcome: Outcome, factor: float) -> Outcome:
    return outcome._replace(latency_ms=outcome.latency_ms * factor)


def write(path: Path, lines: Iterator[bytes]) -> Path:
    """Write a recording."""
    with path.open("wb") as file:
        file.writelines(line + b"\n" for line in lines)
    return path


if __name__ == "__main__":
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "labels.yaml").write_text(LABELS)
    write(folder / "rollout.ndjson", hour(RAG, SEARCH))
