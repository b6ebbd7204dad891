"""Scenario files: YAML documents with what is given, what happens when, and what has to come of it.

A file holds any number of documents. Mistakes are reported with file, line and column.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from rollbackd.documents.catalogue import DiagnosticId
from rollbackd.documents.diagnostics import Position
from rollbackd.documents.durations import parse_duration
from rollbackd.documents.reader import Document, Reader
from rollbackd.documents.yaml import compose_all

T = TypeVar("T")
E = TypeVar("E", "Entry", "Expect")

Value = dict[str, Any]


class Strict(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of a scenario file."""


class Given(Strict, frozen=True, kw_only=True):
    """What stands before anything happens."""

    #: `service/region`; the first one is meant where none is named.
    scopes: list[str] = msgspec.field(default_factory=lambda: ["rag/eu-1"])
    #: Whether a known good set is recorded.
    known_good: bool = True
    #: Controls of the known good set, laid over the usual ones.
    good_controls: dict[str, Value] = {}
    #: Pins of the canary that differ from the known good ones; with none it is not seen at all.
    canary: dict[str, str] | None = msgspec.field(default_factory=lambda: {"PROMPT_VER": "p2"})
    #: What the rollout has set, laid over the usual controls.
    intents: dict[str, Value] = {}
    #: Laid over the shipped decision tree; null takes a key away.
    tree: Value = {}
    #: A rule file beside the shipped ones.
    rules: Value = {}
    targets: Literal["green", "bound", "red", "worse", "unknown"] = "red"
    #: Whether a system downstream lists the effects that it holds.
    listing: bool = False


class Signal(Strict, frozen=True, kw_only=True):
    """A page from Alertmanager that names a branch."""

    branch: str
    name: str = "Page"


class Samples(Strict, frozen=True, kw_only=True):
    """So many equal samples of a series, spread evenly over the time before now."""

    series: str
    value: float
    times: int = 1
    over: str = "1m"


class Said(Strict, frozen=True, kw_only=True):
    """One receipt of an effect."""

    key: str
    effect_id: str = ""
    status: Literal["pending", "sealed", "failed", "unknown"] = "sealed"


class Hand(Strict, frozen=True, kw_only=True):
    """Somebody writes a trip past the daemon; `newer` under an epoch that fences it off."""

    control: str
    trip: Value | None
    newer: bool = False


class Fault(Strict, frozen=True, kw_only=True):
    """What is wrong with a control until it is mended."""

    control: str
    does: Literal["unreachable", "refuses", "loses_reply", "ignores", "slow"]


class Crash(Strict, frozen=True, kw_only=True):
    """The process dies: now, or at the n-th such call from now on; it is started again later."""

    at: Literal["now", "before", "after"] = "now"
    call: Literal["open_incident", "advance", "set_trip"] = "advance"
    nth: int = 1
    back_after: str = "5s"


class Person(Strict, frozen=True, kw_only=True):
    """What a person does; `refused` is what they are told when it does not fit."""

    says: str = ""
    pulls: str = ""
    #: Further regions that a pull is for, in the order of the tree.
    regions: list[str] = []
    pauses: str = ""
    resumes: bool = False
    unlatches: bool = False
    files_cause: str = ""
    #: Open items of the reconciliation, by key.
    accepts: list[str] = []
    releases: str = ""
    refused: str = ""
    incident: int = 0


class Entry(Strict, frozen=True, kw_only=True):
    """One moment: `at` a time, or `on` the moment an incident enters a state."""

    at: str = ""
    on: str = ""
    scope: str = ""
    alert: Signal | None = None
    resolved: Signal | None = None
    targets: Literal["green", "bound", "red", "worse", "unknown"] | None = None
    quality: Literal["green", "red", "unknown"] | None = None
    samples: list[Samples] = []
    receipts: list[Said] = []
    #: What somebody deployed, as a `change` event.
    deployed: str = ""
    #: Effects that are there downstream from now on, by key; none takes the key away.
    downstream: dict[str, list[str]] = {}
    listing: Literal["down", "up"] | None = None
    pins: dict[str, str] | None = None
    #: Of the pins.
    arm: str = "canary"
    known_good: dict[str, str] | None = None
    rollout_sets: dict[str, Value] = {}
    by_hand: Hand | None = None
    fault: Fault | None = None
    mended: str = ""
    store: Literal["down", "up"] | None = None
    writers: Literal["stop", "go on"] | None = None
    pause_file: str | None = None
    tree: Value = {}
    clock: int | None = None
    crash: Crash | None = None
    person: Person | None = None
    unit_asks_back: str = ""


