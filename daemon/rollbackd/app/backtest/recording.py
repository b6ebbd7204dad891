"""Recorded files, line by line and merged in the order of time.

An event arrives at the time that it carries. Times inside one file may go back a little (what the
engine accepts as late is up to `engine.lateness`); the clock does not go back with them.
"""

import heapq
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from pathlib import Path
from typing import BinaryIO, Final, NamedTuple, Protocol

from rollbackd.app.backtest.decoding import RecordReader, RecordShape, dated
from rollbackd.events.cloudevents import Headers
from rollbackd.events.timestamps import MAX_FUTURE_MS
from rollbackd.model.events import Alert, AlertStatus, Batch, Rejected, Rows

#: A line that is longer is not an event; the daemon takes bodies up to 16 MiB.
_MAX_LINE: Final = 16 << 20
_CHUNK: Final = 1_000
#: Bad inputs that are remembered with their reason; the others are counted.
_REMEMBERED: Final = 1_000
#: Native events and Alertmanager notifications, told by their shape.
ANY_SHAPE: Final = RecordShape()


class UnreadableError(Exception):
    """A recording that cannot be read at all."""


class Entry(NamedTuple):
    """One line or record, and when it arrived."""

    arrival_ms: int
    batch: Batch
    #: Why some of it is not in the batch; empty when all is.
    left_out: str = ""


class Faults:
    """What could not be used."""

    def __init__(self) -> None:
        self.count = 0
        #: Lines and records that were read and said nothing.
        self.ignored = 0
        self.first: list[tuple[str, str]] = []

    def add(self, place: str, reason: str) -> None:
        """Note one."""
        self.count += 1
        if len(self.first) < _REMEMBERED:
            self.first.append((place, reason))


class Recorded(Protocol):
    """A recording that is read in pieces."""

    name: str
    #: Where the reading stands and where it ends, in some unit of its own, for a progress bar.
    done: int
    total: int

    async def open(self) -> None:
        """Get ready. Raises UnreadableError."""
        ...

    async def chunk(self) -> Sequence[Entry]:
        """The next entries in the order of arrival; empty at the end. Raises UnreadableError."""
        ...

    async def close(self) -> None:
        """Let go of it. Idempotent."""
        ...


class Stamper:
    """Decodes what is read and gives each entry its arrival, which never goes back.

    `now_ms` is the wall clock: as everywhere, an event from the future is refused.
    """

    def __init__(self, now_ms: int, shape: RecordShape = ANY_SHAPE) -> None:
        self._now_ms = now_ms
        self._reader = RecordReader(shape)
        self._latest_ms: int | None = None

    def take(
        self,
        value: bytes,
        place: str,
        faults: Faults,
        *,
        headers: Headers = (),
        recorded_ms: int | None = None,
    ) -> Entry | None:
        """As `entry`, with what is wrong noted among the faults instead of raised."""
        try:
            entry = self.entry(value, headers=headers, recorded_ms=recorded_ms)
        except Rejected as rejected:
            faults.add(place, str(rejected))
            return None
        if entry is None:
            faults.ignored += 1
        elif entry.left_out:
            faults.add(place, entry.left_out)
        return entry

    def entry(
        self, value: bytes, *, headers: Headers = (), recorded_ms: int | None = None
    ) -> Entry | None:
        """Decode; what carries no time gets `recorded_ms`, or that of the entry before.

        None for what says nothing, e.g. an event without values. Raises Rejected.
        """
        batch, left_out = self._reader.read(value, headers=headers, now_ms=self._now_ms)
        times = _times_of(batch)
        if not times:
            return None
        if self._now_ms in times:
            # the decoder gives an event without a time that of its arrival
            known_ms = self._latest_ms if recorded_ms is None else recorded_ms
            if known_ms is None:
                raise Rejected(self._reader.time_is_missing)
            batch = dated(batch, unknown_ms=self._now_ms, known_ms=known_ms)
            times = _times_of(batch)
        time_ms = max(times)
        if time_ms > self._now_ms + MAX_FUTURE_MS:
            raise Rejected("the alert is more than 5 minutes in the future")
        arrival_ms = time_ms if self._latest_ms is None else max(time_ms, self._latest_ms)
        self._latest_ms = arrival_ms
        return Entry(arrival_ms, batch, left_out)


