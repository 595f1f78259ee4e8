"""OGX, or Llama Stack, which became it: one configuration for both."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from workshop.core import proxies, versions
from workshop.core.settings import CHECKOUT
from workshop.setup import locate
from workshop.targets.base import Part
from workshop.targets.local.process import Command, exported
from workshop.targets.local.programs import DATA, installed

MANIFEST = CHECKOUT / "manifests" / "llama-stack" / "base" / "config.yaml"
"""The configuration on a cluster. Addresses, tokens and folders are in variables there."""


def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """The server's command line, after writing its ``config.yaml``."""
    server = str(part.settings["server"])
    data = folder / DATA / server
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    model, embedder = part.needs["model"], part.needs["embedder"]
    tokens = {"MODEL_TOKEN": model.token, "EMBEDDER_TOKEN": embedder.token}
    milvus = part.secrets.get("milvus token")
    config = folder / "config.yaml"
    # JSON is YAML.
    config.write_text(json.dumps(_config(part, ports), indent=2) + "\n", encoding="utf-8")
    # OGX listens without TLS only when told to; it is on loopback here.
    program, options = {"llama-stack": ("llama", ()), "ogx": ("ogx", ("--insecure",))}[server]
    path = str(installed(server) / "bin" / program)
    return Command(
        argv=(path, "stack", "run", *options, str(config), f"--port={ports['main']}"),
        env={
            "TIKTOKEN_CACHE_DIR": str(locate("tokenizer")),
            "HF_HUB_OFFLINE": "1",
            **_outward(part),
            **_telemetry(part, ports),
            "DATA": str(data),
            "MODEL_URL": f"{model.url}/v1",
            "EMBEDDER_URL": f"{embedder.url}/v1",
            "EMBEDDING_DIMENSION": str(part.settings["embedding_dimension"]),
            **({"MODEL_TLS_VERIFY": str(model.ca_file)} if model.ca_file else {}),
            "CONFIG_SHA256": hashlib.sha256(config.read_bytes()).hexdigest(),
            **{name: token.reveal() if token else "none" for name, token in tokens.items()},
            **({"MILVUS_TOKEN": milvus.reveal()} if milvus else {}),
        },
        cwd=data,
    )


def _outward(part: Part) -> dict[str, str]:
    """How the server reaches what is not the kit's own: through which proxy, trusting whom.

    It asks the rest on loopback, and is told of no proxy when it needs none: its httpx raises on
    ``NO_PROXY=fd00::/8``, whomever it asks.
    """
    model, milvus = part.needs["model"], part.settings.get("milvus_uri")
    urls = [*([model.url] if model.adopted else []), *([str(milvus)] if milvus else [])]
    if not urls:
        return {}
    trusted = exported("SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE")
    return trusted | proxies.environment(urls)


def _telemetry(part: Part, ports: Mapping[str, int]) -> dict[str, str]:
    """How the server gives out its metrics: OGX by a page of its own, Llama Stack by pushing them.

    Source: ``telemetry/__init__.py`` of Llama Stack 0.7.3 and of OGX 1.5.0. Traces are not made.
    """
    if "metrics" in ports:
        return {
            "OGX_METRICS_ENDPOINT_ENABLED": "true",
            "OGX_METRICS_HOST": "127.0.0.1",
            "OGX_METRICS_PORT": str(ports["metrics"]),
        }
    if "collector" not in part.needs:
        return {"OTEL_SDK_DISABLED": "true"}
    return {
        "OTEL_EXPORTER_OTLP_ENDPOINT": part.needs["collector"].url,
        "OTEL_METRIC_EXPORT_INTERVAL": str(part.settings["push_milliseconds"]),
    }


def _config(part: Part, ports: Mapping[str, int]) -> dict[str, Any]:
    """The configuration of a cluster's server, with what is different here."""
    config: dict[str, Any] = yaml.safe_load(MANIFEST.read_text(encoding="utf-8"))
    providers = config["providers"]
    model = providers["inference"][0]["config"]
    model["max_tokens"] = part.settings["max_tokens"]
    if not part.needs["model"].ca_file:
        del model["network"]
    if not versions.has_tool_runtime(str(part.settings["server"])):
        config["apis"].remove("tool_runtime")
        del providers["tool_runtime"]
    # Beside FAISS, whichever is chosen: the server may know a store that it has kept there.
    uri = part.settings.get("milvus_uri")
    milvus: dict[str, Any] = {"db_path": "${env.DATA}/milvus.db"}
    if uri:
        milvus = {"uri": uri, "token": "${env.MILVUS_TOKEN:=}"}
    milvus["persistence"] = {"namespace": "vector_io::milvus", "backend": "kv_default"}
    kind = "remote::milvus" if uri else "inline::milvus"
    provider = {"provider_id": "milvus", "provider_type": kind, "config": milvus}
    providers["vector_io"].insert(0, provider)
    config["vector_stores"]["default_provider_id"] = part.settings["vector_store"]
    config["server"] = {"host": "127.0.0.1", "port": ports["main"]}
    return config
