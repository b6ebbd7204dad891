"""An HTTPRoute of two rules that divide, and one that does not."""

from typing import Any, ClassVar

from rollbackd.levers.kubernetes_route import KubernetesRouteSettings
from tests.levers.external.kubernetes_controllers import endpoint_slices, gateways, pod
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import KubernetesWorld
from tests.levers.external.world import Value


def rules(green: int) -> Value:
    """Both rules with the same weight of green."""
    return {"rules": [{"blue": 100 - green, "green": green}] * 2}


class KubernetesRouteWorld(KubernetesWorld):
    """Blue had everything, and is to have it again."""

    lever_type: ClassVar[str] = "kubernetes_route"
    bad: ClassVar[Value] = rules(20)
    good: ClassVar[Value] = rules(0)
    other: ClassVar[Value] = rules(50)

    def populate(self) -> None:
        self.server.controllers += [endpoint_slices, gateways]
        for color in ("blue", "green"):
            pod(self.server, f"{color}-0", {"app": color})
            self.server.create("services", color, {"spec": {"selector": {"app": color}}})
        backends = [{"name": "blue", "port": 80}, {"name": "green", "port": 80, "weight": 1}]
        single = {"backendRefs": [{"name": "blue", "port": 80}]}
        split = {"backendRefs": backends}
        spec = {"rules": [single, split, {"backendRefs": [dict(each) for each in backends]}]}
        self.server.create("httproutes", "web", {"spec": spec})

    def settings(self, **access: Any) -> object:
        return KubernetesRouteSettings(**access)

    async def put(self, value: Value) -> None:
        self.shift(value)

    def shift(self, value: Value) -> None:
        """As whoever rolls out does."""
        weights: Any = value["rules"]

        def weighted(route: Object) -> None:
            for rule, of_rule in zip(route["spec"]["rules"][1:], weights, strict=True):
                for backend in rule["backendRefs"]:
                    backend["weight"] = of_rule[backend["name"]]

        self.server.change("httproutes", "web", weighted)

    async def held(self) -> Value:
        single, *split = self.server.objects["httproutes", "web"]["spec"]["rules"]
        assert single == {"backendRefs": [{"name": "blue", "port": 80}]}
        return {
            "rules": [
                {backend["name"]: backend["weight"] for backend in rule["backendRefs"]}
                for rule in split
            ]
        }

    async def empty(self) -> None:
        del self.server.objects["pods", "blue-0"]
        endpoint_slices(self.server)
