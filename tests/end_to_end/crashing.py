"""`rollbackd` that kills itself with SIGKILL at a chosen moment, and tells what took effect.

Run as `python -m tests.end_to_end.crashing run --config FILE`. The file named by CRASH_PLAN holds
`SCOPE MOMENT NUMBER`: the moment (`MOMENTS`) of the n-th act of the scope's incident. It is used up
once. The file named by CRASH_LOG gets a line for every control write that took effect, and for
every move of a lever on another system.

Each life is a process of its own, forked from one that has imported everything and does nothing but
start the next one, as a service manager would.
"""

import asyncio
import ctypes
import json
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from rollbackd.app.daemon import Daemon
from rollbackd.levers.flagd_flag import FlagdFlag
from rollbackd.levers.haproxy_map import HAProxyMap
from rollbackd.levers.http_request import HttpRequest
from rollbackd.levers.redis_key import RedisKey
from rollbackd.model.controls import ControlWrite, WriteResult
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Change, Observation, Op, Target
from rollbackd.settings import load_settings
from rollbackd.telemetry import configure_logging

#: Where an act may be cut off.
MOMENTS: Final = ("before-intent", "after-intent", "after-effect", "after-seal")

#: linux/prctl.h
_PR_SET_PDEATHSIG: Final = 1
_SEALS: Final = frozenset({"Sealed", "GivenBack", "Failed"})


class Killer:
    """Dies where the plan says.

    Writes of other incidents are waited for: one that took effect would be missing in the log.
    """

    def __init__(self, plan: Path) -> None:
        self._plan = plan
        self.writing = 0

    async def passes(self, scope: Scope, moment: str, number: int) -> None:
        """The moment has come; nobody returns from the one that was planned."""
        if self._plan.exists() and self._plan.read_text() == f"{scope} {moment} {number}":
            while self.writing:  # noqa: ASYNC110  # a moment, and only in a test
                await asyncio.sleep(0.001)
            self._plan.unlink()
            os.kill(os.getpid(), signal.SIGKILL)


class CrashingStore:
    """Passes every call on to the real store."""

    def __init__(self, inner: Any, killer: Killer) -> None:
        self._inner = inner
        self._killer = killer

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def advance(self, incident: Incident, records: Sequence[JournalRecord]) -> None:
        pending = incident.pending
        if pending is not None and not pending.inherited:
            await self._killer.passes(incident.scope, "before-intent", incident.acts)
        await self._inner.advance(incident, records)
        if pending is not None and not pending.inherited:
            await self._killer.passes(incident.scope, "after-intent", incident.acts)
        if pending is None and any(record.kind in _SEALS for record in records):
            await self._killer.passes(incident.scope, "after-seal", incident.acts)


class CrashingControls:
    """Passes every call on to the real controls, and writes down what took effect."""

    def __init__(self, inner: Any, killer: Killer, log: Path) -> None:
        self._inner = inner
        self._killer = killer
        self._log = log

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def set_trip(
        self, scope: Scope, name: str, value: object, *, op: Op, **more: Any
    ) -> ControlWrite:
        self._killer.writing += 1
        try:
            write: ControlWrite = await self._inner.set_trip(scope, name, value, op=op, **more)
            if write.result is WriteResult.APPLIED:
                line = {"scope": str(scope), "op": op.op_id, "control": name, "trip": value}
                with self._log.open("a") as log:
                    log.write(json.dumps(line) + "\n")
        finally:
            self._killer.writing -= 1
        await self._killer.passes(scope, "after-effect", number_of(op.op_id))
        return write


def watch_levers(killer: Killer, log: Path) -> None:
    """Have levers on other systems pass by the killer once their target has moved.

    What they read after that is what a later life has to make do without.
    """

    async def moved(target: Target, op: Op, value: object) -> None:
        line = {"scope": str(target.scope), "op": op.op_id, "control": target.key, "trip": value}
        with log.open("a") as file:
            file.write(json.dumps(line) + "\n")
        await killer.passes(target.scope, "after-effect", number_of(op.op_id))

    def watched_move(move: Any) -> Any:
        async def watched(
            self: Any, target: Target, now: Observation, wanted: dict[str, object], op: Op
        ) -> None:
            await move(self, target, now, wanted, op)
            await moved(target, op, wanted)

        return watched

    def watched_put_back(put_back: Any) -> Any:
        async def watched(self: Any, change: Change, now: Observation, op: Op) -> None:
            await put_back(self, change, now, op)
            await moved(change.target, op, change.before.value)

        return watched

    for lever in (RedisKey, HAProxyMap, FlagdFlag, HttpRequest):
        lever.move = watched_move(lever.move)  # type: ignore[attr-defined]
    # the others put back by `move`
    for lever in (FlagdFlag, HttpRequest):
        lever.put_back = watched_put_back(lever.put_back)  # type: ignore[attr-defined]


def number_of(op_id: str) -> int:
    """The n of the n-th act."""
    return int(op_id.rpartition(":")[2])


async def life(config: Path, plan: Path, log: Path) -> None:
    """Run until killed."""
    settings = load_settings(config)
    configure_logging(level=settings.log_level)
    killer = Killer(plan)
    watch_levers(killer, log)
    daemon = Daemon(
        settings,
        wrap_store=lambda store: CrashingStore(store, killer),
        wrap_controls=lambda controls: CrashingControls(controls, killer, log),
    )
    await daemon.run()


def fork_life(config: Path, plan: Path, log: Path) -> int:
    """Begin a life; it ends with this process at the latest."""
    pid = os.fork()
    if pid == 0:
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        asyncio.run(life(config, plan, log))
        os._exit(0)
    return pid


def main() -> int:
    """Start one life after the other, for as long as they are killed."""
    config, plan, log = Path(sys.argv[-1]), os.environ["CRASH_PLAN"], os.environ["CRASH_LOG"]
    while True:
        _, status = os.waitpid(fork_life(config, Path(plan), Path(log)), 0)
        if not (os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL):
            return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main())
