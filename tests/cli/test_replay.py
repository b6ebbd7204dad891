import time
from pathlib import Path

import orjson
import pytest

from rollbackd.cli.recorded import NativeTimes, open_recording
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.samples import OPENED_MS

EVENTS = [
    {"event": "answer.served", "ts": "2020-01-01T00:00:00Z", "service": "rag"},
    {"event": "answer.served", "ts": "2020-01-01T00:00:20Z", "service": "rag"},
    {"event": "answer.served", "ts": 1_577_836_810, "service": "rag"},
    {"event": "answer.served", "ts": "2020-01-01T00:01:00Z", "service": "rag"},
]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "recorded.ndjson"
    path.write_bytes(b"\n".join(map(orjson.dumps, EVENTS)) + b"\n\n")
    return path


MAPPING = """
service: $.app
time: {path: $.at.ms, format: unix_ms}
events:
  - event: answer.served
    when: {$.kind: answer}
    values: {latency_seconds: {path: $.took, unit: ms -> s}}
"""
#: The second is nothing to the mapping, and has no time; the fourth is a second late.
FOREIGN = [
    {"kind": "answer", "app": "rag", "at": {"ms": 1_577_836_800_000, "zone": "x"}, "took": 1},
    {"kind": "other", "app": "rag"},
    {"kind": "answer", "app": "rag", "at": {"ms": 1_577_836_820_000}, "took": 2},
    {"kind": "answer", "app": "rag", "at": {"ms": 1_577_836_819_000}, "took": 3},
    {"kind": "answer", "app": "rag", "at": {"ms": 1_577_836_860_000}, "took": 4},
]


@pytest.fixture
def foreign(tmp_path: Path) -> Path:
    (tmp_path / "answers.yaml").write_text(MAPPING)
    (tmp_path / "config.yaml").write_text("mappings: [answers.yaml]\n")
    path = tmp_path / "foreign.ndjson"
    path.write_bytes(b"\n".join(map(orjson.dumps, FOREIGN)))
    return path


def sent(fake: FakeDaemon) -> list[dict[str, object]]:
    bodies = [a.body for a in fake.asked if a.path == "/api/v1/events"]
    return [orjson.loads(line) for body in bodies for line in body.splitlines()]


@pytest.fixture
def daemon(fake: FakeDaemon) -> FakeDaemon:
    fake.answer("GET /api/v1/status", {"now_ms": OPENED_MS})
    fake.answer("POST /api/v1/events", {"accepted": 1})
    return fake


def test_a_recording_begins_now_and_keeps_its_pace(
    run: Run, daemon: FakeDaemon, file: Path
) -> None:
    """A minute at 300 times the speed is a fifth of a second, in the order of the file."""
    started = time.monotonic()
    result = run("replay", str(file), "--speed", "300", "--url", daemon.url)
    assert result.exit_code == 0, result.output
    assert "sent 4 events" in result.stdout
    assert time.monotonic() - started >= 0.2
    stamps = [event["ts"] for event in sent(daemon)]
    start = OPENED_MS / 1_000
    # The third stands after a later one, and is sent, and stamped, with it.
    assert stamps == pytest.approx([start, start + 0.067, start + 0.067, start + 0.2])
    assert all(event["service"] == "rag" for event in sent(daemon))


def test_times_can_be_kept(run: Run, daemon: FakeDaemon, file: Path) -> None:
    """Then the events are sent as they stand in the file."""
    result = run("replay", str(file), "--speed", "10000", "--keep-times", "--url", daemon.url)
    assert result.exit_code == 0
    assert sent(daemon) == EVENTS


def test_what_the_daemon_refuses_is_told(run: Run, daemon: FakeDaemon, file: Path) -> None:
    """With its own words."""
    refusal = {"error": "1 of 4 events are bad", "rejected": [{"index": 2, "error": "bad `ts`"}]}
    daemon.answer("POST /api/v1/events", refusal, status=400)
    result = run("replay", str(file), "--speed", "10000", "--url", daemon.url)
    assert result.exit_code == 1
    assert "1 of 4 events are bad" in result.stderr
    assert "bad `ts`" in result.stderr


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "there is no event"),
        (b'{"event": "a", "ts": 1}\nnot json\n', ":2: "),
        (b'{"event": "a"}\n', "`ts`"),
        (b'{"ts": 1}\n', "`event`"),
        (b'{"event": "a", "ts": "2020-01-01T00:00:00"}\n', "time zone"),
        (b'{"event": "a", "ts": "yesterday"}\n', ":1: "),
        (b'["event"]\n', ":1: "),
        (b"\xff\xfe\n", ":1: "),
        (b"[" * 100_000 + b"\n", ":1: "),
        (b'{"event": "' + b"a" * (2 << 20) + b'", "ts": 1}\n', "over 1048576 bytes"),
    ],
)
def test_a_malformed_recording_is_refused_before_anything_is_sent(
    run: Run, daemon: FakeDaemon, file: Path, content: bytes, said: str
) -> None:
    """With the line that is wrong."""
    file.write_bytes(content)
    result = run("replay", str(file), "--url", daemon.url)
    assert result.exit_code == 1
    assert said in result.stderr
    assert str(file) in result.stderr
    assert daemon.asked == []


