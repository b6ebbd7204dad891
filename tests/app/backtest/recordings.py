"""Recordings made by the generator: an hour of two services in which things go wrong.

    python -m tests.app.backtest.recordings FOLDER

writes `rollout.ndjson` and `labels.yaml`, the example of docs/backtest.md.
"""

import heapq
import sys
from collections.abc import Iterator
from operator import itemgetter
from pathlib import Path
from typing import Final

import orjson
from msgspec.structs import replace

from rollbackd.app.generating.conditions import Arm, Drawn
from rollbackd.app.generating.plans import Plan, draw
from rollbackd.app.generating.scenarios import SCENARIOS
from rollbackd.app.generating.stream import events
from rollbackd.model.labels import Scope

START_MS: Final = 1_795_204_800_000  # 2026-11-20T20:00:00Z
MINUTE: Final = 60_000

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


def _between(since: int, until: int, quantity: str, by: float, arm: Arm) -> Drawn:
    """Something that is otherwise than usual from a minute of the hour until another."""
    return Drawn(
        quantity=quantity,
        by=by,
        arm=arm,
        from_ms=START_MS + since * MINUTE,
        ramp_ms=0,
        until_ms=START_MS + until * MINUTE,
        where=0,
    )


def _bad_pack(since: int, until: int) -> tuple[Drawn, ...]:
    return (
        _between(since, until, "delta_s", 0.25, Arm.CANARY),
        _between(since, until, "coverage", -0.27, Arm.CANARY),
    )


def _slow(since: int, until: int) -> Drawn:
    return _between(since, until, "latency", 4.0, Arm.BOTH)


def _healthy(scope: Scope, *, rate: float, seed: int) -> Plan:
    return draw(
        SCENARIOS["healthy-prompt"],
        seed=seed,
        start_ms=START_MS,
        rate=rate,
        duration_ms=60 * MINUTE,
        scopes=(scope,),
        pinned_after_ms=3 * MINUTE,
        rollout_after_ms=4 * MINUTE,
    )


#: A bad prompt pack on the canary, twice, until people took it back by hand; then all is slow.
RAG: Final = replace(
    _healthy(Scope("rag", "eu"), rate=5.0, seed=5),
    injections=(*_bad_pack(6, 15), *_bad_pack(25, 33), _slow(49, 54)),
)
#: A load test that nobody counts as an incident.
SEARCH: Final = replace(
    _healthy(Scope("search", "us"), rate=3.0, seed=2), injections=(_slow(37, 40),)
)


def hour(*plans: Plan, length_ms: int = 60 * MINUTE) -> Iterator[bytes]:
    """The lines of a recording, services mixed as they came."""
    streams = (events(replace(plan, duration_ms=length_ms)) for plan in plans)
    for _, event in heapq.merge(*streams, key=itemgetter(0)):
        yield orjson.dumps(event)


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
