"""Whether an attendee may do what the notebooks do, by the API server's own word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set

from workshop.room.objects import RBAC, SEEN
from workshop.targets.cluster.api import Api, Object

MAKES = (
    *(("v1", kind) for kind in ("Service", "ConfigMap", "Secret", "ServiceAccount")),
    ("v1", "PersistentVolumeClaim"),
    ("apps/v1", "Deployment"),
    ("batch/v1", "Job"),
    ("networking.k8s.io/v1", "Ingress"),
    ("networking.k8s.io/v1", "NetworkPolicy"),
    (f"{RBAC}/v1", "Role"),
    (f"{RBAC}/v1", "RoleBinding"),
    ("route.openshift.io/v1", "Route"),
    ("serving.kserve.io/v1beta1", "InferenceService"),
    ("serving.kserve.io/v1alpha1", "ServingRuntime"),
    ("llamastack.io/v1alpha1", "LlamaStackDistribution"),
    ("ogx.io/v1beta1", "OGXServer"),
)
"""The kinds that the notebooks make. Those that the cluster does not have are not asked for."""

FULLY = ("get", "list", "watch", "create", "patch", "delete")

READS = (
    ("", "pods", ("get", "list", "watch")),
    ("", "pods/log", ("get",)),
    ("", "pods/portforward", ("create",)),
    ("", "events", ("list", "watch")),
    ("", "resourcequotas", ("get", "list")),
    ("apps", "replicasets", ("list", "watch")),
)
"""What they look at and reach besides: API group, resource, verbs."""

AUTHORIZATION = "/apis/authorization.k8s.io/v1"

Right = tuple[str, str, str]
"""API group ("" is the core's), resource, verb."""


def needs(api: Api) -> list[Right]:
    """Every right that an attendee needs on this cluster."""
    found = []
    for api_version, kind in MAKES:
        known = api.kind(api_version, kind)
        if known:
            group = api_version.rpartition("/")[0]
            found += [(group, known.plural, verb) for verb in FULLY]
    found += [(group, resource, verb) for group, resource, verbs in READS for verb in verbs]
    found += [
        (group, name, verb)
        for group, names in SEEN.items()
        for name in names
        for verb in ("get", "list")
    ]
    return found


def listed(api: Api, user: str, namespace: str) -> set[Right]:
    """All that a user may do in a namespace, by one request.

    An authorizer need not be able to list its rules: a right that is not among them may be there.

    Raises:
        Refused: Whoever asks may not act as another user.
    """
    answer = api.request(
        "POST",
        f"{AUTHORIZATION}/selfsubjectrulesreviews",
        body={
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectRulesReview",
            "spec": {"namespace": namespace},
        },
        what=f"list what {user} may do in {namespace}",
        user=user,
    )
    return set(_rights(answer["status"]["resourceRules"]))


def absent(given: Set[Right], wanted: Iterable[Right]) -> list[Right]:
    """The rights that none of these gives."""
    return [right for right in wanted if not any(form in given for form in _forms(right))]


def may(api: Api, user: str, namespace: str, right: Right) -> bool:
    """Whether a user has this right: a SubjectAccessReview, the API server's last word."""
    group, whole, verb = right
    resource, _, subresource = whole.partition("/")
    asked = {
        "namespace": namespace,
        "group": group,
        "resource": resource,
        "subresource": subresource,
        "verb": verb,
    }
    answer = api.request(
        "POST",
        f"{AUTHORIZATION}/subjectaccessreviews",
        body={
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": _groups(user), "resourceAttributes": asked},
        },
        what=f"ask whether {user} may {verb} {whole}",
    )
    return bool(answer["status"]["allowed"])


def _groups(user: str) -> list[str]:
    """The groups that the API server gives to everybody who acts as this user."""
    if not user.startswith("system:serviceaccount:"):
        return ["system:authenticated"]
    accounts = "system:serviceaccounts"
    return [accounts, f"{accounts}:{user.split(':')[2]}", "system:authenticated"]


def _rights(rules: Iterable[Mapping[str, Object]]) -> Iterator[Right]:
    """Each right in these rules. One that is for some names alone does not count."""
    for rule in rules:
        if rule.get("resourceNames"):
            continue
        for group in rule.get("apiGroups") or []:
            for resource in rule.get("resources") or []:
                for verb in rule.get("verbs") or []:
                    yield group, resource, verb


def _forms(right: Right) -> Iterator[Right]:
    """The ways in which a rule may give it."""
    group, resource, verb = right
    for one in (group, "*"):
        for other in (resource, "*"):
            for third in (verb, "*"):
                yield one, other, third
