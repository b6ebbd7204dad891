"""The reason why a rule fires or does not, as one sentence an instance."""

from collections.abc import Sequence
from datetime import UTC, datetime

from rollbackd.model.decisions import Reason
from rollbackd.model.explanations import ExplainedInstance, Fate
from rollbackd.model.labels import format_labels
from rollbackd.model.triggers import RuleState
from rollbackd.promql.explaining import Here, Node
from rollbackd.promql.reasons import Reasons, rough


def no_element(root: Node, here: Here, at_ms: int, where: str) -> str:
    """Why an alert rule has no instance."""
    if root.error:
        return f"it cannot be evaluated: {root.error}"
    found = sum(1 for labels, _ in root.elements if here(labels))
    if found:
        return f"the expression holds for {_counted(found, 'element')} at this time"
    return f"no elements: {Reasons(here, at_ms=at_ms, where=where).why_empty(root)}"


def recorded(root: Node, here: Here, at_ms: int, where: str) -> str:
    """What a recording rule writes, or why it writes nothing."""
    found = sum(1 for labels, _ in root.elements if here(labels))
    if root.error or not found:
        return no_element(root, here, at_ms, where)
    return f"records {_counted(found, 'series', 'series')}"


def sentences(
    instances: Sequence[ExplainedInstance], total: int, keep_firing_for_ms: int, *, for_ms: int
) -> list[str]:
    """One sentence for each instance; they are named when there are several."""
    said = [_sentence(each, keep_firing_for_ms, for_ms) for each in instances]
    if total > 1:
        said = [
            f"{format_labels(i.labels.items())}: {s}" for i, s in zip(instances, said, strict=True)
        ]
    rest = total - len(said)
    return [*said, f"and {rest} more"] if rest > 0 else said


def _sentence(instance: ExplainedInstance, keep_firing_for_ms: int, for_ms: int) -> str:
    if instance.state is RuleState.PENDING:
        assert instance.fires_at_ms is not None
        return (
            f"pending for {rough(instance.held_ms)} of {rough(for_ms)};"
            f" fires at {_moment(instance.fires_at_ms)} if it goes on"
        )
    fate = _fate(instance.fate, instance.labels.get("branch", ""))
    if instance.kept_until_ms is not None:
        since = _moment(instance.kept_until_ms - keep_firing_for_ms)
        return (
            f"does not hold since {since}, and fires until {_moment(instance.kept_until_ms)}"
            f" by `keep_firing_for`{fate}"
        )
    return f"fires{fate}"


def _fate(fate: Fate, branch: str) -> str:
    if fate.incident_id:
        return f"; incident {fate.incident_id} answers for it"
    match fate.reason:
        case None:
            return "" if branch else "; it names no branch, so that nothing is pulled"
        case Reason.JOINED_OPEN_INCIDENT:
            return "; the scope has an open incident, which it joined"
        case Reason.NO_SCOPE:
            return ", but its labels name no scope that could be rolled back"
        case Reason.UNKNOWN_BRANCH:
            return f", but the decision tree has no branch `{branch}`"
    return f", but guardrail `{fate.reason}` said no"


def _moment(time_ms: int) -> str:
    return datetime.fromtimestamp(time_ms / 1_000, UTC).strftime("%Y-%m-%d %H:%M:%SZ")


def _counted(number: int, noun: str, plural: str = "") -> str:
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
