"""OGX, or Llama Stack, which became it: one configuration for both."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path

from workshop.core import proxies, versions
from workshop.setup import locate
from workshop.targets.base import Part
from workshop.targets.local.process import Command, exported
from workshop.targets.local.programs import DATA, installed


def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """The server's command line, after writing its ``config.yaml``."""
    server = str(part.settings["server"])
    data = folder / DATA / server
    data.mkdir(parents=True, exist_ok=True, mode=0o700)
    model, embedder = part.needs["model"], part.needs["embedder"]
    tokens = {"MODEL_TOKEN": model.token, "EMBEDDER_TOKEN": embedder.token}
    milvus = part.secrets.get("milvus token")
    config = folder / "config.yaml"
    # JSON is YAML, and needs no package to write.
    config.write_text(json.dumps(_config(part, ports, data), indent=2) + "\n", encoding="utf-8")
    bin_folder = installed(server) / "bin"
    argv = {
        "llama-stack": ("llama", "stack", "run", str(config)),
        # OGX listens without TLS only when told to; it is on loopback here.
        "ogx": ("ogx", "stack", "run", "--insecure", str(config)),
    }[server]
    return Command(
        argv=(str(bin_folder / argv[0]), *argv[1:], f"--port={ports['main']}"),
        env={
            "TIKTOKEN_CACHE_DIR": str(locate("tokenizer")),
            "HF_HUB_OFFLINE": "1",
            **_outward(part),
            **_telemetry(part, ports),
            "CONFIG_SHA256": hashlib.sha256(config.read_bytes()).hexdigest(),
            **{name: token.reveal() if token else "none" for name, token in tokens.items()},
            **({"MILVUS_TOKEN": milvus.reveal()} if milvus else {}),
        },
        cwd=data,
        ports=ports,
        secrets=tuple(token for token in (*tokens.values(), milvus) if token),
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


def _config(part: Part, ports: Mapping[str, int], data: Path) -> dict[str, object]:
    """Fields as Llama Stack 0.7.3 and OGX 1.5.0 read them (`version: 2`)."""
    model, embedder = part.needs["model"], part.needs["embedder"]
    dimension = part.settings["embedding_dimension"]
    # Named with the dimension: a server does not start that knows a model of this provider with
    # another one. The model's name would not do: Llama Stack 0.7.3 takes provider_model_id for it.
    provider = f"embedder-{dimension}"
    keys = {"backend": "kv_default"}
    tables = {"backend": "sql_default"}
    queue = {"max_write_queue_size": 10000, "num_writers": 4}
    uri = part.settings.get("milvus_uri")
    network = {"tls": {"verify": str(model.ca_file)}} if model.ca_file else None
    tools = {
        "tool_runtime": [
            {"provider_id": "file-search", "provider_type": "inline::file-search"},
            {"provider_id": "mcp", "provider_type": "remote::model-context-protocol"},
        ]
    }
    if not versions.has_tool_runtime(str(part.settings["server"])):
        tools = {}
    return {
        "version": 2,
        "distro_name": "workshop",
        "apis": ["files", "file_processors", "inference", "responses", *tools, "vector_io"],
        "providers": {
            "inference": [
                {
                    "provider_id": "vllm",
                    "provider_type": "remote::vllm",
                    "config": {
                        "base_url": f"{model.url}/v1",
                        "api_token": "${env.MODEL_TOKEN}",
                        "max_tokens": part.settings["max_tokens"],
                        **({"network": network} if network else {}),
                    },
                },
                {
                    "provider_id": provider,
                    "provider_type": "remote::vllm",
                    "config": {
                        "base_url": f"{embedder.url}/v1",
                        "api_token": "${env.EMBEDDER_TOKEN}",
                    },
                },
            ],
            "vector_io": [
                {
                    "provider_id": "milvus",
                    "provider_type": "remote::milvus" if uri else "inline::milvus",
                    "config": {
                        **(
                            {"uri": uri, "token": "${env.MILVUS_TOKEN:=}"}
                            if uri
                            else {"db_path": str(data / "milvus.db")}
                        ),
                        "persistence": {"namespace": "vector_io::milvus", **keys},
                    },
                },
                {
                    "provider_id": "faiss",
                    "provider_type": "inline::faiss",
                    "config": {"persistence": {"namespace": "vector_io::faiss", **keys}},
                },
            ],
            "files": [
                {
                    "provider_id": "localfs",
                    "provider_type": "inline::localfs",
                    "config": {
                        "storage_dir": str(data / "files"),
                        "metadata_store": {"table_name": "files_metadata", **tables},
                    },
                }
            ],
            "file_processors": [{"provider_id": "pypdf", "provider_type": "inline::pypdf"}],
            "responses": [
                {
                    "provider_id": "builtin",
                    "provider_type": "inline::builtin",
                    "config": {
                        "persistence": {
                            "agent_state": {"namespace": "agents", **keys},
                            "responses": {"table_name": "responses", **tables, **queue},
                        }
                    },
                }
            ],
            **tools,
        },
        "storage": {
            "backends": {
                "kv_default": {"type": "kv_sqlite", "db_path": str(data / "keys.db")},
                "sql_default": {"type": "sql_sqlite", "db_path": str(data / "tables.db")},
            },
            "stores": {
                "metadata": {"namespace": "registry", **keys},
                "inference": {"table_name": "inference_store", **tables, **queue},
                "conversations": {"table_name": "conversations", **tables},
                "prompts": {"namespace": "prompts", **keys},
                "connectors": {"namespace": "connectors", **keys},
            },
        },
        "registered_resources": {
            "models": [
                {
                    "model_id": part.settings["embedder"],
                    "provider_id": provider,
                    "provider_model_id": part.settings["embedder"],
                    "model_type": "embedding",
                    "metadata": {"embedding_dimension": dimension},
                }
            ]
        },
        "server": {"host": "127.0.0.1", "port": ports["main"]},
        "vector_stores": {
            "default_provider_id": part.settings["vector_store"],
            "default_embedding_model": {
                "provider_id": provider,
                "model_id": part.settings["embedder"],
            },
            # Each found chunk goes to the model as plain text. The default adds 150 tokens of ids
            # and scores to it: seconds of reading on two cores, and, since the ids are random,
            # another prompt, so now and then another answer, after every loading.
            "file_search_params": {
                "header_template": "file_search found {num_chunks} runbook:\n",
                "footer_template": "End of the runbook.\n",
            },
            "context_prompt_params": {"context_template": "Found for: {query}\n"},
            # Only with annotations enabled is our template used, and it must name {file_id}:
            # in double braces it stands there as it is (tool_executor.py and core/datatypes.py of
            # Llama Stack 0.7.3, and the same in OGX 1.5.0).
            "annotation_prompt_params": {
                "enable_annotations": True,
                "chunk_annotation_template": "Runbook {index} ({{file_id}}):\n{chunk_text}\n",
            },
        },
    }
