"""Events over HTTP, native ones or others by a mapping: one object, an array, or one a line.

Each item stands for itself: the good ones are taken, the bad ones go to the dead letters and are
named in the answer.
"""

import asyncio
from collections.abc import Iterator, Mapping
from typing import Final, Protocol

import msgspec
from aiohttp import web

from rollbackd.clock import Clock
from rollbackd.events import native
from rollbackd.events.collecting import Collector
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.events.series import shown
from rollbackd.http.answers import answer
from rollbackd.http.bodies import Bodies
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import Endpoint
from rollbackd.http.refusals import Refusal
from rollbackd.model.events import Rejected
from rollbackd.ports import Operations
from rollbackd.settings import Permission
from rollbackd.telemetry import Telemetry

SOURCE: Final = "http"

#: Bad items of one body that are buried one by one and named in the answer; the rest are counted.
MAX_NAMED: Final = 100

#: Items that are decoded before others get a turn on the event loop.
_TURN: Final = 500


class _TakeEach(Protocol):
    """Adds the events of a body one by one: a verdict each, None for one that was taken."""

    def __call__(
        self, body: bytes, into: Collector, *, now_ms: int
    ) -> Iterator[Rejected | None]: ...


class EventsApi:
    """Takes events: native ones, or with `?mapping=NAME` those of others."""

    def __init__(
        self,
        operations: Operations,
        telemetry: Telemetry,
        clock: Clock,
        bodies: Bodies,
        mappings: Mapping[str, FieldMapping],
    ) -> None:
        self._operations = operations
        self._telemetry = telemetry
        self._clock = clock
        self._bodies = bodies
        self._mappings = mappings

    def endpoints(self) -> list[Endpoint]:
        """The one path."""
        return [
            Endpoint(
                methods=("POST",),
                path="/api/v1/events",
                permission=Permission.INGEST,
                handler=self.receive,
            )
        ]

    async def receive(self, request: web.Request, _caller: Caller) -> web.Response:
        """200 when every item was taken, 400 with what is wrong when one was not."""
        take_each = self._take_each(request)
        async with self._bodies.hold(request) as body:
            self._telemetry.events_received.labels(SOURCE).inc()
            good, bad, accepted = Collector(), list[Rejected](), 0
            verdicts = take_each(body, good, now_ms=self._clock.now())
            for count, verdict in enumerate(verdicts):
                if verdict is None:
                    accepted += 1
                else:
                    bad.append(verdict)
                if count % _TURN == _TURN - 1:
                    # A body of 50,000 events takes a good part of a second; rollbacks do not wait.
                    await asyncio.sleep(0)
            # The dead letters first: should the store fail now, the caller sends everything again,
            # and a dead letter that is there twice does no harm, as a sample would.
            await self._bury(body, bad)
            if accepted:
                await self._operations.ingest(good.batch(), source=SOURCE)
        return _report(accepted, bad)

    def _take_each(self, request: web.Request) -> _TakeEach:
        name = request.query.get("mapping")
        if name is None:
            return native.decode_each
        mapping = self._mappings.get(name)
        if mapping is None:
            known = ", ".join(f"`{each}`" for each in sorted(self._mappings)) or "none"
            raise Refusal(400, f"there is no mapping `{shown(name)}`; there are {known}")
        return mapping.take_each

    async def _bury(self, body: bytes, bad: list[Rejected]) -> None:
        self._telemetry.decode_failures.labels(SOURCE).inc(len(bad))
        items = _items(body) if bad else []
        for verdict in bad[:MAX_NAMED]:
            at = verdict.position
            item = items[at] if at is not None and at < len(items) else body
            await self._operations.bury(SOURCE, bytes(item), str(verdict))
        if len(bad) > MAX_NAMED:
            reason = f"{len(bad) - MAX_NAMED} more events of this body are bad"
            await self._operations.bury(SOURCE, body, reason)


def _items(body: bytes) -> list[bytes | msgspec.Raw]:
    """The body cut where the decoder cut it, to show a bad item by itself."""
    text = body.strip()
    if not text.startswith(b"["):
        return [line for line in text.splitlines() if line.strip()]
    try:
        return list(msgspec.json.decode(text, type=list[msgspec.Raw]))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return []


def _report(accepted: int, bad: list[Rejected]) -> web.Response:
    if not bad:
        return answer({"accepted": accepted, "rejected": []})
    named = [{"index": verdict.position, "error": str(verdict)} for verdict in bad[:MAX_NAMED]]
    return answer(
        {
            "error": f"{len(bad)} of {accepted + len(bad)} events are bad",
            "accepted": accepted,
            "rejected": named,
            "rejected_total": len(bad),
        },
        status=400,
    )
