"""A web application on loopback for the length of a block."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from tests.services.processes import HOST, free_port


@asynccontextmanager
async def serving(application: web.Application, *, port: int | None = None) -> AsyncIterator[str]:
    """Its URL. Connections that are open at the end are cut."""
    port = free_port() if port is None else port
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, HOST, port).start()
        yield f"http://{HOST}:{port}"
    finally:
        await runner.cleanup()
