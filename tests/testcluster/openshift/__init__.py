"""What makes the test cluster look like OpenShift with OpenShift AI."""

from __future__ import annotations

from testcluster.openshift.crds import Generation
from testcluster.openshift.profile import up

__all__ = ["Generation", "up"]
