"""`unleash_flag`: switch a flag off in one environment of Unleash (requirements S3).

https://docs.getunleash.io/api (`toggleFeatureEnvironmentOff`, `getFeature`, `getClientFeature`)
"""

from typing import Annotated, ClassVar
from urllib.parse import quote

import msgspec
from msgspec import Meta

from rollbackd.errors import PermanentError
from rollbackd.levers.external_lever import ExternalLever, version_of
from rollbackd.levers.flag_reading import BareTokenApi, SdkSide
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.reading import decoded
from rollbackd.model.levers import Change, Observation, Op, PlanRequest, Target
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.structs import SecretFile, Url


class UnleashFlagSettings(HttpEndpoint, frozen=True, kw_only=True):
    """Which Unleash, and which of its environments. The token is sent bare, as Unleash wants it."""

    url: Annotated[
        Url, Meta(description="The server's root, e.g. `https://unleash.example.internal`.")
    ]
    token_file: Annotated[
        SecretFile, Meta(description="A file with an admin token; read at each call.")
    ]
    environment: Annotated[
        str, Meta(min_length=1, description="The environment to switch in, e.g. `production`.")
    ]
    project: Annotated[str, Meta(min_length=1, description="The project of the flags.")] = "default"
    client_token_file: Annotated[
        SecretFile | None,
        Meta(
            description="A file with a backend (client) token of the environment: a kill counts "
            "once its readers are told."
        ),
    ] = None
    reader_url: Annotated[
        Url | None, Meta(description="Where SDKs ask, e.g. an Unleash Edge; default: `url`.")
    ] = None

    def __post_init__(self) -> None:
        HttpEndpoint.__post_init__(self)
        if self.reader_url is not None and self.client_token_file is None:
            raise ValueError("`reader_url` cannot be asked without a `client_token_file`")
        self.reader()

    def reader(self) -> HttpEndpoint | None:
        """What SDKs ask. Raises ValueError when its token would be sent in the clear."""
        if self.client_token_file is None:
            return None
        return HttpEndpoint(
            url=self.reader_url or self.url,
            token_file=self.client_token_file,
            ca_file=self.ca_file,
            cert_file=self.cert_file,
            key_file=self.key_file,
            timeout=self.timeout,
            insecure=self.insecure,
        )


class _Environment(msgspec.Struct, frozen=True):
    name: str
    enabled: bool


class _Feature(msgspec.Struct, frozen=True):
    """A feature of the admin API, as far as it is read."""

    environments: list[_Environment]


class UnleashFlag(ExternalLever):
    """Switches one environment of a flag; its strategies stay as they are."""

    Settings: ClassVar[type[msgspec.Struct] | None] = UnleashFlagSettings

    def __init__(
        self, name: str, settings: UnleashFlagSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, surroundings)
        self._settings = settings
        self._api = BareTokenApi(settings)
        reader = settings.reader()
        self._reader = (
            SdkSide(reader, prefix="/api/client/features", switch="enabled")
            if reader is not None
            else None
        )

    async def observe(self, target: Target) -> Observation:
        """`{"enabled": true}`."""
        answer = await self._api.call("GET", self._path(target), allowed=(404,))
        project, environment = self._settings.project, self._settings.environment
        if answer.status == 404:
            raise PermanentError(
                f"{target}: Unleash has no flag `{target.name}` in the project `{project}`, or it "
                "is archived"
            )
        feature = decoded(answer, _Feature, f"{target}: Unleash")
        enabled = {each.name: each.enabled for each in feature.environments}
        if environment not in enabled:
            known = ", ".join(f"`{each}`" for each in enabled) or "none"
            raise PermanentError(
                f"{target}: the flag `{target.name}` has no environment `{environment}`, only "
                f"{known}"
            )
        value: dict[str, object] = {"enabled": enabled[environment]}
        return Observation(value=value, version=version_of(value))

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        """Off, or None when it is off already."""
        return {"enabled": False} if request.observed.value["enabled"] else None

    async def preflight(self, change: Change) -> str:
        """Refuse a reader that was never told of the flag."""
        objection = await super().preflight(change)
        if objection or self._reader is None:
            return objection
        return await self._reader.unknown(change.target)

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """Switch. Unleash compares nothing and has no room for a comment."""
        del now, op
        way = "on" if wanted["enabled"] else "off"
        environment = quote(self._settings.environment, safe="")
        await self._api.call("POST", f"{self._path(target)}/environments/{environment}/{way}")

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether SDKs of the environment are told so."""
        if self._reader is None:
            return True
        await self._reader.check(change.target, change.after["enabled"])
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()
        if self._reader is not None:
            await self._reader.close()

    def _path(self, target: Target) -> str:
        project = quote(self._settings.project, safe="")
        return f"/api/admin/projects/{project}/features/{quote(target.name, safe='')}"
