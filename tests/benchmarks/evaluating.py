"""`ofrep`: flags over HTTP against a handler that evaluates nothing, and beside flagd.

A 304 has no body, and a Content-Length of its own would be that of the 200 (RFC 9110, 8.6): aiohttp
sends none.
"""

import contextlib
import gc
import json
import time
from collections.abc import AsyncIterator, Callable
from multiprocessing import get_context
from pathlib import Path

import aiohttp
from aiohttp import web
from openfeature.contrib.provider.flagd import FlagdProvider
from openfeature.contrib.provider.flagd.config import ResolverType
from openfeature.evaluation_context import EvaluationContext as OpenFeatureContext

from rollbackd.app.process import spare_the_collector
from rollbackd.http.flag_cache import FlagCache
from rollbackd.model.controls import Control, ControlValue
from rollbackd.model.labels import Scope
from tests.benchmarks.bench import Bench, isolated
from tests.benchmarks.keep_alive import Load, load
from tests.benchmarks.results import Figure, Result, rate
from tests.end_to_end.daemon import DaemonProcess
from tests.services.availability import Component, why_not
from tests.services.flagd import Flagd
from tests.services.polling import eventually
from tests.services.processes import HOST, answers_http, free_port

_CONNECTIONS = 16
_SECONDS = 2.0
_BOUND = 0.5
_EVALUATIONS = 50_000
_USERS = [f"user-{number}" for number in range(1_000)]
_SCOPE = Scope("rag", "eu-1")
_WEIGHTS: ControlValue = {"baseline_weight": 0.8, "canary_weight": 0.2, "global_off": False}
#: So many flags stand in the scope beside the six controls that every scope has.
_FLAGS = 14
_PATH = "/ofrep/v1/evaluate/flags"
_CONSTANT = {
    "key": "canary",
    "value": False,
    "reason": "SPLIT",
    "variant": "off",
    "metadata": {"scope": "rag/eu-1", "control": "flag:canary", "version": 1, "tripped": False},
}
#: The same split, in flagd's words: https://flagd.dev/reference/custom-operations/fractional-operation/
_DEFINITION = {
    "flags": {
        "canary": {
            "state": "ENABLED",
            "variants": {"on": True, "off": False},
            "defaultVariant": "off",
            "targeting": {
                "fractional": [
                    {"cat": [{"var": "$flagd.flagKey"}, {"var": "targetingKey"}]},
                    ["on", 20],
                    ["off", 80],
                ]
            },
        }
    }
}


async def ofrep(bench: Bench) -> list[Result]:
    """One flag, all flags, flagd's turn, and the evaluation without HTTP."""
    ours, whole, known, bare = await _served(bench)
    return [
        _against_bare("one flag that is split", ours, bare),
        _against_bare(f"all {_FLAGS + 7} flags of a scope", whole, bare),
        _against_bare("the same, 304 to who has them", known, bare),
        await _beside_flagd(bench, ours),
        await _without_http(bench),
    ]


def _against_bare(what: str, ours: list[Load], bare: list[Load]) -> Result:
    found, peer = (rate([each.per_second for each in runs], "/s") for runs in (ours, bare))
    busy, idle = (Figure("us", [each.busy_us for each in runs]) for runs in (ours, bare))
    result = found.median / peer.median
    bounded = what.startswith("one")
    return Result(
        row="ofrep",
        what=f"{what}, {_CONNECTIONS} connections",
        ours=found,
        peer=peer,
        peer_name="bare aiohttp, a constant answer",
        verdict=f"{result:.2f} of the peer's rate",
        bound=f">= {_BOUND}" if bounded else "",
        met=result >= _BOUND if bounded else None,
        notes=[f"{what}: the server's processor time a request {busy}, of the peer {idle}"],
    )


async def _served(bench: Bench) -> tuple[list[Load], list[Load], list[Load], list[Load]]:
    found: tuple[list[Load], list[Load], list[Load], list[Load]] = ([], [], [], [])
    async with DaemonProcess(bench.scratch("ofrep")) as daemon, _bare_server() as bare:
        for number in range(_FLAGS):
            name = "flag:canary" if number == 0 else f"flag:other-{number}"
            path = f"/api/v1/controls/{_SCOPE}/{name}"
            status, said = await daemon.send("PUT", path, {"value": _WEIGHTS})
            assert status == 200, said
        one = [_request(f"{_PATH}/canary", user) for user in _USERS]
        tags = [(user, await _tag(daemon.url, user)) for user in _USERS[:50]]
        again = [_request(_PATH, user, f"If-None-Match: {tag}\r\n") for user, tag in tags]
        whole = [_request(_PATH, user) for user in _USERS]
        for _ in range(bench.runs):
            found[0].append(await _load(daemon.port, daemon.pid, one))
            found[3].append(await _load(*bare, one))
            found[1].append(await _load(daemon.port, daemon.pid, whole))
            found[2].append(await _load(daemon.port, daemon.pid, again, status=b"304"))
    return found


