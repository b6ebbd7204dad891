"""`kill -9` around every act of a lever on another system: same end, each effect once."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, NamedTuple

import pytest
import yaml
from aiohttp import web

from tests.backends import redis_cli
from tests.end_to_end.daemon import BRANCHES
from tests.end_to_end.test_crashes import CrashingDaemon, crash, healthy, send_alert
from tests.services.haproxy import HAProxy
from tests.services.processes import HOST, free_port
from tests.services.redis import Redis

#: A database of the shared Redis that no other suite uses.
_DATABASE: Final = "7"
_BRANCH: Final = "retriever_mismatch"
#: Between intent and effect, and between effect and seal.
_MOMENTS: Final = ("after-intent", "after-effect")

_TREE: Final = """
defaults: {{hold: 300ms, first_green: 60s, watch_interval: 100ms, cooldown: 0s,
            budget: {{acts: 1000, per: 1h}}, rule_budget: {{acts: 1000, per: 1h}},
            lever_budget: {{acts: 1000, per: 1h}}}}
global_budget: {{acts: 1000, per: 1h}}
max_open_incidents: 1000
max_blast_radius: 1
correlated: {{scopes: 1000, within: 1m}}
ineffective_chain: {{times: 1000, within: 1h}}
flap_latch: {{times: 1000, within: 1h}}
exit_targets:
  - {{name: errors, value: 'max by (service, region) (error_ratio)', below: 0.005}}
branches:
  retriever_mismatch:
    freeze: {{lever: write_block}}
    levers: [{{lever: moved, name: {name}}}]
    rotate: {{lever: cache_rotate}}
    throttle: [{{lever: edge_limit}}]
    targets: [errors]
{others}"""
_OTHER: Final = """
  {branch}:
    levers: [{{lever: flag_off, name: x}}]
    rotate: {{lever: cache_rotate}}
    targets: [errors]
"""
_ACTS: Final = ["write_block", "moved", "cache_rotate", "edge_limit", "edge_limit", "write_block"]
#: The acts of levers on other systems by their number: the last one gives back.
_MOVED, _LIMITED, _UNLIMITED = 2, 4, 5


class Limits:
    """A rate limit behind an HTTP API: what it is, and what it was set to."""

    def __init__(self) -> None:
        self.limit = 500
        self.puts: list[int] = []

    async def get(self, _request: web.Request) -> web.Response:
        return web.json_response({"limit": self.limit})

    async def put(self, request: web.Request) -> web.Response:
        self.limit = (await request.json())["limit"]
        self.puts.append(self.limit)
        return web.json_response({})


class Pointer(NamedTuple):
    """One target of one lever: its name, its settings, and how it is read and moved by hand."""

    name: str
    settings: Mapping[str, object]
    good: str
    bad: str
    held: Callable[[], str]
    put: Callable[[str], object]


def in_redis(server: Redis) -> Pointer:
    """A plain key."""
    key = ("-n", _DATABASE)

    def held() -> str:
        return redis_cli(server, *key, "GET", "rag:INDEX_PTR").strip()

    def put(value: str) -> object:
        return redis_cli(server, *key, "SET", "rag:INDEX_PTR", value)

    url = f"redis://{server.address}/{_DATABASE}"
    settings = {"type": "redis_key", "url": url, "prefix": "rag:"}
    return Pointer("INDEX_PTR", settings, "docs_vA", "docs_vB", held, put)


def in_a_file(folder: Path) -> Pointer:
    """A flag of flagd: the variant that is served by default."""
    path = folder / "flags.json"

    def held() -> str:
        return str(json.loads(path.read_text())["flags"]["canary"]["defaultVariant"])

    def put(value: str) -> object:
        variants = {"on": True, "off": False}
        flag = {"state": "ENABLED", "variants": variants, "defaultVariant": value, "targeting": {}}
        return path.write_text(json.dumps({"flags": {"canary": flag}}, indent=2))

    settings = {"type": "flagd_flag", "definition_file": str(path)}
    return Pointer("canary", settings, "off", "on", held, put)


def in_haproxy(server: HAProxy) -> Pointer:
    """A host of a map."""
    map_ = str(server.map_file)

    def run(*words: str) -> str:
        return asyncio.run(server.runtime(" ".join(words)))

    def held() -> str:
        return run("show map", map_).split()[-1]

    def put(value: str) -> object:
        known = run("show map", map_)
        return run("set map" if known else "add map", map_, "docs", value)

    settings = {"type": "haproxy_map", "socket": str(server.socket), "map": map_}
    return Pointer("docs", settings, "blue", "green", held, put)


@asynccontextmanager
async def limited() -> AsyncIterator[tuple[Limits, str]]:
    """The limit, and where its API is."""
    limits, app, port = Limits(), web.Application(), free_port()
    app.add_routes([web.get("/limit", limits.get), web.put("/limit", limits.put)])
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, HOST, port).start()
    try:
        yield limits, f"http://{HOST}:{port}"
    finally:
        await runner.cleanup()


def edge_limit(url: str) -> Mapping[str, object]:
    """A measure on it, which is given back."""
    return {
        "type": "http_request",
        "url": url,
        "observe": {"path": "/limit", "value": {"limit": "/limit"}},
        "move": {"path": "/limit", "method": "PUT", "body": {"limit": "{after.limit}"}},
        "kind": "temporary",
        "wanted": {"limit": 50},
    }


@pytest.mark.slow
@pytest.mark.services
@pytest.mark.timeout(180)
async def test_levers_on_other_systems_end_the_same_wherever_the_daemon_was_killed(
    redis_server: Redis, haproxy: HAProxy, tmp_path: Path
) -> None:
    """A Redis key, a flag's file and an HAProxy map, each with a limit behind an HTTP API."""
    everywhere = [(_MOVED, moment) for moment in _MOMENTS]
    measure = [(act, moment) for act in (_LIMITED, _UNLIMITED) for moment in _MOMENTS]
    folders = {name: tmp_path / name for name in ("redis", "file", "haproxy")}
    for folder in folders.values():
        folder.mkdir()
    await asyncio.gather(
        crash_at(folders["redis"], in_redis(redis_server), everywhere),
        crash_at(folders["file"], in_a_file(folders["file"]), [*everywhere, *measure[:2]]),
        crash_at(folders["haproxy"], in_haproxy(haproxy), [*everywhere, *measure[2:]]),
    )


