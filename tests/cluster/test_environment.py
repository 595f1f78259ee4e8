"""Notebook 00 on a real Kubernetes: every lack is listed, and what it prints fixes it."""

from __future__ import annotations

import re
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml
from testcluster import cloud_kinds, volumes
from testcluster.kubectl import apply, kubectl, restricted_namespace
from testcluster.node import Node
from workshop import check_environment
from workshop.core.checks import Check
from workshop.core.errors import CheckFailed
from workshop.core.progress import stages
from workshop.core.wait import NotYet, wait_for
from workshop.parts.catalog import ALL
from workshop.targets.cluster import namespaces, permissions
from workshop.targets.cluster.api import Api
from workshop.targets.cluster.login import connect
from workshop.targets.cluster.preflight import checks
from workshop.targets.cluster.target import ClusterTarget

pytestmark = pytest.mark.timeout(1800)

As = Callable[[str, str], Api]
CLASS = {
    "apiVersion": "storage.k8s.io/v1",
    "kind": "StorageClass",
    "metadata": {"name": "plain"},
    "provisioner": "registry.test/none",
}


def admin(node: Node, namespace: str) -> Api:
    return connect({"KUBECONFIG": str(node.kubeconfig), "WORKSHOP_NAMESPACE": namespace})


@pytest.fixture
def as_account(node: Node, tmp_path: Path) -> As:
    """Makes a ServiceAccount without rights, and gives the cluster as it sees it."""

    def make(namespace: str, name: str) -> Api:
        restricted_namespace(node.kubeconfig, namespace)
        kubectl(node.kubeconfig, "-n", namespace, "create", "serviceaccount", name)
        token = kubectl(node.kubeconfig, "-n", namespace, "create", "token", name).stdout.strip()
        content = yaml.safe_load(node.kubeconfig.read_text(encoding="utf-8"))
        content["users"][0]["user"] = {"token": token}
        path = tmp_path / "user.kubeconfig"
        path.write_text(yaml.safe_dump(content), encoding="utf-8")
        path.chmod(0o600)
        return connect({"KUBECONFIG": str(path), "WORKSHOP_NAMESPACE": namespace})

    return make


@pytest.fixture
def without_classes(node: Node) -> Iterator[None]:
    """No StorageClass, until the test is over."""
    classes = (
        volumes.storage_class(volumes.DEFAULT, "WaitForFirstConsumer", default=True),
        volumes.storage_class("immediate", "Immediate"),
    )
    for one in classes:
        kubectl(node.kubeconfig, "delete", "storageclass", one["metadata"]["name"])
    yield
    apply(node.kubeconfig, *classes)


def by_name(api: Api) -> dict[str, Check]:
    return {check.name: check for check in checks(api)}


def test_an_administrator_lacks_nothing(node: Node) -> None:
    restricted_namespace(node.kubeconfig, "env-admin")
    api = admin(node, "env-admin")
    passed = check_environment(ClusterTarget(api, ALL))
    seen = {check.name: check.seen for check in passed}
    assert re.fullmatch(r"v1\.\d+\.\d+ at https://\S+", seen["API server"])
    assert seen["cluster"] == "plain Kubernetes; no operators for the kit; no node with a GPU"
    assert seen["namespace"] == "env-admin"
    assert seen["pod security"] == "restricted"
    assert seen["storage"] == "standard"
    assert re.fullmatch(r"all \d\d in the namespace env-admin", seen["permissions"])
    assert seen["kubectl"].endswith("kubectl")
    assert seen["GPU nodes"] == "no MachineSets here: nodes are added outside of the cluster"


def test_the_printed_rolebinding_fixes_all_that_was_listed(node: Node, as_account: As) -> None:
    api = as_account("env-attendee", "workbench")
    found = by_name(api)
    check = found["permissions"]
    assert not check.ok
    missing, of = map(int, re.findall(r"^(\d+) of (\d+) are missing", check.seen)[0])
    assert missing == of
    who = "system:serviceaccount:env-attendee:workbench"
    assert f"{who} may not, in the namespace env-attendee:\n" in check.seen
    table = dict(re.findall(r"^  (\S+)  +(.+)$", check.seen, re.M))
    every = "get, list, watch, create, patch, delete"
    assert table["configmaps"] == table["roles.rbac.authorization.k8s.io"] == every
    assert table["persistentvolumeclaims"] == every
    assert table["pods/portforward"] == "get, create"
    assert (
        "\n  kubectl create rolebinding agent-workshop-kit-admin-env-attendee-workbench "
        "--clusterrole=admin --serviceaccount=env-attendee:workbench --namespace=env-attendee\n"
    ) in check.seen
    assert "env-attendee does not exist, or this user may not see it" in found["namespace"].seen
    assert found["cluster"].seen.endswith("nodes not visible to this user")
    assert found["storage"].ok
    # They do not repeat what the permissions say.
    assert found["pod security"].seen == "not visible to this user"

    printed = textwrap.dedent(check.seen[check.seen.index("  apiVersion: ") :])
    kubectl(node.kubeconfig, "apply", "-f", "-", input=printed)

    def fixed() -> object:
        lacks = permissions.lacking(api, permissions.needed(api))
        return NotYet(permissions.short(lacks)) if lacks else True

    # The API server reads bindings from a watch of its own.
    wait_for("the rights to be given", fixed, timeout=10, every=0.1)
    after = by_name(api)
    assert [check.name for check in after.values() if not check.ok] == []
    assert after["permissions"].seen == f"all {of} in the namespace env-attendee"
    assert after["namespace"].seen == "env-attendee"