async def _load(port: int, pid: int, requests: list[bytes], status: bytes = b"200") -> Load:
    return await load(
        port, requests, pid=pid, connections=_CONNECTIONS, seconds=_SECONDS, status=status
    )


def _context(user: str) -> dict[str, object]:
    return {"service": _SCOPE.service, "region": _SCOPE.region, "targetingKey": user}


def _request(path: str, user: str, headers: str = "") -> bytes:
    body = json.dumps({"context": _context(user)})
    return (
        f"POST {path} HTTP/1.1\r\nHost: {HOST}\r\nContent-Type: application/json\r\n{headers}"
        f"Content-Length: {len(body)}\r\n\r\n{body}"
    ).encode()


async def _tag(url: str, user: str) -> str:
    async with (
        aiohttp.ClientSession() as session,
        session.post(url + _PATH, json={"context": _context(user)}) as answer,
    ):
        return answer.headers["ETag"]


async def _beside_flagd(bench: Bench, ours: list[Load]) -> Result:
    what = f"one flag that is split, {_CONNECTIONS} connections, of flagd itself"
    missing = why_not(Component.FLAGD)
    if missing is not None:
        return Result(row="ofrep", what=what, verdict=f"not measured: {missing}")
    directory = bench.scratch("flagd")
    requests = [_request(f"{_PATH}/canary", user) for user in _USERS]
    async with Flagd(directory, f"file:{_define(directory)}") as flagd:
        found = [await _load(flagd.ofrep_port, flagd.pid, requests) for _ in range(bench.runs)]
    mine, peer = (rate([each.per_second for each in runs], "/s") for runs in (ours, found))
    busy = Figure("us", [each.busy_us for each in found])
    return Result(
        row="ofrep",
        what=what,
        ours=mine,
        peer=peer,
        peer_name="flagd, over all cores",
        verdict=f"{mine.median / peer.median:.2f} of the peer's rate",
        notes=[f"flagd's processor time a request: {busy}"],
    )


def _define(directory: Path) -> Path:
    definition = directory / "flags.json"
    definition.write_text(json.dumps(_DEFINITION))
    return definition


async def _without_http(bench: Bench) -> Result:
    found = [await isolated(evaluate_alone, bench.scratch("flagd")) for _ in range(bench.runs)]
    ours, peer = (Figure("us", [run[index] for run in found]) for index in range(2))
    return Result(
        row="ofrep",
        what="the evaluation alone, of a flag that is split",
        ours=ours,
        peer=peer,
        peer_name="flagd's evaluator in the process (FILE resolver)",
        verdict=f"{peer.median / ours.median:.1f} times as fast",
    )


def evaluate_alone(directory: Path) -> tuple[float, float]:
    """Microseconds of processor time for one, ours and flagd's."""
    control = Control(name="flag:canary", intent=_WEIGHTS, version=1)
    controls = {control.name: control}
    flags = FlagCache()
    provider = FlagdProvider(
        resolver_type=ResolverType.FILE, offline_flag_source_path=str(_define(directory))
    )
    provider.initialize(OpenFeatureContext())
    theirs = [OpenFeatureContext(targeting_key=user) for user in _USERS]
    try:
        assert provider.resolve_boolean_details("canary", True, theirs[0]).error_code is None  # noqa: FBT003
        return (
            _microseconds(
                lambda number: flags.one(controls, "canary", _SCOPE).for_user(_USERS[number])
            ),
            _microseconds(
                lambda number: provider.resolve_boolean_details("canary", True, theirs[number])  # noqa: FBT003
            ),
        )
    finally:
        provider.shutdown()


def _microseconds(call: Callable[[int], object]) -> float:
    gc.collect()
    began = time.process_time()
    for number in range(_EVALUATIONS):
        call(number % len(_USERS))
    return (time.process_time() - began) / _EVALUATIONS * 1e6


@contextlib.asynccontextmanager
async def _bare_server() -> AsyncIterator[tuple[int, int]]:
    """(port, process id)"""
    port = free_port()
    process = get_context("spawn").Process(target=serve_bare, args=(port,), daemon=True)
    process.start()
    assert process.pid is not None

    async def answers() -> bool:
        try:
            return await answers_http(f"http://{HOST}:{port}")
        except OSError:
            return False

    try:
        await eventually(answers, within_seconds=20)
        yield port, process.pid
    finally:
        process.kill()


def serve_bare(port: int) -> None:
    """Read the body, answer the same each time; set up as the daemon sets itself up."""
    constant = json.dumps(_CONSTANT, separators=(",", ":")).encode()

    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=constant, content_type="application/json")

    app = web.Application()
    app.router.add_post(f"{_PATH}/{{key}}", answer)
    app.router.add_get("/", answer)
    spare_the_collector()
    web.run_app(app, host=HOST, port=port, print=None, access_log=None)
