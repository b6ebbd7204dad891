"""Known good sets: pipelines record them before a rollout, people look at them and promote them."""

import re
from typing import Annotated, Final

import msgspec
from aiohttp import web

from rollbackd.documents.durations import parse_duration
from rollbackd.events.pins import canonical_pins
from rollbackd.events.series import label_name, metric_name, part
from rollbackd.http.answers import answer, decode_command
from rollbackd.http.bodies import Bodies
from rollbackd.http.callers import Caller
from rollbackd.http.endpoints import READING, Endpoint
from rollbackd.http.operators import Reason, audit
from rollbackd.http.refusals import Refusal
from rollbackd.model.events import KnownGood
from rollbackd.model.known_good import BASELINE_ARM, Baseline, PinRequest, SetStatus
from rollbackd.model.labels import Scope
from rollbackd.ports import KnownGoodDesk
from rollbackd.settings import Permission

_SET_ID: Final = re.compile(r"KG-[0-9A-Za-z-]{1,64}")
_KEY: Final = re.compile(r"[ -~]{1,255}")
_MOST: Final = 1_000
_MOST_METRICS: Final = 200


class Record(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is to be recorded, and how."""

    scope: str
    pins: Annotated[dict[str, str], msgspec.Meta(max_length=64)] = {}
    from_live: bool = False
    arm: Annotated[str, msgspec.Meta(min_length=1, max_length=128)] = BASELINE_ARM
    #: A duration; None measures all that is kept, `0s` nothing.
    window: str | None = None
    baseline: Annotated[Baseline, msgspec.Meta(max_length=_MOST_METRICS)] = {}
    note: Annotated[str, msgspec.Meta(max_length=1_000)] = ""
    candidate: bool = False
    allow_missing: bool = False


class Restate(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Why a set is promoted or retired."""

    reason: Reason


class KnownGoodApi:
    """The sets as the store has them."""

    def __init__(self, desk: KnownGoodDesk, bodies: Bodies) -> None:
        self._desk = desk
        self._bodies = bodies

    def endpoints(self) -> list[Endpoint]:
        """Reading needs `read`; whoever records or promotes moves what is rolled back to."""
        reading = {
            "/api/v1/pins": self.list,
            "/api/v1/pins/{set}": self.show,
            "/api/v1/pins/live/{service}/{region}": self.live,
        }
        writing = {
            "/api/v1/pins": self.record,
            "/api/v1/pins/{set}/promote": self.promote,
            "/api/v1/pins/{set}/retire": self.retire,
        }
        return [
            *(
                Endpoint(methods=READING, path=path, permission=Permission.READ, handler=handler)
                for path, handler in reading.items()
            ),
            *(
                Endpoint(
                    methods=("POST",),
                    path=path,
                    permission=Permission.OPERATE,
                    handler=handler,
                    json_only=True,
                )
                for path, handler in writing.items()
            ),
        ]

    async def list(self, request: web.Request, _caller: Caller) -> web.Response:
        """Newest first; `?scope=rag/eu` for one scope, `?limit=` for fewer."""
        scope = Scope.parse(request.query["scope"]) if "scope" in request.query else None
        limit = request.query.get("limit", "100")
        # ASCII digits only: int() also takes other scripts, signs and underscores.
        if not re.fullmatch(r"[0-9]{1,4}", limit) or not 1 <= int(limit) <= _MOST:
            raise Refusal(400, f"`limit={limit[:40]}` must be 1 to {_MOST}")
        found = await self._desk.sets(scope, limit=int(limit))
        in_force = set((await self._desk.in_force()).values())
        return answer({"sets": [shown(each, in_force=each.id in in_force) for each in found]})

    async def show(self, request: web.Request, _caller: Caller) -> web.Response:
        """One set, whole."""
        return await self._answer(await self._desk.one(_set_id_of(request)))

    async def live(self, request: web.Request, _caller: Caller) -> web.Response:
        """What a scope runs with now, to be held against a set."""
        scope = Scope.of(request.match_info["service"], request.match_info["region"])
        state = await self._desk.live(scope)
        return answer({**msgspec.to_builtins(state), "scope": str(scope)})

    async def record(self, request: web.Request, caller: Caller) -> web.Response:
        """Record a set: 201, or 200 when the same request did so before."""
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body, Record)
        recorded = await self._desk.record(
            _request(command, request.headers.get("Idempotency-Key", "")), by=caller.name
        )
        known_good = recorded.known_good
        about = {"scope": str(known_good.scope), "set": known_good.id}
        audit(request, caller, "record_pins", reason=known_good.note, **about)
        return await self._answer(
            known_good,
            status=201 if recorded.is_new else 200,
            is_new=recorded.is_new,
            missing=recorded.missing,
            not_measured=recorded.not_measured,
            not_observed=recorded.not_observed,
        )

    async def promote(self, request: web.Request, caller: Caller) -> web.Response:
        """Make a set what its scope is rolled back to."""
        return await self._restate(request, caller, SetStatus.GOOD)

    async def retire(self, request: web.Request, caller: Caller) -> web.Response:
        """Never roll back to a set again; the newest good one that is left is then in force."""
        return await self._restate(request, caller, SetStatus.RETIRED)

    async def _restate(
        self, request: web.Request, caller: Caller, status: SetStatus
    ) -> web.Response:
        set_id = _set_id_of(request)
        async with self._bodies.hold(request, command=True) as body:
            command = decode_command(body, Restate)
        changed = await self._desk.restate(set_id, status, by=caller.name)
        action = "promote_pins" if status is SetStatus.GOOD else "retire_pins"
        audit(request, caller, action, reason=command.reason, set=set_id)
        return await self._answer(changed)

    async def _answer(
        self, known_good: KnownGood, *, status: int = 200, **more: object
    ) -> web.Response:
        in_force = (await self._desk.in_force()).get(known_good.scope, "")
        document = {
            "set": shown(known_good, in_force=known_good.id == in_force),
            "in_force": in_force,
            **more,
        }
        where = {"Location": f"/api/v1/pins/{known_good.id}"} if status == 201 else None
        return answer(document, status=status, headers=where)


def shown(known_good: KnownGood, *, in_force: bool) -> dict[str, object]:
    """A set with its id; how it was asked for is left out."""
    fields = msgspec.to_builtins(known_good)
    del fields["key"]
    scope = str(known_good.scope)
    return {"id": known_good.id, **fields, "scope": scope, "in_force": in_force}


def _set_id_of(request: web.Request) -> str:
    set_id = request.match_info["set"]
    if not _SET_ID.fullmatch(set_id):
        raise Refusal(404, "there is no such set; an id reads like `KG-20261123T024455-1a2b3c4d`")
    return set_id


def _request(command: Record, key: str) -> PinRequest:
    if key and not _KEY.fullmatch(key):
        raise Refusal(400, "`Idempotency-Key` must be 1 to 255 printable ASCII characters")
    return PinRequest(
        scope=Scope.parse(command.scope),
        pins=canonical_pins(tuple(command.pins.items())),
        from_live=command.from_live,
        arm=part("arm", command.arm),
        window_ms=None if command.window is None else parse_duration(command.window),
        baseline={
            metric_name(metric): {label_name("baseline", stat): v for stat, v in stats.items()}
            for metric, stats in command.baseline.items()
        },
        note=command.note,
        status=SetStatus.CANDIDATE if command.candidate else SetStatus.GOOD,
        allow_missing=command.allow_missing,
        key=key,
    )
