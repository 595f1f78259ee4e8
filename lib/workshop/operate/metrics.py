"""The key metrics of the architecture, and Prometheus, which reads the pages that have them.

A metric has one meaning and a query for every server that has it. ``$window`` in a query is the
span that a rate is taken over; Grafana, the alerts and notebook 09 each put their own in its place.
``make fix`` makes Grafana's dashboard of them.
"""

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from workshop.clients import http
from workshop.core.checks import Checks
from workshop.core.errors import EndpointError, StepMissing
from workshop.core.progress import Stages, stages
from workshop.core.secret import Secret
from workshop.core.table import Table
from workshop.core.wait import NotYet, wait_for
from workshop.parts import gpu_nodes, llama_stack, mcp_server, model, mongodb, prometheus
from workshop.parts.catalog import ALL
from workshop.parts.gpu_nodes import Told
from workshop.targets.base import Deployed, Endpoint, Part, Target
from workshop.targets.spec import Page

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
        # Probes open some at any time: between two of them there may be as many before a question.
    }, load="measured"),
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


# --- read by Prometheus ---------------------------------------------------------------------------

INTERVAL = 2
"""Seconds between two readings of a page. Production takes 15 to 60; a notebook must not wait."""

NO_PAGE = "it has no page of metrics, and no exporter runs beside it"

_ORDER = {one.name: one.order or len(ALL) for one in ALL}
PAGES = tuple(sorted((one.page for one in ALL if one.page), key=lambda page: _ORDER[page.part]))
"""Every page of metrics, as a question passes the parts. Of the agent's API there is one: Llama
Stack pushes, OGX has a page."""


def deploy_prometheus(target: Target, *, timeout: float = 120.0) -> Deployed | Told:
    """Deploy Prometheus, which reads the metrics of all parts that run; or say why there is none.

    Raises ``StepMissing`` where no part runs that could be watched, ``PartTooSlow`` also where it
    had not read every page once in time, else as ``Target.ensure``.
    """
    with stages("Prometheus") as stage:
        reason = target.skip_reason(prometheus.PART)
        if reason is not None:
            stage(f"skipped: {reason}")
            return Told(reason)
        part = _part(target, stage)
        deployed = target.ensure(part, ready=prometheus.ready, timeout=timeout, stage=stage)
        endpoint = deployed.endpoint

        def read() -> object:
            # Some seconds after its start it knows of none.
            seen = {one.part: one.state for one in prometheus.pages(endpoint)}
            left = {one: seen.get(one, "not known yet") for one in part.needs}
            waits = [f"{one}: {state}" for one, state in left.items() if state != "read"]
            return NotYet(", ".join(waits)) if waits else True

        what, at = "Prometheus to read every page", endpoint.url
        hint = "run the notebook of the part that is named again, then this one"
        wait_for(what, read, timeout=timeout, stage=stage, every=0.5, where=at, hint=hint)
        stage("every page was read")
        return deployed


def _part(target: Target, stage: Stages) -> Part:
    """What Prometheus must be: its needs are the pages, by part, each with its token."""
    needs: dict[str, Endpoint] = {}
    settings: dict[str, str | int] = {"interval": INTERVAL, "monitor": mongodb.MONITOR}
    secrets: dict[str, Secret] = {}
    for page, endpoint, reason in watched(target):
        if reason:
            stage(f"{page.part} is left out: {reason}")
            continue
        needs[page.part] = endpoint
        settings[f"path of {page.part}"] = page.path
        settings[f"port of {page.part}"] = page.port if page.also else 0
        if page.exporter:
            secrets["monitor password"] = mongodb.password(target, mongodb.MONITOR_CREDENTIAL)
    return Part(prometheus.PART, prometheus.PORT, settings=settings, secrets=secrets, needs=needs)


def watched(target: Target) -> list[tuple[Page, Endpoint, str]]:
    """The pages of the parts that run, at least one: how each is reached, or why it is not read."""
    server = target.store.recall("server") or "llama-stack"
    found, missing = [], None
    for page in PAGES:
        if page.server in ("", server):
            try:
                part = target.find(page.at)
            except StepMissing as error:
                missing = missing or error
                continue
            url, token = part.also.get(page.also, part.url), part.token if page.token else None
            endpoint = replace(part, url=url, token=token, user="", password=None, also={})
            is_reached = page.also in ("", *part.also)
            found.append((page, endpoint, _why_not(endpoint, page, is_reached)))
    if not found and missing:
        raise missing
    return found


def _why_not(endpoint: Endpoint, page: Page, is_reached: bool) -> str:
    """Why there is no page to read, or ""; asks those that may have none."""
    if not is_reached:
        # Then a program beside it has the page, or nobody.
        return "" if page.exporter else NO_PAGE
    if page.exporter:
        try:
            http.call(endpoint, page.path)
        except EndpointError:
            return NO_PAGE
    return ""


def list_scrape_targets(target: Target) -> Table[prometheus.Page]:
    """List the pages of metrics that Prometheus reads, and how the last reading went.

    Raises ``StepMissing`` where there is no Prometheus.
    """
    skipped = target.skip_reason(prometheus.PART) is not None
    return Table() if skipped else prometheus.pages(target.find(prometheus.PART))


def query_prometheus(target: Target, promql: str) -> Table[prometheus.Sample]:
    """Ask Prometheus a question in its language, PromQL; returns the current values.

    Raises ``EndpointError`` for a wrong query, ``StepMissing`` where there is no Prometheus.
    """
    skipped = target.skip_reason(prometheus.PART) is not None
    return Table() if skipped else prometheus.samples(target.find(prometheus.PART), promql)


def check_pages(target: Target, checks: Checks) -> None:
    """Check that the page of each part that has one is read."""
    seen = {one.part: one.state for one in list_scrape_targets(target)}
    for page, _endpoint, reason in watched(target):
        if not reason:
            state = seen.get(page.part, "not known to Prometheus")
            hint = "run the cell that deploys Prometheus again"
            name = f"{page.part}: its page is read"
            checks.equal(name, "read", functools.partial(str, state), hint=hint)
