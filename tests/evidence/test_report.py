"""The post-mortem."""

import os
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from rollbackd.evidence.report import FileReporter, render_report
from rollbackd.incidents import messages as m
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.model.triggers import Verdict
from rollbackd.ports import IncidentDetail
from tests.incidents.samples import (
    NOW,
    PINS,
    SCOPE,
    evidence_of,
    opened,
    policy_of,
    reading,
    trigger_of,
)
from tests.incidents.walking import Walk

_GOLDEN = Path(__file__).parent / "testdata" / "report.md"


def story() -> tuple[Incident, list[JournalRecord]]:
    """An incident of every kind of line: a lever that fails, a red reading, another branch."""
    verdicts = iter([Verdict.GREEN, Verdict.RED, Verdict.UNKNOWN])

    def answer(command: m.Command) -> m.Event | None:
        if isinstance(command, m.CaptureEvidence):
            seen = {"canary": {**PINS, "PROMPT_VER": "p2|x"}, "baseline": PINS}
            evidence = replace(
                evidence_of(seen),
                controls={"degrade": {"level": 0}},
                unavailable=["known_good"],
            )
            return m.Captured(evidence=evidence)
        if isinstance(command, m.Prepare) and command.call.lever == "flag_off":
            return m.Refused(call=command.call, index=command.index, message="no such flag")
        if isinstance(command, m.Watch):
            return m.Read(readings=[reading(next(verdicts, Verdict.GREEN))])
        return None

    policy = policy_of("quality_regression", hold_ms=10_000)
    walk = Walk(opened(policy=policy), answer)
    walk.to(State.WATCHING)
    walk.now_ms += 1_500
    lower = "cost_or_latency"
    walk.say(m.TriggerJoined(trigger=trigger_of(lower), policy=policy_of(lower)))
    walk.to(State.CLOSED)
    return walk.incident, walk.records


def test_the_report_reads_as_written_down() -> None:
    """Set UPDATE_GOLDEN to write it anew, and read the difference."""
    text = render_report(*story())
    if os.environ.get("UPDATE_GOLDEN"):
        _GOLDEN.write_text(text)
    assert text == _GOLDEN.read_text()


def test_an_incident_of_which_little_is_known_has_a_report_too() -> None:
    """Aborted before anything was captured, and pulled by hand."""
    incident = replace(
        opened(), state=State.ABORTED, reason=Reason.OPERATOR_DECISION, triggers=[],
        pulled_by="eve | admin", note="abort by eve",
    )  # fmt: skip
    text = render_report(incident, [])
    assert "Ended **aborted** (operator_decision), opened 2026-09-21 14:13:20.000 UTC." in text
    assert "- pulled by hand by eve \\| admin" in text
    assert "abort by eve" in text
    assert "## Audit" not in text


def test_text_from_outside_stays_in_its_place() -> None:
    """An annotation or a pin cannot break a table or make a heading."""
    evil = "x | y\n# Root cause: nobody\n| a | b |"
    trigger = trigger_of(annotations={"summary": evil})
    evidence = evidence_of({"canary": {"PROMPT_VER": evil}})
    text = render_report(replace(opened(), triggers=[trigger], evidence=evidence), [])
    assert "\n# Root cause: nobody" not in text
    assert "x \\| y # Root cause: nobody \\| a \\| b \\|" in text
    rows = [line for line in text.splitlines() if line.startswith("| PROMPT_VER")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [4]


def test_a_clock_that_was_set_back_shows_as_such() -> None:
    """A span may be negative; it is not two billion days."""
    incident = replace(opened(), closed_at_ms=NOW - 1_500)
    assert "| incident to closed | -1s500ms |" in render_report(incident, [])


async def test_both_files_are_written(tmp_path: Path) -> None:
    """The bundle reads back as the incident and its journal."""
    incident, journal = story()
    reporter = FileReporter(tmp_path / "incidents")
    path = await reporter.write(incident, journal)
    assert path == str(reporter.path_of("INC-1")) == f"{tmp_path}/incidents/INC-1/report.md"
    assert Path(path).read_text() == render_report(incident, journal)
    bundle = msgspec.json.decode(
        (Path(path).parent / "bundle.json").read_bytes(), type=IncidentDetail
    )
    assert bundle == IncidentDetail(incident=incident, journal=journal, report_path=path)


async def test_a_report_is_whole_or_as_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fills up midway: the old report stays, and nothing lies about."""
    reporter = FileReporter(tmp_path)
    incident, journal = story()
    path = Path(await reporter.write(incident, journal))
    before = path.read_text()

    def full(_number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        await reporter.write(replace(incident, note="new"), journal)
    assert path.read_text() == before
    assert sorted(p.name for p in path.parent.iterdir()) == ["bundle.json", "report.md"]


def test_the_scope_and_branch_head_the_report() -> None:
    """What a person looks for first."""
    assert render_report(*story()).startswith(f"# INC-1: quality_regression on {SCOPE}\n")
