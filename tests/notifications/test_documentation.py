"""docs/notifications.md is held to what is sent."""

import json
import re
from pathlib import Path
from textwrap import dedent

import yaml
from prometheus_client import CollectorRegistry

from rollbackd.model.decisions import Reason
from rollbackd.model.history import Latch
from rollbackd.model.incidents import State
from rollbackd.notifications.cloudevents import kafka_message
from rollbackd.notifications.delivery import Deliveries
from rollbackd.notifications.links import Links
from rollbackd.notifications.messages import page_message
from rollbackd.notifications.standing import Facts, Trouble, standing_alerts
from rollbackd.ports import Pause
from rollbackd.settings import ContentMode, load_settings
from rollbackd.telemetry import Telemetry
from tests.notifications.samples import NOW, SCOPE, frozen, incident_in, record_of

DOCS = Path(__file__).parents[2] / "docs"
PAGE = (DOCS / "notifications.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def test_every_alert_has_its_section_with_its_severity() -> None:
    """The `runbook_url` of an alert leads there."""
    waiting = incident_in(State.AWAITING_APPROVAL, id_="INC-2")
    tripped = incident_in(State.OBSERVED, id_="INC-3", reason=Reason.CORRELATED_TRIPS)
    stuck = incident_in(State.NEEDS_HUMAN, ledger=[frozen(0)], reasserts=1)
    facts = Facts(
        incidents=[stuck, waiting, tripped],
        pause=Pause(reason="r", by="b", since_ms=NOW),
        latches=[Latch(scope=SCOPE, branch="", reason=Reason.FLAP_LATCH, since_ms=NOW)],
        troubles=[Trouble(incident=stuck, reason="r", at_ms=NOW)],
    )
    raised = {(a.name, dict(a.labels)["severity"]) for a in standing_alerts(facts, NOW)}
    written = re.findall(r"^### (Rollbackd\w+)\n\nSeverity `(\w+)`", PAGE, re.MULTILINE)
    assert len(written) == len(set(written))
    assert set(written) == raised
    assert Links(runbook_url="page").runbook(written[0][0]) == f"page#{written[0][0].lower()}"


def test_what_the_metrics_show_too_has_one_name() -> None:
    """A condition that Prometheus and rollbackd itself alert about is routed by one name."""
    sent = set(re.findall(r"^### (Rollbackd\w+)$", PAGE, re.MULTILINE))
    (group,) = yaml.safe_load((DOCS / "deploy" / "rollbackd-alerts.yml").read_text())["groups"]
    names = [rule["alert"] for rule in group["rules"]]
    assert len(names) == len(set(names))
    in_no_metric = {"RollbackdIncidentOpen", "RollbackdPointerDrifted", "RollbackdTrouble"}
    assert sent - set(names) == in_no_metric
    not_sent = {
        "RollbackdDown", "RollbackdBadConfig", "RollbackdMeasuresLeftInForce",
        "RollbackdReceiptsDropped", "RollbackdStoreDown", "RollbackdKafkaDown",
        "RollbackdRuleReadsNothing", "RollbackdNotifierBehind", "RollbackdNotificationLost",
    }  # fmt: skip
    assert set(names) - sent == not_sent


def test_the_example_is_a_config_that_is_taken(tmp_path: Path) -> None:
    (text,) = blocks("yaml")
    (tmp_path / "secrets").mkdir()
    for name in ("ca.pem", *re.findall(r"secrets/[\w-]+", text)):
        (tmp_path / name).write_text("x")
    path = tmp_path / "rollbackd.yaml"
    path.write_text(text + "kafka: {bootstrap_servers: [a], topics: []}\n")
    settings = load_settings(path).notifications
    assert settings.alertmanager is not None
    assert settings.webhooks
    assert settings.cloudevents is not None


def test_the_examples_have_the_fields_that_are_sent() -> None:
    page, event = (json.loads(dedent(text)) for text in blocks("json"))
    incident = incident_in(State.NEEDS_HUMAN)
    sent = json.loads(page_message(incident, "no_lever_left", Links(), NOW).body)
    assert page.keys() == sent.keys()
    assert page["incident"].keys() == sent["incident"].keys()
    published = kafka_message(incident, record_of(incident), Links(), ContentMode.BINARY)
    assert event.keys() == json.loads(published.value).keys()


def test_every_result_that_is_counted_is_explained() -> None:
    telemetry = Telemetry(CollectorRegistry())
    Deliveries(telemetry, "x")
    counted = {
        sample.labels["result"]
        for metric in telemetry.registry.collect()
        for sample in metric.samples
        if sample.name == "rollbackd_notifications_total"
    }
    (row,) = [line for line in PAGE.splitlines() if line.startswith("| `rollbackd_notifications_t")]
    assert counted == set(re.findall(r"`(\w+)`", row.partition(" | ")[2]))


def test_links_lead_somewhere() -> None:
    for link in re.findall(r"\]\(([^)#:]+)\)", PAGE):
        assert (DOCS / link).exists(), link
