"""More replicas of the parts that can have them; each answers, and nothing is lost."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

from workshop.core.checks import Checks
from workshop.core.progress import stages
from workshop.core.table import Table
from workshop.operate.scale import mongodb as mongodb_scale
from workshop.operate.scale.load import COUNTED, Load
from workshop.parts import llama_stack, mcp_server, model, mongodb, postgresql
from workshop.parts.catalog import ALL
from workshop.targets.base import Scale, Target, runs


@dataclass(frozen=True)
class Outcome:
    """What became of a part: how many of it run, and why not more."""

    part: str
    replicas: int
    note: str


def scale_out(
    target: Target,
    *,
    replicas: int = 2,
    most: int = 0,
    model_replicas: int = 1,
    timeout: float = 600.0,
) -> Table[Outcome]:
    """Run several replicas of each part that can have them; says why the others cannot.

    Args:
        target: Where.
        replicas: Of Llama Stack and of the MCP server.
        most: Up to how many an autoscaler may add; none when this is not more.
        model_replicas: Of the model; on a cluster with GPUs each takes one.
        timeout: Seconds until all of a part answer.

    Raises:
        StepMissing: Llama Stack does not run.
        PartFailed: A replica ended while it was awaited.
        PartTooSlow: Not all were ready in time.
    """
    outcomes: Table[Outcome] = Table()
    with stages("Scale") as stage:
        for spec in ALL:
            if spec.part is None or spec.ready is None:
                continue
            if not runs(target, spec.name):
                outcomes.append(Outcome(spec.name, 0, "it was not deployed"))
                continue
            part = spec.part(target)
            note = target.scaling.reason(part) or ""
            if note:
                stage(f"{part.name} stays as it is: {note}")
            else:
                # Each replica of the model takes a GPU: an autoscaler would wait for nodes.
                is_model = spec.name == model.PART
                scale = Scale(model_replicas) if is_model else Scale(replicas, most)
                target.scaling.scale(part, scale, ready=spec.ready, timeout=timeout, stage=stage)
                if scale.most > scale.replicas:
                    note = f"an autoscaler may add up to {scale.most}"
            outcomes.append(Outcome(part.name, len(target.scaling.replicas(part.name)), note))
    return outcomes


def share_storage(target: Target, *, wanted: bool = True, timeout: float = 300.0) -> Table[Outcome]:
    """Give Llama Stack storage that its replicas share: PostgreSQL with pgvector.

    The runbooks are loaded into it. What was kept inside the server before, its history and the
    answers that it stored, stays on its volume and is not taken over.

    Args:
        target: Where.
        wanted: False leaves its storage as it is.
        timeout: Seconds for each of the two.

    Raises:
        StepMissing: Llama Stack does not run.
        PartFailed: One of the two ended while it started.
        PartTooSlow: One of the two was not ready in time.
    """
    reason = target.skip_reason(postgresql.PART) if wanted else "it was not asked for"
    if reason is None:
        postgresql.deploy_postgresql(target, timeout=timeout)
        server = target.store.recall("server") or "auto"
        llama_stack.deploy_llama_stack(
            target, server=server, storage=postgresql.PART, timeout=timeout
        )
        return Table([Outcome(postgresql.PART, 1, "Llama Stack keeps everything in it")])
    with stages("Shared storage") as stage:
        stage(f"skipped: {reason}")
    return Table([Outcome(postgresql.PART, 0, reason)])


def verify_scale_out(
    target: Target, before: Load, after: Load, kept: Sequence[mongodb_scale.Kept]
) -> Checks:
    """Prove that every replica answers, and that no request and no document was lost.

    Args:
        target: Where.
        before: The load with one replica.
        after: The load with more; empty where nothing has more.
        kept: What ``resize_mongodb`` gave.

    Raises:
        CheckFailed: One of these is not so.
    """
    checks = Checks("Scale")
    for when, load in (("before", before), ("after", after)):
        if load.series:
            name = f"no request failed under load, {when}"
            checks.equal(name, "none", functools.partial(_failures, load))
    for number, replica in enumerate(target.scaling.replicas(llama_stack.PART), 1):
        name = f"replica {number} of Llama Stack finds the right runbook"
        llama_stack.check_search(checks, name, target, replica)
    if runs(target, mcp_server.PART):
        with mongodb.connected(mongodb.find(target)) as database:
            counted = database[COUNTED].count_documents({})
        for number, replica in enumerate(target.scaling.replicas(mcp_server.PART), 1):
            name = f"replica {number} of the MCP server counts the {COUNTED}"
            checks.equal(name, counted, functools.partial(mcp_server.count, replica, COUNTED))
        checks.equal(
            "the database with other limits has every document as it was",
            ", ".join(f"{one.collection} {one.before}" for one in kept),
            lambda: ", ".join(f"{one.collection} {one.after}" for one in kept if one.same),
        )
    if runs(target, postgresql.PART):
        postgresql.check(checks, target)
    return checks.raise_if_failed()


def _failures(load: Load) -> str:
    failed = [
        f"{series.name}, {point.users} users: {point.failures} ({point.failure})"
        for series in load.series.values()
        for point in series.points
        if point.failures or not point.requests
    ]
    return "; ".join(failed) or "none"
