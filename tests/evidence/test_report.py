"""The post-mortem: Markdown, page, bundle, and how they come onto the disk."""

import asyncio
import os
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace
from prometheus_client import CollectorRegistry

from rollbackd.errors import TemporaryError
from rollbackd.evidence import report as reporting
from rollbackd.evidence.bundle import Aftermath, Bundle, bundle_of
from rollbackd.evidence.capture import digest_of
from rollbackd.evidence.markdown import render_markdown
from rollbackd.evidence.page import render_page
from rollbackd.evidence.pins import PinsTable
from rollbackd.evidence.report import FileReporter
from rollbackd.evidence.wording import time
from rollbackd.incidents.joining import with_trigger
from rollbackd.model.controls import Control
from rollbackd.model.decisions import Reason
from rollbackd.model.events import PinsSeen
from rollbackd.model.incidents import Incident, MeasureStatus, RootCause, State, TracePoint
from rollbackd.model.labels import Scope
from rollbackd.ports import IncidentDetail
from rollbackd.telemetry import Telemetry
from tests.evidence.drift import drift_bundle, drift_incident
from tests.incidents.samples import NOW, PINS, SCOPE, evidence_of, opened, trigger_of
from tests.incidents.walking import compared

_TESTDATA = Path(__file__).parent / "testdata"
_EVIL = "x | y\n# Root cause: nobody\n| a | b |</td><script>alert(1)</script>"
#: What would make a browser fetch or run something.
_ACTIVE = ("src=", "@import", "url(", "<script", "<link", "<iframe", "javascript:", "onload")


def bundled(incident: Incident) -> Bundle:
    return bundle_of(incident, [], Aftermath())


def cause_of(**changes: Any) -> RootCause:
    cause = RootCause(
        cause_class="prompt_regression", summary="p2 lost the citations", owner="eve",
        link="https://tickets/7", by="bob", filed_at_ms=NOW,
    )  # fmt: skip
    return replace(cause, **changes)


class Balanced(HTMLParser):
    """Every element that is opened is closed, in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []
        self.labels: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        self.labels += [value for name, value in attrs if name == "aria-label" and value]
        if tag not in {"meta", "br"}:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


class Sources:
    """Controls with a fault."""

    def __init__(self) -> None:
        self.fault: Any = None

    async def read_all(self, _scope: Scope) -> dict[str, Control]:
        if self.fault == "hang":
            await asyncio.Event().wait()
        elif self.fault is not None:
            raise self.fault
        return {"degrade": Control(name="degrade", intent={"level": 1}, trip={"level": 3})}


def reporter_in(folder: Path, sources: Sources | None = None) -> FileReporter:
    pins = PinsTable(Telemetry(CollectorRegistry()))
    pins.note(PinsSeen(scope=SCOPE, arm="baseline", pins=PINS, time_ms=1))
    controls: Any = sources or Sources()
    return FileReporter(folder, controls=controls, pins=pins)


def test_the_report_reads_as_written_down() -> None:
    """Set UPDATE_GOLDEN to write it anew, and read the difference."""
    golden, text = _TESTDATA / "report.md", render_markdown(drift_bundle())
    if os.environ.get("UPDATE_GOLDEN"):
        golden.write_text(text)
    assert text == golden.read_text()


def test_a_reading_is_told_from_its_bound() -> None:
    """Both forms: a red 0.1000004 is not shown as the 0.1 that it is not below."""
    bundle = drift_bundle()
    incident = bundle.incident
    target = next(t for t in incident.policy.exit_targets if t.below == 0.1)
    readings = [
        replace(reading, value=0.1000004) if reading.name == target.name else reading
        for reading in incident.readings
    ]
    trace = [TracePoint(at_ms=incident.opened_at_ms, values={target.name: 0.1000004})]
    close = replace(bundle, incident=replace(incident, readings=readings, trace=trace))
    assert f"| {target.name} | 0.1000004 | below 0.1 |" in render_markdown(close)
    page = render_page(close)
    assert "to 0.1000004, wanted below 0.1," in page
    assert f"{time(incident.opened_at_ms)}: 0.1000004" in page


def test_a_rule_that_flapped_is_told_in_one_line() -> None:
    """Both forms say how often it fired, its last value, and what there was no room to name."""
    flapped = opened()
    for value in (0.25, 0.125):
        flapped = with_trigger(flapped, trigger_of(value=value))
    for text in (
        render_markdown(bundled(replace(flapped, unlisted={"Duplicates": 7}))),
        render_page(bundled(replace(flapped, unlisted={"Duplicates": 7}))),
    ):
        assert text.count("0.5 (3 times, last 0.125 at 14:13:20.000)") == 1
        assert "Duplicates fired 7 more times on labels that only the timeline names" in text


def test_the_path_of_a_report_leads_there_from_everywhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `state_dir` may be relative to the folder that the daemon was started in."""
    monkeypatch.chdir(tmp_path)
    assert reporter_in(Path("state")).path_of("INC-1") == tmp_path / "state/INC-1/report.md"


