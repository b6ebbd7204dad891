"""`opensearch_write_block`: refuse writes to an index for a while (requirements C2, K20).

One lever for OpenSearch and Elasticsearch. Only `index.blocks.write` is ever set: the metadata
block of an index would stand in the way of its own removal (elastic/elasticsearch#11593).
https://docs.opensearch.org/latest/api-reference/index-apis/blocks/
https://www.elastic.co/guide/en/elasticsearch/reference/current/index-modules-blocks.html
"""

from collections.abc import Collection
from typing import Annotated, ClassVar, Final

import msgspec
from msgspec import Meta

from rollbackd.errors import PermanentError
from rollbackd.levers.external_lever import ExternalLever, version_of
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.opensearch_api import (
    OpenSearchApi,
    OpenSearchEndpoint,
    checked_name,
    error_type,
    indices_of,
)
from rollbackd.levers.reading import decoded, not_seen_yet
from rollbackd.model.levers import Change, LeverKind, Observation, Op, PlanRequest, Target

_WRITE: Final = "index.blocks.write"
#: While one of these stands, the settings of the index cannot be changed, and so not given back.
_LOCKING: Final = ("index.blocks.metadata", "index.blocks.read_only")
#: A document with this sequence number there never is: such a write changes nothing anywhere.
_NEVER: Final = {"if_seq_no": str(2**53 - 1), "if_primary_term": "1"}


class OpenSearchWriteBlockSettings(OpenSearchEndpoint, frozen=True, kw_only=True):
    """Which cluster, and how far a block may reach."""

    several_indices: Annotated[
        bool, Meta(description="Whether an alias that leads to several indices may be named.")
    ] = False
    probe: Annotated[
        bool,
        Meta(
            description="Whether a write that can change nothing must be refused before the block "
            "counts; needs the right to write."
        ),
    ] = False


class _Index(msgspec.Struct, frozen=True):
    settings: dict[str, str]


class OpenSearchWriteBlock(ExternalLever):
    """Blocks writes to an index, or to those behind an alias. Temporary.

    The indices that the alias led to when it was observed are those that are given back, wherever
    it leads by then.
    """

    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    Settings: ClassVar[type[msgspec.Struct] | None] = OpenSearchWriteBlockSettings

    def __init__(
        self, name: str, settings: OpenSearchWriteBlockSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, surroundings)
        self._settings = settings
        self._api = OpenSearchApi(settings)

    async def observe(self, target: Target) -> Observation:
        """Whether writes are blocked, by index: `{"docs_vb": false}`."""
        seen = await self._read(target, [target.name])
        if not seen.value:
            raise PermanentError(f"{target}: there is no index or alias `{target.name}`")
        if len(seen.value) > 1 and not self._settings.several_indices:
            raise PermanentError(
                f"{target} leads to {len(seen.value)} indices, {', '.join(sorted(seen.value)[:5])};"
                " say `several_indices: true` if that is meant"
            )
        return seen

    async def look_again(self, change: Change) -> Observation:
        """The same indices, also when the alias has been moved since."""
        return await self._read(change.target, change.after)

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        """A block on every one, or None when they have it."""
        wanted: dict[str, object] = dict.fromkeys(request.observed.value, True)
        return None if request.observed.value == wanted else wanted

    async def preflight(self, change: Change) -> str:
        """Refuse an index whose block could not be taken away again."""
        locked = change.before.undo.get("locked")
        return f"{change.target}: its settings cannot be changed: {locked}" if locked else ""

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One call for all of them; a block that is added waits for the writes under way."""
        del target
        differing = [index for index in sorted(wanted) if wanted[index] != now.value.get(index)]
        path = indices_of(differing)
        if wanted[differing[0]]:
            await self._api.change("PUT", f"/{path}/_block/write", op)
        else:
            await self._api.change("PUT", f"/{path}/_settings", op, json={_WRITE: None})

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether a write is refused, where the settings ask for a probe."""
        for index in change.after if self._settings.probe else ():
            answer = await self._api.call(
                "PUT",
                f"/{indices_of([index])}/_doc/rollbackd-probe",
                json={},
                params=_NEVER,
                allowed=(403, 409),
            )
            if answer.status == 409:
                raise not_seen_yet(change.target, f"`{index}` still takes writes")
            if error_type(answer) != "cluster_block_exception":
                raise PermanentError(
                    f"{change.target}: the probe of `{index}` was refused, but not by the block: "
                    f"{error_type(answer) or answer.status}; may this user write?"
                )
        return True

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _read(self, target: Target, names: Collection[str]) -> Observation:
        path = indices_of(checked_name(name, str(target)) for name in names)
        answer = await self._api.call(
            "GET",
            f"/{path}/_settings/index.uuid,index.blocks.*",
            params={"flat_settings": "true", "ignore_unavailable": "true"},
        )
        found = decoded(answer, dict[str, _Index], f"{target}: the cluster")
        value: dict[str, object] = {
            index: found[index].settings.get(_WRITE) == "true" for index in sorted(found)
        }
        locked = [
            f"`{index}` has `{block}`"
            for index in sorted(found)
            for block in _LOCKING
            if found[index].settings.get(block) == "true"
        ]
        return Observation(
            value=value, version=version_of(value), undo={"locked": ", ".join(locked)}
        )
