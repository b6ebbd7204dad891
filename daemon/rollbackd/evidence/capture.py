"""Capture before the first act (requirements C1, F5)."""

import asyncio
import hashlib
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

import msgspec

from rollbackd.clock import Clock
from rollbackd.errors import RollbackdError
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.events import REQUIRED_PINS
from rollbackd.model.incidents import Evidence, Incident
from rollbackd.ports import Controls, Store, Targets

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: All sources together may take this long; what has not answered by then is `unavailable`.
DEADLINE_SECONDS: Final = 5.0


class EvidenceCapture:
    """Writes down pins, controls, the known good set and the exit targets as they are now."""

    def __init__(
        self, *, store: Store, controls: Controls, targets: Targets, pins: PinsTable, clock: Clock
    ) -> None:
        self._store = store
        self._controls = controls
        self._targets = targets
        self._pins = pins
        self._clock = clock

    async def capture(self, incident: Incident) -> Evidence:
        """Bounded by DEADLINE_SECONDS; a source that fails is named, never waited for."""
        unavailable: list[str] = []
        scope = incident.scope
        async with asyncio.TaskGroup() as group:
            reading_controls = group.create_task(
                _bounded("controls", lambda: self._controls.read_all(scope), unavailable)
            )
            reading_known_good = group.create_task(
                _bounded("known_good", lambda: self._store.known_good(scope), unavailable)
            )
        controls = reading_controls.result() or {}
        known_good = reading_known_good.result()
        now_ms = self._clock.now()
        pins_seen = self._pins.of(scope)
        suspect = pins_seen.get("canary") or next(iter(pins_seen.values()), {})
        try:
            readings = self._targets.read(incident, now_ms)
        except Exception:  # an incident waits: nothing that fails here may hold it up
            logger.exception("a source of evidence failed", extra={"evidence": "targets"})
            unavailable.append("targets")
            readings = []
        evidence = Evidence(
            captured_at_ms=now_ms,
            pins_seen=pins_seen,
            known_good_pins=known_good.pins if known_good else {},
            missing_pins=[name for name in REQUIRED_PINS if name not in suspect],
            controls={name: control.effective for name, control in sorted(controls.items())},
            readings=readings,
            unavailable=sorted(unavailable),
        )
        return msgspec.structs.replace(evidence, digest=digest_of(evidence))


def digest_of(evidence: Evidence) -> str:
    """SHA-256 over the canonical JSON of the evidence without its digest."""
    bare = msgspec.structs.replace(evidence, digest="")
    return "sha256:" + hashlib.sha256(msgspec.json.encode(bare, order="deterministic")).hexdigest()


async def _bounded(name: str, call: Callable[[], Awaitable[T]], unavailable: list[str]) -> T | None:
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            return await call()
    except (RollbackdError, TimeoutError) as error:
        logger.warning(
            "a source of evidence is unavailable",
            extra={"evidence": name, "because": str(error) or "no answer in time"},
        )
    except Exception:
        logger.exception("a source of evidence failed", extra={"evidence": name})
    unavailable.append(name)
    return None
