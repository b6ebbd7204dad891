"""The capture before the first act."""

import asyncio
import math
from typing import Any

import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from rollbackd.clock import ManualClock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.evidence import capture as capturing
from rollbackd.evidence.capture import EvidenceCapture, digest_of
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.controls import Control
from rollbackd.model.events import KnownGood, PinsSeen
from rollbackd.model.incidents import Evidence, SeriesWindow
from rollbackd.model.labels import Scope
from rollbackd.model.triggers import TargetReading, Verdict
from rollbackd.stores.records import decode, encode
from rollbackd.telemetry import Telemetry
from tests.incidents.samples import KNOWN_GOOD, PINS, SCOPE, opened, reading

#: With what JSON cannot say.
WINDOW = SeriesWindow(
    metric="x", labels={"arm": "canary"}, samples=[(1, 0.5), (2, math.nan), (3, 2.0)], count=3
)


class Windows:
    """One series, or a fault."""

    def __init__(self, sources: "Sources") -> None:
        self._sources = sources

    def read(self, *_: Any) -> tuple[list[SeriesWindow], int]:
        if error := self._sources.faults.get("windows"):
            raise error
        return [WINDOW], self._sources.beyond


class Sources:
    """A store, controls and targets in one, each with its fault."""

    def __init__(self) -> None:
        self.faults: dict[str, Any] = {}
        self.beyond = 0
        self.telemetry = Telemetry(CollectorRegistry())
        self.pins = PinsTable(self.telemetry)

    async def known_good(self, _scope: Scope) -> KnownGood:
        await self._fault("known_good")
        return KNOWN_GOOD

    async def read_all(self, _scope: Scope) -> dict[str, Control]:
        await self._fault("controls")
        return {
            "writes": Control(name="writes"),
            "degrade": Control(name="degrade", intent={"level": 1}, trip={"level": 3}),
        }

    def read(self, *_: Any) -> list[TargetReading]:
        if error := self.faults.get("targets"):
            raise error
        return [reading(Verdict.RED)]

    async def capture(self) -> Evidence:
        this: Any = self
        capture = EvidenceCapture(
            store=this, controls=this, targets=this, windows=Windows(self), pins=self.pins,
            clock=ManualClock(),
        )  # fmt: skip
        return await capture.capture(opened())

    async def _fault(self, name: str) -> None:
        fault = self.faults.get(name)
        if fault == "hang":
            await asyncio.Event().wait()
        elif fault is not None:
            raise fault


@pytest.fixture
def sources() -> Sources:
    """Where all is well, and the canary was seen."""
    found = Sources()
    found.pins.note(PinsSeen(scope=SCOPE, arm="canary", pins=PINS, time_ms=5))
    return found


async def test_what_can_be_seen_is_written_down(sources: Sources) -> None:
    """Pins, known good, effective controls and the exit targets, under a digest."""
    evidence = await sources.capture()
    assert evidence.pins_seen == {"canary": PINS}
    assert evidence.known_good_pins == PINS
    assert list(evidence.controls) == ["degrade", "writes"]
    assert evidence.controls["degrade"] == {"level": 3}
    assert evidence.readings == [reading(Verdict.RED)]
    assert [window.metric for window in evidence.windows] == ["x"]
    assert (evidence.missing_pins, evidence.unavailable) == ([], [])
    assert evidence.digest == digest_of(evidence)


@pytest.mark.parametrize("source", ["controls", "known_good"])
@pytest.mark.parametrize(
    "fault", [TemporaryError("down"), PermanentError("broken"), KeyError("defect"), "hang"]
)
async def test_a_source_that_fails_is_named_and_not_waited_for(
    sources: Sources, source: str, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever its fault; the others are captured (C1)."""
    monkeypatch.setattr(capturing, "DEADLINE_SECONDS", 0.02)
    sources.faults[source] = fault
    evidence = await sources.capture()
    assert evidence.unavailable == [source]
    assert bool(evidence.controls) == (source != "controls")
    assert bool(evidence.known_good_pins) == (source != "known_good")
    assert evidence.digest == digest_of(evidence)


async def test_all_sources_share_one_deadline(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are asked at once, not one after the other."""
    monkeypatch.setattr(capturing, "DEADLINE_SECONDS", 0.1)
    sources.faults = {"controls": "hang", "known_good": "hang"}
    async with asyncio.timeout(0.19):
        evidence = await sources.capture()
    assert evidence.unavailable == ["controls", "known_good"]


async def test_targets_that_fail_are_named(sources: Sources) -> None:
    """Reading them is no reason to hold an incident up either."""
    sources.faults["targets"] = RuntimeError("defect")
    evidence = await sources.capture()
    assert (evidence.readings, evidence.unavailable) == ([], ["targets"])


async def test_windows_that_fail_are_named(sources: Sources) -> None:
    """And so is what was beyond the bound."""
    sources.faults["windows"] = ValueError("an old expression")
    evidence = await sources.capture()
    assert (evidence.windows, evidence.unavailable) == ([], ["windows"])
    del sources.faults["windows"]
    sources.beyond = 3
    assert (await sources.capture()).unavailable == ["windows of 3 more series"]


async def test_missing_pins_are_named() -> None:
    """Of the suspect arm; with no arm at all every required pin is missing."""
    sources = Sources()
    assert len((await sources.capture()).missing_pins) == 8
    without = {name: value for name, value in PINS.items() if name != "TOK_VER"}
    sources.pins.note(PinsSeen(scope=SCOPE, arm="canary", pins=without, time_ms=1))
    sources.pins.note(PinsSeen(scope=SCOPE, arm="baseline", pins={}, time_ms=1))
    assert (await sources.capture()).missing_pins == ["TOK_VER"]


async def test_the_digest_holds_after_the_store(sources: Sources) -> None:
    """And not for evidence that was changed."""
    evidence = await sources.capture()
    stored = decode(encode(evidence), Evidence)
    assert digest_of(stored) == evidence.digest
    for change in (
        {"captured_at_ms": 1},
        {"pins_seen": {}},
        {"controls": {"writes": {"blocked": True}}},
        {"unavailable": ["controls"]},
        {"windows": []},
    ):
        assert digest_of(replace(evidence, **change)) != evidence.digest


def test_the_newest_pins_of_an_arm_count() -> None:
    """An event that comes late does not overwrite what is known; missing pins are counted."""
    telemetry = Telemetry(CollectorRegistry())
    table = PinsTable(telemetry)
    table.note(PinsSeen(scope=SCOPE, arm="canary", pins={"PROMPT_VER": "p2"}, time_ms=10))
    table.note(PinsSeen(scope=SCOPE, arm="canary", pins={"PROMPT_VER": "p1"}, time_ms=9))
    table.note(PinsSeen(scope=SCOPE, arm="baseline", pins=PINS, time_ms=1))
    assert table.of(SCOPE) == {"canary": {"PROMPT_VER": "p2"}, "baseline": PINS}
    assert table.of(Scope("other")) == {}
    counted = telemetry.registry.get_sample_value(
        "rollbackd_events_missing_pins_total", {"pin": "TOK_VER"}
    )
    assert counted == 2
