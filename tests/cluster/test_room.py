"""``workshop room`` on a real API server: made, repeated, broken, fixed and removed."""

from __future__ import annotations

import importlib
import os
import pty
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from kubernetes import client
from testcluster.kubectl import apply, kubectl
from testcluster.node import Node
from workshop.parts.catalog import ALL
from workshop.parts.model import model_name, serve_model
from workshop.room import prepare
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.errors import Forbidden
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.target import ClusterTarget

pytestmark = pytest.mark.timeout(900)

TOKEN = "room-token-3f9a7c51"
ADDRESS = "https://model.example.com"
MODEL = ("--model-url", f"{ADDRESS}/v1", "--model-name", "granite-8b")
MALLORY = '[{"kind": "User", "apiGroup": "rbac.authorization.k8s.io", "name": "mallory"}]'
PASSED = r"{} +user{} +{} +(\d+)/\1 +yes +{} +OK"


@pytest.fixture(scope="module")
def api(node: Node) -> Api:
    """The cluster, as its administrator."""
    return connect({"KUBECONFIG": str(node.kubeconfig)})


@pytest.fixture
def prefix(node: Node) -> Iterator[Callable[[str], str]]:
    """Names of rooms, which are removed after the test."""
    used = []

    def take(name: str) -> str:
        used.append(name)
        return name

    yield take
    for name in used:
        label = f"--selector=agent-workshop-kit/room={name}"
        kinds = "namespace,clusterrole,clusterrolebinding"
        kubectl(node.kubeconfig, "delete", kinds, label, "--wait=false")


