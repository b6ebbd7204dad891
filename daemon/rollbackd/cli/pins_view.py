"""How known good sets are shown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from rollbackd.cli.answers import SetAnswer, ShownSet
from rollbackd.cli.phrases import moment, number, pairs
from rollbackd.documents.durations import format_duration
from rollbackd.model.known_good import Baseline, SetStatus
from rollbackd.model.pins import REQUIRED_PINS

_STYLES: Final = {
    SetStatus.GOOD: "green",
    SetStatus.CANDIDATE: "yellow",
    SetStatus.RETIRED: "dim",
}
_STATISTICS: Final = ("p50", "p95", "p99", "mean", "ratio", "count")
#: What tells sets apart at a glance.
_TELLING: Final = ("BUILD_ID", "MODEL_VER", "PROMPT_VER", "INDEX_HASH")


class Difference(msgspec.Struct, frozen=True):
    """One thing that two sets say differently; None where one of them says nothing."""

    part: str
    name: str
    a: str | None
    b: str | None


def table(sets: Sequence[ShownSet]) -> Table:
    """One line a set."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "id", "scope", "status", "recorded", "by", "pins", "note"):
        shown.add_column(column, overflow="fold", no_wrap=column == "id")
    for each in sets:
        telling = [each.pins[name] for name in _TELLING if name in each.pins]
        shown.add_row(
            Text("*" if each.in_force else "", style="bold green"),
            Text(each.id, style="bold" if each.in_force else ""),
            Text(each.scope),
            Text(each.status, style=_STYLES[each.status]),
            Text(moment(each.recorded_at_ms), style="dim"),
            Text(each.by or "-"),
            Text(" ".join(telling) or "-"),
            Text(each.note),
        )
    return shown


def show(console: Console, each: ShownSet) -> None:
    """One set, whole."""
    console.print(_head(each))
    _section(console, "pins", {name: each.pins[name] for name in _ordered(each.pins)})
    _section(console, "controls", {name: pairs(v) for name, v in sorted(each.controls.items())})
    targets = {
        name: pairs(target.value) + (f" ({pairs(target.facts)})" if target.facts else "")
        for name, target in sorted(each.targets.items())
    }
    _section(console, "targets", targets)
    if each.baseline:
        console.print()
        console.print(_baseline(each.baseline))


def show_gaps(console: Console, recorded: SetAnswer) -> None:
    """What the set does without."""
    gaps = {
        "required pins that it lacks": ", ".join(recorded.missing),
        "not measured": ", ".join(recorded.not_measured),
        "not read": "; ".join(f"{k}: {why}" for k, why in sorted(recorded.not_observed.items())),
    }
    for what, which in gaps.items():
        if which:
            console.print(Text(f"{what}: {which}", style="yellow"))


def differences(a: ShownSet, b: ShownSet) -> list[Difference]:
    """What the two say differently, in the order in which it is shown."""
    return [
        *_differing("pin", a.pins, b.pins, _ordered({**a.pins, **b.pins})),
        *_differing("control", _told(a.controls), _told(b.controls)),
        *_differing("target", _targets(a), _targets(b)),
        *_differing("baseline", _flat(a.baseline), _flat(b.baseline)),
    ]


def difference_table(a: str, b: str, found: Sequence[Difference]) -> Table:
    """One line a difference."""
    shown = Table(box=None, pad_edge=False, header_style="bold")
    for column in ("", "", a, b):
        shown.add_column(column, overflow="fold")
    for each in found:
        shown.add_row(
            Text(each.part, style="dim"),
            Text(each.name, style="bold"),
            Text(each.a or "-"),
            Text(each.b or "-"),
        )
    return shown


def show_not_compared(console: Console, not_compared: Mapping[str, str]) -> None:
    """What a comparison says nothing of, and why."""
    for name, why in not_compared.items():
        console.print(Text(f"not compared: {name}: {why}", style="yellow"), soft_wrap=True)


def _head(each: ShownSet) -> Table:
    shown = Table.grid(padding=(0, 2))
    standing = Text(each.status, style=_STYLES[each.status])
    if each.in_force:
        standing.append(", in force", style="bold green")
    if each.status_by:
        standing.append(f" (by {each.status_by}, {moment(each.status_at_ms)})", style="dim")
    window = f"{format_duration(each.window_ms)}, measured" if each.window_ms else ""
    rows = {
        "set": Text(each.id, style="bold"),
        "scope": Text(each.scope),
        "status": standing,
        "recorded": Text(f"{moment(each.recorded_at_ms)} by {each.by or 'an event'}"),
        "window": Text(window or ("as it was sent" if each.baseline else "none")),
        "note": Text(each.note),
    }
    for name, value in rows.items():
        if value.plain:
            shown.add_row(Text(name, style="dim"), value)
    return shown


def _section(console: Console, title: str, lines: Mapping[str, str]) -> None:
    if not lines:
        return
    shown = Table.grid(padding=(0, 2))
    for name, value in lines.items():
        shown.add_row("", Text(name, style="dim"), Text(value))
    console.print(Text(f"\n{title}", style="bold"))
    console.print(shown)


def _baseline(baseline: Baseline) -> Table:
    used = [s for s in _STATISTICS if any(s in each for each in baseline.values())]
    used += sorted({s for each in baseline.values() for s in each} - set(used))
    shown = Table(box=None, pad_edge=False, header_style="bold")
    shown.add_column("baseline")
    for name in used:
        shown.add_column(name, justify="right")
    for metric, statistics in baseline.items():
        cells = [number(statistics.get(name)) for name in used]
        if "count" in statistics:
            cells[used.index("count")] = f"{statistics['count']:,.0f}"
        shown.add_row(Text(metric, style="dim"), *cells)
    return shown


def _ordered(pins: Mapping[str, str]) -> list[str]:
    """The required ones as the runbook lists them, then the others."""
    required = [name for name in REQUIRED_PINS if name in pins]
    return [*required, *sorted(pins.keys() - set(required))]


def _differing(
    part: str, a: Mapping[str, str], b: Mapping[str, str], order: Sequence[str] = ()
) -> Iterator[Difference]:
    for name in order or sorted({**a, **b}):
        if a.get(name) != b.get(name):
            yield Difference(part, name, a.get(name), b.get(name))


def _told(controls: Mapping[str, dict[str, object]]) -> dict[str, str]:
    return {name: pairs(value) for name, value in controls.items()}


def _targets(each: ShownSet) -> dict[str, str]:
    return {name: pairs({**t.value, **t.facts}) for name, t in each.targets.items()}


def _flat(baseline: Baseline) -> dict[str, str]:
    return {
        f"{m}:{s}": number(value) for m, stats in baseline.items() for s, value in stats.items()
    }
