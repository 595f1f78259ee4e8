"""vLLM on a cluster: KServe's InferenceService where there is KServe, else a Deployment."""

import re
from collections.abc import Sequence

from workshop.core.errors import SettingsError
from workshop.targets import network
from workshop.targets.base import Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import if_allowed
from workshop.targets.cluster.machines import nodes
from workshop.targets.cluster.manifests import USER, Plan, Resource, as_it_is, is_openshift

TEMPLATES = "/vllm-workspace/examples"
"""The folder of chat templates in vLLM's image for GPUs; Red Hat's has /opt/app-root/template."""

GRANITE_THINKS = "--reasoning-parser=granite_thinking_parser"
PARSERS: tuple[tuple[str, tuple[str, ...]], ...] = (
    (r"llama-?3\.[1-3]", ("--tool-call-parser=llama3_json",)),
    (r"llama-?4", ("--tool-call-parser=llama4_pythonic",)),
    (r"granite-?4\.2", ("--tool-call-parser=qwen3_xml", GRANITE_THINKS)),
    (r"granite-?4", ("--tool-call-parser=granite4",)),
    (r"granite-?3", ("--tool-call-parser=granite",)),
    (r"qwen-?3-?coder", ("--tool-call-parser=qwen3_xml",)),
    (r"qwen-?3\.[56]", ("--tool-call-parser=qwen3_xml", "--reasoning-parser=qwen3")),
    (r"qwen-?3", ("--tool-call-parser=hermes", "--reasoning-parser=qwen3")),
    (r"qwen-?2\.5-?coder", ()),
    (r"qwen-?2\.5", ("--tool-call-parser=hermes",)),
    (r"gemma-?4", ("--tool-call-parser=gemma4", "--reasoning-parser=gemma4")),
    (r"mistral|ministral|mixtral", ("--tool-call-parser=mistral",)),
    (r"gpt-oss", ("--tool-call-parser=openai",)),
)
"""Which parser understands the tool calls of which family of models, the special before the
general; none where vLLM has none that does. Source: vLLM's documentation of tool calling, and for
Granite 4.2 its ``parser/granite_thinking.py``, by which that model writes as Qwen3-Coder does;
Llama 3 wants its chat template besides. The names: ``tests/testcluster/vllm_parsers.json``."""


def tool_flags(model: str) -> list[str]:
    """The flags with which vLLM makes tool calls of what this model, by name or URI, writes."""
    for pattern, flags in PARSERS:
        if re.search(pattern, model.lower()):
            if not flags:
                break
            found = ["--enable-auto-tool-choice", *flags]
            if "llama3_json" in flags[0]:
                version = "3.2" if "3.2" in model else "3.1"
                template = f"tool_chat_template_llama{version}_json.jinja"
                found.append(f"--chat-template={TEMPLATES}/{template}")
            return found
    raise SettingsError(
        f"The kit does not know how {model!r} calls tools.",
        where="the parameter MODEL of 02_serve_model",
        state="known: Llama 3.1 to 4, Granite 3 and 4, Qwen 2.5 (not Coder) and 3, Gemma 4, "
        "Mistral, gpt-oss",
        hint="take one of these; or serve it yourself with its --tool-call-parser, and name its "
        "address in MODEL_URL",
    )


def short_name(model: str) -> str:
    """The name under which a model answers: the last part of its id or URI, in small letters."""
    last = re.split(r"[/:]", model.rstrip("/"))[-1]
    return re.sub(r"[^a-z0-9.-]+", "-", last.lower())


def chosen(args: Sequence[str], model: str, context: int) -> list[str]:
    """The arguments for another model than the manifest's."""
    own = [f"--model={model}", f"--served-model-name={short_name(model)}"]
    own += [f"--max-model-len={context}", *tool_flags(model)]
    replaced = {"--tool-call-parser", "--reasoning-parser", "--chat-template"}
    replaced |= {one.partition("=")[0] for one in own}
    return [one for one in args if one.partition("=")[0] not in replaced] + own


NAME = "model"
PREDICTOR = "model-predictor"  # Service and Deployment: KServe's names, and ours without it.
KSERVE = ("serving.kserve.io/v1beta1", "InferenceService")


def plan(part: Part, api: Api) -> Plan:
    """What serves the model here; the GPU is used when a node offers one."""
    # Who may not look at nodes takes the CPU.
    offered = any(map(nodes.gpus, if_allowed(lambda: api.list(*nodes.NODE), [])))
    accelerator = "gpu" if offered else "cpu"
    if api.kind(*KSERVE) is None:
        built = objects.build(objects.MANIFESTS / NAME / f"overlays/kubernetes-{accelerator}")
        _choose(objects.container(objects.one(built, "Deployment")), part)
        return as_it_is([*built, _key(part)], part, name=PREDICTOR)
    return _kserve(part, api, accelerator)


def _key(part: Part) -> Object:
    """The Secret with the key that vLLM itself asks for."""
    return objects.secret(NAME, part.name, {"token": part.secrets["token"].reveal()})


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
        built.append(_key(part))
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
        port=network.GUARDED if guarded else part.port,
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
    args = chosen(serving.get("args") or [], model, int(part.settings["context"]))
    if "://" in model and "storageUri" in serving:
        serving["storageUri"] = model
        args = [one for one in args if not one.startswith("--model=")]
    else:
        serving.pop("storageUri", None)
    serving["args"] = args
