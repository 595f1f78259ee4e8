"""A run of the whole sequence on the test cluster, as a person or CI starts it."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import workshop
from testcluster.kubectl import apply, kubectl, restricted_namespace
from testcluster.node import Node
from workshop.agent import questions
from workshop.agent.proof.values import contains
from workshop.core.errors import WorkshopError
from workshop.core.wait import NotYet, wait_for
from workshop.parts import mongodb
from workshop.targets.cluster.target import ClusterTarget

ROOT = Path(__file__).resolve().parents[2]
STEPS = sorted(path.stem for path in (ROOT / "notebooks").glob("[01][0-9]_*.ipynb"))
SECURED = STEPS[:9]
"""Those to notebook 08: what OpenShift's sequences run."""
ASKED = questions.QUESTIONS


@dataclass
class Run:
    """What a run left: its output, its report, and the namespace in which its parts still run."""

    node: Node
    namespace: str
    home: Path
    output: str
    code: int

    @property
    def report(self) -> dict[str, Any]:
        latest = self.home / "runs" / "latest" / "report.json"
        found: dict[str, Any] = json.loads(latest.read_text("utf-8"))
        return found

    @property
    def target(self) -> ClusterTarget:
        target = workshop.connect("cluster")
        assert isinstance(target, ClusterTarget)
        return target

    def pods(self, *, jobs: bool = False) -> list[dict[str, Any]]:
        """The pods of Deployments, and those of Jobs where they are asked for, as they are now."""
        words = ("-n", self.namespace, "get", "pods", "-o", "json")
        items = json.loads(kubectl(self.node.kubeconfig, *words).stdout)["items"]
        return [
            pod for pod in items if jobs or pod["metadata"]["ownerReferences"][0]["kind"] != "Job"
        ]

    def start(self, *words: str) -> None:
        """Run the sequence, or a part of it."""
        done = self.command("run", *words)
        self.output, self.code = done.stdout, done.returncode

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """The command line, as a person runs it."""
        return subprocess.run(
            [sys.executable, "-m", "workshop.cli", *words, "--target", "cluster"],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2000,
            cwd=ROOT,
        )

    def logs(self) -> str:
        """The end of each pod's log, for a run that failed."""
        shown = ""
        for pod in self.pods():
            name = pod["metadata"]["name"]
            words = ("-n", self.namespace, "logs", name, "--all-containers", "--tail=60")
            shown += f"\n--- {name}\n{kubectl(self.node.kubeconfig, *words, check=False).stdout}"
        return shown

    def assert_no_credential_is_shown(self) -> None:
        """Not in what was printed or reported, nor in any object but a Secret, nor in a log."""
        secrets = [secret.reveal() for secret in self.target.store.secrets()]
        assert len(set(secrets)) >= 4
        shown = self.output
        for path in (self.home / "runs").rglob("*"):
            shown += path.read_text("utf-8", errors="replace") if path.is_file() else ""
        kinds = "pods,deployments,services,configmaps,events,jobs,replicasets"
        get = ("-n", self.namespace, "get", kinds, "-o", "yaml")
        shown += kubectl(self.node.kubeconfig, *get).stdout
        for pod in self.pods():
            logs = ("-n", self.namespace, "logs", pod["metadata"]["name"], "--all-containers")
            shown += kubectl(self.node.kubeconfig, *logs, check=False).stdout
        assert not [secret for secret in secrets if secret in shown]

    def assert_a_deleted_pod_is_survived(self, what: str) -> None:
        """Delete a part's pod in the middle of a question; ask again once it is back."""
        agent = workshop.create_agent(self.target)
        words = ("-n", self.namespace, "rollout", "restart", what)
        killing = threading.Timer(0.5, lambda: kubectl(self.node.kubeconfig, *words))
        killing.start()
        # Whether the question meets it depends on the moment; if so, the error is one of the kit's.
        with contextlib.suppress(WorkshopError):
            agent.ask(ASKED[0].text)
        killing.join()
        until = ("-n", self.namespace, "rollout", "status", what, "--timeout=120s")
        kubectl(self.node.kubeconfig, "--request-timeout=130s", *until)
        ready = self.target

        def back() -> object:
            try:
                return ready.find("mcp-server")
            except WorkshopError as error:
                return NotYet(error.what)

        wait_for("the part to be back", back, timeout=60)
        answer = workshop.create_agent(ready).ask(ASKED[0].text)
        assert getattr(answer, "grounded", False)

    def assert_clean_up_leaves_nothing(self) -> None:
        """Notebook 99: the data stays at first, and goes when that is asked for."""
        claims = ("-n", self.namespace, "get", "persistentvolumeclaims", "-o", "name")
        before = kubectl(self.node.kubeconfig, *claims).stdout
        assert "mongodb-data" in before
        kept = self.command("run", "--only", "99")
        assert kept.returncode == 0, kept.stdout
        # Those of operators too, whatever happened to the resource that they were made for.
        assert kubectl(self.node.kubeconfig, *claims).stdout == before
        gone = self.command("run", "--only", "99", "-p", "DELETE_DATA=True")
        assert gone.returncode == 0, gone.stdout
        kinds = "all,configmaps,secrets,persistentvolumeclaims,serviceaccounts,roles,rolebindings"
        kinds += ",networkpolicies.networking.k8s.io"
        ours = ("-l", "app.kubernetes.io/managed-by=agent-workshop-kit", "-o", "name")
        left = kubectl(self.node.kubeconfig, "-n", self.namespace, "get", kinds, *ours).stdout
        assert left == ""
        every = ("-n", self.namespace, "get", "pods,persistentvolumeclaims", "-o", "name")
        assert kubectl(self.node.kubeconfig, *every).stdout == ""


