"""OGX, or Llama Stack as it was called before: the agent's API, and the runbooks' store."""

import functools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from workshop.clients import http, openai
from workshop.clients import llama_stack as stack_client
from workshop.core import versions
from workshop.core.checks import Checks
from workshop.core.errors import SettingsError
from workshop.core.progress import Stages, stages
from workshop.core.settings import DATA, Settings
from workshop.core.wait import NotYet, wait_for
from workshop.parts import collector, embedder, model, postgresql, runbooks
from workshop.targets.base import Deployed, Endpoint, Part, Target
from workshop.targets.spec import Page, Spec, choices_of, keep_choices

PART, PORT = "llama-stack", 8321

VECTOR_STORES = {"ogx": ("faiss",), "llama-stack": ("faiss", "milvus")}
"""The stores that work inside each server, the preferred one first.

Llama Stack 0.7.3 forgets what it keeps in Milvus when it ends: its Milvus provider reads its list
of stores when it starts (``VECTOR_DBS_PREFIX``), and never writes it, as the FAISS provider does.
The runbooks are then loaded again, which takes most of a minute.

OGX 1.5.0 drives Milvus by pymilvus's asynchronous client, which asks for ``AllocTimestamp``; Milvus
Lite 3.2 answers that it is not implemented. Seen with pymilvus 2.5.18, 2.6.12 and 3.0.2.
"""
INSIDE = "inside"  # Where its storage is, when not in PostgreSQL.
SHARED = "pgvector"
"""The vector store of a server whose storage is PostgreSQL, which several replicas can share."""

KNOWN_STORE = "vector store that replicas know"
"""The fact with the vector store for which all replicas were started again."""

METRICS_PORT = 9464
"""Where OGX shows its metrics; its operator's default too. Llama Stack pushes them instead."""

PUSH_MILLISECONDS = 2000  # How often Llama Stack pushes its metrics to the collector.
MODEL_PREFIX = "vllm"  # It names a model by its provider: ``vllm/<name>``.

ready = http.ready("/v1/health")


def part_of(
    server: str,
    vector_store: str,
    language_model: Endpoint,
    vectors: Endpoint,
    dimension: int,
    milvus_uri: str = "",
    runbooks_in: str = "",
    distribution: str = "",
    needs: Mapping[str, Endpoint] | None = None,
) -> Part:
    """What the server must be, on this model, and vectors of so many dimensions.

    ``runbooks_in`` is the vector store for which its replicas were started again, ``distribution``
    the image's name that an operator is told. Of its further ``needs``, without a collector Llama
    Stack keeps no metrics, and with a PostgreSQL nothing is kept inside the server.
    """
    token = Settings.from_env().milvus_token if milvus_uri else None
    settings: dict[str, str | int] = {
        "server": server,
        "vector_store": vector_store,
        "max_tokens": model.MAX_TOKENS,
        "embedder": embedder.PART,
        "embedding_dimension": dimension,
        "push_milliseconds": PUSH_MILLISECONDS,
        "milvus_uri": milvus_uri,
        "runbooks_in": runbooks_in,
        "distribution": distribution,
    }
    return Part(
        PART,
        PORT,
        settings={name: value for name, value in settings.items() if value},
        secrets={"milvus token": token} if token else {},
        needs={model.PART: language_model, embedder.PART: vectors, **(needs or {})},
        extra_ports={"metrics": METRICS_PORT} if server == "ogx" else {},
    )


def deployed_part(target: Target, given: Mapping[str, str] | None = None) -> Part:
    """What it must be by these choices, or the last ones, on the parts that run.

    Raises ``StepMissing`` where a part that it needs is gone.
    """
    kept = given or choices_of(target, PART)
    server, vectors = kept.get("server", "llama-stack"), target.find(embedder.PART)
    shared = kept.get("storage") == postgresql.PART
    needed = [collector.PART] if server == "llama-stack" else []
    needed += [postgresql.PART] if shared else []
    return part_of(
        server,
        kept.get("vector_store", "faiss"),
        target.find(model.PART),
        vectors,
        embedder.dimension(vectors),
        kept.get("milvus_uri", ""),
        (target.store.recall(KNOWN_STORE) or "") if shared else "",
        kept.get("distribution", ""),
        {name: target.find(name) for name in needed},
    )


