"""`python -m tests.benchmarks [ROW...] [--runs N] [--output FILE]`."""

import argparse
import asyncio
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import msgspec

from tests.benchmarks.ansible import ansible
from tests.benchmarks.bench import Bench
from tests.benchmarks.decoders import decoders
from tests.benchmarks.decoding import decode
from tests.benchmarks.detecting import detectors
from tests.benchmarks.draining import drain
from tests.benchmarks.evaluating import ofrep
from tests.benchmarks.flips import flip
from tests.benchmarks.growth import more_rules, more_series
from tests.benchmarks.guarding import guard
from tests.benchmarks.latency import latency
from tests.benchmarks.memory import memory, refill
from tests.benchmarks.results import Report, Result, machine, print_table
from tests.benchmarks.rollout import rollout
from tests.benchmarks.soak import soak
from tests.benchmarks.webhook import webhook

Row = Callable[[Bench], Awaitable[list[Result]]]

ROWS: dict[str, Row] = {
    "drain": drain,
    "rollout": rollout,
    "ansible": ansible,
    "rules-x10": more_rules,
    "series-x10": more_series,
    "latency": latency,
    "flip": flip,
    "webhook": webhook,
    "guard": guard,
    "ofrep": ofrep,
    "memory": memory,
    "refill": refill,
    "decode": decode,
    "decoders": decoders,
    "detectors": detectors,
    "soak": soak,
}
#: Takes several minutes.
_ON_REQUEST = {"decoders", "detectors", "soak"}

_OUTPUT = Path(__file__).parents[2] / ".cache" / "benchmarks.json"


def main() -> None:
    """Run the rows that were asked for, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of: {', '.join(ROWS)}")
    parser.add_argument("--runs", type=int, default=5, help="times that each row is measured")
    parser.add_argument("--output", type=Path, default=_OUTPUT, help="JSON file (%(default)s)")
    options = parser.parse_args()
    unknown = [row for row in options.rows if row not in ROWS]
    if unknown:
        parser.error(f"no row `{unknown[0]}`; there are: {', '.join(ROWS)}")
    rows = options.rows or [row for row in ROWS if row not in _ON_REQUEST]
    began = time.monotonic()
    where = machine()
    with tempfile.TemporaryDirectory(prefix="rollbackd-bench-") as directory:
        results = asyncio.run(_measure(rows, Path(directory), options.runs))
    seconds = time.monotonic() - began
    report = Report(machine=where, runs=options.runs, seconds=seconds, results=results)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    print_table(report)
    print(f"written to {options.output}")  # noqa: T201


async def _measure(rows: list[str], directory: Path, runs: int) -> list[Result]:
    results: list[Result] = []
    async with Bench(directory, runs=runs) as bench:
        for row in rows:
            began = time.monotonic()
            results += await ROWS[row](bench)
            print(f"{row}: {time.monotonic() - began:.0f} s", file=sys.stderr)  # noqa: T201
    return results


if __name__ == "__main__":
    main()
