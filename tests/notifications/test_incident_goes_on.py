"""An incident runs to its end while nobody who is to be told can be reached."""

from pathlib import Path

from msgspec.structs import replace

from rollbackd.app.notifying import build_notifiers
from rollbackd.model.incidents import State
from rollbackd.model.triggers import Verdict
from rollbackd.settings import (
    AlertmanagerSettings,
    CloudEventsSettings,
    KafkaSettings,
    NotificationSettings,
    Occasion,
    ReceiverSettings,
    WebhookSettings,
    default_settings,
)
from tests.incidents.world import World, quick
from tests.notifications.conftest import Spawn
from tests.notifications.receiver import Receiver
from tests.services.processes import HOST, free_port


async def test_every_notifier_is_down(tmp_path: Path, receiver: Receiver, spawn: Spawn) -> None:
    """Nobody answers, or they hang; the incident pages and comes to its end all the same."""
    receiver.answers = ["hang"] * 100
    nobody = f"{HOST}:{free_port()}"
    settings = replace(
        default_settings(),
        state_dir=tmp_path / "state",
        kafka=KafkaSettings(bootstrap_servers=[nobody], topics=[]),
        notifications=NotificationSettings(
            alertmanager=AlertmanagerSettings(
                urls=[f"http://{nobody}", receiver.url],
                receiver=ReceiverSettings(timeout_ms=60_000),
            ),
            webhooks=[
                WebhookSettings(
                    name=name, url=url, queue=1, occasions=frozenset(Occasion), receiver=patient
                )
                for name, url, patient in (
                    ("gone", f"http://{nobody}", ReceiverSettings()),
                    ("hanging", receiver.url, ReceiverSettings(timeout_ms=60_000)),
                )
            ],
            cloudevents=CloudEventsSettings(topic="decisions"),
        ),
    )
    world = await World.open(tmp_path)
    try:
        notifiers = build_notifiers(
            settings,
            store=world.store,
            pause=lambda: None,
            clock=world.clock,
            telemetry=world.telemetry,
        )
        world.pages = notifiers  # type: ignore[assignment]
        world.new_runner()
        spawn(notifiers.run())
        # The targets are never seen: with no lever left to help, a person is asked for.
        world.targets.verdicts = [Verdict.UNKNOWN]
        policy = quick("quality_regression", first_green_ms=10_000)
        incident = await world.open_incident("quality_regression", policy)
        await world.until_state(State.NEEDS_HUMAN)
        await world.runner.decide(incident.id, "restore", by="eve")
        assert (await world.until_idle()).state is State.CLOSED
        assert world.gauge("pages_total", state="needs_human") == 1
        assert receiver.requests
        for webhook in ("gone", "hanging"):
            dropped = {"notifier": f"webhook {webhook}", "result": "dropped"}
            assert (world.gauge("notifications_total", **dropped) or 0) > 0
    finally:
        await world.close()
