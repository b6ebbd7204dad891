"""The commands against a real daemon: what the fake of the other tests answers is what it says."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from rollbackd.settings import shipped_rules
from tests.cli.conftest import Run
from tests.services.processes import free_port

KNOWN_GOOD = {
    "event": "baseline.pinned",
    "ts": "2026-01-01T00:00:00Z",
    "service": "rag",
    "region": "eu",
    "pins": {"PROMPT_VER": "p-12"},
    "controls": {"flag:canary": {"baseline_weight": 1.0, "canary_weight": 0.0}},
}


@pytest.fixture
def url(run: Run, tmp_path: Path) -> Iterator[str]:
    port = free_port()
    config = tmp_path / "rollbackd.yaml"
    config.write_text(f"state_dir: state\nhttp: {{port: {port}}}\n")
    with (tmp_path / "log").open("wb") as log:
        daemon = subprocess.Popen(
            [sys.executable, "-m", "rollbackd", "run", "--config", str(config)], stderr=log
        )
    address = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 30
        while run("status", "--url", address).exit_code != 0:
            assert daemon.poll() is None, (tmp_path / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.05)
        yield address
    finally:
        daemon.terminate()
        daemon.wait(20)


def told_in_time(run: Run, said: str, *command: str) -> str:
    """The page of a command once it says what is bound to come."""
    deadline = time.monotonic() + 20
    while said not in (page := run(*command).output):
        assert time.monotonic() < deadline, page
        time.sleep(0.05)
    return page


def test_a_running_daemon_says_why_a_rule_fires(run: Run, url: str, tmp_path: Path) -> None:
    """Before the sample floor, and then with the incident that answers for it."""
    ask = ("explain", "QualityDrift", "--scope", "rag/eu", "--url", url)
    recording = tmp_path / "events.ndjson"
    answer = {"event": "answer.served", "service": "rag", "region": "eu", "arm": "canary"}
    drifted = {**answer, "ts": "2026-01-01T00:00:01Z", "values": {"delta_s": 0.9}}
    baseline = {**KNOWN_GOOD, "baseline": {"delta_s": {"p95": 0.4}}}
    recording.write_bytes(b"\n".join(map(orjson.dumps, [baseline, *[drifted] * 150])))
    assert run("replay", str(recording), "--speed", "10000", "--url", url).exit_code == 0
    assert "is 150" in told_in_time(run, "`>= 200` filtered it", *ask)
    recording.write_bytes(b"\n".join(map(orjson.dumps, [drifted] * 150)))
    assert run("replay", str(recording), "--url", url).exit_code == 0
    page = told_in_time(run, "answers for it", *ask)
    assert "QualityDrift  quality-regression  rag/eu  firing" in page
    assert "300 samples" in page
    past = run(*ask, "--at", "2026-01-01T00:00:00Z").output
    assert "note: this is what the windows in memory give for that time" in past
    future = run(*ask, "--at", "2099-01-01T00:00:00Z")
    assert future.exit_code == 1
    assert "lies in the future" in future.output
    assert "did you mean `QualityDrift`?" in run("explain", "qualitydrft", "--url", url).output


def test_a_recording_of_ones_own_shape_fires_a_shipped_rule(
    run: Run, url: str, tmp_path: Path
) -> None:
    """Its old times have moved to now, where the daemon's own mapping finds them."""
    sample = orjson.loads((shipped_rules() / "mappings/samples/rag-answer.json").read_bytes())
    recording = tmp_path / "answers.ndjson"
    stamps = [f"2020-01-01T00:00:{second:02}Z" for second in range(60)] * 4
    answers = [{**sample, "ts": t, "quality": {"coverage_percent": 30}} for t in sorted(stamps)]
    recording.write_bytes(b"\n".join(map(orjson.dumps, answers)))
    ask = ("explain", "CoverageLow", "--scope", "rag/eu", "--url", url)
    sent = run("replay", str(recording), "--mapping", "rag-answer", "--speed", "100", "--url", url)
    assert sent.exit_code == 0, sent.output
    page = told_in_time(run, "firing", *ask)
    assert "240 samples" in page


def test_a_person_rolls_back_and_restores_from_the_command_line(
    run: Run, url: str, tmp_path: Path
) -> None:
    """Known good, pull, look, decide, look again."""
    recording = tmp_path / "known-good.ndjson"
    recording.write_bytes(orjson.dumps(KNOWN_GOOD))
    pull = ("pull", "quality_regression", "--scope", "rag/eu", "-r", "it smells", "--url", url)
    refused = run(*pull)
    assert refused.exit_code == 1
    assert "no_known_good" in refused.stderr

    assert run("replay", str(recording), "--url", url).exit_code == 0
    opened = run(*pull, "-o", "json")
    assert opened.exit_code == 0, opened.output
    incident_id = orjson.loads(opened.stdout)["id"]
    page = told_in_time(run, "watching", "incidents", incident_id, "--url", url)
    assert "choosing => flipping: lever_chosen (flag_off:canary@rag/eu)" in page
    assert "pulled by local" in page
    assert "global_off=true" in run("controls", "rag/eu", "--url", url).stdout
    assert incident_id in run("incidents", "--open", "--url", url).stdout
    assert incident_id in run("status", "--url", url).stdout
    assert run(*pull).exit_code == 1

    assert run("decide", incident_id, "restore", "-r", "fine", "--url", url).exit_code == 0
    page = told_in_time(run, "audit_passed", "incidents", incident_id, "--url", url)
    assert "write_block@rag/eu" in page
    assert "restored" in page
    assert "report.md" in page
    assert run("incidents", "--open", "--url", url).stdout == "no open incidents\n"


def test_a_pause_is_in_force_until_it_is_ended(run: Run, url: str) -> None:
    """With its reason in the status."""
    assert run("pause", "--reason", "maintenance", "--url", url).exit_code == 0
    assert "reason: maintenance" in run("status", "--url", url).stdout
    assert run("resume", "--url", url).exit_code == 0
    assert orjson.loads(run("status", "-o", "json", "--url", url).stdout)["paused"] is None


def test_what_is_not_there_is_one_clear_line_with_its_own_fix(run: Run, url: str) -> None:
    """In the daemon's words."""
    unknown = run("incidents", "nope", "--url", url)
    assert (unknown.exit_code, "there is no `nope`" in unknown.stderr) == (1, True)
    assert "check the id" in unknown.stderr
    unlatched = run("unlatch", "rag", "-r", "x", "--url", url)
    assert (unlatched.exit_code, unlatched.stderr.splitlines()) == (
        1,
        [
            "error: the daemon refused (404): nothing is latched on `rag/global`",
            "  fix: `rollbackd status` shows under `guardrails` what is latched",
        ],
    )
    branch = run("pull", "nonsense", "--scope", "rag/eu", "-r", "x", "--url", url)
    assert (branch.exit_code, "`nonsense` is not in the tree" in branch.stderr) == (1, True)
