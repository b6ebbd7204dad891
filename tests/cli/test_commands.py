from pathlib import Path

import orjson
import pytest

from rollbackd import __version__
from rollbackd.cli.phrases import MEASURE_STYLES
from rollbackd.model.incidents import MeasureStatus
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.samples import OPENED_MS, as_answer, detail, incident


def test_version_names_the_program(run: Run) -> None:
    """A bug report begins with this line."""
    assert run("version").stdout.startswith(f"rollbackd {__version__} (Python ")
    assert orjson.loads(run("version", "-o", "json").stdout)["version"] == __version__
    asked = run("--version")
    assert (asked.exit_code, asked.stdout) == (0, run("version").stdout)


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("pull", "quality_regression"),
        ("pull", "quality_regression", "--scope", "rag/e u", "--reason", "x"),
        ("pause",),
        ("decide", "inc-1", "explode", "--reason", "x"),
        ("status", "--url", "ftp://somewhere"),
        ("status", "--url", "not a url"),
        ("incidents", "--limit", "0"),
        ("replay",),
        ("test",),
        ("status", "--output", "xml"),
    ],
)
def test_wrong_usage_is_exit_code_two(run: Run, arguments: tuple[str, ...]) -> None:
    """A script can tell a typo from a refusal."""
    assert run(*arguments).exit_code == 2


def test_a_password_in_the_url_is_refused_and_not_repeated(run: Run) -> None:
    """Secrets are never printed, not even the user's own."""
    result = run("status", "--url", "http://me:hunter2@localhost")
    assert result.exit_code == 2
    assert "--token-file" in result.output
    assert "hunter2" not in result.output


def test_a_daemon_that_is_not_there_is_one_clear_line(run: Run) -> None:
    """No traceback, and what to do about it."""
    result = run("status", "--url", "http://127.0.0.1:9")
    assert result.exit_code == 1
    assert result.stderr.splitlines() == [
        "error: cannot reach the daemon at http://127.0.0.1:9: connection refused",
        "  fix: start it with `rollbackd run`, or say where it is with --url",
    ]


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (409, {"error": "incident `inc-1` is open for this scope"}, "(409): incident `inc-1`"),
        (401, {"error": "who are you?"}, "--token-file"),
        (503, b"<html>busy</html>", "(503): <html>busy</html>"),
        (200, b"<html>hello</html>", "not JSON"),
        (200, {"id": 1}, "not understood"),
        (302, b"", "redirect (302), which is not followed"),
    ],
)
def test_an_answer_that_is_no_success_is_one_clear_line(
    run: Run, fake: FakeDaemon, status: int, body: object, said: str
) -> None:
    """What the daemon said is passed on; what it did not say is not made up."""
    fake.headers = {"Location": "/elsewhere"}
    fake.answer("POST /api/v1/incidents", body, status=status)
    result = run("pull", "x", "--scope", "rag", "--reason", "y", "--url", fake.url)
    assert result.exit_code == 1
    assert said in result.stderr
    assert len(fake.asked) == 1


@pytest.mark.parametrize(
    ("route", "command"),
    [
        ("GET /api/v1/status", ("status",)),
        ("GET /api/v1/incidents", ("incidents",)),
        ("GET /api/v1/incidents/inc-1", ("incidents", "inc-1")),
        ("GET /api/v1/controls/rag/global", ("controls", "rag")),
    ],
)
@pytest.mark.parametrize("body", [[], "text", {"incidents": 5, "controls": 5}])
def test_an_answer_from_something_else_is_no_crash(
    run: Run, fake: FakeDaemon, route: str, command: tuple[str, ...], body: object
) -> None:
    """Somebody else may listen there."""
    fake.answer(route, body)
    result = run(*command, "--url", fake.url)
    if command == ("status",) and isinstance(body, dict):
        assert result.exit_code == 0
    else:
        assert result.exit_code == 1
        assert "the daemon's answer is not understood" in result.stderr