@pytest.fixture
def openai_server(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A model server with a token, as an instructor may have one."""
    monkeypatch.syspath_prepend(Path(__file__).resolve().parents[1] / "local")
    return importlib.import_module("standin.openai_server")


def argv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "workshop.cli", "room", *arguments]


def environment(node: Node, token: str) -> dict[str, str]:
    mine = {"KUBECONFIG": str(node.kubeconfig), "MODEL_TOKEN": token}
    return os.environ | mine


def run(
    node: Node, *arguments: str, token: str = "", **more: Any
) -> subprocess.CompletedProcess[str]:
    """The command; the token must show in nothing that it writes."""
    done = subprocess.run(
        argv(*arguments),
        env=environment(node, token),
        capture_output=True,
        text=True,
        check=False,
        **({"stdin": subprocess.DEVNULL} | more),
    )
    assert TOKEN not in done.stdout + done.stderr
    return done


def interrupt_at(process: subprocess.Popen[str], said: str) -> None:
    """Press Ctrl-C once it has said this."""
    assert process.stderr
    for line in process.stderr:
        if said in line:
            process.send_signal(signal.SIGINT)
            return


def rows(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines of the table, without its head."""
    table = done.stdout.split("\n\n")[0].splitlines()
    assert table[0].split() == [
        "namespace",
        "attendee",
        "did",
        "rights",
        "quota",
        "model",
        "result",
    ]
    return table[1:]


def requests(done: subprocess.CompletedProcess[str]) -> int:
    found = re.search(r"after [\d.]+ s and (\d+) requests", done.stdout)
    assert found, done.stdout + done.stderr
    return int(found.group(1))


def names(api: Api, start: str) -> list[str]:
    found = api.list("v1", "Namespace", namespace=None)
    mine = (one["metadata"]["name"] for one in found if "deletionTimestamp" not in one["metadata"])
    return sorted(name for name in mine if name.startswith(start))


def test_a_room_is_made_checked_and_left_alone_when_it_is_right(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("made")
    first = run(node, "--attendees", "3", "--prefix", name, *MODEL, token=TOKEN)
    assert first.returncode == 0, first.stdout + first.stderr
    for number, row in enumerate(rows(first), 1):
        assert re.fullmatch(PASSED.format(f"made-{number}", number, "created", "yes"), row), row
    assert "3 of 3 namespaces are ready, after " in first.stdout
    before = {n: api.get("v1", "Namespace", n) for n in names(api, "made-")}

    again = run(node, "--attendees", "3", "--prefix", name, *MODEL, token=TOKEN)
    assert again.returncode == 0
    for number, row in enumerate(rows(again), 1):
        assert re.fullmatch(PASSED.format(f"made-{number}", number, "unchanged", "yes"), row), row
    assert {n: api.get("v1", "Namespace", n) for n in names(api, "made-")} == before
    # 2 for the kinds, 6 lists before and after, 2 for what is shared, and 1 check an attendee.
    assert requests(again) == 2 + 6 + 2 + 6 + 3
    # Besides: 6 objects an attendee, and a rule that takes a moment to count.
    assert requests(again) + 6 * 3 <= requests(first) <= requests(again) + 6 * 3 + 10


def test_more_attendees_come_and_fewer_remove_nothing_unasked(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("size")
    assert run(node, "--attendees", "2", "--prefix", name).returncode == 0
    larger = run(node, "--attendees", "4", "--prefix", name)
    assert [row.split()[2] for row in rows(larger)] == ["unchanged"] * 2 + ["created"] * 2

    smaller = run(node, "--attendees", "1", "--prefix", name)
    assert smaller.returncode == 0
    assert "above --attendees 1, and kept: size-2, size-3, size-4\n" in smaller.stdout
    assert "Hint: --remove-extra removes them" in smaller.stdout
    assert names(api, "size-") == ["size-1", "size-2", "size-3", "size-4"]
    # Those that are kept keep their look at the cluster.
    assert prepare.may(api, "user4", "size-4", ("", "nodes", "list"))

    unasked = run(node, "--attendees", "1", "--prefix", name, "--remove-extra")
    assert unasked.returncode == 1
    assert "3 namespaces would be removed with everything in them, and there is" in unasked.stderr
    assert len(names(api, "size-")) == 4
    done = run(node, "--attendees", "1", "--prefix", name, "--remove-extra", "--yes")
    assert done.returncode == 0
    assert names(api, "size-") == ["size-1"]
    assert not prepare.may(api, "user4", "size-4", ("", "nodes", "list"))


def test_an_attendee_may_do_what_the_notebooks_need_and_nothing_elsewhere(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("rights")
    assert run(node, "--attendees", "2", "--prefix", name, *MODEL, token=TOKEN).returncode == 0
    account = "system:serviceaccount:rights-1:workshop"
    for user in ("user1", account):
        for right in prepare.needed(api):
            assert prepare.may(api, user, "rights-1", right), (user, right)
            if right[1] not in ("nodes", "machinesets", "machines", "clusterpolicies") and (
                right[0] != "config.openshift.io"
            ):
                assert not prepare.may(api, user, "rights-2", right), (user, right)
        for right in (
            ("", "nodes", "delete"),
            ("", "resourcequotas", "patch"),
            ("", "resourcequotas", "delete"),
            ("", "limitranges", "patch"),
            ("", "namespaces", "create"),
            ("rbac.authorization.k8s.io", "clusterroles", "create"),
        ):
            assert not prepare.may(api, user, "rights-1", right), (user, right)


def test_a_workbench_works_with_its_own_token(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("bench")
    assert run(node, "--attendees", "2", "--prefix", name, *MODEL, token=TOKEN).returncode == 0
    apply(node.kubeconfig, account("bench-1", "workshop"))
    made = kubectl(node.kubeconfig, "-n", "bench-1", "create", "token", "workshop")
    configuration = client.Configuration()
    configuration.host, configuration.ssl_ca_cert = api.url, str(node.folder / "pki" / "ca.crt")
    configuration.api_key = {"authorization": f"Bearer {made.stdout.strip()}"}
    workbench = Api(client.ApiClient(configuration), "bench-1", inside=False)
    workbench.apply(
        {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "own"}, "data": {"a": "b"}}
    )
    assert workbench.get("v1", "Secret", "agent-workshop-room") is not None
    with pytest.raises(Forbidden, match="this user may not"):
        workbench.get("v1", "Secret", "agent-workshop-room", "bench-2")
    with pytest.raises(Forbidden, match="this user may not"):
        workbench.delete(
            {
                "apiVersion": "v1",
                "kind": "ResourceQuota",
                "metadata": {"name": "agent-workshop-room"},
            }
        )


def account(namespace: str, name: str) -> dict[str, Any]:
    meta = {"name": name, "namespace": namespace}
    return {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": meta}


def test_a_strangers_namespace_of_such_a_name_is_never_touched(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("mixed")
    meta = {"name": "mixed-2", "labels": {"team": "payments"}}
    apply(node.kubeconfig, {"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    before = api.get("v1", "Namespace", "mixed-2")

    done = run(node, "--attendees", "3", "--prefix", name, *MODEL, token=TOKEN)
    assert done.returncode == 1
    assert [(row.split()[2], row.split()[-1]) for row in rows(done)] == [
        ("created", "OK"),
        ("left", "FAIL"),
        ("created", "OK"),
    ]
    assert "mixed-2 is not of this room: nothing in it was touched" in done.stdout
    assert "2 of 3 namespaces are ready" in done.stdout
    for kind in ("ResourceQuota", "LimitRange", "Secret"):
        assert api.list("v1", kind, namespace="mixed-2") == []
    assert not prepare.may(api, "user2", "mixed-2", ("", "pods", "list"))
    assert not prepare.may(api, "user2", "mixed-2", ("", "nodes", "list"))

    removed = run(node, "--remove", "--yes", "--prefix", name)
    assert removed.stdout.splitlines() == [
        "removed Namespace mixed-1",
        "removed Namespace mixed-3",
        "removed ClusterRoleBinding agent-workshop-room-mixed",
        "removed ClusterRole agent-workshop-room-mixed",
    ]
    assert names(api, "mixed-") == ["mixed-2"]
    assert api.get("v1", "Namespace", "mixed-2") == before
    nothing = run(node, "--remove", "--prefix", name)
    assert (nothing.returncode, nothing.stdout) == (
        0,
        "nothing has the label of the room 'mixed'\n",
    )


def test_what_somebody_has_changed_is_fixed_or_named_all_at_once(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("broken")
    assert run(node, "--attendees", "4", "--prefix", name).returncode == 0
    own = "agent-workshop-room"
    fixed = [("broken-1", "limitrange", own), ("broken-1", "resourcequota", own)]
    for namespace, kind, thing in fixed:
        kubectl(node.kubeconfig, "-n", namespace, "delete", kind, thing)
    more = '{"spec": {"hard": {"pods": "100"}}}'
    kubectl(node.kubeconfig, "-n", "broken-2", "patch", "resourcequota", own, "-p", more)
    for namespace, subjects in (("broken-1", "[]"), ("broken-3", MALLORY)):
        change = ("--type=merge", "-p", f'{{"subjects": {subjects}}}')
        kubectl(node.kubeconfig, "-n", namespace, "patch", "rolebinding", own, *change)
    done = run(node, "--attendees", "4", "--prefix", name)
    assert done.returncode == 1
    assert [(row.split()[2], row.split()[-1]) for row in rows(done)] == [
        ("changed", "OK"),
        ("changed", "FAIL"),
        ("changed", "FAIL"),
        ("unchanged", "OK"),
    ]
    assert "to apply ResourceQuota agent-workshop-room: kubectl-patch manages" in done.stdout
    assert "to apply RoleBinding agent-workshop-room: kubectl-patch manages" in done.stdout
    assert re.search(
        r"user3 may not get services, list services, watch services, create services and \d+ more",
        done.stdout,
    )
    assert "2 of 4 namespaces are ready" in done.stdout
    for namespace, kind in (("broken-2", "resourcequota"), ("broken-3", "rolebinding")):
        kubectl(node.kubeconfig, "-n", namespace, "delete", kind, own)
    assert run(node, "--attendees", "4", "--prefix", name).returncode == 0


def test_a_shared_model_does_not_go_unsaid(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("shared")
    made = ("--attendees", "2", "--prefix", name)
    assert run(node, *made, *MODEL, token=TOKEN).returncode == 0
    for arguments, said in (
        (made, "it offers a model, and --model-url is not given"),
        ((*made, *MODEL), "its model has a token, and MODEL_TOKEN is not set"),
    ):
        refused = run(node, *arguments)
        assert refused.returncode == 1
        assert (
            "This room shares a model, and these options do not give all of it." in refused.stderr
        )
        assert said in refused.stderr
    assert run(node, *made, *MODEL, token=TOKEN + "-2").returncode == 0
    kept = api.get("v1", "Secret", "agent-workshop-room", "shared-2")
    assert kept is not None
    assert set(kept["data"]) == {"url", "name", "token"}
    done = run(node, *made, "--no-model")
    assert done.returncode == 0
    assert [row.split()[2] for row in rows(done)] == ["changed", "changed"]
    assert api.get("v1", "Secret", "agent-workshop-room", "shared-2") is None


def test_a_notebook_takes_the_shared_model_and_cleaning_up_leaves_the_room(
    node: Node,
    prefix: Callable[[str], str],
    openai_server: ModuleType,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = prefix("offer")
    pem, ca = openai_server.certificate(tmp_path)
    with openai_server.OpenAIServer(token=TOKEN, certificate=pem) as server:
        offered = ("--model-url", server.url, "--model-name", "granite-8b")
        monkeypatch.setenv("MODEL_CA_FILE", str(ca))
        done = run(node, "--attendees", "1", "--prefix", name, *offered, token=TOKEN)
        assert done.returncode == 0, done.stdout + done.stderr
        mine = {"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": "offer-1"}
        target = ClusterTarget(connect(mine), ALL)
        deployed = serve_model(target)
        assert deployed.action == "adopted"
        assert deployed.endpoint.url == server.url.removesuffix("/v1")
        assert model_name(target) == "granite-8b"
        # Another notebook finds it too, with its token and its CA.
        other = ClusterTarget(connect(mine), ALL)
        found = other.find("model")
        assert found.token is not None
        assert found.token.reveal() == TOKEN
        assert found.ca_file is not None
        assert found.ca_file.read_text() == ca.read_text()
        assert serve_model(other).action == "adopted"
    other.clean_up(data=True)
    again = run(node, "--attendees", "1", "--prefix", name, *offered, token=TOKEN)
    assert rows(again)[0].split()[2] == "unchanged"
    monkeypatch.delenv("MODEL_CA_FILE")
    refused = run(node, "--attendees", "1", "--prefix", name, *offered, token=TOKEN)
    assert "its model has a CA, and MODEL_CA_FILE is not set" in refused.stderr


def test_the_token_stands_in_the_secrets_alone(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("quiet")
    with subprocess.Popen(
        argv("--attendees", "2", "--prefix", name, *MODEL),
        env=environment(node, TOKEN),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        assert TOKEN not in Path(f"/proc/{process.pid}/cmdline").read_text()
        assert TOKEN not in process.communicate()[0]
    shown = "namespace,quota,limits,rolebindings,configmaps,events"
    assert TOKEN not in kubectl(node.kubeconfig, "get", "-A", "-o", "yaml", shown).stdout
    (kept,) = api.list("v1", "Secret", namespace="quiet-1")
    assert TOKEN not in str(kept)
    assert "annotations" not in kept["metadata"]


def test_ctrl_c_leaves_nothing_that_a_repeat_does_not_fix(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("cut")
    with subprocess.Popen(
        argv("--attendees", "40", "--prefix", name),
        env=environment(node, ""),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        interrupt_at(process, "what is in them: 40")
        began = time.monotonic()
        out, error = process.communicate(timeout=60)
    assert process.returncode == 130
    assert (out, error.splitlines()[-1]) == ("", "interrupted")
    assert time.monotonic() - began < 10
    quotas = len(api.list("v1", "LimitRange", "agent-workshop-kit/room=cut", None))
    assert quotas < 40
    done = run(node, "--attendees", "40", "--prefix", name)
    assert done.returncode == 0, done.stdout
    assert "40 of 40 namespaces are ready" in done.stdout
    assert [row.split()[2] for row in rows(done)].count("changed") == 40 - whole(rows(done))


def whole(table: list[str]) -> int:
    return sum(row.split()[2] == "unchanged" for row in table)


def test_progress_shows_how_far_each_attendee_is(
    node: Node, prefix: Callable[[str], str], tmp_path: Path
) -> None:
    name = prefix("far")
    assert run(node, "--attendees", "2", "--prefix", name).returncode == 0
    mine = {"WORKSHOP_NAMESPACE": "far-2", "WORKSHOP_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-m", "workshop.cli", "run", "--target", "cluster", "--only", "00"],
        env=environment(node, "") | mine,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    shown = run(node, "--progress", "--prefix", name).stdout
    first, second = (line for line in shown.splitlines() if line.startswith("far-"))
    assert re.fullmatch(r"far-1 +0 +- +- +GPU 0/1, CPU 0/8, memory 0/32Gi", first)
    assert re.fullmatch(r"far-2 +1 +00 passed since \d\d:\d\d +\d+ checks +GPU .+", second)
    assert shown.endswith("2 attendees: 1 begun, 0 at a failed cell\n")
    nobody = run(node, "--progress", "--prefix", "nobody")
    assert nobody.returncode == 1
    assert "There is no room 'nobody'." in nobody.stderr


def test_a_page_of_the_progress_is_written_until_ctrl_c(
    node: Node, prefix: Callable[[str], str], tmp_path: Path
) -> None:
    name, page = prefix("seen"), tmp_path / "room.html"
    assert run(node, "--attendees", "1", "--prefix", name).returncode == 0
    with subprocess.Popen(
        argv("--progress", "--prefix", name, "--page", str(page)),
        env=environment(node, ""),
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        interrupt_at(process, "1 attendee: 0 begun, 0 at a failed cell")
        process.communicate(timeout=60)
    assert process.returncode == 130
    assert "<td" in page.read_text()
    assert "seen-1" in page.read_text()


def test_a_room_that_is_being_removed_is_waited_for(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("again")
    assert run(node, "--attendees", "2", "--prefix", name).returncode == 0
    kubectl(node.kubeconfig, "delete", "namespace", "again-2", "--wait=false")
    done = run(node, "--attendees", "2", "--prefix", name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [row.split()[2] for row in rows(done)] == ["unchanged", "created"]


def test_a_removal_that_was_cut_goes_on_and_says_what_it_waits_for(
    node: Node, api: Api, prefix: Callable[[str], str]
) -> None:
    name = prefix("held")
    assert run(node, "--attendees", "2", "--prefix", name).returncode == 0
    meta = {"name": "held", "namespace": "held-1", "finalizers": ["example.com/hold"]}
    apply(node.kubeconfig, {"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta})
    kubectl(node.kubeconfig, "delete", "namespace", "held-1", "--wait=false")
    with subprocess.Popen(
        argv("--remove", "--yes", "--prefix", name),
        env=environment(node, ""),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr
        for line in process.stderr:
            if "waiting for deleted namespaces to be gone: " in line:
                assert "held-1" in line
                break
        free = ("--type=merge", "-p", '{"metadata": {"finalizers": null}}')
        kubectl(node.kubeconfig, "-n", "held-1", "patch", "configmap", "held", *free)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    assert out.startswith("removed Namespace held-1\nremoved Namespace held-2\n")
    assert names(api, "held-") == []


@pytest.mark.parametrize("answer", ["no", ""])
def test_a_person_is_asked_before_anything_is_removed(
    node: Node, api: Api, prefix: Callable[[str], str], answer: str
) -> None:
    name = prefix("asked")
    assert run(node, "--attendees", "1", "--prefix", name).returncode == 0
    ours, theirs = pty.openpty()
    try:
        os.write(ours, f"{answer}\n".encode())
        done = run(node, "--remove", "--prefix", name, stdin=theirs)
    finally:
        os.close(ours)
        os.close(theirs)
    assert done.returncode == 1
    assert "This removes 1 namespace with everything in them: asked-1\n" in done.stderr
    assert "Nothing was removed." in done.stderr
    assert names(api, "asked-") == ["asked-1"]


def test_who_is_no_administrator_is_told_so_before_anything_is_made(
    node: Node, api: Api, tmp_path: Path
) -> None:
    stranger = tmp_path / "stranger.kubeconfig"
    apply(node.kubeconfig, account("default", "stranger"))
    made = kubectl(node.kubeconfig, "-n", "default", "create", "token", "stranger").stdout.strip()
    whole = (
        "apiVersion: v1\nkind: Config\ncurrent-context: a\n"
        f"clusters: [{{name: a, cluster: {{server: '{api.url}', "
        f"certificate-authority: '{node.folder / 'pki' / 'ca.crt'}'}}}}]\n"
        f"users: [{{name: a, user: {{token: '{made}'}}}}]\n"
        "contexts: [{name: a, context: {cluster: a, user: a}}]\n"
    )
    stranger.write_text(whole)
    done = subprocess.run(
        argv("--attendees", "2", "--prefix", "never"),
        env=environment(node, "") | {"KUBECONFIG": str(stranger)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "The cluster refused to list namespaces: this user may not." in done.stderr
    assert names(api, "never-") == []
