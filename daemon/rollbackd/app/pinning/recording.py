"""Records known good sets: what runs now, what stands at every target, and how good it is."""

import asyncio
import hashlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from rollbackd.app.pinning.baselines import Baselines
from rollbackd.app.pinning.measuring import Measured, Measuring, refuse_few
from rollbackd.app.pinning.observing import ObserveTargets
from rollbackd.app.pinning.sightings import differing, of_arm
from rollbackd.clock import Clock
from rollbackd.documents.durations import format_duration
from rollbackd.evidence.pins import PinsTable
from rollbackd.model.events import KnownGood
from rollbackd.model.known_good import PinRequest, SetStatus
from rollbackd.model.labels import Scope
from rollbackd.model.pins import REQUIRED_PINS, Pins
from rollbackd.ports import Controls, LiveState, Recorded, ScopeBusyError, Store
from rollbackd.settings import PinSettings
from rollbackd.telemetry import Telemetry

logger = logging.getLogger(__name__)

#: Without a key of its own, a request that comes to the same counts as a repetition for so long.
_REPEAT_MS: Final = 600_000
#: Nothing can be live that was said longer ago.
_LIVE_MS: Final = 300_000
_MOST_OPEN: Final = 10_000
_MOST_SETS: Final = 1_000

#: Hears of a set that was recorded, promoted or retired.
Hears = Callable[[KnownGood], None]