def test_the_page_is_well_formed_and_asks_nobody_for_anything() -> None:
    """Also with what others put into it."""
    trigger = trigger_of(annotations={"summary": _EVIL})
    evil = replace(
        opened(), triggers=[trigger], evidence=evidence_of({"canary": {"PROMPT_VER": _EVIL}}),
        pulled_by=_EVIL, note=_EVIL, root_cause=cause_of(summary=_EVIL, link=_EVIL),
    )  # fmt: skip
    for bundle in (drift_bundle(), bundled(evil), bundled(replace(opened(), triggers=[]))):
        text = render_page(bundle)
        page = Balanced()
        page.feed(text)
        page.close()
        assert page.open == []
        markup = re.sub(r">[^<]*<", "><", text)
        assert [word for word in _ACTIVE if word in markup] == []
        assert "default-src &#x27;none&#x27;" in text


def test_the_page_has_a_plot_of_each_rule_and_each_target() -> None:
    """With the moments, in words for who cannot see it."""
    page = Balanced()
    text = render_page(drift_bundle())
    page.feed(text)
    labels = [label for label in page.labels if "trigger at" in label]
    for name in ("QualityDrift", "delta_s_p95_drift", "errors"):
        (label,) = {label for label in labels if label.startswith(name)}
        for moment in ("trigger", "freeze", "flip", "green", "hold over"):
            assert f"{moment} at 14:1" in label
    assert text.count('class="mark mark-trigger"') >= 3
    assert text.count('class="mark mark-green"') == 2
    assert text.count('class="threshold"') == 3
    assert "threshold 0.15" in text
    assert "below 0.1" in text
    for name in ("class", "summary", "owner", "link to the fix"):
        assert f"<tr><td>{name}</td><td></td></tr>" in text


def test_an_incident_of_which_little_is_known_has_a_report_too() -> None:
    """Aborted before anything was captured, and pulled by hand."""
    incident = replace(
        opened(), state=State.ABORTED, reason=Reason.OPERATOR_DECISION, triggers=[],
        pulled_by="eve | admin", note="abort by eve", closed_at_ms=NOW + 5_000,
    )  # fmt: skip
    text = render_markdown(bundled(incident))
    assert "# A person ended it: quality_regression on rag/eu-1" in text
    assert "- pulled by hand by eve \\| admin" in text
    assert "abort by eve" in text
    assert "nothing was captured before it ended" in text
    assert "## Audit" not in text
    assert "everything: it ended before the capture" in render_page(bundled(incident))


