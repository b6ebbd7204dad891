"""Which share of a rule's series still reports, counted on a real engine."""

import pytest

from rollbackd.app.coverage import LOOKS_BACK_MS, InputCoverage
from rollbackd.clock import ManualClock
from rollbackd.model.events import Alert, AlertStatus, Sample
from rollbackd.model.labels import METRIC_NAME, Scope, labels_of
from rollbackd.rulefmt.rule_files import read_rule_file
from rollbackd.settings import ScopeLabels
from rollbackd.triggers.engine import Engine
from tests.incidents.samples import MINUTE, NOW

RULES = """
groups:
  - name: g
    rules:
      - {alert: Bad, expr: 'max by (service, region) (errors) > 1', labels: {branch: b}}
      - {alert: Slow, expr: 'max_over_time(latency[10m]) > 1', labels: {branch: b}}
      - {alert: Paged, expr: 'ALERTS{alertname="Page", alertstate="firing"}', labels: {branch: b}}
"""
EU, US = Scope("rag", "eu"), Scope("rag", "us")


class Fleet:
    """Instances that report while they are told to."""

    def __init__(self) -> None:
        self.engine = Engine.build([read_rule_file(RULES, file="rules.yaml")])
        self.clock = ManualClock(NOW)
        self.coverage = InputCoverage(lambda: self.engine, self.clock, ScopeLabels())

    def report(self, *instances: int, metric: str = "errors", scope: Scope = EU) -> None:
        now_ms = self.clock.now()
        labels = {METRIC_NAME: metric, "service": scope.service, "region": scope.region}
        self.engine.ingest(
            [Sample(labels_of({**labels, "instance": str(i)}), 1.0, now_ms) for i in instances],
            now_ms,
        )
        self.engine.evaluate(now_ms)

    def pass_(self, minutes: int, *instances: int) -> None:
        """Time goes by, and these report every minute."""
        for _ in range(minutes):
            self.clock.advance(MINUTE)
            self.report(*instances)
            self.coverage.note()


@pytest.fixture
def fleet() -> Fleet:
    return Fleet()


def test_nothing_is_known_at_the_start(fleet: Fleet) -> None:
    """Nor of a rule or scope that had no series."""
    fleet.report(1, 2)
    assert fleet.coverage.of("Bad", EU) is None
    fleet.coverage.note()
    assert fleet.coverage.of("Bad", EU) == 1.0
    assert fleet.coverage.of("Bad", US) is None
    assert fleet.coverage.of("Slow", EU) is None
    assert fleet.coverage.of("Unknown", EU) is None


def test_what_fell_silent_is_missed_after_the_lookback(fleet: Fleet) -> None:
    """One of four, then three of four."""
    fleet.pass_(10, 1, 2, 3, 4)
    fleet.pass_(4, 1, 2, 3)
    assert fleet.coverage.of("Bad", EU) == 1.0
    fleet.pass_(2, 1, 2, 3)
    assert fleet.coverage.of("Bad", EU) == 0.75
    fleet.pass_(10, 1)
    assert fleet.coverage.of("Bad", EU) == 0.25
    fleet.pass_(10)
    assert fleet.coverage.of("Bad", EU) == 0.0


def test_a_fleet_whose_instances_were_replaced_still_reports(fleet: Fleet) -> None:
    """Series are counted; more than before is all of them."""
    fleet.pass_(10, 1, 2)
    fleet.pass_(20, 3, 4)
    assert fleet.coverage.of("Bad", EU) == 1.0
    fleet.pass_(5, 3, 4, 5, 6)
    assert fleet.coverage.of("Bad", EU) == 1.0


def test_it_is_compared_with_an_hour_ago(fleet: Fleet) -> None:
    """What was smaller for longer than that is how it is."""
    fleet.pass_(10, 1, 2)
    fleet.pass_(LOOKS_BACK_MS // MINUTE, 1)
    assert fleet.coverage.of("Bad", EU) == 0.5
    fleet.pass_(15, 1)
    assert fleet.coverage.of("Bad", EU) == 1.0


def test_each_scope_is_counted_for_itself(fleet: Fleet) -> None:
    """One region that fell silent is not made up for by another."""
    fleet.report(1, 2, 3, scope=US)
    fleet.pass_(7, 1)
    assert fleet.coverage.of("Bad", US) == 0.0
    assert fleet.coverage.of("Bad", EU) == 1.0


def test_a_page_reports_while_it_fires(fleet: Fleet) -> None:
    """However old its notice is."""
    alert = Alert(
        fingerprint="f",
        status=AlertStatus.FIRING,
        starts_at_ms=NOW,
        labels={"alertname": "Page", "service": "rag", "region": "eu"},
    )
    fleet.engine.set_alert(alert)
    fleet.pass_(20)
    assert fleet.coverage.of("Paged", EU) == 1.0