def test_the_listed_rights_are_enough_and_no_more_is_asked(node: Node, as_account: As) -> None:
    api = as_account("env-exact", "workbench")
    rules = [
        {"apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb]}
        for right in permissions.needed(api)
    ]
    role = {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "Role",
        "metadata": {"name": "exact"},
        "rules": rules,
    }
    apply(node.kubeconfig, role, namespace="env-exact")
    grant = ("create", "rolebinding", "exact", "--role=exact")
    kubectl(node.kubeconfig, "-n", "env-exact", *grant, "--serviceaccount=env-exact:workbench")
    wait_for(
        "the rights to be given",
        lambda: by_name(api)["permissions"].ok or NotYet("not yet"),
        timeout=10,
    )
    target = ClusterTarget(api, ALL)
    assert target.store.secret("password", lambda: "letmein").reveal() == "letmein"
    target.store.remember("part mongodb", None)
    target.store.remember("a fact", "kept")
    assert target.store.recall("a fact") == "kept"
    assert target.status() == []
    assert target.machines.skip_reason()
    assert target.machines.accelerators() == []
    assert target.leftovers() == ["ConfigMap agent-workshop-kit"]
    assert target.stop() == []
    removed = target.clean_up(data=True)
    assert {"ConfigMap agent-workshop-kit", "Secret agent-workshop-kit"} <= set(removed)
    assert target.leftovers() == []


def test_the_printed_command_fixes_what_edit_leaves_out(node: Node, as_account: As) -> None:
    api = as_account("env-edit", "workbench")
    grant = ("create", "rolebinding", "given", "--clusterrole=edit")
    kubectl(node.kubeconfig, "-n", "env-edit", *grant, "--serviceaccount=env-edit:workbench")
    edited = wait_for(
        "edit to be given",
        lambda: by_name(api) if by_name(api)["namespace"].ok else NotYet("not yet"),
        timeout=10,
    )
    seen = edited["permissions"].seen
    listed = re.findall(r"^  (\S+)  +(.+)$", seen, re.M)[:2]
    every = "get, list, watch, create, patch, delete"
    assert listed == [
        ("rolebindings.rbac.authorization.k8s.io", every),
        ("roles.rbac.authorization.k8s.io", every),
    ]
    (line,) = re.findall(r"^  kubectl (create rolebinding .+)$", seen, re.M)
    kubectl(node.kubeconfig, *line.split())
    wait_for(
        "the rights to be given",
        lambda: by_name(api)["permissions"].ok or NotYet("not yet"),
        timeout=10,
    )


def test_a_kind_that_no_role_covers_gets_a_role_of_its_own(node: Node, as_account: As) -> None:
    crd = cloud_kinds.open_crd("ogxservers", "ogx.io", "v1beta1", "OGXServer", "Namespaced")
    root = admin(node, "default")
    cloud_kinds.established(root, [crd], lambda: bool(root.kind("ogx.io/v1beta1", "OGXServer")))
    try:
        api = as_account("env-ogx", "workbench")
        grant = ("create", "rolebinding", "given", "--clusterrole=admin")
        kubectl(node.kubeconfig, "-n", "env-ogx", *grant, "--serviceaccount=env-ogx:workbench")

        def only_ogx() -> object:
            lacks = permissions.lacking(api, permissions.needed(api))
            resources = {right.resource for right in lacks}
            return True if resources == {"ogxservers"} else NotYet(str(resources))

        wait_for("admin to be given", only_ogx, timeout=10)
        found = by_name(api)
        assert "OGX operator" in found["cluster"].seen
        seen = found["permissions"].seen
        assert "An administrator of the cluster saves this" in seen
        printed = textwrap.dedent(seen[seen.index("  apiVersion: ") :])
        assert [one["kind"] for one in yaml.safe_load_all(printed)] == ["Role", "RoleBinding"]
        kubectl(node.kubeconfig, "apply", "-f", "-", input=printed)
        wait_for(
            "the rights to be given",
            lambda: by_name(api)["permissions"].ok or NotYet("not yet"),
            timeout=10,
        )
    finally:
        root.delete(crd)


def test_a_cluster_without_a_default_class_is_told_how_to_get_one(
    node: Node, without_classes: None
) -> None:
    api = admin(node, "default")
    assert by_name(api)["storage"].seen.startswith("none at all: an administrator installs")
    apply(node.kubeconfig, CLASS)
    try:
        check = by_name(api)["storage"]
        assert not check.ok
        command = "kubectl annotate storageclass plain storageclass.kubernetes.io/is-default-class"
        assert f"none of plain is the default: an administrator runs {command}=true" in check.seen
        kubectl(
            node.kubeconfig,
            *re.findall(r"kubectl (annotate \S+ \S+ [^;\s]+)", check.seen)[0].split(),
        )
        assert by_name(api)["storage"].seen == "plain"
    finally:
        api.delete(CLASS)


def test_a_namespace_is_made_or_its_end_is_told(node: Node, as_account: As) -> None:
    api = admin(node, "env-new")
    seen = by_name(api)["namespace"].seen
    assert seen == "env-new does not exist; it will be created (by a Namespace)"
    target = ClusterTarget(api, ALL)
    assert target.store.secret("password", lambda: "letmein").reveal() == "letmein"
    assert by_name(api)["namespace"].seen == "env-new"
    held = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "namespace": "env-new", "finalizers": ["test.example/hold"]},
    }
    api.apply(held)
    kubectl(node.kubeconfig, "delete", "namespace", "env-new", "--wait=false")
    check = by_name(api)["namespace"]
    assert (check.ok, check.seen) == (
        False,
        "env-new is being deleted: wait, or set WORKSHOP_NAMESPACE to another",
    )
    api.merge(held, {"metadata": {"finalizers": None}})

    stranger = as_account("env-stranger", "workbench")
    stranger.namespace = "env-nowhere"
    there = ClusterTarget(stranger, ALL)
    assert there.status() == []
    with pytest.raises(CheckFailed) as failed:
        check_environment(there)
    assert "kubectl create namespace env-nowhere" in failed.value.state
    with pytest.raises(Exception, match="There is no namespace env-nowhere that this user may use"):
        there.store.secret("password", lambda: "letmein")


