"""`ansible`: the same events and 100 conditions in ansible-rulebook, which has a venv of its own.

It gets the events from its own `eda.builtin.generic` source and prints when a condition matched.
Timed is from its first printed line (the first event) to its last (the end's rule).
"""

import asyncio
import json
import os
import random
import re
import shutil
import sys
import time
from datetime import datetime
from pathlib import Path

from rollbackd.app.process import spare_the_collector
from rollbackd.events.collecting import Collector
from rollbackd.events.record import decode_records
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.triggers.engine import Engine
from tests.benchmarks.bench import Bench, isolated
from tests.benchmarks.results import Result, rate
from tests.benchmarks.workload import SERVICES, event

_VENV = Path(__file__).parents[2] / ".cache" / "ansible-rulebook"
_PACKAGES = ("ansible-rulebook==1.3.2", "ansible-core")
_INSTALL_SECONDS = 300.0
_RUN_SECONDS = 60.0
_PAYLOAD = 500
#: As many as warm its virtual machine up.
_PEER_LOOPS = 20
_OUR_LOOPS = 100
_ABOVE = 0.999
#: The events of 100 ms, at 20,000/s.
_ROUND = 2_000
_STARTED = re.compile(r"\*\* (\S+ \S+) \[debug\] \*+\nSTART")
_ENDED = re.compile(r"\*\* (\S+ \S+) \[ruleset\] \*")


async def ansible(bench: Bench) -> list[Result]:
    """100 threshold conditions."""
    payload = _events()
    ours = [await isolated(feed, payload) for _ in range(bench.runs)]
    result = Result(
        row="ansible",
        what="100 conditions, JSON event -> condition decided, in memory",
        ours=rate(ours),
        peer_name="ansible-rulebook",
        bound=">= 50x",
    )
    reason = await _install()
    if reason:
        return [_with(result, peer_name=f"peer not available: {reason}")]
    theirs = [await _run_peer(bench.scratch("ansible"), payload) for _ in range(bench.runs)]
    ratio = result.ours.median / rate(theirs).median if result.ours else 0.0
    return [
        _with(
            result, peer=rate(theirs), verdict=f"{ratio:.0f} times the peer's rate", met=ratio >= 50
        )
    ]


def _with(result: Result, **changes: object) -> Result:
    fields = {name: getattr(result, name) for name in result.__struct_fields__}
    return Result(**{**fields, **changes})


def feed(payload: list[bytes]) -> float:
    """Events a second through our decoder and engine, evaluated as often as the daemon would."""
    rules = "\n".join(
        f'      - {{alert: C{n}, expr: \'max_over_time({metric}{{service="svc-{n:02d}"}}[1m])'
        f" > {_ABOVE}'}}"
        for n in range(SERVICES)
        for metric in ("latency_seconds", "delta_s")
    )
    text = f"groups:\n  - name: bench\n    rules:\n{rules}\n"
    engine = Engine.build([read_rule_file(text, file="bench.yaml")])
    spare_the_collector()
    records = payload * _OUR_LOOPS
    now_ms, fired = time.time_ns() // 1_000_000, 0
    began = time.perf_counter()
    for first in range(0, len(records), _ROUND):
        into = Collector()
        decode_records(records[first : first + _ROUND], into, headers={}, now_ms=now_ms)
        engine.ingest(into.samples, now_ms)
        fired += len(engine.evaluate(now_ms).transitions)
        now_ms += 100
    assert fired, "no condition matched"
    return len(records) / (time.perf_counter() - began)


def _events() -> list[bytes]:
    """Without times, so that both take them as of now."""
    rng = random.Random(7)
    bodies = [
        json.loads(event(f"svc-{n % SERVICES:02d}", "canary", f"i-{n % 7}", ts=0, rng=rng))
        for n in range(_PAYLOAD)
    ]
    bodies[0]["values"]["delta_s"] = 1.0
    return [json.dumps({k: v for k, v in b.items() if k != "ts"}).encode() for b in bodies]


async def _install() -> str:
    """Why the peer cannot be had, or an empty string."""
    if shutil.which("java") is None:
        return "no java on the PATH"
    if (_VENV / "stamp").exists():
        return ""
    made, said = await _run(sys.executable, "-m", "venv", "--clear", str(_VENV))
    if not made:
        return said
    pip = str(_VENV / "bin" / "pip")
    done, said = await _run(pip, "install", "--quiet", *_PACKAGES, seconds=_INSTALL_SECONDS)
    if done:
        (_VENV / "stamp").touch()
        return ""
    return f"pip: {said.strip().splitlines()[-1] if said.strip() else 'failed'}"


async def _run_peer(directory: Path, payload: list[bytes]) -> float:
    condition = "event.service == '{s}' and event.values.{m} > {above}"
    rules = [
        {
            "name": f"{metric} {n}",
            "condition": condition.format(s=f"svc-{n:02d}", m=metric, above=_ABOVE),
            "action": {"debug": {"msg": "hit"}},
        }
        for n in range(SERVICES)
        for metric in ("latency_seconds", "delta_s")
    ]
    for mark, action in (("start", {"debug": {"msg": "START"}}), ("end", {"shutdown": {}})):
        rules.append({"name": mark, "condition": f"event.mark == '{mark}'", "action": action})
    source = {
        "payload": [{"mark": "start"}, *map(json.loads, payload)],
        "loop_count": _PEER_LOOPS,
        "final_payload": {"mark": "end"},
    }
    book = {"name": "bench", "hosts": "localhost", "rules": rules}
    book["sources"] = [{"eda.builtin.generic": source}]
    (directory / "book.yaml").write_text(json.dumps([book]))
    (directory / "hosts").write_text("localhost ansible_connection=local\n")
    worked, said = await _run(
        str(_VENV / "bin" / "ansible-rulebook"), "-i", str(directory / "hosts"),
        "-r", str(directory / "book.yaml"), seconds=_RUN_SECONDS,
    )  # fmt: skip
    began, ended = _STARTED.search(said), _ENDED.search(said)
    if not worked or began is None or ended is None:
        raise RuntimeError(f"ansible-rulebook: {said[-2_000:]}")
    seconds = datetime.fromisoformat(ended[1]) - datetime.fromisoformat(began[1])
    return _PAYLOAD * _PEER_LOOPS / seconds.total_seconds()


async def _run(*command: str, seconds: float = 60.0) -> tuple[bool, str]:
    java = Path(shutil.which("java") or "java").resolve()
    environment = {
        **os.environ,
        "JAVA_HOME": str(java.parents[1]),
        "PATH": f"{_VENV / 'bin'}:{os.environ['PATH']}",
    }
    process = await asyncio.create_subprocess_exec(
        *command, env=environment, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
    )
    try:
        said, _ = await asyncio.wait_for(process.communicate(), seconds)
    except TimeoutError:
        process.kill()
        return False, f"no end after {seconds:.0f} s"
    return process.returncode == 0, said.decode(errors="replace")
