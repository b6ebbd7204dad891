"""Plays one scenario: moves the time from entry to entry and does what each says."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from pathlib import Path
from typing import Any, Final, cast

import msgspec

from rollbackd.app.intake import Intake
from rollbackd.app.pausing import PauseFile
from rollbackd.connections.sqlite import Database
from rollbackd.controls.sqlite import SQLiteControls
from rollbackd.documents.diagnostics import Position
from rollbackd.model.events import Alert, AlertStatus, Batch, PinsSeen, Sample
from rollbackd.model.facts import AnyFact, ChangeEvent, ChangeKind, EffectReceipt, EffectStatus
from rollbackd.model.labels import Scope
from rollbackd.model.levers import Op
from rollbackd.ports import Controls, Pause, ReceiptLedger, ScopeBusyError, Store
from rollbackd.rulefmt.series_notation import parse_metric
from rollbackd.stores.receipts_sqlite import SQLiteReceipts
from rollbackd.stores.sqlite import SQLiteStore
from tests.incidents.samples import PINS
from tests.scenarios.clock import START_MS, NoThreads, ScenarioClock, Traffic
from tests.scenarios.downstream import Downstream
from tests.scenarios.gates import Counted, Troubles
from tests.scenarios.given import INTENTS, known_good_of, rule_files_of, series_of, tree_of
from tests.scenarios.station import Outside, Station
from tests.scenarios.timeline import Entry, Hand, Person, Scenario, Signal, milliseconds

_VALUES: Final = {"green": 0.001, "bound": 0.005, "red": 0.2, "worse": 0.9}
#: Where an entry that waits for a state was not reached.
_NEVER: Final = "the incident never entered `{}`"


class Play:
    """A world with one process, and what happens to it."""

    def __init__(self, scenario: Scenario, outside: Outside, traffic: Traffic) -> None:
        self.scenario = scenario
        self.outside = outside
        self.failures: list[str] = []
        self.tree = tree_of(scenario.given.tree)
        self._rules = rule_files_of(scenario)
        self._traffic = traffic
        self._targets = dict.fromkeys(scenario.given.scopes, scenario.given.targets)
        self._quality: dict[str, str] = {}
        self._back_at_ms: float | None = None
        self._waiting = [(e, where) for e, where in scenario.timeline if e.on]
        self._spawned: set[asyncio.Task[None]] = set()
        self._handmade = 0
        outside.troubles.on_state = self._entering
        self.station = self._life()

    @classmethod
    async def prepare(cls, scenario: Scenario, folder: Path) -> "Play":
        """Set up what is given."""
        traffic = Traffic()
        asyncio.get_running_loop().set_default_executor(NoThreads())
        troubles = Troubles(ScenarioClock())
        database = await Database.open(folder / "rollbackd.db")
        store = await SQLiteStore.open(database)
        receipts = await SQLiteReceipts.open(database)
        controls = await SQLiteControls.open(await Database.open(folder / "controls.db"))
        outside = Outside(
            cast("Store", Counted(store, traffic)),
            cast("ReceiptLedger", Counted(receipts, traffic)),
            cast("Controls", Counted(controls, traffic)),
            Downstream(listed=scenario.given.listing),
            folder,
            troubles,
        )
        given = scenario.given
        for text in given.scopes:
            scope = Scope.parse(text)
            if given.known_good:
                await outside.store.put_known_good(known_good_of(scope, given.good_controls))
            for name, value in {**INTENTS, **given.intents}.items():
                await outside.controls.set_intent(scope, name, value, now_ms=START_MS - 1)
        return cls(scenario, outside, traffic)

    async def close(self) -> None:
        """Everything ends."""
        self.station.die()
        await self.station.bury()
        for task in self._spawned:
            task.cancel()
        await asyncio.gather(*self._spawned, return_exceptions=True)
        await self.outside.store.close()
        await cast("SQLiteReceipts", self.outside.receipts).close()
        await self.outside.controls.close()

    async def run(self, look: Callable[[float], Awaitable[None]], looks: Iterable[float]) -> None:
        """Play to the end; `look` is called at each of the times."""
        self.station.start()
        moments: list[tuple[float, int, Entry | None, Position | None]] = [
            (milliseconds(entry.at), 0, entry, where)
            for entry, where in self.scenario.timeline
            if not entry.on
        ]
        moments += [(at_ms, 1, None, None) for at_ms in looks]
        for at_ms, _, entry, where in sorted(moments, key=lambda each: each[:2]):
            await self._move_to(at_ms)
            if entry is None:
                await look(at_ms)
            else:
                self._spawn(self._do(entry, where))
                await self._settle()
        await self._move_to(self.scenario.runs_ms)
        for entry, where in self._waiting:
            self.failures.append(f"{_place(where)}: {_NEVER.format(entry.on)}")

    async def _move_to(self, at_ms: float) -> None:
        clock = self.outside.clock
        while True:
            await self._settle()
            due = [clock.next_due_ms(), self._back_at_ms]
            next_ms = min((each for each in due if each is not None), default=None)
            if next_ms is None or next_ms > at_ms:
                break
            clock.move_to(next_ms)
            if self._back_at_ms is not None and clock.elapsed_ms >= self._back_at_ms:
                self._back_at_ms = None
                self.station = self._life()
                self.station.start()
        clock.move_to(at_ms)
        await self._settle()

    async def _settle(self) -> None:
        await self._traffic.settle()
        if self.station.dead and self._back_at_ms is None:
            await self.station.bury()
            await self._traffic.settle()
            self._back_at_ms = self.outside.clock.elapsed_ms + self._down_ms
            for task in self._spawned:
                task.cancel()

    def _life(self) -> Station:
        self._down_ms = 5_000.0
        station = Station(self.outside, self._rules, self.tree, self._feed)
        for text, pins in self._pins_seen():
            station.pins.note(
                PinsSeen(scope=Scope.parse(text), arm="canary", pins=pins, time_ms=START_MS)
            )
        return station

    def _pins_seen(self) -> list[tuple[str, dict[str, str]]]:
        given = self.scenario.given
        if given.canary is None:
            return []
        seen = {name: value for name, value in {**PINS, **given.canary}.items() if value}
        return [(text, seen) for text in given.scopes]

    async def _feed(self, intake: Intake) -> None:
        """What the services report once a beat."""
        now_ms = self.outside.clock.now()
        samples = [
            Sample(series_of(text, metric), _VALUES[word], now_ms)
            for metric, words in (("error_ratio", self._targets), ("drift", self._quality))
            for text, word in words.items()
            if word in _VALUES
        ]
        await intake.ingest(Batch(samples=samples), source="scenario")

    def _entering(self, _incident: str, state: str) -> bool:
        """Whether somebody waits for this moment; then it happens now."""
        found = next((each for each in self._waiting if each[0].on == state), None)
        if found is None:
            return False
        self._waiting.remove(found)
        self._spawn(self._do(*found))
        return True

    def _spawn(self, work: Any) -> None:
        task: asyncio.Task[None] = asyncio.ensure_future(work)
        self._spawned.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._spawned.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self.failures.append(f"{type(error).__name__}: {error}")

    async def _do(self, entry: Entry, where: Position | None) -> None:
        scope = entry.scope or self.scenario.given.scopes[0]
        self._do_to_services(entry, scope)
        self._do_to_process(entry)
        intake = self.station.intake
        for signal, status in ((entry.alert, "firing"), (entry.resolved, "resolved")):
            if signal is not None:
                await intake.accept_alerts([self._alert(signal, status, scope)])
        if entry.samples:
            await intake.ingest(Batch(samples=self._samples(entry)), source="scenario")
        if entry.deployed:
            change = ChangeEvent(
                scope=Scope.parse(scope),
                kind=ChangeKind.DEPLOY,
                subject=entry.deployed,
                time_ms=self.outside.clock.now(),
            )
            await intake.ingest(Batch(changes=[change]), source="scenario")
        if entry.receipts:
            await intake.ingest(Batch(facts=self._receipts(entry, scope)), source="scenario")
        if entry.pins is not None:
            seen = PinsSeen(
                scope=Scope.parse(scope),
                arm=entry.arm,
                pins={**PINS, **entry.pins},
                time_ms=self.outside.clock.now(),
            )
            self.station.pins.note(seen)
        if entry.known_good is not None:
            good = known_good_of(Scope.parse(scope), {}, self.outside.clock.now())
            good = msgspec.structs.replace(good, pins={**PINS, **entry.known_good})
            await intake.ingest(Batch(known_good=[good]), source="scenario")
        for name, value in entry.rollout_sets.items():
            await self.station.operations.set_intent(Scope.parse(scope), name, value)
        if entry.by_hand is not None:
            await self._by_hand(Scope.parse(scope), entry.by_hand)
        if entry.person is not None:
            await self._person(Scope.parse(scope), entry.person, where)
        if entry.unit_asks_back:
            newest = (await self.outside.opened())[-1]
            await self.station.runner.compensate(newest, because=entry.unit_asks_back)

    def _do_to_services(self, entry: Entry, scope: str) -> None:
        if entry.targets is not None:
            self._targets[scope] = entry.targets
        if entry.quality is not None:
            self._quality[scope] = entry.quality
        if entry.writers is not None:
            self.outside.writers_stop = entry.writers == "stop"
        downstream = self.outside.downstream
        for key, effect_ids in entry.downstream.items():
            downstream.hold(key, effect_ids, self.outside.clock.now())
        if entry.listing is not None:
            downstream.is_down = entry.listing == "down"
        troubles = self.outside.troubles
        if entry.fault is not None:
            troubles.faults[entry.fault.control] = entry.fault.does
        if entry.mended:
            troubles.faults.pop(entry.mended, None)
        if entry.store is not None:
            troubles.store_is_down = entry.store == "down"

    def _do_to_process(self, entry: Entry) -> None:
        file = PauseFile(self.outside.folder / "PAUSED")
        if entry.pause_file:
            file.write(entry.pause_file)
        elif entry.pause_file is not None:
            file.remove()
        if entry.tree:
            self.tree = self.station.dispatcher.tree = tree_of(entry.tree)
        if entry.clock is not None:
            self.outside.clock.skew_ms += entry.clock
        if entry.crash is not None:
            self._down_ms = milliseconds(entry.crash.back_after)
            if entry.crash.at == "now":
                self.station.die()
            else:
                self.outside.troubles.plan_crash(entry.crash)

    def _alert(self, signal: Signal, status: str, scope: str) -> Alert:
        parts = Scope.parse(scope)
        now_ms = self.outside.clock.now()
        labels = {
            "alertname": signal.name,
            "service": parts.service,
            "region": parts.region,
            "rollback": signal.branch,
        }
        return Alert(
            fingerprint=f"{signal.name}-{signal.branch}-{scope}",
            status=AlertStatus(status),
            starts_at_ms=now_ms,
            ends_at_ms=now_ms if status == "resolved" else None,
            labels=labels,
        )

    def _samples(self, entry: Entry) -> list[Sample]:
        now_ms = self.outside.clock.now()
        return [
            Sample(labels, each.value, now_ms - milliseconds(each.over) * back // each.times)
            for each in entry.samples
            for labels in [parse_metric(each.series)]
            for back in range(each.times - 1, -1, -1)
        ]

    def _receipts(self, entry: Entry, scope: str) -> list[AnyFact]:
        return [
            EffectReceipt(
                scope=Scope.parse(scope),
                time_ms=self.outside.clock.now(),
                key=said.key,
                effect_id=said.effect_id,
                status=EffectStatus(said.status),
            )
            for said in entry.receipts
        ]

    async def _by_hand(self, scope: Scope, hand: Hand) -> None:
        self._handmade += 1
        control = await self.outside.controls.read(scope, hand.control)
        epoch = await self.outside.store.next_epoch(scope) if hand.newer else control.epoch
        await self.outside.controls.set_trip(
            scope,
            hand.control,
            hand.trip,
            expected_version=control.version,
            op=Op(op_id=f"by-hand-{self._handmade}", epoch=epoch, incident_id=""),
            now_ms=self.outside.clock.now(),
        )

    async def _person(self, scope: Scope, person: Person, where: Position | None) -> None:
        told = ""
        try:
            await self._said(scope, person)
        except (ValueError, KeyError, ScopeBusyError) as error:
            told = str(error)
        if person.refused not in told or bool(person.refused) is not bool(told):
            wanted = person.refused or "no objection"
            self.failures.append(f"{_place(where)}: the person was told `{told}`, not `{wanted}`")

    async def _said(self, scope: Scope, person: Person) -> None:
        operations = self.station.operations
        if person.pulls:
            await operations.pull(
                person.pulls, scope, reason="by hand", by="eve", regions=person.regions
            )
        if person.pauses:
            now_ms = self.outside.clock.now()
            await operations.set_pause(Pause(reason=person.pauses, by="eve", since_ms=now_ms))
        if person.resumes:
            await operations.set_pause(None)
        if person.unlatches:
            await operations.unlatch(scope, by="eve")
        if person.releases:
            await operations.release(scope, person.releases, because="checked", by="eve")
        if not (person.says or person.files_cause or person.accepts):
            return
        incident_id = (await self.outside.opened())[person.incident - 1]
        if person.accepts:
            await operations.accept_items(
                incident_id, person.accepts, by="eve", because="looked at it"
            )
        if person.says:
            await operations.decide(incident_id, person.says, by="eve")
        if person.files_cause:
            await operations.close(
                incident_id,
                cause=person.files_cause,
                summary="a prompt without citations",
                owner="rag-team",
                link="https://wiki.example/rca",
                by="eve",
            )


def _place(where: Position | None) -> str:
    return f"{where.file}:{where.line}" if where is not None else "?"
