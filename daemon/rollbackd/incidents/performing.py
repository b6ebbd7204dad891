"""Performing one act on one lever: read first, act only from what was observed, read back."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from msgspec.structs import replace

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.incidents import messages as m
from rollbackd.incidents.looking import Lookout
from rollbackd.incidents.patience import patiently
from rollbackd.incidents.sharing import SharedTargets
from rollbackd.model.decisions import Reason
from rollbackd.model.events import KnownGood
from rollbackd.model.incidents import Incident, Intent
from rollbackd.model.levers import (
    Applied,
    Change,
    LeverKind,
    Observation,
    PlanRequest,
    Receipt,
    Target,
)
from rollbackd.ports import FencedOffError, Lever, LeverTable, Store, TargetMovedError
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

T = TypeVar("T")
_Done = m.Sealed | m.GivenBack | m.HandedOver

#: Before anything has moved, a target in another system may be away this long until the next lever
#: of the branch is tried.
_AWAY_MS: Final = 60_000
_READER_DELAY_MS: Final = 200
_NO_SUCH_LEVER: Final = "the decision tree names a lever that this daemon does not have"


class LeverRoom:
    """The levers behind one wrapper: deadline, retry of what may pass, metrics.

    A TemporaryError is tried again until it passes, because an incident cannot go anywhere else;
    `on_stuck` is called once when that takes long. Where it can go elsewhere it does: to the next
    lever of the branch while nothing has moved, and on when only the readers of a target lag.

    The table may be replaced meanwhile: each try takes the lever that is in force by then.
    """

    def __init__(
        self,
        levers: LeverTable,
        store: Store,
        clock: Clock,
        telemetry: Telemetry,
        on_stuck: Callable[[Incident, str], Awaitable[None]],
    ) -> None:
        self._levers = levers
        self._clock = clock
        self._telemetry = telemetry
        self._on_stuck = on_stuck
        self._shared = SharedTargets(levers, store)
        self.look = Lookout(levers, clock)

    async def prepare(
        self, incident: Incident, command: m.Prepare, known_good: KnownGood | None
    ) -> m.Prepared | m.NothingToMove | m.Refused:
        """Observe the target, plan the change and ask the lever whether it can be made."""
        call = command.call
        target = Target(lever=call.lever, scope=incident.scope, name=call.name)
        evidence = incident.evidence
        pins_seen = evidence.pins_seen.get("canary", {}) if evidence else {}
        name, away_ms = call.lever, self._away_ms(command)
        try:
            observed = await self._ask(incident, name, lambda it: it.observe(target), away_ms)
            request = PlanRequest(
                target=target,
                observed=observed,
                known_good=known_good,
                params=call.params,
                pins_seen=pins_seen,
            )
            lever = self._lever(name)
            after = lever.plan(request)
            if after is None and lever.kind is LeverKind.TEMPORARY:
                return await self._held_already(incident, command, observed)
            if after is None:
                return m.NothingToMove(call=call, index=command.index)
            known = known_good.targets.get(target.key) if known_good else None
            facts = known.facts if known is not None and known.value == after else {}
            change = Change(target=target, before=observed, after=after, facts=facts)
            objection = await self._ask(incident, name, lambda it: it.preflight(change), away_ms)
        except (PermanentError, TemporaryError) as error:
            return m.Refused(call=call, index=command.index, message=str(error))
        if objection:
            return m.Refused(call=call, index=command.index, message=objection)
        return m.Prepared(change=change, kind=lever.kind, call=call, index=command.index)

    async def _held_already(
        self, incident: Incident, command: m.Prepare, observed: Observation
    ) -> m.Prepared | m.NothingToMove:
        """Hold with another incident what it has taken; what nobody took is not ours to give back.

        It is put into our ledger as that one has it, and the last of both gives it back.
        """
        call = command.call
        target = Target(lever=call.lever, scope=incident.scope, name=call.name)
        held = await self._patiently(
            incident, lambda: self._shared.held(incident, target, observed.value)
        )
        if held is None:
            return m.NothingToMove(call=call, index=command.index)
        return m.Prepared(
            change=replace(held.measure.change, target=target),
            kind=LeverKind.TEMPORARY,
            call=call,
            index=command.index,
            held_by=held.by.id,
        )

    async def perform(
        self, incident: Incident, intent: Intent
    ) -> m.Sealed | m.GivenBack | m.HandedOver | m.Failed:
        """Do what the intent says, unless reading the target shows that it was done already."""
        lever_name = intent.change.target.lever
        self._telemetry.lever_attempts.labels(lever_name).inc()
        started = self._clock.monotonic()
        tries = _Tries()
        try:
            if intent.reverts is None:
                event: _Done = await self._apply(incident, intent, tries)
            else:
                event = await self._give_back(incident, intent)
        except TargetMovedError as error:
            failed = self._failure(lever_name, Reason.TARGET_MOVED, error)
            # Who takes over a measure cannot tell whether it was taken before the target moved.
            measure = intent.kind is LeverKind.TEMPORARY and intent.reverts is None
            return replace(failed, may_stand=measure and intent.inherited)
        except FencedOffError as error:
            self._telemetry.fence_rejections.inc()
            return self._failure(lever_name, Reason.FENCED_OFF, error)
        except PermanentError as error:
            may_stand = await self._may_stand(incident, intent, tries)
            failed = self._failure(lever_name, Reason.LEVER_FAILED, error)
            return replace(failed, may_stand=may_stand)
        took = self._clock.monotonic() - started
        self._telemetry.lever_duration.labels(lever_name).observe(took)
        return event

    async def _apply(self, incident: Incident, intent: Intent, tries: "_Tries") -> m.Sealed:
        change, name = intent.change, intent.change.target.lever

        async def apply(lever: Lever) -> Applied:
            tries.sent += 1
            return await lever.apply(change, intent.op)

        if intent.kind is LeverKind.TEMPORARY:
            await self._patiently(incident, lambda: self._shared.wait_until_kept(incident, change))
        observed = await self._ask(incident, name, lambda it: it.observe(change.target))
        reconciled = observed.value == change.after
        if reconciled:
            applied = Applied(
                change=change, op_id=intent.op.op_id, version=observed.version, replayed=True
            )
        elif observed.version == change.before.version:
            applied = await self._ask(incident, name, apply)
        else:
            raise TargetMovedError(
                f"{change.target} holds {observed.value} instead of {change.before.value}"
            )
        unseen = await self._read_back(incident, change)
        receipt = self._receipt(intent, applied, reconciled)
        return m.Sealed(receipt=receipt, applied=applied, unseen=unseen)

    async def _read_back(self, incident: Incident, change: Change) -> str:
        """Read the target and its readers; why these were not seen to follow, or nothing.

        Readers that lag for longer than the lever gives them hold nobody up: what was written does
        stand, and people are told. Raises TargetMovedError when it does not.
        """
        name, target = change.target.lever, change.target

        async def seen(lever: Lever) -> bool:
            if await lever.verify(change):
                return True
            if (await lever.observe(target)).value == change.after:
                raise TemporaryError(
                    f"{target} was written, and its readers see something else",
                    delay_ms=_READER_DELAY_MS,
                )
            return False

        unseen = ""
        timeout_ms = self._lever(name).reader_timeout_ms
        try:
            stands = await self._ask(incident, name, seen, timeout_ms)
        except TemporaryError:
            now = await self._ask(incident, name, lambda it: it.observe(target))
            stands = now.value == change.after
            try:
                # it may have been the target that did not answer, and not its readers
                stands = await self._ask(incident, name, seen, 0)
            except TemporaryError as error:
                unseen = str(error)
        if not stands:
            raise TargetMovedError(f"{target} was not {change.after} when read back")
        if unseen:
            await self._on_stuck(incident, f"readers were not seen to follow: {unseen}")
        return unseen

    async def _may_stand(self, incident: Incident, intent: Intent, tries: "_Tries") -> bool:
        """Whether an act that failed, or an earlier try of it, took effect or still may."""
        change = intent.change
        if intent.reverts is not None:
            return False
        if intent.inherited or tries.sent > 1:
            # The answer to the last try says nothing about one that had none.
            return True
        if intent.kind is LeverKind.TEMPORARY and await self._patiently(
            incident, lambda: self._shared.depends(incident, change)
        ):
            return True
        if not tries.sent:
            return False
        try:
            now = await self._ask(
                incident, change.target.lever, lambda it: it.observe(change.target)
            )
        except PermanentError:
            return True
        return now.value == change.after

    async def _give_back(self, incident: Incident, intent: Intent) -> m.GivenBack | m.HandedOver:
        applied, target = intent.reverts, intent.change.target
        assert applied is not None
        heir, is_measure = "", intent.kind is LeverKind.TEMPORARY

        async def revert(lever: Lever) -> bool:
            # before each try: an incident that needs it may have opened since the one before
            nonlocal heir
            heir = await self._shared.heir(incident, intent.change) if is_measure else ""
            return not heir and await lever.revert(applied, intent.op)

        restored = await self._ask(incident, target.lever, revert)
        if heir:
            return m.HandedOver(to=heir)
        try:
            now = await self._ask(incident, target.lever, lambda it: it.observe(target))
            after, version = now.value, now.version
        except PermanentError as error:
            # It was given back, or left alone; that its target has gone since is no failure. What
            # was not read is not claimed either.
            after, version = {}, applied.version
            done = "given back" if restored else "left alone"
            await self._on_stuck(incident, f"{target} was {done} and not read back: {error}")
        receipt = Receipt(
            op_id=intent.op.op_id,
            target=target,
            before=intent.change.after,
            requested=intent.change.before.value,
            after=after,
            version=version,
            epoch=intent.op.epoch,
            started_at_ms=intent.started_at_ms,
            sealed_at_ms=self._clock.now(),
        )
        return m.GivenBack(restored=restored, receipt=receipt)

    async def _patiently(self, incident: Incident, call: Callable[[], Awaitable[T]]) -> T:
        return await patiently(call, self._clock, lambda error: self._on_stuck(incident, error))

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

    def _lever(self, name: str) -> Lever:
        lever = self._levers.get(name)
        if lever is None:
            raise PermanentError(_NO_SUCH_LEVER)
        return lever

    def _away_ms(self, command: m.Prepare) -> int | None:
        """How long a target may be away before another lever is tried; None where there is none."""
        lever = self._levers.get(command.call.lever)
        # the levers on the controls all wait for the same store
        alone = lever is None or lever.reader_timeout_ms is None
        return None if alone or command.index is None else _AWAY_MS

    async def _ask(
        self,
        incident: Incident,
        name: str,
        verb: Callable[[Lever], Awaitable[T]],
        give_up_after_ms: int | None = None,
    ) -> T:
        async def ask() -> T:
            return await verb(self._lever(name))

        return await patiently(
            ask,
            self._clock,
            lambda error: self._on_stuck(incident, error),
            give_up_after_ms=give_up_after_ms,
            deadline_seconds=lambda: self._lever(name).act_timeout_ms / 1_000,
        )


class _Tries:
    """How often an act was sent."""

    sent = 0