class KnownGoodSets:
    """Implements `ports.KnownGoodDesk`."""

    def __init__(
        self,
        *,
        store: Store,
        controls: Controls,
        pins: PinsTable,
        baselines: Baselines,
        measuring: Measuring,
        observe: ObserveTargets,
        settings: Callable[[], PinSettings],
        clock: Clock,
        telemetry: Telemetry,
        hears: Hears,
    ) -> None:
        self._store = store
        self._controls = controls
        self._pins = pins
        self._baselines = baselines
        self._measuring = measuring
        self._observe = observe
        self._settings = settings
        self._clock = clock
        self._telemetry = telemetry
        self._hears = hears
        self._one_at_a_time = asyncio.Lock()
        self._one_look_at_a_time = asyncio.Lock()

    async def record(self, request: PinRequest, *, by: str) -> Recorded:
        """See `ports.KnownGoodDesk`."""
        async with self._one_at_a_time:
            known = await self._of_key(request) if request.key else None
            if known is not None:
                return Recorded(known_good=known, is_new=False)
            built = await self._build(request, by)
            repeated = None if request.key else await self._repeated(request, built.known_good)
            if repeated is not None:
                return replace(built, known_good=repeated, is_new=False)
            return await self._keep(built, by)

    async def restate(self, set_id: str, status: SetStatus, *, by: str) -> KnownGood:
        """See `ports.KnownGoodDesk`."""
        before = await self.one(set_id)
        changed = await self._store.set_known_good_status(
            set_id, status, by=by, now_ms=self._clock.now()
        )
        if changed is None:
            raise KeyError(set_id)
        if changed != before:
            self._tell("promoted" if status is SetStatus.GOOD else "retired", changed, by)
        await self._baselines.look(changed.scope)
        return changed

    async def sets(self, scope: Scope | None, *, limit: int) -> list[KnownGood]:
        """See `ports.KnownGoodDesk`."""
        return await self._store.known_good_sets(scope, limit=limit)

    async def one(self, set_id: str) -> KnownGood:
        """See `ports.KnownGoodDesk`."""
        found = await self._store.known_good_set(set_id)
        if found is None:
            raise KeyError(set_id)
        return found

    async def in_force(self) -> dict[Scope, str]:
        """See `ports.KnownGoodDesk`."""
        return {each.scope: each.id for each in await self._store.all_known_good()}

    async def live(self, scope: Scope) -> LiveState:
        """See `ports.KnownGoodDesk`."""
        known_good = await self._store.known_good(scope)
        controls = await self._controls.read_all(scope)
        # however many ask, other systems are asked once at a time
        async with self._one_look_at_a_time:
            targets, not_observed = await self._observe(scope)
        return LiveState(
            scope=scope,
            arms=self._pins.of(scope),
            controls={name: each.effective for name, each in sorted(controls.items())},
            targets=targets,
            not_observed=not_observed,
            in_force=known_good.id if known_good is not None else "",
        )

    async def _build(self, request: PinRequest, by: str) -> Recorded:
        """The set as it would be recorded now; nothing is stored. Raises ValueError."""
        now_ms, scope = self._clock.now(), request.scope
        window_ms = self._window_of(request)
        if request.from_live or window_ms:
            await self._refuse_during_incident(scope)
        pins = self._pins_of(request, window_ms, now_ms)
        missing = [name for name in REQUIRED_PINS if name not in pins]
        refuse_missing(request, pins, missing)
        measured = self._measured(request, window_ms, now_ms)
        targets, not_observed = await self._observe(scope)
        if not_observed and not request.allow_missing:
            named = "; ".join(f"{name}: {why}" for name, why in sorted(not_observed.items()))
            raise ValueError(
                f"targets of the decision tree cannot be read, and could not be put back: {named};"
                " mend that, or allow what is missing"
            )
        controls = await self._controls.read_all(scope)
        known_good = KnownGood(
            scope=scope,
            pins=pins,
            recorded_at_ms=now_ms,
            controls={name: each.effective for name, each in sorted(controls.items())},
            targets=targets,
            baseline=measured.baseline,
            window_ms=window_ms,
            by=by,
            note=request.note,
            key=_stored_key(request, now_ms),
            status=request.status,
        )
        return Recorded(
            known_good=known_good,
            is_new=True,
            missing=missing,
            not_measured=measured.empty,
            not_observed=not_observed,
        )

    async def _keep(self, built: Recorded, by: str) -> Recorded:
        stored = await self._store.put_known_good(built.known_good)
        is_new = stored == built.known_good
        if is_new:
            self._tell("recorded", stored, by)
        await self._baselines.look(stored.scope)
        return replace(built, known_good=stored, is_new=is_new)

    def _window_of(self, request: PinRequest) -> int:
        """How much to measure; 0 when nothing is. Raises ValueError."""
        kept = self._settings().window_ms
        if request.baseline:
            if request.window_ms:
                raise ValueError("give a `baseline` of your own or a `window` to measure, not both")
            return 0
        if request.window_ms is None:
            return kept
        if request.window_ms > kept:
            raise ValueError(
                f"the window is {format_duration(request.window_ms)}, but only"
                f" {format_duration(kept)} of the series are kept; ask for less, or set"
                " `pins.window` in the config file"
            )
        return request.window_ms

    def _pins_of(self, request: PinRequest, window_ms: int, now_ms: int) -> Pins:
        """What the set says, which nothing that was seen may contradict. Raises ValueError."""
        look_ms = window_ms or _LIVE_MS
        looked = format_duration(look_ms)
        seen = of_arm(self._pins.since(request.scope, now_ms - look_ms), request.arm)
        if request.from_live and not seen:
            others = ", ".join(f"`{arm}`" for arm in sorted(self._pins.of(request.scope)))
            raise ValueError(
                f"no event of the last {looked} said which pins arm `{request.arm}` of"
                f" {request.scope} runs with" + (f"; those of {others} were seen" if others else "")
            )
        if mixed := differing(seen):
            raise ValueError(
                f"arm `{request.arm}` ran with more than one set of pins within the last {looked}:"
                f" {_listed(mixed)}; wait until the older ones have not been seen for {looked}, or"
                " measure a `window` that begins after them"
            )
        if foreign := differing([request.pins, *seen]):
            raise ValueError(
                f"the pins given are not those that arm `{request.arm}` was seen with within the"
                f" last {looked}: {_listed(foreign)}; give those that run, or wait until the others"
                f" have not been seen for {looked}"
            )
        live = {name: value for pins in seen for name, value in pins.items()}
        return {**live, **request.pins} if request.from_live else dict(request.pins)

    def _measured(self, request: PinRequest, window_ms: int, now_ms: int) -> Measured:
        if request.baseline:
            refuse_few(request.baseline, self._settings())
            return Measured(baseline=request.baseline, empty=[])
        if not window_ms:
            return Measured(baseline={}, empty=[])
        measured = self._measuring.measure(
            request.scope, request.arm, window_ms=window_ms, now_ms=now_ms
        )
        if not measured.baseline:
            raise ValueError(
                f"arm `{request.arm}` of {request.scope} has no samples, or too few, of"
                f" {', '.join(f'`{name}`' for name in measured.empty)} within the last"
                f" {format_duration(window_ms)}; record without a window (`window: 0s`), or send"
                " the samples first"
            )
        return measured

    async def _refuse_during_incident(self, scope: Scope) -> None:
        for incident in await self._store.incidents(open_only=True, limit=_MOST_OPEN):
            if incident.scope == scope:
                raise ScopeBusyError(incident.id)

    async def _of_key(self, request: PinRequest) -> KnownGood | None:
        """The set that the request of this key has recorded. Raises ValueError."""
        for each in await self._store.known_good_sets(request.scope, limit=_MOST_SETS):
            key, _, said = each.key.rpartition("#")
            if key != request.key:
                continue
            if said != _digest(request):
                raise ValueError(
                    f"the key `{request.key}` was used for another request, which recorded"
                    f" {each.id}; use a new key"
                )
            return each
        return None

    async def _repeated(self, request: PinRequest, fresh: KnownGood) -> KnownGood | None:
        """The set of an earlier try of a request without a key, if it would say the same now.

        Not one that was retired or replaced since: who asks again wants a set that counts.
        """
        in_force = (await self.in_force()).get(request.scope)
        for each in await self._store.known_good_sets(request.scope, limit=_MOST_SETS):
            key, _, said = each.key.rpartition("#")
            asked = key.endswith("#") and said == _digest(request)
            recent = fresh.recorded_at_ms - each.recorded_at_ms < _REPEAT_MS
            counts = each.id == in_force or each.status is SetStatus.CANDIDATE
            if asked and recent and counts and _runs_with(each) == _runs_with(fresh):
                return each
        return None

    def _tell(self, what: str, known_good: KnownGood, by: str) -> None:
        self._telemetry.known_good_changes.labels(what).inc()
        logger.info(
            "a known good set changed",
            extra={
                "change": what,
                "id": known_good.id,
                "scope": str(known_good.scope),
                "status": known_good.status,
                "by": by,
                "note": known_good.note,
            },
        )
        self._hears(known_good)


def refuse_missing(request: PinRequest, pins: Pins, missing: Sequence[str]) -> None:
    """Raise ValueError when a set would not say what to go back to."""
    if not pins:
        raise ValueError(
            "a known good set needs pins: give them, or take those that are live (`from_live`)"
        )
    if missing and not request.allow_missing:
        raise ValueError(
            f"required pins are missing: {', '.join(missing)}; give them, or allow what is missing"
        )


def _stored_key(request: PinRequest, now_ms: int) -> str:
    """`<key>#<digest of the request>`; without a key, the time makes it one of its own."""
    return f"{request.key or f'{now_ms}#'}#{_digest(request)}"


def _runs_with(known_good: KnownGood) -> tuple[object, ...]:
    """What ran: the baseline is measured anew each time, and is not of it."""
    return known_good.pins, known_good.controls, known_good.targets


def _digest(request: PinRequest) -> str:
    said = msgspec.json.encode(replace(request, key=""), order="sorted")
    return hashlib.sha256(said).hexdigest()[:16]


def _listed(values: Mapping[str, Iterable[str]]) -> str:
    return "; ".join(f"{name} {' and '.join(sorted(each))}" for name, each in values.items())
