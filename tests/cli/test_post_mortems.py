"""`rollbackd close`, `rollbackd audit verify` and `rollbackd incidents ID --emit-test`."""

import re
from pathlib import Path
from typing import Any

import pytest

from rollbackd.evidence.bundle import encode_bundle
from rollbackd.ports import IncidentDetail
from tests.cli.conftest import Run
from tests.cli.fake_daemon import FakeDaemon
from tests.cli.samples import as_answer
from tests.evidence.drift import RULES, drift_bundle, drift_incident

_FILED = ("--cause", "pin_drift", "--summary", "p2", "--owner", "eve", "--link", "https://t/7")


def answer_of() -> Any:
    """What the daemon says of the incident."""
    incident, journal = drift_incident()
    return as_answer(IncidentDetail(incident=incident, journal=list(journal)))


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    """The bundle on disk."""
    path = tmp_path / "bundle.json"
    path.write_bytes(encode_bundle(drift_bundle()))
    return path


def test_close_files_what_was_found(run: Run, fake: FakeDaemon) -> None:
    """Every field, and only with --final."""
    path = "/api/v1/incidents/INC-7/root-cause"
    fake.answer(f"POST {path}", as_answer(drift_incident()[0]))
    result = run("close", "INC-7", "--final", *_FILED, "--url", fake.url)
    assert result.exit_code == 0
    assert result.stdout == "incident INC-7: root cause pin_drift filed, owner eve\n"
    assert fake.last().json() == {
        "cause": "pin_drift", "summary": "p2", "owner": "eve", "link": "https://t/7",
    }  # fmt: skip
    fake.asked.clear()
    assert run("close", "INC-7", *_FILED, "--url", fake.url).exit_code == 2
    assert fake.asked == []


def test_close_says_why_it_was_refused(run: Run, fake: FakeDaemon) -> None:
    """An empty field is the daemon's to refuse."""
    said = "not closed: `owner` must not be empty"
    fake.answer("POST /api/v1/incidents/INC-7/root-cause", {"error": said}, status=400)
    result = run("close", "INC-7", "--final", "--url", fake.url)
    assert result.exit_code == 1
    assert said in result.stderr


def test_a_journal_that_fits_is_said_to(run: Run, fake: FakeDaemon) -> None:
    """With its head, to compare with one that was kept elsewhere."""
    fake.answer("GET /api/v1/incidents/INC-7", answer_of())
    result = run("audit", "verify", "INC-7", "--url", fake.url)
    assert result.exit_code == 0
    assert drift_incident()[0].chain_head in result.stdout
    assert "1 chain, 0 broken" in result.stdout


def test_the_first_bad_record_is_named(run: Run, fake: FakeDaemon) -> None:
    """Exit code 1."""
    answer = answer_of()
    answer["journal"][3]["reason"] = "paused"
    fake.answer("GET /api/v1/incidents/INC-7", answer)
    result = run("audit", "verify", "INC-7", "--url", fake.url)
    assert result.exit_code == 1
    assert re.search(
        r"^BROKEN INC-7  record 4 \(sequence 4\): .* edited", result.stdout, re.MULTILINE
    )


def test_every_incident_is_verified(run: Run, fake: FakeDaemon) -> None:
    """One broken chain among them is enough for exit code 1."""
    good, bad = answer_of(), answer_of()
    bad["incident"]["id"] = "INC-8"
    del bad["journal"][5]
    fake.answer("GET /api/v1/incidents/INC-7", good)
    fake.answer("GET /api/v1/incidents/INC-8", bad)
    incidents = [good["incident"], bad["incident"]]
    fake.answer("GET /api/v1/incidents", {"incidents": incidents})
    result = run("audit", "verify", "--all", "--url", fake.url)
    assert result.exit_code == 1
    assert "ok     INC-7" in result.stdout
    assert "BROKEN INC-8  record 6" in result.stdout
    assert "2 chains, 1 broken" in result.stdout


