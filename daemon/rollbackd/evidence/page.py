"""The post-mortem as one self-contained page: `report.html`, no script, nothing fetched."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from rollbackd.drawing.markup import Markup, element, joined, table
from rollbackd.drawing.style import CSS
from rollbackd.evidence import story
from rollbackd.evidence.bundle import Bundle
from rollbackd.evidence.figures import series_figures, target_figures, trigger_figures
from rollbackd.evidence.headline import Headline, headline_of
from rollbackd.evidence.wording import date, time
from rollbackd.model.incidents import Incident
from rollbackd.model.labels import format_labels

#: Nothing may be fetched, and nothing may run.
POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
#: The tiles on top; the table has them all.
_TILES: Final = frozenset({"time to detect", "time to decide", "time to flip", "time to green"})


def render_page(bundle: Bundle) -> str:
    """The document."""
    incident = bundle.incident
    said = headline_of(incident)
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", f"{incident.id}: {incident.branch} on {incident.scope}"),
        element("style", Markup(CSS)),
    )
    body = element("body", element("main", *_sections(bundle, said)))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _sections(bundle: Bundle, said: Headline) -> Iterator[Markup]:
    incident = bundle.incident
    colour = "badge good" if said.is_well else "badge bad-badge"
    badge = element("span", said.verdict, class_=colour)
    yield element("h1", badge, f" {incident.branch} on {incident.scope}")
    when = f"{date(incident.opened_at_ms)} {time(incident.opened_at_ms)[:8]} UTC"
    yield element("p", f"Incident {incident.id}, opened {when}", class_="sub")
    yield _answers(said)
    yield _tiles(bundle)
    yield from _plots(bundle)
    yield from _tables(bundle)
    yield from _root_cause(incident)
    yield from _proof(bundle)
    yield element("footer", "Made by rollbackd. Times are UTC. The same as text: report.md.")


def _answers(said: Headline) -> Markup:
    answers = (
        ("What broke?", said.broke),
        ("What was done?", said.done),
        ("Is it all right now?", said.now),
        ("What do you have to do?", said.todo),
    )
    cards = (
        element(
            "section",
            element("h2", question),
            *(element("p", _with_code(sentence)) for sentence in sentences),
            class_="card",
        )
        for question, sentences in answers
    )
    return element("div", *cards, class_="answers")


def _with_code(sentence: str) -> Markup:
    """What stands in backticks becomes code."""
    parts = sentence.split("`")
    return joined(element("code", part) if index % 2 else part for index, part in enumerate(parts))


def _tiles(bundle: Bundle) -> Markup:
    rows = [row for row in story.times(bundle.incident, bundle.journal) if row[0] in _TILES]
    tiles = (
        element("div", element("b", took), element("span", f"{name}: {what}"), class_="tile")
        for name, took, what in rows
    )
    return element("div", *tiles, class_="tiles")


def _plots(bundle: Bundle) -> Iterator[Markup]:
    if rules := trigger_figures(bundle):
        yield element("h2", "Why it was pulled")
        yield from rules
        if raw := series_figures(bundle):
            yield element("details", element("summary", "the series that were read"), *raw)
    if targets := target_figures(bundle):
        yield element("h2", "Exit targets: when is it all right again")
        yield from targets


def _tables(bundle: Bundle) -> Iterator[Markup]:
    incident = bundle.incident
    rows = [
        (
            time(t.evaluated_at_ms),
            t.rule,
            story.fired_value(incident, t),
            element("code", format_labels(t.labels)),
            t.annotations.get("summary", ""),
        )
        for t in incident.triggers
    ]
    yield from _table("Triggers", ("time", "rule", "value", "on", "summary"), rows)
    for said in story.unlisted(incident):
        yield element("p", said)
    yield from _table("What was changed before", story.CHANGE_COLUMNS, story.changes(incident))
    timeline = [
        (element("time", at), what, element("code", why, class_="name"), _detail(detail))
        for at, what, why, detail in story.timeline(bundle.journal)
    ]
    yield from _table("Timeline", ("time", "transition", "because", "detail"), timeline)
    yield from _table("Pins", *story.pins(bundle))
    yield from _table("Controls", ("control", "before", "after"), story.controls(bundle))
    yield from _lists(bundle)
    yield from _table(
        "Temporary measures", ("measure", "taken", "ended", "how"), story.measures(incident)
    )
    columns = ("op", "target", "before", "after", "epoch", "sealed")
    yield from _table("Receipts", columns, story.receipts(incident))
    yield from _table(
        "Last reading", ("target", "last value", "bound", "verdict"), story.targets(incident)
    )
    yield from _table("Side effects", ("", ""), story.side_effects(incident))
    yield from _table(
        "Side effects to look at",
        ("key", "verdict", "ledger", "downstream", "to do"),
        story.open_effects(incident),
    )
    checks = [
        ("passed" if c.passed else element("span", "failed", class_="bad"), c.name, c.detail)
        for c in incident.audit
    ]
    yield from _table("Audit", ("", "check", "detail"), checks)


def _lists(bundle: Bundle) -> Iterator[Markup]:
    evidence = bundle.incident.evidence
    missing = ["everything: it ended before the capture"]
    if evidence is not None:
        missing = [f"{name}, before" for name in evidence.unavailable]
        missing += [f"pin {name}: no event carried it" for name in evidence.missing_pins]
    missing += [f"{name}, after" for name in bundle.after.unavailable]
    if missing:
        yield element("h2", "What could not be captured")
        yield element("ul", *(element("li", each) for each in missing))


def _root_cause(incident: Incident) -> Iterator[Markup]:
    yield element("h2", "Root cause")
    rows = story.causes(incident)
    if rows:
        yield table(("", ""), rows)
        return
    blank = [(name, "") for name in ("class", "summary", "owner", "link to the fix")]
    yield table(("", "to be filled in"), blank)
    command = f"rollbackd close {incident.id} --final"
    command += " --cause CLASS --summary TEXT --owner NAME --link URL"
    yield element("p", "File it with ", element("code", command), class_="note")


def _proof(bundle: Bundle) -> Iterator[Markup]:
    evidence = bundle.incident.evidence
    rows = [
        ("bundle.json", bundle.digest),
        ("head of the journal's chain", bundle.incident.chain_head),
        ("evidence", evidence.digest if evidence else ""),
    ]
    shown = [(name, element("code", digest)) for name, digest in rows if digest]
    yield from _table("Proof", ("what", "SHA-256"), shown)
    command = f"rollbackd audit verify {bundle.incident.id}"
    yield element("p", "Check it with ", element("code", command), class_="note")


def _detail(detail: str) -> Markup:
    """A long detail is folded."""
    if len(detail) <= 120:  # about two lines of its column
        return element("span", detail)
    return element("details", element("summary", f"{detail[:80]}…"), detail)


def _table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[Markup]:
    """A section; nothing when there is no row."""
    filled = list(rows)
    if filled:
        yield element("h2", title)
        yield table(columns, filled)
