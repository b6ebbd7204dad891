"""What fires, in the place of the trigger engine: alerts as accepted, rules as the services are."""

from collections.abc import Callable, Iterator
from typing import Final

from rollbackd.model.events import Alert, AlertStatus
from rollbackd.model.labels import Labels, Scope, labels_of
from rollbackd.model.triggers import RuleState, Trigger
from rollbackd.triggers.engine import Evaluation

#: A rule that fires for a scope, as the branch that it names.
Firing = tuple[Scope, str]

#: After this long what an earlier process answered for must fire again, or it is over.
WINDOW_MS: Final = 20_000


class Board:
    """Offers what the intake and the evaluation loop ask of an engine.

    `rules` tells which rules fire now; alerts are those that were handed over.
    """

    def __init__(self, rules: Callable[[], list[Firing]]) -> None:
        self.alerts: dict[str, Alert] = {}
        self.dirty = True
        self.series_count = 0
        self._rules = rules
        self._firing: dict[Labels, Trigger] = {}

    def set_alert(self, alert: Alert, *, seen_at_ms: int) -> None:  # noqa: ARG002  # the engine's signature
        """Take an alert's latest word."""
        self.alerts[alert.fingerprint] = alert

    def pin(self, labels: Labels, value: float) -> None:
        """Baselines are of no concern here."""

    def next_due_ms(self, now_ms: int) -> int:
        """Always due."""
        return now_ms

    def evaluating(self, now_ms: int) -> Iterator[Evaluation]:
        """All at once."""
        yield self.evaluate(now_ms)

    def evaluate(self, now_ms: int) -> Evaluation:
        """What fires now, and what changed since the last time."""
        labels = [
            labels_of(alert.labels)
            for alert in self.alerts.values()
            if alert.status is AlertStatus.FIRING
        ]
        labels += [_labels(scope, branch) for scope, branch in self._rules()]
        before, self._firing = self._firing, {}
        for each in labels:
            self._firing[each] = _trigger(each, RuleState.FIRING, now_ms)
        begun = [self._firing[key] for key in self._firing if key not in before]
        ended = [
            _trigger(key, RuleState.INACTIVE, now_ms) for key in before if key not in self._firing
        ]
        return Evaluation(
            transitions=[*begun, *ended],
            firing=list(self._firing.values()),
            failures=[],
            evaluated=len(self._firing),
        )


def alert_labels(scope: Scope, branch: str) -> dict[str, str]:
    """The labels of an alert that names a branch."""
    return {
        "alertname": branch,
        "branch": branch,
        "service": scope.service,
        "region": scope.region,
    }


def _labels(scope: Scope, branch: str) -> Labels:
    return labels_of({**alert_labels(scope, branch), "by": "rule"})


def _trigger(labels: Labels, state: RuleState, now_ms: int) -> Trigger:
    named = dict(labels)
    return Trigger(
        rule=named["alertname"],
        group="simulated",
        state=state,
        labels=labels,
        annotations={},
        value=1.0,
        active_at_ms=now_ms,
        fired_at_ms=now_ms,
        evaluated_at_ms=now_ms,
        event_time_ms=now_ms,
        expr="errors > 0.01",
    )
