"""What was wrong in a plan, as the labels that `rollbackd backtest --labels` reads."""

from collections.abc import Iterable
from datetime import UTC, datetime

from rollbackd.app.backtest.labels import Label
from rollbackd.app.generating.plans import Plan


def labels_of(plan: Plan) -> list[Label]:
    """The one incident of a bad plan, from its onset until its end; none of a healthy one."""
    if plan.fault_ms is None:
        return []
    return [
        Label(
            scope=str(plan.scopes[0]),
            branch=plan.scenario.branch,
            start_ms=plan.fault_ms,
            end_ms=plan.end_ms,
            note=_note(plan),
        )
    ]


def write_labels(labels: Iterable[Label]) -> str:
    """A file of labels."""
    return "".join(map(_entry, labels)) or "[]\n"


def _entry(label: Label) -> str:
    branch = f"  branch: {label.branch}\n" if label.branch else ""
    return (
        f"- scope: {label.scope}\n{branch}"
        f"  start: {_time(label.start_ms)}\n"
        f"  end: {_time(label.end_ms)}\n"
        f"  note: {label.note}\n"
    )


def _note(plan: Plan) -> str:
    drawn = ", ".join(f"{each.quantity} {each.by:.4g}" for each in plan.injections)
    return f"{plan.scenario.line} {plan.scenario.name}, {drawn}"


def _time(time_ms: int) -> str:
    """RFC 3339 to the millisecond, so that reading it back gives the same."""
    moment = datetime.fromtimestamp(time_ms / 1_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")
