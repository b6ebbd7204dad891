"""`opensearch_alias`: point an alias back at the known good index (requirements S2).

One lever for OpenSearch and Elasticsearch.
https://docs.opensearch.org/latest/api-reference/alias/aliases-api/
https://www.elastic.co/guide/en/elasticsearch/reference/current/indices-aliases.html
"""

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import msgspec
from msgspec import Meta

from rollbackd.connections.http import Answer
from rollbackd.errors import PermanentError
from rollbackd.levers.alias_lever import AliasLever, Holding, IndexHashKey
from rollbackd.levers.lever_type import Surroundings
from rollbackd.levers.opensearch_api import (
    OpenSearchApi,
    OpenSearchEndpoint,
    checked_name,
    error_type,
    indices_of,
)
from rollbackd.levers.reading import decoded
from rollbackd.model.levers import Change, Observation, Op, Target
from rollbackd.ports import TargetMovedError

#: What an alias says of one index: `filter`, `index_routing`, `is_write_index` and so on.
Options = dict[str, Any]


class OpenSearchAliasSettings(OpenSearchEndpoint, frozen=True, kw_only=True):
    """Which cluster, and what its aliases may look like."""

    several_indices: Annotated[
        bool, Meta(description="Whether an alias may lead to several indices, as `a,b`.")
    ] = False
    compare_and_set: Annotated[
        Literal["auto", "on", "off"],
        Meta(
            description="Whether the cluster refuses to move an alias that moved meanwhile "
            "(`must_exist`); `auto` asks it for its version."
        ),
    ] = "auto"
    index_hash_key: IndexHashKey = "INDEX_HASH"


class _Aliased(msgspec.Struct, frozen=True):
    aliases: dict[str, Options]


class _Mappings(msgspec.Struct, frozen=True, rename={"meta": "_meta"}):
    meta: dict[str, Any] = {}


class _Mapped(msgspec.Struct, frozen=True):
    mappings: _Mappings = _Mappings()


class _Health(msgspec.Struct, frozen=True):
    status: str


class _Shards(msgspec.Struct, frozen=True):
    failed: int = 0


class _Count(msgspec.Struct, frozen=True, rename={"shards": "_shards"}):
    count: int
    shards: _Shards = _Shards()


