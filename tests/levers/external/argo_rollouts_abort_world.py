"""A Rollout in the middle of an update."""

from typing import Any, ClassVar

from rollbackd.levers.argo_rollouts_abort import ArgoRolloutsAbortSettings
from tests.levers.external.kubernetes_controllers import pod, rollouts
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import KubernetesWorld
from tests.levers.external.world import Value


class ArgoRolloutsAbortWorld(KubernetesWorld):
    """The stable pods are those that were recorded."""

    lever_type: ClassVar[str] = "argo_rollouts_abort"
    bad: ClassVar[Value] = {"pod_hash": "6f4b"}
    good: ClassVar[Value] = {"pod_hash": "7d9f"}
    other: ClassVar[Value] = {"pod_hash": "55aa"}

    def populate(self) -> None:
        self.server.controllers.append(rollouts)
        pod(self.server, "web-7d9f-0", {"rollouts-pod-template-hash": "7d9f"})
        status = {"currentPodHash": "6f4b", "stableRS": "7d9f"}
        self.server.create("rollouts", "web", {"spec": {}, "status": status})

    def settings(self, **access: Any) -> object:
        return ArgoRolloutsAbortSettings(**access)

    async def put(self, value: Value) -> None:
        """A new update, which ends an abort."""

        def updated(rollout: Object) -> None:
            rollout["status"].update(currentPodHash=value["pod_hash"], abort=False)

        self.server.change("rollouts", "web", updated)

    async def held(self) -> Value:
        status = self.server.objects["rollouts", "web"]["status"]
        return {"pod_hash": status["stableRS" if status.get("abort") else "currentPodHash"]}

    async def empty(self) -> None:
        del self.server.objects["pods", "web-7d9f-0"]
