"""Events on their way out: in batches as fast as they are taken, or each when it is due."""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, Protocol

import orjson

from rollbackd.app.generating.schedule import Timed
from rollbackd.clock import Clock

_BATCH: Final = 1_000
#: A little late is fine, and makes batches out of single events.
_TOGETHER_MS: Final = 100


class Outgoing(NamedTuple):
    """One event on the wire; `key` is its scope, so that Kafka keeps what belongs together."""

    key: bytes
    value: bytes


class Outlet(Protocol):
    """Where events go."""

    async def send(self, batch: Sequence[Outgoing]) -> None:
        """Take a batch; returns when it is safe there. Raises what its shell explains."""
        ...


async def send_all(
    events: Iterator[Timed], outlet: Outlet, *, clock: Clock, in_real_time: bool
) -> int:
    """Send everything; returns how many events that were.

    In real time, an event goes out as long after the first one as it happened after it.
    """
    batch: list[Outgoing] = []
    sent, first_ms, started = 0, None, clock.monotonic()
    for at_ms, event in events:
        if first_ms is None:
            first_ms = at_ms
        early_ms = 0.0
        if in_real_time:
            early_ms = at_ms - first_ms - (clock.monotonic() - started) * 1_000
        if batch and (early_ms > 0 or len(batch) >= _BATCH):
            await outlet.send(batch)
            sent += len(batch)
            batch = []
        if early_ms > 0:
            await clock.sleep(early_ms + _TOGETHER_MS)
        key = f"{event['service']}/{event['region']}".encode()
        batch.append(Outgoing(key, orjson.dumps(event)))
    if batch:
        await outlet.send(batch)
    return sent + len(batch)
