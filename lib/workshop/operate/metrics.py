"""The key metrics of the architecture, as data: what each means, and how each server is asked.

A metric has one meaning and a query for every server that has it. ``$window`` in a query is the
span that a rate is taken over; Grafana, the alerts and notebook 09 each put their own in its place.
``make fix`` makes Grafana's dashboard of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from workshop.parts import gpu_nodes, llama_stack, mcp_server, model, mongodb

WINDOW = "$window"


@dataclass(frozen=True)
class Metric:
    """One key metric.

    In a burst of questions it ``rises``; or it is ``measured``, and what it was before says
    nothing; it ``stays`` a level that there is at any time; or any but ``zero`` is bad news.
    """

    key: str
    title: str  # Of its panel.
    part: str
    unit: Literal["1/s", "s", "1", "%"]  # Of the query's value.
    queries: Mapping[str, str]  # PromQL by the server that exports it; each gives one value.
    load: Literal["rises", "measured", "stays", "zero"] = "rises"
    lacks: Mapping[str, str] = field(default_factory=dict)  # Servers without it, and why.

    def query(self, window: str) -> str:
        """One query that any of the servers answers, with this window, such as ``1m``."""
        return " or ".join(text.replace(WINDOW, window) for text in self.queries.values())


def _rate(counter: str, labels: str = "") -> str:
    return f"sum(rate({counter}{{{labels}}}[{WINDOW}]))"


def _mean(histogram: str, labels: str = "") -> str:
    # Nothing happened in the window: no value, not a division by nothing.
    total, count = _rate(f"{histogram}_sum", labels), _rate(f"{histogram}_count", labels)
    return f"{total} / ({count} > 0)"


def _highest(gauge: str, labels: str) -> str:
    # Most of the time nobody waits: between two readings a queue comes and goes.
    return f"sum(max_over_time({gauge}{{{labels}}}[{WINDOW}]))"


ASKED = 'api="responses",method="create_openai_response"'
"""Questions to the agent; probes and lists are left out."""

MODEL = f'part="{model.PART}"'  # The embedder's server has metrics of the same names.

CALLS = _rate(mcp_server.COUNTED)
FAILED = _rate(mcp_server.COUNTED, 'status="error"')
TOOLS = mcp_server.COUNTED.removesuffix("_count")
COMMANDS = 'command=~"find|getMore|aggregate|count|distinct|listCollections|listDatabases"'
READS = _rate("mongodb_ss_opLatencies_ops", 'op_type="reads"')
LATENCY = _rate("mongodb_ss_opLatencies_latency", 'op_type="reads"')
GPU_MEMORY = "(sum(DCGM_FI_DEV_FB_USED) + sum(DCGM_FI_DEV_FB_FREE))"

# fmt: off
METRICS = (
    Metric("questions", "Questions to Llama Stack", llama_stack.PART, "1/s", {
        "Llama Stack": _rate("llama_stack_requests_total", ASKED),
        "OGX": _rate("ogx_requests_total", ASKED),
    }),
    Metric("answer time", "Time of an answer", llama_stack.PART, "s", {
        "Llama Stack": _mean("llama_stack_request_duration_seconds", ASKED),
        "OGX": _mean("ogx_request_duration_seconds", ASKED),
    }, load="measured"),
    Metric("tool calls", "Tool calls at the MCP server", mcp_server.PART, "1/s", {
        "MCP server": CALLS,
    }),
    Metric("tool errors", "Tool calls that failed", mcp_server.PART, "1/s", {
        # Zero where it counts other calls: a series begins with its first sample.
        "MCP server": f"({FAILED} or 0 * {CALLS})",
    }, load="zero"),
    Metric("tool time", "Time of a tool call", mcp_server.PART, "s", {
        "MCP server": _mean(TOOLS),
    }, load="measured"),
    Metric("connections", "Connections to MongoDB", mongodb.PART, "1", {
        "MongoDB": 'sum(mongodb_ss_connections{conn_type="current"})',
    }, load="stays", lacks={
        "FerretDB": "it counts the connections that it accepted, not those that are open",
    }),
    Metric("new connections", "Connections opened to MongoDB", mongodb.PART, "1/s", {
        "MongoDB": _rate("mongodb_ss_connections", 'conn_type="totalCreated"'),
        "FerretDB": _rate("ferretdb_client_accepts_total", 'error="0"'),
    }),
    Metric("queries", "Queries of MongoDB", mongodb.PART, "1/s", {
        "MongoDB": READS,
        "FerretDB": _rate("ferretdb_client_requests_total", COMMANDS),
    }),
    Metric("query time", "Time of a query", mongodb.PART, "s", {
        # MongoDB counts microseconds; FerretDB from opening a cursor to its last document.
        "MongoDB": f"{LATENCY} / ({READS} > 0) / 1e6",
        "FerretDB": _mean("ferretdb_cursors_duration_seconds"),
    }, load="measured"),
    Metric("tokens written", "Tokens that the model writes", model.PART, "1/s", {
        "vLLM": _rate("vllm:generation_tokens_total", MODEL),
        "llama.cpp": _rate("llamacpp:tokens_predicted_total", MODEL),
    }),
    Metric("tokens read", "Tokens that the model reads", model.PART, "1/s", {
        "vLLM": _rate("vllm:prompt_tokens_total", MODEL),
        "llama.cpp": _rate("llamacpp:prompt_tokens_total", MODEL),
    }),
    Metric("busy", "Requests in the model", model.PART, "1", {
        "vLLM": _highest("vllm:num_requests_running", MODEL),
        "llama.cpp": _highest("llamacpp:requests_processing", MODEL),
    }),
    Metric("queue", "Requests that wait for the model", model.PART, "1", {
        "vLLM": _highest("vllm:num_requests_waiting", MODEL),
        "llama.cpp": _highest("llamacpp:requests_deferred", MODEL),
    }, load="stays"),
    Metric("cache", "The model's cache in use", model.PART, "%", {
        "vLLM": f"100 * max(max_over_time(vllm:kv_cache_usage_perc{{{MODEL}}}[{WINDOW}]))",
        # It tells the most tokens that there ever were in it, and is started with a fixed size.
        "llama.cpp": f"100 * max(llamacpp:n_tokens_max{{{MODEL}}}) / {model.CONTEXT}",
    }, load="stays"),
    Metric("gpu", "GPU in use", gpu_nodes.PART, "%", {"DCGM": "avg(DCGM_FI_DEV_GPU_UTIL)"}),
    Metric("gpu memory", "GPU memory in use", gpu_nodes.PART, "%", {
        "DCGM": f"100 * sum(DCGM_FI_DEV_FB_USED) / {GPU_MEMORY}",
    }),
)
# fmt: on
"""In the order in which a question passes through the parts.

Sources of the names: ``telemetry/`` of Llama Stack 0.7.3 and OGX 1.5.0 as they are installed;
mongodb-mcp-server 3.0.4 (``mcp-metrics``); Percona's mongodb_exporter 0.53 (its names for
serverStatus); FerretDB 1.24's debug page; vLLM 0.33 (engine metrics of V1) and llama.cpp's server
as in xllamacpp 2026.10; NVIDIA's dcgm-exporter.
"""
