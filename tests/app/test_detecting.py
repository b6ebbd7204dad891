"""From the bytes of events to what the shipped rules say of them, as the daemon is wired."""

import asyncio
import json
from collections.abc import Iterable
from typing import Any

import msgspec
import pytest
from prometheus_client import CollectorRegistry

from rollbackd.app.backtest.memory import MemoryStore
from rollbackd.app.changes import Changes
from rollbackd.app.configuration import build_engine, load
from rollbackd.app.detecting import Detecting
from rollbackd.app.intake import Intake
from rollbackd.app.pinning.baselines import Baselines
from rollbackd.clock import ManualClock
from rollbackd.events.record import decode_record
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.incidents import Incident, State
from rollbackd.model.labels import Scope
from rollbackd.ports import Store
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.settings import default_settings
from rollbackd.settings.detectors import DetectorSettings, DuplicateEffectsBounds
from rollbackd.sources.kafka.partition import REFILL
from rollbackd.telemetry import Telemetry
from tests.incidents.samples import NOW, opened
from tests.stores.samples import record_of

PINS = {"INDEX_HASH": "a1", "PROMPT_VER": "p-1", "MODEL_VER": "m-1"}
OTHER = {**PINS, "INDEX_HASH": "b2"}
#: Only what a rule reads is kept.
READ = """
groups:
  - name: read
    rules:
      - {record: "read:mixed", expr: mixed_versions}
      - {record: "read:breaks", expr: sticky_breaks_total}
"""


class Line:
    """Intake, detectors and engine with the shipped rules, on a clock that stands still."""

    def __init__(
        self, settings: DetectorSettings | None = None, *, store: Store | None = None
    ) -> None:
        whole = msgspec.structs.replace(
            default_settings(), detectors=settings or DetectorSettings()
        )
        found = load(whole)
        rules = [*found.rule_files, read_rule_file(READ, file="read.yaml")]
        self.engine = build_engine(rules, found.tree, whole)
        self.clock = ManualClock(NOW)
        self.telemetry = Telemetry(CollectorRegistry())
        self.incidents: list[Incident] = []
        changes, self.store = Changes(), store or MemoryStore()
        baselines = Baselines(lambda: self.engine, self.store)
        self.intake = Intake(
            engine=lambda: self.engine,
            store=self.store,
            pins=PinsTable(self.telemetry),
            clock=self.clock,
            telemetry=self.telemetry,
            fact_sinks=[
                Detecting(
                    engine=lambda: self.engine,
                    settings=whole,
                    in_force=baselines.in_force,
                    changes=changes,
                    incidents=lambda: self.incidents,
                    clock=self.clock,
                    telemetry=self.telemetry,
                )
            ],
            baselines=baselines,
            changes=changes,
        )

    async def take(
        self, *events: dict[str, Any], origin: str = "t-0", source: str = "kafka"
    ) -> None:
        """Each as a record of its own."""
        for event in events:
            batch = decode_record(json.dumps(event).encode(), now_ms=self.clock.now())
            await self.intake.ingest(batch, source=source, origin=origin)

    def value(self, expr: str) -> float | None:
        """Of the one element, None where there is none."""
        found = self.engine.query(self.engine.compile(expr), self.clock.now())
        return found[0][1] if found else None

    def firing(self) -> set[str]:
        """The rules that fire now."""
        return {trigger.rule for trigger in self.engine.evaluate(NOW, force=True).firing}

    def metric(self, name: str, **labels: str) -> float:
        return self.telemetry.registry.get_sample_value(f"rollbackd_{name}", labels) or 0.0


def event(name: str, seconds: float = 0, **said: Any) -> dict[str, Any]:
    return {"event": name, "ts": NOW / 1_000 + seconds, "service": "rag", "region": "eu", **said}


def receipts(*effects: str) -> Iterable[dict[str, Any]]:
    for second, effect in enumerate(effects, -10):
        yield event("effect.receipt", second, key="order-1", effect_id=effect)


def known_good(seconds: float = -100, **pins: str) -> dict[str, Any]:
    return event("baseline.pinned", seconds, pins={**PINS, **pins})


