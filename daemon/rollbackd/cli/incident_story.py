"""One incident as a page: what fired, every step, what was moved, what was given back."""

from collections.abc import Iterator

from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from rollbackd.cli.phrases import (
    MEASURE_STYLES,
    VERDICT_STYLES,
    moment,
    number,
    pairs,
    span,
    state_style,
)
from rollbackd.documents.durations import format_duration
from rollbackd.documents.numbers import exact
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.ports import IncidentDetail


def tell(detail: IncidentDetail) -> RenderableType:
    """The whole page; sections that have nothing to say are left out."""
    incident = detail.incident
    sections = [
        ("", _head(incident)),
        ("what fired", _triggers(incident)),
        ("what was changed before", _changes(incident)),
        ("timeline", _timeline(incident, detail.journal)),
        ("pins, seen against known good", _pins(incident)),
        ("what was moved", _receipts(incident)),
        ("temporary measures", _ledger(incident)),
        ("exit targets", _targets(incident)),
        ("audit", _audit(incident)),
        ("root cause", _root_cause(incident)),
        ("post-mortem", Text(detail.report_path) if detail.report_path else None),
    ]
    return Group(*(part for title, body in sections for part in _section(title, body)))


def _section(title: str, body: RenderableType | None) -> Iterator[RenderableType]:
    if body is None:
        return
    if title:
        yield Text(f"\n{title}", style="bold underline")
    yield Padding(body, (0, 0, 0, 2 if title else 0))


def _head(incident: Incident) -> Text:
    text = Text.assemble(
        (f"incident {incident.id}", "bold"),
        f"  {incident.branch}  {incident.scope}  ",
        (incident.state, f"bold {state_style(incident.state)}"),
        f"  because {incident.reason}\n",
        (f"opened {moment(incident.opened_at_ms)}", "dim"),
    )
    opened = incident.opened_at_ms
    for label, at_ms in (
        ("flipped", incident.flipped_at_ms),
        ("green", incident.green_at_ms),
        ("closed", incident.closed_at_ms),
    ):
        if at_ms is not None:
            text.append(f", {label} after {span(at_ms - opened)}", style="dim")
    if incident.pulled_by:
        text.append(f", pulled by {incident.pulled_by}", style="dim")
    pending = incident.pending
    if incident.is_open and pending is not None:
        since = moment(pending.started_at_ms)
        text.append(f"\nwaiting for {pending.change.target} since {since}", style="bold yellow")
    if incident.note:
        text.append(f"\n{incident.note}", style="yellow")
    return text


def _triggers(incident: Incident) -> RenderableType | None:
    if not incident.triggers:
        return None
    text = Text()
    for trigger in incident.triggers:
        summary = trigger.annotations.get("summary", "")
        text.append(trigger.rule, style="bold")
        text.append(f" = {number(trigger.value)}")
        again = incident.recurrence_of(trigger)
        if again is not None:
            text.append(f"  {again.times} times, last {number(again.last.value)}")
        text.append(f"  {summary}\n" if summary else "\n", style="dim")
    for rule, times in incident.unlisted.items():
        text.append(f"{rule} fired {times} more times on other labels\n")
    text.rstrip()
    return text


def _changes(incident: Incident) -> RenderableType | None:
    if not incident.changes:
        return None
    table = _table()
    table.add_column(justify="right", style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for change in incident.changes:
        table.add_row(f"-{span(incident.opened_at_ms - change.time_ms)}", Text(str(change)))
    return table


def _timeline(incident: Incident, journal: list[JournalRecord]) -> RenderableType | None:
    if not journal:
        return None
    table = _table()
    table.add_column(justify="right", style="cyan", no_wrap=True)
    table.add_column(overflow="fold")
    for record in journal:
        table.add_row(f"+{span(record.at_ms - incident.opened_at_ms)}", transition(record))
    return table


def transition(record: JournalRecord) -> Text:
    """`FROM => TO: because`, as the log has it."""
    text = Text()
    text.append(record.from_state or "(new)", style="dim")
    text.append(" => ", style="dim")
    text.append(record.to_state, style=state_style(record.to_state))
    text.append(f": {record.reason}")
    target = record.detail.get("target") or record.detail.get("gives_back")
    if target:
        text.append(f" ({target})", style="dim")
    if held_by := record.detail.get("held_by"):
        text.append(f" (held with {held_by})", style="dim")
    if heir := record.detail.get("to"):
        text.append(f" (left to {heir}, which needs it)", style="dim")
    if waits_for := record.detail.get("waits_for"):
        text.append(f" (waits for {waits_for})", style="dim")
    return text


def _pins(incident: Incident) -> RenderableType | None:
    evidence = incident.evidence
    if evidence is None or not (evidence.pins_seen or evidence.known_good_pins):
        return None
    arms = sorted(evidence.pins_seen)
    table = _table("pin", "known good", *arms)
    names = {*evidence.known_good_pins, *(n for pins in evidence.pins_seen.values() for n in pins)}
    for name in sorted(names):
        good = evidence.known_good_pins.get(name, "-")
        seen = [evidence.pins_seen[arm].get(name, "-") for arm in arms]
        cells = [Text(v, style="bold red" if v not in {good, "-"} else "") for v in seen]
        table.add_row(name, Text(good, style="green"), *cells)
    return table


def _receipts(incident: Incident) -> RenderableType | None:
    if not incident.receipts:
        return None
    table = _table("lever", "before", "after", "took")
    for receipt in incident.receipts:
        table.add_row(
            Text(str(receipt.target), style="bold"),
            pairs(receipt.before),
            pairs(receipt.after),
            span(receipt.sealed_at_ms - receipt.started_at_ms),
        )
    return table


def _ledger(incident: Incident) -> RenderableType | None:
    if not incident.ledger:
        return None
    table = _table("measure", "put on", "status", "given back")
    for measure in incident.ledger:
        ended = measure.ended_at_ms
        table.add_row(
            Text(str(measure.change.target), style="bold"),
            pairs(measure.change.after),
            Text(measure.status, style=MEASURE_STYLES[measure.status]),
            moment(ended) if ended else f"due by {moment(measure.deadline_ms)}",
        )
    return table


def _targets(incident: Incident) -> RenderableType | None:
    if not incident.readings:
        return None
    table = _table("target", "value", "wanted", "")
    for reading in incident.readings:
        table.add_row(
            reading.name,
            number(reading.value, beside=reading.bound),
            f"{reading.direction} {exact(reading.bound)}",
            Text(reading.verdict, style=VERDICT_STYLES[reading.verdict]),
        )
    green, wanted = incident.hold.green_ms, incident.policy.hold_ms
    hold = Text(f"green for {span(green)} of a hold of {format_duration(wanted)}", style="dim")
    return Group(table, hold)


def _audit(incident: Incident) -> RenderableType | None:
    if not incident.audit:
        return None
    text = Text()
    for check in incident.audit:
        mark, style = ("passed", "green") if check.passed else ("FAILED", "bold red")
        text.append(mark, style=style)
        text.append(f"  {check.name}")
        text.append(f"  {check.detail}\n" if check.detail else "\n", style="dim")
    text.rstrip()
    return text


def _root_cause(incident: Incident) -> RenderableType | None:
    cause = incident.root_cause
    if cause is None:
        return None
    return Text.assemble(
        (cause.cause_class, "bold"),
        f"  {cause.summary}\n{cause.link}\n",
        (f"owner {cause.owner}, filed by {cause.by} at {moment(cause.filed_at_ms)}", "dim"),
    )


def _table(*columns: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim", show_header=bool(columns))
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