class OpenSearchAlias(AliasLever):
    """Moves an alias to another index in one atomic call, with its filter, routing and write index.

    What the alias says of the index that it leaves is said of the one that it comes to.
    """

    Settings: ClassVar[type[msgspec.Struct] | None] = OpenSearchAliasSettings
    leads_to: ClassVar[str] = "index"

    def __init__(
        self, name: str, settings: OpenSearchAliasSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, surroundings)
        self._settings = settings
        self._api = OpenSearchApi(settings)

    async def read(self, target: Target) -> Observation:
        """`{"index": "docs_va"}`, or `docs_va,docs_vb` where several are allowed."""
        alias = checked_name(target.name, str(target))
        answer = await self._api.call("GET", f"/_alias/{indices_of([alias])}", allowed=(404,))
        if answer.status == 404:
            raise PermanentError(f"{target}: there is no alias `{alias}`")
        found = decoded(answer, dict[str, _Aliased], f"{target}: the cluster")
        held = {
            index: each.aliases[alias] for index, each in found.items() if alias in each.aliases
        }
        if not held:
            raise PermanentError(f"{target}: there is no alias `{alias}`")
        if len(held) > 1 and not self._settings.several_indices:
            raise PermanentError(
                f"{target} leads to {len(held)} indices, {', '.join(sorted(held)[:5])}; say "
                "`several_indices: true` if that is meant"
            )
        return self.value(",".join(sorted(held)), {"aliases": held})

    async def holding(self, name: str) -> Holding | None:
        """Open, not red, every shard answering; the hash is in the `_meta` of the mapping."""
        names = self._names(name)
        path = indices_of(names)
        answer = await self._api.call("GET", f"/{path}/_settings/index.uuid", allowed=(404,))
        # an alias is answered by the indices behind it
        if answer.status == 404 or decoded(answer, dict[str, Any], f"`{name}`").keys() != set(
            names
        ):
            return None
        answer = await self._api.call("GET", f"/_cluster/health/{path}")
        if decoded(answer, _Health, f"the health of `{name}`").status == "red":
            return Holding(documents=None, unready="is red: a primary shard is missing")
        answer = await self._api.call("GET", f"/{path}/_count", allowed=(400,))
        if answer.status == 400:
            return Holding(documents=None, unready=f"cannot be counted: {_why(answer)}")
        counted = decoded(answer, _Count, f"the count of `{name}`")
        if counted.shards.failed:
            return Holding(documents=None, unready="does not answer from every shard")
        return Holding(documents=counted.count, index_hash=await self._index_hash(path))

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One `POST /_aliases`; what is added takes over what was said of what is removed."""
        await self._turn(target, now, wanted, {}, op)

    async def put_back(self, change: Change, now: Observation, op: Op) -> None:
        """The same, with what was said of each index when it was observed."""
        said = change.before.undo.get("aliases")
        await self._turn(
            change.target, now, change.before.value, said if isinstance(said, dict) else {}, op
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._api.close()

    async def _turn(
        self,
        target: Target,
        now: Observation,
        wanted: Mapping[str, object],
        said: Mapping[str, Options],
        op: Op,
    ) -> None:
        held: dict[str, Options] = now.undo["aliases"]  # type: ignore[assignment]  # as `read` left it
        actions = alias_actions(
            target.name,
            held,
            self._names(str(wanted["index"])),
            said,
            must_exist=await self._compares(),
        )
        answer = await self._api.change(
            "POST", "/_aliases", op, json={"actions": actions}, allowed=(404,)
        )
        if answer.status != 404:
            return
        # a missing alias goes by different names: aliases_not_found, resource_not_found
        if error_type(answer) != "index_not_found_exception":
            raise TargetMovedError(f"{target} no longer leads to `{now.value['index']}`")
        raise PermanentError(f"{target} cannot lead to `{wanted['index']}`: {_why(answer)}")

    async def _compares(self) -> bool:
        if self._settings.compare_and_set == "auto":
            return (await self._api.product()).compares_removals
        return self._settings.compare_and_set == "on"

    async def _index_hash(self, path: str) -> str:
        answer = await self._api.call(
            "GET", f"/{path}/_mapping", params={"filter_path": "*.mappings._meta"}
        )
        found = decoded(answer, dict[str, _Mapped], "the mapping")
        key = self._settings.index_hash_key
        hashes = {
            str(each.mappings.meta[key]) for each in found.values() if key in each.mappings.meta
        }
        return ",".join(sorted(hashes))

    def _names(self, text: str) -> list[str]:
        names = [checked_name(each, "a recorded index") for each in text.split(",")]
        if len(names) > 1 and not self._settings.several_indices:
            raise PermanentError(f"`{text}` are several indices; say `several_indices: true`")
        return names


def alias_actions(
    alias: str,
    held: Mapping[str, Options],
    wanted: list[str],
    said: Mapping[str, Options],
    *,
    must_exist: bool,
) -> list[dict[str, Any]]:
    """The actions that make an alias lead to exactly `wanted`.

    `held` is what it leads to now; `said` is what to say of an index that is added, where that is
    known. Raises PermanentError when what is removed differs in what was said of it, and so nothing
    can be taken over.
    """
    removed = sorted(held.keys() - set(wanted))
    added = sorted(set(wanted) - held.keys())
    inherited = [held[index] for index in removed] or list(held.values())
    actions: list[dict[str, Any]] = []
    for index in removed:
        remove: dict[str, Any] = {"index": index, "alias": alias}
        actions.append({"remove": remove | {"must_exist": True} if must_exist else remove})
    for index in added:
        options = said.get(index)
        if options is None:
            options = _inherited(alias, inherited, only=len(added) == 1)
        actions.append({"add": {"index": index, "alias": alias, **options}})
    return actions


def _inherited(alias: str, options: list[Options], *, only: bool) -> Options:
    """What all of them say, and that it is the write index where one of them was."""
    first, *others = [
        {key: value for key, value in each.items() if key != "is_write_index"} for each in options
    ]
    if any(other != first for other in others):
        raise PermanentError(
            f"the indices that `{alias}` leaves differ in filter or routing; move it by hand"
        )
    writes = [each["is_write_index"] for each in options if "is_write_index" in each]
    if not writes:
        return first
    if any(writes) and not only:
        raise PermanentError(f"which index `{alias}` is to write to is not recorded")
    return first | {"is_write_index": any(writes)}


def _why(answer: Answer) -> str:
    return error_type(answer) or f"answered {answer.status}"
