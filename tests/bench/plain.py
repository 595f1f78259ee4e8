"""What the kit is measured against: a plain script that starts the same servers and asks.

It starts each server as soon as what it depends on answers, all at the same time where nothing
forbids it, asks the questions of notebook 07 one after the other, and stops the servers. It proves
nothing, remembers nothing, and checks nothing but that each server answers. The command lines are
the kit's own, so that the same programs run with the same settings.

Prints one JSON object: seconds from the start until the servers were ready, and for each question.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from workshop.agent import questions
from workshop.core import versions as pins
from workshop.core.secret import Secret
from workshop.core.settings import DATA
from workshop.parts import embedder, llama_stack, mcp_server, model, mongodb
from workshop.targets.base import Endpoint, Part
from workshop.targets.local import programs
from workshop.targets.local.process import INHERITED, exported

PORTS = {"model": 18080, "embedder": 18081, "llama-stack": 18321, "mongodb": 17017, "mcp": 13000}
TOKEN = Secret("plain-script-token")
STORE = llama_stack.VECTOR_STORES["ogx"][0]


class Plain:
    """The servers, as plain child processes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self, part: Part, ports: dict[str, int], url: str, *, token: bool = False) -> None:
        """Start one server and wait until this URL answers."""
        command = programs.command(part, ports, self.folder / part.name)
        with (self.folder / f"{part.name}.log").open("wb") as log:
            self.children.append(
                subprocess.Popen(
                    command.argv,
                    cwd=command.cwd,
                    env=exported(*INHERITED) | dict(command.env),
                    stdout=log,
                    stderr=log,
                )
            )
        answers(url, token=token)

    def stop(self) -> None:
        """End every server."""
        for child in self.children:
            child.terminate()
        for child in self.children:
            child.wait(30)


def answers(url: str, *, token: bool) -> None:
    """Wait until the URL answers with 200."""
    headers = {"authorization": f"Bearer {TOKEN.reveal()}"} if token else {}
    deadline = time.monotonic() + 120
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=5):
                return
        except (urllib.error.URLError, OSError):
            time.sleep(0.1)
    raise SystemExit(f"{url} does not answer")


def local(port: str) -> str:
    """The URL of a server of this script."""
    return f"http://127.0.0.1:{PORTS[port]}"


def database() -> Endpoint:
    """How to reach the database."""
    url = f"mongodb://127.0.0.1:{PORTS['mongodb']}"
    return Endpoint(url, user=mongodb.USER, password=TOKEN)


def model_and_stack(plain: Plain) -> str:
    """The two model servers together, then OGX, then the runbooks; gives their store."""
    with ThreadPoolExecutor(2) as pool:
        chat = Part(
            "model",
            0,
            settings={"name": model.NAME, "context": model.CONTEXT, "max_tokens": model.MAX_TOKENS},
            secrets={"token": TOKEN},
        )
        embed = Part("embedder", 0, settings=embedder.SETTINGS, secrets={"token": TOKEN})
        list(
            pool.map(
                lambda job: plain.start(job[0], {"main": PORTS[job[0].name]}, job[1], token=True),
                [(chat, local("model") + "/v1/models"), (embed, local("embedder") + "/v1/models")],
            )
        )
    stack = llama_stack.part_of(
        "ogx",
        STORE,
        Endpoint(local("model"), token=TOKEN),
        Endpoint(local("embedder"), token=TOKEN),
        384,
    )
    plain.start(stack, {"main": PORTS["llama-stack"]}, local("llama-stack") + "/v1/health")
    return load_runbooks()


def load_runbooks() -> str:
    """Upload the runbooks and wait until they are embedded."""
    api = client()
    store = api.vector_stores.create(
        name="runbooks",
        extra_body={"provider_id": STORE, "embedding_model": "embedder-384/embedder"},
    )
    ids = [
        api.files.create(
            file=(path.name, path.read_bytes(), "text/markdown"), purpose="assistants"
        ).id
        for path in sorted((DATA / "runbooks").glob("*.md"))
    ]
    batch = api.vector_stores.file_batches.create(vector_store_id=store.id, file_ids=ids)
    while batch.status == "in_progress":
        time.sleep(0.3)
        batch = api.vector_stores.file_batches.retrieve(batch.id, vector_store_id=store.id)
    return str(store.id)


def data_and_tools(plain: Plain) -> None:
    """The database, its documents, and the MCP server."""
    part = Part("mongodb", 0, settings={"user": mongodb.USER}, secrets={"password": TOKEN})
    ports = {"main": PORTS["mongodb"], "metrics": PORTS["mongodb"] + 1}
    plain.start(part, ports, f"http://127.0.0.1:{ports['metrics']}/debug/metrics")
    with mongodb.connected(database()) as reading:
        for name, key in mongodb.IDS.items():
            reading[name].insert_many(mongodb.read_documents(DATA / f"{name}.json", key))
    server = Part(
        "mcp-server",
        0,
        settings={"read_only": True, "disabled_tools": mcp_server.DISABLED},
        secrets={"token": TOKEN},
        needs={"mongodb": database()},
    )
    ports = {"main": PORTS["mcp"], "monitoring": PORTS["mcp"] + 1}
    plain.start(server, ports, f"http://127.0.0.1:{ports['monitoring']}/health")


def client() -> object:
    """The client that drives OGX."""
    from llama_stack_client import LlamaStackClient

    url = local("llama-stack")
    return LlamaStackClient(base_url=url, api_key="none", timeout=300, max_retries=0)


def ask(store: str, instructions: str) -> dict[str, float]:
    """The seconds for each question, asked by one bare Responses call."""
    api = client()
    tools = [
        {
            "type": "mcp",
            "server_label": "mongodb",
            "server_url": local("mcp") + mcp_server.PATH,
            "authorization": TOKEN.reveal(),
            "require_approval": "never",
            "allowed_tools": ["list-collections", "count", "find"],
        },
        {"type": "file_search", "vector_store_ids": [store], "max_num_results": 1},
    ]
    seconds = {}
    for question in questions.QUESTIONS:
        began = time.monotonic()
        api.responses.create(
            model=f"{llama_stack.MODEL_PREFIX}/{model.NAME}",
            input=question.text,
            instructions=instructions,
            tools=tools,
            temperature=0,
            parallel_tool_calls=False,
            store=False,
        )
        seconds[question.text] = round(time.monotonic() - began, 2)
    return seconds


def main() -> None:
    """Start, ask, stop, print."""
    instructions = sys.stdin.read()
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="plain-") as folder:
        plain = Plain(Path(folder))
        try:
            with ThreadPoolExecutor(2) as pool:
                store = pool.submit(model_and_stack, plain)
                pool.submit(data_and_tools, plain).result()
                ready = store.result(), round(time.monotonic() - began, 2)
            asked = ask(ready[0], instructions)
            whole = round(time.monotonic() - began, 2)
        finally:
            plain.stop()
    versions = {"ogx": pins.OGX, "mcp-server": pins.MCP_SERVER}
    sys.stdout.write(
        json.dumps({"seconds": whole, "ready": ready[1], "asked": asked, "versions": versions})
        + "\n"
    )


if __name__ == "__main__":
    main()
