"""The listener: one aiohttp application, started and stopped by the composition root."""

from collections.abc import Mapping
from types import MappingProxyType

from aiohttp import web

from rollbackd.clock import Clock
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.http.auth import Authenticator
from rollbackd.http.bodies import Bodies
from rollbackd.http.cloudevents import CloudEventsApi
from rollbackd.http.connections import ConnectionLog
from rollbackd.http.controls import ControlsApi
from rollbackd.http.endpoints import Endpoint, install
from rollbackd.http.events import EventsApi
from rollbackd.http.explain import ExplainApi
from rollbackd.http.failures import failure_middleware, finish_headers
from rollbackd.http.incidents import IncidentsApi
from rollbackd.http.known_good import KnownGoodApi
from rollbackd.http.limits import Limits
from rollbackd.http.ofrep import OfrepApi
from rollbackd.http.operators import OperatorApi
from rollbackd.http.post_mortems import PostMortemApi
from rollbackd.http.probes import Probes
from rollbackd.http.query import QueryApi
from rollbackd.http.reconciliation import ReconciliationApi
from rollbackd.http.samples import SamplesApi
from rollbackd.http.tls import load_certificate, server_context
from rollbackd.http.webhook import Webhook
from rollbackd.ports import KnownGoodDesk, LastKnown, Operations
from rollbackd.settings import FormatSettings, HttpSettings
from rollbackd.telemetry import Telemetry


class HttpServer:
    """Serves the HTTP API of one daemon."""

    def __init__(
        self,
        settings: HttpSettings,
        operations: Operations,
        telemetry: Telemetry,
        clock: Clock,
        *,
        last_known: LastKnown,
        known_good: KnownGoodDesk,
        mappings: Mapping[str, FieldMapping] = MappingProxyType({}),
        formats: FormatSettings | None = None,
        limits: Limits | None = None,
    ) -> None:
        """Raises ValueError when a token, certificate or the listener itself cannot be used."""
        self._settings = settings
        self._operations = operations
        self._telemetry = telemetry
        self._limits = limits or Limits()
        self._auth = Authenticator(settings)
        self._tls = server_context(settings)
        self._runner: web.AppRunner | None = None
        bodies = Bodies(max_body_bytes=settings.max_body_bytes, limits=self._limits)
        samples = SamplesApi(operations, telemetry, clock, bodies, formats or FormatSettings())
        self.endpoints: list[Endpoint] = [
            *Webhook(operations, telemetry, bodies).endpoints(),
            *EventsApi(operations, telemetry, clock, bodies, mappings).endpoints(),
            *samples.endpoints(),
            *CloudEventsApi(operations, telemetry, clock, bodies).endpoints(),
            *ControlsApi(operations, bodies).endpoints(),
            *KnownGoodApi(known_good, bodies).endpoints(),
            *OfrepApi(last_known, self._limits).endpoints(),
            *IncidentsApi(operations, bodies).endpoints(),
            *ReconciliationApi(operations, bodies).endpoints(),
            *PostMortemApi(operations, bodies).endpoints(),
            *QueryApi(operations, clock).endpoints(),
            *ExplainApi(operations, clock).endpoints(),
            *OperatorApi(operations, clock, bodies, self._reload_all).endpoints(),
            *Probes(operations, telemetry).endpoints(),
        ]

    async def start(self) -> None:
        """Bind and serve. Raises OSError when the address cannot be had."""
        runner = web.AppRunner(
            self._application(),
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=self._limits.idle_seconds,
            lingering_time=self._limits.drain_seconds,
            logger=ConnectionLog(self._telemetry),
            max_headers=64,
            shutdown_timeout=self._limits.drain_seconds,
        )
        await runner.setup()
        self._runner = runner
        try:
            site = web.TCPSite(
                runner, self._settings.host, self._settings.port, ssl_context=self._tls
            )
            await site.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Stop listening, let running requests end, close. Idempotent."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    @property
    def port(self) -> int:
        """The port that it listens on; 0 in the settings takes a free one."""
        if self._runner is None or not self._runner.addresses:
            return self._settings.port
        return int(self._runner.addresses[0][1])

    def reload(self) -> None:
        """Read token files and certificate again; on an error the old ones stay.

        Raises ValueError. A new client CA takes a restart.
        """
        tokens = self._auth.read_tokens()
        self._reload_certificate()
        self._auth.take_tokens(tokens)

    def _reload_certificate(self) -> None:
        if self._tls is None or self._settings.tls is None:
            return
        # A pair that does not match must not reach the live context half loaded.
        server_context(self._settings)
        load_certificate(self._tls, self._settings.tls)

    async def _reload_all(self) -> list[str]:
        self._auth.read_tokens()
        server_context(self._settings)
        waiting = await self._operations.reload()
        self.reload()
        return waiting

    def _application(self) -> web.Application:
        app = web.Application(
            client_max_size=self._settings.max_body_bytes,
            middlewares=[failure_middleware(self._telemetry)],
        )
        install(app, self.endpoints, self._auth, answer_seconds=self._limits.answer_seconds)
        app.on_response_prepare.append(finish_headers)
        return app
