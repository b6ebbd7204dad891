"""What both forms of the post-mortem tell: times, moments and tables, as rows of text."""

from collections.abc import Sequence
from typing import Final

import msgspec

from rollbackd.documents.numbers import exact
from rollbackd.evidence.bundle import Bundle
from rollbackd.evidence.wording import ABSENT, number, span, time, value_text
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident, JournalRecord
from rollbackd.model.triggers import Trigger

Row = tuple[str, ...]

#: The headings of `changes`.
CHANGE_COLUMNS: Final = ("time", "what", "from", "to", "by", "link")

#: Reasons of the records that are marked in the plots, with their words.
_MARKED: Final = {
    Reason.FREEZE_IN_FORCE: "freeze",
    Reason.FREEZE_CONFIRMED: "freeze",
    Reason.FLIP_VERIFIED: "flip",
    Reason.FLIP_REVERTED: "put back",
    Reason.FIRST_GREEN_MISSED: "no green",
    Reason.MEASURES_RESTORED: "restored",
}


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is marked in every plot."""

    at_ms: int
    words: str


def moments(incident: Incident, journal: Sequence[JournalRecord]) -> list[Moment]:
    """Trigger, freeze, flip, green and what else changed the course, each once, by time."""
    found = {"trigger": incident.opened_at_ms}
    for record in journal:
        words = _MARKED.get(record.reason)
        if words is not None and record.from_state is not None:
            found.setdefault(words, record.at_ms)
    if incident.hold.first_green_at_ms is not None:
        found["green"] = incident.hold.first_green_at_ms
    if incident.green_at_ms is not None:
        found["hold over"] = incident.green_at_ms
    return sorted(
        (Moment(at_ms=at_ms, words=words) for words, at_ms in found.items()),
        key=lambda moment: moment.at_ms,
    )


def times(incident: Incident, journal: Sequence[JournalRecord]) -> list[Row]:
    """(what, how long, from where to where)."""
    active = [t.active_at_ms for t in incident.triggers[:1]]
    held = active[0] if active else None
    planned = next((r.at_ms for r in journal if r.reason is Reason.ACT_PLANNED), None)
    chosen = next((r.at_ms for r in journal if r.reason is Reason.LEVER_CHOSEN), planned)
    green = incident.hold.first_green_at_ms
    opened, flipped = incident.opened_at_ms, incident.flipped_at_ms
    return [
        ("time to detect", span(held, opened), "the expression first held, to the incident"),
        ("time to decide", span(opened, chosen), "the incident, to the lever that was chosen"),
        ("time to flip", span(opened, flipped), "the incident, to the pointer read back"),
        ("time to green", span(flipped, green), "the flip, to the first green reading"),
        ("hold", span(0, incident.hold.green_ms), "green without a gap"),
        ("in all", span(opened, incident.closed_at_ms), "the incident, to its end"),
    ]


def fired_value(incident: Incident, trigger: Trigger) -> str:
    """The value of a rule instance when it fired; also the last one, where it fired again."""
    value, again = f"{trigger.value:g}", incident.recurrence_of(trigger)
    if again is None:
        return value
    last = again.last
    return f"{value} ({again.times} times, last {last.value:g} at {time(last.evaluated_at_ms)})"


def unlisted(incident: Incident) -> list[str]:
    """What is said of firings that the incident has no room to name."""
    return [
        f"{rule} fired {times} more times on labels that only the timeline names"
        for rule, times in incident.unlisted.items()
    ]


def pins(bundle: Bundle) -> tuple[Row, list[Row]]:
    """Columns and rows: known good, then every arm before and after."""
    evidence = bundle.incident.evidence
    if evidence is None:
        return (), []
    after = bundle.after.pins_seen
    arms = sorted({*evidence.pins_seen, *after})
    whens = [f"{arm} {when}" for arm in arms for when in ("before", "after")]
    seen = [s.get(arm, {}) for arm in arms for s in (evidence.pins_seen, after)]
    good = evidence.known_good_pins
    names = sorted({*good, *(name for each in seen for name in each)})
    rows = [
        (name, good.get(name, ABSENT), *(each.get(name, ABSENT) for each in seen)) for name in names
    ]
    return ("pin", "known good", *whens), rows


def controls(bundle: Bundle) -> list[Row]:
    """(control, before, after)."""
    before = bundle.incident.evidence.controls if bundle.incident.evidence else {}
    after = bundle.after.controls
    return [(name, _value(before, name), _value(after, name)) for name in sorted({*before, *after})]


def measures(incident: Incident) -> list[Row]:
    """(measure, taken, ended, how)."""
    return [
        (str(m.change.target), time(m.taken_at_ms), time(m.ended_at_ms), m.status.replace("_", " "))
        for m in incident.ledger
    ]


def receipts(incident: Incident) -> list[Row]:
    """(op, target, before, after, epoch, sealed)."""
    return [
        (
            r.op_id,
            str(r.target),
            value_text(r.before),
            value_text(r.after),
            str(r.epoch),
            time(r.sealed_at_ms) + (" (reconciled)" if r.reconciled else ""),
        )
        for r in incident.receipts
    ]


def targets(incident: Incident) -> list[Row]:
    """(target, last value, bound, verdict)."""
    return [
        (r.name, number(r.value, beside=r.bound), f"{r.direction} {exact(r.bound)}", str(r.verdict))
        for r in incident.readings
    ]


def timeline(journal: Sequence[JournalRecord]) -> list[Row]:
    """(time, transition, because, detail)."""
    return [
        (
            time(r.at_ms),
            f"{r.from_state or ABSENT} => {r.to_state}",
            str(r.reason),
            ", ".join(
                f"{k}: {value_text(v)}" for k, v in r.detail.items() if v not in ("", [], None)
            ),
        )
        for r in journal
    ]


def causes(incident: Incident) -> list[Row]:
    """(field, what a person filed); empty while nobody has."""
    cause = incident.root_cause
    if cause is None:
        return []
    return [
        ("class", cause.cause_class),
        ("summary", cause.summary),
        ("owner", cause.owner),
        ("link", cause.link),
        ("filed by", f"{cause.by} at {time(cause.filed_at_ms)}"),
    ]


def _value(found: dict[str, object], name: str) -> str:
    return value_text(found[name]) if name in found else ABSENT


def changes(incident: Incident) -> list[Row]:
    """(time, what, from, to, by, link) of what was changed before it was opened."""
    return [
        (
            time(change.time_ms),
            f"{change.kind} {change.subject}",
            change.before or ABSENT,
            change.after or ABSENT,
            change.by or ABSENT,
            change.link or ABSENT,
        )
        for change in incident.changes
    ]


def side_effects(incident: Incident) -> list[Row]:
    """What the last comparison of receipts with what is there downstream came to (A4)."""
    found = incident.reconciliation
    if found is None or not (found.listing or found.unavailable):
        return []
    rows = [
        ("compared with", found.listing or ABSENT),
        ("from, to", f"{time(found.from_ms)}, {time(found.to_ms)}"),
    ]
    if not found.is_known:
        return [*rows, ("not known", found.unavailable)]
    rows += [(verdict.value, str(count)) for verdict, count in found.counts.items()]
    rows += [(f"in doubt: {word.value}", str(count)) for word, count in found.settled.items()]
    rows += [("accepted", str(found.accepted))] if found.accepted else []
    return [*rows, ("open", str(found.open_items))]


def open_effects(incident: Incident) -> list[Row]:
    """(key, verdict, ledger, downstream, what is to be done) of the items that are named."""
    found = incident.reconciliation
    return [
        (
            item.key,
            item.verdict,
            " ".join([item.ledger_state, *item.ledger_effects]),
            " ".join([item.downstream_state, *item.downstream_effects]),
            item.resolution,
        )
        for item in (found.items if found is not None else [])
    ]
