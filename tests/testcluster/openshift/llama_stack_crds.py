"""The two generations of Llama Stack's custom resource, written from their lists of fields."""

from __future__ import annotations

from typing import Any

from testcluster.openshift.schema import (
    CONDITIONS,
    ENV,
    FLAG,
    KEY,
    MOUNTS,
    NUMBER,
    OPEN,
    QUANTITY,
    RESOURCES,
    TEXT,
    Schema,
    among,
    crd,
    default,
    many,
    one,
    texts,
)

PHASE = among("Pending", "Initializing", "Ready", "Failed", "Terminating")
BUDGET = one(minAvailable=QUANTITY, maxUnavailable=QUANTITY)
STORAGE = one(size=QUANTITY, mountPath=TEXT)
WORKERS: Schema = {**NUMBER, "minimum": 1}
AUTOSCALING = one(
    required=("maxReplicas",),
    minReplicas=NUMBER,
    maxReplicas=NUMBER,
    targetCPUUtilizationPercentage=NUMBER,
    targetMemoryUtilizationPercentage=NUMBER,
)
PROVIDERS_SEEN = many(
    one(
        api=TEXT,
        provider_id=TEXT,
        provider_type=TEXT,
        config=OPEN,
        health=one(status=TEXT, message=TEXT),
    )
)
CONFIG_SEEN = one(activeDistribution=TEXT, providers=PROVIDERS_SEEN, availableDistributions=texts())


def llama_stack_distribution() -> dict[str, Any]:
    """``LlamaStackDistribution``, up to OpenShift AI 3.4."""
    distribution = one(
        ("!(has(self.name) && has(self.image))", "Only one of name or image can be specified"),
        name=TEXT,
        image=TEXT,
    )
    container = one(
        name=default(TEXT, "llama-stack"),
        port=NUMBER,
        resources=RESOURCES,
        env=ENV,
        command=many(TEXT),
        args=many(TEXT),
    )
    overrides = one(
        serviceAccountName=TEXT,
        terminationGracePeriodSeconds={"type": "integer", "format": "int64"},
        volumes=many(OPEN),
        volumeMounts=MOUNTS,
    )
    bundle = one(
        required=("configMapName",),
        configMapName=TEXT,
        configMapNamespace=TEXT,
        configMapKeys=many(TEXT),
    )
    server = one(
        required=("distribution",),
        distribution=distribution,
        containerSpec=container,
        workers=WORKERS,
        podOverrides=overrides,
        podDisruptionBudget=BUDGET,
        topologySpreadConstraints=many(OPEN),
        autoscaling=AUTOSCALING,
        storage=STORAGE,
        userConfig=one(required=("configMapName",), configMapName=TEXT, configMapNamespace=TEXT),
        tlsConfig=one(caBundle=bundle),
    )
    network = one(
        exposeRoute=default(FLAG, False),
        allowedFrom=one(namespaces=many(TEXT), labels=many(TEXT)),
    )
    status = one(
        phase=PHASE,
        version=one(operatorVersion=TEXT, llamaStackServerVersion=TEXT, lastUpdated=TEXT),
        distributionConfig=CONFIG_SEEN,
        conditions=CONDITIONS,
        availableReplicas=NUMBER,
        serviceURL=TEXT,
        routeURL=TEXT,
    )
    spec = one(required=("server",), replicas=default(NUMBER, 1), server=server, network=network)
    return crd(
        "LlamaStackDistribution",
        "llamastackdistributions",
        "llamastack.io",
        {"v1alpha1": spec},
        status=status,
        short=("llsd",),
        columns=(("Phase", ".status.phase"), ("Available", ".status.availableReplicas")),
    )


