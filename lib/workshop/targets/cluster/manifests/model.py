"""The model on a cluster: KServe's InferenceService where there is KServe, else a Deployment."""

from __future__ import annotations

from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import Forbidden
from workshop.targets.cluster.machines import nodes
from workshop.targets.cluster.manifests import Plan, Resource, is_openshift, vllm

NAME = "model"
PREDICTOR = "model-predictor"
"""The Service, and the Deployment behind it: KServe's names, and ours where there is none."""

KSERVE = ("serving.kserve.io/v1beta1", "InferenceService")
USER = 65532  # Of pods on clusters that give them none, as in manifests/components/kubernetes-user.
SECURE = 8443  # The port of the proxy that OpenShift AI puts before a model with authentication.


def plan(part: Part, api: Api) -> Plan:
    """What serves the model here; the GPU is used when a node offers one."""
    accelerator = "gpu" if offers_gpu(api) else "cpu"
    if api.kind(*KSERVE) is None:
        built = objects.build(objects.MANIFESTS / NAME / f"overlays/kubernetes-{accelerator}")
        _choose(objects.container(objects.one(built, "Deployment")), part)
        return vllm.deployed(built, part, PREDICTOR)
    return _kserve(part, api, accelerator)


def offers_gpu(api: Api) -> bool:
    """Whether a node offers a GPU. Who may not look at nodes takes the CPU."""
    try:
        return any(map(nodes.gpus, api.list(*nodes.NODE)))
    except Forbidden:
        return False


def _kserve(part: Part, api: Api, accelerator: str) -> Plan:
    built = objects.build(objects.MANIFESTS / NAME / f"overlays/{accelerator}")
    service = objects.one(built, KSERVE[1])
    runtime = objects.one(built, "ServingRuntime")
    _choose(service["spec"]["predictor"]["model"], part)
    guarded = is_openshift(api)
    if not guarded:
        # Nobody puts a proxy before it: vLLM asks for the key itself. And nobody gives it a user.
        del service["metadata"]["annotations"]["security.opendatahub.io/enable-auth"]
        service["spec"]["predictor"]["securityContext"] = {"runAsUser": USER, "fsGroup": USER}
        built = [one for one in built if one["kind"] not in ("Role", "RoleBinding", "Secret")]
        token = {"token": part.secrets["token"].reveal()}
        built.append(objects.secret(NAME, part.name, token))
        key = {"secretKeyRef": {"name": NAME, "key": "token"}}
        runtime["spec"]["containers"][0]["env"].append({"name": "VLLM_API_KEY", "valueFrom": key})
    digest = objects.digest(built)
    # KServe hands a service's annotations on to its pods.
    service["metadata"].setdefault("annotations", {})[objects.DIGEST] = digest
    return Plan(
        built,
        digest,
        deployment=PREDICTOR,
        pods={"serving.kserve.io/inferenceservice": NAME},
        service=PREDICTOR,
        port=SECURE if guarded else part.port,
        scheme="https" if guarded else "http",
        resource=Resource(*KSERVE, NAME),
        token=("model-token", "token") if guarded else None,
        ca=("openshift-service-ca.crt", "service-ca.crt") if guarded else None,
    )


def _choose(serving: Object, part: Part) -> None:
    """Put the user's model in place of the manifest's."""
    model = str(part.settings.get("model") or "")
    if not model:
        return
    args = vllm.chosen(serving.get("args") or [], model, int(part.settings["context"]))
    if "://" in model and "storageUri" in serving:
        serving["storageUri"] = model
        args = [one for one in args if not one.startswith("--model=")]
    else:
        serving.pop("storageUri", None)
    serving["args"] = args
