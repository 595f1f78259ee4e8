"""The workbench's objects, against definitions of the two kinds that OpenShift AI would bring.

The definitions are our own, from the fields that the notebook controller and the image API have.
The pod inside is checked by the API server's own schema, and by its level ``restricted``.
"""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from testcluster.kubectl import UID, apply, kubectl, restricted_namespace, wait_for_crds
from testcluster.node import Node

pytestmark = pytest.mark.timeout(600)

FOLDER = Path(__file__).resolve().parents[2] / "manifests" / "workbench"
NAMESPACE = "attendee-1"

STRING, TRUE_OR_FALSE = {"type": "string"}, {"type": "boolean"}
ANY = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}


def mapping(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties}


def array(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": of}


NOTEBOOK = mapping(
    spec=mapping(template=mapping(spec=ANY)),
    status=mapping(conditions=array(ANY), readyReplicas={"type": "integer"}, containerState=ANY),
)
IMAGE_STREAM = mapping(
    spec=mapping(
        lookupPolicy=mapping(local=TRUE_OR_FALSE),
        tags=array(
            mapping(
                name=STRING,
                annotations={"type": "object", "additionalProperties": STRING},
                importPolicy=mapping(importMode=STRING),
                referencePolicy=mapping(type={"enum": ["Source", "Local"], **STRING}),
                **{"from": mapping(kind={"enum": ["DockerImage"], **STRING}, name=STRING)},
            )
        ),
    )
)


def definition(kind: str, group: str, schema: dict[str, Any]) -> dict[str, Any]:
    plural = f"{kind.lower()}s"
    whole = copy.deepcopy(schema)
    whole["properties"] |= {"apiVersion": STRING, "kind": STRING, "metadata": {"type": "object"}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [
                {
                    "name": "v1",
                    "served": True,
                    "storage": True,
                    "schema": {"openAPIV3Schema": whole},
                }
            ],
        },
    }


@pytest.fixture(scope="module")
def openshift_ai(node: Node) -> Node:
    """The node, with the two kinds and the two namespaces."""
    kinds = [
        definition("Notebook", "kubeflow.org", NOTEBOOK),
        definition("ImageStream", "image.openshift.io", IMAGE_STREAM),
    ]
    apply(node.kubeconfig, *kinds)
    wait_for_crds(node.kubeconfig, timeout=30)
    for name in (NAMESPACE, "redhat-ods-applications"):
        restricted_namespace(node.kubeconfig, name)
    return node


def applied(node: Node, folder: Path) -> list[dict[str, Any]]:
    """What the API server would store, field by field: an unknown one is an error."""
    words = ("apply", "-k", str(folder), "--server-side", "--dry-run=server", "--validate=strict")
    done = kubectl(node.kubeconfig, *words, "-o", "json")
    found = json.loads(done.stdout)
    return list(found["items"]) if found["kind"] == "List" else [found]


def notebook(node: Node) -> dict[str, Any]:
    return next(one for one in applied(node, FOLDER) if one["kind"] == "Notebook")


def test_the_api_server_takes_every_object(openshift_ai: Node) -> None:
    kinds = {one["kind"] for one in applied(openshift_ai, FOLDER)}
    assert kinds == {"Notebook", "PersistentVolumeClaim", "RoleBinding"}
    (stream,) = applied(openshift_ai, FOLDER / "image")
    tag = stream["spec"]["tags"][0]
    for key in ("notebook-software", "notebook-python-dependencies"):
        listed = json.loads(tag["annotations"][f"opendatahub.io/{key}"])
        assert all(set(one) == {"name", "version"} for one in listed)
    image = notebook(openshift_ai)["spec"]["template"]["spec"]["containers"][0]["image"]
    assert image.endswith(f"/{stream['metadata']['name']}:{tag['name']}")


def test_the_namespace_is_written_wherever_it_belongs(openshift_ai: Node) -> None:
    whole = json.dumps(applied(openshift_ai, FOLDER))
    assert "NAMESPACE" not in whole
    container = notebook(openshift_ai)["spec"]["template"]["spec"]["containers"][0]
    base = f"/notebook/{NAMESPACE}/workshop"
    assert f"--ServerApp.base_url={base}" in container["env"][0]["value"].splitlines()
    for probe in ("readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] == f"{base}/api"


def test_the_webhook_would_take_it(openshift_ai: Node) -> None:
    """Rules of the notebook controller's webhook, as its source has them."""
    thing = notebook(openshift_ai)
    spec = thing["spec"]["template"]["spec"]
    assert spec.get("serviceAccountName", "") in ("", thing["metadata"]["name"])
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert not [volume for volume in spec["volumes"] if "hostPath" in volume]
    assert spec["containers"][0]["name"] == thing["metadata"]["name"]


def pod(thing: dict[str, Any]) -> dict[str, Any]:
    """The pod as the controller makes it, with the user that OpenShift's admission would add."""
    spec = copy.deepcopy(thing["spec"]["template"]["spec"])
    spec["securityContext"]["runAsUser"] = UID
    meta = {"name": "workshop-0", "namespace": NAMESPACE}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": meta, "spec": spec}


def test_its_pod_is_restricted(openshift_ai: Node) -> None:
    made = pod(notebook(openshift_ai))
    words = ("create", "--dry-run=server", "--validate=strict", "-f", "-")
    kubectl(openshift_ai.kubeconfig, *words, input=json.dumps(made))
    made["spec"]["containers"][0]["securityContext"]["allowPrivilegeEscalation"] = True
    with pytest.raises(RuntimeError, match="violates PodSecurity"):
        kubectl(openshift_ai.kubeconfig, *words, input=json.dumps(made))


def test_a_misspelt_field_would_be_noticed(openshift_ai: Node, tmp_path: Path) -> None:
    for path in FOLDER.glob("*.yaml"):
        (tmp_path / path.name).write_text(path.read_text().replace("template:", "templates:"))
    with pytest.raises(RuntimeError, match=r"unknown field|not found|missing|replacement"):
        applied(openshift_ai, tmp_path)
