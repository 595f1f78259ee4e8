"""Names that the parts of the OpenShift profile share, and the images that it pretends to have."""

from __future__ import annotations

from testcluster.place import APPS as APPS
from testcluster.place import NODE

ROUTER = NODE
"""The router's address: ports 80 and 443, for every host name below ``APPS``."""

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
