"""The doctor names the cause: each trouble is really made, and told by the part that has it.

The table in docs/troubleshooting.md lists them. Llama Stack's own troubles are made in
tests/notebooks/test_sequence.py, where it runs.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import workshop
from standin.forgetful_server import ForgetfulServer
from standin.open_door import OpenDoor
from standin.openai_server import LOGIN, OpenAIServer, certificate
from standin.vector_stores import VectorStores
from workshop.agent import failure
from workshop.agent.answer import FILE_SEARCH, Answer, ToolCall
from workshop.agent.proof import prove
from workshop.cli import main
from workshop.clients.mcp import call_tool, list_tools
from workshop.core import progress, versions
from workshop.core.errors import AnswerNotGrounded, SetupError
from workshop.core.secret import Secret
from workshop.core.settings import DATA
from workshop.core.wait import NotYet, wait_for
from workshop.operate.doctor import read_log
from workshop.parts import mcp_server, mongodb, runbooks
from workshop.report import Folder, Report, StepReport, judge
from workshop.setup import locate
from workshop.targets.base import Endpoint
from workshop.targets.local.process import Process
from workshop.targets.local.programs.model import SCRIPT, TEMPLATE
from workshop.targets.local.target import LocalTarget

pytestmark = pytest.mark.timeout(120)

MODEL = "small"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder in which the database and the MCP server run, for all tests of this file."""
    for name in ("mongodb", "node", "mcp-server"):
        try:
            locate(name)
        except SetupError as error:
            pytest.skip(f"{error.what} {error.hint}")
    folder = tmp_path_factory.mktemp("doctor")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_HOME", str(folder))
        for name in ("MODEL_TOKEN", "MODEL_CA_FILE"):
            patch.delenv(name, raising=False)
        target = connected()
        try:
            progress.use(progress.Silent())
            workshop.deploy_mongodb(target)
            workshop.load_sample_data(target)
            workshop.deploy_mcp_server(target)
            yield folder
        finally:
            target.clean_up(data=True)
            progress.use(None)


def connected() -> LocalTarget:
    target = workshop.connect("local")
    assert isinstance(target, LocalTarget)
    return target


@pytest.fixture
def target(home: Path) -> Iterator[LocalTarget]:
    """The parts, fixed after each test."""
    target = connected()
    yield target
    for part in ("model", "llama-stack"):
        target.store.forget(part)
    for fact in (mcp_server.REGISTERED, runbooks.FACT, "model name", "server"):
        target.store.remember(fact, None)
    workshop.deploy_mongodb(target)
    workshop.load_sample_data(target)
    workshop.deploy_mcp_server(target)


def process(target: LocalTarget, part: str) -> Process:
    return Process(target.store.folder(part), part, secrets=target.store.secrets)


def kill(target: LocalTarget, part: str) -> None:
    record = process(target, part).record()
    assert record
    os.kill(record.pid, signal.SIGKILL)
    wait_for(
        "the end",
        lambda: process(target, part).state() != "running" or NotYet("running"),
        timeout=10,
    )


def doctor(capsys: pytest.CaptureFixture[str]) -> tuple[int, str, list[str]]:
    """Its exit code, what it shows, and the lines that name a cause or fix it."""
    capsys.readouterr()
    code = main(["doctor"])
    shown = capsys.readouterr().out
    lines = shown.splitlines()
    at = next((i for i, line in enumerate(lines) if line.startswith("cause: ")), len(lines))
    return code, shown, lines[at:]


