"""`launchdarkly_flag`: switch a flag off in one environment of LaunchDarkly (requirements S3).

https://launchdarkly.com/docs/api/feature-flags/patch-feature-flag
https://launchdarkly.com/docs/api#rate-limiting
"""

from collections.abc import Mapping
from typing import Annotated, ClassVar, Final
from urllib.parse import quote

import msgspec
import orjson
from msgspec import Meta

from rollbackd.connections.http import Answer
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.external_lever import ExternalLever, version_of
from rollbackd.levers.flag_reading import BareTokenApi, SdkSide
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.reading import decoded
from rollbackd.model.levers import Change, Observation, Op, PlanRequest, Target
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.structs import SecretFile, Url

#: The version of the API that this was written against.
_API_VERSION: Final = "20240415"
_SEMANTIC_PATCH: Final = "application/json; domain-model=launchdarkly.semanticpatch"
_APPROVAL_REQUIRED: Final = 405
_CONFLICT: Final = 409
_RATE_LIMITED: Final = 429
_LONGEST_DELAY_MS: Final = 5_000


class LaunchDarklyFlagSettings(HttpEndpoint, frozen=True, kw_only=True):
    """Which project and environment. The token is sent bare, as LaunchDarkly wants it."""

    token_file: Annotated[
        SecretFile, Meta(description="A file with a service token; read at each call.")
    ]
    project: Annotated[str, Meta(min_length=1, description="The project's key.")]
    environment: Annotated[
        str, Meta(min_length=1, description="The environment's key, e.g. `production`.")
    ]
    url: Annotated[
        Url, Meta(description="The REST API; other for the EU and federal instances.")
    ] = "https://app.launchdarkly.com"
    ignore_conflicts: Annotated[
        bool,
        Meta(
            description="Switch also when a scheduled change or an approval request would fail "
            "for it later."
        ),
    ] = True
    sdk_key_file: Annotated[
        SecretFile | None,
        Meta(
            description="A file with the SDK key of the environment: a kill counts once its "
            "readers are told."
        ),
    ] = None
    reader_url: Annotated[
        Url, Meta(description="Where SDKs ask: LaunchDarkly itself, or a Relay Proxy.")
    ] = "https://sdk.launchdarkly.com"

    def __post_init__(self) -> None:
        HttpEndpoint.__post_init__(self)
        self.reader()

    def reader(self) -> HttpEndpoint | None:
        """What SDKs ask. Raises ValueError when its key would be sent in the clear."""
        if self.sdk_key_file is None:
            return None
        return HttpEndpoint(
            url=self.reader_url,
            token_file=self.sdk_key_file,
            ca_file=self.ca_file,
            timeout=self.timeout,
            insecure=self.insecure,
        )


class _Variation(msgspec.Struct, frozen=True):
    value: object


class _Environment(msgspec.Struct, frozen=True, rename="camel"):
    on: bool
    off_variation: int | None = None


class _Flag(msgspec.Struct, frozen=True):
    """A flag of the REST API, as far as it is read."""

    variations: list[_Variation]
    environments: dict[str, _Environment]
    archived: bool = False


