"""A Deployment that was rolled out three times."""

from copy import deepcopy
from typing import Any, ClassVar

from rollbackd.levers.kubernetes_api import KubernetesSettings
from tests.levers.external.kubernetes_controllers import deployments, template_hash
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import KubernetesWorld
from tests.levers.external.world import Value


def template(image: str) -> Object:
    """A pod template of one container."""
    return {
        "metadata": {"creationTimestamp": None, "labels": {"app": "web"}},
        "spec": {"containers": [{"name": "web", "image": f"registry/web:{image}"}]},
    }


_HASHES = {image: template_hash(template(image)) for image in ("v1", "v2", "v3")}


class KubernetesRolloutUndoWorld(KubernetesWorld):
    """Its ReplicaSets are called by the hash of their template."""

    lever_type: ClassVar[str] = "kubernetes_rollout_undo"
    bad: ClassVar[Value] = {"template_hash": _HASHES["v2"]}
    good: ClassVar[Value] = {"template_hash": _HASHES["v1"]}
    other: ClassVar[Value] = {"template_hash": _HASHES["v3"]}

    def populate(self) -> None:
        self.server.controllers.append(deployments)
        spec = {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "template": template("v1"),
        }
        self.server.create("deployments", "web", {"spec": spec})
        for image in ("v3", "v2"):
            self.roll_out(image)

    def roll_out(self, image: str) -> None:
        """As a deployment pipeline does."""

        def rolled_out(deployment: Object) -> None:
            deployment["spec"]["template"] = template(image)

        self.server.change("deployments", "web", rolled_out)

    def settings(self, **access: Any) -> object:
        return KubernetesSettings(**access)

    async def put(self, value: Value) -> None:
        by_hash = {digest: image for image, digest in _HASHES.items()}
        self.roll_out(by_hash[str(value["template_hash"])])

    async def held(self) -> Value:
        present = deepcopy(self.server.objects["deployments", "web"]["spec"]["template"])
        image = present["spec"]["containers"][0]["image"].rpartition(":")[2]
        assert present == template(image)
        return {"template_hash": _HASHES[image]}

    async def empty(self) -> None:
        del self.server.objects["replicasets", f"web-{_HASHES['v1']}"]
