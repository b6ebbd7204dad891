"""The audit once everything was given back (requirements A2, F1, F4, F5)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.evidence.capture import digest_of
from rollbackd.evidence.pins import PinsTable
from rollbackd.evidence.served_pins import GRACE_MS, served_pins
from rollbackd.evidence.state_hash import state_hash
from rollbackd.incidents.chain import first_break
from rollbackd.incidents.units import STATE_HASH
from rollbackd.model.events import PinsSeen
from rollbackd.model.incidents import AuditCheck, Incident, MeasureStatus
from rollbackd.model.levers import Change, Observation, Receipt
from rollbackd.ports import Controls, LeverTable, Store

#: How long one check may wait for its target.
DEADLINE_SECONDS: Final = 60.0
_MIN_DELAY_MS: Final = 10
_MAX_DELAY_MS: Final = 1_000


class IncidentAuditor:
    """Reads the targets again and looks at what the incident says of itself."""

    def __init__(
        self, levers: LeverTable, store: Store, controls: Controls, pins: PinsTable
    ) -> None:
        self._levers = levers
        self._pins = pins
        self._store = store
        self._controls = controls

    async def audit(self, incident: Incident) -> list[AuditCheck]:
        """One line a check; a check that cannot run has failed."""
        return [
            _evidence_is_whole(incident),
            _measures_are_given_back(incident),
            _cache_was_rotated(incident),
            await self._journal_is_chained(incident),
            await self._state(incident),
            served_pins(incident, self._seen_since_the_flip(incident)),
            *[await self._stands(receipt) for receipt in _lasting(incident)],
        ]

    def _seen_since_the_flip(self, incident: Incident) -> list[PinsSeen]:
        if incident.flipped_at_ms is None:
            return []
        return self._pins.since(incident.scope, incident.flipped_at_ms + GRACE_MS)

    async def _journal_is_chained(self, incident: Incident) -> AuditCheck:
        """What the store holds is what was journaled (A2)."""

        async def check() -> tuple[bool, str]:
            journal = await self._store.journal(incident.id)
            broken = first_break(
                [msgspec.to_builtins(record) for record in journal], incident.chain_head
            )
            return broken is None, broken.headline if broken else f"{len(journal)} records"

        return await _answered("journal_chain", check)

    async def _state(self, incident: Incident) -> AuditCheck:
        """What the scope was rolled back to, to be compared with other regions (P4)."""

        async def check() -> tuple[bool, str]:
            return True, state_hash(await self._controls.read_all(incident.scope))

        return await _answered(STATE_HASH, check)

    async def _stands(self, receipt: Receipt) -> AuditCheck:
        before = Observation(value=receipt.before, version=receipt.version)
        change = Change(target=receipt.target, before=before, after=receipt.after)

        async def check() -> tuple[bool, str]:
            lever = self._levers.get(change.target.lever)
            if lever is None:
                raise PermanentError(f"{receipt.target}: the levers file has no such lever now")
            stands = await lever.verify(change)
            moved = f"{receipt.target} is no longer as it was set"
            return stands, str(receipt.target) if stands else moved

        return await _answered(f"{receipt.target.lever}_stands", check)


def _lasting(incident: Incident) -> list[Receipt]:
    """The last receipt of each target that is meant to stay as it was moved."""
    measures = {str(measure.change.target) for measure in incident.ledger}
    lasting = {str(receipt.target): receipt for receipt in incident.receipts}
    return [receipt for target, receipt in lasting.items() if target not in measures]


async def _answered(name: str, check: Callable[[], Awaitable[tuple[bool, str]]]) -> AuditCheck:
    """One line of the audit from a check that asks somebody, under the deadline."""
    said = ""
    try:
        async with asyncio.timeout(DEADLINE_SECONDS):
            while True:
                try:
                    passed, detail = await check()
                    break
                except TemporaryError as error:
                    # a short outage is no finding
                    said = f": {error}"
                    delay_ms = min(max(error.delay_ms, _MIN_DELAY_MS), _MAX_DELAY_MS)
                    await asyncio.sleep(delay_ms / 1_000)
    except TimeoutError:
        passed, detail = False, f"no answer within {DEADLINE_SECONDS:g} s{said}"
    except PermanentError as error:
        passed, detail = False, str(error)
    return AuditCheck(name=name, passed=passed, detail=detail)


def _evidence_is_whole(incident: Incident) -> AuditCheck:
    evidence = incident.evidence
    whole = evidence is not None and evidence.digest == digest_of(evidence)
    detail = evidence.digest if whole and evidence else "missing, or its digest does not match"
    return AuditCheck(name="evidence_is_whole", passed=whole, detail=detail)


def _cache_was_rotated(incident: Incident) -> AuditCheck:
    """Whoever reads a cache that the bad version filled is not rolled back (F1)."""
    owed = incident.rotation_owed
    detail = "a pointer was flipped and no rotation followed" if owed else ""
    return AuditCheck(name="cache_was_rotated", passed=not owed, detail=detail)


def _measures_are_given_back(incident: Incident) -> AuditCheck:
    kept = [m for m in incident.ledger if m.status is MeasureStatus.TAKEN]
    left = [m for m in incident.ledger if m.status is MeasureStatus.LEFT_ALONE]
    parts = [f"{m.change.target} is still in force" for m in kept]
    parts += [f"{m.change.target} was moved by somebody else and left alone" for m in left]
    kept_on = [m for m in incident.ledger if m.status is MeasureStatus.HANDED_OVER]
    parts += [f"{m.change.target} is still needed by {m.handed_to} and left to it" for m in kept_on]
    return AuditCheck(
        name="measures_are_given_back",
        passed=not kept,
        detail="; ".join(parts) or f"{len(incident.ledger)} given back",
    )
