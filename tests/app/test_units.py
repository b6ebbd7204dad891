"""Units on a real runner, store and controls: three services, or one service in three regions."""

import asyncio
from collections.abc import AsyncIterator, Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from rollbackd.app.dispatch import Dispatcher
from rollbackd.clock import ManualClock
from rollbackd.connections.sqlite import Database
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.evidence.audit import IncidentAuditor
from rollbackd.evidence.capture import EvidenceCapture
from rollbackd.evidence.pins import PinsTable
from rollbackd.evidence.report import FileReporter
from rollbackd.incidents.runner import Runner, Surroundings
from rollbackd.incidents.units import STATE_HASH
from rollbackd.levers import build_levers
from rollbackd.model.decisions import Reason
from rollbackd.model.events import PinsSeen
from rollbackd.model.history import Latch
from rollbackd.model.incidents import Incident, State
from rollbackd.model.labels import Scope
from rollbackd.model.policy import Group, Window
from rollbackd.model.triggers import Trigger
from rollbackd.ports import Pause
from rollbackd.reconciliation.unlisted import Unlisted
from rollbackd.settings import ScopeLabels
from rollbackd.stores.sqlite import SQLiteStore
from rollbackd.telemetry import Telemetry
from tests.app.desk import elsewhere
from tests.incidents.manual_time import until
from tests.incidents.samples import KNOWN_GOOD, NOW, PINS, TREE, trigger_of
from tests.incidents.world import (
    INTENTS,
    Between,
    Pages,
    ScriptedProbes,
    ScriptedTargets,
    ScriptedWindows,
    quick,
)

INDEX, RAG, WEB = (Scope(service, "eu-1") for service in ("index", "rag", "web"))
GROUP = Group(name="answers", services=["index", "rag", "web"])
BAD = {**PINS, "PROMPT_VER": "p2"}


class Fleet:
    """Scopes that all run a bad canary."""

    def __init__(self, store: SQLiteStore, controls: SQLiteControls, folder: Path) -> None:
        self.store: Any = Between(store)
        self.controls: Any = Between(controls)
        self.folder = folder
        self.clock = ManualClock(NOW)
        self.pages = Pages()
        branch = quick("quality_regression")
        branches = {**TREE.branches, branch.branch: branch}
        self.tree = replace(TREE, branches=branches, groups=[GROUP])
        self.start()

    def start(self) -> None:
        """A process that knows nothing but what is stored."""
        telemetry = Telemetry(CollectorRegistry())
        self.pins = PinsTable(telemetry)
        levers = build_levers(self.controls, self.clock)
        targets = ScriptedTargets()
        self.runner = Runner(
            Surroundings(
                store=self.store,
                levers=levers,
                capture=EvidenceCapture(
                    store=self.store,
                    controls=self.controls,
                    targets=targets,
                    windows=ScriptedWindows(),
                    pins=self.pins,
                    clock=self.clock,
                ),
                probes=ScriptedProbes(),
                targets=targets,
                auditor=IncidentAuditor(levers, self.store, self.controls, self.pins),
                reconciler=Unlisted(),
                reporter=FileReporter(
                    self.folder / "incidents", controls=self.controls, pins=self.pins
                ),
                notifier=self.pages,
                clock=self.clock,
                telemetry=telemetry,
            )
        )
        self.dispatcher = Dispatcher(
            store=self.store,
            runner=self.runner,
            clock=self.clock,
            telemetry=telemetry,
            tree=self.tree,
            scope_labels=ScopeLabels(),
            pins_of=self.pins.of,
            scopes_of=self.pins.scopes_of,
            page=self.pages.page,
        )

    async def add(self, *scopes: Scope, pins: dict[str, str] | None = None) -> None:
        """A scope with a known good set, a rollout under way, and the pins of its canary."""
        for scope in scopes:
            await self.store.put_known_good(replace(KNOWN_GOOD, scope=scope))
            for name, value in INTENTS.items():
                await self.controls.set_intent(scope, name, value, now_ms=1)
        self.see(*scopes, pins=pins)

    def see(self, *scopes: Scope, pins: dict[str, str] | None = None) -> None:
        for scope in scopes:
            seen = PinsSeen(scope=scope, arm="canary", pins=pins or BAD, time_ms=1)
            self.pins.note(seen)

    async def restart(self) -> None:
        await self.runner.stop()
        self.start()
        found = await self.store.incidents()
        self.dispatcher.inherit(found)
        for incident in found:
            if incident.is_open:
                await self.runner.resume(incident)

    async def fire(self, *scopes: Scope) -> None:
        await self.dispatcher.dispatch((), [self.trigger(scope) for scope in scopes])

    def trigger(self, scope: Scope) -> Trigger:
        trigger = trigger_of(event_time_ms=self.clock.now())
        return elsewhere(trigger, service=scope.service, region=scope.region)

    async def until(self, done: Callable[[list[Incident]], bool]) -> list[Incident]:
        """Let time pass and units go on until what is stored is as wanted; oldest first."""
        while True:
            await self.dispatcher.units.round()
            found = sorted(await self.store.incidents(), key=lambda incident: incident.id)
            if done(found):
                return found
            await self._a_moment()

    async def _a_moment(self) -> None:
        now_ms = self.clock.now()
        await until(self.clock, lambda: self.clock.now() > now_ms or not self.runner._tasks)

    async def flags(self, *scopes: Scope) -> list[object]:
        """Whether the canary is switched off, scope by scope."""
        return [
            (await self.controls.read(scope, "flag:canary")).effective["global_off"]
            for scope in scopes
        ]


