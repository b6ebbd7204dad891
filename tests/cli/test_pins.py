"""`rollbackd pins`, to the letter, against a daemon that answers as it is told to."""

from pathlib import Path
from typing import Any

import orjson
import pytest

from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon

GOLDEN = Path(__file__).parent / "golden"
OLD, NEW = "KG-20251121T200000-0a1b2c3d", "KG-20251122T200000-1a2b3c4d"
NEW_SET: dict[str, Any] = {
    "id": NEW,
    "scope": "rag/eu",
    "status": "good",
    "in_force": True,
    "pins": {
        "PROMPT_VER": "p-2025.11.22",
        "BUILD_ID": "2025.11.22.01",
        "INDEX_HASH": "a1d9f0",
        "EMBED_DIM": "768",
    },
    "controls": {"alias:docs_live": {"index": "docs_vA"}, "degrade": {"level": 0}},
    "targets": {
        "qdrant:docs": {"value": {"collection": "docs_vA"}, "facts": {"documents": 120345}}
    },
    "baseline": {
        "delta_s": {"p50": 0.31, "p95": 0.4123456, "p99": 0.5, "mean": 0.32, "count": 1800.0},
        "errors": {"ratio": 0.001, "count": 1800.0},
    },
    "window_ms": 300_000,
    "recorded_at_ms": 1_763_841_600_000,
    "by": "ci",
    "note": "before 2025.11.23",
    "status_at_ms": 0,
    "status_by": "",
}
OLD_SET: dict[str, Any] = {
    **NEW_SET,
    "id": OLD,
    "status": "retired",
    "in_force": False,
    "pins": {"PROMPT_VER": "p-2025.11.21", "BUILD_ID": "2025.11.22.01"},
    "controls": {"alias:docs_live": {"index": "docs_v9"}},
    "targets": {},
    "baseline": {"delta_s": {"p95": 0.4123456, "count": 900.0}},
    "window_ms": 0,
    "recorded_at_ms": 1_763_755_200_000,
    "by": "",
    "note": "",
    "status_at_ms": 1_763_841_000_000,
    "status_by": "ann",
}
ANSWER = {"set": NEW_SET, "in_force": NEW}
LIVE = {
    "scope": "rag/eu",
    "arms": {"baseline": {**NEW_SET["pins"], "PROMPT_VER": "p-3"}, "canary": {"PROMPT_VER": "p-4"}},
    "controls": {**NEW_SET["controls"], "alias:docs_live": {"index": "docs_vB"}},
    "targets": {"qdrant:docs": {"value": {"collection": "docs_vA"}, "facts": {"documents": 9}}},
    "not_observed": {},
    "in_force": NEW,
}


@pytest.fixture
def daemon(fake: FakeDaemon) -> FakeDaemon:
    """It knows two sets of one scope."""
    fake.answer("GET /api/v1/pins", {"sets": [NEW_SET, OLD_SET]})
    fake.answer(f"GET /api/v1/pins/{NEW}", ANSWER)
    fake.answer(f"GET /api/v1/pins/{OLD}", {"set": OLD_SET, "in_force": NEW})
    fake.answer("GET /api/v1/pins/live/rag/eu", LIVE)
    fake.answer(
        "POST /api/v1/pins",
        {
            **ANSWER,
            "is_new": True,
            "missing": ["GIT_SHA", "MODEL_VER"],
            "not_measured": ["coverage"],
            "not_observed": {"milvus:docs": "no answer within 3 s"},
        },
        status=201,
    )
    return fake


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("list", ("list",)),
        ("show", ("show", NEW)),
        ("show-retired", ("show", OLD)),
        ("record", ("record", "rag/eu", "--from-live", "--allow-missing")),
        ("diff", ("diff", OLD, NEW)),
        ("diff-current", ("diff", NEW)),
    ],
)
def test_the_page_is_as_it_was(
    run: Run, daemon: FakeDaemon, name: str, arguments: tuple[str, ...]
) -> None:
    """A golden file each; trailing blanks do not count."""
    outcome = run("pins", *arguments, "--url", daemon.url)
    assert outcome.exit_code == 0, outcome.output
    printed = "".join(f"{line.rstrip()}\n" for line in outcome.stdout.splitlines())
    assert printed == (GOLDEN / f"pins-{name}.txt").read_text()


