"""What a run has left of notebook 10: replicas that share, and one that may go."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from typing import Any

from runs import ASKED, Run
from testcluster.kubectl import kubectl
from testcluster.place import ENTER
from workshop.clients import http, mcp
from workshop.core.errors import WorkshopError
from workshop.core.progress import stages
from workshop.core.wait import NotYet, wait_for
from workshop.parts import llama_stack, mcp_server
from workshop.targets.base import Scale

ASKING = """
import sys, urllib.request
for _ in range(int(sys.argv[2])):
    urllib.request.urlopen(sys.argv[1], timeout=30).read()
"""
SESSION = """
import json, os, sys, urllib.request

def ask(body, **headers):
    headers |= {"accept": "application/json, text/event-stream", "content-type": "application/json"}
    headers["authorization"] = "Bearer " + os.environ["SERVER_TOKEN"]
    sent = urllib.request.Request(sys.argv[1], json.dumps(body).encode(), headers)
    return urllib.request.urlopen(sent, timeout=30)

hello = json.loads(sys.argv[2])
session = ask(hello).headers["mcp-session-id"]
for _ in range(20):
    # A connection of its own each: another pod would not know the session.
    ask({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}, **{"mcp-session-id": session}).read()
"""
QUESTIONS = 24
"""Enough that two pods, taken by chance, are hit both: one is left out once in 8 million."""


def pods_of(run: Run, app: str) -> list[str]:
    """The names of a part's pods that are ready."""
    items = [p for p in run.pods() if p["metadata"]["labels"].get("app") == app]
    return sorted(
        str(pod["metadata"]["name"])
        for pod in items
        if not pod["metadata"].get("deletionTimestamp")
        and any(c["type"] == "Ready" and c["status"] == "True" for c in pod["status"]["conditions"])
    )


def thing(run: Run, *words: str) -> dict[str, Any]:
    """An object of the namespace."""
    shown = kubectl(run.node.kubeconfig, "-n", run.namespace, "get", *words, "-o", "json")
    found: dict[str, Any] = json.loads(shown.stdout)
    return found


def log(run: Run, pod: str) -> str:
    words = ("-n", run.namespace, "logs", pod, "--tail=-1")
    return kubectl(run.node.kubeconfig, *words).stdout


def assert_a_service_spreads(run: Run, service: str, app: str, path: str) -> None:
    """Questions to the Service's own address, from the node: each pod's log has some of them."""
    pods = pods_of(run, app)
    assert len(pods) == 2, pods
    spec = thing(run, "service", service)["spec"]
    url = f"http://{spec['clusterIP']}:{spec['ports'][0]['port']}{path}"
    before = {pod: log(run, pod).count(f"GET {path} ") for pod in pods}
    argv = [*ENTER, sys.executable, "-c", ASKING, url, str(QUESTIONS)]
    subprocess.run(argv, check=True, timeout=120)
    after = {pod: log(run, pod).count(f"GET {path} ") - before[pod] for pod in pods}
    assert sum(after.values()) == QUESTIONS, after
    assert min(after.values()) > 0, after


def assert_the_log_is_that_of_all_replicas(run: Run) -> None:
    """The newest line of each pod, which holds a port of its own, is among the part's lines."""
    pods = pods_of(run, "llama-stack")
    assert len(pods) == 2, pods
    asked = [[one for one in log(run, pod).splitlines() if "GET /v1/" in one] for pod in pods]
    newest = {lines[-1] for lines in asked}
    assert len(newest) == 2, newest
    lines = list(run.target.logs("llama-stack", lines=2000))
    assert newest <= set(lines)
    command = run.command("logs", "llama-stack", "--lines", "5")
    assert (command.returncode, command.stdout.count("\n")) == (0, 5)


def assert_a_client_stays_with_its_session(run: Run) -> None:
    """A session of MCP through the Service's own address, over connections of their own."""
    assert len(pods_of(run, "mongodb-mcp-server")) == 2
    spec = thing(run, "service", "mongodb-mcp-server")["spec"]
    token = run.target.find(mcp_server.PART).token
    assert token
    url = f"http://{spec['clusterIP']}:{mcp_server.PORT}{mcp_server.PATH}"
    subprocess.run(
        [*ENTER, sys.executable, "-c", SESSION, url, json.dumps(mcp._HELLO)],
        check=True,
        timeout=120,
        env=os.environ | {"SERVER_TOKEN": token.reveal()},
    )


