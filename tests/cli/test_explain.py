"""`rollbackd explain`: a running daemon or a recording is asked, and the answer is a tree."""

from pathlib import Path

import orjson
import pytest

from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

START = 1_795_377_600
ANSWER = {
    "rule": "QualityDrift",
    "group": "g",
    "kind": "alert",
    "expr": "x > 1",
    "at_ms": START * 1_000,
    "scope": "rag/eu",
    "for_ms": 300_000,
    "keep_firing_for_ms": 60_000,
    "state": "pending",
    "because": ["pending for 2m10s of 5m; fires soon"],
    "notes": ["take care"],
    "instances": [
        {
            "labels": {"alertname": "QualityDrift", "region": "eu"},
            "state": "pending",
            "value": "Inf",
            "active_at_ms": (START - 130) * 1_000,
            "held_ms": 130_000,
            "fires_at_ms": (START + 170) * 1_000,
            "event_time_ms": (START - 2) * 1_000,
        }
    ],
    "tree": {
        "gist": "> 1",
        "text": "x > 1",
        "kind": "vector",
        "elements": [{"labels": {"region": "eu"}, "value": 0.123456}],
        "total": 38,
        "here": 1,
        "children": [
            {
                "gist": "x",
                "text": "x",
                "kind": "vector",
                "elements": [],
                "total": 1,
                "series": [
                    {
                        "labels": {"__name__": "x", "region": "eu"},
                        "samples": 131,
                        "newest_ms": (START - 2) * 1_000,
                        "value": 3.0,
                    },
                    {"labels": {"__name__": "b"}, "samples": 1, "value": 0.4, "held": True},
                ],
                "series_total": 2,
            },
            {"gist": "time()", "text": "time()", "kind": "scalar",
             "elements": [{"labels": {}, "value": 7.0}], "total": 1},
            {"gist": "y", "text": "y", "kind": "vector", "silent_since_ms": START * 1_000},
            {"gist": "z", "text": "z", "kind": "vector", "error": "many-to-many"},
        ],
    },
}  # fmt: skip


def test_a_daemon_is_asked_and_its_answer_is_a_tree(run: Run, fake: FakeDaemon) -> None:
    """Verdict, notes, pending time, values, series with their age, and what is left out."""
    fake.answer("GET /api/v1/explain", {"now_ms": 1, "explanations": [ANSWER]})
    page = run(
        "explain", "QualityDrift", "--scope", "rag/eu", "--at", str(START), "--url", fake.url
    )
    assert page.exit_code == 0, page.output
    assert fake.last().query == {
        "rule": "QualityDrift", "scope": "rag/eu", "at": str(START), "limit": "5",
    }  # fmt: skip
    for line in (
        "QualityDrift  g  rag/eu  pending  at 2026-11-22 20:00:00Z  for 5m  keep_firing_for 1m",
        "pending for 2m10s of 5m; fires soon",
        "note: take care",
        'pending  {region="eu"}  value Inf  active since 2026-11-22 19:57:50Z  2m 10s of 5m',
        '├── 0.123456  {region="eu"}',
        "├── ... and 37 more",
        '├── 3  x{region="eu"}  131 samples, newest 2.00 s old',
        "0.4  b  holds",
        "time()  7",
        "no series since 2026-11-22 20:00:00Z",
        "z  many-to-many",
    ):
        assert line in page.stdout, line


def test_values_are_told_from_the_bound_that_they_are_compared_with(
    run: Run, fake: FakeDaemon
) -> None:
    """Six digits, and more where 0.15 would be read for what is above it."""
    (close, far) = ({"labels": {"a": n}, "value": v} for n, v in (("1", 0.15000004), ("2", 0.25)))
    selector = {"gist": "x", "text": "x", "kind": "vector", "elements": [close, far], "total": 2}
    tree = {**selector, "gist": "> 0.15", "bound": 0.15, "children": [selector]}
    fake.answer("GET /api/v1/explain", {"now_ms": 1, "explanations": [{**ANSWER, "tree": tree}]})
    shown = run("explain", "QualityDrift", "--url", fake.url).stdout
    assert shown.count('0.15000004  {a="1"}') == 2
    assert shown.count('0.25  {a="2"}') == 2


def test_json_is_the_answer_itself(run: Run, fake: FakeDaemon) -> None:
    """A script gets the numbers."""
    answer = {"now_ms": 1, "explanations": [ANSWER]}
    fake.answer("GET /api/v1/explain", answer)
    page = run("explain", "QualityDrift", "-o", "json", "--limit", "9", "--url", fake.url)
    assert orjson.loads(page.stdout) == answer
    assert fake.last().query == {"rule": "QualityDrift", "limit": "9"}


