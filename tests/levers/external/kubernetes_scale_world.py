"""A Deployment that writes, with three replicas."""

from typing import Any, ClassVar

from rollbackd.levers.kubernetes_scale import KubernetesScaleSettings
from tests.levers.external.kubernetes_controllers import pods_of_deployments
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import KubernetesWorld
from tests.levers.external.world import Value


class KubernetesScaleWorld(KubernetesWorld):
    """Scaled to nothing."""

    lever_type: ClassVar[str] = "kubernetes_scale"
    name: ClassVar[str] = "indexer"
    bad: ClassVar[Value] = {"replicas": 3}
    good: ClassVar[Value] = {"replicas": 0}
    other: ClassVar[Value] = {"replicas": 2}
    can_be_empty: ClassVar[bool] = False

    def populate(self) -> None:
        self.server.controllers.append(pods_of_deployments)
        labels = {"app": "indexer"}
        spec = {"replicas": 3, "selector": {"matchLabels": labels}, "template": {}}
        self.server.create("deployments", "indexer", {"spec": spec})

    def settings(self, **access: Any) -> object:
        return KubernetesScaleSettings(**access)

    async def put(self, value: Value) -> None:
        def scaled(deployment: Object) -> None:
            deployment["spec"].update(value)

        self.server.change("deployments", "indexer", scaled)

    async def held(self) -> Value:
        return {"replicas": self.server.objects["deployments", "indexer"]["spec"]["replicas"]}