@contextmanager
def running(node: Node, namespace: str, home: Path, *, restricted: bool) -> Iterator[Run]:
    """A namespace of its own for a run, which goes with it."""
    meta = {"name": namespace}
    apply(node.kubeconfig, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    if restricted:
        restricted_namespace(node.kubeconfig, namespace)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKSHOP_NAMESPACE", namespace)
        assert os.environ["KUBECONFIG"] == str(node.kubeconfig)
        yield Run(node, namespace, home, "", 0)
        kubectl(node.kubeconfig, "delete", "namespace", namespace, "--wait=false", check=False)


@contextmanager
def run_all(
    node: Node, namespace: str, home: Path, *things: dict[str, Any], words: tuple[str, ...] = ()
) -> Iterator[Run]:
    """Run the whole sequence in a namespace of its own, in which these things are made before."""
    with running(node, namespace, home, restricted=True) as run:
        for thing in things:
            apply(
                node.kubeconfig, thing | {"metadata": thing["metadata"] | {"namespace": namespace}}
            )
        run.start(*words)
        yield run


@contextmanager
def when_closed(node: Node, namespace: str, *things: dict[str, Any]) -> Iterator[None]:
    """Apply these once notebook 08 has closed the namespace, while a run goes on."""
    over = threading.Event()

    def add() -> None:
        get = ("-n", namespace, "get", "networkpolicy", "workshop-mongodb", "-o", "name")
        while not kubectl(node.kubeconfig, *get, check=False).stdout:
            if over.wait(2):
                return
        apply(node.kubeconfig, *things, namespace=namespace)

    adding = threading.Thread(target=add)
    adding.start()
    try:
        yield
    finally:
        over.set()
        adding.join()


def checked(
    run: Run, wanted: Sequence[str] = STEPS, asked: Sequence[questions.Question] = ASKED
) -> dict[str, str]:
    """The steps' statuses, after looking at the report: what was asked, and what pymongo reads.

    ``wanted`` ends with the steps that ran, ``asked`` is what the agent was asked in them.
    """
    assert run.code == 0, run.output + run.logs()
    report = run.report
    assert (report["status"], report["target"]) == ("passed", "cluster")
    steps = [step["notebook"] for step in report["steps"]]
    assert steps == list(wanted[-len(steps) :])
    answers = {answer["question"]: answer for answer in report["answers"]}
    assert list(answers) == [question.text for question in asked]
    with mongodb.connected(run.target.find("mongodb")) as database:
        for question in asked:
            answer = answers[question.text]
            assert answer["grounded"], answer
            assert [call["ok"] for call in answer["tool_calls"]].count(True) >= 1, answer
            missing = [v for v in question.truth(database) if not contains(answer["text"], v)]
            assert not missing, answer
    for step in report["steps"]:
        assert all(check["ok"] for check in step["checks"])
    return {step["notebook"]: step["status"] for step in report["steps"]}
