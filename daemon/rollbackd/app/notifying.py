"""Builds the notifiers that the settings name."""

from collections.abc import Callable

from rollbackd.app.paging import LogNotifier
from rollbackd.clock import Clock
from rollbackd.connections.kafka import new_producer
from rollbackd.notifications.alertmanager import AlertmanagerNotifier
from rollbackd.notifications.cursor import Cursor
from rollbackd.notifications.decisions import DecisionPublisher
from rollbackd.notifications.fanout import FanOut, Sender
from rollbackd.notifications.links import Links
from rollbackd.notifications.webhook import WebhookNotifier
from rollbackd.ports import Pause, Store
from rollbackd.settings import Settings
from rollbackd.telemetry import Telemetry


def build_notifiers(
    settings: Settings,
    *,
    store: Store,
    pause: Callable[[], Pause | None],
    clock: Clock,
    telemetry: Telemetry,
) -> FanOut:
    """The log, and whoever else is to be told; nothing is sent before `run`.

    `pause` says what pause is in force.
    """
    chosen, kafka = settings.notifications, settings.kafka
    links = Links(public_url=chosen.public_url, runbook_url=chosen.runbook_url)
    webhooks = [
        WebhookNotifier(webhook, links, clock=clock, telemetry=telemetry)
        for webhook in chosen.webhooks
    ]
    senders: list[Sender] = [*webhooks]
    if chosen.alertmanager is not None:
        senders.append(
            AlertmanagerNotifier(
                chosen.alertmanager,
                links,
                store=store,
                pause=pause,
                clock=clock,
                telemetry=telemetry,
            )
        )
    if chosen.cloudevents is not None and kafka is not None:
        senders.append(
            DecisionPublisher(
                chosen.cloudevents,
                links,
                connect=lambda: new_producer(kafka),
                store=store,
                cursor=Cursor(settings.state_dir / "published-decisions.json"),
                clock=clock,
                telemetry=telemetry,
            )
        )
    return FanOut(
        [LogNotifier(telemetry)],
        senders,
        clock,
        hear_of_known_good=[webhook.known_good_changed for webhook in webhooks],
    )
