"""Alerts of our own into every Alertmanager, as Prometheus sends them.

Level-triggered: what fires follows from the open incidents, which the store has, and is sent again
and again; an alert that nobody sends any more ends by itself. Each instance gets all of it on a
lane of its own, so that one that hangs delays no other; it is offered what is true now, never a
backlog.
"""

import asyncio
import logging
from collections.abc import Callable, Iterable
from typing import Final
from urllib.parse import urlsplit

import msgspec
import orjson

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError, RollbackdError, TemporaryError
from rollbackd.model.history import Latch
from rollbackd.model.incidents import Incident, JournalRecord, State
from rollbackd.notifications.board import RESOLVED_RETENTION_MS, Board
from rollbackd.notifications.channel import Channel
from rollbackd.notifications.delivery import Deliveries, backoff_ms, woken
from rollbackd.notifications.links import Links
from rollbackd.notifications.standing import (
    LINGER_MS,
    Facts,
    OwnAlert,
    Trouble,
    identities_of,
    is_correlated,
    standing_alerts,
    stands,
)
from rollbackd.ports import Pause, Store
from rollbackd.settings import AlertmanagerSettings, Secret
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

#: How often deadlines are looked at.
_LOOK_MS: Final = 5_000
_STORE_SECONDS: Final = 5.0
_OPEN_AT_MOST: Final = 10_000
_RECENT: Final = 50
_MAX_TROUBLES: Final = 1_000
#: No act and no trip is as young as this.
_NEVER: Final = 1 << 62
_HEADERS: Final = {"Content-Type": "application/json"}


class Snapshot(msgspec.Struct, frozen=True):
    """What all instances are to be told, and how many times that has changed."""

    revision: int = 0
    alerts: int = 0
    body: bytes = b"[]"


class AlertmanagerNotifier:
    """Keeps every instance told of what stands; `pause` says what pause is in force."""

    def __init__(
        self,
        settings: AlertmanagerSettings,
        links: Links,
        *,
        store: Store,
        pause: Callable[[], Pause | None],
        clock: Clock,
        telemetry: Telemetry,
    ) -> None:
        self._settings = settings
        self._store = store
        self._pause = pause
        self._clock = clock
        self._board = Board(links, settings.resend_ms)
        self._known: dict[str, Incident] = {}
        self._troubles: dict[str, Trouble] = {}
        self._latches: list[Latch] = []
        self._news = asyncio.Event()
        self._snapshot = Snapshot()
        self._sent_at_ms: int | None = None
        self._lanes = [
            _Lane(url, settings, clock, telemetry, lambda: self._snapshot) for url in settings.urls
        ]

    async def page(self, incident: Incident, reason: str) -> None:
        """Look at once; what cannot be read off the facts is alerted about for a while."""
        if not stands(incident, reason):
            trouble = Trouble(incident=incident, reason=reason, at_ms=self._clock.now())
            self._troubles.pop(incident.id, None)
            self._troubles[incident.id] = trouble
            if len(self._troubles) > _MAX_TROUBLES:
                self._troubles.pop(next(iter(self._troubles)))
        self._sent_at_ms = None
        self._news.set()

    def decided(self, incident: Incident, record: JournalRecord) -> None:  # noqa: ARG002  # the port's
        """Look again: the incident has moved."""
        self._note(incident)
        self._news.set()

    async def run(self) -> None:
        """Send until cancelled."""
        try:
            async with asyncio.TaskGroup() as lanes:
                for lane in self._lanes:
                    lanes.create_task(lane.run())
                await self._inherit()
                while True:
                    await self._look()
                    await woken(self._news, self._clock, min(_LOOK_MS, self._settings.resend_ms))
        finally:
            await asyncio.gather(*(lane.close() for lane in self._lanes))

    async def _look(self) -> None:
        """Once round: send what stands when it has changed, or when it is time to repeat it."""
        now_ms = self._clock.now()
        due = self._sent_at_ms is None or now_ms - self._sent_at_ms >= self._settings.resend_ms
        if not due and not self._board.differs(self._standing(now_ms)):
            return
        # The store last, so that an incident which another replica has ended is not raised again.
        await self._refresh()
        now_ms = self._clock.now()
        self._board.turn(self._standing(now_ms), now_ms)
        alerts = self._board.render(now_ms)
        self._snapshot = Snapshot(self._snapshot.revision + 1, len(alerts), orjson.dumps(alerts))
        self._sent_at_ms = now_ms
        for lane in self._lanes:
            lane.wake()

    def _standing(self, now_ms: int) -> list[OwnAlert]:
        self._troubles = {
            key: each for key, each in self._troubles.items() if now_ms - each.at_ms < LINGER_MS
        }
        facts = Facts(
            incidents=list(self._known.values()),
            pause=self._pause(),
            latches=self._latches,
            troubles=list(self._troubles.values()),
        )
        return standing_alerts(facts, now_ms)

    async def _refresh(self) -> None:
        """Read open incidents and latches; a store that is down leaves what is known."""
        before = set(self._known)
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                stored = await self._store.incidents(open_only=True, limit=_OPEN_AT_MOST)
                history = await self._store.history(acts_since_ms=_NEVER, trips_since_ms=_NEVER)
        except (RollbackdError, TimeoutError) as error:
            logger.debug("the store was not read for alerts", extra={"because": repr(error)})
            return
        self._latches = history.latches
        there = {incident.id for incident in stored}
        for incident_id in before - there:
            if self._known[incident_id].is_open:
                del self._known[incident_id]
        self._note(*stored)
        self._forget_past()

    async def _inherit(self) -> None:
        """End what an earlier process may have raised for incidents that have ended since."""
        try:
            async with asyncio.timeout(_STORE_SECONDS):
                recent = await self._store.incidents(limit=_RECENT)
        except (RollbackdError, TimeoutError) as error:
            logger.warning("ended incidents were not read", extra={"because": repr(error)})
            return
        self._note(*recent)
        self._forget_past()
        for incident, ended_at_ms in _ended(recent, self._clock.now()):
            for labels in identities_of(incident):
                alert = OwnAlert(
                    labels=labels,
                    since_ms=incident.opened_at_ms,
                    summary=f"{incident.scope}: the incident has ended, {incident.state}",
                    reason=str(incident.reason),
                    incident_id=incident.id,
                )
                self._board.inherit(alert, ended_at_ms)

    def _note(self, *incidents: Incident) -> None:
        for incident in incidents:
            known = self._known.get(incident.id)
            if known is None or known.version <= incident.version:
                self._known[incident.id] = incident

    def _forget_past(self) -> None:
        now_ms = self._clock.now()
        self._known = {
            key: incident
            for key, incident in self._known.items()
            if incident.is_open or is_correlated(incident, now_ms)
        }


