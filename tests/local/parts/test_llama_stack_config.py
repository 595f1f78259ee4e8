"""The configuration that the kit writes, as Llama Stack's and OGX's own code understands it."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from standin.openai_server import OpenAIServer
from standin.proxy import Proxy
from workshop.clients import http, mcp
from workshop.core import versions
from workshop.core.errors import SetupError
from workshop.core.progress import Stages
from workshop.core.secret import Secret
from workshop.core.settings import CHECKOUT, DATA, Settings
from workshop.parts import llama_stack
from workshop.parts.catalog import ALL
from workshop.setup import locate
from workshop.targets.base import Endpoint
from workshop.targets.cluster.manifests import llama_stack as manifests
from workshop.targets.local import programs
from workshop.targets.local.process import INHERITED, exported
from workshop.targets.local.starting import fingerprint
from workshop.targets.local.target import LocalTarget

STANDIN = Path(__file__).parents[1] / "standin" / "file_search.py"
RUNBOOK = (DATA / "runbooks" / "gpu-node-not-ready.md").read_text(encoding="utf-8")
PACKAGES = {"llama-stack": "llama_stack", "ogx": "ogx"}

pytestmark = pytest.mark.timeout(120)


@pytest.fixture
def installed() -> None:
    """Skips where a server is not installed."""
    for server in PACKAGES:
        try:
            locate(server)
        except SetupError as error:
            pytest.skip(f"{server} is not installed: {error.what}")


def written(server: str, folder: Path) -> dict[str, Any]:
    """The config.yaml that the kit writes for this server."""
    model = Endpoint("http://127.0.0.1:8080", token=Secret("model-token"))
    embedder = Endpoint("http://127.0.0.1:8081", token=Secret("embedder-token"))
    store = llama_stack.VECTOR_STORES[server][0]
    part = llama_stack.part_of(server, store, model, embedder, 384)
    programs.command(part, {"main": 8321}, folder)
    config: dict[str, Any] = json.loads((folder / "config.yaml").read_text("utf-8"))
    return config


def shown(server: str, config: dict[str, Any], number: int) -> str:
    """What the model is shown of a runbook that was found under these ids."""
    ids = {"file_id": f"file-{number:032x}", "document_id": f"file-{number:032x}"}
    hit = {
        "file_id": ids["file_id"],
        "filename": "gpu-node-not-ready.md",
        "score": number / 1000,
        "attributes": ids | {"chunk_id": f"{number:08x}"},
        "text": RUNBOOK,
    }
    done = subprocess.run(
        [locate(server) / "bin" / "python", STANDIN, PACKAGES[server]],
        input=json.dumps({"hit": hit, "vector_stores": config["vector_stores"]}),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("server", PACKAGES)
def test_a_found_runbook_reaches_the_model_without_ids_that_change(
    server: str, tmp_path: Path
) -> None:
    """Ids are made anew by each loading: with them in the prompt, the answer changes by chance."""
    try:
        locate(server)
    except SetupError as error:
        pytest.skip(f"{server} is not installed: {error.what}")
    config = written(server, tmp_path)
    first = shown(server, config, 123)
    assert first == shown(server, config, 456)
    assert RUNBOOK in first
    assert "file_search found 1 runbook" in first
    assert len(first) < len(RUNBOOK) + 120, first


@pytest.mark.parametrize("server", PACKAGES)
def test_every_variable_of_the_configuration_is_handed_over(
    server: str, tmp_path: Path, installed: None
) -> None:
    """The configuration is the manifest's: there, the Deployment sets them."""
    model = Endpoint("https://model.closed.test", ca_file=tmp_path / "ca.pem", adopted=True)
    part = llama_stack.part_of(server, "faiss", model, Endpoint("http://127.0.0.1:8081"), 384)
    command = programs.command(part, {"main": 18321}, tmp_path)
    text = (tmp_path / "config.yaml").read_text("utf-8")
    wanted = {name for name, default in re.findall(r"\$\{env\.(\w+)(:=)?", text) if not default}
    assert wanted <= set(command.env)
    assert command.env["MODEL_URL"] == "https://model.closed.test/v1"
    assert command.env["MODEL_TLS_VERIFY"] == str(tmp_path / "ca.pem")
    assert json.loads(text)["server"] == {"host": "127.0.0.1", "port": 18321}


