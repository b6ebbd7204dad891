"""`kubernetes_rollout_undo`: bring a Deployment back to the pod template that was recorded as good.

As `kubectl rollout undo` does: `spec.template` is replaced by the template of the ReplicaSet.
https://kubernetes.io/docs/concepts/workloads/controllers/deployment/#rolling-back-a-deployment
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Final

import msgspec

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.external_lever import version_of
from rollbackd.levers.kubernetes_api import (
    KubernetesLever,
    KubernetesSettings,
    Metadata,
    Operation,
    Resource,
    expect,
    pointer,
    put,
    stamp,
    stamping,
)
from rollbackd.levers.kubernetes_pods import Condition
from rollbackd.model.levers import Change, Observation, Op, Target
from rollbackd.ports import TargetMovedError

_DEPLOYMENTS: Final = Resource("apps", "v1", "deployments")
_REPLICA_SETS: Final = Resource("apps", "v1", "replicasets")
_HASH: Final = "pod-template-hash"
_CAUSE: Final = "kubernetes.io/change-cause"
_OPERATORS: Final = {"In": "in", "NotIn": "notin"}


class _Requirement(msgspec.Struct, frozen=True):
    key: str
    operator: str
    values: list[str] | None = None


class _Selector(msgspec.Struct, frozen=True, rename="camel"):
    match_labels: dict[str, str] | None = None
    match_expressions: list[_Requirement] | None = None


class _Spec(msgspec.Struct, frozen=True):
    template: dict[str, Any]
    selector: _Selector
    replicas: int = 1
    paused: bool = False


class _RolloutStatus(msgspec.Struct, frozen=True, rename="camel"):
    observed_generation: int = 0
    replicas: int = 0
    updated_replicas: int = 0
    available_replicas: int = 0
    conditions: list[Condition] | None = None


class _Deployment(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: _Spec
    status: _RolloutStatus = _RolloutStatus()


class _Owner(msgspec.Struct, frozen=True):
    uid: str
    controller: bool = False


class _Owned(Metadata, frozen=True, kw_only=True, rename="camel"):
    owner_references: list[_Owner] | None = None


class _RevisionSpec(msgspec.Struct, frozen=True):
    template: dict[str, Any]


class _ReplicaSet(msgspec.Struct, frozen=True):
    metadata: _Owned
    spec: _RevisionSpec

    @property
    def hash(self) -> str:
        """The name of the template, which stays when the revision's number does not."""
        return (self.metadata.labels or {}).get(_HASH, "")

    @property
    def template(self) -> dict[str, Any]:
        """As it stood in the Deployment: without the label that the controller adds."""
        template = self.spec.template
        metadata = template.get("metadata") or {}
        labels = {k: v for k, v in (metadata.get("labels") or {}).items() if k != _HASH}
        return {**template, "metadata": {**metadata, "labels": labels}}


class KubernetesRolloutUndo(KubernetesLever):
    """Replaces a Deployment's pod template by that of a ReplicaSet which it still keeps."""

    Settings: ClassVar[type[msgspec.Struct] | None] = KubernetesSettings
    #: Beyond the ten minutes that `progressDeadlineSeconds` is by default.
    reader_timeout_ms: ClassVar[int | None] = 660_000

    async def observe(self, target: Target) -> Observation:
        """`{"template_hash": "7d9f8c6b5"}`: which of its ReplicaSets has the present template."""
        deployment, revisions = await self._read(target)
        present = [each for each in revisions if each.template == deployment.spec.template]
        if not present:
            if deployment.spec.paused:
                raise PermanentError(f"{target} is paused: its template has no ReplicaSet")
            raise TemporaryError(f"{target}: its template has no ReplicaSet yet", delay_ms=200)
        # of two that are the same the controller takes the older one
        chosen = min(present, key=lambda each: each.metadata.creation_timestamp)
        value: dict[str, object] = {"template_hash": chosen.hash}
        return Observation(
            value=value, version=version_of(value), undo=stamping(deployment.metadata)
        )

    async def preflight(self, change: Change) -> str:
        """The ReplicaSet is still there, and a new template would be rolled out."""
        objection = await super().preflight(change)
        if objection:
            return objection
        deployment, revisions = await self._read(change.target)
        if deployment.spec.paused:
            return f"{change.target} is paused: resume it first"
        wanted = change.after.get("template_hash")
        if not any(each.hash == wanted for each in revisions):
            return (
                f"{change.target} keeps no ReplicaSet `{wanted}`; `revisionHistoryLimit` is how "
                "many it keeps"
            )
        return ""

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One JSON Patch under a test of the generation, which each change of the spec raises."""
        _, revisions = await self._read(target)
        found = [each for each in revisions if each.hash == wanted["template_hash"]]
        if not found:
            raise TargetMovedError(f"{target} keeps no ReplicaSet `{wanted['template_hash']}`")
        operations: list[Operation] = [
            expect("/metadata/generation", now.undo["generation"]),
            {"op": "replace", "path": "/spec/template", "value": found[0].template},
            *stamp(now.undo, op),
        ]
        cause = (found[0].metadata.annotations or {}).get(_CAUSE)
        if cause is not None:
            operations.append(put(pointer("metadata", "annotations", _CAUSE), cause))
        await self._api.patch(_DEPLOYMENTS, target.name, operations)

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether every pod has the template and is available, as `kubectl rollout status` asks.

        Raises PermanentError once the Deployment's own progress deadline has passed.
        """
        deployment = await self._api.get(_DEPLOYMENTS, change.target.name, _Deployment)
        status, wanted = deployment.status, deployment.spec.replicas
        if status.observed_generation >= deployment.metadata.generation:
            for condition in status.conditions or ():
                if condition.reason == "ProgressDeadlineExceeded":
                    raise PermanentError(f"{change.target}: {condition.message}")
            updated = status.updated_replicas
            # surplus ones are old pods that still serve
            if updated >= wanted and status.replicas <= updated <= status.available_replicas:
                return True
        raise TemporaryError(
            f"{change.target}: {status.updated_replicas} of {wanted} pods have the template, "
            f"{status.available_replicas} are available",
            delay_ms=500,
        )

    async def _read(self, target: Target) -> tuple[_Deployment, list[_ReplicaSet]]:
        """The Deployment, and the ReplicaSets that are its own and have a name for a template."""
        deployment = await self._api.get(_DEPLOYMENTS, target.name, _Deployment)
        selector = _selector(target, deployment.spec.selector)
        found = await self._api.list(_REPLICA_SETS, _ReplicaSet, selector=selector)
        uid = deployment.metadata.uid
        return deployment, [each for each in found if each.hash and _owned(each, uid)]


def _owned(replica_set: _ReplicaSet, uid: str) -> bool:
    owners: Sequence[_Owner] = replica_set.metadata.owner_references or ()
    return any(owner.controller and owner.uid == uid for owner in owners)


def _selector(target: Target, selector: _Selector) -> str:
    parts = [f"{key}={value}" for key, value in (selector.match_labels or {}).items()]
    for each in selector.match_expressions or ():
        if each.operator in _OPERATORS:
            parts.append(f"{each.key} {_OPERATORS[each.operator]} ({','.join(each.values or ())})")
        else:
            parts.append(each.key if each.operator == "Exists" else f"!{each.key}")
    if not parts:
        raise PermanentError(f"{target}: its selector is empty")
    return ",".join(parts)
