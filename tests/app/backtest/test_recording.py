"""How files are read."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from rollbackd.app.backtest.decoding import RecordShape
from rollbackd.app.backtest.recording import (
    Entry,
    Faults,
    FileRecording,
    Stamper,
    UnreadableError,
    merged,
)
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.model.events import Rejected
from rollbackd.settings.formats import FormatSettings
from tests.app.backtest.playing import NOW_MS, START, event, write


def body(**fields: Any) -> bytes:
    return json.dumps({"event": "x", "service": "rag", **fields}).encode()


def test_an_event_arrives_at_its_own_time() -> None:
    """To the millisecond."""
    entry = Stamper(NOW_MS).entry(body(ts=START + 0.25, values={"a": 1}))
    assert entry is not None
    assert entry.arrival_ms == START * 1_000 + 250


@pytest.mark.parametrize(
    "said",
    [
        {"event": "effect.receipt", "key": "k", "effect_id": "e"},
        {"event": "change", "kind": "flag", "subject": "canary"},
    ],
)
def test_what_measures_nothing_arrives_at_its_time_too(said: dict[str, str]) -> None:
    """Single facts and changes are read, like samples."""
    entry = Stamper(NOW_MS).entry(body(ts=START + 0.25, **said))
    assert entry is not None
    assert entry.arrival_ms == START * 1_000 + 250
    assert entry.batch.facts or entry.batch.changes


def test_arrivals_never_go_back() -> None:
    """The sample keeps its own time."""
    stamper = Stamper(NOW_MS)
    stamper.entry(body(ts=START + 10, values={"a": 1}))
    late = stamper.entry(body(ts=START + 5, values={"a": 1}))
    assert late is not None
    assert late.arrival_ms == (START + 10) * 1_000
    assert late.batch.samples[0].time_ms == (START + 5) * 1_000


def test_an_event_without_a_time_gets_the_one_before() -> None:
    """Or that of its Kafka record."""
    stamper = Stamper(NOW_MS)
    with pytest.raises(Rejected, match="`ts` is missing"):
        stamper.entry(body(values={"a": 1}))
    recorded = stamper.entry(body(values={"a": 1}), recorded_ms=START * 1_000)
    assert recorded is not None
    assert recorded.batch.samples[0].time_ms == START * 1_000
    after = stamper.entry(body(values={"a": 2}))
    assert after is not None
    assert after.batch.samples[0].time_ms == START * 1_000


@pytest.mark.parametrize(
    "line",
    [
        body(ts=NOW_MS / 1_000 + 900, values={"a": 1}),
        b'{"alerts": [{"status": "firing", "labels": {}, "startsAt": "2999-01-01T00:00:00Z"}]}',
    ],
)
def test_what_comes_from_the_future_is_refused(line: bytes) -> None:
    """It would take the clock, and everything behind it, with it."""
    with pytest.raises(Rejected, match="in the future"):
        Stamper(NOW_MS).entry(line)


def test_an_event_that_says_nothing_is_passed_over() -> None:
    """No values, no code, no pins."""
    assert Stamper(NOW_MS).entry(body(ts=START)) is None


async def test_recordings_are_merged_in_the_order_of_arrival(tmp_path: Path) -> None:
    """Across the pieces in which files are read; equal times in the order of the files."""
    first = write(tmp_path / "a", [event(2 * n, a=n) for n in range(1_500)])
    second = write(tmp_path / "b", [event(3 * n, b=n) for n in range(1_000)])
    recordings = [FileRecording(p, Faults(), now_ms=NOW_MS) for p in (first, second)]
    for recording in recordings:
        await recording.open()
    entries: list[Entry] = [entry async for entry in merged(recordings)]
    for recording in recordings:
        await recording.close()
    arrivals = [entry.arrival_ms for entry in entries]
    assert arrivals == sorted(arrivals)
    assert len(entries) == 2_500
    names = [dict(entry.batch.samples[0].labels)["__name__"] for entry in entries[:2]]
    assert names == ["a", "b"]
    assert all(recording.done == recording.total for recording in recordings)


@pytest.mark.parametrize("name", ["none.ndjson", "."])
def test_what_cannot_be_opened_is_said(tmp_path: Path, name: str) -> None:
    """With the reason of the system."""
    recording = FileRecording(tmp_path / name, Faults(), now_ms=NOW_MS)
    with pytest.raises(UnreadableError, match="cannot read"):
        asyncio.run(recording.open())


async def test_an_endless_line_is_one_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not held in memory, and what follows is read."""
    monkeypatch.setattr("rollbackd.app.backtest.recording._MAX_LINE", 1_000)
    path = write(tmp_path / "a", ["x" * 5_000, event(1, a=1)])
    faults = Faults()
    recording = FileRecording(path, faults, now_ms=NOW_MS)
    await recording.open()
    assert len(await recording.chunk()) == 1
    await recording.close()
    assert faults.first == [(f"{path}:1", "the line is over 1000 bytes")]


