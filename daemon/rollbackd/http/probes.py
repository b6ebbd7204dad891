"""What machines ask: alive, ready, metrics. And one page of links for people."""

from typing import Final

from aiohttp import web
from prometheus_client.exposition import choose_encoder

from rollbackd import __version__
from rollbackd.http.answers import answer
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import READING, Endpoint
from rollbackd.ports import Operations
from rollbackd.settings import Permission
from rollbackd.telemetry import Telemetry

_LANDING: Final = f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>rollbackd</title></head><body>
<h1>rollbackd {__version__}</h1>
<ul>
<li><a href="/api/v1/status">status</a></li>
<li><a href="/api/v1/incidents">incidents</a> (<a href="/api/v1/incidents?open=true">open</a>)</li>
<li><a href="/metrics">metrics</a></li>
<li><a href="/-/healthy">healthy</a>, <a href="/-/ready">ready</a></li>
</ul>
</body></html>
"""


class Probes:
    """Answers from memory only: none of these calls reaches the store."""

    def __init__(self, operations: Operations, telemetry: Telemetry) -> None:
        self._operations = operations
        self._telemetry = telemetry

    def endpoints(self) -> list[Endpoint]:
        """The two probes are the only public paths."""
        return [
            Endpoint(methods=READING, path="/-/healthy", permission=None, handler=self.healthy),
            Endpoint(methods=READING, path="/-/ready", permission=None, handler=self.ready),
            Endpoint(
                methods=READING, path="/metrics", permission=Permission.READ, handler=self.metrics
            ),
            Endpoint(methods=READING, path="/", permission=Permission.READ, handler=self.landing),
        ]

    async def healthy(self, _request: web.Request, _caller: Caller) -> web.Response:
        """200 for as long as the process serves."""
        return answer({"healthy": True})

    async def ready(self, _request: web.Request, _caller: Caller) -> web.Response:
        """200 when the daemon can do its work, else 503 with the reasons."""
        reasons = self._operations.not_ready()
        return answer({"ready": not reasons, "reasons": reasons}, status=503 if reasons else 200)

    async def metrics(self, request: web.Request, _caller: Caller) -> web.Response:
        """Prometheus text, or OpenMetrics for who asks for it."""
        encode, content_type = choose_encoder(request.headers.get("Accept", ""))
        return web.Response(
            body=encode(self._telemetry.registry), headers={"Content-Type": content_type}
        )

    async def landing(self, _request: web.Request, _caller: Caller) -> web.Response:
        """Links."""
        return web.Response(
            text=_LANDING,
            content_type="text/html",
            headers={"Content-Security-Policy": "default-src 'none'"},
        )
