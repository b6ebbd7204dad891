"""One line a lever on another system."""

from typing import Final

from tests.levers.external.argo_rollouts_abort_world import ArgoRolloutsAbortWorld
from tests.levers.external.exec_world import ExecWorld
from tests.levers.external.flagd_flag_world import FlagdFlagWorld
from tests.levers.external.haproxy_map_world import HAProxyMapWorld
from tests.levers.external.haproxy_server_world import HAProxyServerWorld
from tests.levers.external.http_request_world import HttpRequestWorld
from tests.levers.external.kubernetes_cronjob_suspend_world import KubernetesCronjobSuspendWorld
from tests.levers.external.kubernetes_rollout_undo_world import KubernetesRolloutUndoWorld
from tests.levers.external.kubernetes_route_world import KubernetesRouteWorld
from tests.levers.external.kubernetes_scale_world import KubernetesScaleWorld
from tests.levers.external.kubernetes_service_world import KubernetesServiceWorld
from tests.levers.external.launchdarkly_flag_world import LaunchDarklyFlagWorld
from tests.levers.external.milvus_alias_world import MilvusAliasWorld
from tests.levers.external.opensearch_alias_world import (
    ElasticsearchAliasWorld,
    OpenSearchAliasWorld,
)
from tests.levers.external.opensearch_write_block_world import (
    ElasticsearchWriteBlockWorld,
    OpenSearchWriteBlockWorld,
)
from tests.levers.external.qdrant_alias_world import QdrantAliasWorld
from tests.levers.external.redis_key_world import RedisKeyWorld
from tests.levers.external.redisearch_alias_world import RedisearchAliasWorld
from tests.levers.external.unleash_flag_world import UnleashFlagWorld
from tests.levers.external.world import World

WORLDS: Final[tuple[type[World], ...]] = (
    ArgoRolloutsAbortWorld,
    ExecWorld,
    FlagdFlagWorld,
    HAProxyMapWorld,
    HAProxyServerWorld,
    HttpRequestWorld,
    KubernetesCronjobSuspendWorld,
    KubernetesRolloutUndoWorld,
    KubernetesRouteWorld,
    KubernetesScaleWorld,
    KubernetesServiceWorld,
    LaunchDarklyFlagWorld,
    MilvusAliasWorld,
    OpenSearchAliasWorld,
    ElasticsearchAliasWorld,
    OpenSearchWriteBlockWorld,
    ElasticsearchWriteBlockWorld,
    QdrantAliasWorld,
    RedisKeyWorld,
    RedisearchAliasWorld,
    UnleashFlagWorld,
)