@pytest.fixture
async def fleet(tmp_path: Path) -> AsyncIterator[Fleet]:
    store = await SQLiteStore.open(await Database.open(tmp_path / "rollbackd.db"))
    controls = await SQLiteControls.open(await Database.open(tmp_path / "controls.db"))
    fleet = Fleet(store, controls, tmp_path)
    yield fleet
    await fleet.runner.stop()
    await store.close()
    await controls.close()


def all_ended(found: list[Incident]) -> bool:
    return len(found) == 3 and not any(incident.is_open for incident in found)


def by_scope(found: list[Incident]) -> list[str]:
    ordered = sorted(found, key=lambda incident: incident.flipped_at_ms or 0)
    return [incident.scope.service for incident in ordered]


def refuses_web(scope: Scope, name: str, *_: object) -> None:
    if (scope, name) == (WEB, "flag:canary") or (scope == WEB and name.startswith(("alias", "p"))):
        raise PermanentError("this one does not move")


async def test_services_are_rolled_back_in_the_order_of_the_group(fleet: Fleet) -> None:
    """The trigger names the last of them."""
    await fleet.add(INDEX, RAG, WEB)
    await fleet.fire(WEB)
    found = await fleet.until(all_ended)
    assert by_scope(found) == ["index", "rag", "web"]
    assert [incident.state for incident in found] == [State.CLOSED] * 3
    assert [i.reason for i in found] == [Reason.AUDIT_PASSED] * 3
    first = found[0]
    assert [incident.id for incident in found] == [first.id, f"{first.id}.2", f"{first.id}.3"]
    assert first.triggers[0].label("service") == "web"
    assert await fleet.flags(INDEX, RAG, WEB) == [True] * 3


async def test_a_trigger_of_a_later_step_waits_for_its_turn(fleet: Fleet) -> None:
    await fleet.add(INDEX, RAG, WEB)
    await fleet.fire(INDEX)
    await fleet.fire(INDEX, WEB)
    trigger = fleet.trigger(WEB)
    assert fleet.dispatcher.fate_of(trigger.rule, trigger.labels).reason is Reason.WAITS_FOR_UNIT
    assert len(await fleet.until(all_ended)) == 3


async def test_a_service_on_its_known_good_set_is_left_out(fleet: Fleet) -> None:
    await fleet.add(INDEX, WEB)
    await fleet.add(RAG, pins=PINS)
    await fleet.fire(WEB)
    found = await fleet.until(lambda f: len(f) == 2 and not any(i.is_open for i in f))
    assert [incident.scope for incident in found] == [INDEX, WEB]
    assert await fleet.flags(INDEX, RAG, WEB) == [True, False, True]


