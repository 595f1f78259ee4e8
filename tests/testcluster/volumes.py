"""A dynamic volume provisioner: each claim gets a folder of the node, which goes with the claim.

A stand-in for a cloud's storage driver, in one small process of the node. Kubernetes' own
controller names the provisioner on a claim once it wants a volume for it (with
``WaitForFirstConsumer``, after a pod was scheduled), binds what appears here, and calls a volume
Released when its claim is gone.
"""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import kopf
from kubernetes import client, config

from testcluster.kubectl import apply
from testcluster.place import Place

PROCESS = "volumes"
PROVISIONER = "test.local/folder"
DEFAULT = "standard"
"""The StorageClass that a claim gets when it names none."""

WANTED = "volume.kubernetes.io/storage-provisioner"


def start(place: Place, kubeconfig: Path) -> None:
    """Start the provisioner, and make its two StorageClasses: one waits for a pod, one does not."""
    apply(
        kubeconfig,
        storage_class(DEFAULT, "WaitForFirstConsumer", default=True),
        storage_class("immediate", "Immediate"),
    )
    place.start_python(PROCESS, "testcluster.volumes", str(place.folder), kubeconfig=kubeconfig)


def storage_class(name: str, binding: str, *, default: bool = False) -> dict[str, Any]:
    """A StorageClass of this provisioner."""
    annotations = {"storageclass.kubernetes.io/is-default-class": "true"} if default else {}
    return {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": name, "annotations": annotations},
        "provisioner": PROVISIONER,
        "volumeBindingMode": binding,
        "reclaimPolicy": "Delete",
    }


def volume(claim: dict[str, Any], path: Path) -> dict[str, Any]:
    """The volume for a claim, bound to nobody else."""
    meta, spec = claim["metadata"], claim["spec"]
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolume",
        "metadata": {
            "name": f"pvc-{meta['uid']}",
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
        },
        "spec": {
            "capacity": {"storage": spec["resources"]["requests"]["storage"]},
            "accessModes": spec["accessModes"],
            "storageClassName": spec["storageClassName"],
            "persistentVolumeReclaimPolicy": "Delete",
            "hostPath": {"path": str(path), "type": "Directory"},
            "claimRef": {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "namespace": meta["namespace"],
                "name": meta["name"],
                "uid": meta["uid"],
            },
        },
    }


def provision(claim: dict[str, Any], folder: Path) -> None:
    """Give a claim its volume, if it is time to, and it has none."""
    annotations = claim["metadata"].get("annotations", {})
    if annotations.get(WANTED) != PROVISIONER or claim["spec"].get("volumeName"):
        return
    path = folder / claim["metadata"]["uid"]
    path.mkdir(parents=True, exist_ok=True)
    # A pod's user is any number, and kubelet gives the folder to no group.
    path.chmod(0o777)
    try:
        client.CoreV1Api().create_persistent_volume(volume(claim, path))
    except client.ApiException as error:
        if error.status != 409:
            raise


def reclaim(found: dict[str, Any]) -> None:
    """Take away a volume whose claim is gone, with what was written to it."""
    annotations = found["metadata"].get("annotations", {})
    if annotations.get("pv.kubernetes.io/provisioned-by") != PROVISIONER:
        return
    released = found.get("status", {}).get("phase") == "Released"
    if not released or found["metadata"].get("deletionTimestamp"):
        return
    shutil.rmtree(found["spec"]["hostPath"]["path"], ignore_errors=True)
    try:
        client.CoreV1Api().delete_persistent_volume(found["metadata"]["name"])
    except client.ApiException as error:
        if error.status != 404:
            raise


def main() -> None:
    """Run until it is ended."""
    folder = Path(sys.argv[1]) / "volumes"
    config.load_kube_config()

    @kopf.on.event("", "v1", "persistentvolumeclaims")
    def _claim(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002
        if type != "DELETED":
            provision(dict(body), folder)

    @kopf.on.event("", "v1", "persistentvolumes")
    def _volume(body: kopf.Body, type: str | None, **_: Any) -> None:  # noqa: A002
        if type != "DELETED":
            reclaim(dict(body))

    kopf.run(standalone=True, clusterwide=True)


if __name__ == "__main__":
    main()
