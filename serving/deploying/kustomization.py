"""The overlay's kustomization.yaml: which base, which components, which image, which patches. Pure."""

from __future__ import annotations

from typing import Any

from serving.deploying.manifest_text import to_yaml
from serving.deploying.plan import Plan
from serving.deploying.wanted import MONITORING, PROMETHEUS, SPACE, Wanted, split_image
from serving.engines.tensorflow_serving import GPU_IMAGE
from serving.engines.tensorflow_serving import REPOSITORY as TFSERVING_IMAGE
from serving.engines.triton import IMAGE as TRITON_IMAGE
from serving.layout.tfserving_config import BATCHES, PARAMETERS

KIND = {"apiVersion": "kustomize.config.k8s.io/v1beta1", "kind": "Kustomization"}
IMAGES = {"triton": TRITON_IMAGE, "tfserving": TFSERVING_IMAGE}  # as the bases name them
LOAD_IMAGE = "loadproof/loadtest"  # as k8s/components/measure names it
SERVER, AUTOSCALER, RULES, BATCHING = "server.yaml", "autoscaler.yaml", "rules.yaml", "batching.config"
# One pod's address each, behind the headless Service (k8s/components/measure), in whichever namespace both are.
MEASURED_AT = {
    "triton": "http://triton-headless:8000,grpc://triton-headless:8001,usage://triton-headless:9102",
    "tfserving": "rest://tfserving-headless:8501,grpc://tfserving-headless:8500,usage://tfserving-headless:9102",
}
# The folder model/: which model, and its SHA256SUMS (k8s/components/model-store).
MODEL = {**KIND, "configMapGenerator": [{"name": "model", "envs": ["model.env"], "files": ["SHA256SUMS"]}]}
# In the policy of k8s/components/monitoring: the namespace that may ask for metrics.
SCRAPED_FROM = "/spec/ingress/0/from/0/namespaceSelector/matchLabels/kubernetes.io~1metadata.name"
Document = dict[str, Any]


def kustomization(plan: Plan, k8s: str) -> Document:
    """The list; ``k8s`` is the path of k8s/ as the overlay sees it."""
    components = {
        "model-store": True,
        "gpu": plan.case.gpu,
        MONITORING: plan.case.wanted.monitored,
        "hpa": plan.autoscaled,
        "measure": plan.case.wanted.unmeasured,
    }
    images, settings = _images(plan), _settings(plan)
    return {
        **KIND,
        "namespace": plan.case.wanted.namespace,  # of the Namespace object too
        "resources": [
            *([] if SPACE in plan.case.wanted.without else [f"{k8s}/base/namespace"]),
            f"{k8s}/base/{plan.engine}",
            "model",
        ],
        "components": [f"{k8s}/components/{name}" for name, wanted in components.items() if wanted],
        **({"images": images} if images else {}),
        **({"configMapGenerator": settings} if settings else {}),
        "patches": _patches(plan),
    }


def _images(plan: Plan) -> list[Document]:
    """Those of the bases and components, by what takes their places."""
    return [image for image in (_server_image(plan), _load_image(plan.case.wanted)) if image]


def _load_image(wanted: Wanted) -> Document | None:
    """The image of the job: from the registry under its own name and tag, or the one that was named."""
    if wanted.registry:
        return {"name": LOAD_IMAGE, "newName": f"{wanted.registry}/{LOAD_IMAGE}"}
    return _named(LOAD_IMAGE, wanted.load_image) if wanted.load_image else None


def _server_image(plan: Plan) -> Document | None:
    """The image that was named; else the engine's own, in the version that is wanted or was measured."""
    case, name = plan.case, IMAGES[plan.engine]
    if case.wanted.image:
        return _named(name, case.wanted.image)
    if plan.engine == "triton":
        return {"name": name, "newTag": f"{case.wanted.target}-py3"}
    if case.wanted.unmeasured:
        return _named(name, GPU_IMAGE) if case.gpu else None  # the base's
    return {"name": name, "newTag": f"{case.recommended.engine_version}{'-gpu' if case.gpu else ''}"}


def _named(name: str, image: str) -> Document:
    """``image`` in the place of the one that the manifests call ``name``."""
    found = split_image(image)
    version = {"digest": found["digest"]} if found["digest"] else {"newTag": found["tag"]}
    return {"name": name, "newName": found["name"], **version}


def _patches(plan: Plan) -> list[Document]:
    found: list[Document] = [{"path": SERVER}]
    if plan.autoscaled:
        found.append({"path": AUTOSCALER})
    if plan.case.wanted.monitored:
        found.append({"path": RULES})
    if plan.laid.joins:
        words = (BATCHES, f"{PARAMETERS}/etc/tfserving/{BATCHING}")
        # By operations: a merge would replace the base's arguments.
        operations = [{"op": "add", "path": "/spec/template/spec/containers/0/args/-", "value": word} for word in words]
        found.append({"target": {"kind": "Deployment", "name": plan.engine}, "patch": to_yaml(operations)})
    return [*found, *_of_the_cluster(plan.case.wanted)]


def _of_the_cluster(wanted: Wanted) -> list[Document]:
    """What this cluster has otherwise than the components expect."""
    found: list[Document] = []
    if wanted.pull_secret:
        # Of every pod: a pod takes the secrets of its account.
        add = {"op": "add", "path": "/imagePullSecrets", "value": [{"name": wanted.pull_secret}]}
        found.append({"target": {"kind": "ServiceAccount"}, "patch": to_yaml([add])})
    if wanted.prometheus != PROMETHEUS:
        replace = {"op": "replace", "path": SCRAPED_FROM, "value": wanted.prometheus}
        target = {"kind": "NetworkPolicy", "name": "loadproof-monitoring"}
        found.append({"target": target, "patch": to_yaml([replace])})
    return found


def _settings(plan: Plan) -> list[Document]:
    """What differs from the ConfigMaps that the base generates, and the one that the measuring Job is told by."""
    found: list[Document] = []
    if plan.engine == "tfserving":
        # Requests run side by side on as many inter-op threads: one for each core of the pod, as it had one for each
        # of the machine that was measured.
        threads = [f"INTRA_OP_THREADS={plan.batching.threads}", f"INTER_OP_THREADS={plan.cores}"]
        found.append({"name": "tfserving-flags", "behavior": "merge", "literals": threads})
    if plan.laid.joins:
        found.append({"name": "tfserving-config", "behavior": "merge", "files": [BATCHING]})
    if plan.case.wanted.unmeasured:
        # It cannot see what it measures.
        told = {"SERVER": MEASURED_AT[plan.engine], "DEVICE": plan.case.device}
        found.append({"name": "measure", "literals": [f"{key}={value}" for key, value in told.items()]})
    return found