async def test_nothing_is_touched_when_a_step_could_not_be_rolled_back(fleet: Fleet) -> None:
    await fleet.add(INDEX, WEB)
    fleet.see(RAG)
    await fleet.fire(INDEX)
    (refused,) = await fleet.store.incidents()
    assert (refused.state, refused.reason) == (State.OBSERVED, Reason.NO_KNOWN_GOOD)
    assert "rag/eu-1" in refused.note


async def test_nothing_is_touched_while_one_of_them_is_being_worked_on(fleet: Fleet) -> None:
    await fleet.add(INDEX, RAG, WEB)
    window = Window(
        name="reindexing", kind="maintenance", start_ms=0, end_ms=2 * NOW, services=["rag"]
    )
    fleet.dispatcher.tree = replace(fleet.tree, windows=[window])
    await fleet.fire(INDEX)
    (refused,) = await fleet.store.incidents()
    assert (refused.state, refused.reason) == (State.OBSERVED, Reason.MAINTENANCE_WINDOW)
    assert refused.scope == INDEX


async def test_nothing_is_touched_while_one_of_them_is_latched(fleet: Fleet) -> None:
    """And the latch stays where it was."""
    await fleet.add(INDEX, RAG, WEB)
    latch = Latch(scope=WEB, branch="", reason=Reason.INEFFECTIVE_CHAIN, since_ms=NOW)
    await fleet.store.put_latch(latch)
    await fleet.fire(INDEX)
    (refused,) = await fleet.store.incidents()
    assert (refused.scope, refused.reason) == (INDEX, Reason.INEFFECTIVE_CHAIN)
    assert await fleet.store.latches() == [latch]


async def test_a_step_that_fails_has_those_before_it_put_back(fleet: Fleet) -> None:
    async def refuse(scope: Scope, name: str, *_: object) -> None:
        refuses_web(scope, name)

    branch = quick("quality_regression", hold_ms=600_000)
    branches = {**TREE.branches, branch.branch: branch}
    fleet.dispatcher.tree = replace(fleet.tree, branches=branches)
    await fleet.add(INDEX, RAG, WEB)
    fleet.controls.before["set_trip"] = refuse
    await fleet.fire(RAG)
    found = await fleet.until(
        lambda f: len(f) == 3 and all(i.state is State.NEEDS_HUMAN for i in f)
    )
    assert [incident.reverted for incident in found] == [True, True, False]
    assert [incident.reason for incident in found[:2]] == [Reason.COMPENSATED] * 2
    assert await fleet.flags(INDEX, RAG, WEB) == [False] * 3
    assert len(fleet.pages.reasons) == 3


async def test_a_step_that_hangs_while_it_is_asked_back_holds_nothing_else_up(fleet: Fleet) -> None:
    """Every evaluation goes through the units: a cache that is down must not stop them all."""
    down = True

    async def troubled(scope: Scope, name: str, *_: object) -> None:
        if down and (scope, name) == (INDEX, "cache"):
            raise TemporaryError("no answer")
        if scope == RAG and name.startswith(("flag", "alias", "p")):
            raise PermanentError("this one does not move")

    await fleet.add(INDEX, RAG, WEB)
    fleet.controls.before["set_trip"] = troubled
    await fleet.fire(INDEX)
    found = await fleet.until(lambda f: len(f) == 2 and f[1].state is State.NEEDS_HUMAN)
    assert found[0].state is State.ROTATING
    async with asyncio.timeout(5):
        for _ in range(3):
            await fleet.dispatcher.units.round()
    down = False
    first, _ = await fleet.until(lambda f: f[0].state is State.NEEDS_HUMAN)
    assert (first.reverted, first.reason) == (True, Reason.COMPENSATED)
    asked = [r for r in await fleet.store.journal(first.id) if r.kind == "CompensationAsked"]
    assert len(asked) == 1