def test_text_from_outside_stays_in_its_place() -> None:
    """An annotation or a pin cannot break a table or make a heading."""
    trigger = trigger_of(annotations={"summary": _EVIL})
    evidence = evidence_of({"canary": {"PROMPT_VER": _EVIL}})
    incident = replace(opened(), triggers=[trigger], evidence=evidence, root_cause=cause_of())
    text = render_markdown(bundled(incident))
    assert "\n# Root cause: nobody" not in text
    rows = [line for line in text.splitlines() if line.startswith("| PROMPT_VER")]
    assert [row.replace("\\|", "").count("|") for row in rows] == [5]


def test_a_root_cause_stands_in_both_forms() -> None:
    """In place of the empty section."""
    bundle = bundled(replace(drift_incident()[0], root_cause=cause_of()))
    assert "| class | prompt_regression |" in render_markdown(bundle)
    assert "To be filled in" not in render_markdown(bundle)
    assert "<td>prompt_regression</td>" in render_page(bundle)
    assert "to be filled in" not in render_page(bundle)
    assert "Nothing." in render_page(bundle)


def test_what_needs_a_person_is_said_first() -> None:
    """Measures in force, a failed audit and a value that somebody moved."""
    incident, _ = drift_incident()
    kept, other = incident.ledger
    incident = replace(
        incident, state=State.NEEDS_HUMAN, reason=Reason.AUDIT_FAILED, green_at_ms=None,
        ledger=[replace(kept, status=MeasureStatus.TAKEN),
                replace(other, status=MeasureStatus.LEFT_ALONE)],
        audit=[replace(check, passed=False) for check in incident.audit[:1]],
    )  # fmt: skip
    text = render_markdown(bundled(incident))
    (todo,) = [line for line in text.splitlines() if line.startswith("**What do you have to do")]
    assert "rollbackd decide INC-7" in todo
    assert "`rollbackd decide INC-7 restore` gives back what is on: write_block@rag/eu-1" in todo
    assert "moved meanwhile: throttle@rag/eu-1" in todo
    assert "audit found: evidence_is_whole" in todo
    assert "It waits for a person" in text
    assert "bad-badge" in render_page(bundled(incident)).split("</h1>")[0]


def test_measures_that_an_ended_incident_left_in_force_are_a_person_s() -> None:
    """Nothing gives them back any more."""
    incident, _ = drift_incident()
    ledger = [replace(incident.ledger[0], status=MeasureStatus.LEFT_IN_FORCE)]
    incident = replace(incident, state=State.ABORTED, ledger=ledger)
    text = render_page(bundled(incident))
    assert "Take the measures away that were left in force: write_block@rag/eu-1." in text
    assert "bad-badge" in text.split("</h1>")[0]


async def test_all_files_are_written_and_prove_themselves(tmp_path: Path) -> None:
    """The bundle reads back as the incident and its journal, with what stood afterwards."""
    incident, journal = drift_incident()
    reporter = reporter_in(tmp_path / "incidents")
    path = Path(await reporter.write(incident, journal))
    assert path == reporter.path_of("INC-7")
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "bundle.json", "report.html", "report.md",
    ]  # fmt: skip
    body = (path.parent / "bundle.json").read_bytes()
    detail = msgspec.json.decode(body, type=IncidentDetail, strict=False)
    assert (detail.incident, detail.journal) == (incident, list(journal))
    after = msgspec.json.decode(body)["after"]
    assert after == {
        "controls": {"degrade": {"level": 3}}, "pins_seen": {"baseline": PINS}, "unavailable": [],
    }  # fmt: skip
    assert await reporter.flaw(incident, journal) == ""
    assert (await reporter.page("INC-7") or b"").startswith(b"<!doctype html>")
    assert await reporter.page("INC-8") is None