def test_a_recording_that_is_not_there_is_one_clear_line(run: Run, tmp_path: Path) -> None:
    """No traceback."""
    result = run("replay", str(tmp_path / "nothing.ndjson"))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: cannot read")


def test_a_recording_knows_its_length(file: Path) -> None:
    """From its first event to its latest."""
    recording = open_recording(file, NativeTimes())
    assert (recording.count, recording.length_ms) == (4, 60_000)


@pytest.mark.parametrize("named", ["by name", "by file"])
def test_events_of_another_shape_are_moved_where_their_time_stands(
    run: Run, daemon: FakeDaemon, foreign: Path, named: str
) -> None:
    """The daemon reads them by the same mapping; what the mapping does not take is passed over."""
    config = ("--mapping", "answers", "--config", str(foreign.parent / "config.yaml"))
    by_file = ("--mapping", str(foreign.parent / "answers.yaml"))
    which = config if named == "by name" else by_file
    result = run("replay", str(foreign), "--speed", "10000", "--url", daemon.url, *which)
    assert result.exit_code == 0, result.output
    assert "sent 4 events" in result.stdout
    assert "passed over 1 event that the mapping does not take" in result.stdout
    assert {a.query["mapping"] for a in daemon.asked if a.method == "POST"} == {"answers"}
    events = sent(daemon)
    moved = [event["at"]["ms"] for event in events]  # type: ignore[index]
    assert moved == [OPENED_MS + ms for ms in (0, 2, 2, 6)]
    assert [{**e, "at": 0} for e in events] == [{**e, "at": 0} for e in FOREIGN if "at" in e]
    assert events[0]["at"] == {"ms": OPENED_MS, "zone": "x"}


def test_times_of_another_shape_can_be_kept(run: Run, daemon: FakeDaemon, foreign: Path) -> None:
    """Then the lines are sent as they stand."""
    which = ("--mapping", str(foreign.parent / "answers.yaml"), "--keep-times")
    result = run("replay", str(foreign), "--speed", "10000", "--url", daemon.url, *which)
    assert result.exit_code == 0
    assert sent(daemon) == [event for event in FOREIGN if "at" in event]


@pytest.mark.parametrize(
    ("line", "mapping", "said"),
    [
        ('{"kind": "answer", "app": "rag", "took": 1}', MAPPING, ":1: `time` is missing"),
        ('{"kind": "answer", "app": "rag", "took": 1}', MAPPING, "there is no `$.at.ms`"),
        ('{"kind": "answer", "app": "rag", "took": "x"}', MAPPING, "`values.latency_seconds`"),
        ('["answer"]', MAPPING, ":1: an event is a JSON object"),
        ("nonsense", MAPPING, ":1: not JSON"),
        ('{"kind": "other"}', MAPPING, "that the mapping takes anything from, among 1"),
        ("{}", MAPPING.replace("time: {", "x: {"), "unknown"),
        ("{}", "events: [{event: a, service: s, values: {a: $.a}}]", "has no `time`"),
        ("{}", MAPPING.replace("unix_ms", "unix, map: {a: 1}"), "goes through `map`"),
    ],
)
def test_what_a_mapping_cannot_place_in_time_is_refused(
    run: Run, daemon: FakeDaemon, foreign: Path, line: str, mapping: str, said: str
) -> None:
    """In the words of the mapping, before anything is sent."""
    foreign.write_text(line)
    (foreign.parent / "answers.yaml").write_text(mapping)
    which = ("--mapping", str(foreign.parent / "answers.yaml"))
    result = run("replay", str(foreign), "--url", daemon.url, *which)
    assert result.exit_code == 1
    assert said in result.stderr
    assert daemon.asked == []


def test_a_mapping_that_is_not_there_is_said(run: Run, daemon: FakeDaemon, foreign: Path) -> None:
    """With those that are."""
    result = run("replay", str(foreign), "--url", daemon.url, "--mapping", "rag-answers")
    assert result.exit_code == 1
    assert "there is no mapping `rag-answers`; there are" in result.stderr
    assert "did you mean `rag-answer`?" in result.stderr
    alone = run("replay", str(foreign), "--config", str(foreign.parent / "config.yaml"))
    assert alone.exit_code == 2
