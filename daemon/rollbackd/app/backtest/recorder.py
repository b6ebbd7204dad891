"""Notes what the production parts say while they are played through."""

from collections.abc import Iterable, Mapping
from typing import Final

from rollbackd.app.backtest.dry_run import Case
from rollbackd.app.backtest.findings import (
    Decision,
    Ignored,
    PinChange,
    RuleFailure,
    Transition,
)
from rollbackd.clock import Clock
from rollbackd.incidents.checklist import changed_pins
from rollbackd.incidents.opening import scope_of
from rollbackd.model.decisions import Reason
from rollbackd.model.incidents import Incident
from rollbackd.model.triggers import Trigger
from rollbackd.rulefmt.rule_files import RuleFile, RuleKind
from rollbackd.settings import ScopeLabels
from rollbackd.triggers.engine import Evaluation

#: Nothing else tells of these; a joined trigger stands with the incident that it joined.
_UNTOLD: Final = frozenset({Reason.UNKNOWN_BRANCH, Reason.NO_SCOPE})


class Recorder:
    """Transitions, failures and ignored triggers, in the order in which they came."""

    def __init__(self, scope_labels: ScopeLabels, clock: Clock) -> None:
        self.transitions: list[Transition] = []
        self.ignored_triggers: list[Ignored] = []
        self.evaluations = 0
        self._scope_labels = scope_labels
        self._clock = clock
        self._failures: dict[tuple[str, str], RuleFailure] = {}

    def evaluated(self, evaluation: Evaluation) -> None:
        """Hear of an evaluation."""
        self.evaluations += 1
        for trigger in evaluation.transitions:
            self.transitions.append(
                Transition(
                    at_ms=trigger.evaluated_at_ms,
                    rule=trigger.rule,
                    state=trigger.state,
                    scope=self.scope(trigger),
                    branch=trigger.label("branch"),
                    value=trigger.value,
                    labels=dict(trigger.labels),
                )
            )
        for rule, message in evaluation.failures:
            known = self._failures.get((rule, message))
            self._failures[rule, message] = RuleFailure(
                rule=rule,
                message=message,
                first_at_ms=known.first_at_ms if known else self._clock.now(),
                times=known.times + 1 if known else 1,
            )

    def ignored(self, trigger: Trigger, reason: Reason, *, may_not_take_over: bool) -> None:
        """Hear of a trigger that opened nothing.

        A guardrail's word is written down as a decision, except when it was about a takeover.
        """
        refused = may_not_take_over and reason is not Reason.JOINED_OPEN_INCIDENT
        if reason in _UNTOLD or refused:
            self.ignored_triggers.append(
                Ignored(
                    at_ms=self._clock.now(),
                    rule=trigger.rule,
                    scope=self.scope(trigger),
                    reason=reason,
                )
            )

    def scope(self, trigger: Trigger) -> str:
        """The scope that a trigger names, or an empty string."""
        labels = self._scope_labels
        scope = scope_of(trigger, service_label=labels.service, region_label=labels.region)
        return str(scope) if scope is not None else ""

    def failures(self) -> list[RuleFailure]:
        """Every rule that could not be evaluated, with each of its messages."""
        return list(self._failures.values())

    def decisions(self, incidents: Iterable[Incident], cases: Mapping[str, Case]) -> list[Decision]:
        """What was opened, or would have been, but for a guardrail."""
        return [
            _decision(number, incident, cases.get(incident.id), self._clock.now())
            for number, incident in enumerate(incidents, 1)
        ]

    @staticmethod
    def alert_rules(rule_files: Iterable[RuleFile]) -> list[str]:
        """The names of the alert rules, each once, in the order of the files."""
        rules = [r for file in rule_files for group in file.groups for r in group.rules]
        return list(dict.fromkeys(r.name for r in rules if r.kind is RuleKind.ALERT))


def _decision(number: int, incident: Incident, case: Case | None, now_ms: int) -> Decision:
    trigger = incident.triggers[0]
    end_ms = incident.closed_at_ms
    cooled_ms = None
    if incident.acted:
        cooled_ms = (end_ms or incident.entered_at_ms) + incident.policy.cooldown_ms
    return Decision(
        number=number,
        at_ms=incident.opened_at_ms,
        fired_at_ms=trigger.fired_at_ms or incident.opened_at_ms,
        scope=str(incident.scope),
        branch=case.branches[0] if case else incident.branch,
        branches=case.branches if case else [incident.branch],
        rule=trigger.rule,
        value=trigger.value,
        labels=dict(trigger.labels),
        expr=trigger.expr,
        summary=trigger.annotations.get("summary", ""),
        reason=Reason.TRIGGER_FIRED if case else incident.reason,
        outcome=None if incident.is_open else incident.state,
        acts=case.acts if case else [],
        changed_pins=_pins(incident),
        joined=case.joined if case else [],
        until_ms=now_ms if end_ms is None else end_ms,
        cooldown_until_ms=cooled_ms,
    )


def _pins(incident: Incident) -> list[PinChange]:
    evidence = incident.evidence
    if evidence is None:
        return []
    seen = evidence.pins_seen
    arms = [seen["canary"]] if "canary" in seen else list(seen.values())
    return [
        PinChange(name=name, known_good=evidence.known_good_pins[name], seen=pins[name])
        for name in sorted(changed_pins(incident))
        for pins in arms
        if pins.get(name, evidence.known_good_pins[name]) != evidence.known_good_pins[name]
    ]
