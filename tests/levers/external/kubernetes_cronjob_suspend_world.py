"""A CronJob that may start."""

from typing import Any, ClassVar

from rollbackd.levers.kubernetes_api import KubernetesSettings
from tests.levers.external.kubernetes_status import Object
from tests.levers.external.kubernetes_world import KubernetesWorld
from tests.levers.external.world import Value


class KubernetesCronjobSuspendWorld(KubernetesWorld):
    """It knows two values: what somebody else can do is to let it start again."""

    lever_type: ClassVar[str] = "kubernetes_cronjob_suspend"
    name: ClassVar[str] = "reindex"
    bad: ClassVar[Value] = {"suspend": False}
    good: ClassVar[Value] = {"suspend": True}
    other: ClassVar[Value] = {"suspend": False}
    can_be_empty: ClassVar[bool] = False

    def populate(self) -> None:
        spec = {"schedule": "*/5 * * * *", "suspend": False, "jobTemplate": {}}
        self.server.create("cronjobs", "reindex", {"spec": spec})

    def settings(self, **access: Any) -> object:
        return KubernetesSettings(**access)

    async def put(self, value: Value) -> None:
        def suspended(job: Object) -> None:
            job["spec"].update(value)

        self.server.change("cronjobs", "reindex", suspended)

    async def held(self) -> Value:
        return {"suspend": self.server.objects["cronjobs", "reindex"]["spec"]["suspend"]}
