"""Messages to a webhook arrive in order, signed, and in spite of a receiver that fails."""

import base64
import hashlib
import hmac
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from msgspec.structs import replace

from rollbackd.clock import ManualClock
from rollbackd.model.events import KnownGood
from rollbackd.model.incidents import State
from rollbackd.model.known_good import SetStatus
from rollbackd.notifications.delivery import backoff_ms
from rollbackd.notifications.links import Links
from rollbackd.notifications.signing import signed_headers
from rollbackd.notifications.webhook import WebhookNotifier
from rollbackd.settings import Occasion, ReceiverSettings, Secret, WebhookSettings
from rollbackd.telemetry import Telemetry
from tests.notifications.conftest import Spawn
from tests.notifications.receiver import Receiver, counted, passing
from tests.notifications.samples import NOW, SCOPE, SECRET, incident_in, record_of
from tests.services.processes import HOST, free_port

#: Makes a webhook and lets it send.
Start = Callable[..., WebhookNotifier]


@pytest.fixture
def start(clock: ManualClock, telemetry: Telemetry, spawn: Spawn) -> Start:
    """Starts a webhook with the given settings."""

    def begin(url: str = "", **changes: Any) -> WebhookNotifier:
        settings = WebhookSettings(name="chat", url=url, **changes)
        webhook = WebhookNotifier(
            settings, Links(public_url="https://r.example"), clock=clock, telemetry=telemetry
        )
        spawn(webhook.run())
        return webhook

    return begin


async def test_a_page_is_one_json_document(start: Start, receiver: Receiver) -> None:
    await start(receiver.url).page(incident_in(State.NEEDS_HUMAN), "no_lever_left")
    (request,) = await receiver.got(1)
    assert request.headers["Content-Type"] == "application/json"
    document = request.json
    assert document["id"] == request.headers["webhook-id"]
    assert {key: document[key] for key in ("version", "kind", "text", "reason")} == {
        "version": "1",
        "kind": "page",
        "text": "rag/eu-1: a person is needed, needs_human: no_lever_left",
        "reason": "no_lever_left",
    }
    assert document["incident"] == {
        "id": "INC-1",
        "service": "rag",
        "region": "eu-1",
        "branch": "quality_regression",
        "state": "needs_human",
        "reason": "trigger_fired",
        "note": "",
        "opened_at": "2026-09-21T14:12:20.000Z",
        "url": "https://r.example/api/v1/incidents/INC-1",
        "report_url": "https://r.example/api/v1/incidents/INC-1/report",
    }


async def test_decisions_are_sent_where_they_are_wanted(start: Start, receiver: Receiver) -> None:
    webhook = start(receiver.url, occasions=frozenset({Occasion.DECISION}))
    incident = incident_in(State.CAPTURING, version=2)
    webhook.decided(incident, record_of(incident, State.DETECTED))
    await webhook.page(incident, "not for this one")
    (request,) = await receiver.got(1)
    assert request.json["id"] == "INC-1/2"
    assert request.json["decision"] == {
        "sequence": 2,
        "at": "2026-09-21T14:12:20.000Z",
        "event": "Continued",
        "from_state": "detected",
        "to_state": "capturing",
        "reason": "trigger_fired",
        "detail": {"rule": "QualityDrift", "value": 0.5},
        "audit_hash": "",
    }


async def test_by_default_only_pages_are_sent(start: Start, receiver: Receiver) -> None:
    webhook = start(receiver.url)
    webhook.decided(incident_in(), record_of(incident_in()))
    await webhook.page(incident_in(), "help")
    (request,) = await receiver.got(1)
    assert request.json["kind"] == "page"


async def test_the_same_page_has_the_same_id_also_after_a_restart(
    start: Start, receiver: Receiver
) -> None:
    resumed = incident_in(State.NEEDS_HUMAN, version=9, epoch=12)
    await start(receiver.url).page(incident_in(State.NEEDS_HUMAN), "help")
    await start(receiver.url).page(resumed, "help")
    await start(receiver.url).page(resumed, "another reason")
    first, second, third = await receiver.got(3)
    assert first.json["id"] == second.json["id"] != third.json["id"]


@pytest.mark.parametrize("fault", [500, 503, 408, 429, "hang", "reset"])
async def test_what_fails_for_now_is_tried_again_and_order_is_kept(
    start: Start, receiver: Receiver, clock: ManualClock, telemetry: Telemetry, fault: int | str
) -> None:
    receiver.answers = [fault, fault]
    webhook = start(receiver.url, receiver=ReceiverSettings(timeout_ms=300))
    for reason in ("one", "two"):
        await webhook.page(incident_in(), reason)
    requests = await receiver.got(4, clock)
    assert [r.json["reason"] for r in requests] == ["one", "one", "one", "two"]
    assert len({r.json["id"] for r in requests[:3]}) == 1
    await passing(lambda: counted(telemetry, "webhook chat", "sent") == 2)
    assert counted(telemetry, "webhook chat", "failed") == 2
    assert telemetry.registry.get_sample_value(
        "rollbackd_notifications_last_success_timestamp_seconds", {"notifier": "webhook chat"}
    )


