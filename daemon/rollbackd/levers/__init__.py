"""The levers by type. Adding one is a file, its page, and a line here and in the contract suite."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from rollbackd.clock import Clock
from rollbackd.errors import PermanentError
from rollbackd.levers.alias_revert import AliasRevert
from rollbackd.levers.argo_rollouts_abort import ArgoRolloutsAbort
from rollbackd.levers.cache_rotate import CacheRotate
from rollbackd.levers.control_lever import ControlLever
from rollbackd.levers.degrade import Degrade
from rollbackd.levers.dry_run import DryRun
from rollbackd.levers.exec import Exec
from rollbackd.levers.external_lever import ExternalLever
from rollbackd.levers.flag_off import FlagOff
from rollbackd.levers.flagd_flag import FlagdFlag
from rollbackd.levers.haproxy_map import HAProxyMap
from rollbackd.levers.haproxy_server import HAProxyServer
from rollbackd.levers.http_request import HttpRequest
from rollbackd.levers.kafka_pause import KafkaPause
from rollbackd.levers.kubernetes_cronjob_suspend import KubernetesCronjobSuspend
from rollbackd.levers.kubernetes_rollout_undo import KubernetesRolloutUndo
from rollbackd.levers.kubernetes_route import KubernetesRoute
from rollbackd.levers.kubernetes_scale import KubernetesScale
from rollbackd.levers.kubernetes_service import KubernetesService
from rollbackd.levers.launchdarkly_flag import LaunchDarklyFlag
from rollbackd.levers.lever_type import LeverDefinition, LeverType, Surroundings
from rollbackd.levers.milvus_alias import MilvusAlias
from rollbackd.levers.opensearch_alias import OpenSearchAlias
from rollbackd.levers.opensearch_write_block import OpenSearchWriteBlock
from rollbackd.levers.pointer_flip import PointerFlip
from rollbackd.levers.qdrant_alias import QdrantAlias
from rollbackd.levers.redis_key import RedisKey
from rollbackd.levers.redisearch_alias import RedisearchAlias
from rollbackd.levers.repin import Repin
from rollbackd.levers.throttle import Throttle
from rollbackd.levers.unleash_flag import UnleashFlag
from rollbackd.levers.write_block import WriteBlock
from rollbackd.model.levers import LeverKind, LeverSpec
from rollbackd.ports import Controls, Lever

#: On rollbackd's own controls: each is there under its own name, and needs no settings.
BUILT_IN: Final[dict[str, type[ControlLever]]] = {
    "alias_revert": AliasRevert,
    "cache_rotate": CacheRotate,
    "degrade": Degrade,
    "flag_off": FlagOff,
    "kafka_pause": KafkaPause,
    "pointer_flip": PointerFlip,
    "repin": Repin,
    "throttle": Throttle,
    "write_block": WriteBlock,
}

#: On other systems: the levers file gives each a name and its settings.
EXTERNAL: Final[dict[str, type[ExternalLever]]] = {
    "argo_rollouts_abort": ArgoRolloutsAbort,
    "exec": Exec,
    "flagd_flag": FlagdFlag,
    "haproxy_map": HAProxyMap,
    "haproxy_server": HAProxyServer,
    "http_request": HttpRequest,
    "kubernetes_cronjob_suspend": KubernetesCronjobSuspend,
    "kubernetes_rollout_undo": KubernetesRolloutUndo,
    "kubernetes_route": KubernetesRoute,
    "kubernetes_scale": KubernetesScale,
    "kubernetes_service": KubernetesService,
    "launchdarkly_flag": LaunchDarklyFlag,
    "milvus_alias": MilvusAlias,
    "opensearch_alias": OpenSearchAlias,
    "opensearch_write_block": OpenSearchWriteBlock,
    "qdrant_alias": QdrantAlias,
    "redis_key": RedisKey,
    "redisearch_alias": RedisearchAlias,
    "unleash_flag": UnleashFlag,
}

#: Every type of lever.
LEVERS: Final[dict[str, type[LeverType]]] = {**BUILT_IN, **EXTERNAL, "dry_run": DryRun}


def lever_specs(definitions: Mapping[str, LeverDefinition]) -> dict[str, LeverSpec]:
    """What the decision tree may say of each lever, by name.

    A `dry_run` of a lever that is not there is left out; `undefined_levers` names it.
    """
    specs = {name: _spec(lever, lever.kind) for name, lever in BUILT_IN.items()}
    for name, definition in definitions.items():
        if definition.type in EXTERNAL:
            external = EXTERNAL[definition.type]
            specs[name] = _spec(external, external.kind_with(definition.settings))
    for name, of in _dry_runs(definitions).items():
        if of in specs:
            specs[name] = specs[of]
    return specs


def undefined_levers(definitions: Mapping[str, LeverDefinition]) -> dict[str, str]:
    """Each `dry_run` whose lever is not there, with the name that it gives."""
    there = {*BUILT_IN, *(name for name, each in definitions.items() if each.type in EXTERNAL)}
    return {name: of for name, of in _dry_runs(definitions).items() if of not in there}


def build_levers(
    controls: Controls,
    clock: Clock,
    definitions: Mapping[str, LeverDefinition] = MappingProxyType({}),
) -> dict[str, Lever]:
    """Every built-in lever, and those of the levers file, by name. Nothing is connected yet."""
    surroundings = Surroundings(controls, clock)
    table: dict[str, Lever] = {name: lever(controls, clock) for name, lever in BUILT_IN.items()}
    for name, definition in definitions.items():
        if definition.type in EXTERNAL:
            lever: Any = EXTERNAL[definition.type]
            table[name] = lever(name, definition.settings, surroundings)
    for name, of in _dry_runs(definitions).items():
        if of not in table:
            raise PermanentError(f"lever `{name}`: there is no lever `{of}` to stand in for")
        table[name] = DryRun(name, table[of], surroundings)
    return table


def _spec(lever: type[LeverType], kind: LeverKind) -> LeverSpec:
    return LeverSpec(kind=kind, params=lever.Params, named=lever.named)


def _dry_runs(definitions: Mapping[str, LeverDefinition]) -> dict[str, str]:
    return {
        name: definition.settings.of
        for name, definition in definitions.items()
        if definition.type == "dry_run"
    }


#: What the decision tree may say without a levers file.
LEVER_SPECS: Final = lever_specs({})