@pytest.mark.parametrize("fault", [TemporaryError("down"), KeyError("defect"), "hang"])
async def test_controls_that_cannot_be_read_hold_no_report_up(
    tmp_path: Path, fault: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are named instead."""
    monkeypatch.setattr(reporting, "DEADLINE_SECONDS", 0.02)
    sources = Sources()
    sources.fault = fault
    path = Path(await reporter_in(tmp_path, sources).write(*drift_incident()))
    assert "- not captured after: controls" in path.read_text()


@pytest.mark.parametrize(
    ("damage", "flaw"),
    [
        (lambda _: None, "the evidence bundle is absent"),
        (lambda _: b"{", "the evidence bundle cannot be read: it is not JSON"),
        (lambda _: b"[]", "the evidence bundle cannot be read: it is no evidence bundle"),
        (lambda body: body.replace(b'"flipped_at_ms"', b'"flopped_at_ms"'), "not as it was"),
        (lambda body: body.replace(b"lever_chosen", b"lever_failed"), "record 6 (sequence 6)"),
    ],
)
async def test_a_bundle_that_was_touched_is_found(tmp_path: Path, damage: Any, flaw: str) -> None:
    """Wherever it was touched, and when it is gone."""
    incident, journal = drift_incident()
    reporter = reporter_in(tmp_path)
    bundle = Path(await reporter.write(incident, journal)).parent / "bundle.json"
    changed = damage(bundle.read_bytes())
    bundle.unlink()
    if changed is not None:
        bundle.write_bytes(changed)
    assert flaw in await reporter.flaw(incident, journal)


async def test_the_bundle_of_another_journal_proves_nothing(tmp_path: Path) -> None:
    """It holds for its own; one that lacks the newest record still holds."""
    incident, journal = drift_incident()
    reporter = reporter_in(tmp_path)
    head = journal[-2].audit_hash
    await reporter.write(replace(incident, chain_head=head), journal[:-1])
    assert await reporter.flaw(incident, journal) == ""
    assert "is not of this journal" in await reporter.flaw(incident, journal[:-2])


async def test_a_report_that_cannot_be_written_leaves_no_trace(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old one stays whole."""
    incident, journal = drift_incident()
    reporter = reporter_in(tmp_path)
    path = Path(await reporter.write(incident, journal))
    before = {p.name: p.read_bytes() for p in path.parent.iterdir()}

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        await reporter.write(replace(incident, note="another"), journal)
    assert {p.name: p.read_bytes() for p in path.parent.iterdir()} == before


def test_the_evidence_of_the_story_is_whole() -> None:
    """What the other tests rest on."""
    evidence = drift_bundle().incident.evidence
    assert evidence is not None
    assert evidence.digest == digest_of(evidence)


async def test_what_came_of_comparing_receipts_is_written_down(tmp_path: Path) -> None:
    """In the bundle, in both forms of the report, and in a file of its own (A4)."""
    found = compared(open_items=1).reconciliation
    incident = replace(opened(), reconciliation=found, accepted_items=found.items)
    path = Path(await reporter_in(tmp_path).write(incident, []))
    for text in (path.read_text(), path.with_name("report.html").read_text()):
        assert "Side effects" in text
        assert "undo_or_record" in text
    data = msgspec.json.decode(path.with_name("reconciliation.json").read_bytes())
    assert data["incident_id"] == "INC-1"
    assert data["reconciliation"]["items"][0]["key"] == "k0"
    assert data["accepted"][0]["verdict"] == "extra"
    bundle = msgspec.json.decode(path.with_name("bundle.json").read_bytes())
    assert bundle["incident"]["reconciliation"]["counts"] == {"extra": 1}


async def test_without_a_comparison_nothing_is_said_of_one(tmp_path: Path) -> None:
    unlisted = compared(listing="").reconciliation
    for incident in (opened(), replace(opened(), reconciliation=unlisted)):
        path = Path(await reporter_in(tmp_path).write(incident, []))
        assert "Side effects" not in path.read_text()
    down = compared(unavailable="it is down").reconciliation
    path = Path(await reporter_in(tmp_path).write(replace(opened(), reconciliation=down), []))
    assert "| not known | it is down |" in path.read_text()
