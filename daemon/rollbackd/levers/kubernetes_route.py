"""`kubernetes_route`: put the traffic weights of an HTTPRoute or a canary Ingress back.

https://gateway-api.sigs.k8s.io/guides/traffic-splitting/
https://kubernetes.github.io/ingress-nginx/user-guide/nginx-configuration/annotations/#canary
"""

from typing import Annotated, ClassVar, Literal

import msgspec
from msgspec import Meta

from rollbackd.errors import TemporaryError
from rollbackd.levers.external_lever import version_of
from rollbackd.levers.kubernetes_api import KubernetesLever, KubernetesSettings
from rollbackd.levers.kubernetes_pods import pods_behind
from rollbackd.levers.kubernetes_routes import CanaryIngress, HTTPRoute
from rollbackd.levers.lever_type import Surroundings
from rollbackd.model.levers import Change, Observation, Op, Target


class KubernetesRouteSettings(KubernetesSettings, frozen=True, kw_only=True):
    """Which cluster, and which type of route."""

    resource: Annotated[
        Literal["httproute", "ingress"],
        Meta(description="`httproute` of the Gateway API, or a canary `ingress` of ingress-nginx."),
    ] = "httproute"
    baseline: Annotated[
        str,
        Meta(
            description="With `ingress`: the Service that takes the traffic back, which the canary "
            "does not name."
        ),
    ] = ""
    min_ready: Annotated[
        int, Meta(ge=1, description="So many pods have to be ready behind who gets traffic.")
    ] = 1

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.resource == "ingress") != bool(self.baseline):
            raise ValueError("`baseline` belongs to `resource: ingress`, and has to be given there")


class KubernetesRoute(KubernetesLever):
    """Writes recorded weights back to a route, all of them in one patch."""

    Settings: ClassVar[type[msgspec.Struct] | None] = KubernetesRouteSettings

    def __init__(
        self, name: str, settings: KubernetesRouteSettings, surroundings: Surroundings
    ) -> None:
        super().__init__(name, settings, surroundings)
        self._min_ready = settings.min_ready
        self._routes: HTTPRoute | CanaryIngress = (
            HTTPRoute(self._api)
            if settings.resource == "httproute"
            else CanaryIngress(self._api, settings.baseline)
        )

    async def observe(self, target: Target) -> Observation:
        """`{"rules": [{"web-blue": 100, "web-green": 0}]}`, or `{"canary_weight": 0}`."""
        route = await self._routes.read(target.name)
        return Observation(value=route.value, version=version_of(route.value), undo=route.undo)

    async def preflight(self, change: Change) -> str:
        """Whoever gets traffic has ready pods."""
        objection = await super().preflight(change)
        if objection:
            return objection
        route = await self._routes.read(change.target.name)
        objection = route.objection(change.after)
        if objection:
            return f"{change.target}: {objection}"
        for namespace, service in route.services(change.after):
            ready = len(await pods_behind(self._api, service, namespace=namespace))
            if ready < self._min_ready:
                return (
                    f"{change.target}: Service `{service}` has {ready} ready pods, needed: "
                    f"{self._min_ready}"
                )
        return ""

    async def move(
        self, target: Target, now: Observation, wanted: dict[str, object], op: Op
    ) -> None:
        """One JSON Patch, under a test of what was read."""
        route = await self._routes.read(target.name)
        await self._routes.write(target.name, route.patch(now, wanted, op))

    async def seen_by_readers(self, change: Change) -> bool:
        """Whether the gateways have taken the route up, where they say so."""
        route = await self._routes.read(change.target.name)
        if not route.taken_up:
            raise TemporaryError(
                f"{change.target}: no gateway has taken the weights up yet", delay_ms=200
            )
        return True
