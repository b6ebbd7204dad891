"""The page as a whole: the answer first, then the timeline, the decisions and what they rest on."""

from collections.abc import Iterator
from typing import Final

from rollbackd.app.backtest.findings import Findings
from rollbackd.app.backtest.html.cards import decisions
from rollbackd.app.backtest.html.plots import plots
from rollbackd.app.backtest.html.swimlanes import key, swimlanes
from rollbackd.app.backtest.labels import Label
from rollbackd.app.backtest.scoring import Score
from rollbackd.app.backtest.timeline import scopes_of, verdict
from rollbackd.app.backtest.times import format_time
from rollbackd.documents.durations import format_duration
from rollbackd.drawing.markup import Markup, element, joined, table
from rollbackd.drawing.style import CSS
from rollbackd.model.triggers import RuleState

#: Nothing may be fetched, and nothing may run.
_POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'"
_MOST_FAULTS: Final = 50

_WORDS: Final = (
    ("scope", "What is rolled back together: one service in one region."),
    ("branch", "One kind of trouble, with the levers that help against it."),
    ("freeze", "Stop the writes that cannot be repeated, until it is over."),
    ("flip", "Move one pointer (a flag, an alias, a route) back to the known good."),
    ("rotate", "Begin a new cache namespace, so that no bad answer is served again."),
    ("throttle", "Limit the load, until it is over."),
    ("hold", "How long everything has to stay green before the measures are given back."),
    ("cooldown", "How long the same branch leaves a scope alone after an incident."),
    ("guardrail", "A reason not to act, asked before the first act."),
)


def page(findings: Findings, score: Score | None) -> str:
    """The document."""
    title = f"Backtest of {', '.join(findings.input.sources)}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("title", title),
        element("style", Markup(CSS)),
    )
    body = element("body", element("main", *_sections(findings, score)))
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _sections(findings: Findings, score: Score | None) -> Iterator[Markup]:
    read = findings.input
    yield element("h1", "What rollbackd would have done")
    span = f"{format_time(read.from_ms)} to {format_time(read.to_ms)}"
    yield element("p", f"Backtest of {', '.join(read.sources)}, {span}", class_="sub")
    yield element("p", verdict(findings), class_="verdict")
    yield _tiles(findings, score)
    yield _explanation()
    yield from _timelines(findings, score)
    yield from decisions(findings)
    drawn = plots(findings)
    if drawn:
        yield element("h2", "What the rules looked at")
        yield joined(drawn)
    if score is not None:
        yield from _scored(score)
    yield from _caveats(findings)
    yield element("footer", "Made by `rollbackd backtest`. Times are UTC. Nothing was moved.")


def _tiles(findings: Findings, score: Score | None) -> Markup:
    fired = {t.rule for t in findings.transitions if t.state is RuleState.FIRING}
    acting = sum(d.would_act for d in findings.decisions)
    facts = [
        (f"{findings.input.events:,}", "events"),
        (f"{len(fired)} of {len(findings.rules)}", "rules fired"),
        (str(acting), "times it would act"),
        (str(len(findings.decisions) - acting), "times a guardrail says no"),
    ]
    if score is not None:
        facts += [
            (_percent(score.precision), f"precision: {score.right} of {score.calls} calls right"),
            (_percent(score.recall), f"recall: {len(score.found)} of {score.labelled} found"),
        ]
        if score.detect_median_ms is not None:
            median = format_duration(round(score.detect_median_ms / 1_000) * 1_000)
            facts.append((median, "median time to detect"))
    tiles = (element("div", element("b", b), element("span", s), class_="tile") for b, s in facts)
    return element("div", *tiles, class_="tiles")


def _explanation() -> Markup:
    words = joined(joined([element("dt", w), element("dd", m)]) for w, m in _WORDS)
    return element(
        "details",
        element("summary", "How to read this page"),
        element(
            "p",
            "Recorded events were played through the same rules, decisions and guardrails that the "
            "daemon runs, on a clock that follows the recording. Levers were planned and not "
            "pulled. A recording does not react to levers, so after a decision the incident "
            "counts as open for the hold of its branch, and then the cooldown applies.",
        ),
        element("dl", words),
    )


def _timelines(findings: Findings, score: Score | None) -> Iterator[Markup]:
    labels = _labels(score)
    scopes = scopes_of(findings, labels)
    if not scopes:
        return
    yield element("h2", "Timeline")
    yield key(with_labels=bool(labels))
    for scope in scopes:
        here = [label for label in labels if label.scope == scope]
        yield element(
            "div",
            element("h3", scope or "rules without a scope"),
            swimlanes(findings, scope, here),
            class_="figure",
        )


def _labels(score: Score | None) -> list[Label]:
    if score is None:
        return []
    known = [*(f.label for f in score.found), *(m.label for m in score.misses)]
    return sorted(known, key=lambda label: label.start_ms)


def _scored(score: Score) -> Iterator[Markup]:
    yield element("h2", "Against what really happened")
    yield element(
        "p",
        "A call is right when it comes inside a labelled incident of its scope and branch. A "
        "labelled incident is found by a right call, or by a rule that joins an open incident.",
        class_="note",
    )
    rows = [
        (element("b", "found"), format_time(f.label.start_ms), f.label.scope, f.label.branch,
         f"{f.rule} after {f.after_ms / 1_000:.1f} s (decision {f.decision})", f.label.note)
        for f in score.found
    ]  # fmt: skip
    rows += [
        (element("b", "missed", class_="bad"), format_time(m.label.start_ms), m.label.scope,
         m.label.branch, m.note, m.label.note)
        for m in score.misses
    ]  # fmt: skip
    rows += [
        (element("b", "false call", class_="bad"), format_time(f.at_ms), f.scope, f.branch,
         f"{f.rule} (decision {f.decision})", f.note)
        for f in score.false_calls
    ]  # fmt: skip
    yield table(("", "time", "scope", "branch", "by", "note"), rows)
    if score.not_covered:
        count = len(score.not_covered)
        yield element("p", f"{count} labels lie outside the recording.", class_="note")


def _caveats(findings: Findings) -> Iterator[Markup]:
    read = findings.input
    notes = [f"{read.ignored:,} events said nothing that is read"] if read.ignored else []
    notes += [
        f"{count:,} samples were not kept: {reason}" for reason, count in read.refused.items()
    ]
    notes += [
        f"{f.rule} could not be evaluated {f.times:,} times from {format_time(f.first_at_ms)}: "
        f"{f.message}"
        for f in findings.failures
    ]
    notes += [
        f"no event from {format_time(g.from_ms)} to {format_time(g.to_ms)}" for g in read.gaps
    ]
    if not notes and not read.bad:
        return
    yield element("h2", "What to know")
    yield element("ul", *(element("li", note) for note in notes))
    if read.bad:
        yield element("p", f"{read.bad:,} lines or records could not be used:")
        rows = ((bad.place, bad.reason) for bad in read.bad_inputs[:_MOST_FAULTS])
        yield table(("where", "why"), rows)


def _percent(value: float | None) -> str:
    return "n/a" if value is None else f"{value:.0%}"
