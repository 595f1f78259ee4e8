"""The model: an OpenAI-compatible server that calls tools. vLLM's place; locally llama.cpp's."""

import functools
import secrets
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import urlsplit

from workshop.clients import http, openai
from workshop.core.checks import Checks
from workshop.core.errors import EndpointError, SettingsError
from workshop.core.progress import stages
from workshop.core.settings import Settings
from workshop.targets.base import Deployed, Endpoint, Part, Target, is_yours
from workshop.targets.spec import Page, Spec, choices_of, keep_choices

PART, PORT = "model", 8080
CREDENTIAL = "model token"
NAME = "qwen2.5-coder-1.5b"  # Under which the default model answers.
CONTEXT = 16384
"""Tokens of prompt and answer together: four tool schemas, instructions and a long result fit."""
MAX_TOKENS = 512
"""Of one answer. A small model that loses its way would otherwise go on to the context's end."""

ready = http.ready("/v1/models")


def serve_model(
    target: Target, *, url: str = "", name: str = "", model: str = "", timeout: float = 300.0
) -> Deployed:
    """Serve the kit's model, or use an endpoint: your own, or one that is shared here.

    The token of the user's comes from the environment variable ``MODEL_TOKEN``, and the CA of its
    certificate from ``MODEL_CA_FILE``: a parameter would be written into the executed notebook.

    Args:
        target: Where.
        url: An OpenAI-compatible endpoint to use instead, with or without ``/v1``.
        name: The model's name there, unless it has only one.
        model: On a cluster, the model that vLLM serves, such as ``Qwen/Qwen3-14B-AWQ`` or an
            ``oci://`` image; "" takes one that fits the GPU, or the CPU where there is none.
        timeout: Seconds until the model must answer.

    Raises:
        EndpointError: The user's endpoint cannot be used; says why.
        SettingsError: It has no such model, or ``url`` is none.
        PartFailed, PartTooSlow: The kit's server ended, or was not ready in time.
    """
    with stages("Model") as stage:
        offer = None if url or model else target.store.offered(PART)
        if url:
            mine = Settings.from_env()
            ca, token = mine.model_ca_file, mine.model_token
            offer = Endpoint(address(url), token, ca_file=ca, adopted=True), ""
        if offer:
            endpoint, offered = offer
            stage(f"asking {endpoint.url} for its models")
            chosen = _choose(endpoint, name or offered, min(timeout, openai.PATIENCE))
            stage(f"using {chosen}" + ("" if url else ", which is offered to this namespace"))
            deployed = target.adopt(PART, endpoint)
            target.store.remember("model name", chosen)
            return deployed
        keep_choices(target, PART, model=model)
        deployed = target.ensure(part_of(target, model), ready=ready, timeout=timeout, stage=stage)
        target.store.remember("model name", _choose(deployed.endpoint, "", openai.PATIENCE))
        return deployed


def part_of(target: Target, model: str | None = None) -> Part:
    """What its server must be, with this model or the one of the last time; "" is the kit's."""
    if model is None:
        model = choices_of(target, PART).get("model", "")
    given = {"model": model} if model else {}
    return Part(
        PART,
        PORT,
        settings={"name": NAME, "context": CONTEXT, "max_tokens": MAX_TOKENS, **given},
        secrets={"token": target.store.secret(CREDENTIAL, lambda: secrets.token_urlsafe(32))},
        credential=CREDENTIAL,
    )


def model_name(target: Target) -> str:
    """The name under which the model answers."""
    return target.store.recall("model name") or NAME


def verify_model(target: Target) -> Checks:
    """Prove that the model answers with the token, refuses without, and calls a tool.

    Raises ``CheckFailed``, or ``StepMissing`` where there is no model yet.
    """
    endpoint, name = target.find(PART), model_name(target)
    checks = Checks("Model")
    checks.that(
        "is the one that was asked for",
        name,
        lambda: ", ".join(openai.names(endpoint)),
        lambda seen: name in seen.split(", "),
        hint="run 02_serve_model again, with MODEL_NAME set to one that is there",
    )
    hint = "the model gave no text: ask it something by hand, or choose another model"
    said = functools.partial(ask_model, target, "Say hello.")
    checks.that("answers a question", "some text", said, hint=hint)
    if endpoint.token:
        checks.that(
            "refuses without the token",
            "401 or 403",
            lambda: openai.refusal(endpoint, name),
            lambda seen: seen.startswith("unauthorized"),
            hint="anybody can use this model: protect it with the token, or unset MODEL_TOKEN if "
            "it is meant to be open, and run 02_serve_model again",
        )
    if not is_yours(target, PART):
        check_paths(endpoint, PART, checks)
    checks.that(
        "calls a tool when asked",
        'count_documents {"collection": "incidents"}',
        lambda: openai.tool_call(endpoint, name),
        lambda seen: seen.startswith("count_documents") and "incidents" in seen,
        hint="choose a model that calls tools, and start its server with tool calling on "
        "(vLLM: --enable-auto-tool-choice and the --tool-call-parser of this model)",
    )
    return checks.raise_if_failed()