async def test_a_restart_between_two_steps_goes_on_with_the_next(fleet: Fleet) -> None:
    await fleet.add(INDEX, RAG, WEB)
    await fleet.fire(INDEX)
    await fleet.until(lambda f: len(f) == 2)
    await fleet.restart()
    fleet.see(INDEX, RAG, WEB)
    found = await fleet.until(all_ended)
    assert [incident.scope for incident in found] == [INDEX, RAG, WEB]
    assert await fleet.flags(INDEX, RAG, WEB) == [True] * 3


async def test_a_pause_holds_the_next_step_back(fleet: Fleet) -> None:
    await fleet.add(INDEX, RAG, WEB)
    await fleet.fire(INDEX)
    fleet.dispatcher.pause = Pause(reason="wait", by="ann", since_ms=NOW)
    (first,) = await fleet.until(lambda f: f[0].state is State.WATCHING)
    assert first.scope == INDEX
    fleet.dispatcher.pause = None
    assert len(await fleet.until(all_ended)) == 3


EU, US, AP = (Scope("rag", region) for region in ("eu-1", "us-1", "ap-1"))


async def test_regions_that_a_person_asks_for_go_one_after_another(fleet: Fleet) -> None:
    fleet.dispatcher.tree = replace(fleet.tree, groups=[], regions=["ap-1", "eu-1"])
    await fleet.add(EU, US, AP)
    await fleet.dispatcher.pull(
        "quality_regression", EU, reason="a drill", by="ann", regions=["us-1", "ap-1"]
    )
    found = await fleet.until(all_ended)
    assert [incident.scope for incident in found] == [AP, EU, US]
    for before, after in pairwise(found):
        assert before.closed_at_ms is not None
        assert after.opened_at_ms >= before.closed_at_ms
    hashes = {c.detail for i in found for c in i.audit if c.name == STATE_HASH}
    assert len(hashes) == 1
    assert [incident.pulled_by for incident in found] == ["ann"] * 3


async def test_no_further_region_is_touched_once_two_differ(fleet: Fleet) -> None:
    fleet.dispatcher.tree = replace(fleet.tree, groups=[])
    await fleet.add(EU, US, AP)
    await fleet.controls.set_intent(US, "alias:docs_live", {"index": "docs_vC"}, now_ms=2)
    await fleet.dispatcher.pull(
        "quality_regression", EU, reason="a drill", by="ann", regions=["us-1", "ap-1"]
    )
    found = await fleet.until(lambda _: Reason.REGIONS_DIVERGED in fleet.pages.reasons)
    for _ in range(3):
        await fleet.dispatcher.units.round()
    assert [incident.scope for incident in found] == [EU, US]
    assert len(await fleet.store.incidents()) == 2
    assert fleet.pages.reasons == [Reason.REGIONS_DIVERGED]


async def test_a_fault_of_one_region_is_rolled_back_there_only(fleet: Fleet) -> None:
    """K16: also while the other regions run the same canary."""
    fleet.dispatcher.tree = replace(fleet.tree, groups=[])
    await fleet.add(EU, US, AP)
    await fleet.fire(EU)
    (local,) = await fleet.until(lambda f: not any(i.is_open for i in f))
    assert (local.scope, local.unit) == (EU, None)
    assert await fleet.flags(EU, US, AP) == [True, False, False]


async def test_the_same_bad_pins_in_two_regions_are_rolled_back_in_all_at_once(
    fleet: Fleet,
) -> None:
    """K16: the cause is not local; a region with other pins is left alone."""
    fleet.dispatcher.tree = replace(fleet.tree, groups=[])
    other = Scope("rag", "sa-1")
    await fleet.add(EU, US, AP)
    await fleet.add(other, pins={**PINS, "PROMPT_VER": "p3"})
    await fleet.fire(EU, US)
    found = await fleet.store.incidents()
    assert {incident.scope for incident in found} == {EU, US, AP}
    assert all(incident.is_open for incident in found)
    reasons = {incident.scope: incident.reason for incident in found}
    assert reasons[AP] is Reason.SAME_BAD_PINS
    await fleet.until(all_ended)
    assert await fleet.flags(EU, US, AP, other) == [True, True, True, False]