def _providers() -> Schema:
    vllm = one(
        required=("endpoint",),
        id=default(TEXT, "remote-vllm"),
        endpoint=TEXT,
        apiToken=KEY,
        maxTokens=NUMBER,
        allowedModels=many(TEXT),
        refreshModels=FLAG,
        network=OPEN,
    )
    milvus = one(required=("uri",), id=TEXT, uri=TEXT, token=KEY, consistencyLevel=TEXT)
    custom = many(one(required=("type",), id=TEXT, type=TEXT, secretRefs=texts(KEY), settings=OPEN))
    others = ("openai", "azure", "bedrock", "vertexai", "watsonx")
    inference = one(
        remote=one(vllm=many(vllm), custom=custom, **{name: many(OPEN) for name in others}),
        inline=one(custom=custom),
    )
    vectors = one(
        remote=one(pgvector=many(OPEN), milvus=many(milvus), qdrant=many(OPEN), custom=custom),
        inline=one(custom=custom),
    )
    rest = ("toolRuntime", "files", "batches", "responses", "fileProcessors")
    return one(inference=inference, vectorIo=vectors, **dict.fromkeys(rest, OPEN))


def ogx_server() -> dict[str, Any]:
    """``OGXServer``, from OpenShift AI 3.5."""
    distribution = one(
        ("has(self.name) != has(self.image)", "exactly one of name or image must be specified"),
        name=TEXT,
        image=TEXT,
    )
    model = one(
        required=("name",),
        name=TEXT,
        provider=TEXT,
        contextLength=NUMBER,
        modelType=TEXT,
        quantization=TEXT,
    )
    stores = one(
        kv=one(type=among("sqlite", "redis"), endpoint=TEXT, password=KEY),
        sql=one(type=among("sqlite", "postgres"), connectionString=KEY),
    )
    apis = ("batches", "file_processors", "inference", "responses", "tool_runtime")
    network = one(
        port=default(NUMBER, 8321),
        tls=one(required=("secretName",), secretName=TEXT),
        externalAccess=one(enabled=default(FLAG, False), hostname=TEXT),
        policy=one(
            enabled=default(FLAG, True),
            policyTypes=many(TEXT),
            ingress=many(OPEN),
            egress=many(OPEN),
        ),
    )
    overrides = one(
        serviceAccountName=TEXT,
        env=ENV,
        command=many(TEXT),
        args=many(TEXT),
        volumes=many(OPEN),
        volumeMounts=MOUNTS,
    )
    workload = one(
        replicas=default(NUMBER, 1),
        workers=WORKERS,
        resources=RESOURCES,
        resourceClaims=many(OPEN),
        autoscaling=AUTOSCALING,
        storage=STORAGE,
        podDisruptionBudget=BUDGET,
        topologySpreadConstraints=many(OPEN),
        overrides=overrides,
    )
    excluded = ("providers", "resources", "storage", "disabledAPIs", "baseConfig")
    spec = one(
        *(
            (
                f"!(has(self.overrideConfig) && has(self.{field}))",
                f"overrideConfig and {field} are mutually exclusive",
            )
            for field in excluded
        ),
        required=("distribution",),
        distribution=distribution,
        baseConfig=KEY,
        overrideConfig=KEY,
        providers=_providers(),
        resources=one(models=many(model)),
        storage=stores,
        disabledAPIs=many(among(*apis, "vector_io", "files")),
        registryRefreshIntervalSeconds=NUMBER,
        network=network,
        tls=one(
            trust=one(caCertificates=many(KEY)),
            identity=one(required=("cert", "key"), cert=KEY, key=KEY),
        ),
        workload=workload,
        monitoring=one(enabled=default(FLAG, True), metricsPort=default(NUMBER, 9464)),
    )
    status = one(
        phase=PHASE,
        version=one(operatorVersion=TEXT, serverVersion=TEXT, lastUpdated=TEXT),
        distributionConfig=CONFIG_SEEN,
        resolvedDistribution=one(image=TEXT, configSource=TEXT, configHash=TEXT),
        configGeneration=OPEN,
        conditions=CONDITIONS,
        availableReplicas=NUMBER,
        serviceURL=TEXT,
        externalURL=TEXT,
    )
    return crd(
        "OGXServer",
        "ogxservers",
        "ogx.io",
        {"v1beta1": spec},
        status=status,
        columns=(("Phase", ".status.phase"), ("Available", ".status.availableReplicas")),
    )
