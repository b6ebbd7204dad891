"""CloudEvents over HTTP: structured, binary or a batch, taken as a whole or not at all.

https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/bindings/http-protocol-binding.md
"""

from typing import Final

from aiohttp import web

from rollbackd.clock import Clock
from rollbackd.events.cloudevents import Headers
from rollbackd.events.collecting import Collector
from rollbackd.events.decoders import Decoders
from rollbackd.events.record import decode_record_into
from rollbackd.http.answers import answer
from rollbackd.http.bodies import Bodies
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import Endpoint
from rollbackd.model.events import Rejected
from rollbackd.ports import Operations
from rollbackd.settings import Permission
from rollbackd.telemetry import Telemetry

SOURCE: Final = "cloudevents"


class CloudEventsApi:
    """Takes CloudEvents whose data is a native event or an Alertmanager notification."""

    def __init__(
        self, operations: Operations, telemetry: Telemetry, clock: Clock, bodies: Bodies
    ) -> None:
        self._operations = operations
        self._telemetry = telemetry
        self._clock = clock
        self._bodies = bodies
        self._memory = Decoders()

    def endpoints(self) -> list[Endpoint]:
        """The one path."""
        return [
            Endpoint(
                methods=("POST",),
                path="/api/v1/cloudevents",
                permission=Permission.INGEST,
                handler=self.receive,
            )
        ]

    async def receive(self, request: web.Request, _caller: Caller) -> web.Response:
        """200 with how many events were new."""
        headers: Headers = [
            (name, value.encode("utf-8", "surrogateescape"))
            for name, value in request.headers.items()
        ]
        async with self._bodies.hold(request) as body:
            self._telemetry.events_received.labels(SOURCE).inc()
            into = Collector()
            try:
                decode_record_into(
                    body,
                    into,
                    format="cloudevents",
                    headers=headers,
                    now_ms=self._clock.now(),
                    memory=self._memory,
                )
            except Rejected as rejected:
                self._telemetry.decode_failures.labels(SOURCE).inc()
                await self._operations.bury(SOURCE, body, str(rejected))
                raise
            try:
                if into.ids:
                    await self._operations.ingest(into.batch(), source=SOURCE)
            except BaseException:
                # the sender hears 503 and comes again with the same ids
                self._memory.seen.discard(into.ids)
                raise
        for reason, count in into.refused.items():
            self._telemetry.samples_refused.labels(reason).inc(count)
        self._telemetry.truncated_alerts.inc(into.truncated)
        return answer({"accepted": len(into.ids), "duplicates": into.refused.total()})