@pytest.mark.parametrize(("version", "has"), [("1.5.0", True), ("2.0.0", False)])
def test_tool_runtime_is_configured_where_the_server_still_has_it(
    version: str, has: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(versions.SERVERS, "ogx", version)
    config = written("ogx", tmp_path)
    assert ("tool_runtime" in config["apis"]) == has
    assert ("tool_runtime" in config["providers"]) == has
    # On a cluster, the manifest's configuration is changed.
    path = CHECKOUT / "manifests" / "llama-stack" / "base" / "config.yaml"
    config_map = {"data": {"config.yaml": path.read_text("utf-8")}}
    endpoint = Endpoint("http://127.0.0.1:8080")
    part = llama_stack.part_of("ogx", "faiss", endpoint, endpoint, 384)
    manifests.configure(config_map, part)
    there = yaml.safe_load(config_map["data"]["config.yaml"])
    assert there["apis"] == config["apis"]
    assert set(there["providers"]) == set(config["providers"])


@pytest.mark.parametrize(
    ("server", "latest"),
    [
        ("llama-stack", "mcp.types.LATEST_PROTOCOL_VERSION"),
        # The newest with the handshake that its ``ClientSession`` does.
        ("ogx", "mcp.types.version.LATEST_HANDSHAKE_VERSION"),
    ],
)
def test_checkpoints_offer_the_mcp_revision_that_the_server_will_offer(
    server: str, latest: str
) -> None:
    code = f"import {latest.rpartition('.')[0]}; print({latest})"
    python = locate(server) / "bin" / "python"
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == mcp.PROTOCOL


def test_a_milvus_of_ones_own_takes_the_place_of_the_one_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MILVUS_TOKEN", "milvus-canary")
    endpoint = Endpoint("http://127.0.0.1:8080", token=Secret("t"))
    uri = "http://milvus.example.com:19530"
    part = llama_stack.part_of("ogx", "milvus", endpoint, endpoint, 384, uri)
    command = programs.command(part, {"main": 8321}, tmp_path)
    text = (tmp_path / "config.yaml").read_text("utf-8")
    milvus = json.loads(text)["providers"]["vector_io"][0]
    assert (milvus["provider_type"], milvus["config"]["uri"]) == ("remote::milvus", uri)
    assert command.env["MILVUS_TOKEN"] == "milvus-canary"
    assert "milvus-canary" not in text


ASK = """
import sys
try:
    import httpx2 as httpx
except ImportError:
    import httpx
for url in sys.argv[1:]:
    print(httpx.get(url).status_code)
"""
"""What each server's HTTP client does with the environment that it is given."""


@pytest.mark.parametrize("server", PACKAGES)
def test_its_own_client_goes_to_a_model_through_the_proxy_and_to_the_kit_directly(
    server: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    for name in ("no_proxy", "https_proxy", "http_proxy", "all_proxy", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Proxy() as proxy, OpenAIServer() as away, OpenAIServer() as embedder:
        proxy.hosts["model.closed.test"], proxy.login = away.port, "me:canary"
        monkeypatch.setenv("HTTP_PROXY", proxy.url.replace("//", "//me:canary@"))
        monkeypatch.setenv("NO_PROXY", "fd00:1234::/32")
        monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:9")
        model = Endpoint("http://model.closed.test", adopted=True)
        mine = Endpoint(f"http://127.0.0.1:{embedder.port}")
        part = llama_stack.part_of(server, "faiss", model, mine, 384)
        command = programs.command(part, {"main": 8321}, tmp_path)
        done = subprocess.run(
            [Path(command.argv[0]).with_name("python"), "-c", ASK,
             f"{model.url}/v1/models", f"{mine.url}/v1/models"],
            env=exported(*INHERITED) | dict(command.env),
            capture_output=True,
            text=True,
            check=False,
        )  # fmt: skip
    assert done.stdout == "200\n200\n", done.stderr
    assert proxy.asked == [("GET", "http://model.closed.test/v1/models")]
    assert "canary" not in (tmp_path / "config.yaml").read_text("utf-8") + repr(command)


def test_what_it_depends_on_outside_restarts_it_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, installed: None
) -> None:
    mine = Endpoint("http://127.0.0.1:8080")
    yours = Endpoint("https://model.closed.test", adopted=True)

    def print_of(model: Endpoint) -> str:
        part = llama_stack.part_of("llama-stack", "faiss", model, mine, 384)
        return fingerprint(programs.command(part, {"main": 8321}, tmp_path), part)

    before = print_of(mine), print_of(yours)
    for name, value in (
        ("HTTPS_PROXY", "http://127.0.0.1:9"),
        ("NO_PROXY", "other.test,model.closed.test"),
        ("SSL_CERT_FILE", "/etc/ssl/other.pem"),
    ):
        monkeypatch.setenv(name, value)
        after = print_of(mine), print_of(yours)
        assert after[0] == before[0], name
        assert after[1] != before[1], name
        before = after


@pytest.mark.parametrize("server", PACKAGES)
def test_it_starts_again_with_an_embedder_of_another_dimension(
    server: str, tmp_path: Path, installed: None
) -> None:
    """It keeps what it knows of its models, and does not start when one is declared otherwise."""
    target = LocalTarget(Settings(state=tmp_path / "local"), ALL)
    with OpenAIServer() as model, OpenAIServer(models=("embedder",)) as embedder:
        ends = [Endpoint(one.url.removesuffix("/v1")) for one in (model, embedder)]
        try:
            for dimension in (896, 384):
                part = llama_stack.part_of(server, "faiss", *ends, dimension)
                made = target.ensure(
                    part, ready=llama_stack.ready, timeout=60, stage=Stages("test")
                )
                listed = {one["id"] for one in http.call(made.endpoint, "/v1/models").json["data"]}
                assert f"embedder-{dimension}/embedder" in listed
        finally:
            target.stop(llama_stack.PART)
