"""Llama Stack or OGX on a cluster: by its operator where there is one, else as a Deployment.

On PostgreSQL nothing is kept inside a pod, so that there can be several. Source of those names:
``llama_stack/core/storage/datatypes.py`` and ``providers/remote/vector_io/pgvector/config.py`` of
llama-stack 0.7.3; OGX 1.5.0 has the same.
"""

from typing import Any
from urllib.parse import urlsplit

import yaml

from workshop.core import versions
from workshop.core.errors import SettingsError
from workshop.targets.base import Endpoint, Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.manifests import ROUTE, Plan, Resource, is_openshift

NAME = "llama-stack"
SERVICE = "llama-stack-service"  # The operators' name for it; ours too, where there is none.
CONFIG = "llama-stack-config"
OPERATORS = {
    "llama-stack": Resource("llamastack.io/v1alpha1", "LlamaStackDistribution", NAME),
    "ogx": Resource("ogx.io/v1beta1", "OGXServer", NAME),
}
"""The custom resource of each server. From OpenShift AI 3.5 on there is OGX alone."""

DATA = {"llama-stack": "/.llama", "ogx": "/.llama/ogx"}
"""Each server's own folder on the volume: neither reads what the other wrote."""

COMMAND = {
    "llama-stack": ["llama", "stack", "run", "/etc/llama-stack/config.yaml"],
    # OGX listens without TLS only when told to; TLS ends at the Route or Ingress.
    "ogx": ["ogx", "stack", "run", "--insecure", "/etc/llama-stack/config.yaml"],
}
IMAGES = {
    server: f"docker.io/ogxai/distribution-starter:{version}"
    for server, version in versions.SERVERS.items()
}
"""For clusters without the operator, which otherwise chooses the image."""

OGX_METRICS = {"OGX_METRICS_ENDPOINT_ENABLED": "true", "OGX_METRICS_HOST": "0.0.0.0"}  # noqa: S104
"""A page of metrics on port 9464. Its operator says the same by itself."""

SOMETIMES = {"milvus-token": "MILVUS_TOKEN", "postgresql-password": "POSTGRES_PASSWORD"}
"""Credentials of what is not always there, and the variables that hand them over."""

SERVICE_CA = "/var/run/secrets/kubernetes.io/serviceaccount/service-ca.crt"
"""Where every pod on OpenShift has the CA of Services."""

CA = "ca.crt"
"""The key with the CA of a model of one's own. An operator gives the server ``SSL_CERT_FILE``,
which httpx reads where it is told to verify; our Deployment names the mounted file."""

PLATFORM = ("datasciencecluster.opendatahub.io/v1", "DataScienceCluster")
"""The kind that OpenShift AI, or Open Data Hub, has."""


def serves(api: Api) -> str:
    """The server that this cluster's operator runs, or "" when there is no operator."""
    # The newer one first: a cluster that was upgraded has both kinds, and runs OGX alone.
    for server in ("ogx", "llama-stack"):
        resource = OPERATORS[server]
        if api.kind(resource.api_version, resource.kind) is not None:
            return server
    return ""


def plan(part: Part, api: Api) -> Plan:
    """The server with its configuration, its credentials, and its Route or Ingress."""
    server = str(part.settings["server"])
    operated = serves(api)
    if operated and operated != server:
        raise SettingsError(
            f"This cluster's operator runs {operated}, and SERVER is {server!r}.",
            where="the parameters of 03_deploy_llama_stack",
            state=f"it knows the kind {OPERATORS[operated].kind}",
            hint=f'set SERVER = "{operated}", or "auto"',
        )
    folder = OPERATORS[server].kind.lower() if operated else "kubernetes"
    built = objects.build(objects.MANIFESTS / NAME / "overlays" / folder)
    configure(objects.one(built, "ConfigMap", CONFIG), part)
    database, tokens = part.needs.get("postgresql"), _tokens(part)
    built.append(objects.secret(NAME, NAME, tokens))
    values = _variables(part, api, operated=bool(operated))
    if database:
        built = without_volume(built)
    if operated:
        environment = _operated(built, part, api)["env"]
    else:
        environment = _deployed(built, server)["env"]
        values["DATA"] = DATA[server]
    is_routed = bool(operated) and is_openshift(api)
    if not is_routed:
        built = [one for one in built if one["kind"] != ROUTE[1]] + _ingress(api)
    objects.set_variables(environment, values)
    for name, variable in SOMETIMES.items():
        if name in tokens:
            key = {"secretKeyRef": {"name": NAME, "key": name}}
            environment.append({"name": variable, "valueFrom": key})
    digest = objects.digest(built)
    if operated:
        objects.set_variables(environment, {"SETTINGS": digest})
    else:
        objects.mark(objects.one(built, "Deployment"), digest)
    return Plan(
        built,
        digest,
        deployment=NAME,
        pods={"app": "ogx" if operated == "ogx" else "llama-stack"},
        service=SERVICE,
        port=part.port,
        also=part.extra_ports,
        resource=OPERATORS[server] if operated else None,
        route=NAME if is_routed else "",
        ingress=NAME if api.ingress_domain and not is_routed else "",
        keeps=() if database else _keeps(part, operated),
    )


