"""`flagd_flag`: serve a flag's off variant to everybody, by its definition file (requirements S3).

https://flagd.dev/reference/flag-definitions/
"""

import asyncio
from typing import Annotated, ClassVar, Final
from urllib.parse import quote

import msgspec
from msgspec import Meta

from rollbackd.connections.http import Answer, HttpApi
from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.external_lever import ExternalLever, version_of
from rollbackd.levers.flagd_definition import ENABLED, FlagText, off_variant
from rollbackd.levers.lever_type import Surroundings, params_of
from rollbackd.levers.reading import decoded, not_seen_yet
from rollbackd.levers.replaced_file import read_text, replace_text, why_not_replaceable
from rollbackd.model.levers import Change, Observation, Op, PlanRequest, Target
from rollbackd.ports import TargetMovedError
from rollbackd.settings.endpoints import HttpEndpoint
from rollbackd.settings.structs import Duration, File, Url

_YAML: Final = frozenset({".yaml", ".yml"})
#: The reason of an evaluation that no targeting had a part in.
_STATIC: Final = "STATIC"


class FlagdFlagSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Which definition, and who evaluates it."""

    definition_file: Annotated[
        File,
        Meta(
            description="The flag definition, JSON or YAML; flagd reads it by `file:`, or by "
            "`http:` from a web server that serves it."
        ),
    ]
    reader_url: Annotated[
        Url | None,
        Meta(
            description="The OFREP endpoint of a flagd, e.g. `http://flagd:8016`: a kill counts "
            "once it serves the off variant."
        ),
    ] = None
    ca_file: Annotated[
        File | None, Meta(description="CA certificates to trust for the reader.")
    ] = None
    timeout: Annotated[Duration, Meta(description="For one question to the reader.")] = 1_000

    def __post_init__(self) -> None:
        if self.definition_file.suffix not in {".json", *_YAML}:
            name = self.definition_file.name
            raise ValueError(f"`{name}` is not called `*.json`, `*.yaml` or `*.yml`")
        self.reader()

    def reader(self) -> HttpEndpoint | None:
        """The flagd to ask. Raises ValueError."""
        if self.reader_url is None:
            return None
        return HttpEndpoint(url=self.reader_url, ca_file=self.ca_file, timeout=self.timeout)


class FlagdFlagParams(msgspec.Struct, frozen=True, kw_only=True):
    """What off means."""

    off: Annotated[
        str,
        Meta(
            description="The variant to serve; needed where it is neither the only one that is "
            "false nor called `off`."
        ),
    ] = ""


class _Evaluated(msgspec.Struct, frozen=True):
    """A successful evaluation, as far as it is read (OFREP 0.3.0)."""

    variant: str = ""
    reason: str = ""


class FlagdFlag(ExternalLever):
    """Sets `defaultVariant` to the off variant and empties `targeting`; the flag stays enabled.

    A disabled flag would have no value, and applications would take the default of their code.
    """

    Params: ClassVar[type[msgspec.Struct]] = FlagdFlagParams
    Settings: ClassVar[type[msgspec.Struct] | None] = FlagdFlagSettings

    def __init__(self, name: str, settings: FlagdFlagSettings, surroundings: Surroundings) -> None:
        super().__init__(name, surroundings)
        self._file = settings.definition_file
        reader = settings.reader()
        self._reader = HttpApi(reader) if reader is not None else None

    async def observe(self, target: Target) -> Observation:
        """`{"state": "ENABLED", "defaultVariant": "on", "targeting": {}}`."""
        flag = self._flag(await asyncio.to_thread(read_text, self._file), target)
        return Observation(
            value=flag.value,
            version=version_of(flag.value),
            undo={"pieces": flag.pieces},
            facts={"variants": flag.variants},
        )

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        """The killed flag, or None when it is off for everybody already."""
        observed = request.observed
        variants = msgspec.convert(observed.facts["variants"], dict[str, object])
        named = params_of(request, FlagdFlagParams).off
        off: dict[str, object] = {
            "state": ENABLED,
            "defaultVariant": off_variant(variants, named, request.target.name),
            "targeting": {},
        }
        return None if observed.value == off else off

    async def preflight(self, change: Change) -> str:
        """Refuse a variant that is not there, a file that cannot be replaced, a strange reader."""
        flag = self._flag(await asyncio.to_thread(read_text, self._file), change.target)
        variant = change.after.get("defaultVariant")
        if variant not in flag.variants:
            return f"{change.target} has no variant `{variant}`"
        objection = await asyncio.to_thread(why_not_replaceable, self._file)
        return objection or await self._unknown_to_reader(change)

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """Replace the file by one that differs in this flag only."""
        del op  # what stands in the metadata of a flag goes out to applications
        await self._write(target, now, wanted, {})

    async def put_back(self, change: Change, now: Observation, op: Op) -> None:
        """Put back the very text that stood there."""
        del op
        pieces = msgspec.convert(change.before.undo.get("pieces", {}), dict[str, str])
        await self._write(change.target, now, change.before.value, pieces)

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether flagd serves the variant to everybody."""
        if self._reader is None:
            return True
        answer = await self._asked(self._reader, change.target)
        found = decoded(answer, _Evaluated, f"{change.target}: flagd")
        # targeting may give the off variant to a question without a context, and on to users
        if (found.variant, found.reason) != (change.after["defaultVariant"], _STATIC):
            raise not_seen_yet(
                change.target, f"flagd serves `{found.variant}` by the reason `{found.reason}`"
            )
        return True

    async def close(self) -> None:
        """Close the reader's connections."""
        if self._reader is not None:
            await self._reader.close()

    async def _write(
        self,
        target: Target,
        now: Observation,
        wanted: dict[str, object],
        pieces: dict[str, str],
    ) -> None:
        def edit(text: str) -> str:
            flag = self._flag(text, target)
            if flag.value != now.value:
                raise TargetMovedError(f"{target} holds {flag.value}, not {now.value}")
            return flag.with_value(wanted, pieces)

        await asyncio.to_thread(replace_text, self._file, edit)

    def _flag(self, text: str, target: Target) -> FlagText:
        try:
            return FlagText(text, target.name, is_yaml=self._file.suffix in _YAML)
        except PermanentError as error:
            raise PermanentError(f"{target}: {self._file}: {error}") from None

    async def _unknown_to_reader(self, change: Change) -> str:
        """A reader that is away holds nothing up; one that serves another definition does."""
        before = change.before.value
        if self._reader is None or before["state"] != ENABLED or before["defaultVariant"] is None:
            # flagd answers 404 for a flag that is disabled, too
            return ""
        try:
            answer = await self._asked(self._reader, change.target)
        except TemporaryError:
            return ""
        known = answer.status != 404
        return "" if known else f"{change.target} is not known to the flagd of `reader_url`"

    async def _asked(self, reader: HttpApi, target: Target) -> Answer:
        path = f"/ofrep/v1/evaluate/flags/{quote(target.name, safe='')}"
        return await reader.call("POST", path, json={"context": {}}, allowed=(404,))
