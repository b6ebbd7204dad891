"""Both adapters against a model of a few lines, over random histories."""

import asyncio
import itertools
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from rollbackd.model.controls import Control, ControlValue, ControlWrite, WriteResult
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op
from rollbackd.ports import Controls
from tests.backends import Backend, RedisBackend, SQLiteBackend
from tests.services.redis import Redis

NAMES = st.sampled_from(["flag:a", "writes"])
VALUES = st.fixed_dictionaries({"level": st.integers(0, 2)})

_runs = itertools.count()


class Model:
    """One scope's controls as the contract tells them."""

    def __init__(self) -> None:
        self.controls: dict[str, Control] = {}
        self.fence = 0
        self.ops: dict[str, Control] = {}

    def read(self, name: str) -> Control:
        control = self.controls.get(name, Control(name=name))
        return msgspec.structs.replace(control, epoch=self.fence)

    def set_intent(self, name: str, value: ControlValue, now_ms: int) -> Control:
        return self._put(name, intent=value, updated_at_ms=now_ms)

    def set_trip(
        self, name: str, value: ControlValue | None, expected_version: int, op: Op, now_ms: int
    ) -> ControlWrite:
        if op.op_id in self.ops:
            return ControlWrite(result=WriteResult.REPLAYED, control=self.ops[op.op_id])
        if op.epoch < self.fence:
            return ControlWrite(result=WriteResult.STALE_EPOCH, control=self.read(name))
        if self.read(name).version != expected_version:
            return ControlWrite(result=WriteResult.CONFLICT, control=self.read(name))
        self.fence = op.epoch
        control = self._put(
            name,
            trip=value,
            op_id=op.op_id,
            incident_id=op.incident_id,
            updated_at_ms=now_ms,
        )
        self.ops[op.op_id] = control
        return ControlWrite(result=WriteResult.APPLIED, control=control)

    def _put(self, name: str, **changes: Any) -> Control:
        before = self.read(name)
        self.controls[name] = msgspec.structs.replace(before, version=before.version + 1, **changes)
        return self.read(name)


class Machine(RuleBasedStateMachine):
    """Does the same to the model and to the adapter, and compares every answer."""

    def __init__(self, backend: Backend) -> None:
        super().__init__()
        self.runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.controls: Controls = self.runner.run(backend.controls())
        self.scope = Scope("model", f"r{next(_runs)}")
        self.model = Model()
        self.now_ms = 1_790_000_000_000

    @rule(name=NAMES, value=VALUES)
    def set_intent(self, name: str, value: ControlValue) -> None:
        self.now_ms += 1
        answer = self.runner.run(
            self.controls.set_intent(self.scope, name, value, now_ms=self.now_ms)
        )
        assert answer == self.model.set_intent(name, value, self.now_ms)

    @rule(
        name=NAMES,
        value=st.none() | VALUES,
        version_off=st.sampled_from([0, 0, 0, 0, -1, 1]),
        epoch=st.integers(1, 4),
        op_id=st.integers(0, 12),
    )
    def set_trip(
        self, name: str, value: ControlValue | None, version_off: int, epoch: int, op_id: int
    ) -> None:
        self.now_ms += 1
        op = Op(op_id=f"o{op_id}", epoch=epoch, incident_id=f"i{epoch}")
        expected = self.model.read(name).version + version_off
        answer = self.runner.run(
            self.controls.set_trip(
                self.scope, name, value, expected_version=expected, op=op, now_ms=self.now_ms
            )
        )
        assert answer == self.model.set_trip(name, value, expected, op, self.now_ms)

    @rule()
    def read_all(self) -> None:
        expected = {name: self.model.read(name) for name in self.model.controls}
        assert self.runner.run(self.controls.read_all(self.scope)) == expected
        assert (self.scope in self.runner.run(self.controls.scopes())) == bool(expected)

    @rule(name=NAMES)
    def read(self, name: str) -> None:
        assert self.runner.run(self.controls.read(self.scope, name)) == self.model.read(name)

    def teardown(self) -> None:
        self.runner.run(self.controls.close())
        self.runner.close()


def check(backend: Backend) -> None:
    """Run random histories over the backend."""

    class OnBackend(Machine):
        def __init__(self) -> None:
            super().__init__(backend)

    run_state_machine_as_test(
        OnBackend,
        settings=settings(
            max_examples=40,
            stateful_step_count=40,
            deadline=None,
            derandomize=True,
            suppress_health_check=list(HealthCheck),
        ),
    )


def test_sqlite_controls_do_what_the_model_does(tmp_path: Path) -> None:
    """Random intents, trips, replays, stale epochs and conflicts."""
    check(SQLiteBackend(tmp_path / "model.db"))


@pytest.mark.services
def test_redis_controls_do_what_the_model_does(redis_server: Redis) -> None:
    """The same histories."""
    check(RedisBackend(redis_server))