class LaunchDarklyFlag(ExternalLever):
    """Turns targeting off in one environment; everybody gets the off variation."""

    Settings: ClassVar[type[msgspec.Struct] | None] = LaunchDarklyFlagSettings

    def __init__(
        self, name: str, settings: LaunchDarklyFlagSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, surroundings)
        self._settings = settings
        self._api = BareTokenApi(settings, headers={"LD-API-Version": _API_VERSION})
        reader = settings.reader()
        # what is served to the PHP SDK, flag by flag, by a Relay Proxy too
        self._reader = (
            SdkSide(reader, prefix="/sdk/flags", switch="on") if reader is not None else None
        )

    async def observe(self, target: Target) -> Observation:
        """`{"on": true}`; as a fact, what is served when it is off."""
        environment = self._settings.environment
        params = {"env": environment}
        answer = await self._asked("GET", target, allowed=(404,), params=params)
        if answer.status == 404:
            raise PermanentError(
                f"{target}: LaunchDarkly has no flag `{target.name}` in the project "
                f"`{self._settings.project}`, or the token may not see it"
            )
        flag = decoded(answer, _Flag, f"{target}: LaunchDarkly")
        if flag.archived:
            raise PermanentError(f"{target}: the flag `{target.name}` is archived")
        found = flag.environments.get(environment)
        if found is None:
            raise PermanentError(
                f"{target}: the flag `{target.name}` has no environment `{environment}`"
            )
        value: dict[str, object] = {"on": found.on}
        facts: dict[str, object] = {}
        if found.off_variation is not None:
            if not 0 <= found.off_variation < len(flag.variations):
                raise PermanentError(
                    f"{target}: there is no variation {found.off_variation}, which is to be served "
                    "when the flag is off"
                )
            facts["served_when_off"] = flag.variations[found.off_variation].value
        return Observation(value=value, version=version_of(value), facts=facts)

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        """Off, or None when it is off already."""
        return {"on": False} if request.observed.value["on"] else None

    async def preflight(self, change: Change) -> str:
        """Refuse a flag that would not be off for applications when it is off here."""
        objection = await super().preflight(change)
        if objection:
            return objection
        facts = change.before.facts
        if "served_when_off" not in facts:
            return (
                f"{change.target} has no off variation: applications would take the default of "
                "their code; set one in LaunchDarkly"
            )
        if facts["served_when_off"] is True:
            return f"{change.target} serves `true` when it is off"
        return "" if self._reader is None else await self._reader.unknown(change.target)

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One semantic patch; it says under whose name, and compares nothing."""
        del now
        patch = {
            "environmentKey": self._settings.environment,
            "comment": f"rollbackd: incident {op.incident_id}, op {op.op_id}",
            "instructions": [{"kind": "turnFlagOn" if wanted["on"] else "turnFlagOff"}],
        }
        answer = await self._asked(
            "PATCH",
            target,
            body=orjson.dumps(patch),
            headers={"Content-Type": _SEMANTIC_PATCH},
            params={"ignoreConflicts": "true"} if self._settings.ignore_conflicts else {},
            allowed=(_APPROVAL_REQUIRED, _CONFLICT),
        )
        if answer.status == _APPROVAL_REQUIRED:
            raise PermanentError(
                f"{target}: LaunchDarkly wants an approval for changes in the environment "
                f"`{self._settings.environment}`; give the token's role "
                "`bypassRequiredApproval` there"
            )
        if answer.status == _CONFLICT:
            raise TemporaryError(
                f"{target}: somebody else changes the flag at the same time", delay_ms=200
            )

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether SDKs of the environment are told so."""
        if self._reader is None:
            return True
        await self._reader.check(change.target, change.after["on"])
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        if self._reader is not None:
            await self._reader.close()

    async def _asked(
        self,
        method: str,
        target: Target,
        *,
        allowed: tuple[int, ...],
        params: Mapping[str, str],
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        project = quote(self._settings.project, safe="")
        path = f"/api/v2/flags/{project}/{quote(target.name, safe='')}"
        answer = await self._api.call(
            method,
            path,
            body=body,
            headers=headers,
            params=params,
            allowed=(*allowed, _RATE_LIMITED),
        )
        if answer.status == _RATE_LIMITED:
            raise TemporaryError(
                f"{target}: LaunchDarkly's rate limit is reached",
                delay_ms=self._until_reset(answer.headers),
            )
        return answer

    def _until_reset(self, headers: Mapping[str, str]) -> int:
        """`X-Ratelimit-Reset` is a wall time in milliseconds, `Retry-After` is in seconds."""
        said = {name.lower(): value for name, value in headers.items()}
        reset, after = said.get("x-ratelimit-reset", ""), said.get("retry-after", "")
        if reset.isdecimal():
            delay_ms = int(reset) - self._clock.now()
        else:
            delay_ms = int(after) * 1_000 if after.isdecimal() else 1_000
        return min(max(delay_ms, 100), _LONGEST_DELAY_MS)
