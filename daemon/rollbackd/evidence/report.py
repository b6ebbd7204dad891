"""The post-mortem: `bundle.json` for machines and `report.md` for people."""

import asyncio
import os
import tempfile
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from rollbackd.documents.durations import format_duration
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.labels import format_labels
from rollbackd.ports import IncidentDetail

_ABSENT: Final = "-"


class FileReporter:
    """Writes both files into `<folder>/<incident id>/`, each by rename."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def path_of(self, incident_id: str) -> Path:
        """Where the report of an incident is, or will be."""
        return self._folder / incident_id / "report.md"

    async def write(self, incident: Incident, journal: Sequence[JournalRecord]) -> str:
        """Write the bundle and the report; returns the report's path. Raises OSError."""
        path = self.path_of(incident.id)
        detail = IncidentDetail(incident=incident, journal=list(journal), report_path=str(path))
        bundle = msgspec.json.format(msgspec.json.encode(detail, order="deterministic"), indent=2)
        text = render_report(incident, journal).encode()
        await asyncio.to_thread(_write_all, {path.parent / "bundle.json": bundle, path: text})
        return str(path)


def render_report(incident: Incident, journal: Sequence[JournalRecord]) -> str:
    """The report as Markdown, with an empty root-cause section for a person to fill in."""
    sections = [
        _headline(incident),
        _times(incident),
        _cause(incident),
        _controls(incident),
        _timeline(journal),
        _measures(incident),
        _targets(incident),
        _audit(incident),
        "## Root cause\n\n_To be filled in: class, owner, link to the fix, due date._",
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _headline(incident: Incident) -> str:
    return (
        f"# {incident.id}: {incident.branch} on {incident.scope}\n\n"
        f"Ended **{incident.state}** ({incident.reason}), opened "
        f"{_date(incident.opened_at_ms)} {_time(incident.opened_at_ms)} UTC."
        + (f"\n\nLast note: {_line(incident.note)}" if incident.note else "")
    )


def _times(incident: Incident) -> str:
    active_at_ms = incident.triggers[0].active_at_ms if incident.triggers else None
    rows = [
        ("trigger active to incident", active_at_ms, incident.opened_at_ms),
        ("incident to pointer flipped", incident.opened_at_ms, incident.flipped_at_ms),
        ("flip to end of the hold", incident.flipped_at_ms, incident.green_at_ms),
        ("incident to closed", incident.opened_at_ms, incident.closed_at_ms),
    ]
    lines = [f"| {name} | {_span(start, end)} |" for name, start, end in rows]
    return "## Times\n\n| | |\n|---|---|\n" + "\n".join(lines)


def _cause(incident: Incident) -> str:
    lines = [
        f"- `{t.rule}` = {t.value:g} at {_time(t.evaluated_at_ms)} on `{format_labels(t.labels)}`"
        + (f": {_line(t.annotations['summary'])}" if "summary" in t.annotations else "")
        for t in incident.triggers
    ]
    if incident.pulled_by:
        lines.append(f"- pulled by hand by {_line(incident.pulled_by)}")
    return "## Why it was pulled\n\n" + "\n".join(lines)


def _controls(incident: Incident) -> str:
    evidence = incident.evidence
    if evidence is None:
        return ""
    lines = ["## What was captured before the first act", ""]
    good = evidence.known_good_pins
    lines += ["| pin | known good | " + " | ".join(map(_line, evidence.pins_seen)) + " |"]
    lines += ["|---" * (2 + len(evidence.pins_seen)) + "|"]
    for name in sorted({*good, *(p for pins in evidence.pins_seen.values() for p in pins)}):
        values = [
            good.get(name, _ABSENT),
            *(p.get(name, _ABSENT) for p in evidence.pins_seen.values()),
        ]
        lines.append("| " + " | ".join(map(_line, [name, *values])) + " |")
    lines += [
        "",
        *(f"- control `{name}`: `{_json(value)}`" for name, value in evidence.controls.items()),
    ]
    if evidence.unavailable:
        lines.append(f"- unavailable: {', '.join(evidence.unavailable)}")
    return "\n".join([*lines, f"- digest `{evidence.digest}`"])


def _timeline(journal: Sequence[JournalRecord]) -> str:
    lines = [
        f"| {_time(r.at_ms)} | {r.from_state or _ABSENT} => {r.to_state} | {r.reason} "
        f"| {_brief(r)} |"
        for r in journal
    ]
    head = "| time (UTC) | transition | because | detail |\n|---|---|---|---|\n"
    return "## Timeline\n\n" + head + "\n".join(lines)


def _measures(incident: Incident) -> str:
    if not incident.ledger:
        return ""
    lines = [
        f"| {m.change.target} | {_time(m.taken_at_ms)} | {_time(m.ended_at_ms)} | {m.status} |"
        for m in incident.ledger
    ]
    head = "| measure | taken | ended | how |\n|---|---|---|---|\n"
    return "## Temporary measures\n\n" + head + "\n".join(lines)


def _targets(incident: Incident) -> str:
    lines = [
        f"| {r.name} | {_ABSENT if r.value is None else f'{r.value:.4g}'} "
        f"| {r.direction} {r.bound:g} | {r.verdict} |"
        for r in incident.readings
    ]
    head = "| target | last value | bound | verdict |\n|---|---|---|---|\n"
    return "## Exit targets\n\n" + head + "\n".join(lines) if lines else ""


def _audit(incident: Incident) -> str:
    lines = [
        f"- {'passed' if check.passed else '**failed**'}: {check.name} ({check.detail})"
        for check in incident.audit
    ]
    return "## Audit\n\n" + "\n".join(lines) if lines else ""


def _brief(record: JournalRecord) -> str:
    text = ", ".join(
        f"{k}: {_json(v)}" for k, v in record.detail.items() if v not in ("", [], None)
    )
    return _line(text)


def _json(value: object) -> str:
    return value if isinstance(value, str) else msgspec.json.encode(value).decode()


def _line(text: str) -> str:
    """Text from outside, so that it stays in its line and its cell."""
    return " ".join(text.replace("|", "\\|").split())


def _date(at_ms: int) -> str:
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%Y-%m-%d")


def _time(at_ms: int | None) -> str:
    if at_ms is None:
        return _ABSENT
    return datetime.fromtimestamp(at_ms / 1_000, UTC).strftime("%H:%M:%S.%f")[:-3]


def _span(start_ms: int | None, end_ms: int | None) -> str:
    if start_ms is None or end_ms is None:
        return _ABSENT
    return format_duration(end_ms - start_ms)


def _write_all(files: dict[Path, bytes]) -> None:
    for path, content in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
            whole = Path(file.name)
            try:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
                whole.replace(path)
            except BaseException:
                whole.unlink()
                raise