@pytest.mark.parametrize(
    ("arguments", "answer"),
    [
        (("list",), {"sets": [NEW_SET, OLD_SET]}),
        (("show", NEW), ANSWER),
    ],
)
def test_json_is_what_the_daemon_said(
    run: Run, daemon: FakeDaemon, arguments: tuple[str, ...], answer: Any
) -> None:
    outcome = run("pins", *arguments, "-o", "json", "--url", daemon.url)
    assert orjson.loads(outcome.stdout) == answer


def test_what_is_recorded_is_what_was_said(run: Run, daemon: FakeDaemon, tmp_path: Path) -> None:
    """Options go over the file, and numbers in it are text."""
    file = tmp_path / "pins.yaml"
    file.write_text("PROMPT_VER: p-1\nEMBED_DIM: 768\n")
    arguments = (
        "--file", str(file), "--pin", "PROMPT_VER=p=2", "--window", "0s", "--note", "why",
        "--candidate", "--key", "run-7", "--arm", "canary", "-o", "json",
    )  # fmt: skip
    assert run("pins", "record", "rag/eu", *arguments, "--url", daemon.url).exit_code == 0
    asked = daemon.last()
    assert asked.json() == {
        "scope": "rag/eu",
        "pins": {"PROMPT_VER": "p=2", "EMBED_DIM": "768"},
        "from_live": False,
        "arm": "canary",
        "window": "0s",
        "note": "why",
        "candidate": True,
        "allow_missing": False,
    }
    assert asked.headers["Idempotency-Key"] == "run-7"


def test_a_repetition_is_said(run: Run, daemon: FakeDaemon) -> None:
    daemon.answer("POST /api/v1/pins", {**ANSWER, "is_new": False})
    page = run("pins", "record", "rag/eu", "--from-live", "--url", daemon.url).stdout
    assert page.startswith(f"was recorded before as {NEW}\n")


@pytest.mark.parametrize(
    "arguments",
    [
        ("record", "rag/eu"),
        ("record", "rag/e u", "--from-live"),
        ("record", "rag/eu", "--pin", "PROMPT_VER"),
        ("record", "rag/eu", "--pin", "=x"),
        ("record",),
        ("list", "--limit", "0"),
        ("show",),
        ("promote", NEW),
        ("retire", NEW),
        ("explode",),
    ],
)
def test_wrong_usage_is_exit_code_two(run: Run, arguments: tuple[str, ...]) -> None:
    assert run("pins", *arguments).exit_code == 2