def test_the_token_is_sent_and_never_shown(run: Run, fake: FakeDaemon, tmp_path: Path) -> None:
    """The first line of the token file is the bearer token."""
    token = tmp_path / "token"
    token.write_text("s3cret\nolder\n")
    result = run("status", "--url", fake.url, "--token-file", str(token))
    assert fake.last().headers["Authorization"] == "Bearer s3cret"
    assert "s3cret" not in result.output


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_a_token_file_that_cannot_be_used_is_named(
    run: Run, tmp_path: Path, content: bytes | None
) -> None:
    """The file is named, its content is not."""
    token = tmp_path / "token"
    if content is not None:
        token.write_bytes(content)
    result = run("status", "--token-file", str(token))
    assert result.exit_code == 1
    assert str(token) in result.stderr


def test_a_ca_file_that_is_no_certificate_is_named(run: Run, tmp_path: Path) -> None:
    """The same for TLS."""
    ca = tmp_path / "ca.pem"
    ca.write_text("nonsense")
    result = run("status", "--ca-file", str(ca))
    assert result.exit_code == 1
    assert str(ca) in result.stderr


def test_the_url_comes_from_the_environment(
    run: Run, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who works with one daemon says so once."""
    monkeypatch.setenv("ROLLBACKD_URL", fake.url)
    fake.answer("GET /api/v1/status", {"now_ms": OPENED_MS, "paused": False, "rules": {"n": 3}})
    result = run("status")
    assert result.exit_code == 0
    assert "2025-11-22 20:00:00Z" in result.stdout
    assert "n: 3" in result.stdout
    assert orjson.loads(run("status", "-o", "json").stdout)["paused"] is False


@pytest.mark.parametrize(
    ("reasons", "said"),
    [([], "ready  yes"), (["the store is away"], "ready  no: the store is away")],
)
def test_status_says_whether_the_daemon_is_ready(
    run: Run, fake: FakeDaemon, reasons: list[str], said: str
) -> None:
    """And why not."""
    fake.answer("GET /api/v1/status", {"not_ready": reasons})
    assert run("status", "--url", fake.url).stdout.strip() == said


def test_pause_and_resume_say_why_and_that_it_is_done(run: Run, fake: FakeDaemon) -> None:
    """The reason reaches the daemon."""
    fake.answer("POST /api/v1/pause", {"paused": True})
    fake.answer("POST /api/v1/resume", {"paused": False})
    assert run("pause", "--reason", "maintenance", "--url", fake.url).exit_code == 0
    assert fake.last().json() == {"reason": "maintenance"}
    assert fake.last().headers["Content-Type"] == "application/json"
    assert run("resume", "--url", fake.url).stdout == "resumed\n"


def test_pull_opens_an_incident_of_the_scope(run: Run, fake: FakeDaemon) -> None:
    """Branch, scope and reason reach the daemon; the id comes back."""
    fake.answer("POST /api/v1/incidents", as_answer(incident()), status=201)
    result = run(
        "pull", "quality_regression", "--scope", "rag/eu", "--reason", "it smells", "--url",
        fake.url,
    )  # fmt: skip
    assert fake.last().json() == {
        "branch": "quality_regression",
        "scope": "rag/eu",
        "reason": "it smells",
    }
    assert "opened incident inc-1: quality_regression on rag/eu" in result.stdout


def test_pull_may_name_further_regions(run: Run, fake: FakeDaemon) -> None:
    """They reach the daemon in the order given."""
    fake.answer("POST /api/v1/incidents", as_answer(incident()), status=201)
    run(
        "pull", "quality_regression", "--scope", "rag/eu", "--region", "us", "--region", "ap",
        "-r", "it smells", "--url", fake.url,
    )  # fmt: skip
    body = fake.last().json()
    assert (body["scope"], body["regions"]) == ("rag/eu", ["us", "ap"])


def test_decide_sends_the_persons_word(run: Run, fake: FakeDaemon) -> None:
    """The id is part of the path, whatever is in it."""
    fake.answer("POST /api/v1/incidents/inc-1/decision", as_answer(incident()))
    result = run("decide", "inc-1", "restore", "-r", "looks fine", "--url", fake.url)
    assert result.stdout == "incident inc-1 was watching; told to restore\n"
    assert fake.last().json() == {"decision": "restore", "reason": "looks fine"}
    assert run("decide", "../pause", "abort", "-r", "x", "--url", fake.url).exit_code == 1
    assert fake.last().path != "/api/v1/pause"


def test_every_status_of_a_measure_can_be_shown() -> None:
    """One without a style would end `rollbackd incidents ID` with a traceback."""
    assert set(MEASURE_STYLES) == set(MeasureStatus)


def test_release_says_what_applications_see_now(run: Run, fake: FakeDaemon) -> None:
    """And sends the reason."""
    shown = {"value": {"index": "docs_vB"}, "intent": {"index": "docs_vB"}, "version": 4}
    fake.answer(
        "POST /api/v1/controls/rag/eu/alias:docs_live/release",
        {"scope": "rag/eu", "name": "alias:docs_live", "control": shown},
    )
    said = run("release", "rag/eu", "alias:docs_live", "-r", "docs_vB is fixed", "--url", fake.url)
    assert said.stdout == "released alias:docs_live of rag/eu; applications now see index=docs_vB\n"
    assert fake.last().json() == {"reason": "docs_vB is fixed"}


def test_an_intent_is_set_and_shown_as_applications_see_it(run: Run, fake: FakeDaemon) -> None:
    """Also where an incident lies over it."""
    shown = {"value": {"level": 2}, "intent": {"level": 2}, "version": 4}
    path = "PUT /api/v1/controls/rag/eu/degrade"
    fake.answer(path, {"scope": "rag/eu", "name": "degrade", "control": shown})
    said = run("controls", "rag/eu", "degrade", '{"level": 2}', "--url", fake.url)
    assert said.stdout == "set degrade of rag/eu; applications now see level=2\n"
    assert fake.last().json() == {"value": {"level": 2}}
    shown |= {"value": {"level": 4}, "tripped": True, "incident_id": "inc-1"}
    fake.answer(path, {"scope": "rag/eu", "name": "degrade", "control": shown})
    said = run("controls", "rag/eu", "degrade", '{"level": 2}', "--url", fake.url)
    assert said.stdout == (
        "set the intent of degrade of rag/eu to level=2; incident inc-1 lies over it, and"
        " applications see level=4\n"
    )


@pytest.mark.parametrize(
    ("control", "value", "says"),
    [
        ("degrade", '{"level": 7}', "at `level: 7`. It has `level` (integer, 0 to 4)"),
        ("degrade", "2", "`2` is no JSON object"),
        ("degrade", "{", "`{` is no JSON object"),
        ("what", "{}", "`what` is not a control; its kind is one of `flag`, `alias`"),
    ],
)
def test_an_intent_that_no_application_could_use_is_not_sent(
    run: Run, fake: FakeDaemon, control: str, value: str, says: str
) -> None:
    """With what is allowed."""
    refused = run("controls", "rag/eu", control, value, "--url", fake.url)
    assert (refused.exit_code, says in refused.stderr) == (1, True), refused.stderr
    assert fake.asked == []


def test_incidents_are_listed(run: Run, fake: FakeDaemon, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line an incident however narrow the terminal, and the filter is the daemon's."""
    fake.answer("GET /api/v1/incidents", {"incidents": [as_answer(incident())]})
    result = run("incidents", "--open", "--limit", "5", "--url", fake.url)
    assert fake.last().query == {"open": "true", "limit": "5"}
    row = result.stdout.splitlines()[1]
    assert row.split()[:5] == ["inc-1", "rag/eu", "quality_regression", "watching", "cache_rotated"]
    monkeypatch.setenv("COLUMNS", "40")
    assert run("incidents", "--url", fake.url).stdout.splitlines()[1].split() == row.split()
    raw = run("incidents", "-o", "json", "--url", fake.url)
    assert orjson.loads(raw.stdout)["incidents"][0]["id"] == "inc-1"
    fake.answer("GET /api/v1/incidents", {"incidents": []})
    assert run("incidents", "--url", fake.url).stdout == "no incidents\n"
    assert run("incidents", "--open", "--url", fake.url).stdout == "no open incidents\n"


def test_an_incident_is_told_from_beginning_to_end(run: Run, fake: FakeDaemon) -> None:
    """Trigger, timeline, pins, levers, measures, targets, audit and report on one page."""
    fake.answer("GET /api/v1/incidents/inc-1", as_answer(detail()))
    page = run("incidents", "inc-1", "--url", fake.url).stdout
    for said in (
        "QualityDrift = 0.2131  answers drift",
        "+2.80 s  flipping => rotating: flip_verified",
        "(new) => detected: trigger_fired",
        "PROMPT_VER  p-12        p-13",
        "flag_off:canary@rag/eu  canary_weight=0.3  canary_weight=0",
        "write_block@rag/eu  blocked=true  taken",
        "errors  0.0003  below 0.005  green",
        "green for 6m 18s of a hold of 10m",
        "FAILED  cache_rotated  generation did not grow",
        "/var/lib/x/report.md",
    ):
        assert said in page
    raw = run("incidents", "inc-1", "-o", "json", "--url", fake.url)
    assert orjson.loads(raw.stdout)["incident"]["id"] == "inc-1"


def test_an_incident_with_nothing_to_tell_yet_is_short(run: Run, fake: FakeDaemon) -> None:
    """Sections without content are left out."""
    young = detail(
        triggers=[], evidence=None, receipts=[], ledger=[], readings=[], audit=[], pulled_by="ana",
        note="waiting for ana",
    )  # fmt: skip
    answer = as_answer(young)
    answer["journal"], answer["report_path"] = [], ""
    fake.answer("GET /api/v1/incidents/inc-1", answer)
    page = run("incidents", "inc-1", "--url", fake.url).stdout
    assert "pulled by ana" in page
    assert "waiting for ana" in page
    assert "timeline" not in page


def test_controls_show_what_is_in_effect_and_who_laid_it_over(run: Run, fake: FakeDaemon) -> None:
    """Intent and trip are told apart."""
    shown = {
        "flag:canary": {
            "value": {"canary_weight": 0.0},
            "intent": {"canary_weight": 0.3},
            "tripped": True,
            "incident_id": "inc-1",
            "updated_at_ms": OPENED_MS,
        }
    }
    path = "GET /api/v1/controls/rag/eu"
    fake.answer(path, {"scope": "rag/eu", "controls": shown})
    page = run("controls", "rag/eu", "--url", fake.url).stdout
    assert "flag:canary" in page
    assert "canary_weight=0.3" in page
    assert "inc-1" in page
    raw = run("controls", "rag/eu", "-o", "json", "--url", fake.url)
    assert orjson.loads(raw.stdout)["controls"] == shown
    fake.answer(path, {"scope": "rag/eu", "controls": {}})
    assert "no control of rag/eu" in run("controls", "rag/eu", "--url", fake.url).stdout
    one = run("controls", "rag/eu", "degrade", "--url", fake.url).stdout
    assert one == "`degrade` of rag/eu was never written; applications see its default\n"


def test_a_control_that_cannot_be_is_not_said_to_be_unwritten(run: Run, fake: FakeDaemon) -> None:
    """A typo would read as if all were well."""
    refused = run("controls", "rag/eu", "degrad", "--url", fake.url)
    assert refused.exit_code == 1
    assert "`degrad` is not a control; its kind is one of `flag`" in refused.stderr
    assert fake.asked == []
