"""What the controllers of a cluster do to objects, at once and all the way.

Deployments: https://kubernetes.io/docs/concepts/workloads/controllers/deployment/
EndpointSlices: https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/
Rollouts: https://argo-rollouts.readthedocs.io/en/stable/features/specification/
"""

import hashlib
from copy import deepcopy
from typing import Any

import orjson

from tests.levers.external.kubernetes_server import KubernetesServer
from tests.levers.external.kubernetes_status import Object

_REVISION = "deployment.kubernetes.io/revision"
_SERVICE = "kubernetes.io/service-name"
_MANAGED = "endpointslice.kubernetes.io/managed-by"


def pod(server: KubernetesServer, name: str, labels: dict[str, str], *, ready: bool = True) -> None:
    """One running pod."""
    conditions = [{"type": "Ready", "status": "True" if ready else "False"}]
    status = {"phase": "Running", "conditions": conditions}
    server.create("pods", name, {"spec": {}, "status": status}, labels=labels)


def is_ready(found: Object) -> bool:
    """Its Ready condition, while it does not terminate."""
    conditions = found["status"]["conditions"]
    alive = "deletionTimestamp" not in found["metadata"]
    return alive and {"type": "Ready", "status": "True"} in conditions


def endpoint_slices(server: KubernetesServer) -> None:
    """One slice a Service, with the pods that its selector fits."""
    for service in server.of("services"):
        name = service["metadata"]["name"]
        selector = service["spec"].get("selector")
        if not selector:
            continue
        fitting = [
            each
            for each in server.of("pods")
            if selector.items() <= (each["metadata"].get("labels") or {}).items()
        ]
        endpoints = [
            {
                "addresses": ["10.0.0.1"],
                "conditions": {"ready": is_ready(each)},
                "targetRef": {"kind": "Pod", "name": each["metadata"]["name"]},
            }
            for each in fitting
        ]
        _put_slice(server, name, endpoints)


def _put_slice(server: KubernetesServer, service: str, endpoints: list[Object]) -> None:
    key = ("endpointslices", f"{service}-x1")
    if key not in server.objects:
        labels = {_SERVICE: service, _MANAGED: "endpointslice-controller.k8s.io"}
        metadata: Any = {"name": key[1], "labels": labels, "resourceVersion": "1", "generation": 1}
        server.objects[key] = {"metadata": metadata, "endpoints": None}
    server.store(*key, {**deepcopy(server.objects[key]), "endpoints": endpoints or None})


def template_hash(template: Object) -> str:
    """What a ReplicaSet of the template is called by."""
    text = orjson.dumps(template, option=orjson.OPT_SORT_KEYS)
    return hashlib.sha256(text).hexdigest()[:9]


def deployments(server: KubernetesServer) -> None:
    """A ReplicaSet for each template, the newest revision for the present one, all rolled out."""
    for deployment in server.of("deployments"):
        _roll_out(server, deepcopy(deployment))


def _roll_out(server: KubernetesServer, deployment: Object) -> None:
    metadata, spec = deployment["metadata"], deployment["spec"]
    name, uid, template = metadata["name"], metadata["uid"], spec["template"]
    digest = template_hash(template)
    owned = [
        each
        for each in server.of("replicasets")
        if each["metadata"]["ownerReferences"][0]["uid"] == uid
    ]
    revisions = [int(each["metadata"]["annotations"][_REVISION]) for each in owned]
    key = ("replicasets", f"{name}-{digest}")
    if key not in server.objects:
        labels = {**template["metadata"]["labels"], "pod-template-hash": digest}
        copy = {**deepcopy(template), "metadata": {**template["metadata"], "labels": labels}}
        server.objects[key] = {
            "metadata": {
                "name": key[1],
                "labels": labels,
                "annotations": {_REVISION: str(max(revisions, default=0) + 1)},
                "ownerReferences": [{"uid": uid, "kind": "Deployment", "controller": True}],
                "creationTimestamp": f"2026-01-02T00:00:{len(owned):02d}Z",
                "resourceVersion": "1",
                "generation": 1,
            },
            "spec": {"replicas": spec["replicas"], "template": copy},
        }
    elif int(server.objects[key]["metadata"]["annotations"][_REVISION]) < max(revisions):
        present = deepcopy(server.objects[key])
        present["metadata"]["annotations"][_REVISION] = str(max(revisions) + 1)
        server.store(*key, present)
    revision = server.objects[key]["metadata"]["annotations"][_REVISION]
    metadata["annotations"] = {**(metadata.get("annotations") or {}), _REVISION: revision}
    replicas = spec["replicas"]
    deployment["status"] = {
        "observedGeneration": metadata["generation"],
        "replicas": replicas,
        "updatedReplicas": replicas,
        "availableReplicas": replicas,
        "conditions": [
            {"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable"}
        ],
    }
    server.store("deployments", name, deployment)


def pods_of_deployments(server: KubernetesServer) -> None:
    """As many pods as are wanted; those that are too many are gone at once."""
    for deployment in server.of("deployments"):
        labels = deployment["spec"]["selector"]["matchLabels"]
        name, wanted = deployment["metadata"]["name"], deployment["spec"]["replicas"]
        there = [
            key for key in server.objects if key[0] == "pods" and key[1].startswith(f"{name}-")
        ]
        for key in sorted(there)[wanted:]:
            del server.objects[key]
        for number in range(len(there), wanted):
            conditions = [{"type": "Ready", "status": "True"}]
            server.objects["pods", f"{name}-{number}"] = {
                "metadata": {"name": f"{name}-{number}", "labels": dict(labels)},
                "status": {"phase": "Running", "conditions": conditions},
            }


def rollouts(server: KubernetesServer) -> None:
    """An aborted update is taken back: `abortedAt`, no canary weight, and the phase Degraded."""
    for rollout in server.of("rollouts"):
        after = deepcopy(rollout)
        status = after["status"]
        if status.get("abort"):
            status.setdefault("abortedAt", "2026-01-03T00:00:00Z")
            status["phase"], status["message"] = "Degraded", "RolloutAborted: aborted"
            status["canary"] = {"weights": {"canary": {"weight": 0}, "stable": {"weight": 100}}}
        else:
            status.pop("abortedAt", None)
            updating = status["currentPodHash"] != status["stableRS"]
            status["phase"] = "Progressing" if updating else "Healthy"
            weight = 20 if updating else 0
            status["canary"] = {"weights": {"canary": {"weight": weight}}}
        server.store("rollouts", rollout["metadata"]["name"], after)


def gateways(server: KubernetesServer) -> None:
    """One parent accepts each HTTPRoute as it is."""
    for route in server.of("httproutes"):
        after = deepcopy(route)
        condition = {
            "type": "Accepted",
            "status": "True",
            "observedGeneration": after["metadata"]["generation"],
        }
        after["status"] = {"parents": [{"conditions": [condition]}]}
        server.store("httproutes", route["metadata"]["name"], after)