def test_the_daemon_s_suggestion_is_passed_on(run: Run, fake: FakeDaemon) -> None:
    fake.answer("GET /api/v1/explain", {"error": "did you mean `QualityDrift`?"}, status=400)
    page = run("explain", "qd", "--url", fake.url)
    assert page.exit_code == 1
    assert "did you mean `QualityDrift`?" in page.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("explain",),
        ("explain", "A", "--at", "yesterday"),
        ("explain", "A", "--at", "2026-11-22T20:00:00"),
        ("explain", "A", "--scope", "a b"),
        ("explain", "A", "--limit", "0"),
        ("explain", "A", "--rules", "x.yaml"),
        ("explain", "A", "--mapping", "rag-answer"),
        ("explain", "A", "--format", "telegraf"),
        ("explain", "A", "--events", "x", "--format", "remote_write"),
    ],
)
def test_wrong_usage_is_exit_code_two(run: Run, arguments: tuple[str, ...]) -> None:
    assert run(*arguments).exit_code == 2


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """A baseline for one region, and a bad canary in two, for 200 seconds."""
    envelope = {"service": "rag", "region": "eu"}
    baseline = {"delta_s": {"p95": 0.4}}
    lines = [
        {"event": "baseline.pinned", "ts": START, **envelope, "baseline": baseline,
         "pins": {"PROMPT_VER": "p-1"}}
    ]  # fmt: skip
    for index in range(400):
        answer = {"event": "answer.served", "ts": START + 1 + index / 2, "arm": "canary"}
        lines.append({**answer, **envelope, "values": {"delta_s": 0.8}})
        lines.append({**answer, **envelope, "region": "us", "values": {"delta_s": 0.8}})
    path = tmp_path / "rollout.ndjson"
    path.write_bytes(b"\n".join(map(orjson.dumps, lines)))
    return path


def test_a_recording_is_explained_at_a_time(run: Run, recording: Path) -> None:
    """Before the floor is reached, once it is, and a minute after the last event."""
    ask = ("explain", "QualityDrift", "--events", str(recording), "--scope", "rag/eu", "-o", "json")
    states = {}
    for after in (60, 150, 260):
        (found,) = orjson.loads(run(*ask, "--at", str(START + after)).stdout)["explanations"]
        states[after] = found["state"], found["because"]
        assert found["at_ms"] - (START + after) * 1_000 in range(101)
    assert states[60][0] == "inactive"
    assert "`>= 200` filtered it" in states[60][1][0]
    assert states[150] == ("firing", ["fires; incident 1 of the dry run answers for it"])
    assert states[260] == states[150]


def test_a_recording_is_explained_at_its_end(run: Run, recording: Path) -> None:
    """Without a time; another region lacks its baseline."""
    page = run("explain", "QualityDrift", "--events", str(recording), "--scope", "rag/us")
    assert "unknown baseline: `baseline:delta_s:p95` has no series for rag/us" in (
        " ".join(page.stdout.split())
    )
    assert "400 samples, newest 0 ms old" in page.stdout
    assert page.stderr == ""


def test_a_recording_wants_rules_that_exist(run: Run, recording: Path, tmp_path: Path) -> None:
    """The name is checked before the recording is read."""
    missing = str(tmp_path / "none.ndjson")
    page = run("explain", "qualitydrift", "--events", missing)
    assert page.exit_code == 1
    assert "did you mean `QualityDrift`?" in page.stderr
    assert "cannot read" in run("explain", "QualityDrift", "--events", missing).stderr
    rules = tmp_path / "rules.yaml"
    rules.write_text("groups: [{name: g, rules: [{alert: Mine, expr: delta_s > 0.5}]}]")
    page = run("explain", "Mine", "--events", str(recording), "--rules", str(rules))
    assert "Mine  g  firing" in page.stdout


def test_bad_lines_are_left_out_and_said(run: Run, recording: Path) -> None:
    with recording.open("ab") as file:
        file.write(b"\nnot json\nnor this\n")
    page = run("explain", "QualityDrift", "--events", str(recording))
    assert page.exit_code == 0
    assert f"left out {recording}:802:" in page.stderr
    assert "(and 1 more)" in page.stderr


def test_a_recording_of_ones_own_is_explained_by_a_mapping(run: Run, tmp_path: Path) -> None:
    """The mappings of the config are known by name."""
    (tmp_path / "answers.yaml").write_text(
        "events: [{event: answer.served, service: $.app, time: $.when, values: {coverage: $.c}}]"
    )
    config, recording = tmp_path / "rollbackd.yaml", tmp_path / "answers.ndjson"
    rules = "groups: [{name: g, rules: [{alert: Low, expr: coverage < 0.5}]}]"
    (tmp_path / "rules.yaml").write_text(rules)
    config.write_text("mappings: [answers.yaml]\nrules: [rules.yaml]\n")
    recording.write_bytes(orjson.dumps({"app": "rag", "when": START, "c": 0.25}))
    ask = ("explain", "Low", "--events", str(recording), "--config", str(config))
    page = run(*ask, "--mapping", "answers")
    assert page.exit_code == 0, page.output
    assert "Low  g  firing" in page.stdout
    assert run(*ask).exit_code == 1