@pytest.mark.parametrize("status", [400, 401, 404, 410])
async def test_what_is_refused_is_not_tried_again(
    start: Start, receiver: Receiver, clock: ManualClock, telemetry: Telemetry, status: int
) -> None:
    receiver.answers = [status]
    webhook = start(receiver.url)
    for reason in ("one", "two"):
        await webhook.page(incident_in(), reason)
    requests = await receiver.got(2, clock)
    assert [r.json["reason"] for r in requests] == ["one", "two"]
    assert counted(telemetry, "webhook chat", "refused") == 1


async def test_a_redirect_is_not_followed(
    start: Start, receiver: Receiver, telemetry: Telemetry, tmp_path: Path
) -> None:
    """It would carry incidents, and a token, to a host that nobody configured."""
    async with Receiver() as elsewhere:
        (tmp_path / "token").write_text(SECRET)
        receiver.answers = [web.Response(status=307, headers={"Location": elsewhere.url})]
        webhook = start(
            receiver.url, receiver=ReceiverSettings(bearer_token_file=tmp_path / "token")
        )
        await webhook.page(incident_in(), "help")
        await passing(lambda: counted(telemetry, "webhook chat", "refused") == 1)
        assert elsewhere.requests == []


async def test_retry_after_is_honoured_within_bounds(
    start: Start, receiver: Receiver, clock: ManualClock, telemetry: Telemetry
) -> None:
    receiver.answers = [web.Response(status=429, headers={"Retry-After": "20"})]
    await start(receiver.url).page(incident_in(), "help")
    await passing(lambda: counted(telemetry, "webhook chat", "failed") == 1 and clock._sleepers)
    ((due, _),) = clock._sleepers
    assert due - clock.now() == 20_000


def test_the_pause_grows_and_ends_growing() -> None:
    assert [backoff_ms(n) for n in (1, 2, 3, 6, 7, 50)] == [
        500,
        1_000,
        2_000,
        16_000,
        30_000,
        30_000,
    ]
    assert backoff_ms(1, asked_ms=3_600_000) == 30_000


async def test_a_message_that_nobody_takes_is_given_up_after_its_deadline(
    start: Start, clock: ManualClock, telemetry: Telemetry, caplog: pytest.LogCaptureFixture
) -> None:
    webhook = start(f"http://{HOST}:{free_port()}/", deadline_ms=10_000)
    await webhook.page(incident_in(), "help")
    await passing(lambda: counted(telemetry, "webhook chat", "expired") == 1, clock)
    assert "a message was given up: too old" in caplog.text


async def test_when_too_many_wait_the_oldest_is_given_up_aloud(
    start: Start,
    receiver: Receiver,
    clock: ManualClock,
    telemetry: Telemetry,
    caplog: pytest.LogCaptureFixture,
) -> None:
    receiver.answers = ["hang"]
    webhook = start(receiver.url, queue=2, receiver=ReceiverSettings(timeout_ms=1_000))
    await webhook.page(incident_in(), "in flight")
    await receiver.got(1)
    for reason in ("one", "two", "three"):
        await webhook.page(incident_in(), reason)
    assert counted(telemetry, "webhook chat", "dropped") == 1
    assert "a message was given up: too many wait" in caplog.text
    waiting = telemetry.registry.get_sample_value(
        "rollbackd_notifications_waiting", {"notifier": "webhook chat"}
    )
    assert waiting == 2
    requests = await receiver.got(4, clock)
    assert [r.json["reason"] for r in requests] == ["in flight", "in flight", "two", "three"]


async def test_the_signature_is_the_one_of_standard_webhooks(
    start: Start, receiver: Receiver, clock: ManualClock, tmp_path: Path
) -> None:
    raw = b"a key of thirty-two bytes at all"
    (tmp_path / "key").write_text(f"whsec_{base64.b64encode(raw).decode()}\n")
    await start(receiver.url, signing_key_file=tmp_path / "key").page(incident_in(), "help")
    (request,) = await receiver.got(1)
    timestamp = request.headers["webhook-timestamp"]
    assert timestamp == str(clock.now() // 1_000)
    content = f"{request.headers['webhook-id']}.{timestamp}.".encode() + request.body
    expected = base64.b64encode(hmac.new(raw, content, hashlib.sha256).digest()).decode()
    assert request.headers["webhook-signature"] == f"v1,{expected}"


def test_the_vector_of_the_specification() -> None:
    """From the reference libraries' own tests."""
    headers = signed_headers(
        "msg_p5jXN8AQM9LWM0D4loKWxJek",
        b'{"test": 2432232314}',
        1_614_265_330_000,
        Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
    )
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"bearer_token_file": "secret"}, f"Bearer {SECRET}"),
        (
            {"username": "eve", "password_file": "secret"},
            "Basic " + base64.b64encode(f"eve:{SECRET}".encode()).decode(),
        ),
    ],
)
async def test_credentials_come_from_files_and_a_new_one_counts_at_once(
    start: Start,
    receiver: Receiver,
    tmp_path: Path,
    changes: dict[str, str],
    expected: str,
) -> None:
    (tmp_path / "secret").write_text("old")
    files = {k: tmp_path / v if k.endswith("file") else v for k, v in changes.items()}
    webhook = start(receiver.url, receiver=ReceiverSettings(**files))  # type: ignore[arg-type]
    await webhook.page(incident_in(), "one")
    await receiver.got(1)
    (tmp_path / "secret").write_text(SECRET)
    await webhook.page(incident_in(), "two")
    assert (await receiver.got(2))[1].headers["Authorization"] == expected


