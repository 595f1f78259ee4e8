"""Names that the parts of the OpenShift profile share, and the images that it pretends to have."""

from __future__ import annotations

from testcluster.place import NODE, SLOT

DOMAIN = f"cluster-{SLOT}.workshop.test"
APPS = f"apps.{DOMAIN}"
"""Below it lie the host names of Routes. Pods resolve them; this machine must be told: every one
of them is at ``ROUTER``."""

ROUTER = NODE
"""The router's address: ports 80 and 443."""

APPLICATIONS = "redhat-ods-applications"
"""Where OpenShift AI's own parts run."""

MACHINES = "openshift-machine-api"
MARKETPLACE = "openshift-marketplace"
MANAGED = "openshift-config-managed"
GPU_OPERATOR = "nvidia-gpu-operator"
DISCOVERY = "openshift-nfd"

DISTRIBUTION = "rh-dev"
"""The distribution's name on OpenShift AI."""

LLAMA_STACK_IMAGE = "registry.redhat.io/rhoai/odh-llama-stack-core-rhel9:v3.4"
OGX_IMAGE = "registry.redhat.io/rhoai/odh-ogx-core-rhel9:v3.5"
"""What the operators make of the distribution's name. Tests give the node an image so called."""

PROXY_IMAGE = "registry.redhat.io/openshift4/ose-kube-rbac-proxy-rhel9:v4.20"

INFRASTRUCTURE = "workshop-x7k2p"
"""Infrastructure ``cluster``: the name that begins those of all machines."""

REGION = "us-east-2"
EMPTY_ZONE = f"{REGION}c"
"""A zone that never has the machine that is asked for."""