async def crash_at(folder: Path, pointer: Pointer, points: list[tuple[int, str]]) -> None:
    """One incident that is left in peace, and one for each crash; all end the same."""
    async with limited() as (limits, url):
        levers = {"moved": dict(pointer.settings), "edge_limit": dict(edge_limit(url))}
        (folder / "levers.yaml").write_text(yaml.safe_dump({"levers": levers}))
        await asyncio.to_thread(pointer.put, pointer.good)
        # the shipped rules name every branch
        others = [_OTHER.format(branch=each) for each in BRANCHES if each != _BRANCH]
        tree = _TREE.format(name=pointer.name, others="".join(others))
        async with CrashingDaemon(folder, {"levers": "levers.yaml"}, tree) as daemon:
            for number, point in enumerate([None, *points]):
                scope = f"rag-{number}/eu"
                await rolled_out(daemon, pointer, scope)
                limits.puts.clear()
                async with healthy(daemon, [scope]):
                    if point is None:
                        await send_alert(daemon, scope, _BRANCH)
                    else:
                        act, moment = point
                        await crash(daemon, scope, _BRANCH, f"{moment} {act}")
                    await check_end(daemon, pointer, scope, f"{point} of {pointer.settings}")
                assert (limits.limit, limits.puts) == (500, [50, 500]), point
            assert daemon.unhandled() == []


async def rolled_out(daemon: CrashingDaemon, pointer: Pointer, scope: str) -> None:
    """Record what is good, then move the pointer as a rollout would."""
    await asyncio.to_thread(pointer.put, pointer.good)
    wanted = {"scope": scope, "pins": {"INDEX_HASH": "a"}, "window": "0s", "allow_missing": True}
    status, answer = await daemon.send("POST", "/api/v1/pins", wanted)
    assert status == 201, answer
    assert f"moved:{pointer.name}" in answer["set"]["targets"], answer
    await asyncio.to_thread(pointer.put, pointer.bad)


async def check_end(daemon: CrashingDaemon, pointer: Pointer, scope: str, where: str) -> None:
    """Closed, with every act once, the pointer where it was recorded, and nothing left behind."""
    closed = await daemon.until_incident(scope, "closed", within_seconds=60)
    assert len(await daemon.incidents(scope)) == 1
    assert await asyncio.to_thread(pointer.held) == pointer.good, where
    incident = (await daemon.get(f"/api/v1/incidents/{closed['id']}"))["incident"]
    receipts = [receipt["target"]["lever"] for receipt in incident["receipts"]]
    assert receipts == _ACTS, where
    ledger = {each["change"]["target"]["lever"]: each["status"] for each in incident["ledger"]}
    assert ledger == {"write_block": "restored", "edge_limit": "restored"}, where
    assert [check["name"] for check in incident["audit"] if not check["passed"]] == [], where
    moved = [key for key, _ in daemon.effects()[scope]]
    key = f"moved:{pointer.name}"
    assert moved == ["writes", key, "cache", "edge_limit", "edge_limit", "writes"], where
    report = daemon.state_dir / "incidents" / closed["id"]
    assert any(key in file.read_text() for file in report.rglob("*.md")), where
