"""Samples of other programs over HTTP: Prometheus remote write, and OpenTelemetry's OTLP.

Both protocols drop what is answered with 4xx and send again what is answered with 503. Good series
are taken also when others of the same body are left out; what is left out is counted, and named in
the answer as the protocol wants it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import orjson
from aiohttp import web

from rollbackd.clock import Clock
from rollbackd.events import otlp_protobuf
from rollbackd.events.collecting import Collector
from rollbackd.events.compression import gunzip
from rollbackd.events.decoders import Decoders, missing_for
from rollbackd.http.answers import answer
from rollbackd.http.bodies import Bodies, encoding_of
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import Endpoint
from rollbackd.http.refusals import Refusal
from rollbackd.model.events import Rejected
from rollbackd.ports import Operations
from rollbackd.settings import FormatSettings, Permission
from rollbackd.telemetry import Telemetry

REMOTE_WRITE: Final = "remote_write"
OTLP: Final = "otlp"

#: `proto` of the content type -> format; without one it is 1.0.
_MESSAGES: Final = {
    "": "remote_write",
    "prometheus.writerequest": "remote_write",
    "io.prometheus.write.v2.request": "remote_write_v2",
}
_OTLP_FORMATS: Final = {
    "application/json": "otlp_json",
    "application/x-protobuf": "otlp_protobuf",
}


@dataclass(frozen=True, slots=True)
class _Taken:
    """What became of a body."""

    samples: int
    left_out: int
    wrong: str


class SamplesApi:
    """Takes samples."""

    def __init__(
        self,
        operations: Operations,
        telemetry: Telemetry,
        clock: Clock,
        bodies: Bodies,
        formats: FormatSettings,
    ) -> None:
        self._operations = operations
        self._telemetry = telemetry
        self._clock = clock
        self._bodies = bodies
        self._decoders = Decoders(formats, max_unpacked=bodies.max_bytes)

    def endpoints(self) -> list[Endpoint]:
        """Where Prometheus and OpenTelemetry send to."""
        paths: list[tuple[str, Callable[..., object]]] = [
            ("/api/v1/write", self.write),
            ("/v1/metrics", self.export),
        ]
        return [
            Endpoint(
                methods=("POST",),
                path=path,
                permission=Permission.INGEST,
                handler=handler,  # type: ignore[arg-type]
            )
            for path, handler in paths
        ]

    async def write(self, request: web.Request, _caller: Caller) -> web.Response:
        """Remote write: 204, or 400 with what is wrong with the series that were left out."""
        chosen = _message_of(request)
        _require(chosen)
        if encoding_of(request) != "snappy":
            raise Refusal(415, "send `Content-Encoding: snappy`")
        async with self._bodies.hold(request, encodings=("snappy",)) as body:
            taken = await self._take(chosen, body, REMOTE_WRITE)
        written = {
            "X-Prometheus-Remote-Write-Samples-Written": str(taken.samples),
            "X-Prometheus-Remote-Write-Histograms-Written": "0",
            "X-Prometheus-Remote-Write-Exemplars-Written": "0",
        }
        if taken.wrong:
            message = f"{taken.wrong}; such series are left out, all others are taken"
            refused = answer({"error": message}, status=400)
            refused.headers.update(written)
            return refused
        return web.Response(status=204, headers=written)

    async def export(self, request: web.Request, _caller: Caller) -> web.Response:
        """OTLP/HTTP: 200, with `partialSuccess` when points were left out."""
        chosen = _OTLP_FORMATS.get(request.content_type)
        if chosen is None:
            allowed = " or ".join(f"`{each}`" for each in _OTLP_FORMATS)
            raise Refusal(415, f"send `Content-Type` {allowed}")
        _require(chosen)
        async with self._bodies.hold(request, encodings=("gzip",)) as body:
            if encoding_of(request) == "gzip":
                body = gunzip(body, self._bodies.max_bytes)  # noqa: PLW2901
            taken = await self._take(chosen, body, OTLP)
        message = taken.wrong or "counted in rollbackd_samples_refused_total"
        if chosen == "otlp_protobuf":
            said = otlp_protobuf.response(taken.left_out, message)
            return web.Response(body=said, content_type="application/x-protobuf")
        partial = {"rejectedDataPoints": str(taken.left_out), "errorMessage": message}
        said = orjson.dumps({"partialSuccess": partial} if taken.left_out else {})
        return web.Response(body=said, content_type="application/json")

    async def _take(self, chosen: str, body: bytes, source: str) -> _Taken:
        self._telemetry.events_received.labels(source).inc()
        into = Collector()
        try:
            wrong = self._decoders.read(chosen, body, into, now_ms=self._clock.now())
        except Rejected as rejected:
            await self._bury(source, body, str(rejected))
            raise
        if wrong:
            await self._bury(source, body, f"{wrong}; such series are left out")
        samples = len(into.samples)
        if samples:
            await self._operations.ingest(into.batch(), source=source)
        for reason, count in into.refused.items():
            self._telemetry.samples_refused.labels(reason).inc(count)
        return _Taken(samples, into.refused.total(), wrong)

    async def _bury(self, source: str, body: bytes, reason: str) -> None:
        self._telemetry.decode_failures.labels(source).inc()
        await self._operations.bury(source, body, reason)


def _message_of(request: web.Request) -> str:
    """The format that the content type names. Raises Refusal.

    https://prometheus.io/docs/specs/prw/remote_write_spec_2_0/#content-type-header
    """
    content, _, parameters = request.headers.get("Content-Type", "").lower().partition(";")
    key, _, proto = parameters.strip().partition("=")
    known = _MESSAGES.get(proto.strip().strip('"') if key.strip() == "proto" else "")
    if content.strip() != "application/x-protobuf" or known is None:
        raise Refusal(
            415,
            "send `Content-Type: application/x-protobuf`, of `proto=prometheus.WriteRequest` or"
            " `proto=io.prometheus.write.v2.Request`",
        )
    return known


def _require(chosen: str) -> None:
    if missing := missing_for(chosen):
        raise Refusal(501, missing)
