"""A Service before a blue, a green and a red set of pods."""

from typing import Any, ClassVar

from rollbackd.levers.kubernetes_service import KubernetesServiceSettings
from tests.levers.external.kubernetes_controllers import endpoint_slices, pod
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import KubernetesWorld
from tests.levers.external.world import Value


class KubernetesServiceWorld(KubernetesWorld):
    """The selector has a second key, which nobody touches."""

    lever_type: ClassVar[str] = "kubernetes_service"
    bad: ClassVar[Value] = {"app": "web-green"}
    good: ClassVar[Value] = {"app": "web-blue"}
    other: ClassVar[Value] = {"app": "web-red"}

    def populate(self) -> None:
        self.server.controllers.append(endpoint_slices)
        for color in ("blue", "green", "red"):
            for number in range(2):
                labels = {"app": f"web-{color}", "tier": "front"}
                pod(self.server, f"web-{color}-{number}", labels)
        # of the same version, but of another tier: behind another Service
        pod(self.server, "batch-blue-0", {"app": "web-blue", "tier": "batch"})
        selector = {"app": "web-green", "tier": "front"}
        self.server.create("services", "web", {"spec": {"selector": selector}})

    def settings(self, **access: Any) -> object:
        return KubernetesServiceSettings(**access)

    async def put(self, value: Value) -> None:
        def selected(service: Object) -> None:
            service["spec"]["selector"].update(value)

        self.server.change("services", "web", selected)

    async def held(self) -> Value:
        selector = self.server.objects["services", "web"]["spec"]["selector"]
        assert selector["tier"] == "front"
        return {"app": selector["app"]}

    async def empty(self) -> None:
        for number in range(2):
            del self.server.objects["pods", f"web-blue-{number}"]
