"""A model of one's own behind a private CA, on a cluster: a chat goes to it by the real server.

The model is a stand-in that answers one word, with TLS; a public CA cannot be had here, and the CA
of OpenShift's Services is that of ``test_sequence_llamastack``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import openshift_help as help_
import pytest
from operators import Operated, operated
from testcluster import images, software
from testcluster.kubectl import apply
from testcluster.node import Node
from testcluster.openshift import names
from testcluster.pki import Authority
from testcluster.place import Place
from workshop.clients import openai
from workshop.core.errors import EndpointError
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint

pytestmark = pytest.mark.timeout(900)

IMAGE = "registry.test/own-model:1"
TOKEN = "the-key-of-a-model-of-ones-own"
MODEL_GO = """package main

import (
	"fmt"
	"net/http"
	"os"
)

func main() {
	answer := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			if r.Header.Get("Authorization") != "Bearer "+os.Getenv("KEY") {
				http.Error(w, "{}", 401)
				return
			}
			w.Header().Set("content-type", "application/json")
			fmt.Fprint(w, text)
		}
	}
	http.HandleFunc("/v1/models", answer(`{"object": "list", "data": [
		{"id": "own", "object": "model", "created": 1, "owned_by": "me"}]}`))
	http.HandleFunc("/v1/chat/completions", answer(`{"id": "1", "object": "chat.completion",
		"created": 1, "model": "own", "choices": [{"index": 0, "finish_reason": "stop",
		"message": {"role": "assistant", "content": "hello"}}]}`))
	if err := http.ListenAndServeTLS(":8443", "/tls.crt", "/tls.key", nil); err != nil {
		panic(err)
	}
}
"""

WAYS = {
    "a Deployment": ("ogx", False),
    "OGX's operator": ("ogx", True),
    "Llama Stack's operator": ("llama-stack", True),
}
SERVED = {"ogx": names.OGX_IMAGE, "llama-stack": names.LLAMA_STACK_IMAGE}


@pytest.fixture(params=WAYS)
def served(request: pytest.FixtureRequest, node: Node, place: Place) -> Iterator[Operated]:
    """The real server in each of these ways."""
    server, by_operator = WAYS[request.param]
    namespace = "-".join(["tls", server, *(["operated"] if by_operator else [])])
    software.add_llama_stack(place, *([SERVED[server]] if by_operator else []), server=server)
    with ExitStack() as stack:
        if by_operator:
            yield stack.enter_context(operated(node, server, namespace))
        else:
            help_.namespace(node, namespace)
            yield Operated(node, server, namespace)


def model(served: Operated, place: Place, authority: Authority) -> str:
    """Start the model beside it; gives its address."""
    host = f"own-model.{served.namespace}.svc"
    certificate, key = authority.sign("own-model", host, hosts=(host,))
    binary = images.compiled(place.go, "own-model", MODEL_GO)
    files = {"/model": binary, "/tls.crt": certificate, "/tls.key": key}
    image = f"{IMAGE}-{served.namespace}"
    images.add(place, image, files, entrypoint=("/model",), env={"KEY": TOKEN})
    labels = {"app": "own-model"}
    pod = {"containers": [{"name": "model", "image": image, "imagePullPolicy": "IfNotPresent"}]}
    template = {"metadata": {"labels": labels}, "spec": pod}
    spec = {"selector": {"matchLabels": labels}, "template": template}
    meta = {"name": "own-model"}
    apply(
        served.node.kubeconfig,
        {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": meta, "spec": spec},
        {
            "apiVersion": "v1",
            "kind": "Service",
            "metadata": meta,
            "spec": {"selector": labels, "ports": [{"port": 8443}]},
        },
        namespace=served.namespace,
    )
    served.kubectl("wait", "deployment/own-model", "--for=condition=Available", "--timeout=60s")
    return f"https://{host}:8443"


def test_a_chat_goes_through_the_server(served: Operated, place: Place, tmp_path: Path) -> None:
    authority = Authority(tmp_path / "pki")
    url = model(served, place, authority)
    own = Endpoint(url, token=Secret(TOKEN), ca_file=authority.file, adopted=True)
    deployed = served.ensure(own)
    assert openai.text(openai.complete(deployed.endpoint, "vllm/own", "Say hello.")) == "hello"
    if served.operator is None:
        # Nothing but the right CA is trusted.
        other = Authority(tmp_path / "other").file
        deployed = served.ensure(Endpoint(url, token=own.token, ca_file=other, adopted=True))
        with pytest.raises(EndpointError):
            openai.complete(deployed.endpoint, "vllm/own", "Say hello.")
        log = served.kubectl("logs", "deployment/llama-stack", "--tail=400")
        assert "CERTIFICATE_VERIFY_FAILED" in log
