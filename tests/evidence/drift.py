"""An incident from first sample to close: drifting answers, played through the shipped rules."""

import math
from functools import cache
from typing import Final

from msgspec.structs import replace

from rollbackd.evidence.bundle import Aftermath, Bundle, bundle_of
from rollbackd.evidence.capture import digest_of
from rollbackd.incidents import messages as m
from rollbackd.incidents.opening import new_incident
from rollbackd.model.events import Sample
from rollbackd.model.facts import ChangeEvent, ChangeKind
from rollbackd.model.incidents import (
    AuditCheck,
    Evidence,
    Incident,
    JournalRecord,
    SeriesWindow,
    State,
)
from rollbackd.model.labels import METRIC_NAME, Labels, labels_of
from rollbackd.model.levers import Applied, Change, Observation, Receipt, Target
from rollbackd.model.policy import ExitTarget
from rollbackd.model.triggers import RuleState, TargetReading, Trigger, Verdict
from rollbackd.rulefmt.rule_files import RuleFile, read_rule_file
from rollbackd.settings import shipped_rules
from rollbackd.triggers.engine import Engine
from tests.incidents.samples import KINDS, NOW, PINS, SCOPE, policy_of
from tests.incidents.walking import Walk

RULES: Final = shipped_rules() / "when-to-pull.yaml"
#: The canary began to drift here; requests come ten a second.
BEGAN_MS: Final = NOW - 420_000
_DEPLOY: Final = ChangeEvent(
    scope=SCOPE,
    kind=ChangeKind.PROMPT,
    subject="answer-pack",
    time_ms=NOW - 240_000,
    before="p1",
    after="p2",
    by="ci",
    link="https://ci.example/runs/7",
)
_WHERE: Final = {"service": SCOPE.service, "region": SCOPE.region}
_VALUES: Final = {
    "flag_off": ({"canary_weight": 0.1}, {"canary_weight": 0.0, "global_off": True}),
    "cache_rotate": ({"generation": 3}, {"generation": 4}),
    "write_block": ({"blocked": False}, {"blocked": True, "scope": "non_idempotent"}),
    "throttle": ({"requests_per_second": 500}, {"requests_per_second": 50}),
}  # fmt: skip


def rule_file(text: str = "", *, file: str = str(RULES)) -> RuleFile:
    """The shipped rules, or others."""
    return read_rule_file(text or RULES.read_text(), file=file)


def drift_at(at_ms: int) -> float:
    """What a canary request at this time is worth: steady, then worse and worse."""
    noise = 0.03 * math.sin(at_ms / 777) + 0.02 * math.sin(at_ms / 131)
    worse = max(0.0, (at_ms - NOW + 200_000) / 200_000) * 0.30
    return round(0.40 + noise + worse, 4)


def series(metric: str, **labels: str) -> Labels:
    """A series of the scope."""
    return labels_of({METRIC_NAME: metric, **_WHERE, **labels})


def fired_engine(every_ms: int = 100, rules: RuleFile | None = None) -> tuple[Engine, Trigger]:
    """The engine when QualityDrift fires for the first time, and the trigger."""
    engine = Engine.build([rules or rule_file()])
    engine.pin(series("baseline:delta_s:p95"), 0.45)
    canary = series("delta_s", arm="canary")
    now_ms = BEGAN_MS
    while now_ms < NOW + 300_000:
        batch = [Sample(canary, drift_at(t), t) for t in range(now_ms - 1_000, now_ms, every_ms)]
        engine.ingest(batch, now_ms)
        for trigger in engine.evaluate(now_ms).transitions:
            if trigger.rule == "QualityDrift" and trigger.state is RuleState.FIRING:
                return engine, trigger
        now_ms += 1_000
    raise AssertionError("it never fired")


@cache
def drift_incident(every_ms: int = 100) -> tuple[Incident, tuple[JournalRecord, ...]]:
    """The incident, closed, with its journal."""
    engine, trigger = fired_engine(every_ms)
    windows, _ = engine.windows([trigger], trigger.evaluated_at_ms, lambda _: True)
    walk = _Story(trigger, windows)
    walk.to(State.CLOSED)
    return walk.incident, tuple(walk.records)