def test_an_old_journal_proves_nothing_and_is_said_to(run: Run, fake: FakeDaemon) -> None:
    """It has no hashes."""
    answer = answer_of()
    answer["incident"]["chain_head"] = ""
    for record in answer["journal"]:
        record["audit_hash"] = ""
    fake.answer("GET /api/v1/incidents/INC-7", answer)
    result = run("audit", "verify", "INC-7", "--url", fake.url)
    assert result.exit_code == 0
    assert "from before there was a chain and prove nothing" in result.stdout


def test_a_bundle_is_verified_without_a_daemon(run: Run, bundle: Path) -> None:
    """And one that was touched is found."""
    assert run("audit", "verify", "--bundle", str(bundle)).exit_code == 0
    body = bundle.read_bytes()
    bundle.write_bytes(body.replace(b'"kind":"Captured"', b'"kind":"Captvred"'))
    result = run("audit", "verify", "--bundle", str(bundle))
    assert result.exit_code == 1
    assert "record 3 (sequence 3)" in result.stdout
    bundle.write_bytes(body.replace(b"p2", b"p1", 1))
    assert (
        "outside the journal was edited" in run("audit", "verify", "--bundle", str(bundle)).stdout
    )


@pytest.mark.parametrize("body", [b"", b"[]", b'{"format":"rollbackd-evidence/1"}', b"\xff"])
def test_a_file_that_is_no_bundle_is_one_clear_line(run: Run, bundle: Path, body: bytes) -> None:
    """Not a traceback."""
    bundle.write_bytes(body)
    result = run("audit", "verify", "--bundle", str(bundle))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: cannot use the bundle")
    bundle.unlink()
    assert "cannot read the bundle" in run("audit", "verify", "--bundle", str(bundle)).stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("audit", "verify"),
        ("audit", "verify", "INC-7", "--all"),
        ("incidents", "--emit-test"),
        ("incidents", "INC-7", "--to", "x.yaml"),
    ],
)
def test_wrong_usage_is_exit_code_two(run: Run, arguments: tuple[str, ...]) -> None:
    """Nothing is asked."""
    assert run(*arguments).exit_code == 2


def test_the_test_that_is_written_passes(run: Run, fake: FakeDaemon, tmp_path: Path) -> None:
    """On the rules as they are, by a path from where it lies; not on loosened ones."""
    fake.answer("GET /api/v1/incidents/INC-7", answer_of())
    rules, test = tmp_path / "rules" / "mine.yaml", tmp_path / "tests" / "inc-7.yaml"
    rules.parent.mkdir()
    test.parent.mkdir()
    rules.write_text(RULES.read_text())
    result = run(
        "incidents", "INC-7", "--emit-test", "--to", str(test), "--rules", str(rules),
        "--url", fake.url,
    )  # fmt: skip
    assert result.exit_code == 0, result.output
    assert "../rules/mine.yaml" in test.read_text()
    assert run("test", str(test)).exit_code == 0
    rules.write_text(RULES.read_text().replace(") > 0.15", ") > 0.5"))
    assert run("test", str(test)).exit_code == 1


def test_the_test_goes_to_the_standard_output(run: Run, fake: FakeDaemon) -> None:
    """With the shipped rules."""
    fake.answer("GET /api/v1/incidents/INC-7", answer_of())
    result = run("incidents", "INC-7", "--emit-test", "--url", fake.url)
    assert result.stdout.startswith("# The window of incident INC-7")
    assert "when-to-pull.yaml" in result.stdout


def test_a_window_that_does_not_fire_is_refused(run: Run, fake: FakeDaemon) -> None:
    """With the reason."""
    answer = answer_of()
    answer["incident"]["evidence"]["windows"] = []
    fake.answer("GET /api/v1/incidents/INC-7", answer)
    result = run("incidents", "INC-7", "--emit-test", "--url", fake.url)
    assert result.exit_code == 1
    assert "no test can be made of incident `INC-7`: no window" in result.stderr