async def test_the_address_may_be_a_secret(
    start: Start, receiver: Receiver, tmp_path: Path
) -> None:
    (tmp_path / "url").write_text(f"{receiver.url}/{SECRET}\n")
    await start(url_file=tmp_path / "url").page(incident_in(), "help")
    (request,) = await receiver.got(1)
    assert request.path == f"/hook/{SECRET}"


@pytest.mark.parametrize("trouble", [400, 503, "reset", "hang", "nobody", "no url", "bad key"])
async def test_secrets_are_in_no_log_and_no_repr(
    start: Start,
    receiver: Receiver,
    clock: ManualClock,
    telemetry: Telemetry,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    trouble: int | str,
) -> None:
    caplog.set_level(logging.DEBUG)
    url = {
        "nobody": f"http://{HOST}:{free_port()}/{SECRET}",
        "no url": f"not-an-address-{SECRET}",
    }.get(str(trouble), f"{receiver.url}/{SECRET}?token={SECRET}")
    (tmp_path / "url").write_text(url)
    (tmp_path / "secret").write_text(SECRET)
    key = f"whsec_{base64.b64encode(SECRET.encode()).decode()}"
    (tmp_path / "key").write_text(SECRET if trouble == "bad key" else key)
    body = web.Response(status=400, text=f"your token {SECRET} is bad")
    receiver.answers = [body if trouble == 400 else trouble]
    webhook = start(
        url_file=tmp_path / "url",
        signing_key_file=tmp_path / "key",
        deadline_ms=3_000,
        receiver=ReceiverSettings(timeout_ms=200, bearer_token_file=tmp_path / "secret"),
    )
    await webhook.page(incident_in(), "help")
    await passing(
        lambda: any(
            counted(telemetry, "webhook chat", result) for result in ("sent", "refused", "expired")
        ),
        clock,
    )
    said = [f"{record.__dict__} {record.getMessage()}" for record in caplog.records]
    assert any("webhook chat" in line for line in said)
    encoded = base64.b64encode(SECRET.encode()).decode()
    for text in (*said, repr(webhook.__dict__)):
        assert SECRET not in text
        assert encoded not in text


def test_the_sample_is_the_sample() -> None:
    """The secret that is searched for is one that a message does not hold by itself."""
    assert SECRET not in repr(incident_in(opened_at_ms=NOW))


async def test_changes_of_known_good_sets_are_sent_where_they_are_wanted(
    start: Start, receiver: Receiver
) -> None:
    """One message a change; its id is the same when it is sent again."""
    webhook = start(receiver.url, occasions=frozenset({Occasion.KNOWN_GOOD}))
    known = KnownGood(
        scope=SCOPE, pins={"PROMPT_VER": "p-11"}, recorded_at_ms=NOW, by="ci", note="before 12"
    )
    retired = replace(known, status=SetStatus.RETIRED, status_at_ms=NOW + 1, status_by="ann")
    for each in (known, known, retired):
        webhook.known_good_changed(each)
    first, again, second = await receiver.got(3)
    assert first.json == {
        "version": "1",
        "id": f"{known.id}-good-0",
        "kind": "known_good",
        "at": "2026-09-21T14:13:20.000Z",
        "text": f"rag/eu-1: {known.id} is good, says ci",
        "reason": "good",
        "set": {
            "id": known.id,
            "service": "rag",
            "region": "eu-1",
            "status": "good",
            "by": "ci",
            "note": "before 12",
            "pins": {"PROMPT_VER": "p-11"},
            "recorded_at": "2026-09-21T14:13:20.000Z",
        },
    }
    assert again.json["id"] == first.json["id"]
    assert second.json["text"] == f"rag/eu-1: {known.id} is retired, says ann"


async def test_by_default_known_good_sets_are_not_sent(start: Start, receiver: Receiver) -> None:
    webhook = start(receiver.url)
    webhook.known_good_changed(KnownGood(scope=SCOPE, pins={}, recorded_at_ms=NOW))
    await webhook.page(incident_in(), "help")
    (request,) = await receiver.got(1)
    assert request.json["kind"] == "page"