def heartbeat(seconds: float = 0, **said: Any) -> dict[str, Any]:
    return event("retriever.heartbeat", seconds, **{"reader": "r-1", "pins": PINS, **said})


async def test_one_duplicate_effect_fires_the_shipped_rule() -> None:
    line = Line()
    await line.take(*receipts("ch-1", "ch-1", "ch-1"))
    assert line.firing() == set()
    await line.take(*receipts("ch-2"))
    assert line.firing() == {"DuplicateEffects"}


async def test_the_first_receipts_ever_can_be_duplicates() -> None:
    """The counter begins with its 0, so that a rise is seen."""
    line = Line()
    await line.take(*receipts("ch-1", "ch-2"))
    assert line.firing() == {"DuplicateEffects"}


@pytest.mark.parametrize(
    ("source", "firing", "refused"),
    [("kafka", {"DuplicateEffects"}, 0), (REFILL, set(), 1)],
)
async def test_a_late_duplicate_fires_unless_it_is_read_again(
    source: str, firing: set[str], refused: int
) -> None:
    line = Line()
    await line.take(event("effect.receipt", -5, key="order-2", effect_id="e"), origin="t-1")
    late = [event("effect.receipt", -90 + n, key="order-1", effect_id=str(n)) for n in range(2)]
    await line.take(*late, source=source)
    assert line.firing() == firing
    assert line.metric("samples_refused_total", reason="too_late") == refused


async def test_other_facts_that_are_late_are_counted_as_refused() -> None:
    line = Line()
    told = {"arm": "canary", "user": "u", "pins": PINS}
    await line.take(*[event("answer.served", seconds, **told) for seconds in (0, -61)])
    assert line.metric("samples_refused_total", reason="too_late") == 1


async def test_a_reader_of_another_index_fires_the_shipped_rule() -> None:
    line = Line()
    await line.take(known_good(), heartbeat(-1))
    assert line.firing() == set()
    await line.take(heartbeat(pins=OTHER))
    assert line.firing() == {"IndexMismatch"}


async def test_an_index_that_was_announced_may_be_read_beside_the_known_good_one() -> None:
    line = Line()
    swap = event("change", -50, kind="index", subject="docs", before="a1", after="b2")
    await line.take(known_good(), swap, heartbeat(-2, reader="r-2"), heartbeat(-1, pins=OTHER))
    assert line.value("max(index_mismatch)") == 0
    third = {**PINS, "INDEX_HASH": "c3"}
    await line.take(heartbeat(reader="r-3", pins=third))
    assert line.value("max(index_mismatch)") == 1


async def test_an_announced_index_outlives_other_changes_and_a_restart() -> None:
    """A swap that was told of is no mismatch, however much was changed since."""
    line = Line(DetectorSettings(changes=3))
    swap = event("change", -50, kind="index", subject="docs", after="b2")
    flags = [event("change", n, kind="flag", subject=f"f{n}") for n in range(-40, -10)]
    await line.take(known_good(), swap, *flags, heartbeat(pins=OTHER))
    assert line.value("max(index_mismatch)") == 0
    restarted = Line(store=line.store)
    await restarted.intake.restore()
    await restarted.take(heartbeat(pins=OTHER))
    assert restarted.value("max(index_mismatch)") == 0


async def test_an_index_that_is_announced_for_every_region_is_one_of_each() -> None:
    """A change that names no region is one of the service."""
    line = Line()
    swap = event("change", -50, kind="index", subject="docs", after="b2")
    del swap["region"]
    await line.take(known_good(), swap, heartbeat(pins=OTHER))
    assert line.value("max(index_mismatch)") == 0


async def test_an_index_that_we_flipped_away_from_is_a_mismatch_after_a_restart_too() -> None:
    """What is flipped back is announced no more, although the store still has the change."""
    line = Line()
    swap = event("change", -50, kind="index", subject="docs", after="b2")
    await line.take(known_good(), swap)
    flipped = incident(State.WATCHING, NOW - 30_000)
    await line.store.open_incident(flipped, record_of(flipped))
    restarted = Line(store=line.store)
    await restarted.intake.restore()
    await restarted.take(heartbeat(pins=OTHER))
    assert restarted.value("max(index_mismatch)") == 1


