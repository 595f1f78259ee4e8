"""What this user may do, and the RoleBinding that gives what is missing.

Asked by SelfSubjectAccessReview, which every user may create, before anything is refused.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import yaml

from workshop.targets.cluster.api import MANAGER, Api, Object, at_once
from workshop.targets.cluster.objects import PRUNED, made

VERBS = ("get", "list", "watch", "create", "patch", "delete")
READ = ("get", "list", "watch")

RBAC = "rbac.authorization.k8s.io"

BUILT_IN = ("", "apps", "autoscaling", "batch", "networking.k8s.io", "policy", RBAC)
"""The groups that the ClusterRoles edit and admin cover on every cluster. OpenShift and operators
add their own groups to them, where they are well-behaved."""


BESIDES = (
    # Step 8 makes and removes pods that try the network.
    ("", "pods", (*READ, "create", "delete")),
    ("", "events", READ),
    ("apps", "replicasets", READ),
    ("", "namespaces", ("get",)),
    ("", "pods/log", ("get",)),
    # A port is forwarded over a WebSocket, which is a GET; Kubernetes 1.35 and newer ask for create
    # as well.
    ("", "pods/portforward", ("get", "create")),
)
"""What the notebooks do besides with what they make: API group, resource, verbs."""


class Right(NamedTuple):
    """One verb on one resource, which is a plural with a subresource after a slash: ``pods/log``.

    ``group`` is "" for the core's; ``namespace`` is "" in the whole cluster.
    """

    group: str
    resource: str
    verb: str
    namespace: str = ""


def needed(api: Api) -> list[Right]:
    """Everything that the notebooks do in the namespace, with the kinds that this cluster has."""
    space = api.namespace
    rights: list[Right] = []
    for api_version, kind in (*PRUNED, ("v1", "PersistentVolumeClaim")):
        rights += of_kind(api, api_version, kind, VERBS, space)
    return rights + [Right(g, name, verb, space) for g, name, verbs in BESIDES for verb in verbs]


def of_kind(
    api: Api, api_version: str, kind: str, verbs: Iterable[str], namespace: str
) -> list[Right]:
    """These verbs on one kind; none where the cluster does not know it."""
    known, group = api.kind(api_version, kind), api_version.rpartition("/")[0]
    return [Right(group, known.plural, verb, namespace) for verb in verbs] if known else []


def lacking(api: Api, rights: Sequence[Right]) -> list[Right]:
    """Those of these rights that this user does not have, in the same order."""
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview"}

    def is_allowed(right: Right) -> bool:
        review = kind | {"spec": {"resourceAttributes": attributes(right)}}
        return bool(api.create(review)["status"]["allowed"])

    allowed = at_once(is_allowed, rights)
    return [right for right, may in zip(rights, allowed, strict=True) if not may]


def user(api: Api) -> str:
    """Who this is to the cluster, such as ``system:serviceaccount:attendee-1:workbench``."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    return str(api.create(review)["status"]["userInfo"]["username"])


def binding(name: str, namespace: str, lacks: Sequence[Right]) -> list[Object]:
    """The smallest of the cluster's own roles that holds these rights, given to a user.

    Where only kinds of operators are missing, the role has no rule for them: then a Role with
    exactly these comes first.
    """
    groups = {right.group for right in lacks}
    word = "admin" if RBAC in groups else "edit"
    found: list[Object] = []
    role = {"kind": "ClusterRole", "name": word}
    if not groups & set(BUILT_IN):
        word = "operators"
        role = {"kind": "Role", "name": f"{MANAGER}-{word}"}
        rules = [
            {"apiGroups": [group], "resources": [resource], "verbs": verbs}
            for (group, resource), verbs in _grouped(lacks).items()
        ]
        meta = {"name": role["name"], "namespace": namespace}
        found.append(made(f"{RBAC}/v1", "Role", meta, rules=rules))
    # A binding's role can never be changed, so its name holds it; and another user's stays. It has
    # none of the kit's labels: cleaning up must not take the user's own rights.
    meta = {"name": f"{MANAGER}-{word}-{_slug(name)}", "namespace": namespace}
    given = {"roleRef": {"apiGroup": RBAC, **role}, "subjects": [_subject(name)]}
    return [*found, made(f"{RBAC}/v1", "RoleBinding", meta, **given)]


def command(bound: Object) -> str:
    """The same RoleBinding as one command."""
    subject, role = bound["subjects"][0], bound["roleRef"]
    to = f"--user='{subject['name']}'"
    if subject["kind"] == "ServiceAccount":
        to = f"--serviceaccount={subject['namespace']}:{subject['name']}"
    return (
        f"kubectl create rolebinding {bound['metadata']['name']} "
        f"--{role['kind'].lower()}={role['name']} {to} --namespace={bound['metadata']['namespace']}"
    )


def explained(name: str, namespace: str, lacks: Sequence[Right], *, openshift: bool) -> str:
    """All that is missing as a table, and what gives it: by whom, as a command and as YAML."""
    grouped = _grouped(lacks).items()
    rows = {f"{plural}.{group}".strip("."): verbs for (group, plural), verbs in grouped}
    width = max(map(len, rows))
    lines = [f"{name} may not, in the namespace {namespace}:"]
    lines += [f"  {resource:<{width}}  {', '.join(verbs)}" for resource, verbs in rows.items()]
    given = binding(name, namespace, lacks)
    if len(given) == 1:
        lines += ["An administrator of the namespace runs:", f"  {command(given[0])}", "or"]
    else:
        lines += ["An administrator of the cluster"]
    lines[-1] += " saves this and applies it with kubectl apply -f:"
    lines += [f"  {line}" for line in yaml.safe_dump_all(given, sort_keys=False).splitlines()]
    if openshift:
        lines.append(
            "An attendee is administrator of a project of their own: oc new-project NAME, then "
            "WORKSHOP_NAMESPACE=NAME. For a workbench in it, its owner runs the command above."
        )
    return "\n".join(lines)


def short(lacks: Sequence[Right]) -> str:
    """In one line, for a reason."""
    grouped = _grouped(lacks).items()
    return "; ".join(f"{', '.join(verbs)} {resource}" for (_, resource), verbs in grouped)


def attributes(right: Right) -> dict[str, str]:
    """A right, as the API server is asked for it."""
    resource, _, subresource = right.resource.partition("/")
    return right._asdict() | {"resource": resource, "subresource": subresource}


def _grouped(rights: Sequence[Right]) -> dict[tuple[str, str], list[str]]:
    """The verbs by group and resource, in the order of the rights."""
    found: dict[tuple[str, str], list[str]] = {}
    for right in rights:
        found.setdefault((right.group, right.resource), []).append(right.verb)
    return found


def _subject(name: str) -> Object:
    kind, _, rest = name.partition("serviceaccount:")
    if kind == "system:" and ":" in rest:
        namespace, account = rest.split(":", 1)
        return {"kind": "ServiceAccount", "name": account, "namespace": namespace}
    return {"kind": "User", "apiGroup": RBAC, "name": name}


def _slug(name: str) -> str:
    """A name as objects may have one, of its last letters: they differ among attendees."""
    name = name.removeprefix("system:serviceaccount:").lower()
    kept = "".join(letter if letter.isascii() and letter.isalnum() else "-" for letter in name)
    return kept[-30:].strip("-") or "user"
