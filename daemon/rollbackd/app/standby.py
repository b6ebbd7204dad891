"""A daemon that starts while its store is away: it answers OpenFeature, and waits.

Without it an application would fall back to the defaults of its code, and a feature that was killed
could come alive, because rollbackd was restarted during an outage of Redis. Nothing is decided and
nothing is accepted meanwhile: every other request is 503, so that who sent it comes again.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final, NoReturn, cast

from rollbackd import __version__
from rollbackd.app.backends import Backends, open_backends
from rollbackd.app.lifecycle import Cleanups
from rollbackd.app.systemd import ServiceManager
from rollbackd.clock import Clock
from rollbackd.controls.snapshot import Snapshot
from rollbackd.errors import TemporaryError
from rollbackd.events.mapping.field_mapping import FieldMapping
from rollbackd.http.server import HttpServer
from rollbackd.model.controls import Control
from rollbackd.model.labels import Scope
from rollbackd.ports import KnownGoodDesk, Operations
from rollbackd.settings import Backend, Settings
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

_AGAIN_SECONDS: Final = 1.0
_NOTHING: Final[Mapping[str, Control]] = {}


def snapshot_of(settings: Settings, clock: Clock) -> Snapshot | None:
    """Where the last known controls are kept; None where everything is in a local file anyway."""
    if Backend.REDIS not in {settings.store, settings.controls}:
        return None
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    return Snapshot(settings.state_dir / "last-known-controls.json", clock)


class Standby:
    """Opens the backends, and serves what is known of the controls until they are open."""

    def __init__(
        self,
        settings: Settings,
        telemetry: Telemetry,
        clock: Clock,
        service_manager: ServiceManager,
        snapshot: Snapshot | None,
        *,
        mappings: Mapping[str, FieldMapping] = MappingProxyType({}),
    ) -> None:
        self._settings = settings
        self._telemetry = telemetry
        self._clock = clock
        self._service_manager = service_manager
        self._snapshot = snapshot
        self._mappings = mappings
        self._http: HttpServer | None = None

    async def open(self, cleanups: Cleanups, stopping: asyncio.Event) -> Backends | None:
        """The backends; None when it was told to stop before they could be opened.

        Without controls that are fresh enough there is nothing to wait for. Raises TemporaryError
        then, PermanentError, and OSError when the address cannot be had.
        """
        cleanups.push("standby", self.stop)
        try:
            return await self._open(cleanups)
        except TemporaryError as error:
            snapshot = self._snapshot
            known = snapshot.load() if snapshot is not None else {}
            if not known:
                raise
            await self._serve(known, str(error))
        while not stopping.is_set():
            try:
                backends = await self._open(cleanups)
            except TemporaryError:
                # only after a try: a waiting that hangs is to be restarted
                self._service_manager.alive()
            else:
                logger.info("the store can be reached")
                return backends
            try:
                async with asyncio.timeout(_AGAIN_SECONDS):
                    await stopping.wait()
            except TimeoutError:
                continue
        return None

    async def stop(self) -> None:
        """Free the address for the daemon itself. Idempotent."""
        http, self._http = self._http, None
        if http is not None:
            await http.stop()

    async def _open(self, cleanups: Cleanups) -> Backends:
        own = Cleanups()
        try:
            backends = await open_backends(self._settings, own)
        except BaseException:
            await own.run()
            raise
        cleanups.push("backends", own.run)
        return backends

    async def _serve(self, known: Mapping[Scope, Mapping[str, Control]], because: str) -> None:
        waiting = _Waiting(because, self._clock)
        http = HttpServer(
            self._settings.http,
            cast("Operations", waiting),
            self._telemetry,
            self._clock,
            last_known=_Kept(known),
            known_good=cast("KnownGoodDesk", waiting),
            mappings=self._mappings,
        )
        await http.start()
        self._http = http
        logger.warning(
            "waiting for the store; flags are answered as they were last known",
            extra={"because": because, "scopes": len(known), "port": http.port},
        )
        self._service_manager.ready("waiting for the store")


class _Kept:
    """Implements `ports.LastKnown`: nothing changes any more."""

    def __init__(self, known: Mapping[Scope, Mapping[str, Control]]) -> None:
        self._known = known

    def last_known(self, scope: Scope) -> Mapping[str, Control]:
        """See `ports.LastKnown`."""
        return self._known.get(scope, _NOTHING)


class _Waiting:
    """Stands for all that may be asked: says why it waits, and refuses the rest for now."""

    def __init__(self, because: str, clock: Clock) -> None:
        self._because = f"waiting for the store: {because}"
        self._clock = clock

    def status(self) -> dict[str, object]:
        """The daemon in a few lines."""
        return {
            "version": __version__,
            "now_ms": self._clock.now(),
            "not_ready": self.not_ready(),
            "open_incidents": [],
        }

    def not_ready(self) -> list[str]:
        """That it waits."""
        return [self._because]

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def refuse(*_: object, **__: object) -> NoReturn:
            raise TemporaryError(self._because)

        return refuse