def deploy_llama_stack(
    target: Target,
    *,
    server: str = "auto",
    vector_store: str = "auto",
    milvus_uri: str = "",
    storage: str = "auto",
    distribution: str = "",
    timeout: float = 300.0,
) -> Deployed:
    """Deploy Llama Stack on the model of step 2, and load the runbooks into its vector store.

    Args:
        target: Where.
        server: ``ogx`` or ``llama-stack``; ``auto``: on a cluster the one that its operator runs,
            elsewhere the one that was deployed last, and at first OGX.
        vector_store: ``milvus`` or ``faiss``, inside the server; ``auto``: what works in it.
        milvus_uri: A Milvus of your own, such as ``http://milvus:19530``, in place of the one in
            the server; its token comes from the environment variable ``MILVUS_TOKEN``.
        storage: ``inside`` the server, or ``postgresql``, which replicas can share; ``auto``: as it
            was deployed last.
        distribution: The image of a cluster's operator, by the name that the operator knows; "" is
            ``rh-dev`` on OpenShift AI, and ``starter`` with an operator from elsewhere.
        timeout: Seconds for each of the server and the runbooks.

    Raises:
        SettingsError: There is no such server or vector store.
        StepMissing: There is no model yet.
        PartFailed: A process ended, or a runbook could not be embedded.
        PartTooSlow: Something was not ready in time.
    """
    asked, server = server, chosen(target, server)
    _refuse_unknown("SERVER", server, tuple(versions.SERVERS))
    if storage == "auto":
        storage = choices_of(target, PART).get("storage", INSIDE)
    _refuse_unknown("STORAGE", storage, (INSIDE, postgresql.PART))
    shared = storage == postgresql.PART
    inside = ("milvus",) if milvus_uri else (SHARED,) if shared else VECTOR_STORES[server]
    if vector_store == "auto":
        vector_store = inside[0]
    where = "MILVUS_URI" if milvus_uri else server
    others = [
        f'SERVER = "{name}"' for name in versions.SERVERS if vector_store in VECTOR_STORES[name]
    ]
    _refuse_unknown(f"With {where}, VECTOR_STORE", vector_store, inside, *others)
    with stages("Llama Stack") as stage:
        if asked == "auto" and server != next(iter(versions.SERVERS)):
            last = server == target.store.recall("server")
            why = "it was deployed last" if last else "this cluster's operator runs it"
            stage(f"the server is {server}: {why}")
        target.find(model.PART)
        target.ensure(embedder.part_of(target), ready=embedder.ready, timeout=timeout, stage=stage)
        if server == "llama-stack":
            target.ensure(collector.part_of(), ready=collector.ready, timeout=timeout, stage=stage)
        kept = {"server": server, "vector_store": vector_store}
        kept |= {"milvus_uri": milvus_uri, "storage": storage, "distribution": distribution}
        part = deployed_part(target, kept)
        vectors = f"{embedder.PART}-{part.settings['embedding_dimension']}/{embedder.PART}"
        if shared:
            stage("its storage is PostgreSQL, which replicas share")
        deployed = target.ensure(part, ready=ready, timeout=timeout, stage=stage)
        deployed = _with_model(target, part, deployed, timeout, stage)
        target.store.remember("server", server)
        keep_choices(target, PART, **kept)
        target.store.remember(KNOWN_STORE, str(part.settings.get("runbooks_in", "")) or None)
        first, *rest = target.scaling.replicas(PART)
        # A file lies in the replica that took it, until it is in the vector store.
        load = functools.partial(runbooks.load, first, target, DATA / "runbooks")
        store = load(provider=vector_store, embedder=vectors, timeout=timeout, stage=stage)
        if not all(runbooks.exists(one, store) for one in rest):
            # Each reads the list of vector stores when it starts, and hears of no other's later:
            # llama-stack 0.7.3, OpenAIVectorStoreMixin.
            stage("the other replicas do not know the new vector store: starting them again")
            part = replace(part, settings={**part.settings, "runbooks_in": store})
            target.store.remember(KNOWN_STORE, store)
            deployed = target.ensure(part, ready=ready, timeout=timeout, stage=stage)
        stage("the runbooks are loaded")
        return deployed