def test_on_openshift_the_namespace_is_asked_for_as_a_project(
    node: Node, as_account: As, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crd = cloud_kinds.open_crd(
        *("projectrequests", "project.openshift.io", "v1", "ProjectRequest", "Cluster")
    )
    root = admin(node, "default")
    kind = ("project.openshift.io/v1", "ProjectRequest")
    cloud_kinds.established(root, [crd], lambda: bool(root.kind(*kind)))
    rule = ("--verb=create", "--resource=projectrequests.project.openshift.io")
    kubectl(node.kubeconfig, "create", "clusterrole", "self-provisioner", *rule)
    account = "--serviceaccount=env-self:workbench"
    try:
        api = as_account("env-self", "workbench")
        api.namespace = "env-project"
        grant = ("create", "clusterrolebinding", "self-provisioner", account)
        kubectl(node.kubeconfig, *grant, "--clusterrole=self-provisioner")
        found = wait_for(
            "the right to be given",
            lambda: by_name(api) if by_name(api)["namespace"].ok else NotYet("not yet"),
            timeout=10,
        )
        assert found["namespace"].seen.endswith("it will be created (by a ProjectRequest)")
        told = "whoever creates the project env-project is its administrator"
        assert (found["permissions"].ok, found["permissions"].seen) == (True, told)

        def play() -> None:
            """What OpenShift does: the project, and its maker as its administrator."""
            wait_for(
                "the request",
                lambda: root.get(*kind, "env-project") or NotYet("none"),
                timeout=20,
            )
            kubectl(node.kubeconfig, "create", "namespace", "env-project")
            bind = ("create", "rolebinding", "admin", "--clusterrole=admin", account)
            kubectl(node.kubeconfig, "-n", "env-project", *bind)

        playing = threading.Thread(target=play)
        playing.start()
        with stages("MongoDB") as stage:
            namespaces.ensure(api, stage)
        playing.join()
        assert "making the project env-project" in capsys.readouterr().err
        assert by_name(api)["namespace"].seen == "env-project"
        assert by_name(api)["permissions"].seen.startswith("all ")
    finally:
        kubectl(node.kubeconfig, "delete", "clusterrolebinding,clusterrole", "self-provisioner")
        root.delete(crd)


def test_a_login_that_expired_is_the_only_check(node: Node, tmp_path: Path) -> None:
    content = yaml.safe_load(node.kubeconfig.read_text(encoding="utf-8"))
    content["users"][0]["user"] = {"token": "not-a-token"}
    path = tmp_path / "user.kubeconfig"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    api = connect({"KUBECONFIG": str(path), "WORKSHOP_NAMESPACE": "env-expired"})
    (check,) = checks(api)
    assert not check.ok
    assert "the login is not valid, or has expired" in check.seen
    assert "log in again (oc login, or a new kubeconfig)" in check.seen


def test_the_rights_for_machines_are_a_note(node: Node, as_account: As) -> None:
    crds = cloud_kinds.machine_api_crds()
    root = admin(node, "default")
    cloud_kinds.established(
        root, crds, lambda: bool(root.kind("machine.openshift.io/v1beta1", "MachineSet"))
    )
    try:
        check = by_name(as_account("env-gpu", "workbench"))["GPU nodes"]
        assert check.ok
        assert "list, watch nodes; get, list, create, patch, delete machinesets" in check.seen
        assert (
            "add-cluster-role-to-user cluster-reader 'system:serviceaccount:env-gpu:" in check.seen
        )
        assert by_name(root)["GPU nodes"].seen == "this user may add machines"
    finally:
        for crd in crds:
            root.delete(crd)
