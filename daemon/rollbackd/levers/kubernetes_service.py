"""`kubernetes_service`: point a Service back at the known good pods, by one selector key (S1).

https://kubernetes.io/docs/concepts/services-networking/service/
"""

from typing import Annotated, Any, ClassVar, Final

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
    pointer,
    stamp,
    stamping,
)
from rollbackd.levers.kubernetes_pods import pods_behind, ready_pods
from rollbackd.levers.lever_type import Surroundings
from rollbackd.model.levers import Change, Observation, Op, Target

_SERVICES: Final = Resource("", "v1", "services")


class KubernetesServiceSettings(KubernetesSettings, frozen=True, kw_only=True):
    """Which cluster, and which key of the selector tells the versions apart."""

    selector_key: Annotated[
        str,
        Meta(min_length=1, description="The label that is moved; the other keys are left alone."),
    ] = "app"
    min_ready: Annotated[
        int, Meta(ge=1, description="So many pods of the target have to be ready.")
    ] = 1
    min_ready_percent: Annotated[
        int,
        Meta(
            ge=0, le=100, description="And so many for each hundred that are ready behind it now."
        ),
    ] = 0


class _ServiceSpec(msgspec.Struct, frozen=True):
    selector: dict[str, str] | None = None


class _Service(msgspec.Struct, frozen=True):
    metadata: Metadata
    spec: _ServiceSpec


class KubernetesService(KubernetesLever):
    """Replaces one value in a Service's selector, under a test of the object as it was read."""

    Settings: ClassVar[type[msgspec.Struct] | None] = KubernetesServiceSettings

    def __init__(
        self, name: str, settings: KubernetesServiceSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, settings, surroundings)
        self._settings = settings

    async def observe(self, target: Target) -> Observation:
        """`{"app": "wfgy-blue"}`: the key that is moved, with its value."""
        service = await self._api.get(_SERVICES, target.name, _Service)
        selector, key = service.spec.selector or {}, self._settings.selector_key
        if key not in selector:
            raise PermanentError(f"{target}: the selector {selector} has no key `{key}`")
        return Observation(
            value={key: selector[key]},
            version=version_of(selector),
            undo={"selector": selector, **stamping(service.metadata)},
        )

    async def preflight(self, change: Change) -> str:
        """Enough pods of the target are ready to take over."""
        objection = await super().preflight(change)
        if objection:
            return objection
        before = self._selector(change, change.before.value)
        ready = len(await ready_pods(self._api, self._selector(change, change.after)))
        behind = len(await ready_pods(self._api, before))
        settings = self._settings
        needed = max(settings.min_ready, -(-behind * settings.min_ready_percent // 100))
        if ready < needed:
            return f"{change.target}: {ready} pods with {change.after} are ready, needed: {needed}"
        return ""

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One JSON Patch: test the resourceVersion and the value, replace the value."""
        key = self._settings.selector_key
        path = pointer("spec", "selector", key)
        operations = [
            expect("/metadata/resourceVersion", now.undo["resource_version"]),
            expect(path, now.value[key]),
            {"op": "replace", "path": path, "value": wanted[key]},
            *stamp(now.undo, op),
        ]
        await self._api.patch(_SERVICES, target.name, operations)

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether the EndpointSlices, which kube-proxy reads, hold pods of the target only."""
        # a change that was made from a receipt has no undo; `verify` has just read the value
        service = await self._api.get(_SERVICES, change.target.name, _Service)
        wanted = await ready_pods(self._api, service.spec.selector or {})
        behind = await pods_behind(self._api, change.target.name)
        if not behind or not behind <= wanted:
            raise TemporaryError(
                f"{change.target}: the EndpointSlices do not hold the pods of the target yet",
                delay_ms=200,
            )
        return True

    def _selector(self, change: Change, value: dict[str, Any]) -> dict[str, str]:
        """The whole selector, as it was read, with another value of the key."""
        key = self._settings.selector_key
        selector = msgspec.convert(change.before.undo["selector"], dict[str, str])
        if set(value) != {key} or not isinstance(value[key], str):
            raise PermanentError(f"{change.target}: {value} is no value of `{key}`")
        return {**selector, key: value[key]}
