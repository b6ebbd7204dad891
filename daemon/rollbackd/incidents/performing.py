"""Performing one act on one lever: read first, act only from what was observed, read back."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from msgspec.structs import replace

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.incidents import messages as m
from rollbackd.model.decisions import Reason
from rollbackd.model.events import KnownGood
from rollbackd.model.incidents import Incident, Intent
from rollbackd.model.levers import Applied, Change, PlanRequest, Receipt, Target
from rollbackd.ports import FencedOffError, Lever, LeverTable, TargetMovedError
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

T = TypeVar("T")

#: One call on a lever may take this long.
DEADLINE_SECONDS: Final = 5.0
_MAX_DELAY_MS: Final = 5_000
_NO_SUCH_LEVER: Final = "the decision tree names a lever that this daemon does not have"


class LeverRoom:
    """The levers behind one wrapper: deadline, retry of what may pass, metrics.

    A TemporaryError is tried again until it passes, because an incident cannot go anywhere else;
    `on_stuck` is called once when that takes long.
    """

    def __init__(
        self,
        levers: LeverTable,
        clock: Clock,
        telemetry: Telemetry,
        on_stuck: Callable[[Incident, str], Awaitable[None]],
    ) -> None:
        self._levers = levers
        self._clock = clock
        self._telemetry = telemetry
        self._on_stuck = on_stuck

    async def prepare(
        self, incident: Incident, command: m.Prepare, known_good: KnownGood | None
    ) -> m.Prepared | m.NothingToMove | m.Refused:
        """Observe the target, plan the change and ask the lever whether it can be made."""
        call = command.call
        lever = self._levers.get(call.lever)
        if lever is None:
            return m.Refused(call=call, index=command.index, message=_NO_SUCH_LEVER)
        target = Target(lever=call.lever, scope=incident.scope, name=call.name)
        evidence = incident.evidence
        pins_seen = evidence.pins_seen.get("canary", {}) if evidence else {}
        try:
            observed = await self._patiently(incident, lambda: lever.observe(target))
            request = PlanRequest(
                target=target,
                observed=observed,
                known_good=known_good,
                params=call.params,
                pins_seen=pins_seen,
            )
            after = lever.plan(request)
            if after is None:
                return m.NothingToMove(call=call, index=command.index)
            change = Change(target=target, before=observed, after=after)
            objection = await self._patiently(incident, lambda: lever.preflight(change))
        except PermanentError as error:
            return m.Refused(call=call, index=command.index, message=str(error))
        if objection:
            return m.Refused(call=call, index=command.index, message=objection)
        return m.Prepared(change=change, kind=lever.kind, call=call, index=command.index)

    async def perform(
        self, incident: Incident, intent: Intent
    ) -> m.Sealed | m.GivenBack | m.Failed:
        """Do what the intent says, unless reading the target shows that it was done already."""
        lever_name = intent.change.target.lever
        lever = self._levers.get(lever_name)
        if lever is None:
            return m.Failed(reason=Reason.LEVER_FAILED, message=_NO_SUCH_LEVER)
        self._telemetry.lever_attempts.labels(lever_name).inc()
        started = self._clock.monotonic()
        tries = _Tries()
        try:
            if intent.reverts is None:
                event: m.Sealed | m.GivenBack = await self._apply(incident, lever, intent, tries)
            else:
                event = await self._give_back(incident, lever, intent)
        except TargetMovedError as error:
            return self._failure(lever_name, Reason.TARGET_MOVED, error)
        except FencedOffError as error:
            self._telemetry.fence_rejections.inc()
            return self._failure(lever_name, Reason.FENCED_OFF, error)
        except PermanentError as error:
            may_stand = await self._may_stand(incident, lever, intent, tries)
            failed = self._failure(lever_name, Reason.LEVER_FAILED, error)
            return replace(failed, may_stand=may_stand)
        took = self._clock.monotonic() - started
        self._telemetry.lever_duration.labels(lever_name).observe(took)
        return event

    async def drifted(self, changes: Sequence[Change]) -> list[Change]:
        """Of flips that should stand, those that were read not to: each from what is there now.

        A target that cannot be read has not drifted; it is read again with the next reading.
        """
        seen = [await self._drifted(change) for change in changes]
        return [change for change in seen if change is not None]

    async def _drifted(self, change: Change) -> Change | None:
        lever = self._levers.get(change.target.lever)
        if lever is None:
            return None
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                if await lever.verify(change):
                    return None
                now = await lever.observe(change.target)
        except (PermanentError, TemporaryError, TimeoutError) as error:
            because = str(error) or "no answer in time"
            extra = {"target": str(change.target), "because": because}
            logger.warning("cannot read whether a flip still stands", extra=extra)
            return None
        # between the two reads it may have come back
        return None if now.value == change.after else replace(change, before=now)

    async def _apply(
        self, incident: Incident, lever: Lever, intent: Intent, tries: "_Tries"
    ) -> m.Sealed:
        change = intent.change

        async def apply() -> Applied:
            tries.sent += 1
            return await lever.apply(change, intent.op)

        observed = await self._patiently(incident, lambda: lever.observe(change.target))
        reconciled = observed.value == change.after
        if reconciled:
            applied = Applied(
                change=change, op_id=intent.op.op_id, version=observed.version, replayed=True
            )
        elif observed.version == change.before.version:
            applied = await self._patiently(incident, apply)
        else:
            raise TargetMovedError(
                f"{change.target} holds {observed.value} instead of {change.before.value}"
            )
        if not await self._patiently(incident, lambda: lever.verify(change)):
            raise TargetMovedError(f"{change.target} was not {change.after} when read back")
        return m.Sealed(receipt=self._receipt(intent, applied, reconciled), applied=applied)

    async def _may_stand(
        self, incident: Incident, lever: Lever, intent: Intent, tries: "_Tries"
    ) -> bool:
        """Whether an act that failed, or an earlier try of it, took effect or still may."""
        change = intent.change
        if intent.reverts is not None:
            return False
        if intent.inherited or tries.sent > 1:
            # The answer to the last try says nothing about one that had none.
            return True
        try:
            now = await self._patiently(incident, lambda: lever.observe(change.target))
        except PermanentError:
            return True
        return now.value == change.after

    async def _give_back(self, incident: Incident, lever: Lever, intent: Intent) -> m.GivenBack:
        applied = intent.reverts
        assert applied is not None
        restored = await self._patiently(incident, lambda: lever.revert(applied, intent.op))
        now = await self._patiently(incident, lambda: lever.observe(intent.change.target))
        receipt = Receipt(
            op_id=intent.op.op_id,
            target=intent.change.target,
            before=intent.change.after,
            requested=intent.change.before.value,
            after=now.value,
            version=now.version,
            epoch=intent.op.epoch,
            started_at_ms=intent.started_at_ms,
            sealed_at_ms=self._clock.now(),
        )
        return m.GivenBack(restored=restored, receipt=receipt)

    def _receipt(self, intent: Intent, applied: Applied, reconciled: bool) -> Receipt:  # noqa: FBT001  # one private flag
        return Receipt(
            op_id=intent.op.op_id,
            target=intent.change.target,
            before=intent.change.before.value,
            requested=intent.change.after,
            after=intent.change.after,
            version=applied.version,
            epoch=intent.op.epoch,
            started_at_ms=intent.started_at_ms,
            sealed_at_ms=self._clock.now(),
            reconciled=reconciled,
        )

    def _failure(self, lever: str, reason: Reason, error: Exception) -> m.Failed:
        self._telemetry.lever_failures.labels(lever, reason).inc()
        return m.Failed(reason=reason, message=str(error))

    async def _patiently(self, incident: Incident, call: Callable[[], Awaitable[T]]) -> T:
        return await patiently(call, self._clock, lambda e: self._on_stuck(incident, e))


class _Tries:
    """How often an act was sent."""

    sent = 0


async def patiently(
    call: Callable[[], Awaitable[T]],
    clock: Clock,
    on_stuck: Callable[[str], Awaitable[None]],
    *,
    stuck_after_ms: int = 60_000,
) -> T:
    """Call until it does not raise TemporaryError, each try under a deadline, with backoff.

    `on_stuck` is called once, with the error's text, when that takes longer than `stuck_after_ms`.
    """
    delay_ms = 50
    first_failure: float | None = None
    told = False
    while True:
        try:
            async with asyncio.timeout(DEADLINE_SECONDS):
                return await call()
        except TemporaryError as error:
            message, wanted_ms = str(error), error.delay_ms
        except TimeoutError:
            message, wanted_ms = f"no answer within {DEADLINE_SECONDS:g} s", 0
        now = clock.monotonic()
        first_failure = first_failure if first_failure is not None else now
        if not told and (now - first_failure) * 1_000 >= stuck_after_ms:
            told = True
            await on_stuck(message)
        wait_ms = min(max(delay_ms, wanted_ms), _MAX_DELAY_MS)
        logger.warning("will try again", extra={"because": message, "delay_ms": wait_ms})
        await clock.sleep(wait_ms)
        delay_ms = min(delay_ms * 2, _MAX_DELAY_MS)
