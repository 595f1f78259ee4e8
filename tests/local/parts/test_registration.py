"""Which server the agent gets, and how the MCP server is named to it."""

from __future__ import annotations

from pathlib import Path

import pytest
import workshop
from standin.agent_server import AgentServer
from workshop.core.errors import SettingsError
from workshop.core.secret import Secret
from workshop.parts import llama_stack, mcp_server
from workshop.targets.base import Endpoint
from workshop.targets.local.target import LocalTarget

MCP = Endpoint("http://127.0.0.1:3000", token=Secret("the-secret"))


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> LocalTarget:
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path))
    target = workshop.connect("local")
    assert isinstance(target, LocalTarget)
    target.adopt("mcp-server", MCP)
    target.store.remember("model name", "small")
    return target


@pytest.mark.parametrize(
    ("connectors", "hands_on", "by"),
    [
        ({"data": MCP.url + "/mcp"}, True, {"connector_id": "data"}),
        # As OGX 1.5 does, which looks a connector up without the credential.
        ({"data": MCP.url + "/mcp"}, False, {"server_url": MCP.url + "/mcp"}),
        ({"other": "http://127.0.0.1:1/mcp"}, True, {"server_url": MCP.url + "/mcp"}),
    ],
)
def test_the_mcp_server_is_a_connector_where_its_credential_is_handed_on(
    target: LocalTarget, connectors: dict[str, str], hands_on: bool, by: dict[str, str]
) -> None:
    with AgentServer(connectors, hands_on=hands_on) as server:
        target.adopt("llama-stack", Endpoint(server.url))
        workshop.register_mcp_server(target)
        assert workshop.verify_registration(target)
        asked = server.asked[-1]
    assert {key: asked[key] for key in ("connector_id", "server_url") if key in asked} == by
    assert asked["authorization"] == "the-secret"
    assert "the-secret" not in str(target.store.recall(mcp_server.REGISTERED))


def test_a_registration_of_before_is_read(target: LocalTarget) -> None:
    target.store.remember(
        mcp_server.REGISTERED, '["mongodb", "http://127.0.0.1:3000/mcp", ["find"]]'
    )
    assert mcp_server.registered(target).connector == ""
    assert mcp_server.tool(target)["server_url"] == MCP.url + "/mcp"


@pytest.mark.parametrize(
    ("last", "asked", "means"),
    [
        (None, "auto", "ogx"),
        ("llama-stack", "auto", "llama-stack"),
        ("ogx", "auto", "ogx"),
        ("ogx", "llama-stack", "llama-stack"),
        ("llama-stack", "ogx", "ogx"),
    ],
)
def test_auto_means_ogx_unless_another_was_deployed(
    target: LocalTarget, last: str | None, asked: str, means: str
) -> None:
    target.store.remember("server", last)
    assert llama_stack.chosen(target, asked) == means


def test_milvus_names_the_server_that_it_works_in(target: LocalTarget) -> None:
    with pytest.raises(SettingsError) as refused:
        workshop.deploy_llama_stack(target, vector_store="milvus")
    text = str(refused.value)
    assert "With ogx, VECTOR_STORE = 'milvus' is not known." in text
    assert 'Hint: set VECTOR_STORE to one of these or SERVER = "llama-stack"' in text
