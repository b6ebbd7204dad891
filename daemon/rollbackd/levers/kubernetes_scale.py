"""`kubernetes_scale`: stop a workload that writes, and bring back as many replicas as it had.

https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/deployment-v1/
"""

from typing import Annotated, ClassVar, Final, Literal

import msgspec
from msgspec import Meta

from rollbackd.errors import PermanentError, TemporaryError
from rollbackd.levers.external_lever import version_of
from rollbackd.levers.kubernetes_api import (
    KubernetesLever,
    KubernetesSettings,
    Metadata,
    Resource,
    expect,
    put,
    stamping,
)
from rollbackd.levers.kubernetes_pods import PODS, Pod
from rollbackd.levers.lever_type import Surroundings, params_of
from rollbackd.model.levers import Change, LeverKind, Observation, Op, PlanRequest, Target

_VERSION: Final = "/metadata/resourceVersion"
_HPAS: Final = Resource("autoscaling", "v2", "horizontalpodautoscalers")


class KubernetesScaleSettings(KubernetesSettings, frozen=True, kw_only=True):
    """Which cluster, and which type of workload."""

    resource: Annotated[
        Literal["deployment", "statefulset"], Meta(description="What the targets are.")
    ] = "deployment"


class KubernetesScaleParams(msgspec.Struct, frozen=True, kw_only=True):
    """How far down."""

    replicas: Annotated[int, Meta(ge=0, description="What is left; 0 stops it.")] = 0


class _Replicas(msgspec.Struct, frozen=True):
    replicas: int = 0
    selector: str = ""


class _Scale(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: _Replicas = _Replicas()
    status: _Replicas = _Replicas()


class _Reference(msgspec.Struct, frozen=True):
    kind: str
    name: str


class _HpaSpec(msgspec.Struct, frozen=True, rename="camel"):
    scale_target_ref: _Reference
    min_replicas: int = 1


class _Hpa(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: _HpaSpec


class KubernetesScale(KubernetesLever):
    """Lowers the replicas of a Deployment or StatefulSet by its `scale` subresource."""

    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    Params: ClassVar[type[msgspec.Struct]] = KubernetesScaleParams
    Settings: ClassVar[type[msgspec.Struct] | None] = KubernetesScaleSettings
    #: Four times the 30 s that a pod has by default to end.
    reader_timeout_ms: ClassVar[int | None] = 120_000

    def __init__(
        self, name: str, settings: KubernetesScaleSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, settings, surroundings)
        self._kind = {"deployment": "Deployment", "statefulset": "StatefulSet"}[settings.resource]
        self._resource = Resource("apps", "v1", f"{settings.resource}s")

    async def observe(self, target: Target) -> Observation:
        """`{"replicas": 3}`: as many as are wanted, whether they run already or not."""
        scale = await self._scale(target)
        value: dict[str, object] = {"replicas": scale.spec.replicas}
        return Observation(value=value, version=version_of(value), undo=stamping(scale.metadata))

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        """As few as the tree says; never more than there are."""
        left = params_of(request, KubernetesScaleParams).replicas
        has = msgspec.convert(request.observed.value["replicas"], int)
        return {"replicas": left} if left < has else None

    async def preflight(self, change: Change) -> str:
        """Refuse what an autoscaler would undo at once; it leaves zero replicas alone."""
        left = msgspec.convert(change.after["replicas"], int)
        if left == 0:
            return ""
        wanted = _Reference(self._kind, change.target.name)
        for hpa in await self._api.list(_HPAS, _Hpa):
            if hpa.spec.scale_target_ref == wanted and hpa.spec.min_replicas > left:
                return (
                    f"{change.target}: HorizontalPodAutoscaler `{hpa.metadata.name}` would bring "
                    f"back {hpa.spec.min_replicas} replicas"
                )
        return ""

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One JSON Patch of the subresource, under a test of the replicas."""
        del op  # the subresource has no room for it
        path, has = "/spec/replicas", now.value["replicas"]
        # zero replicas are left out of the JSON, and what is not there cannot be tested
        unmoved = expect(path, has) if has else expect(_VERSION, now.undo["resource_version"])
        operations = [unmoved, put(path, wanted["replicas"])]
        await self._api.patch(self._resource, target.name, operations, sub="scale")

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether no more pods run than are wanted: one that terminates may still write."""
        scale = await self._scale(change.target)
        if not scale.status.selector:
            raise PermanentError(f"{change.target}: its `scale` names no pods")
        pods = await self._api.list(PODS, Pod, selector=scale.status.selector)
        running = sum(pod.running for pod in pods)
        if running > msgspec.convert(change.after["replicas"], int):
            raise TemporaryError(f"{change.target}: {running} pods still run", delay_ms=500)
        return True

    async def _scale(self, target: Target) -> _Scale:
        return await self._api.get(self._resource, target.name, _Scale, sub="scale")
