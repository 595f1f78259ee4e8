"""The kinds that an OpenShift with OpenShift AI has and a plain Kubernetes has not.

The real definitions are read from Go modules when the cluster boots; those that no module has are
written from their lists of fields.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

import yaml

from testcluster import pins
from testcluster.kubectl import kubectl, wait_for_crds
from testcluster.openshift import llama_stack_crds
from testcluster.openshift.schema import (
    CONDITIONS,
    FLAG,
    NUMBER,
    OPEN,
    TEXT,
    among,
    crd,
    many,
    one,
    texts,
)
from testcluster.programs import module_folder

Generation = Literal["llamastack", "ogx"]
"""Which of the two Llama Stack operators the cluster has."""

REAL = {
    pins.OPENSHIFT_API: (
        "route/v1/zz_generated.crd-manifests/routes.crd.yaml",
        *(
            f"machine/v1beta1/zz_generated.crd-manifests/0000_10_machine-api_01_{name}.crd.yaml"
            for name in ("machines-Default", "machinesets-Default")
        ),
        "config/v1/zz_generated.crd-manifests/"
        "0000_10_config-operator_01_infrastructures-Default.crd.yaml",
        "config/v1/zz_generated.crd-manifests/0000_10_config-operator_01_ingresses.crd.yaml",
        "config/v1/zz_generated.crd-manifests/"
        "0000_00_cluster-version-operator_01_clusterversions-Default.crd.yaml",
        "security/v1/zz_generated.crd-manifests/"
        "0000_03_config-operator_01_securitycontextconstraints.crd.yaml",
    ),
    (pins.KSERVE.module, pins.KSERVE.version): tuple(
        f"config/crd/full/serving.kserve.io_{name}.yaml"
        for name in (
            "clusterservingruntimes",
            "clusterstoragecontainers",
            "inferencegraphs",
            "inferenceservices",
            "servingruntimes",
            "trainedmodels",
        )
    ),
    pins.PROMETHEUS_OPERATOR: tuple(
        f"example/prometheus-operator-crd/monitoring.coreos.com_{name}.yaml"
        for name in ("podmonitors", "prometheusrules", "servicemonitors")
    ),
}
"""Files of Go modules."""


def install(kubeconfig: Path, generation: Generation) -> None:
    """Apply all of them, and wait until the API server serves them."""
    real = [
        _terse(yaml.load((module_folder(*module) / file).read_text(), Loader=yaml.CSafeLoader))
        for module, files in REAL.items()
        for file in files
    ]
    apply = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    # Route's has an enumeration with null in it, which kubectl itself does not know.
    kubectl(kubeconfig, *apply, "--validate=false", input=_listed(real))
    kubectl(kubeconfig, *apply, input=_listed(own(generation)))
    wait_for_crds(kubeconfig)


def _listed(items: list[dict[str, Any]]) -> str:
    return json.dumps({"apiVersion": "v1", "kind": "List", "items": items})


def _terse(schema: Any) -> Any:
    """Without descriptions: they are most of it, and the API server reads all at every change."""
    if isinstance(schema, list):
        return [_terse(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _terse(value)
        for key, value in schema.items()
        # A field may be called so, too; then it has a schema.
        if not (key == "description" and isinstance(value, str))
    }


def own(generation: Generation) -> list[dict[str, Any]]:
    """The definitions that no Go module has."""
    return [
        llama_stack_crds.llama_stack_distribution()
        if generation == "llamastack"
        else llama_stack_crds.ogx_server(),
        *_lifecycle(),
        *_gpu(),
        *_openshift_ai(),
        crd(
            "ImageStream",
            "imagestreams",
            "image.openshift.io",
            {
                "v1": one(
                    lookupPolicy=one(local=FLAG),
                    dockerImageRepository=TEXT,
                    tags=many(
                        one(
                            name=TEXT,
                            annotations=texts(),
                            **{"from": one(kind=TEXT, name=TEXT, namespace=TEXT)},
                            generation=NUMBER,
                            importPolicy=OPEN,
                            referencePolicy=one(type=TEXT),
                            reference=FLAG,
                        )
                    ),
                )
            },
        ),
    ]


def _lifecycle() -> list[dict[str, Any]]:
    """What the Operator Lifecycle Manager serves."""
    group = "operators.coreos.com"
    subscription = one(
        required=("name", "source", "sourceNamespace"),
        channel=TEXT,
        name=TEXT,
        source=TEXT,
        sourceNamespace=TEXT,
        startingCSV=TEXT,
        installPlanApproval=among("Automatic", "Manual"),
        config=OPEN,
    )
    subscribed = one(
        state=TEXT,
        currentCSV=TEXT,
        installedCSV=TEXT,
        installPlanRef=OPEN,
        installplan=OPEN,
        conditions=CONDITIONS,
        lastUpdated=TEXT,
        catalogHealth=many(OPEN),
    )
    version = one(displayName=TEXT, version=TEXT, install=OPEN, provider=OPEN)
    installed = one(phase=TEXT, reason=TEXT, message=TEXT, conditions=many(OPEN))
    plan = one(
        approval=TEXT, approved=FLAG, clusterServiceVersionNames=many(TEXT), generation=NUMBER
    )
    groups = one(
        targetNamespaces=many(TEXT), selector=OPEN, serviceAccountName=TEXT, upgradeStrategy=TEXT
    )
    offered = one(
        packageName=TEXT,
        defaultChannel=TEXT,
        catalogSource=TEXT,
        catalogSourceNamespace=TEXT,
        channels=many(one(name=TEXT, currentCSV=TEXT)),
    )
    return [
        crd(
            "Subscription",
            "subscriptions",
            group,
            {"v1alpha1": subscription},
            status=subscribed,
            short=("sub", "subs"),
        ),
        crd(
            "ClusterServiceVersion",
            "clusterserviceversions",
            group,
            {"v1alpha1": version},
            status=installed,
            short=("csv", "csvs"),
        ),
        crd("InstallPlan", "installplans", group, {"v1alpha1": plan}, short=("ip",)),
        crd("OperatorGroup", "operatorgroups", group, {"v1": groups}, short=("og",)),
        crd(
            "PackageManifest",
            "packagemanifests",
            "packages.operators.coreos.com",
            {"v1": OPEN},
            status=offered,
        ),
    ]


def _gpu() -> list[dict[str, Any]]:
    """What the GPU operator and Node Feature Discovery serve."""
    parts = (
        *("operator", "daemonsets", "driver", "toolkit", "devicePlugin", "dcgm", "dcgmExporter"),
        *("nodeStatusExporter", "gfd", "mig", "migManager", "validator", "cdi", "sandboxWorkloads"),
        *("psp", "psa", "gds", "gdrcopy", "vgpuManager", "vfioManager", "sandboxDevicePlugin"),
        *("vgpuDeviceManager", "kataManager", "ccManager", "hostPaths", "fabricManager"),
    )
    operand = one(
        image=TEXT,
        imagePullPolicy=TEXT,
        servicePort=NUMBER,
        workerTolerations=many(OPEN),
        workerNodeSelector=texts(),
        workerEnvs=many(OPEN),
        masterTolerations=many(OPEN),
    )
    discovery = one(
        instance=TEXT,
        operand=operand,
        workerConfig=one(configData=TEXT),
        customConfig=one(configData=TEXT),
        extraLabelNs=many(TEXT),
        labelWhiteList=TEXT,
        prunerOnDelete=FLAG,
        topologyUpdater=FLAG,
        resourceLabels=many(TEXT),
        enableTaints=FLAG,
    )
    return [
        crd(
            "ClusterPolicy",
            "clusterpolicies",
            "nvidia.com",
            {"v1": one(required=parts[:6], **dict.fromkeys(parts, OPEN))},
            status=one(
                state=among("ignored", "ready", "notReady"), namespace=TEXT, conditions=CONDITIONS
            ),
            namespaced=False,
        ),
        crd(
            "NodeFeatureDiscovery",
            "nodefeaturediscoveries",
            "nfd.openshift.io",
            {"v1": discovery},
            status=one(conditions=CONDITIONS),
        ),
    ]


def _openshift_ai() -> list[dict[str, Any]]:
    """What OpenShift AI serves beside KServe and Llama Stack."""
    component = {
        **one(managementState=among("Managed", "Removed", "Force", "Unmanaged")),
        "x-kubernetes-preserve-unknown-fields": True,
    }
    notebook = one(
        template=one(spec={**OPEN, "required": ["containers"]}),
    )
    return [
        crd(
            "DataScienceCluster",
            "datascienceclusters",
            "datasciencecluster.opendatahub.io",
            {"v1": one(components=texts(component)), "v2": one(components=texts(component))},
            status=OPEN,
            namespaced=False,
            short=("dsc",),
        ),
        crd(
            "Notebook",
            "notebooks",
            "kubeflow.org",
            {"v1beta1": notebook, "v1": notebook},
            status=one(conditions=CONDITIONS, readyReplicas=NUMBER, containerState=OPEN),
        ),
    ]
