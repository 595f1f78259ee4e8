"""Prometheus on the parts that run: which pages it reads, and that it reads them all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from workshop.clients import http
from workshop.core.checks import Checks
from workshop.core.errors import EndpointError, StepMissing
from workshop.core.progress import Stages, stages
from workshop.core.secret import Secret
from workshop.core.table import Table
from workshop.core.wait import NotYet, wait_for
from workshop.operate.watch import metrics
from workshop.parts import mongodb, prometheus
from workshop.parts.gpu_nodes import Told
from workshop.targets.base import Deployed, Endpoint, Part, Target
from workshop.targets.spec import Page

INTERVAL = 2
"""Seconds between two readings of a page. Production takes 15 to 60; a notebook shall not wait."""

NO_PAGE = "mongod has no page of metrics, and no exporter runs beside it"
NOT_REACHED = "its operator's Service does not lead to its page; user-workload monitoring reads it"


def deploy_prometheus(target: Target, *, timeout: float = 120.0) -> Deployed | Told:
    """Deploy Prometheus, which reads the metrics of all parts that run; or say why it is not here.

    Raises:
        StepMissing: No part runs that could be watched.
        PartFailed: It ended while it started.
        PartTooSlow: It was not ready, or had not read every page once, in time.
    """
    with stages("Prometheus") as stage:
        reason = target.skip_reason(prometheus.PART)
        if reason is not None:
            stage(f"skipped: {reason}")
            return Told(reason)
        part = part_of(target, stage)
        deployed = target.ensure(part, ready=prometheus.ready, timeout=timeout, stage=stage)
        _await_first_readings(deployed.endpoint, tuple(part.needs), timeout, stage)
        return deployed


def part_of(target: Target, stage: Stages) -> Part:
    """What Prometheus must be: its needs are the pages, by part, each with its token.

    Raises:
        StepMissing: No part runs.
    """
    needs: dict[str, Endpoint] = {}
    settings: dict[str, str | int] = {"interval": INTERVAL, "monitor": mongodb.MONITOR}
    secrets: dict[str, Secret] = {}
    for source, endpoint, reason in watched(target):
        if reason:
            stage(f"{source.part} is left out: {reason}")
            continue
        needs[source.part] = page(endpoint, source)
        settings[f"path of {source.part}"] = source.path
        settings[f"port of {source.part}"] = source.port if source.also else 0
        if source.exporter:
            secrets["monitor password"] = mongodb.password(target, mongodb.MONITOR_CREDENTIAL)
    return Part(prometheus.PART, prometheus.PORT, settings=settings, secrets=secrets, needs=needs)


def watched(target: Target) -> list[tuple[Page, Endpoint, str]]:
    """The parts that run, each with its endpoint, and why its page is not read or "".

    Raises:
        StepMissing: None runs.
    """
    server = target.store.recall("server") or "llama-stack"
    found, missing = [], None
    for source in metrics.SOURCES:
        if source.server not in ("", server):
            continue
        try:
            endpoint = target.find(source.at)
        except StepMissing as error:
            missing = missing or error
        else:
            found.append((source, endpoint, _why_not(endpoint, source)))
    if not found and missing:
        raise missing
    return found


def _why_not(endpoint: Endpoint, source: Page) -> str:
    """Why there is no page to read, or ""; asks those that may have none."""
    if source.also and source.also not in endpoint.also:
        # Then a program beside it has the page, or nobody.
        return "" if source.exporter else NOT_REACHED
    if source.exporter:
        try:
            http.call(page(endpoint, source), source.path, timeout=10)
        except EndpointError:
            return NO_PAGE
    return ""


def page(endpoint: Endpoint, source: Page) -> Endpoint:
    """How a part's page is reached from here."""
    url = endpoint.also.get(source.also, endpoint.url)
    token = endpoint.token if source.token else None
    return replace(endpoint, url=url, token=token, user="", password=None, also={})


def _await_first_readings(
    endpoint: Endpoint, parts: Sequence[str], timeout: float, stage: Stages
) -> None:
    def read() -> object:
        # Some seconds after its start it knows of none.
        seen = {one.part: one.state for one in prometheus.pages(endpoint)}
        left = [f"{part}: {seen.get(part, 'not known yet')}" for part in parts
                if seen.get(part) != "read"]  # fmt: skip
        return NotYet(", ".join(left)) if left else True

    wait_for(
        "Prometheus to read every page",
        read,
        timeout=timeout,
        stage=stage,
        every=0.5,
        where=endpoint.url,
        hint="run the notebook of the part that is named again, then this one",
    )
    stage("every page was read")


def list_scrape_targets(target: Target) -> Table[prometheus.Page]:
    """List the pages of metrics that Prometheus reads, and how the last reading went.

    Raises:
        StepMissing: There is no Prometheus.
    """
    if target.skip_reason(prometheus.PART) is not None:
        return Table()
    return prometheus.pages(target.find(prometheus.PART))


def query_prometheus(target: Target, promql: str) -> Table[prometheus.Sample]:
    """Ask Prometheus a question in its language, PromQL; returns the values of now.

    Raises:
        EndpointError: Prometheus does not answer, or the query is wrong.
        StepMissing: There is no Prometheus.
    """
    if target.skip_reason(prometheus.PART) is not None:
        return Table()
    return prometheus.samples(target.find(prometheus.PART), promql)


def check_pages(target: Target, checks: Checks) -> None:
    """Check that the page of each part that has one is read."""
    seen = {one.part: one.state for one in list_scrape_targets(target)}
    for source, _endpoint, reason in watched(target):
        if not reason:
            checks.equal(
                f"{source.part}: its page is read",
                "read",
                lambda part=source.part: seen.get(part, "not known to Prometheus"),  # type: ignore[misc]
                hint="run the cell that deploys Prometheus again",
            )
