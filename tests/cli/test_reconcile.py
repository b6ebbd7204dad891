"""`rollbackd reconcile`: of an incident, of a time, and of two files without a daemon."""

from pathlib import Path
from typing import Any

import msgspec
import pytest

from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.samples import as_answer
from tests.incidents.walking import compared

_INCIDENT = "/api/v1/incidents/INC-7/reconciliation"
LEDGER = """{"key": "a", "effect_id": "e1", "time": 1}
{"key": "b", "status": "unknown", "time": 2}
{"key": "c", "effect_id": "e3", "time": 3, "scope": "pay/us-1"}
"""


def found(**changes: Any) -> Any:
    return as_answer(compared(**changes).reconciliation)


def test_of_an_incident_it_is_a_table_and_an_exit_code(run: Run, fake: FakeDaemon) -> None:
    fake.answer(f"GET {_INCIDENT}", found(open_items=2))
    result = run("reconcile", "--incident", "INC-7", "--url", fake.url)
    assert result.exit_code == 1
    lines = [line.split() for line in result.stdout.splitlines()]
    assert lines[1] == ["KEY", "VERDICT", "LEDGER", "DOWNSTREAM", "TO", "DO"]
    assert lines[2] == ["k0", "extra", "absent", "present", "e1", "undo_or_record"]
    fake.answer(f"GET {_INCIDENT}", found())
    result = run("reconcile", "--incident", "INC-7", "--url", fake.url)
    assert (result.exit_code, result.stdout) == (0, "0 ok, 0 missing, 0 extra, 0 conflict\n")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"unavailable": "it is down"}, "not known: it is down\n"),
        ({"listing": ""}, "no listing is configured for this service\n"),
    ],
)
def test_what_is_not_known_is_no_success(
    run: Run, fake: FakeDaemon, changes: dict[str, str], said: str
) -> None:
    fake.answer(f"GET {_INCIDENT}", found(**changes))
    result = run("reconcile", "--incident", "INC-7", "--url", fake.url)
    assert (result.exit_code, result.stdout) == (1, said)


def test_of_a_time(run: Run, fake: FakeDaemon) -> None:
    fake.answer("GET /api/v1/reconciliation", found())
    since, until = "2026-11-23T10:00:00+01:00", "2026-11-23T10:00:00Z"
    result = run(
        "reconcile", "--scope", "pay/eu-1", "--from", since, "--to", until, "--url", fake.url
    )
    assert result.exit_code == 0
    assert fake.last().query == {
        "scope": "pay/eu-1", "from": "2026-11-23T09:00:00Z", "to": "2026-11-23T10:00:00Z",
    }  # fmt: skip


def test_items_are_accepted_with_a_reason(run: Run, fake: FakeDaemon) -> None:
    fake.answer(f"POST {_INCIDENT}", found(open_items=1))
    words = ("reconcile", "--incident", "INC-7", "--reason", "refunded", "--url", fake.url)
    assert run(*words, "--accept", "k1", "--accept", "k2").exit_code == 1
    assert fake.last().json() == {"keys": ["k1", "k2"], "reason": "refunded"}
    run(*words, "--accept-all")
    assert fake.last().json() == {"keys": [], "reason": "refunded"}


@pytest.mark.parametrize(
    "words",
    [
        (),
        ("--scope", "pay"),
        ("--from", "2026-11-23T10:00:00Z"),
        ("--scope", "pay", "--from", "yesterday"),
        ("--scope", "pay", "--from", "2026-11-23T10:00:00"),
        ("--incident", "INC-7", "--scope", "pay", "--from", "2026-11-23T10:00:00Z"),
        ("--incident", "INC-7", "--accept", "k1"),
        ("--scope", "pay", "--from", "2026-11-23T10:00:00Z", "--accept-all", "--reason", "x"),
    ],
)
def test_what_does_not_fit_together_is_wrong_usage(run: Run, words: tuple[str, ...]) -> None:
    assert run("reconcile", *words).exit_code == 2


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, ...]:
    """A ledger of three keys, and a listing of two."""
    ledger, downstream = tmp_path / "ledger.ndjson", tmp_path / "bank.csv"
    ledger.write_text(LEDGER)
    downstream.write_text("key,effect_id,time\na,e1,1\nb,e2,2\n")
    return "--ledger", str(ledger), "--downstream", str(downstream)


def test_two_files_need_no_daemon(run: Run, files: tuple[str, ...]) -> None:
    result = run("reconcile", *files, "--scope", "pay/eu-1")
    assert result.exit_code == 0
    assert result.stdout == (
        "2 ok, 0 missing, 0 extra, 0 conflict\nsettled by what is there: 1 was_made\n"
    )
    result = run("reconcile", *files, "--output", "json")
    assert result.exit_code == 1
    data = msgspec.json.decode(result.stdout)
    assert [(item["key"], item["verdict"]) for item in data["items"]] == [("c", "missing")]
    assert run("reconcile", *files, "--to", "1970-01-01T00:00:02Z").exit_code == 0


def test_files_that_cannot_be_read_are_named_by_line(run: Run, files: tuple[str, ...]) -> None:
    Path(files[1]).write_text(LEDGER + "nonsense\n")
    result = run("reconcile", *files)
    assert result.exit_code == 1
    assert "ledger.ndjson, line 4: not JSON" in result.stderr
    assert run("reconcile", *files[:2]).exit_code == 2