def assert_each_replica_of_the_mcp_server_is_watched(run: Run) -> None:
    """Prometheus reads the page of each pod: one alone knows a part of the calls."""
    import workshop

    count = len(pods_of(run, "mongodb-mcp-server"))

    def read() -> set[str] | NotYet:
        pages = [p for p in workshop.list_scrape_targets(run.target) if p.part == "mcp-server"]
        found = {page.url for page in pages if page.state == "read"}
        return found if len(found) == count else NotYet(str(pages))

    assert count == 2
    wait_for("the pages of both", read, timeout=60, every=1.0)


def assert_an_autoscaler_comes_and_goes(run: Run) -> None:
    """With a most it is there, with its limits; without, it goes, and the replicas stay."""
    target, part = run.target, mcp_server.part_of(run.target)

    def scaled(scale: Scale) -> list[str]:
        with stages("scale") as stage:
            target.scaling.scale(part, scale, ready=mcp_server.ready, timeout=120, stage=stage)
        names = ("-n", run.namespace, "get", "horizontalpodautoscalers", "-o", "name")
        return kubectl(run.node.kubeconfig, *names).stdout.split()

    assert scaled(Scale(2, 3)) == ["horizontalpodautoscaler.autoscaling/mongodb-mcp-server"]
    limits = thing(run, "horizontalpodautoscaler", "mongodb-mcp-server")["spec"]
    assert (limits["minReplicas"], limits["maxReplicas"]) == (2, 3)
    assert scaled(Scale(2)) == []
    assert len(pods_of(run, "mongodb-mcp-server")) == 2


def assert_a_replica_that_goes_loses_no_question(run: Run) -> None:
    """Two users ask and ask; in the middle of it one of two pods is deleted."""
    target = run.target
    endpoint, name = target.find(llama_stack.PART), llama_stack.model_id(target)
    body = {
        "model": name,
        "messages": [{"role": "user", "content": "Say hello."}],
        "max_tokens": 32,
    }
    answered, lost, enough = [0], [], threading.Event()

    def ask() -> None:
        while not enough.is_set():
            try:
                http.call(endpoint, "/v1/chat/completions", json=body, timeout=120)
                answered[0] += 1
            except WorkshopError as error:
                lost.append(str(error))

    users = [threading.Thread(target=ask) for _ in range(2)]
    for user in users:
        user.start()
    try:
        wait_for("questions", lambda: answered[0] >= 2 or NotYet("none yet"), timeout=120)
        first, _ = pods_of(run, "llama-stack")
        # Returns when the pod is gone: it has then answered what it was asked.
        words = ("-n", run.namespace, "delete", "pod", first, "--wait=true", "--timeout=150s")
        kubectl(run.node.kubeconfig, "--request-timeout=160s", *words)
        so_far = answered[0]
        wait_for("more", lambda: answered[0] >= so_far + 4 or NotYet("few"), timeout=120)
    finally:
        enough.set()
        for user in users:
            user.join()
    assert not lost
    wait_for(
        "the replica to be back",
        lambda: len(pods_of(run, "llama-stack")) == 2 or NotYet("one"),
        timeout=120,
        every=1.0,
    )
    assert first not in pods_of(run, "llama-stack")


def assert_a_later_step_keeps_the_replicas(run: Run) -> None:
    """Notebook 05, run again, leaves two and says so; the agent's answers are still grounded."""
    again = run.command("run", "--only", "05")
    assert again.returncode == 0, again.stdout
    assert "2 replicas, as 10_scale_out has set it" in again.stdout
    assert len(pods_of(run, "mongodb-mcp-server")) == 2
    budget = thing(run, "poddisruptionbudget", "mongodb-mcp-server")
    assert budget["spec"]["minAvailable"] == 1
    import workshop

    assert getattr(workshop.create_agent(run.target).ask(ASKED[0].text), "grounded", False)