def test_when_all_is_well_it_names_nobody(
    target: LocalTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    code, shown, named = doctor(capsys)
    assert named == []
    revisions = "MCP 2025-11-25 with the agent's server, 2026-07-28 with the kit"
    assert f"  [ OK ] mongodb\n  [ OK ] mcp-server: {revisions}\n" in shown
    # This machine's own lacks, such as memory, are no cause; nor do they make it say all is well.
    assert code == (0 if "no problem found" in shown else 1)


@pytest.mark.parametrize("part", ["mongodb", "mcp-server"])
def test_a_part_that_was_killed(
    target: LocalTarget, capsys: pytest.CaptureFixture[str], part: str
) -> None:
    kill(target, part)
    code, shown, named = doctor(capsys)
    assert code == 1
    assert named[0].startswith(f"cause: {part}: ")
    assert f"{part} does not run any more." in named[0]
    notebook = {"mongodb": "04_deploy_mongodb", "mcp-server": "05_deploy_mcp_server"}[part]
    assert "killed, most often because memory ran out" in named[0]
    assert named[1].startswith("  Hint: end other programs")
    assert f"; then run {notebook} again: it starts what has ended" in named[1]
    if part == "mongodb":
        # The tool server fails as well, and is not blamed.
        assert "  [FAIL] mcp-server: because of mongodb\n" in shown
        assert len([line for line in named if line.startswith("cause")]) == 1


def test_a_wrong_secret_of_the_mcp_server(
    target: LocalTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    right = target.find("mcp-server")
    target.store.save_endpoint(
        "mcp-server", Endpoint(right.url, token=Secret("not-the-secret"), also=right.also)
    )
    code, _, named = doctor(capsys)
    target.store.save_endpoint("mcp-server", right)
    assert code == 1
    assert named[0].startswith("cause: mcp-server: ")
    assert "The credential was refused." in named[0]
    assert named[1] == "  Hint: run 05_deploy_mcp_server and 06_register_mcp_server again"
    assert "not-the-secret" not in named[0]


@pytest.mark.parametrize(
    ("page", "seen", "hint"),
    [
        # Another program, and a server of the older transport at /sse.
        ((404, "not here"), "HTTP 404: not here", "only at /sse"),
        ((405, "Method Not Allowed"), "HTTP 405: Method Not Allowed", "only at /sse"),
        # Protected against DNS rebinding, by either status.
        ((421, "Invalid Host header"), "does not answer to this host name", "allowed hosts"),
        ((403, "Invalid Origin header"), "does not answer to this host name", "allowed hosts"),
        ((403, "Forbidden"), "The credential was refused.", "run 05_deploy_mcp_server and 06"),
        ((500, "unhandled errors in a TaskGroup"), "The server failed.", "read its log"),
        ((200, LOGIN), "This is not an MCP server", "/sse"),
    ],
)
def test_what_listens_there_is_no_mcp_server_or_does_not_want_to_be(
    target: LocalTarget,
    capsys: pytest.CaptureFixture[str],
    page: tuple[int, str],
    seen: str,
    hint: str,
) -> None:
    with OpenAIServer(page=page) as other:
        named = with_mcp_server(target, capsys, other.url.removesuffix("/v1"))
    assert named[0].startswith("cause: mcp-server: ")
    assert seen in named[0]
    assert hint in named[1]


def with_mcp_server(
    target: LocalTarget, capsys: pytest.CaptureFixture[str], url: str = "", monitoring: str = ""
) -> list[str]:
    """What the doctor names while the MCP server is said to be there."""
    right = target.find("mcp-server")
    also = {"monitoring": monitoring} if monitoring else right.also
    target.store.save_endpoint(
        "mcp-server", Endpoint(url or right.url, token=right.token, also=also)
    )
    try:
        return doctor(capsys)[2]
    finally:
        target.store.save_endpoint("mcp-server", right)


def test_an_mcp_server_that_is_too_old_for_the_agent(
    target: LocalTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    with ForgetfulServer(speaks="2025-03-26") as server:
        named = with_mcp_server(target, capsys, server.url)
    assert named[0].startswith("cause: mcp-server: ")
    wanted = "speaks the protocol revision that the agent will use: expected 2025-11-25, saw "
    assert wanted + "2025-03-26" in named[0]


def test_a_session_that_another_replica_does_not_know(
    target: LocalTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    with ForgetfulServer() as server:
        named = with_mcp_server(target, capsys, server.url)
    assert named[0].startswith("cause: mcp-server: ")
    assert "does not know the session that it has just started" in named[0]
    assert "sessionAffinity ClientIP" in named[1]


def test_a_monitoring_port_that_does_not_answer(
    target: LocalTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    named = with_mcp_server(target, capsys, monitoring="http://127.0.0.1:1")
    assert named[0].startswith("cause: mcp-server: ")
    assert "is healthy on its monitoring port: expected ok, saw Nothing listens" in named[0]
    assert "its monitoring port is what tells its health" in named[1]


@pytest.mark.parametrize(
    ("url", "seen", "hint"),
    [
        ("http://mcp.invalid:3000", "The host name is not known.", "check the URL's host"),
        ("http://127.0.0.1:1", "Nothing listens at this address.", "workshop status"),
    ],
)
def test_the_mcp_server_is_not_where_it_is_said_to_be(
    target: LocalTarget, capsys: pytest.CaptureFixture[str], url: str, seen: str, hint: str
) -> None:
    named = with_mcp_server(target, capsys, url)
    assert named[0].startswith("cause: mcp-server: ")
    assert seen in named[0]
    assert hint in named[1]


def test_an_mcp_server_that_asks_nobody_for_the_secret(
    target: LocalTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    with OpenDoor(target.find("mcp-server")) as door:
        named = with_mcp_server(target, capsys, door.url)
    assert named[0].startswith("cause: mcp-server: MCP server: 2 of 9 checks failed.")
    assert "refuses without the shared secret: expected 401 or 403, saw let in" in named[0]
    assert "anybody who reaches it can read the database" in named[1]


STACK = {
    "/v1/version": (200, {"version": versions.LLAMA_STACK}),
    "/v1/health": (200, {"status": "OK"}),
    "/v1/vector_stores/vs_1/search": (
        200,
        {
            "object": "vector_store.search_results.page",
            "search_query": ["x"],
            "has_more": False,
            "data": [
                {
                    "file_id": "file-1",
                    "filename": "certificate-expired" + runbooks.UPLOADED,
                    "score": 1.0,
                    "content": [],
                    "attributes": {},
                }
            ],
        },
    ),
}
"""What a Llama Stack of the pinned version answers."""


def with_llama_stack(target: LocalTarget, server: OpenAIServer) -> None:
    target.adopt("llama-stack", Endpoint(server.url.removesuffix("/v1")))
    target.store.remember(runbooks.FACT, "vs_1")
    target.store.remember("model name", MODEL)


@pytest.mark.parametrize(
    ("options", "seen", "hint"),
    [
        (
            {"also": STACK | {"/v1/version": (200, {"version": "0.2.23"})}},
            f"expected llama-stack {versions.LLAMA_STACK}, saw llama-stack 0.2.23",
            "make setup, then run 03_deploy_llama_stack again",
        ),
        (
            {"page": (426, "Client version 0.5.1 is not compatible with server version 0.2.23")},
            "The versions of client and server do not fit together.",
            "make setup",
        ),
    ],
)
def test_a_llama_stack_of_another_version(
    target: LocalTarget,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    seen: str,
    hint: str,
) -> None:
    with OpenAIServer(**({"models": (f"vllm/{MODEL}",)} | options)) as server:
        with_llama_stack(target, server)
        code, _, named = doctor(capsys)
    assert code == 1
    assert named[0].startswith("cause: llama-stack: ")
    assert seen in named[0]
    assert hint in named[1]


def test_a_llama_stack_without_the_api_that_the_agent_asks(
    target: LocalTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        OpenAIServer(models=(f"vllm/{MODEL}",), also=STACK) as server,
        OpenAIServer(models=(MODEL,)) as language_model,
    ):
        with_llama_stack(target, server)
        target.adopt("model", Endpoint(language_model.url.removesuffix("/v1")))
        target.store.remember("model name", MODEL)
        workshop.register_mcp_server(target)
        _, shown, named = doctor(capsys)
    assert "  [ OK ] llama-stack\n" in shown
    assert named[0].startswith("cause: agent's tools: ")
    assert "this server has no Responses API" in named[0]
    assert "run 03_deploy_llama_stack again" in named[1]
    assert "Agents API" in named[1]


def test_tools_that_leave_the_model_no_room(
    target: LocalTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    known = {"data": [{"id": MODEL, "object": "model", "max_model_len": 4096}]}
    with (
        OpenAIServer(models=(f"vllm/{MODEL}",), also=STACK) as server,
        OpenAIServer(models=(MODEL,), models_body=known) as language_model,
    ):
        with_llama_stack(target, server)
        target.adopt("model", Endpoint(language_model.url.removesuffix("/v1")))
        target.store.remember("model name", MODEL)
        offered = [tool.name for tool in list_tools(target.find("mcp-server"), "/mcp")]
        workshop.register_mcp_server(target, tools=tuple(offered))
        _, _, named = doctor(capsys)
    assert named[0].startswith("cause: agent's tools: The tools leave the model too little room")
    assert re.search(rf"{len(offered)} tools are about \d{{4,5}} of the 4096 tokens", named[0])
    fewer = ", ".join(mcp_server.ALLOWED)
    assert f"run 06_register_mcp_server with only {fewer}," in named[1]


def test_the_database_refuses_the_password(
    target: LocalTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    right = target.find("mongodb")
    wrong = Endpoint(right.url, user=right.user, password=Secret("of-another-data-folder"))
    target.store.save_endpoint("mongodb", wrong)
    _, shown, named = doctor(capsys)
    target.store.save_endpoint("mongodb", right)
    assert named[0].startswith("cause: mongodb: The database refused the user or password.")
    assert "move its data folder away" in named[1]
    assert "of-another-data-folder" not in shown


def test_the_data_is_not_there(target: LocalTarget, capsys: pytest.CaptureFixture[str]) -> None:
    with mongodb.connected(target.find("mongodb")) as database:
        database.alerts.drop()
        database.incidents.update_one({"_id": "INC-007"}, {"$set": {"assignee": "Zoe"}})
        _, _, named = doctor(capsys)
        # It looks, and leaves the repair to the notebook that it names.
        assert database.alerts.count_documents({}) == 0
    assert named[0] == (
        "cause: mongodb: The sample data is not as it was loaded. edited incidents: INC-007; "
        "64 of 64 alerts are missing"
    )
    assert named[1].startswith("  Hint: run 04_deploy_mongodb again")


@pytest.mark.parametrize(
    ("options", "seen", "hint"),
    [
        # Tools are never called, or the call stays in the text.
        ({"calls": "prose"}, "no tool call, but text", "--tool-call-parser"),
        ({"calls": "content"}, "no tool call, but text", "--tool-call-parser"),
        ({"calls": "refused"}, "requires a tool parser", "--tool-call-parser"),
        # A login page, or a redirection to one.
        ({"page": (200, LOGIN)}, "not an OpenAI-compatible endpoint", "no login page"),
        ({"moved": "https://login.example/"}, "HTTP 302", "no login page"),
        # It listens, and does not serve the model yet.
        ({"page": (503, "loading")}, "The server is not ready yet.", "wait a minute"),
        # The server has no model, or another one.
        ({"models": ("other",)}, "expected small, saw other", "MODEL_NAME"),
        ({"token": "secret"}, "401", "MODEL_TOKEN"),
        ({"hang_up": True}, "The connection broke.", "workshop status"),
    ],
)
def test_the_models_own_troubles(
    target: LocalTarget,
    capsys: pytest.CaptureFixture[str],
    options: dict[str, Any],
    seen: str,
    hint: str,
) -> None:
    with OpenAIServer(**({"models": (MODEL,)} | options)) as server:
        target.adopt("model", Endpoint(server.url.removesuffix("/v1")))
        target.store.remember("model name", MODEL)
        code, _, named = doctor(capsys)
    assert code == 1
    assert named[0].startswith("cause: model: ")
    assert seen in named[0]
    assert named[1].startswith("  Hint: ")
    assert hint in named[1]
    assert not [line for line in named[1:] if line.startswith("cause")]


def test_a_certificate_that_nobody_knows(
    target: LocalTarget, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    with ExitStack() as stack:
        server = OpenAIServer(models=(MODEL,), certificate=certificate(tmp_path)[0])
        stack.enter_context(server)
        target.adopt("model", Endpoint(server.url.removesuffix("/v1")))
        target.store.remember("model name", MODEL)
        _, _, named = doctor(capsys)
    assert "cause: model: " in named[0]
    assert "The server's certificate was not verified." in named[0]
    assert "MODEL_CA_FILE" in named[1]


def test_most_calls_of_tools_fail(target: LocalTarget, capsys: pytest.CaptureFixture[str]) -> None:
    # With counters that begin at zero.
    kill(target, "mcp-server")
    endpoint = workshop.deploy_mcp_server(target).endpoint
    invented = {"connectionId": "of-mine", "database": "mcp_demo", "collection": "incidents"}
    for _ in range(4):
        assert call_tool(endpoint, "/mcp", "count", invented).failed
    _, shown, named = doctor(capsys)
    kill(target, "mcp-server")
    assert "  [ OK ] mcp-server: MCP " in shown
    assert re.match(r"cause: agent: every part is well, and 4 of [45] tool calls failed", named[0])
    assert "workshop logs mcp-server says how" in named[1]


CALLED = ToolCall("count", {"collection": "incidents"}, True, "[]")


@pytest.mark.parametrize(
    ("calls", "text", "hint"),
    [
        # A small model: it looks nothing up, writes a tool call as text, or never stops calling.
        ((), "There are 11 incidents open.", "take one that calls tools more reliably"),
        ((), '{"name": "count", "arguments": {}}', "take one that calls tools more reliably"),
        ((CALLED,), "", "it called tools again and again"),
        ((CALLED,), "There are some.", "the model asked for something else or did not quote it"),
    ],
)
def test_an_agent_that_answers_without_the_data_though_every_part_is_well(
    target: LocalTarget,
    capsys: pytest.CaptureFixture[str],
    calls: tuple[ToolCall, ...],
    text: str,
    hint: str,
) -> None:
    runs = target.settings.state / "runs"
    question, folder = "How many incidents are open?", DATA / "runbooks"
    with mongodb.connected(target.find("mongodb")) as database:  # noqa: SIM117
        with pytest.raises(AnswerNotGrounded) as refused:
            prove(Answer(question, text, 0.0, calls), database=database, runbooks=folder)
    step = StepReport("07_ask_the_agent")
    judge(step, {"cells": []}, str(refused.value))
    run = Folder(runs, target.store.secrets)
    run.write_json("report.json", Report("local", run.started, [step]).as_dict())
    try:
        code, _, named = doctor(capsys)
    finally:
        shutil.rmtree(runs)
    assert code == 1
    assert named[0].startswith("cause: agent: every part is well, and in the last run (")
    assert "07_ask_the_agent failed: The answer is not grounded: " in named[0]
    assert hint in named[1]


def test_two_troubles_at_once_are_both_named(
    target: LocalTarget, capsys: pytest.CaptureFixture[str]
) -> None:
    with OpenAIServer(models=(MODEL,), calls="prose") as server:
        target.adopt("model", Endpoint(server.url.removesuffix("/v1")))
        target.store.remember("model name", MODEL)
        kill(target, "mcp-server")
        _, shown, named = doctor(capsys)
    blamed = [line.split(": ")[1] for line in named if line.startswith("cause")]
    assert blamed == ["model", "mcp-server"]
    assert "  [ OK ] mongodb\n" in shown


@pytest.mark.parametrize(
    ("line", "reason", "remedy"),
    [
        ("write /data/x: no space left on device", "the disk is full", "free space"),
        ("terminate called: std::bad_alloc", "it was killed, most often because mem", "end "),
        ("open /data/state.json: permission denied", "it may not write to its folder", "give"),
        ("listen tcp 127.0.0.1:3000: bind: address already in use", "another program", "run"),
        ("sqlite: database disk image is malformed", "its data is damaged", "workshop stop"),
    ],
)
def test_what_a_log_says_of_the_reason(line: str, reason: str, remedy: str) -> None:
    found = read_log(["started", line, "bye"])
    assert found[0].startswith(reason)
    assert found[1].startswith(remedy)
    assert read_log(["started", "bye"]) == ("", "")


def test_damaged_weights_are_told_by_what_the_model_server_says(tmp_path: Path) -> None:
    try:
        python = locate("model-server") / "bin" / "python"
    except SetupError as error:
        pytest.skip(f"{error.what} {error.hint}")
    weights = tmp_path / "model.gguf"
    weights.write_bytes(b"GGUF" + bytes(4096))
    done = subprocess.run(
        [
            *(str(python), str(SCRIPT), "--weights", str(weights), "--name", "x"),
            *("--port", "1", "--context", "512", "--threads", "1"),
            *("--chat-template", str(TEMPLATE)),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
        env=os.environ | {"SERVER_TOKEN": "x"},
    )
    assert done.returncode != 0
    reason, remedy = read_log(done.stdout.splitlines())
    assert reason == "the weights could not be loaded"
    assert remedy.startswith("./bootstrap --verify")


HIDDEN = "Error (code 1): None"
"""All that Llama Stack 0.7.3 and OGX 1.5.0 tell of a tool that failed."""


def failed(tool: str, **arguments: object) -> ToolCall:
    """A call as an agent's server tells of one that failed."""
    given = mcp_server.ALWAYS | {"collection": "services"} | arguments
    return ToolCall(tool, given, False, HIDDEN)


def refusal(target: LocalTarget, call: ToolCall, tools: tuple[dict[str, Any], ...] = ()) -> str:
    """What the person reads who asked."""
    said = Answer("What?", "Eleven.", 0.0, failure.explained(target, [call], tools))
    with pytest.raises(AnswerNotGrounded) as refused:
        prove(said, database=None, runbooks=DATA / "runbooks")
    return str(refused.value)


def test_the_tools_own_words_are_told_which_the_agents_server_hides(target: LocalTarget) -> None:
    nameless = failed("aggregate", pipeline=[{"$group": {"n": {"$sum": 1}}}])
    text = refusal(target, nameless)
    assert "aggregate failed: " in text
    assert "a group specification must include an _id" in text
    assert "Hint: workshop status; workshop logs mcp-server" in text
    # Step 9 counts the calls that it knows of, and the server counts all.
    endpoint = target.find("mcp-server")
    before, _ = mcp_server.calls(endpoint)
    (again,) = failure.explained(target, [nameless], [])
    assert mcp_server.calls(endpoint)[0] - before == again.made - 1 == 1
    whole = failed("count", query={})
    assert f"count failed: {HIDDEN}; the same call, made again, succeeds" in refusal(target, whole)


@pytest.mark.skipif(locate("mongodb").name != "ferretdb", reason="a real mongod runs here")
def test_an_operator_that_the_database_lacks_is_named(target: LocalTarget) -> None:
    group = {"$group": {"_id": "$tier", "n": {"$avg": "$replicas"}}}
    text = refusal(target, failed("aggregate", pipeline=[group]))
    assert 'aggregate failed: Error running aggregate: $group accumulator "$avg" is not' in text
    name = f"FerretDB {versions.FERRETDB}"
    assert f"Hint: this database ({name}) has no $avg: docs/databases.md says how" in text


def test_a_call_that_may_write_or_has_a_reason_is_not_made_again(target: LocalTarget) -> None:
    for call in (
        failed("insert-many", documents=[{"_id": "made-again"}]),
        ToolCall("count", {}, False, "Error (code 1): the disk is full"),
        ToolCall("count", {}, True, "Found 11 documents"),
    ):
        assert failure.explained(target, [call], []) == (call,)


def test_a_call_whose_part_has_ended_says_so(target: LocalTarget) -> None:
    kill(target, "mongodb")
    text = refusal(target, failed("count", query={}))
    assert "count failed: mongodb does not run any more." in text
    assert "Hint: run 04_deploy_mongodb again: it starts what has ended" in text


def test_a_search_in_a_vector_store_that_is_gone_has_failed(target: LocalTarget) -> None:
    nothing = ToolCall(FILE_SEARCH, {"queries": ["disk"]}, True, "[]")
    with VectorStores() as server:
        target.adopt("llama-stack", Endpoint(server.url))
        store = server.add("runbooks")
        assert "the search found no runbook" in refusal(
            target, nothing, ({"type": FILE_SEARCH, "vector_store_ids": [store]},)
        )
        gone = ({"type": FILE_SEARCH, "vector_store_ids": ["vs_gone"]},)
        text = refusal(target, nothing, gone)
    assert "file_search failed: the vector store vs_gone is no longer there" in text
    assert "Hint: run 03_deploy_llama_stack again: it loads the runbooks" in text