def verify_llama_stack(target: Target) -> Checks:
    """Prove that Llama Stack is healthy, sees the model, chats, and finds the right runbook.

    Raises ``CheckFailed``, or ``StepMissing`` where it does not run.
    """
    endpoint = target.find(PART)
    server = target.store.recall("server") or "llama-stack"
    wanted = model_id(target)
    hello = functools.partial(openai.complete, endpoint, wanted, "Say hello.", max_tokens=8)
    checks = Checks("Llama Stack")

    def runs() -> str:
        return f"{server} {stack_client.server_version(endpoint)}"

    if target.operated.get(PART):
        checks.that("runs the version of its operator's image", "any", runs)
    else:
        checks.equal(
            "runs the version that was pinned",
            f"{server} {versions.SERVERS[server]}",
            runs,
            hint="make setup, then run 03_deploy_llama_stack again",
        )
    checks.equal("is healthy", "OK", lambda: http.call(endpoint, "/v1/health").json["status"])
    checks.that(
        "sees the model",
        wanted,
        lambda: ", ".join(_models(endpoint)),
        lambda seen: wanted in seen.split(", "),
        hint="run 03_deploy_llama_stack again: it restarts one that was started before the model",
    )
    said = stack_client.telling(target, PART, lambda: openai.text(hello()))
    checks.that("completes a chat", "some text", said)
    check_search(checks, "finds the right runbook", target, endpoint)
    return checks.raise_if_failed()


def check_search(checks: Checks, name: str, target: Target, replica: Endpoint) -> None:
    """Add the check that a server, or one replica of it, finds the right runbook."""
    asked = "the certificate has expired"
    checks.that(
        name,
        "certificate-expired.md first",
        lambda: ", ".join(runbooks.search(replica, runbooks.store_id(target), asked)),
        lambda seen: seen.startswith("certificate-expired.md"),
    )


def search_runbooks(target: Target, text: str) -> list[str]:
    """Search the runbooks by meaning; returns the file names of the nearest, the best first.

    Raises ``EndpointError`` where it cannot, ``StepMissing`` where they were not loaded.
    """
    return runbooks.search(target.find(PART), runbooks.store_id(target), text)


def model_id(target: Target) -> str:
    """The model's name in Llama Stack."""
    return f"{MODEL_PREFIX}/{model.model_name(target)}"


def chosen(target: Target, server: str) -> str:
    """Which server ``auto`` means here; another name as it is."""
    if server != "auto":
        return server
    operated = target.operated.get(PART)
    return operated or target.store.recall("server") or next(iter(versions.SERVERS))


def _refuse_unknown(parameter: str, value: str, known: tuple[str, ...], *others: str) -> None:
    if value not in known:
        raise SettingsError(
            f"{parameter} = {value!r} is not known.",
            where="the parameters of 03_deploy_llama_stack",
            state="known: " + ", ".join(known),
            hint=" or ".join((f"set {parameter.split()[-1]} to one of these", *others)),
        )


def _models(endpoint: Endpoint) -> list[str]:
    return [str(entry["id"]) for entry in openai.ask(endpoint, "/v1/models")["data"]]


def _with_model(
    target: Target, part: Part, deployed: Deployed, timeout: float, stage: Stages
) -> Deployed:
    """Make sure that the model is in the server's list.

    The server asks the model's endpoint when it starts and every five minutes after that. One that
    was started before the model therefore has no models: starting it again is the quickest cure.
    """
    wanted = model_id(target)
    if deployed.action == "reused" and wanted not in _models(deployed.endpoint):
        stage("it was started before the model: starting it again")
        target.stop(PART)
        deployed = target.ensure(part, ready=ready, timeout=timeout, stage=stage)

    def listed() -> object:
        seen = _models(deployed.endpoint)
        return wanted if wanted in seen else NotYet("it lists " + (", ".join(seen) or "nothing"))

    what, at = f"Llama Stack to list {wanted}", deployed.endpoint.url
    hint = "run 02_serve_model, then 03_deploy_llama_stack again"
    wait_for(what, listed, timeout=min(timeout, 30.0), stage=stage, where=at, hint=hint)
    return deployed


def _prestart(
    target: Target, given: Mapping[str, Any], _started: Mapping[str, Endpoint]
) -> Iterator[Part]:
    """What it needs other than the model; it starts quickly itself, and would find no model."""
    yield embedder.part_of(target)
    if chosen(target, str(given.get("SERVER", "auto"))) == "llama-stack":
        yield collector.part_of()


SPEC = Spec(
    name=PART,
    notebook="03_deploy_llama_stack",
    port=PORT,
    # Of Llama Stack's operator, and of OGX's.
    pods=({"app": "llama-stack"}, {"app": "ogx"}),
    needs=(model.PART, embedder.PART, postgresql.PART, "network", "permissions"),
    serves="answers",
    order=1,
    page=Page(PART, PART, METRICS_PORT, also="metrics", server="ogx"),
    part=deployed_part,
    ready=ready,
    # The whole notebook: a server that starts again may have to be given the runbooks again.
    redeploy=lambda target, timeout: deploy_llama_stack(
        target, timeout=timeout, **choices_of(target, PART)
    ),
    examine=verify_llama_stack,
    prestart=_prestart,
)