@cache
def drift_bundle() -> Bundle:
    """Its bundle."""
    incident, journal = drift_incident()
    after = Aftermath(
        pins_seen={"baseline": PINS},
        controls={"flag:canary": _VALUES["flag_off"][1], "writes": _VALUES["write_block"][0]},
    )
    return bundle_of(incident, journal, after)


class _Story(Walk):
    """A walk in which acts take time and targets turn green after a while."""

    def __init__(self, trigger: Trigger, windows: list[SeriesWindow]) -> None:
        targets = [
            ExitTarget(name="delta_s_p95_drift", value="drift", below=0.10),
            ExitTarget(name="errors", value="errors", below=0.005),
        ]
        policy = policy_of("quality_regression", hold_ms=120_000, exit_targets=targets)
        opened_ms = trigger.evaluated_at_ms + 40
        incident, record = new_incident(
            incident_id="INC-7", scope=SCOPE, policy=policy, epoch=7, now_ms=opened_ms,
            trigger=trigger, changes=[_DEPLOY],
        )  # fmt: skip
        super().__init__(incident)
        self.now_ms = opened_ms
        self.records.append(record)
        self._windows = windows

    def turn(self) -> None:
        self.now_ms += 35
        super().turn()

    def answer_to(self, command: m.Command) -> m.Event:
        match command:
            case m.CaptureEvidence():
                return m.Captured(evidence=self._evidence())
            case m.Prepare(call=call):
                before, after = _VALUES.get(call.lever, ({"was": 1}, {"is": 2}))
                target = Target(lever=call.lever, scope=SCOPE, name=call.name)
                change = Change(
                    target=target, before=Observation(value=before, version=1), after=after
                )
                return m.Prepared(
                    change=change, kind=KINDS[call.lever], call=call, index=command.index
                )
            case m.Perform(intent=intent):
                receipt = self._receipt(command)
                if intent.reverts is not None:
                    return m.GivenBack(restored=True, receipt=receipt)
                applied = Applied(change=intent.change, op_id=intent.op.op_id, version=2)
                return m.Sealed(receipt=receipt, applied=applied)
            case m.Watch():
                return m.Read(readings=self._readings())
            case m.RunAudit():
                names = ("evidence_is_whole", "measures_are_given_back", "journal_chain")
                return m.Audited(checks=[AuditCheck(name=name, passed=True) for name in names])
            case _:
                return super().answer_to(command)

    def _evidence(self) -> Evidence:
        bare = Evidence(
            captured_at_ms=self.now_ms,
            pins_seen={"canary": {**PINS, "PROMPT_VER": "p2"}, "baseline": PINS},
            known_good_pins=PINS,
            controls={"flag:canary": _VALUES["flag_off"][0], "writes": _VALUES["write_block"][0]},
            readings=self._readings(),
            windows=self._windows,
        )
        return replace(bare, digest=digest_of(bare))

    def _receipt(self, command: m.Perform) -> Receipt:
        intent, change = command.intent, command.intent.change
        there, back = change.before.value, change.after
        before, after = (there, back) if intent.reverts is None else (back, there)
        return Receipt(
            op_id=intent.op.op_id, target=change.target, before=before, requested=after,
            after=after, version=2, epoch=intent.op.epoch, started_at_ms=intent.started_at_ms,
            sealed_at_ms=self.now_ms,
        )  # fmt: skip

    def _readings(self) -> list[TargetReading]:
        flipped = self.incident.flipped_at_ms
        since = None if flipped is None else (self.now_ms - flipped) / 1_000
        drift = 0.18 if since is None else None if since < 20 else 0.18 * math.exp(-since / 40)
        errors = 0.001 if since is None else 0.0008
        return [
            _reading("delta_s_p95_drift", drift, 0.10), _reading("errors", errors, 0.005)
        ]  # fmt: skip


def _reading(name: str, value: float | None, bound: float) -> TargetReading:
    verdict = Verdict.UNKNOWN
    if value is not None:
        verdict = Verdict.GREEN if value < bound else Verdict.RED
    return TargetReading(name=name, verdict=verdict, value=value, bound=bound, direction="below")
