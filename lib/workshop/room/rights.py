"""Whether an attendee may do what the notebooks do, by the API server's own word."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from itertools import product

from workshop.room.objects import SEEN
from workshop.targets.cluster import permissions
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.permissions import Right

AUTHORIZATION = "/apis/authorization.k8s.io/v1"


def needs(api: Api) -> list[Right]:
    """Every right that an attendee needs on this cluster."""
    seen = [("", "resourcequotas"), *((group, one) for group in SEEN for one in SEEN[group])]
    looks = [Right(group, resource, verb) for group, resource in seen for verb in ("get", "list")]
    return permissions.needed(api) + looks


def listed(api: Api, user: str, namespace: str) -> set[tuple[str, str, str]]:
    """All that a user may do in a namespace, by one request, which asks as that user.

    An authorizer need not be able to list its rules: a right that is not among them may be there.
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
        headers={"Impersonate-User": user},
    )
    return set(_rights(answer["status"]["resourceRules"]))


def absent(given: Set[tuple[str, str, str]], wanted: Iterable[Right]) -> list[Right]:
    """The rights that none of these gives."""
    return [right for right in wanted if given.isdisjoint(_forms(right))]


def may(api: Api, user: str, namespace: str, right: Right) -> bool:
    """Whether a user has this right: a SubjectAccessReview, the API server's last word."""
    group, resource, verb = right[:3]
    asked = permissions.attributes(Right(group, resource, verb, namespace))
    answer = api.request(
        "POST",
        f"{AUTHORIZATION}/subjectaccessreviews",
        body={
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SubjectAccessReview",
            "spec": {"user": user, "groups": _groups(user), "resourceAttributes": asked},
        },
        what=f"ask whether {user} may {verb} {resource}",
    )
    return bool(answer["status"]["allowed"])


def _groups(user: str) -> list[str]:
    """The groups that the API server gives to everybody who acts as this user."""
    accounts = "system:serviceaccounts"
    is_account = user.startswith("system:serviceaccount:")
    own = [accounts, f"{accounts}:{user.split(':')[2]}"] if is_account else []
    return [*own, "system:authenticated"]


def _rights(rules: Iterable[Mapping[str, Object]]) -> Iterator[tuple[str, str, str]]:
    """Each right in these rules. One that is for some names alone does not count."""
    for rule in rules:
        if not rule.get("resourceNames"):
            yield from product(
                *(rule.get(key) or [] for key in ("apiGroups", "resources", "verbs"))
            )


def _forms(right: Right) -> Iterator[tuple[str, str, str]]:
    """The ways in which a rule may give it."""
    group, resource, verb = right[:3]
    return product((group, "*"), (resource, "*"), (verb, "*"))
