"""The embedder: turns text into vectors, by which Llama Stack finds a runbook."""

import secrets

from workshop.clients import http, openai
from workshop.core.errors import EndpointError
from workshop.parts import model
from workshop.targets.base import Endpoint, Part, Target
from workshop.targets.spec import Page, Spec

PART, PORT = "embedder", 8081
CREDENTIAL = "embedder token"
SETTINGS: dict[str, str | int | bool] = {"name": PART, "context": 512, "embedding": True}

ready = http.ready("/v1/models")


def part_of(target: Target) -> Part:
    """What the embedder must be."""
    token = target.store.secret(CREDENTIAL, lambda: secrets.token_urlsafe(32))
    return Part(PART, PORT, SETTINGS, secrets={"token": token}, credential=CREDENTIAL)


def dimension(embedder: Endpoint) -> int:
    """How many numbers this embedder makes of a text: asked, because each model has its own."""
    body = {"model": PART, "input": "How long is your answer?"}
    try:
        answer = openai.ask(embedder, "/v1/embeddings", json=body, timeout=60)
        return len(answer["data"][0]["embedding"])
    except (KeyError, IndexError, TypeError) as error:
        raise EndpointError(
            "The embedder gave no vector.", where=embedder.url, hint="workshop logs embedder"
        ) from error


SPEC = Spec(
    name=PART,
    notebook="03_deploy_llama_stack",
    port=PORT,
    serves="answers",
    page=Page(PART, PART, PORT, token=True),
    ready=ready,
    secured=lambda target, checks: model.check_paths(target.find(PART), PART, checks),
    examine=lambda target: dimension(target.find(PART)),
)