@pytest.mark.parametrize(
    ("text", "says"),
    [("", "is empty"), ("[a]", "mapping"), ("A: [1]", "pins.yaml:1:4"), ("A: {b", "pins.yaml")],
)
def test_a_bad_file_of_pins_is_named(run: Run, tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "pins.yaml"
    file.write_text(text)
    outcome = run("pins", "record", "rag/eu", "--file", str(file))
    assert (outcome.exit_code, says in outcome.stderr) == (1, True), outcome.stderr


def test_a_refusal_is_exit_code_one(run: Run, fake: FakeDaemon) -> None:
    """With what the daemon said."""
    fake.answer("POST /api/v1/pins", {"error": "required pins are missing: GIT_SHA"}, status=400)
    outcome = run("pins", "record", "rag/eu", "--from-live", "--url", fake.url)
    assert outcome.exit_code == 1
    assert "required pins are missing: GIT_SHA" in outcome.stderr


def test_no_difference_is_said(run: Run, daemon: FakeDaemon) -> None:
    """And a script can tell by the exit code, if it wants to."""
    same = run("pins", "diff", NEW, NEW, "--exit-code", "--url", daemon.url)
    assert (same.exit_code, same.stdout) == (0, f"{NEW} and {NEW} do not differ\n")
    assert run("pins", "diff", NEW, OLD, "--exit-code", "--url", daemon.url).exit_code == 1
    found = run("pins", "diff", NEW, "current", "-o", "json", "--url", daemon.url)
    assert orjson.loads(found.stdout) == {
        "a": NEW,
        "b": "current",
        "differences": [
            {"part": "pin", "name": "PROMPT_VER", "a": "p-2025.11.22", "b": "p-3"},
            {
                "part": "control",
                "name": "alias:docs_live",
                "a": "index=docs_vA",
                "b": "index=docs_vB",
            },
        ],
        "not_compared": {"baseline": "nothing is measured for a comparison"},
    }


AS_RECORDED = {**LIVE, "arms": {"baseline": NEW_SET["pins"]}, "controls": NEW_SET["controls"]}


def test_what_is_as_it_was_recorded_does_not_differ(run: Run, daemon: FakeDaemon) -> None:
    """A count that grew since is no move; what nobody compared is said."""
    daemon.answer("GET /api/v1/pins/live/rag/eu", AS_RECORDED)
    same = run("pins", "diff", NEW, "--exit-code", "--url", daemon.url)
    assert same.exit_code == 0
    assert same.stdout == (
        f"{NEW} and current do not differ in what was compared\n"
        "not compared: baseline: nothing is measured for a comparison\n"
    )


def test_a_target_that_moved_is_a_difference(run: Run, daemon: FakeDaemon) -> None:
    """Though pins and controls are the recorded ones; and so is one that the set does not have."""
    targets = {
        "qdrant:docs": {"value": {"collection": "docs_vB"}},
        "edge:docs": {"value": {"a": 1}},
    }
    daemon.answer("GET /api/v1/pins/live/rag/eu", {**AS_RECORDED, "targets": targets})
    found = run("pins", "diff", NEW, "--exit-code", "-o", "json", "--url", daemon.url)
    assert found.exit_code == 1
    assert orjson.loads(found.stdout)["differences"] == [
        {"part": "target", "name": "edge:docs", "a": None, "b": "a=1"},
        {
            "part": "target",
            "name": "qdrant:docs",
            "a": "collection=docs_vA documents=120345",
            "b": "collection=docs_vB",
        },
    ]


def test_a_target_that_cannot_be_read_is_not_called_the_same(run: Run, daemon: FakeDaemon) -> None:
    """Nobody knows; a script that asks for an exit code is told so."""
    unread = {"targets": {}, "not_observed": {"qdrant:docs": "no answer within 3 s"}}
    daemon.answer("GET /api/v1/pins/live/rag/eu", {**AS_RECORDED, **unread})
    outcome = run("pins", "diff", NEW, "--exit-code", "--url", daemon.url)
    assert outcome.exit_code == 1
    assert "do not differ in what was compared\n" in outcome.stdout
    assert "not compared: target qdrant:docs: no answer within 3 s\n" in outcome.stdout
    assert run("pins", "diff", NEW, "--url", daemon.url).exit_code == 0


def test_an_arm_that_was_not_seen_is_no_difference(run: Run, daemon: FakeDaemon) -> None:
    outcome = run("pins", "diff", NEW, "--arm", "blue", "--url", daemon.url)
    assert outcome.exit_code == 1
    assert "arm `blue` of rag/eu runs with; seen: `baseline`, `canary`" in outcome.stderr
    seen = run("pins", "diff", NEW, "--arm", "canary", "--url", daemon.url)
    assert "p-4" in seen.stdout


@pytest.mark.parametrize(
    ("verb", "status", "in_force", "says"),
    [
        ("promote", "good", NEW, f"{NEW} is good; for rag/eu {NEW} is in force\n"),
        ("retire", "retired", OLD, f"{NEW} is retired; for rag/eu {OLD} is in force\n"),
        ("retire", "retired", "", f"{NEW} is retired; for rag/eu nothing is in force\nuntil"),
    ],
)
def test_a_set_is_promoted_or_retired(
    run: Run, daemon: FakeDaemon, verb: str, status: str, in_force: str, says: str
) -> None:
    changed = {"set": {**NEW_SET, "status": status}, "in_force": in_force}
    daemon.answer(f"POST /api/v1/pins/{NEW}/{verb}", changed)
    outcome = run("pins", verb, NEW, "--reason", "because", "--url", daemon.url)
    assert outcome.stdout.startswith(says)
    assert daemon.last().json() == {"reason": "because"}


def test_what_people_wrote_is_no_markup(run: Run, fake: FakeDaemon) -> None:
    """A bracket in a note neither colours nor breaks anything."""
    odd = {**NEW_SET, "note": "see [/bold] [x]", "pins": {"PROMPT_VER": "[/red]"}, "by": "[/x]"}
    fake.answer("GET /api/v1/pins", {"sets": [odd]})
    fake.answer(f"GET /api/v1/pins/{NEW}", {"set": odd, "in_force": NEW})
    for arguments in (("list",), ("show", NEW)):
        outcome = run("pins", *arguments, "--url", fake.url)
        assert outcome.exit_code == 0, outcome.output
        assert all(word in outcome.stdout for word in ("[/bold]", "[/red]", "[/x]"))


def test_nothing_recorded_is_said(run: Run, fake: FakeDaemon) -> None:
    fake.answer("GET /api/v1/pins", {"sets": []})
    page = run("pins", "list", "rag", "--limit", "5", "--url", fake.url).stdout
    assert "rollbackd pins record" in page
    assert fake.last().query == {"scope": "rag/global", "limit": "5"}
