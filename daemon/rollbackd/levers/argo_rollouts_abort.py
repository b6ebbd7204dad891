"""`argo_rollouts_abort`: let Argo Rollouts give up an update and go back to the stable pods.

As `kubectl argo rollouts abort` and `retry` do: `status.abort` of the Rollout.
https://argo-rollouts.readthedocs.io/en/stable/features/specification/
"""

from typing import Annotated, ClassVar, Final

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
)
from rollbackd.levers.kubernetes_pods import ready_pods
from rollbackd.levers.lever_type import Surroundings
from rollbackd.model.levers import Change, Observation, Op, Target

_ROLLOUTS: Final = Resource("argoproj.io", "v1alpha1", "rollouts")
_HASH: Final = "rollouts-pod-template-hash"


class ArgoRolloutsAbortSettings(KubernetesSettings, frozen=True, kw_only=True):
    """Which cluster, and what has to be ready before an update is given up."""

    min_ready: Annotated[int, Meta(ge=1, description="So many stable pods have to be ready.")] = 1


class _Weight(msgspec.Struct, frozen=True):
    weight: int = 0


class _Weights(msgspec.Struct, frozen=True):
    canary: _Weight = _Weight()


class _Canary(msgspec.Struct, frozen=True):
    weights: _Weights | None = None


class _RolloutStatus(msgspec.Struct, frozen=True):
    abort: bool = False
    aborted_at: str | None = msgspec.field(default=None, name="abortedAt")
    current: str = msgspec.field(default="", name="currentPodHash")
    stable: str = msgspec.field(default="", name="stableRS")
    phase: str = ""
    message: str = ""
    canary: _Canary = _Canary()


class _Rollout(msgspec.Struct, frozen=True):
    metadata: Metadata
    status: _RolloutStatus = _RolloutStatus()


class ArgoRolloutsAbort(KubernetesLever):
    """Sets `status.abort` of a Rollout whose update goes on; its undo is a retry.

    What is compared is the pod hash that the Rollout strives for.
    """

    Settings: ClassVar[type[msgspec.Struct] | None] = ArgoRolloutsAbortSettings

    def __init__(
        self, name: str, settings: ArgoRolloutsAbortSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, settings, surroundings)
        self._min_ready = settings.min_ready

    async def observe(self, target: Target) -> Observation:
        """`{"pod_hash": "6f4b"}`: the stable hash once an update is over or aborted."""
        status = await self._status(target)
        value: dict[str, object] = {"pod_hash": status.stable if status.abort else status.current}
        undo: dict[str, object] = {"current": status.current, "stable": status.stable}
        return Observation(value=value, version=version_of({**value, **undo}), undo=undo)

    async def preflight(self, change: Change) -> str:
        """An update goes on, and the stable pods are the recorded ones and ready."""
        objection = await super().preflight(change)
        if objection:
            return objection
        status, wanted = await self._status(change.target), change.after.get("pod_hash")
        if status.stable != wanted:
            return (
                f"{change.target}: aborting leads to the stable `{status.stable}`, not to the "
                f"recorded `{wanted}`; once an update is promoted the template has to be undone"
            )
        ready = len(await ready_pods(self._api, {_HASH: status.stable}))
        if ready < self._min_ready:
            return f"{change.target}: {ready} stable pods are ready, needed: {self._min_ready}"
        return ""

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One JSON Patch of the status, under tests of the update that was observed."""
        del op  # a patch of the status changes no annotations
        undo = now.undo
        operations = [
            expect("/status/currentPodHash", undo["current"]),
            expect("/status/stableRS", undo["stable"]),
            put("/status/abort", wanted["pod_hash"] == undo["stable"]),
        ]
        await self._api.patch(_ROLLOUTS, target.name, operations, sub="status")

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether the controller has taken the abort up, and sends the canary nothing."""
        status = await self._status(change.target)
        weights = status.canary.weights
        if status.aborted_at is None or (weights is not None and weights.canary.weight):
            raise TemporaryError(
                f"{change.target}: the controller has not taken the canary back yet "
                f"({status.phase})",
                delay_ms=500,
            )
        return True

    async def _status(self, target: Target) -> _RolloutStatus:
        rollout = await self._api.get(_ROLLOUTS, target.name, _Rollout)
        status = rollout.status
        if not status.current or not status.stable:
            raise PermanentError(f"{target}: its status names no stable and current pods yet")
        return status
