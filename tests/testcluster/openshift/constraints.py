"""Security context constraints: which users a pod may run as.

Two of OpenShift's: ``anyuid`` for whoever may use it (the service account, or who makes the pod),
and ``restricted-v2`` for everybody else. The latter fills in what is missing and refuses what is
outside the namespace's range.
"""

from __future__ import annotations

import threading

from testcluster.openshift.api import Api, Object
from testcluster.openshift.webhooks import Refused

UIDS = "openshift.io/sa.scc.uid-range"
GROUPS = "openshift.io/sa.scc.supplemental-groups"
LEVEL = "openshift.io/sa.scc.mcs"
ADMITTED = "openshift.io/scc"
FIRST, SIZE = 1000650000, 10000
VOLUMES = (
    *("configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "image"),
    *("persistentVolumeClaim", "projected", "secret"),
)
"""What restricted-v2 lets a pod mount."""

HOST = ("hostNetwork", "hostPID", "hostIPC")


class Constraints:
    """The two hooks, for namespaces and for pods."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.turn = threading.Lock()
        taken = [
            int(found.split("/")[0])
            for one in api.list("Namespace")
            if (found := one["metadata"].get("annotations", {}).get(UIDS))
        ]
        self.next = max([FIRST - SIZE, *taken]) + SIZE

    def start(self) -> None:
        """Give what is there already its range, and make the roles that use the constraints."""
        for one in self.api.list("Namespace"):
            self.namespace(one, {})
            change = {"metadata": {"annotations": one["metadata"]["annotations"]}}
            self.api.patch("Namespace", None, one["metadata"]["name"], change)
        for name in ("anyuid", "restricted-v2"):
            self.api.apply(_role(name))
            self.api.apply(_constraints(name))

    def namespace(self, one: Object, request: Object) -> None:
        """A namespace gets a range of users of its own, once."""
        annotations = one["metadata"].setdefault("annotations", {})
        if UIDS in annotations:
            return
        with self.turn:
            first = self.next
            if not request.get("dryRun"):
                self.next += SIZE
        place = (first - FIRST) // SIZE
        annotations[UIDS] = annotations[GROUPS] = f"{first}/{SIZE}"
        annotations[LEVEL] = f"s0:c{26 + place},c{5 + place}"

    def pod(self, pod: Object, request: Object) -> None:
        """A pod runs with what its service account, or who makes it, may use."""
        namespace = request["namespace"]
        _trust_services(pod)
        annotations = pod["metadata"].setdefault("annotations", {})
        if self._may_use_any(pod, request):
            annotations[ADMITTED] = "anyuid"
            return
        found = self.api.get("Namespace", None, namespace)
        given = (found or {}).get("metadata", {}).get("annotations", {}).get(UIDS)
        if not given:
            raise Refused(f"unable to find annotation {UIDS}")
        first, size = map(int, given.split("/"))
        problems = outside(pod["spec"], range(first, first + size))
        if problems:
            raise Refused(
                "unable to validate against any security context constraint: "
                '[provider "anyuid": Forbidden: not usable by user or serviceaccount, '
                f"provider restricted-v2: {', '.join(problems)}]"
            )
        restrict(pod["spec"], first)
        annotations[ADMITTED] = "restricted-v2"
        annotations["seccomp.security.alpha.kubernetes.io/pod"] = "runtime/default"

    def _may_use_any(self, pod: Object, request: Object) -> bool:
        namespace = request["namespace"]
        account = pod["spec"].get("serviceAccountName") or "default"
        user = request["userInfo"]
        of_accounts = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}"]
        who = (
            (f"system:serviceaccount:{namespace}:{account}", of_accounts),
            (user["username"], user.get("groups", [])),
        )
        use = {"group": "security.openshift.io", "resource": "securitycontextconstraints"}
        return any(
            self.api.may(
                name, [*groups, "system:authenticated"], **use, name="anyuid", verb="use",
                namespace=namespace,
            )
            for name, groups in who
        )  # fmt: skip


def outside(spec: Object, users: range) -> list[str]:
    """Why restricted-v2 refuses a pod; nothing if it does not."""
    context = spec.get("securityContext") or {}
    last = users[-1]
    found = []
    group = context.get("fsGroup")
    if group is not None and group not in users:
        found.append(
            f".spec.securityContext.fsGroup: Invalid value: []int64{{{group}}}: "
            f"{group} is not an allowed group"
        )
    for field in HOST:
        if spec.get(field):
            found.append(
                f".spec.securityContext.{field}: Invalid value: true: "
                f"Host {field.removeprefix('host').lower()} is not allowed to be used"
            )
    for place, volume in enumerate(spec.get("volumes") or []):
        found += [
            f'spec.volumes[{place}]: Invalid value: "{kind}": '
            f"{kind} volumes are not allowed to be used"
            for kind in volume
            if kind != "name" and kind not in VOLUMES
        ]
    fixed = context.get("runAsUser")
    must = f"must be in the ranges: [{users[0]}, {last}]"
    if fixed is not None and fixed not in users:
        found.append(f".spec.securityContext.runAsUser: Invalid value: {fixed}: {must}")
    for kind in ("initContainers", "containers"):
        for place, container in enumerate(spec.get(kind) or []):
            at = f".{kind}[{place}]"
            found += _outside(at, container.get("securityContext") or {}, users, must)
    return found


def _outside(at: str, own: Object, users: range, must: str) -> list[str]:
    found = []
    user = own.get("runAsUser")
    if user is not None and user not in users:
        found.append(f"{at}.runAsUser: Invalid value: {user}: {must}")
    if own.get("privileged"):
        found.append(f"{at}.privileged: Invalid value: true: Privileged containers are not allowed")
    if own.get("allowPrivilegeEscalation"):
        found.append(
            f"{at}.allowPrivilegeEscalation: Invalid value: true: "
            "Allowing privilege escalation for containers is not allowed"
        )
    for added in (own.get("capabilities") or {}).get("add") or []:
        if added != "NET_BIND_SERVICE":
            found.append(
                f'{at}.capabilities.add: Invalid value: "{added}": capability may not be added'
            )
    return found


def restrict(spec: Object, user: int) -> None:
    """Fill in what restricted-v2 fills in."""
    context = spec.setdefault("securityContext", {})
    context.setdefault("fsGroup", user)
    context.setdefault("seccompProfile", {"type": "RuntimeDefault"})
    for kind in ("initContainers", "containers"):
        for container in spec.get(kind) or []:
            own = container.setdefault("securityContext", {})
            if "runAsUser" not in context:
                own.setdefault("runAsUser", user)
            own.setdefault("runAsNonRoot", True)
            own["allowPrivilegeEscalation"] = False
            capabilities = own.setdefault("capabilities", {})
            if "ALL" not in capabilities.get("drop", []):
                capabilities["drop"] = ["ALL"]


def _trust_services(pod: Object) -> None:
    """Beside its token, a pod finds the authority that signs for Services."""
    bundle = {
        "configMap": {
            "name": "openshift-service-ca.crt",
            "items": [{"key": "service-ca.crt", "path": "service-ca.crt"}],
        }
    }
    for volume in pod["spec"].get("volumes") or []:
        if volume["name"].startswith("kube-api-access-") and "projected" in volume:
            sources = volume["projected"]["sources"]
            if bundle not in sources:
                sources.append(bundle)


def _role(name: str) -> Object:
    return {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": f"system:openshift:scc:{name}"},
        "rules": [
            {
                "apiGroups": ["security.openshift.io"],
                "resources": ["securitycontextconstraints"],
                "resourceNames": [name],
                "verbs": ["use"],
            }
        ],
    }


def _constraints(name: str) -> Object:
    restricted = name == "restricted-v2"
    return {
        "apiVersion": "security.openshift.io/v1",
        "kind": "SecurityContextConstraints",
        "metadata": {"name": name},
        "priority": None if restricted else 10,
        "allowHostDirVolumePlugin": False,
        "allowHostIPC": False,
        "allowHostNetwork": False,
        "allowHostPID": False,
        "allowHostPorts": False,
        "allowPrivilegeEscalation": not restricted,
        "allowPrivilegedContainer": False,
        "allowedCapabilities": ["NET_BIND_SERVICE"] if restricted else [],
        "defaultAddCapabilities": [],
        "requiredDropCapabilities": ["ALL"] if restricted else ["MKNOD"],
        "fsGroup": {"type": "MustRunAs" if restricted else "RunAsAny"},
        "readOnlyRootFilesystem": False,
        "runAsUser": {"type": "MustRunAsRange" if restricted else "RunAsAny"},
        "seLinuxContext": {"type": "MustRunAs"},
        "supplementalGroups": {"type": "RunAsAny"},
        "users": [],
        "groups": ["system:authenticated"] if restricted else ["system:cluster-admins"],
        "volumes": list(VOLUMES),
    }
