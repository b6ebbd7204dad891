"""The metrics that the daemon exports about itself, given a registry; and its log lines.

Names follow https://prometheus.io/docs/practices/naming: base units, `_total`, bounded label
values taken from enums and configuration only.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any, Final, TextIO

import orjson
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info

_FAST: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_ACT: Final = (*_FAST, 10, 30, 60, 120, 300, 600)
_SLOW: Final = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200)


class Telemetry:
    """Every metric object, in the order of an event's way through the daemon."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.build_info = Info("rollbackd_build", "Version of the daemon.", registry=registry)
        self._sources()
        self._triggers()
        self._incidents()
        self._levers()
        self._daemon()
        self._notifications()
        self._receipts()
        self._scoring()

    def _sources(self) -> None:
        self.events_received = self._counter(
            "events_received", "Bodies, records or lines received.", "source"
        )
        self.samples_ingested = self._counter(
            "samples_ingested", "Samples handed to the trigger engine.", "source"
        )
        self.detector_evictions = self._counter(
            "detector_evictions",
            "What a detector forgot to stay inside its bounds: keys, users, scopes, groups.",
            "detector",
        )
        self.samples_refused = self._counter(
            "samples_refused", "Samples that the engine did not keep.", "reason"
        )
        self.decode_failures = self._counter(
            "decode_failures", "Inputs that could not be decoded.", "source"
        )
        self.dead_letters = self._counter("dead_letters", "Inputs kept as dead letters.", "source")
        self.events_missing_pins = self._counter(
            "events_missing_pins", "Events that name an arm but lack a required pin.", "pin"
        )
        self.event_lag = self._gauge(
            "event_lag_seconds", "Age of the newest event of a source when it arrived.", "source"
        )
        self.truncated_alerts = self._counter(
            "truncated_alerts", "Alerts that notifications said were left out."
        )
        self.inbox_duplicates = self._counter(
            "inbox_duplicates", "Alerts that the inbox already had."
        )
        self.own_alerts = self._counter(
            "own_alerts_dropped", "Alerts of rollbackd's own that were routed back to it."
        )
        self.inbox_unhandled = self._gauge("inbox_unhandled", "Accepted alerts not yet handled.")
        self.kafka_lag = self._gauge(
            "kafka_consumer_lag", "Records behind the high watermark.", "topic", "partition"
        )
        self.kafka_last_poll = self._gauge(
            "kafka_last_poll_timestamp_seconds", "When the consumer last polled successfully."
        )
        self.kafka_up = self._gauge("kafka_up", "Whether the consumer is connected and polling.")
        self.kafka_rebuilds = self._counter(
            "kafka_consumer_rebuilds", "Times the consumer was thrown away and built anew.", "cause"
        )
        self.kafka_rebalances = self._counter("kafka_rebalances", "Partition assignments.")

    def _triggers(self) -> None:
        self.series = self._gauge("series", "Series held in memory.")
        self.rule_evaluations = self._counter("rule_evaluations", "Evaluations of all rules.")
        self.rule_evaluation_failures = self._counter(
            "rule_evaluation_failures",
            "Evaluations that failed, e.g. by many-to-many matching.",
            "rule",
        )
        self.rule_evaluation_duration = self._histogram(
            "rule_evaluation_duration_seconds", "Time to evaluate all rules that were due.", _FAST
        )
        self.rule_selector_silence = self._gauge(
            "rule_selector_matched_nothing_seconds",
            "For how long a selector of a rule has matched no series; 0 while it matches one.",
            "rule",
            "selector",
        )
        self.rule_state = self._gauge(
            "rule_state", "Instances of an alert by state: pending, firing.", "rule", "state"
        )
        self.triggers = self._counter("triggers", "Rule instances that began to fire.", "rule")
        self.triggers_ignored = self._counter(
            "triggers_ignored", "Firing triggers that opened no incident.", "reason"
        )

    def _incidents(self) -> None:
        self.incidents = self._counter(
            "incidents", "Incidents by how they ended.", "branch", "outcome"
        )
        self.incidents_open = self._gauge("incidents_open", "Open incidents.", "state")
        self.incident_state = self._gauge(
            "incident_state",
            "1 for the state that a scope's open incident is in.",
            "scope",
            "state",
        )
        self.guard_blocks = self._counter("guard_blocks", "Times a guardrail said no.", "guard")
        self.guard_state = self._gauge(
            "guard_state",
            "How much stands in the way of acting at the moment: pauses, branches that only "
            "observe, windows, waves of trips, latches.",
            "guard",
        )
        self.step_duration = self._histogram(
            "step_duration_seconds", "Time spent in a state.", _SLOW, "step"
        )
        self.time_to_flip = self._histogram(
            "time_to_flip_seconds", "From the trigger to the pointer flipped and read back.", _SLOW
        )
        self.time_to_green = self._histogram(
            "time_to_green_seconds", "From the flip to the end of the hold.", _SLOW
        )
        self.hold_remaining = self._gauge(
            "hold_seconds_remaining", "Green time still wanted before restoring.", "scope"
        )
        self.exit_target_met = self._gauge(
            "exit_target_met", "1 green, 0 red, -1 unknown.", "scope", "target"
        )
        self.evidence_captured = self._counter("evidence_captured", "Captures stored.")
        self.audit_checks = self._counter(
            "audit_checks", "Audit checks after incidents.", "check", "result"
        )
        self.freeze_probes = self._counter(
            "freeze_probes",
            "Times a probe was asked whether writers stand still.",
            "probe",
            "result",
        )
        self.measures_left_in_force = self._gauge(
            "measures_left_in_force",
            "Temporary measures that a person left in force and nobody has acknowledged.",
            "scope",
        )
        self.pages = self._counter(
            "pages", "Times a person was asked for, by the state of the incident.", "state"
        )

    def _levers(self) -> None:
        self.lever_attempts = self._counter("lever_attempts", "Acts begun.", "lever")
        self.lever_failures = self._counter("lever_failures", "Acts failed.", "lever", "reason")
        self.lever_duration = self._histogram(
            "lever_duration_seconds", "Apply and read-back together.", _ACT, "lever"
        )
        self.lever_act_age = self._gauge(
            "lever_act_age_seconds",
            "How long the act in hand has been under way; 0 while there is none.",
            "lever",
            "scope",
        )
        self.lever_active = self._gauge(
            "lever_active", "1 while a lever's effect is in force.", "lever", "scope"
        )
        self.fence_rejections = self._counter(
            "fence_rejections", "Writes refused at the target for a stale epoch."
        )
        self.known_good_age = self._gauge(
            "known_good_age_seconds",
            "How long ago the set in force was recorded.",
            "service",
            "region",
        )
        self.known_good_changes = self._counter(
            "known_good_changes", "Sets that were recorded, promoted or retired.", "change"
        )
        self.writes_frozen = self._gauge("writes_frozen", "1 while writes are blocked.", "scope")
        self.writes_frozen_age = self._gauge(
            "writes_frozen_age_seconds", "How long writes have been blocked.", "scope"
        )
        self.measures_overdue = self._gauge(
            "measures_overdue", "Temporary measures past their deadline.", "scope"
        )
        self.degrade_level = self._gauge("degrade_level", "0 normal to 4 cite only.", "scope")
        self.cache_generation = self._gauge("cache_generation", "Cache generation.", "scope")
        self.breaker_state = self._gauge("breaker_state", "0 closed, 1 half-open, 2 open.", "scope")

    def _daemon(self) -> None:
        self.paused = self._gauge("paused", "1 while an operator has paused the daemon.")
        self.store_up = self._gauge("store_up", "Whether the store answers.", "store")
        self.event_loop_lag = self._gauge(
            "event_loop_lag_seconds", "How late the event loop woke up, worst of the last second."
        )
        self.config_reload_ok = self._gauge(
            "config_last_reload_successful", "Whether the last reload was taken."
        )
        self.config_reload_time = self._gauge(
            "config_last_reload_success_timestamp_seconds", "When a configuration was last taken."
        )
        self.http_requests = self._counter(
            "http_requests", "Requests by route and status code.", "route", "code"
        )

    def _notifications(self) -> None:
        self.notifications = self._counter(
            "notifications",
            "Deliveries to a notifier, by what became of them.",
            "notifier",
            "result",
        )
        self.notifications_waiting = self._gauge(
            "notifications_waiting", "What a notifier has not been told yet.", "notifier"
        )
        self.notifications_success = self._gauge(
            "notifications_last_success_timestamp_seconds",
            "When a notifier last took a delivery.",
            "notifier",
        )

    def _receipts(self) -> None:
        self.receipts = self._counter("receipts", "Receipts of effects received.", "status")
        self.receipts_dropped = self._counter(
            "receipts_dropped", "Keys that the ledger dropped to stay bounded.", "cause"
        )
        self.receipt_seal_duration = self._histogram(
            "receipt_seal_seconds", "From the first word on an effect to its seal.", _SLOW
        )
        self.double_effects = self._counter(
            "double_effects", "Keys of which the ledger heard a second effect."
        )
        self.dedupe_decisions = self._counter(
            "dedupe_decisions", "What fences of applications said about a key.", "decision"
        )
        self.reconciliations = self._counter(
            "reconciliations", "Comparisons of the ledger with a listing.", "result"
        )
        self.reconciliation_items = self._gauge(
            "reconciliation_items",
            "Keys of the last comparison of a scope, by what they came to.",
            "scope",
            "verdict",
        )
        self.reconciliation_open_items = self._gauge(
            "reconciliation_open_items",
            "Keys of the last comparison of a scope that somebody has to look at.",
            "scope",
        )

    def _scoring(self) -> None:
        self.scores = self._counter(
            "scores", "Scores of events, by what became of them.", "outcome"
        )
        self.scorer_queue = self._gauge("scorer_queue", "Events that wait to be scored.")
        self.scorer_up = self._gauge("scorer_up", "Whether the last batch was scored.", "mode")
        self.scorer_info = self._gauge(
            "scorer_info", "What scores: the mode, the model and its version.",
            "mode", "model", "version",
        )  # fmt: skip
        self.scoring_duration = self._histogram(
            "scoring_duration_seconds", "Time to score a batch, tries included.", _FAST
        )

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"rollbackd_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"rollbackd_{name}", text, labels, registry=self.registry)

    def _histogram(
        self, name: str, text: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(f"rollbackd_{name}", text, labels, buckets=buckets, registry=self.registry)


_RECORD_FIELDS: Final = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime"}


class JsonFormatter(logging.Formatter):
    """One JSON object a line: `ts`, `level`, `logger`, `msg`, then the `extra` fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Render a record."""
        line: dict[str, Any] = {
            "ts": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "msg": record.getMessage(),
        }
        line.update({k: v for k, v in record.__dict__.items() if k not in _RECORD_FIELDS})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str, option=orjson.OPT_NON_STR_KEYS).decode()


def configure_logging(*, level: str = "info", stream: TextIO | None = None) -> None:
    """Send all logs to `stream` (standard error) as JSON lines."""
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(JsonFormatter())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # aiokafka repeats every failed connection at error level; the source says it once, in metrics.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)
