"""The two operators that make a GPU usable: installed when they are missing, through OLM."""

from collections.abc import Sequence
from typing import NamedTuple

from workshop.core.errors import PartFailed, SettingsError
from workshop.core.progress import Stages
from workshop.core.wait import NotYet, wait_for
from workshop.targets.cluster import objects, permissions
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.errors import Forbidden
from workshop.targets.cluster.informer import Informer, patient

FOLDER = objects.MANIFESTS / "gpu-nodes"

SUBSCRIPTION = ("operators.coreos.com/v1alpha1", "Subscription")
GROUP = ("operators.coreos.com/v1", "OperatorGroup")
VERSION = ("operators.coreos.com/v1alpha1", "ClusterServiceVersion")

POLICY = ("nvidia.com/v1", "ClusterPolicy")
DISCOVERY = ("nfd.openshift.io/v1", "NodeFeatureDiscovery")


class Operator(NamedTuple):
    """One operator: its name in OLM's catalogue, where it runs, and the kind that it brings."""

    package: str
    namespace: str
    brings: tuple[str, str]


OPERATORS = (
    Operator("nfd", "openshift-nfd", DISCOVERY),
    Operator("gpu-operator-certified", "nvidia-gpu-operator", POLICY),
)


class Operators:
    """Looks after both."""

    def __init__(self, api: Api, informer: Informer) -> None:
        self._api = api
        self._informer = informer

    def missing(self) -> list[Operator]:
        """Those that are not installed, as far as this user can see."""
        if any(self._api.kind(*one.brings) is None for one in OPERATORS):
            # Somebody may have installed them since the kinds were asked for.
            self._api.discover()
        return [one for one in OPERATORS if not self._is_installed(one)]

    def _is_installed(self, operator: Operator) -> bool:
        if self._api.kind(*operator.brings) is None:
            return False
        # An operator that was removed leaves its kinds; one that came by Helm has no Subscription,
        # and has its instance from the same chart.
        subscribed = self._subscriptions(operator)
        return subscribed is None or bool(subscribed or self._instances(operator))

    def _instances(self, operator: Operator) -> list[Object]:
        return self._api.list(*operator.brings, namespace=None)

    def _subscriptions(self, operator: Operator) -> list[Object] | None:
        """The Subscriptions to its package; None where there is no OLM, or it is not shown."""
        if self._api.kind(*SUBSCRIPTION) is None:
            return None
        try:
            every = self._api.list(*SUBSCRIPTION, namespace=None)
        except Forbidden:
            return None
        return [one for one in every if one["spec"].get("name") == operator.package]

    def ensure(self, *, timeout: float, stage: Stages) -> None:
        """Install what is missing, wait until it runs, and make what tells it to work."""
        missing = self.missing()
        if missing:
            self._must_be_allowed(missing)
            subscriptions = [self._subscribe(one, stage) for one in missing]
            wait_for(
                "the operators to be installed",
                lambda: patient(lambda: self._installed(subscriptions)),
                timeout=timeout,
                stage=stage,
                every=0.1,
                where=self._api.url,
                hint="oc get subscriptions,installplans,csv -A",
            )
            stage("the operators run")
            # The kinds that they brought.
            self._api.discover()
        built = objects.build(FOLDER / "instances")
        for operator in OPERATORS:
            # One of each is enough, whoever made it: the GPU operator ignores a second.
            if not self._instances(operator):
                instance = objects.one(built, operator.brings[1])
                stage(f"making {operator.brings[1]} {instance['metadata']['name']}")
                self._api.apply(instance)

    def _must_be_allowed(self, missing: Sequence[Operator]) -> None:
        state = "missing: " + ", ".join(one.package for one in missing)
        if self._api.kind(*SUBSCRIPTION) is None:
            raise SettingsError(
                "The operators for GPUs are not installed, and this cluster has no OLM.",
                where=self._api.url,
                state=state,
                hint="install NVIDIA's GPU operator and Node Feature Discovery with Helm",
            )
        makes = ("list", "create", "patch")
        verbs = {SUBSCRIPTION: makes, GROUP: makes, VERSION: ("list", "watch")}
        rights = [permissions.Right("", "namespaces", "patch")]
        for one in missing:
            for kind in verbs:
                rights += permissions.of_kind(self._api, *kind, verbs[kind], one.namespace)
        lacks = permissions.lacking(self._api, rights)
        if lacks:
            raise SettingsError(
                "The operators for GPUs are not installed, and this user may not install them.",
                where=self._api.url,
                state=f"{state}; may not: {permissions.short(lacks)}",
                hint="an administrator runs: oc apply -k manifests/gpu-nodes/operators",
            )

    def _subscribe(self, operator: Operator, stage: Stages) -> Object:
        """The Subscription to this package: somebody's, or one that is made now."""
        for one in self._subscriptions(operator) or []:
            stage(f"{operator.package} is being installed already")
            return one
        stage(f"installing {operator.package}")
        grouped = bool(self._api.list(*GROUP, namespace=operator.namespace))
        applied: dict[str, Object] = {}
        built = objects.build(FOLDER / "operators")
        for thing in sorted(built, key=lambda thing: thing["kind"] != "Namespace"):
            meta = thing["metadata"]
            ours = operator.namespace in (meta.get("namespace"), meta["name"])
            # OLM does nothing in a namespace with two OperatorGroups.
            if ours and not (thing["kind"] == "OperatorGroup" and grouped):
                applied[thing["kind"]] = self._api.apply(thing)
        return applied["Subscription"]

    def _installed(self, subscriptions: Sequence[Object]) -> object:
        waiting = "; ".join(filter(None, map(self._state, subscriptions)))
        return NotYet(waiting) if waiting else True

    def _state(self, wanted: Object) -> str:
        """What this Subscription waits for; "" when its operator runs."""
        name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
        found = self._informer.named(*SUBSCRIPTION, name, namespace) or {}
        failed = str((objects.condition(found, "ResolutionFailed") or {}).get("message"))
        # Other reasons pass: the catalogue may be starting.
        if "constraints not satisfiable" in failed:
            raise self._failed(f"Subscription {name}", namespace, failed)
        status = found.get("status") or {}
        version = str(status.get("installedCSV") or "")
        if status.get("state") != "AtLatestKnown" or not version:
            return f"Subscription {name}: {status.get('state') or 'no state yet'}"
        installed = self._informer.named(*VERSION, version, namespace)
        if installed is None:
            return f"{version} is not there yet"
        status = installed.get("status") or {}
        phase = str(status.get("phase") or "no phase yet")
        if phase == "Failed":
            raise self._failed(version, namespace, status.get("message") or status.get("reason"))
        return "" if phase == "Succeeded" else f"{version}: {phase}"

    @staticmethod
    def _failed(what: str, namespace: str, message: object) -> PartFailed:
        return PartFailed(
            "An operator could not be installed.",
            where=f"{what}, namespace {namespace}",
            state=str(message),
            hint=f"oc get subscriptions,installplans,csv -n {namespace} -o yaml; "
            "is the channel in manifests/gpu-nodes/operators one of this cluster's catalogue?",
        )
