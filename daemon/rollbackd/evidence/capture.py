"""Capture before the first act (requirements C1, F5)."""

import asyncio
import hashlib
import logging
from collections.abc import Callable
from typing import Final, TypeVar

import msgspec

from rollbackd.clock import Clock
from rollbackd.documents.canonical_json import canonical_json
from rollbackd.evidence.pins import PinsTable
from rollbackd.evidence.sources import bounded
from rollbackd.model.incidents import Evidence, Incident, SeriesWindow
from rollbackd.model.pins import REQUIRED_PINS
from rollbackd.ports import Controls, Store, Targets, Windows

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: Each source may take this long; they are asked at once, so this bounds the capture.
DEADLINE_SECONDS: Final = 5.0


class EvidenceCapture:
    """Writes down pins, controls, the known good set, exit targets and windows as they are now."""

    def __init__(
        self,
        *,
        store: Store,
        controls: Controls,
        targets: Targets,
        windows: Windows,
        pins: PinsTable,
        clock: Clock,
    ) -> None:
        self._store = store
        self._controls = controls
        self._targets = targets
        self._windows = windows
        self._pins = pins
        self._clock = clock

    async def capture(self, incident: Incident) -> Evidence:
        """Bounded by DEADLINE_SECONDS; a source that fails is named, never waited for."""
        unavailable: list[str] = []
        scope, seconds = incident.scope, DEADLINE_SECONDS
        async with asyncio.TaskGroup() as group:
            reading_controls = group.create_task(
                bounded("controls", lambda: self._controls.read_all(scope), unavailable, seconds)
            )
            reading_known_good = group.create_task(
                bounded("known_good", lambda: self._store.known_good(scope), unavailable, seconds)
            )
        controls = reading_controls.result() or {}
        known_good = reading_known_good.result()
        now_ms = self._clock.now()
        pins_seen = self._pins.of(scope)
        suspect = pins_seen.get("canary") or next(iter(pins_seen.values()), {})
        readings = _read("targets", lambda: self._targets.read(incident, now_ms), unavailable)
        evidence = Evidence(
            captured_at_ms=now_ms,
            pins_seen=pins_seen,
            known_good_pins=known_good.pins if known_good else {},
            missing_pins=[name for name in REQUIRED_PINS if name not in suspect],
            controls={name: control.effective for name, control in sorted(controls.items())},
            readings=readings or [],
            windows=self._recorded(incident, now_ms, unavailable),
            unavailable=sorted(unavailable),
        )
        return msgspec.structs.replace(evidence, digest=digest_of(evidence))

    def _recorded(
        self, incident: Incident, now_ms: int, unavailable: list[str]
    ) -> list[SeriesWindow]:
        found = _read("windows", lambda: self._windows.read(incident, now_ms), unavailable)
        windows, beyond = found or ([], 0)
        if beyond:
            unavailable.append(f"windows of {beyond} more series")
        return windows


def digest_of(evidence: Evidence) -> str:
    """SHA-256 over the canonical JSON of the evidence without its digest."""
    bare = msgspec.structs.replace(evidence, digest="")
    return "sha256:" + hashlib.sha256(canonical_json(bare)).hexdigest()


def _read(name: str, read: Callable[[], T], unavailable: list[str]) -> T | None:
    """Read from memory, which takes no time that would have to be bounded."""
    try:
        return read()
    except Exception:  # an incident waits: nothing that fails here may hold it up
        logger.exception("a source of evidence failed", extra={"evidence": name})
    unavailable.append(name)
    return None