def _variables(part: Part, api: Api, *, operated: bool) -> dict[str, str]:
    """The environment of the server, but for credentials."""
    model, embedder = part.needs["model"], part.needs["embedder"]
    database = part.needs.get("postgresql")
    values = {
        "MODEL_URL": f"{model.peer_url}/v1",
        "MODEL_TLS_VERIFY": _verify(model, api, operated=operated),
        "EMBEDDER_URL": f"{embedder.peer_url}/v1",
        "EMBEDDING_DIMENSION": str(part.settings["embedding_dimension"]),
    }
    if part.settings["server"] == "llama-stack" and "collector" not in part.needs:
        values["OTEL_SDK_DISABLED"] = "true"
    if "runbooks_in" in part.settings:
        # No server reads it: another value makes new pods.
        values["RUNBOOKS_IN"] = str(part.settings["runbooks_in"])
    return values | (database_variables(database) if database else {})


def _keeps(part: Part, operated: str) -> tuple[str, ...]:
    """What is inside one server, and would be another thing inside another."""
    store = str(part.settings["vector_store"])
    inside = () if part.settings.get("milvus_uri") else (f"{store} keeps its vectors in one pod",)
    volume = ("the operator's volume is ReadWriteOnce",) if operated else ()
    return (*inside, "SQLite keeps its tables in files of one pod", *volume)


def _ingress(api: Api) -> list[Object]:
    """The Ingress, if the user has named a domain that leads to an Ingress controller."""
    if not api.ingress_domain:
        return []
    built = objects.build(objects.MANIFESTS / NAME / "overlays" / "ingress")
    spec = objects.one(built, "Ingress")["spec"]
    host = f"{NAME}-{api.namespace}.{api.ingress_domain}"
    spec["rules"][0]["host"] = host
    spec["tls"][0]["hosts"] = [host]
    return built


def _tokens(part: Part) -> dict[str, str]:
    # A server without a token ignores one, and the configuration wants some text.
    found = {f"{name}-token": part.needs[name].token for name in ("model", "embedder")}
    tokens = {name: token.reveal() if token else "none" for name, token in found.items()}
    database, milvus = part.needs.get("postgresql"), part.secrets.get("milvus token")
    if milvus:
        tokens["milvus-token"] = milvus.reveal()
    if database and database.password:
        tokens["postgresql-password"] = database.password.reveal()
    return tokens


def _own_ca(model: Endpoint) -> str:
    """The CA of a model that is the user's, where no public one has signed its certificate."""
    return model.ca_file.read_text("utf-8") if model.adopted and model.ca_file else ""


def _verify(model: Endpoint, api: Api, *, operated: bool) -> str:
    """What the server verifies the model's certificate by: a file, or ``true``: the system's."""
    address = urlsplit(model.peer_url)
    host = address.hostname or ""
    if address.scheme != "https":
        return "true"
    if _own_ca(model):
        return "true" if operated else f"/etc/llama-stack/{CA}"
    of_service = not model.adopted or host.endswith((".svc", ".svc.cluster.local"))
    return SERVICE_CA if of_service and is_openshift(api) else "true"


def _distribution(part: Part, api: Api) -> str:
    """The image's name, as the operator knows it: upstream's ``starter``, the platform's own."""
    asked = str(part.settings.get("distribution", ""))
    return asked or ("rh-dev" if api.kind(*PLATFORM) else "starter")


def _operated(built: list[Object], part: Part, api: Api) -> Object:
    """Make the custom resource fit; gives what holds its variables."""
    server = str(part.settings["server"])
    spec: Object = objects.one(built, OPERATORS[server].kind)["spec"]
    has_ca, distribution = bool(_own_ca(part.needs["model"])), {"name": _distribution(part, api)}
    if server == "ogx":
        objects.one(built, "Secret", NAME)["metadata"]["labels"]["ogx.io/watch"] = "true"
        spec["distribution"] = distribution
        if has_ca:
            spec["tls"] = {"trust": {"caCertificates": [{"name": CONFIG, "key": CA}]}}
        return dict(spec["workload"]["overrides"])
    spec["server"]["distribution"] = distribution
    if has_ca:
        spec["server"]["tlsConfig"] = {"caBundle": {"configMapName": CONFIG, "configMapKeys": [CA]}}
    return dict(spec["server"]["containerSpec"])


