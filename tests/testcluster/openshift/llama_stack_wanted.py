"""What a custom resource of either Llama Stack operator asks for, in one description."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from testcluster.openshift.api import Object
from testcluster.openshift.names import LLAMA_STACK_IMAGE, OGX_IMAGE

PORT = 8321


class Failed(Exception):
    """The custom resource cannot be made so; the text stands in its status."""


@dataclass(frozen=True)
class Generation:
    """What differs between the two operators."""

    app: str
    image: str
    home: str
    config: str
    prefix: str
    config_variable: str
    operator: str
    server_version: str
    external: str
    watches: str = ""
    metrics: Mapping[str, int] = field(default_factory=dict)
    policy: bool = True


GENERATIONS = {
    "LlamaStackDistribution": Generation(
        app="llama-stack",
        image=LLAMA_STACK_IMAGE,
        home="/.llama",
        config="/etc/llama-stack/",
        prefix="LLS",
        config_variable="LLAMA_STACK_CONFIG",
        operator="0.9.0",
        server_version="llamaStackServerVersion",
        external="routeURL",
        policy=False,
    ),
    "OGXServer": Generation(
        app="ogx",
        image=OGX_IMAGE,
        home="/.ogx",
        config="/etc/ogx/",
        prefix="OGX",
        config_variable="OGX_CONFIG",
        operator="0.14.0",
        server_version="serverVersion",
        external="externalURL",
        watches="ogx.io/watch",
        metrics={"metrics": 9464},
    ),
}


@dataclass(frozen=True)
class Wanted:
    """What shall be there for one custom resource."""

    generation: Generation
    name: str
    namespace: str
    distribution: str
    image: str
    container: str
    port: int
    replicas: int
    workers: int | None
    resources: Object
    env: list[Any]
    command: list[str]
    args: list[str]
    account: str
    grace: int | None
    volumes: list[Any]
    mounts: list[Any]
    storage: Object | None
    config: tuple[str, str] | None
    authorities: list[tuple[str, str]]
    exposed: bool
    hostname: str
    from_namespaces: list[str]
    policy: bool

    @property
    def home(self) -> str:
        """Where its data is mounted."""
        return str((self.storage or {}).get("mountPath") or self.generation.home)

    @property
    def url(self) -> str:
        """Its Service."""
        return f"http://{self.name}-service.{self.namespace}.svc.cluster.local:{self.port}"


def wanted(one: Object, known: str) -> Wanted:
    """Read a custom resource; ``known`` is the one distribution that the operator knows by name.

    Raises:
        Failed: It names a distribution that nobody knows.
    """
    old = one["kind"] == "LlamaStackDistribution"
    return _llama_stack(one, known) if old else _ogx(one, known)


def _common(one: Object, distribution: Object, known: str) -> dict[str, Any]:
    generation = GENERATIONS[one["kind"]]
    name = distribution.get("name", "")
    image = distribution.get("image") or (generation.image if name == known else "")
    if not image:
        raise Failed(
            f"failed to validate distribution: distribution name {name!r} is not supported; "
            f"supported: {known}"
        )
    return {
        "generation": generation,
        "name": one["metadata"]["name"],
        "namespace": one["metadata"]["namespace"],
        "distribution": name or "custom",
        "image": image,
    }


def _llama_stack(one: Object, known: str) -> Wanted:
    spec = one["spec"]
    server, network = spec["server"], spec.get("network") or {}
    container, pod = server.get("containerSpec") or {}, server.get("podOverrides") or {}
    config = server.get("userConfig")
    bundle = (server.get("tlsConfig") or {}).get("caBundle")
    keys = (bundle or {}).get("configMapKeys") or ["ca-bundle.crt"]
    return Wanted(
        **_common(one, server["distribution"], known),
        container=container.get("name") or "llama-stack",
        port=container.get("port") or PORT,
        replicas=spec.get("replicas", 1),
        workers=server.get("workers"),
        resources=container.get("resources") or {},
        env=container.get("env") or [],
        command=container.get("command") or [],
        args=container.get("args") or [],
        account=pod.get("serviceAccountName") or "",
        grace=pod.get("terminationGracePeriodSeconds"),
        volumes=pod.get("volumes") or [],
        mounts=pod.get("volumeMounts") or [],
        storage=server.get("storage"),
        config=(config["configMapName"], "config.yaml") if config else None,
        authorities=[(bundle["configMapName"], key) for key in keys] if bundle else [],
        exposed=bool(network.get("exposeRoute")),
        hostname="",
        from_namespaces=(network.get("allowedFrom") or {}).get("namespaces") or [],
        policy=GENERATIONS[one["kind"]].policy,
    )


def _ogx(one: Object, known: str) -> Wanted:
    spec = one["spec"]
    network, workload = spec.get("network") or {}, spec.get("workload") or {}
    overrides = workload.get("overrides") or {}
    config = spec.get("overrideConfig")
    outside = network.get("externalAccess") or {}
    trusted = ((spec.get("tls") or {}).get("trust") or {}).get("caCertificates") or []
    return Wanted(
        **_common(one, spec["distribution"], known),
        container="ogx",
        port=network.get("port") or PORT,
        replicas=workload.get("replicas", 1),
        workers=workload.get("workers"),
        resources=workload.get("resources") or {},
        env=overrides.get("env") or [],
        command=overrides.get("command") or [],
        args=overrides.get("args") or [],
        account=overrides.get("serviceAccountName") or "",
        grace=None,
        volumes=overrides.get("volumes") or [],
        mounts=overrides.get("volumeMounts") or [],
        storage=workload.get("storage"),
        config=(config["name"], config["key"]) if config else None,
        authorities=[(one["name"], one["key"]) for one in trusted],
        exposed=bool(outside.get("enabled")),
        hostname=outside.get("hostname", ""),
        from_namespaces=[],
        policy=(network.get("policy") or {}).get("enabled", GENERATIONS[one["kind"]].policy),
    )


SECRETS = ("apiToken", "token", "password", "connectionString", "cert", "key")
MAPS = ("overrideConfig", "baseConfig")


def referenced(one: Object) -> Iterator[tuple[str, str, str]]:
    """The kind, namespace and name of everything that the custom resource refers to."""
    namespace = one["metadata"]["namespace"]
    if one["kind"] == "OGXServer":
        for kind, name in sorted(set(_keys(one["spec"], ""))):
            yield kind, namespace, name
        return
    server = one["spec"]["server"]
    bundle = (server.get("tlsConfig") or {}).get("caBundle")
    for found in filter(None, (server.get("userConfig"), bundle)):
        where = found.get("configMapNamespace") or namespace
        yield "ConfigMap", where, found["configMapName"]


def _keys(value: Any, field: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, list):
        for item in value:
            yield from _keys(item, field)
        return
    if not isinstance(value, dict):
        return
    if set(value) == {"name", "key"} and field in (*MAPS, "caCertificates"):
        yield "ConfigMap", value["name"]
    elif set(value) == {"name", "key"} and field in (*SECRETS, "secretRefs"):
        yield "Secret", value["name"]
    else:
        for key, item in value.items():
            # Of a map of references, the keys are names of the user's own.
            inner = field if field == "secretRefs" else key
            if key != "overrides":
                yield from _keys(item, inner)
