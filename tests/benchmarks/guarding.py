"""`guard`: what an application pays for asking, in memory and over a real Redis."""

import gc
import time
from collections.abc import Callable, Sequence

from redis import Redis as RedisClient

from rollbackd.connections.redis import RedisConnection
from rollbackd.controls.redis import RedisControls
from rollbackd.guard import Guard, RedisAddress, idempotency_key
from rollbackd.model.controls import ControlValue
from rollbackd.model.labels import Scope
from tests.benchmarks.bench import Bench, isolated, run_async
from tests.benchmarks.results import Figure, Result

_CALLS = 200_000
_REMOTE_CALLS = 3_000
_TURN = 250
_LEASE_SECONDS = 60.0
_WARM_UP = "warm-up"
_USERS = [f"user-{number}" for number in range(1_000)]
_PINS = {"INDEX_HASH": "a1", "PROMPT_VER": "p-1", "MODEL_VER": "m-1", "RERANK_CONF": "r-1"}
_BOUND_US = 2
_LOOKUP = "a dict lookup"
_GET = "a GET of redis-py"

#: A rollout that an incident has touched.
_CONTROLS: dict[str, ControlValue] = {
    "flag:canary": {"baseline_weight": 0.8, "canary_weight": 0.2, "global_off": False},
    "pins": {"PROMPT_VER": "p-0"},
    "cache": {"generation": 7, "namespace": ""},
    "degrade": {"level": 1},
}
#: A limit that is asked for and never met.
_THROTTLE: ControlValue = {"requests_per_second": 1e9, "burst": 1e9, "breaker": "closed"}

#: Called with a guard and a text.
_Call = Callable[[Guard, str], object]


async def guard(bench: Bench) -> list[Result]:
    """A line a call."""
    url = (await bench.redis()).url
    in_memory = [await isolated(ask, url, f"memory-{run}/eu") for run in range(bench.runs)]
    remote = [await isolated(reach, url, f"redis-{run}/eu") for run in range(bench.runs)]
    return [*_lines(_READS, in_memory, _LOOKUP), *_lines(_REMOTE, remote, _GET)]


def _lines(calls: dict[str, _Call], found: list[dict[str, float]], peer: str) -> list[Result]:
    bare = _figure(found, peer)
    lines: list[Result] = []
    for what in calls:
        ours = _figure(found, what)
        bounded = peer == _LOOKUP and what != _PASSAGE
        lines.append(
            Result(
                row="guard",
                what=what,
                ours=ours,
                peer=bare,
                peer_name=peer,
                verdict=f"{ours.median / bare.median:.1f} of them; {1e6 / ours.median:,.0f}/s",
                bound=f"< {_BOUND_US} us" if bounded else "",
                met=ours.median < _BOUND_US if bounded else None,
            )
        )
    return lines


def _figure(found: list[dict[str, float]], what: str) -> Figure:
    return Figure("us", [run[what] for run in found])


def ask(url: str, scope: str) -> dict[str, float]:
    """Microseconds of processor time for a call of each kind that asks nobody."""
    run_async(_write_controls(url, scope, _CONTROLS))
    table = dict.fromkeys([*_USERS, _WARM_UP], True)
    with _opened(url, scope) as asked:
        calls: dict[str, _Call] = {_LOOKUP: lambda _, user: table[user], **_READS}
        return _measure(calls, asked, _USERS, _CALLS // len(_USERS), time.process_time)


def reach(url: str, scope: str) -> dict[str, float]:
    """Microseconds by the wall clock for a call of each kind that asks Redis."""
    run_async(_write_controls(url, scope, {"throttle": _THROTTLE}))
    client = RedisClient.from_url(url)
    client.set("bench", b"x" * 200)
    calls: dict[str, _Call] = {_GET: lambda _, __: client.get("bench"), **_REMOTE}
    names = [f"{number}" for number in range(_REMOTE_CALLS)]
    with client, _opened(url, scope) as asked:
        return _measure(calls, asked, names, 1, time.perf_counter)


def _opened(url: str, scope: str) -> Guard:
    """A guard that has read the controls, with a lease that outlives a pause of a busy machine."""
    asked = Guard(scope, RedisAddress(url=url), pins=_PINS, lease_seconds=_LEASE_SECONDS)
    deadline = time.monotonic() + _LEASE_SECONDS
    while asked.stale:
        assert time.monotonic() < deadline, "the controls could not be read"
        time.sleep(0.02)
    return asked


def _measure(
    calls: dict[str, _Call],
    asked: Guard,
    texts: Sequence[str],
    rounds: int,
    clock: Callable[[], float],
) -> dict[str, float]:
    """All calls in turns, so that a neighbour on the machine slows each of them alike."""
    for call in calls.values():
        call(asked, _WARM_UP)
    gc.collect()
    took = dict.fromkeys(calls, 0.0)
    for _ in range(rounds):
        for first in range(0, len(texts), _TURN):
            turn = texts[first : first + _TURN]
            for what, call in calls.items():
                began = clock()
                for text in turn:
                    call(asked, text)
                took[what] += clock() - began
    return {what: seconds / (rounds * len(texts)) * 1e6 for what, seconds in took.items()}


async def _write_controls(url: str, scope: str, controls: dict[str, ControlValue]) -> None:
    board = await RedisControls.open(await RedisConnection.open(url))
    try:
        for name, value in controls.items():
            await board.set_intent(Scope.parse(scope), name, value, now_ms=1)
    finally:
        await board.close()


def _write(asked: Guard, _: str) -> None:
    with asked.write() as write:
        write.check()


def _set_fields(asked: Guard, name: str) -> None:
    with asked.write() as write:
        asked.set_fields(write, f"bench:{{{_scope(asked)}}}", {name: 1})


def _make(asked: Guard, name: str) -> None:
    key = idempotency_key(source_type="order", source_id=name, action="charge")
    with asked.write() as write:
        asked.once(write, key, lambda claim: claim.effect_id)


def _scope(asked: Guard) -> str:
    return asked._keys.scope


_PASSAGE = "write(), check(), out again"
_READS: dict[str, _Call] = {
    "writes_allowed()": lambda asked, _: asked.writes_allowed(),
    "degrade_level": lambda asked, _: asked.degrade_level,
    "arm(flag, user) of a flag that is split": lambda asked, user: asked.arm("canary", user),
    "cache_key(kind, part)": lambda asked, part: asked.cache_key("q", part),
    "admit() without a limit": lambda asked, _: asked.admit(),
    _PASSAGE: _write,
}
_REMOTE: dict[str, _Call] = {
    "admit() under a limit": lambda asked, _: asked.admit(),
    "get_or_load() of an entry that is there": lambda asked, _: asked.get_or_load(
        "q:bench", lambda: b"x" * 200
    ),
    "write() and set_fields()": _set_fields,
    "write() and once(): claimed, made, sealed": _make,
    "write() and once() of what was made before": lambda asked, _: _make(asked, _WARM_UP),
}
