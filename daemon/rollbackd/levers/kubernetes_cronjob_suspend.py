"""`kubernetes_cronjob_suspend`: let a CronJob start nothing while an incident is open.

https://kubernetes.io/docs/concepts/workloads/controllers/cron-jobs/#schedule-suspension
"""

from typing import ClassVar, Final

import msgspec

from rollbackd.levers.external_lever import version_of
from rollbackd.levers.kubernetes_api import (
    KubernetesLever,
    KubernetesSettings,
    Metadata,
    Resource,
    expect,
    put,
    stamp,
    stamping,
)
from rollbackd.model.levers import LeverKind, Observation, Op, PlanRequest, Target

_CRON_JOBS: Final = Resource("batch", "v1", "cronjobs")


class _Spec(msgspec.Struct, frozen=True):
    suspend: bool | None = None


class _CronJob(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: _Spec


class KubernetesCronjobSuspend(KubernetesLever):
    """Sets `spec.suspend` of a CronJob; jobs that run already go on."""

    kind: ClassVar[LeverKind] = LeverKind.TEMPORARY
    Settings: ClassVar[type[msgspec.Struct] | None] = KubernetesSettings

    async def observe(self, target: Target) -> Observation:
        """`{"suspend": false}`."""
        job = await self._api.get(_CRON_JOBS, target.name, _CronJob)
        value: dict[str, object] = {"suspend": bool(job.spec.suspend)}
        return Observation(value=value, version=version_of(value), undo=stamping(job.metadata))

    def plan(self, request: PlanRequest) -> dict[str, object] | None:
        """Suspended."""
        wanted: dict[str, object] = {"suspend": True}
        return None if request.observed.value == wanted else wanted

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One JSON Patch under a test of the generation, which each change of the spec raises."""
        operations = [
            expect("/metadata/generation", now.undo["generation"]),
            put("/spec/suspend", wanted["suspend"]),
            *stamp(now.undo, op),
        ]
        await self._api.patch(_CRON_JOBS, target.name, operations)
