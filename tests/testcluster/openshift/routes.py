"""The router: a real HAProxy, configured from Routes as OpenShift's router does it.

It ends TLS (edge), or opens it again towards the pod (reencrypt), with a certificate for all names
below ``APPS`` that an authority of its own has signed. Passthrough is not done.
"""

from __future__ import annotations

import json
import logging
import os
import re
import signal
import time
from pathlib import Path
from typing import Any

import httpx
from workshop.core.wait import NotYet, wait_for

from testcluster.openshift.api import Api, Object
from testcluster.openshift.certificates import config_map, kept
from testcluster.openshift.names import APPS, MANAGED, ROUTER
from testcluster.openshift.serving import TIMEOUT
from testcluster.openshift.starting import folder
from testcluster.place import START, Place

PROCESS = "haproxy"
BUNDLE = "default-ingress-cert"
DURATION = re.compile(r"^[1-9][0-9]*(us|ms|s|m|h|d)$")
STRICT = "haproxy.router.openshift.io/hsts_header"
HSTS = re.compile(r"^max-age=\d+(;includeSubDomains)?(;preload)?$")
LOG = logging.getLogger(__name__)

HEAD = """global
    maxconn 2000
    hard-stop-after 10m
    log stdout format raw local0 notice
defaults
    mode http
    log global
    timeout connect 5s
    timeout client 30s
    timeout server 30s
    timeout http-request 10s
    timeout http-keep-alive 300s
    timeout tunnel 1h
    option forwardfor
    option redispatch
    retries 3
"""

NOWHERE = """backend nowhere
    http-request return status 503 content-type text/html string "Application is not available"
"""


def start(place: Place) -> None:
    """Start HAProxy with what the operators' process has written, and wait until it answers."""
    program = place.debian / "usr" / "sbin" / "haproxy"
    file = folder(place.folder) / "haproxy.cfg"
    place.start(PROCESS, "-W", "-db", "-f", str(file), program=program)
    wait_for(
        "the router",
        lambda: _answers() or NotYet("no answer"),
        timeout=START,
        log=place.process(PROCESS).log_tail,
    )


def _answers() -> bool:
    try:
        return httpx.get(f"http://{ROUTER}/", timeout=5).status_code == 503
    except httpx.TransportError:
        return False


