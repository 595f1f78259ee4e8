"""Admission in the operators' process: what is asked before an object is stored.

One HTTPS server on the node's loopback. A hook is a function that changes the object, or raises
``Refused``; the API server gets the difference as a patch.
"""

from __future__ import annotations

import base64
import copy
import json
import logging
import ssl
import threading
from collections.abc import Callable
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from testcluster.openshift.api import Api, Object
from testcluster.pki import Authority

PORT = 9445
LOG = logging.getLogger(__name__)


class Refused(Exception):
    """The object is not admitted; the text says why."""


@dataclass(frozen=True)
class Hook:
    """What is asked, and when.

    Args:
        change: Gets the object, which it changes in place, and the request of the review.
        resources: Plurals, or plurals with a subresource.
        groups: Their API groups.
        operations: CREATE, UPDATE.
        labelled: Only objects with this label.
        everywhere: Whether the namespaces of Kubernetes itself are asked about, too.
    """

    change: Callable[[Object, Object], None]
    resources: tuple[str, ...]
    groups: tuple[str, ...]
    operations: tuple[str, ...] = ("CREATE",)
    labelled: str = ""
    everywhere: bool = False


def serve(api: Api, folder: Path, hooks: dict[str, Hook]) -> None:
    """Serve the hooks in a thread, and have the API server ask them."""
    authority = Authority(folder / "webhooks", "webhooks")
    certificate, key = authority.sign("server", "localhost", hosts=("127.0.0.1",))

    class Handler(_Handler):
        all = hooks

    server = ThreadingHTTPServer(("127.0.0.1", PORT), Handler)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    bundle = base64.b64encode(authority.file.read_bytes()).decode()
    api.apply(
        {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": "openshift"},
            "webhooks": [_registered(name, hook, bundle) for name, hook in hooks.items()],
        }
    )


def _registered(name: str, hook: Hook, bundle: str) -> Object:
    own = {
        "key": "kubernetes.io/metadata.name",
        "operator": "NotIn",
        "values": ["kube-system", "kube-public", "kube-node-lease"],
    }
    labelled = [{"key": hook.labelled, "operator": "Exists"}] if hook.labelled else []
    return {
        "name": f"{name}.openshift.test",
        "clientConfig": {"url": f"https://127.0.0.1:{PORT}/{name}", "caBundle": bundle},
        "rules": [
            {
                "apiGroups": list(hook.groups),
                "apiVersions": ["*"],
                "operations": list(hook.operations),
                "resources": list(hook.resources),
            }
        ],
        "namespaceSelector": {} if hook.everywhere else {"matchExpressions": [own]},
        "objectSelector": {"matchExpressions": labelled},
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "failurePolicy": "Fail",
        "timeoutSeconds": 10,
    }


class _Handler(BaseHTTPRequestHandler):
    all: dict[str, Hook] = {}  # noqa: RUF012 - the subclass's own

    def do_POST(self) -> None:
        review = json.loads(self.rfile.read(int(self.headers["content-length"])))
        answer = review_answer(self.all[self.path.strip("/").partition("?")[0]], review["request"])
        body = json.dumps({**review, "request": None, "response": answer}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Say nothing: what is refused is logged where it is decided."""


def review_answer(hook: Hook, request: Object) -> Object:
    """The response to an admission request."""
    answer: Object = {"uid": request["uid"], "allowed": True}
    before = request["object"]
    after = copy.deepcopy(before)
    try:
        hook.change(after, request)
    except Refused as refused:
        LOG.info("refused one of %s: %s", request["resource"]["resource"], refused)
        return answer | {"allowed": False, "status": {"code": 403, "message": str(refused)}}
    changes = [
        {"op": "add", "path": f"/{field}", "value": value}
        for field, value in after.items()
        if before.get(field) != value
    ]
    if changes:
        patch = base64.b64encode(json.dumps(changes).encode()).decode()
        answer |= {"patchType": "JSONPatch", "patch": patch}
    return answer