class _Lane:
    """One instance, which gets the newest snapshot as soon as it takes it."""

    def __init__(
        self,
        url: str,
        settings: AlertmanagerSettings,
        clock: Clock,
        telemetry: Telemetry,
        newest: Callable[[], Snapshot],
    ) -> None:
        self._url = Secret(f"{url}/api/v2/alerts")
        self._channel = Channel(settings.receiver)
        self._resend_ms = settings.resend_ms
        self._clock = clock
        self._newest = newest
        self._deliveries = Deliveries(telemetry, f"alertmanager {urlsplit(url).netloc}")
        self._told = Snapshot()
        self._news = asyncio.Event()

    def wake(self) -> None:
        """There is a new snapshot."""
        self._news.set()

    async def run(self) -> None:
        """Tell the instance until cancelled."""
        failures = 0
        while True:
            snapshot = self._newest()
            if snapshot.revision == self._told.revision or not snapshot.alerts:
                self._deliveries.waiting(0)
                await woken(self._news, self._clock, self._resend_ms)
                continue
            self._deliveries.waiting(snapshot.alerts)
            try:
                await self._channel.post(self._url, snapshot.body, _HEADERS)
            except TemporaryError as error:
                failures += 1
                self._deliveries.failed()
                self._log("an Alertmanager was not told", error, first=failures == 1)
                await self._clock.sleep(backoff_ms(failures, error.delay_ms))
            except PermanentError as error:
                failures += 1
                self._deliveries.refused()
                self._log("an Alertmanager refused our alerts", error, first=failures == 1)
                self._told = snapshot
            else:
                failures = 0
                self._deliveries.sent(self._clock.now())
                self._told = snapshot

    async def close(self) -> None:
        """Close connections."""
        await self._channel.close()

    def _log(self, what: str, error: RollbackdError, *, first: bool) -> None:
        """Say it once in a row; the metrics count every time."""
        level = logging.ERROR if first else logging.DEBUG
        logger.log(
            level, what, extra={"notifier": self._deliveries.notifier, "because": str(error)}
        )


def _ended(incidents: Iterable[Incident], now_ms: int) -> list[tuple[Incident, int]]:
    """Incidents that were open and have ended lately, with the time."""
    return [
        (incident, incident.closed_at_ms)
        for incident in incidents
        if incident.state in {State.CLOSED, State.ABORTED}
        and incident.closed_at_ms is not None
        and now_ms - incident.closed_at_ms < RESOLVED_RETENTION_MS
    ]