class Router:
    """Admits Routes, and keeps HAProxy's configuration."""

    def __init__(self, api: Api, own: Path, of_node: Path) -> None:
        self.api, self.own = api, own
        self.record = of_node / "run" / PROCESS / "process.json"
        authority = kept(own / "router-ca", "ingress-operator")
        certificate, key = authority.sign("router", f"*.{APPS}", hosts=(f"*.{APPS}",))
        pem = own / "router.pem"
        pem.touch(mode=0o600)
        pem.write_bytes(certificate.read_bytes() + key.read_bytes())
        self.bundle = authority.file.read_text()
        self.file = own / "haproxy.cfg"
        self.file.write_text(self._configuration([]))

    def start(self) -> None:
        """Let everybody who is somebody read the authority."""
        rbac = "rbac.authorization.k8s.io"
        meta = {"name": f"read-{BUNDLE}", "namespace": MANAGED}
        rule = {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get", "list", "watch"]}
        self.api.apply(config_map(MANAGED, BUNDLE, {"ca-bundle.crt": self.bundle}))
        self.api.apply(
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "Role",
                "metadata": meta,
                "rules": [rule | {"resourceNames": [BUNDLE]}],
            }
        )
        group = {"kind": "Group", "apiGroup": rbac, "name": "system:authenticated"}
        self.api.apply(
            {
                "apiVersion": f"{rbac}/v1",
                "kind": "RoleBinding",
                "metadata": meta,
                "roleRef": {"apiGroup": rbac, "kind": "Role", "name": meta["name"]},
                "subjects": [group],
            }
        )

    def route(self, one: Object, request: Object) -> None:
        """What OpenShift's API server fills in."""
        spec = one["spec"]
        if not spec.get("host"):
            name = one["metadata"].get("name", "")
            spec["host"] = f"{spec.get('subdomain') or f'{name}-{request["namespace"]}'}.{APPS}"
            annotations = one["metadata"].setdefault("annotations", {})
            annotations["openshift.io/host.generated"] = "true"
        spec.setdefault("wildcardPolicy", "None")
        spec["to"].setdefault("kind", "Service")
        spec["to"].setdefault("weight", 100)

    def reconcile(self) -> None:
        """Admit what is new, and reload HAProxy when something changed."""
        routes = self.api.list("Route")
        routes.sort(key=lambda one: one["metadata"]["creationTimestamp"])
        admitted: dict[tuple[str, str], Object] = {}
        for one in routes:
            key = (one["spec"]["host"], one["spec"].get("path", ""))
            first = admitted.setdefault(key, one)
            self._say(one, "" if first is one else f"route {first['metadata']['name']} is older")
        configuration = self._configuration(list(admitted.values()))
        if configuration == self.file.read_text():
            return
        self.file.write_text(configuration)
        if self.record.exists():
            LOG.info("reloading the router: %d routes", len(admitted))
            # HAProxy's master process starts a new worker; the old one serves what it has.
            os.kill(json.loads(self.record.read_text())["pid"], signal.SIGUSR2)

    def _say(self, one: Object, claimed: str) -> None:
        meta, host = one["metadata"], one["spec"]["host"]
        condition: Object = {"type": "Admitted", "status": "False" if claimed else "True"}
        if claimed:
            condition |= {"reason": "HostAlreadyClaimed", "message": claimed}
        before: list[Any] = (one.get("status") or {}).get("ingress", [])
        told = before[0] if before else {}
        same = [c["status"] for c in told.get("conditions", [])] == [condition["status"]]
        if told.get("host") == host and same:
            return
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        ingress = {
            "host": host,
            "routerName": "default",
            "routerCanonicalHostname": f"router-default.{APPS}",
            "wildcardPolicy": "None",
            "conditions": [condition | {"lastTransitionTime": since}],
        }
        self.api.status("Route", meta["namespace"], meta["name"], {"ingress": [ingress]})

    def _configuration(self, routes: list[Object]) -> str:
        """HAProxy's configuration; longer paths are asked first."""
        plain = [f"frontend plain\n    bind {ROUTER}:80"]
        secure = [
            f"frontend secure\n    bind {ROUTER}:443 ssl crt {self.own}/router.pem "
            "alpn h2,http/1.1",
            "    http-request set-header X-Forwarded-Proto https",
            "    http-request set-header X-Forwarded-Port 443",
            "    http-request set-header X-Forwarded-Host %[req.hdr(host)]",
        ]
        backends = [NOWHERE]
        routes = sorted(
            routes, key=lambda one: (one["spec"]["host"], -len(one["spec"].get("path", "")))
        )
        for one in routes:
            spec, tls = one["spec"], one["spec"].get("tls") or {}
            name = f"be_{one['metadata']['namespace']}:{one['metadata']['name']}"
            when = f"if {{ req.hdr(host),field(1,:),lower -m str {spec['host'].lower()} }}"
            if spec.get("path"):
                when += f" {{ path_beg {spec['path']} }}"
            insecure = tls.get("insecureEdgeTerminationPolicy", "None")
            if not tls or insecure == "Allow":
                plain.append(f"    use_backend {name} {when}")
            elif insecure == "Redirect":
                plain.append(f"    http-request redirect scheme https code 302 {when}")
            if tls.get("termination") in ("edge", "reencrypt"):
                secure.append(f"    use_backend {name} {when}")
            backends.append(self._backend(name, one))
        for frontend in (plain, secure):
            frontend.append("    default_backend nowhere\n")
        return "\n".join([HEAD, *plain, *secure, *backends])

    def _backend(self, name: str, one: Object) -> str:
        namespace, service = one["metadata"]["namespace"], one["spec"]["to"]["name"]
        lines = [f"backend {name}"]
        limit = one["metadata"].get("annotations", {}).get(TIMEOUT, "")
        if DURATION.match(limit):
            lines.append(f"    timeout server {limit}")
        tls = one["spec"].get("tls") or {}
        strict = one["metadata"].get("annotations", {}).get(STRICT, "")
        if HSTS.match(strict) and tls.get("termination") in ("edge", "reencrypt"):
            lines.append(f"    http-response set-header Strict-Transport-Security '{strict}'")
        again = ""
        if tls.get("termination") == "reencrypt":
            authority = self.own / "service-ca" / "ca.crt"
            if tls.get("destinationCACertificate"):
                authority = self.own / f"{one['metadata']['uid']}.crt"
                authority.write_text(tls["destinationCACertificate"])
            again = f" ssl verify required ca-file {authority}"
            again += f" verifyhost {service}.{namespace}.svc"
        wanted = (one["spec"].get("port") or {}).get("targetPort")
        for place, address in enumerate(self._pods(namespace, service, wanted)):
            lines.append(f"    server pod{place} {address}{again}")
        return "\n".join(lines) + "\n"

    def _pods(self, namespace: str, service: str, wanted: str | int | None) -> list[str]:
        """Where the Service's ready pods listen."""
        found = set()
        slices = self.api.list("EndpointSlice", namespace, f"kubernetes.io/service-name={service}")
        for one in slices:
            ports = one.get("ports") or []
            right = [p for p in ports if wanted in (None, p.get("name"), p.get("port"))][:1]
            for endpoint in one.get("endpoints") or []:
                if (endpoint.get("conditions") or {}).get("ready"):
                    found |= {
                        f"{address}:{port['port']}"
                        for address in endpoint["addresses"]
                        for port in right
                    }
        return sorted(found)
