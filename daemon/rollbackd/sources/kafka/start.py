"""Where to begin reading a partition.

After a restart the windows are empty: the log is read again from one window's length ago up to the
committed offset as refill, and from there on as live. A partition that this process has fed before
(the consumer was rebuilt, or the partition came back) goes on where its feeding ended, so that no
sample is fed twice and none is left out.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass

from aiokafka import TopicPartition

from rollbackd.sources.kafka.driver import Consumer, OffsetAndTimestamp


@dataclass(slots=True)
class Progress:
    """How far this process has come in a partition; survives rebuilds of the consumer."""

    #: The first offset that the sink has not had; None before anything was read.
    handled: int | None = None
    #: The offset that the broker has for the group, as far as we know.
    committed: int | None = None
    #: Attempts at the batch that begins at `handled` which ended in an unexpected error.
    failures: int = 0


@dataclass(frozen=True, slots=True)
class Log:
    """What the broker says about a partition."""

    first: int
    end: int
    committed: int | None
    #: The first record not older than the longest window; None when all are older.
    window: int | None = None


@dataclass(frozen=True, slots=True)
class Start:
    """Read from `position`; what lies before `live_from` is refill."""

    position: int
    live_from: int


def starting_point(log: Log, progress: Progress, *, offset_reset: str) -> Start:
    """Where to begin. Pure."""
    live_from = _live_from(log, offset_reset)
    window = live_from if log.window is None else max(log.first, min(log.window, live_from))
    handled = progress.handled
    if handled is None or not _same_log(log, progress) or not log.first <= handled <= log.end:
        return Start(position=window, live_from=live_from)
    # What was handled but could not be committed is not read again; what somebody else has handled
    # in between is refill.
    return Start(position=max(handled, window), live_from=max(handled, live_from))


def _live_from(log: Log, offset_reset: str) -> int:
    if log.committed is None:
        return log.first if offset_reset == "earliest" else log.end
    # Out of range: the records have expired, or the topic was made anew. Nothing more is skipped.
    return log.committed if log.first <= log.committed <= log.end else log.first


def _same_log(log: Log, progress: Progress) -> bool:
    """Whether our memory still counts: somebody may have reset the offsets or the topic."""
    if progress.committed is None:
        return True
    return log.committed is not None and log.committed >= progress.committed


def _offset(found: OffsetAndTimestamp | None) -> int | None:
    # Some brokers answer "none" with an offset of 0 and no timestamp.
    return None if found is None or found.timestamp < 0 else found.offset


async def read_logs(
    consumer: Consumer, partitions: Iterable[TopicPartition], *, since_ms: int | None
) -> dict[TopicPartition, Log]:
    """Ask the broker. Raises KafkaError."""
    tps = list(partitions)
    if not tps:
        return {}
    first = await consumer.beginning_offsets(tps)
    end = await consumer.end_offsets(tps)
    committed = await asyncio.gather(*(consumer.committed(tp) for tp in tps))
    windows: dict[TopicPartition, OffsetAndTimestamp | None] = {}
    if since_ms is not None:
        windows = await consumer.offsets_for_times(dict.fromkeys(tps, since_ms))
    return {
        tp: Log(
            first=first[tp],
            end=end[tp],
            committed=offset,
            window=_offset(windows.get(tp)),
        )
        for tp, offset in zip(tps, committed, strict=True)
    }