def _deployed(built: list[Object], server: str) -> Object:
    """Make the Deployment fit; gives its container."""
    container = objects.container(objects.one(built, "Deployment"))
    container["image"], container["command"] = IMAGES[server], COMMAND[server]
    if server == "ogx":
        container["env"] = [one for one in container["env"] if not one["name"].startswith("OTEL_")]
        objects.set_variables(container["env"], OGX_METRICS)
    return container


def configure(config_map: Object, part: Part) -> None:
    """Put the chosen vector store, the longest answer and the model's CA into its configuration."""
    text = config_map["data"]["config.yaml"]
    store = str(part.settings["vector_store"])
    config = yaml.safe_load(text)
    inference = config["providers"]["inference"][0]["config"]
    inference["max_tokens"] = part.settings["max_tokens"]
    if not versions.has_tool_runtime(str(part.settings["server"])):
        config["apis"].remove("tool_runtime")
        del config["providers"]["tool_runtime"]
    if "postgresql" in part.needs:
        use_postgresql(config)
    elif store != "faiss":
        uri = str(part.settings.get("milvus_uri", ""))
        own = {"uri": uri, "token": "${env.MILVUS_TOKEN:=}"}
        inside = {"db_path": "${env.DATA}/milvus.db"}
        kind = "remote::milvus" if uri else "inline::milvus"
        found = _vector_store(store, kind, own if uri else inside)
        config["providers"]["vector_io"].append(found)
        config["vector_stores"]["default_provider_id"] = store
    config_map["data"]["config.yaml"] = yaml.safe_dump(config, sort_keys=False)
    if ca := _own_ca(part.needs["model"]):
        config_map["data"][CA] = ca


def _vector_store(name: str, kind: str, own: dict[str, str]) -> dict[str, Any]:
    persistence = {"namespace": f"vector_io::{kind.partition('::')[2]}", "backend": "kv_default"}
    config = {**own, "persistence": persistence}
    return {"provider_id": name, "provider_type": kind, "config": config}


CLAIM = "llama-stack-data"
OPERATED_CLAIM = "llama-stack-pvc"
"""The volume that an operator makes for the kit's resource. Llama Stack's deletes it with the
resource, OGX's does not; neither gives it the kit's label."""
STORE = "pgvector"

CONNECTION = {
    name: f"${{env.POSTGRES_{name.upper()}}}" for name in ("host", "port", "db", "user", "password")
}

LEAVING = {"preStop": {"sleep": {"seconds": 5}}}  # Until then Services still lead requests to it.
PATIENCE = 120  # Seconds that a pod has to answer what it was asked before it ends.


def database_variables(database: Endpoint) -> dict[str, str]:
    """The environment of the server, but for the password."""
    host, _, port = database.peer_url.partition("://")[2].rpartition(":")
    return {
        "POSTGRES_HOST": host,
        "POSTGRES_PORT": port,
        "POSTGRES_DB": database.user,
        "POSTGRES_USER": database.user,
    }


def use_postgresql(config: dict[str, Any]) -> None:
    """Put PostgreSQL in place of SQLite, and pgvector in place of FAISS."""
    config["storage"]["backends"] = {
        "kv_default": {"type": "kv_postgres", **CONNECTION},
        "sql_default": {"type": "sql_postgres", **CONNECTION},
    }
    config["providers"]["vector_io"] = [_vector_store(STORE, "remote::pgvector", CONNECTION)]
    config["vector_stores"]["default_provider_id"] = STORE


def without_volume(built: list[Object]) -> list[Object]:
    """The objects with a folder that goes with the pod in place of the volume.

    The claim of before is left alone: it goes with clean-up, when data should go.
    """
    for thing in built:
        if thing["kind"] == "LlamaStackDistribution":
            thing["spec"]["server"].pop("storage", None)
        elif thing["kind"] == "OGXServer":
            thing["spec"]["workload"].pop("storage", None)
        elif thing["kind"] == "Deployment":
            pod = thing["spec"]["template"]["spec"]
            for volume in pod["volumes"]:
                if (volume.get("persistentVolumeClaim") or {}).get("claimName") == CLAIM:
                    del volume["persistentVolumeClaim"]
                    volume["emptyDir"] = {"sizeLimit": "1Gi"}
            pod["terminationGracePeriodSeconds"] = PATIENCE
            pod["containers"][0]["lifecycle"] = LEAVING
    return [thing for thing in built if thing["kind"] != "PersistentVolumeClaim"]