class FileRecording:
    """One file with a record a line: native events and Alertmanager bodies, or as `shape` says."""

    def __init__(
        self, path: Path, faults: Faults, *, now_ms: int, shape: RecordShape = ANY_SHAPE
    ) -> None:
        self.name = str(path)
        self.done = 0
        self.total = 0
        self._path = path
        self._faults = faults
        self._stamper = Stamper(now_ms, shape)
        self._file: BinaryIO | None = None
        self._lines: Iterator[tuple[int, bytes]] = iter(())

    async def open(self) -> None:
        """See Recorded."""
        try:
            self._file = self._path.open("rb")
            self.total = self._path.stat().st_size
        except OSError as error:
            raise UnreadableError(f"cannot read `{self.name}`: {error.strerror}") from None
        self._lines = self._numbered(self._file)

    async def chunk(self) -> Sequence[Entry]:
        """See Recorded."""
        entries: list[Entry] = []
        try:
            for number, line in self._lines:
                entry = self._stamper.take(line, f"{self.name}:{number}", self._faults)
                if entry is not None:
                    entries.append(entry)
                if len(entries) >= _CHUNK:
                    break
        except OSError as error:
            raise UnreadableError(f"cannot read `{self.name}`: {error.strerror}") from None
        return entries

    async def close(self) -> None:
        """See Recorded."""
        if self._file is not None:
            self._file.close()

    def _numbered(self, file: BinaryIO) -> Iterator[tuple[int, bytes]]:
        """The lines with their numbers; blank ones are left out, endless ones are faults."""
        number = 0
        while line := file.readline(_MAX_LINE):
            number += 1
            self.done += len(line)
            if len(line) == _MAX_LINE and not line.endswith(b"\n"):
                while rest := file.readline(_MAX_LINE):
                    self.done += len(rest)
                    if rest.endswith(b"\n"):
                        break
                self._faults.add(f"{self.name}:{number}", f"the line is over {_MAX_LINE} bytes")
            elif text := line.strip():
                yield number, text


async def merged(recordings: Sequence[Recorded]) -> AsyncIterator[Entry]:
    """The entries of all recordings in the order of arrival; equal times in the order given."""
    heads: list[tuple[int, int, Entry, Iterator[Entry]]] = []

    async def refill(index: int, rest: Iterator[Entry]) -> None:
        entry = next(rest, None)
        if entry is None:
            rest = iter(await recordings[index].chunk())
            entry = next(rest, None)
        if entry is not None:
            heapq.heappush(heads, (entry.arrival_ms, index, entry, rest))

    for index in range(len(recordings)):
        await refill(index, iter(()))
    while heads:
        _, index, entry, rest = heapq.heappop(heads)
        yield entry
        await refill(index, rest)


def _times_of(batch: Batch) -> list[int]:
    """Every time in a batch."""
    if isinstance(batch.samples, Rows):
        times = [time_ms for _, time_ms, _ in batch.samples.rows]
    else:
        times = [sample.time_ms for sample in batch.samples]
    times += [seen.time_ms for seen in batch.pins]
    times += [known.recorded_at_ms for known in batch.known_good]
    times += [fact.time_ms for fact in batch.facts]
    times += [change.time_ms for change in batch.changes]
    times += _noticed(batch.alerts)
    return times


def _noticed(alerts: Iterable[Alert]) -> Iterator[int]:
    """When a notice can have been sent at the earliest."""
    for alert in alerts:
        ended = alert.status is AlertStatus.RESOLVED and alert.ends_at_ms is not None
        yield (alert.ends_at_ms or 0) if ended else alert.starts_at_ms
