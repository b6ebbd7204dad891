"""A plan as a recording, so that the backtest plays it without a file between."""

from collections.abc import Iterator, Sequence
from typing import Final

import orjson

from rollbackd.app.backtest.recording import Entry, Faults
from rollbackd.app.generating.plans import Plan
from rollbackd.app.generating.stream import events
from rollbackd.events.collecting import Collector
from rollbackd.events.record import decode_records

#: How much arrives together: a Kafka consumer polls, too, and gets what has come since.
_POLL_MS: Final = 1_000
_CHUNK: Final = 60


class GeneratedRecording:
    """Implements `backtest.recording.Recorded`. Each event goes through JSON and the decoder.

    What was sent within a second arrives together at the end of it.
    """

    def __init__(self, plan: Plan, faults: Faults) -> None:
        self.name = f"{plan.scenario.name} (seed {plan.seed})"
        self.done = 0
        self.total = plan.duration_ms
        #: How many events there were.
        self.events = 0
        self._start_ms = plan.start_ms
        self._faults = faults
        self._polls = _polls(plan)

    async def open(self) -> None:
        """See Recorded."""

    async def chunk(self) -> Sequence[Entry]:
        """See Recorded."""
        entries = []
        for arrival_ms, records in self._polls:
            into = Collector()
            rejected = decode_records(records, into, headers={}, now_ms=arrival_ms)
            for position, error in rejected:
                self._faults.add(f"{self.name}, event {self.events + position}", str(error))
            self.events += len(records)
            self.done = arrival_ms - self._start_ms
            entries.append(Entry(arrival_ms, into.batch()))
            if len(entries) >= _CHUNK:
                break
        return entries

    async def close(self) -> None:
        """See Recorded."""


def _polls(plan: Plan) -> Iterator[tuple[int, list[bytes]]]:
    records: list[bytes] = []
    until_ms = plan.start_ms + _POLL_MS
    for at_ms, event in events(plan):
        while at_ms >= until_ms:
            if records:
                yield until_ms, records
                records = []
            until_ms += _POLL_MS
        records.append(orjson.dumps(event))
    if records:
        yield until_ms, records
