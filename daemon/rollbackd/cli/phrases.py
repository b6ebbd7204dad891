"""How times, values and states are worded, the same in every command."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Final

from rollbackd.documents.numbers import told_apart
from rollbackd.model.incidents import MeasureStatus, State
from rollbackd.model.triggers import Verdict

STATE_STYLES: Final = {
    State.CLOSED: "green",
    State.OBSERVED: "cyan",
    State.ABORTED: "magenta",
    State.NEEDS_HUMAN: "bold red",
    State.ESCALATING: "red",
    State.REVERTING: "red",
    State.AWAITING_APPROVAL: "bold yellow",
}

VERDICT_STYLES: Final = {
    Verdict.GREEN: "green",
    Verdict.RED: "red",
    Verdict.UNKNOWN: "yellow",
}

MEASURE_STYLES: Final = {
    MeasureStatus.REGISTERED: "dim",
    MeasureStatus.TAKEN: "bold yellow",
    MeasureStatus.RESTORED: "green",
    MeasureStatus.LEFT_ALONE: "magenta",
    MeasureStatus.HANDED_OVER: "yellow",
    MeasureStatus.VOID: "dim",
    MeasureStatus.LEFT_IN_FORCE: "bold red",
    MeasureStatus.ACKNOWLEDGED: "magenta",
    MeasureStatus.ENDED_BY_HAND: "green",
}


def state_style(state: State) -> str:
    """How a state is coloured; work in progress is yellow."""
    return STATE_STYLES.get(state, "yellow")


def moment(time_ms: int | None) -> str:
    """A wall time in UTC to the second, or a dash."""
    if time_ms is None:
        return "-"
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def span(milliseconds: float) -> str:
    """A length of time as people say it: `420 ms`, `2.25 s`, `12.3 s`, `10m 03s`, `2h 05m`."""
    seconds = milliseconds / 1_000
    if abs(seconds) < 1:
        return f"{milliseconds:.0f} ms"
    if abs(seconds) < 10:
        return f"{seconds:.2f} s"
    if abs(seconds) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def number(value: float | None, *, beside: float | None = None) -> str:
    """Four digits, or as many as tell it from the bound that stands beside it; or a dash."""
    if value is None:
        return "-"
    return f"{value:.4g}" if beside is None else told_apart(value, beside)


def pairs(value: Mapping[str, object] | None) -> str:
    """A control's value on one line: `baseline_weight=1 canary_weight=0`."""
    if value is None:
        return "-"
    return " ".join(f"{key}={_plain(item)}" for key, item in value.items()) or "(empty)"


def _plain(value: object) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g}" if isinstance(value, float) else str(value)


def counted(number_of: int, noun: str) -> str:
    """`1 error`, `2 errors`."""
    return f"{number_of} {noun}" if number_of == 1 else f"{number_of} {noun}s"