async def test_a_new_known_good_set_ends_what_was_announced_before_it() -> None:
    line = Line()
    swap = event("change", -50, kind="index", subject="docs", after="b2")
    await line.take(known_good(), swap, known_good(-10, INDEX_HASH="c3"), heartbeat(pins=OTHER))
    assert line.value("max(index_mismatch)") == 1


async def test_documents_are_those_of_the_known_good_target() -> None:
    line = Line()
    good = known_good()
    good["targets"] = {"alias_revert:docs": {"value": {"index": "A"}, "facts": {"documents": 1000}}}
    await line.take(good, heartbeat(-1, documents=1_000))
    assert line.value("max(index_mismatch)") == 0
    await line.take(heartbeat(documents=900))
    assert line.value("max(index_mismatch)") == 1


def incident(state: State, flipped_ms: int | None) -> Incident:
    return msgspec.structs.replace(
        opened(), scope=Scope("rag", "eu"), state=state, flipped_at_ms=flipped_ms
    )


@pytest.mark.parametrize(
    ("state", "flipped_ms", "mixed"),
    [
        (State.FREEZING, None, 2),
        (State.FLIPPING, None, 0),
        (State.ROTATING, NOW - 1, 0),
        (State.WATCHING, NOW - 119_999, 0),
        (State.WATCHING, NOW - 120_001, 2),
    ],
)
async def test_while_our_own_flip_spreads_answers_are_not_mixed(
    state: State, flipped_ms: int | None, mixed: int
) -> None:
    """K22: from the flip on, for two minutes."""
    line = Line()
    line.incidents = [incident(state, flipped_ms)]
    answers = [event("answer.served", arm="canary", pins=pins) for pins in (PINS, OTHER)]
    await line.take(*answers)
    assert line.value("max(mixed_versions)") == mixed


@pytest.mark.parametrize(("changed", "breaks"), [(-130, 1), (-20, 0)])
async def test_a_flag_that_was_changed_moves_users(changed: float, breaks: int) -> None:
    line = Line()
    await line.take(
        event("change", changed, kind="flag", subject="canary", after="25"),
        event("answer.served", -9, arm="baseline", user="u"),
        event("answer.served", -8, arm="canary", user="u"),
    )
    assert line.value("sum(sticky_breaks_total)") == breaks


async def test_a_partition_takes_its_counts_with_it_and_brings_them_back() -> None:
    line = Line()
    await line.take(*receipts("ch-1", "ch-2"))
    await line.intake.forget("t-1")
    assert line.firing() == {"DuplicateEffects"}
    await line.intake.forget("t-0")
    assert line.firing() == set()
    await line.take(*receipts("ch-1", "ch-2"))
    assert line.firing() == {"DuplicateEffects"}


async def test_a_large_body_lets_others_have_a_turn() -> None:
    line, turns = Line(), 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(count())
    many = [event("effect.receipt", key=str(n // 2), effect_id=str(n)) for n in range(2_000)]
    body = "\n".join(map(json.dumps, many)).encode()
    await line.intake.ingest(decode_record(body, now_ms=NOW), source="http")
    other.cancel()
    assert turns >= 3
    assert line.value("sum(duplicate_effects_total)") == 1_000


async def test_what_detectors_say_and_forget_is_counted() -> None:
    line = Line(DetectorSettings(duplicate_effects=DuplicateEffectsBounds(keys=96)))
    await line.take(*[event("effect.receipt", key=str(n), effect_id="e") for n in range(130)])
    line.clock.advance(1_000)
    await line.take(event("effect.receipt", key="x", effect_id="e"))
    evicted = line.metric("detector_evictions_total", detector="duplicate_effects")
    assert evicted == 131 - 128
    assert line.metric("samples_ingested_total", source="detectors") > 0


async def test_changes_are_kept_for_the_triggers_that_follow_them() -> None:
    line = Line()
    told = event("change", -30, kind="deploy", subject="rag-api", after="2")
    await line.take(told, told)
    found = line.intake.changes.of(Scope("rag", "eu"), since_ms=NOW - 30_000, until_ms=NOW)
    assert [(change.subject, change.after) for change in found] == [("rag-api", "2")]