class Expect(Strict, frozen=True, kw_only=True):
    """What has to be seen at a time, or when everything is over."""

    at: str = ""
    #: Counted from 1 in the order of opening; 0 is the newest.
    incident: int = 1
    incidents: list[str] | None = None
    state: str | None = None
    reason: str | None = None
    branch: str | None = None
    #: Every state in order.
    states: list[str] | None = None
    #: Reasons of the journal, in this order; others may stand between.
    journal: list[str] | None = None
    #: Levers of the receipts, in order, each act and each undo once.
    receipts: list[str] | None = None
    #: `lever status` of each measure, in the order of taking.
    ledger: list[str] | None = None
    #: Reasons of pages in the order of sending.
    pages: list[str] | None = None
    scope: str = ""
    #: Fields of the effective value of controls.
    controls: dict[str, Value] = {}
    intents: dict[str, Value] = {}
    #: Times that a control was changed since the beginning, by anybody.
    changes: dict[str, int] = {}
    failed_checks: list[str] | None = None
    missing_pins: list[str] | None = None
    unavailable: list[str] | None = None
    note: str | None = None
    metrics: dict[str, float] = {}
    report: str | None = None


class Scenario(msgspec.Struct, frozen=True, kw_only=True):
    """One document, with the line that each entry stands on."""

    name: str
    covers: list[str]
    given: Given
    runs_ms: int
    timeline: list[tuple[Entry, Position]]
    expect: list[tuple[Expect, Position]]
    position: Position


def read_scenarios(path: Path) -> list[Scenario]:
    """Every scenario of a file. Raises DocumentError with every mistake."""
    text = path.read_text(encoding="utf-8")
    document = Document(path.name, text)
    found = [_scenario(Reader(document, root)) for root in compose_all(text, file=path.name)]
    document.raise_errors()
    return found


def milliseconds(duration: str) -> int:
    """`1m30s` in milliseconds; an empty text is 0."""
    return parse_duration(duration) if duration else 0


def _scenario(reader: Reader) -> Scenario:
    fields = reader.fields(
        ("scenario", "covers", "given", "runs", "timeline", "expect"),
        required=("scenario", "covers", "runs", "timeline", "expect"),
    )
    given = fields.get("given")
    nothing: list[str] = []
    return Scenario(
        name=fields.read("scenario", Reader.string, ""),
        covers=fields.read("covers", Reader.string_list, nothing),
        given=Given() if given is None else _as(given, Given, Given()),
        runs_ms=fields.read("runs", Reader.duration_ms, 0),
        timeline=_entries(fields.get("timeline"), Entry),
        expect=_entries(fields.get("expect"), Expect),
        position=reader.position,
    )


def _entries(reader: Reader | None, type_: type[E]) -> list[tuple[E, Position]]:
    if reader is None:
        return []
    return [(_as(item, type_, type_()), item.position) for item in reader.items()]


def _as(reader: Reader, type_: type[T], default: T) -> T:
    try:
        found = msgspec.convert(reader.plain(), type_)
        parse_duration(getattr(found, "at", "") or "0")
    except ValueError as error:  # msgspec's own is one
        wrong: DiagnosticId = "value/type"
        reader.problem(wrong, str(error))
        return default
    return found


def scenarios_of(folder: Path) -> Sequence[Scenario]:
    """Every scenario of every file of a folder, in the order of the files."""
    return [each for path in sorted(folder.glob("*.yaml")) for each in read_scenarios(path)]