def test_faults_are_counted_beyond_those_that_are_kept() -> None:
    """A file of garbage must not fill the memory."""
    faults = Faults()
    for number in range(1_500):
        faults.add(str(number), "why")
    assert faults.count == 1_500
    assert len(faults.first) == 1_000


MAPPING = """
service: $.app
time: {path: $.at, format: unix_ms}
events:
  - event: answer.served
    when: {$.kind: answer}
    values: {latency_seconds: {path: $.took, unit: ms -> s}}
    pins: {PROMPT_VER: $.prompt}
    fact: {user: $.user}
"""


def foreign(**fields: Any) -> bytes:
    return json.dumps({"kind": "answer", "app": "rag", "took": 412, **fields}).encode()


async def test_lines_of_another_shape_are_read_by_a_mapping(tmp_path: Path) -> None:
    """Bad ones in the words of the mapping, and those that it takes nothing from are counted."""
    path = tmp_path / "answers.ndjson"
    lines = [
        foreign(at=START * 1_000),
        foreign(at=START * 1_000, took="soon"),
        foreign(kind="other"),
        foreign(at=START * 1_000 + 250),
    ]
    path.write_bytes(b"\n".join(lines))
    faults = Faults()
    shape = RecordShape(mapping=FieldMapping.read(MAPPING, file="m.yaml"))
    recording = FileRecording(path, faults, now_ms=NOW_MS, shape=shape)
    await recording.open()
    entries = await recording.chunk()
    await recording.close()
    assert [entry.arrival_ms - START * 1_000 for entry in entries] == [0, 250]
    assert [entry.batch.samples[0].value for entry in entries] == [0.412, 0.412]
    assert faults.first == [
        (f"{path}:2", "`values.latency_seconds`: `$.took` is `soon`, which is not a number")
    ]
    assert (faults.count, faults.ignored) == (1, 1)


def test_what_a_mapping_finds_no_time_in_gets_the_one_before() -> None:
    """All that it says of that event: samples, pins and facts."""
    mapping = FieldMapping.read(MAPPING, file="m.yaml")
    stamper = Stamper(NOW_MS, RecordShape(mapping=mapping))
    with pytest.raises(Rejected, match="the time that the mapping looks for is missing"):
        stamper.entry(foreign())
    stamper.entry(foreign(at=START * 1_000))
    entry = stamper.entry(foreign(prompt="p-1", user="u"))
    assert entry is not None
    batch = entry.batch
    times = [batch.samples[0].time_ms, batch.pins[0].time_ms, batch.facts[0].time_ms]
    assert times == [START * 1_000] * 3


def test_a_format_is_read_as_the_daemon_reads_it() -> None:
    """With the settings of the config, and with what was left out said."""
    shape = RecordShape(format="telegraf", formats=FormatSettings(telegraf_timestamp_unit="1ms"))
    metric = {"name": "queue", "tags": {}, "timestamp": START * 1_000 + 7}
    line = json.dumps({**metric, "fields": {"depth": 3, "state": "up"}}).encode()
    entry = Stamper(NOW_MS, shape).entry(line)
    assert entry is not None
    assert entry.arrival_ms == START * 1_000 + 7
    assert [sample.value for sample in entry.batch.samples] == [3]


def test_what_is_left_out_of_a_record_is_a_fault_beside_what_is_used() -> None:
    """Or the record as a whole, when nothing of it is left."""
    good = {"labels": {"__name__": "up"}, "value": "1", "timestamp": "2026-11-20T20:00:00Z"}
    bad = {**good, "labels": {"__name__": "1up"}}
    shape, faults = RecordShape(format="prometheus_json"), Faults()
    stamper = Stamper(NOW_MS, shape)
    entry = stamper.take(json.dumps(good).encode(), "f:1", faults)
    assert entry is not None
    assert stamper.take(json.dumps(bad).encode(), "f:2", faults) is None
    assert [place for place, _ in faults.first] == ["f:2"]


def test_a_cloudevent_without_a_time_counts_once() -> None:
    """To give it its time it is not read again: it would be a duplicate of itself."""
    stamper, faults = Stamper(NOW_MS, RecordShape(format="cloudevents")), Faults()
    said = {"event": "x", "service": "rag", "values": {"a": 1}}
    whole = {"specversion": "1.0", "id": "1", "source": "s", "type": "x", "data": said}
    line = json.dumps(whole).encode()
    first = stamper.take(line, "f:1", faults, recorded_ms=START * 1_000)
    assert first is not None
    assert first.arrival_ms == START * 1_000
    assert stamper.take(line, "f:2", faults, recorded_ms=START * 1_000) is None
    assert (faults.count, faults.ignored) == (0, 1)
