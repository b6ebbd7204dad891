"""`webhook`: alerts at a steady pace, answered after the durable commit (SQLite, FULL).

Open loop: a request goes out when it is due, whatever became of those before it, and its time
counts from when it was due.
"""

import asyncio
import contextlib
import json
import sqlite3
import time
from collections.abc import AsyncIterator
from multiprocessing import get_context

import aiohttp
from aiohttp import web

from tests.benchmarks.bench import Bench
from tests.benchmarks.decoding import notification
from tests.benchmarks.results import Figure, Result, percentile
from tests.end_to_end.daemon import DaemonProcess
from tests.services.polling import eventually
from tests.services.processes import HOST, answers_http, free_port

PER_SECOND = 1_000
_RUN_SECONDS = 3.0
_BOUND_MS = 20
_PATH = "/api/v1/alertmanager"


async def webhook(bench: Bench) -> list[Result]:
    """One alert a request, 1,000 a second."""
    async with DaemonProcess(bench.scratch("webhook")) as daemon:
        ours = await _post(daemon.url + _PATH, bench.runs)
        # It has the file to itself while it runs.
        await daemon.stop()
        kept = _stored(daemon)
    async with _bare_server() as url:
        bare = await _post(url + _PATH, bench.runs)
    accepted = sum(map(len, ours))
    p99 = _figure(ours, 0.99)
    lost = accepted - kept
    return [
        Result(
            row="webhook",
            what=f"{PER_SECOND:,} alerts/s, answered after the commit: p99",
            ours=p99,
            peer=_figure(bare, 0.99),
            peer_name="bare aiohttp that keeps nothing, p99",
            verdict=f"p50 {_figure(ours, 0.5)}; {lost} of {accepted:,} lost",
            bound=f"< {_BOUND_MS} ms, none lost",
            met=p99.median < _BOUND_MS and lost == 0,
        )
    ]


def _figure(runs: list[list[float]], share: float) -> Figure:
    return Figure("ms", [percentile(run, share) for run in runs[1:]])


async def _post(url: str, runs: int) -> list[list[float]]:
    """Milliseconds until the answer, run by run; the first run warms up."""
    connector = aiohttp.TCPConnector(limit=100)
    found: list[list[float]] = []
    bodies = [
        json.dumps(notification(n, 1)).encode() for n in range(int(PER_SECOND * _RUN_SECONDS))
    ]
    async with aiohttp.ClientSession(connector=connector) as session:
        for run in range(runs + 1):
            mark = f'"id": "{run}-'.encode()
            fresh = [
                body.replace(b'"id": "', mark).replace(
                    b'"fingerprint": "0', b'"fingerprint": "%d' % run
                )
                for body in bodies
            ]
            found.append(await _one_run(session, url, fresh))
    return found


async def _one_run(session: aiohttp.ClientSession, url: str, bodies: list[bytes]) -> list[float]:
    began = time.monotonic()

    async def send(number: int, body: bytes) -> float:
        async with session.post(
            url, data=body, headers={"content-type": "application/json"}
        ) as response:
            await response.read()
            assert response.status == 200, response.status
        return (time.monotonic() - began - number / PER_SECOND) * 1_000

    tasks: list[asyncio.Task[float]] = []
    while len(tasks) < len(bodies):
        due = min(len(bodies), int((time.monotonic() - began) * PER_SECOND) + 1)
        more = range(len(tasks), due)
        tasks += [asyncio.create_task(send(number, bodies[number])) for number in more]
        await asyncio.sleep(len(tasks) / PER_SECOND - (time.monotonic() - began))
    return await asyncio.gather(*tasks)


def _stored(daemon: DaemonProcess) -> int:
    with contextlib.closing(sqlite3.connect(daemon.state_dir / "rollbackd.sqlite3")) as database:
        return int(database.execute("SELECT count(*) FROM inbox").fetchone()[0])


@contextlib.asynccontextmanager
async def _bare_server() -> AsyncIterator[str]:
    port = free_port()
    process = get_context("spawn").Process(target=serve_bare, args=(port,), daemon=True)
    process.start()
    url = f"http://{HOST}:{port}"
    try:
        await eventually(lambda: _answers(url), within_seconds=20)
        yield url
    finally:
        process.kill()


async def _answers(url: str) -> bool:
    try:
        return await answers_http(url)
    except OSError:
        return False


def serve_bare(port: int) -> None:
    """Read the body, say 200."""

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response()

    app = web.Application()
    app.router.add_post(_PATH, answer)
    app.router.add_get("/", answer)
    web.run_app(app, host=HOST, port=port, print=None)
