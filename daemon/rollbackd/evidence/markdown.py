"""The post-mortem as Markdown: `report.md`."""

from collections.abc import Iterable, Iterator, Sequence

from rollbackd.evidence import story
from rollbackd.evidence.bundle import Bundle
from rollbackd.evidence.headline import headline_of
from rollbackd.evidence.story import CHANGE_COLUMNS
from rollbackd.evidence.wording import time
from rollbackd.model.incidents import Incident
from rollbackd.model.labels import format_labels


def render_markdown(bundle: Bundle) -> str:
    """The report, with a root-cause section that is empty until a person fills it in."""
    incident = bundle.incident
    pin_columns, pin_rows = story.pins(bundle)
    sections = [
        _headline(incident),
        _section("Times", ("", "", "from, to"), story.times(incident, bundle.journal)),
        _triggers(incident),
        _section("What was changed before", CHANGE_COLUMNS, story.changes(incident)),
        _section("Pins", pin_columns, pin_rows),
        _section("Controls", ("control", "before", "after"), story.controls(bundle)),
        _captured(bundle),
        _section(
            "Timeline",
            ("time (UTC)", "transition", "because", "detail"),
            story.timeline(bundle.journal),
        ),
        _section(
            "Temporary measures", ("measure", "taken", "ended", "how"), story.measures(incident)
        ),
        _section(
            "Receipts",
            ("op", "target", "before", "after", "epoch", "sealed"),
            story.receipts(incident),
        ),
        _section(
            "Exit targets", ("target", "last value", "bound", "verdict"), story.targets(incident)
        ),
        _section("Side effects", ("", ""), story.side_effects(incident)),
        _section(
            "Side effects to look at",
            ("key", "verdict", "ledger", "downstream", "to do"),
            story.open_effects(incident),
        ),
        _audit(incident),
        _proof(bundle),
        _root_cause(incident),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _headline(incident: Incident) -> str:
    said = headline_of(incident)
    answers = (
        ("What broke", said.broke),
        ("What was done", said.done),
        ("Is it all right now", said.now),
        ("What do you have to do", said.todo),
    )
    lines = [f"# {said.verdict}: {incident.branch} on {incident.scope}", ""]
    lines.append(f"Incident `{incident.id}`, {incident.state} because of {incident.reason}.")
    for question, sentences in answers:
        lines += ["", f"**{question}?** " + " ".join(map(line, sentences))]
    return "\n".join(lines)


def _triggers(incident: Incident) -> str:
    lines = [
        f"- `{t.rule}` = {story.fired_value(incident, t)} at {time(t.evaluated_at_ms)}"
        f" on `{format_labels(t.labels)}`"
        + (f": {line(t.annotations['summary'])}" if "summary" in t.annotations else "")
        for t in incident.triggers
    ]
    lines += [f"- {said}" for said in story.unlisted(incident)]
    if incident.pulled_by:
        lines.append(f"- pulled by hand by {line(incident.pulled_by)}")
    return "## Why it was pulled\n\n" + "\n".join(lines)


def _captured(bundle: Bundle) -> str:
    evidence = bundle.incident.evidence
    lines = []
    if evidence is None:
        lines.append("- nothing was captured before it ended")
    else:
        lines += [f"- not captured before: {line(name)}" for name in evidence.unavailable]
        lines += [f"- pin that no event carried: {name}" for name in evidence.missing_pins]
    lines += [f"- not captured after: {line(name)}" for name in bundle.after.unavailable]
    return "## What could not be captured\n\n" + "\n".join(lines) if lines else ""


def _audit(incident: Incident) -> str:
    lines = [
        f"- {'passed' if check.passed else '**failed**'}: {check.name} ({line(check.detail)})"
        for check in incident.audit
    ]
    return "## Audit\n\n" + "\n".join(lines) if lines else ""


def _proof(bundle: Bundle) -> str:
    evidence = bundle.incident.evidence
    rows = [("bundle", bundle.digest), ("head of the journal's chain", bundle.incident.chain_head)]
    rows += [("evidence", evidence.digest)] if evidence else []
    lines = [f"- {name}: `{digest}`" for name, digest in rows if digest]
    return "## Proof\n\n" + "\n".join(lines)


def _root_cause(incident: Incident) -> str:
    rows = story.causes(incident)
    if rows:
        return _section("Root cause", ("", ""), rows)
    return (
        "## Root cause\n\n_To be filled in: class, summary, owner, link to the fix "
        f"(`rollbackd close {incident.id} --final`)._"
    )


def _section(title: str, columns: Sequence[str], rows: Iterable[story.Row]) -> str:
    """A table; nothing when there is no row."""
    lines = list(_table(columns, rows))
    return f"## {title}\n\n" + "\n".join(lines) if len(lines) > 2 else ""


def _table(columns: Sequence[str], rows: Iterable[story.Row]) -> Iterator[str]:
    yield "| " + " | ".join(map(line, columns)) + " |"
    yield "|---" * len(columns) + "|"
    for row in rows:
        yield "| " + " | ".join(map(line, row)) + " |"


def line(text: str) -> str:
    """Text from outside, so that it stays in its line and its cell."""
    return " ".join(text.replace("|", "\\|").split())
