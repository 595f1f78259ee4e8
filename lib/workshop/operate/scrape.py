"""Prometheus on the parts that run: which pages it reads, and that it reads them all."""

from __future__ import annotations

import functools
from dataclasses import replace

from workshop.clients import http
from workshop.core.checks import Checks
from workshop.core.errors import EndpointError, StepMissing
from workshop.core.progress import Stages, stages
from workshop.core.secret import Secret
from workshop.core.table import Table
from workshop.core.wait import NotYet, wait_for
from workshop.parts import mongodb, prometheus
from workshop.parts.catalog import ALL
from workshop.parts.gpu_nodes import Told
from workshop.targets.base import Deployed, Endpoint, Part, Target
from workshop.targets.spec import Page

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
            http.call(endpoint, page.path, timeout=10)
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