def ask_model(target: Target, question: str) -> str:
    """Ask the model directly, without an agent and its tools; returns its answer.

    Raises ``EndpointError`` where it gives none, ``StepMissing`` where there is no model yet.
    """
    return openai.text(openai.complete(target.find(PART), model_name(target), question))


def check_paths(endpoint: Endpoint, name: str, checks: Checks) -> None:
    """Add what must be so of a model's server, or of the embedder's: its API alone is served."""
    checks.that(
        f"{name} serves only /v1, /health and /metrics",
        f"not found: {openai.ELSEWHERE}",
        lambda: openai.elsewhere(endpoint),
        lambda seen: seen.startswith("not found"),
        hint=f"vLLM's other paths are open: see manifests/{name}/guard, and deploy it again",
    )


def address(url: str) -> str:
    """An endpoint's address as the kit keeps it: without ``/v1``, and without a password in it."""
    base = url.strip().rstrip("/").removesuffix("/v1").rstrip("/")
    try:
        parts = urlsplit(base)
        whole = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        whole = False
    if whole and not (parts.username or parts.password or parts.query or parts.fragment):
        return base
    # A URL with a password in it is not shown.
    shown = url if whole and not (parts.username or parts.password) else url.rpartition("@")[2]
    raise SettingsError(
        "MODEL_URL holds more than an address." if whole else "MODEL_URL is not a URL.",
        where="the parameters of 02_serve_model",
        state=f"MODEL_URL = {shown!r}",
        hint='write it like "https://model.example.com/v1", and the token in the environment '
        "variable MODEL_TOKEN",
    )


def _choose(endpoint: Endpoint, name: str, timeout: float) -> str:
    try:
        names = openai.names(endpoint, timeout)
    except EndpointError as error:
        raise _of_yours(endpoint, error) from error
    if not name and len(names) == 1:
        return names[0]
    if name in names:
        return name
    several = "MODEL_NAME is needed: there are several models."
    raise SettingsError(
        f"The endpoint has no model {name!r}." if name else several,
        where=endpoint.url,
        state="it has: " + ", ".join(names),
        hint="set MODEL_NAME in 02_serve_model to one of these",
    )


def _of_yours(endpoint: Endpoint, error: EndpointError) -> EndpointError:
    """The error of the user's own endpoint, with what the user can do about it."""
    what = error.what
    if error.kind == "unauthorized":
        what = "The model endpoint wants a token, and MODEL_TOKEN is not set."
        if endpoint.token:
            what = "The model endpoint refused the token."
    hint = {
        "unauthorized": "export MODEL_TOKEN with this endpoint's token, and start JupyterLab or "
        "the run again",
        "refused": "start the model server there, or correct MODEL_URL in 02_serve_model",
        "dns": "correct the host name in MODEL_URL in 02_serve_model",
        "timeout": "the model may still be loading: run this cell again in a minute",
        "server error": "read the model server's own log",
        "protocol": "write https:// in MODEL_URL if the server wants TLS, or read its log",
    }.get(error.kind, error.hint)
    return error.but(what=what, where=error.where or endpoint.url, hint=hint)


def _prestart(
    target: Target, given: Mapping[str, Any], _started: Mapping[str, Endpoint]
) -> Iterator[Part]:
    """It, unless the notebook is given an endpoint or finds one that is offered."""
    wanted = str(given.get("MODEL", ""))
    if not given.get("MODEL_URL") and (wanted or target.store.offered(PART) is None):
        yield part_of(target, wanted)


SPEC = Spec(
    name=PART,
    notebook="02_serve_model",
    port=PORT,
    # The kit's own, and KServe's.
    pods=({"app": "model-predictor"}, {"app": "isvc.model-predictor"}),
    serves="answers",
    order=2,
    page=Page(PART, PART, PORT, token=True),
    credentials=(CREDENTIAL,),
    callers=("llama-stack",),
    if_refused="run 02_serve_model again; for a model of your own, export MODEL_TOKEN before",
    part=part_of,
    ready=ready,
    refusal=lambda target: openai.refusal(target.find(PART), model_name(target)),
    secured=lambda target, checks: check_paths(target.find(PART), PART, checks),
    examine=verify_model,
    prestart=_prestart,
)
