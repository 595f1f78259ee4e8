"""What stands before vLLM: the very file of the manifests, put before a server as vLLM does it."""

from __future__ import annotations

import asyncio
import importlib.util
import socket
import threading
from collections.abc import AsyncIterator, Iterator

import httpx
import pytest
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from workshop.targets.cluster import objects

FILE = objects.MANIFESTS / "components" / "vllm-guard" / "guard.py"
SAID = {"error": "not served here: /v1, /health and /metrics alone"}


class Behind:
    """A server that answers every path, and keeps which it was asked for."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.go_on = threading.Event()

    async def answer(self, request: Request) -> PlainTextResponse:
        self.asked.append(request.scope["path"])
        return PlainTextResponse("served")

    async def stream(self, _request: Request) -> StreamingResponse:
        async def words() -> AsyncIterator[bytes]:
            yield b"first"
            await asyncio.to_thread(self.go_on.wait, 20)
            yield b"second"

        return StreamingResponse(words())


@pytest.fixture(scope="module")
def server() -> Behind:
    return Behind()


@pytest.fixture
def behind(server: Behind) -> Behind:
    server.asked.clear()
    return server


@pytest.fixture(scope="module")
def client(server: Behind) -> Iterator[httpx.Client]:
    spec = importlib.util.spec_from_file_location("guard", FILE)
    assert spec
    assert spec.loader
    guard = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(guard)
    methods = ["GET", "POST", "OPTIONS"]
    routes = [
        Route("/v1/stream", server.stream),
        Route("/{path:path}", server.answer, methods=methods),
    ]
    app = Starlette(routes=routes)
    app.add_middleware(guard.Guard)
    running = uvicorn.Server(uvicorn.Config(app, log_level="error", lifespan="on", ws="none"))
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        thread = threading.Thread(target=running.run, args=([listening],), daemon=True)
        thread.start()
        with httpx.Client(
            base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", trust_env=False
        ) as client:
            yield client
        running.should_exit = True
        thread.join(20)


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/chat/completions", "/health", "/metrics", "/v1/models?x=/docs"]
)
def test_the_api_health_and_metrics_get_through(
    client: httpx.Client, behind: Behind, path: str
) -> None:
    assert client.get(path).text == "served"
    assert behind.asked == [path.partition("?")[0]]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/docs", "/openapi.json", "/version", "/load", "/nothing-here", "/v2/embed"),
        *("/v1", "/v10/models", "//v1/models", "/x/v1/models", "/metricsx", "/health/"),
        *("/docs?x=/v1/models", "/%2fv1/models", "/V1/models", "/docs%2f..%2fv1/models"),
    ],
)
@pytest.mark.parametrize("method", ["GET", "POST", "OPTIONS"])
def test_everything_else_is_refused_before_it_reaches_the_server(
    client: httpx.Client, behind: Behind, method: str, path: str
) -> None:
    refused = client.request(method, path, headers={"host": "127.0.0.1"})
    assert (refused.status_code, refused.json()) == (404, SAID)
    assert behind.asked == []


def test_a_stream_is_handed_on_word_by_word(client: httpx.Client, behind: Behind) -> None:
    with client.stream("GET", "/v1/stream") as answer:
        words = answer.iter_bytes()
        assert next(words) == b"first"
        behind.go_on.set()
        assert next(words) == b"second"


def test_every_vllm_of_the_manifests_has_it_before_it() -> None:
    seen = []
    for overlay in (
        *("model/overlays/cpu", "model/overlays/gpu", "model/overlays/kubernetes-cpu"),
        *("model/overlays/kubernetes-gpu", "embedder/base", "embedder/overlays/kubernetes"),
    ):
        built = objects.build(objects.MANIFESTS / overlay)
        for thing in built:
            spec = thing.get("spec") or {}
            pod = (
                spec if thing["kind"] == "ServingRuntime" else spec.get("template", {}).get("spec")
            )
            if not pod or "containers" not in pod:
                continue
            [one] = pod["containers"]
            env = {entry["name"]: entry.get("value") for entry in one["env"]}
            mounts = {mount["mountPath"]: mount["name"] for mount in one["volumeMounts"]}
            volumes = {volume["name"]: volume for volume in pod["volumes"]}
            source = volumes[mounts[env["PYTHONPATH"]]]["configMap"]["name"]
            program = objects.one(built, "ConfigMap", source)["data"]["guard.py"]
            assert program == FILE.read_text(), overlay
            assert "--middleware=guard.Guard" in one["args"], overlay
            assert env["USER"], overlay
            seen.append(overlay)
    assert len(seen) == 6


@pytest.mark.parametrize(
    ("overlay", "kind"),
    [
        ("model/overlays/kubernetes-gpu", "Deployment"),
        ("model/overlays/kubernetes-cpu", "Deployment"),
        ("embedder/base", "Deployment"),
        ("model/overlays/gpu", "InferenceService"),
    ],
)
def test_a_pod_is_given_longer_than_vllm_takes_to_end(overlay: str, kind: str) -> None:
    built = objects.build(objects.MANIFESTS / overlay)
    thing = objects.one(built, kind)
    serving = objects.one(built, "ServingRuntime")["spec"] if kind != "Deployment" else None
    pod = thing["spec"]["predictor"] if serving else thing["spec"]["template"]["spec"]
    [taken] = [
        int(argument.partition("=")[2])
        for argument in (serving or pod)["containers"][0]["args"]
        if argument.startswith("--shutdown-timeout=")
    ]
    assert pod["terminationGracePeriodSeconds"] > taken >= 60
