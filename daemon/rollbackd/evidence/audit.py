"""The audit once everything was given back (requirements A2, F1, F4, F5)."""

import asyncio
from typing import Final

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.evidence.capture import digest_of
from rollbackd.model.incidents import AuditCheck, Incident, MeasureStatus
from rollbackd.model.levers import Change, LeverKind, Observation, Receipt
from rollbackd.ports import LeverTable

#: How long one check may wait for its target.
DEADLINE_SECONDS: Final = 60.0
_MAX_DELAY_MS: Final = 1_000


class IncidentAuditor:
    """Reads the targets again and looks at what the incident says of itself."""

    def __init__(self, levers: LeverTable) -> None:
        self._levers = levers

    async def audit(self, incident: Incident) -> list[AuditCheck]:
        """One line a check; a check that cannot run has failed."""
        return [
            _evidence_is_whole(incident),
            _measures_are_given_back(incident),
            *[await self._stands(receipt) for receipt in self._lasting(incident)],
        ]

    def _lasting(self, incident: Incident) -> list[Receipt]:
        """The last receipt of each target that is meant to stay as it was moved."""
        lasting = {
            str(receipt.target): receipt
            for receipt in incident.receipts
            if (lever := self._levers.get(receipt.target.lever)) is not None
            and lever.kind is not LeverKind.TEMPORARY
        }
        return list(lasting.values())

    async def _stands(self, receipt: Receipt) -> AuditCheck:
        name = f"{receipt.target.lever}_stands"
        before = Observation(value=receipt.before, version=receipt.version)
        change = Change(target=receipt.target, before=before, after=receipt.after)
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                stands = await self._verified(change)
        except TimeoutError:
            detail = f"no answer within {DEADLINE_SECONDS:g} s"
            return AuditCheck(name=name, passed=False, detail=detail)
        except PermanentError as error:
            return AuditCheck(name=name, passed=False, detail=str(error))
        detail = str(receipt.target) if stands else f"{receipt.target} is no longer as it was set"
        return AuditCheck(name=name, passed=stands, detail=detail)

    async def _verified(self, change: Change) -> bool:
        """Read until the target answers: a short outage is no finding."""
        while True:
            try:
                return await self._levers[change.target.lever].verify(change)
            except TemporaryError as error:
                await asyncio.sleep(min(error.delay_ms, _MAX_DELAY_MS) / 1_000)


def _evidence_is_whole(incident: Incident) -> AuditCheck:
    evidence = incident.evidence
    whole = evidence is not None and evidence.digest == digest_of(evidence)
    detail = evidence.digest if whole and evidence else "missing, or its digest does not match"
    return AuditCheck(name="evidence_is_whole", passed=whole, detail=detail)


def _measures_are_given_back(incident: Incident) -> AuditCheck:
    kept = [m for m in incident.ledger if m.status is MeasureStatus.TAKEN]
    left = [m for m in incident.ledger if m.status is MeasureStatus.LEFT_ALONE]
    parts = [f"{m.change.target} is still in force" for m in kept]
    parts += [f"{m.change.target} was moved by somebody else and left alone" for m in left]
    return AuditCheck(
        name="measures_are_given_back",
        passed=not kept,
        detail="; ".join(parts) or f"{len(incident.ledger)} given back",
    )
