"""The Routes, asked for real: here a server with a certificate of its own."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from standin.openai_server import OpenAIServer, certificate
from workshop.core.checks import Checks
from workshop.core.errors import CheckFailed, EndpointError
from workshop.operate.secure import ask_route, check_routes, plain_http
from workshop.targets.base import Endpoint, Route

pytestmark = pytest.mark.timeout(60)


@pytest.fixture
def front(tmp_path: Path):
    both, ca = certificate(tmp_path / "tls")
    with OpenAIServer(page=(200, "ok"), certificate=both) as server:
        endpoint = Endpoint(server.url.removesuffix("/v1"), ca_file=ca)
        yield Route("Route llama-stack", endpoint, "edge", False, 300)


def test_a_route_shows_who_signed_its_certificate_and_until_when(front):
    seen = ask_route(front)
    assert seen.tls == "edge, signed by a model server of this test"
    assert seen.expires.endswith(", in 0 days")
    assert seen.hsts == ""
    # The same port speaks no plain HTTP, so nothing leads from there to HTTPS.
    assert " to https://" not in seen.plain


def test_a_certificate_that_is_not_verified_is_an_error(front):
    unknown = replace(front, endpoint=Endpoint(front.endpoint.url))
    with pytest.raises(EndpointError, match=r"The server's certificate was not verified\."):
        ask_route(unknown)


def test_a_host_that_is_not_known_here_is_said_to_be_so(front):
    away = replace(front, endpoint=Endpoint("https://llama-stack.workshop.invalid"))
    seen = ask_route(away)
    assert seen.plain == "not asked: llama-stack.workshop.invalid is not known on this machine"
    checks = Checks("routes")
    check_routes([away], checks)
    assert [check.name for check in checks] == [
        "Route llama-stack ends TLS",
        "Route llama-stack waits for an agent's answer",
    ]
    assert checks


def test_every_fault_of_a_route_is_a_failed_check(front):
    checks = Checks("routes")
    check_routes([replace(front, serves_tls=True, timeout=30)], checks)
    with pytest.raises(CheckFailed) as failed:
        checks.raise_if_failed()
    text = str(failed.value)
    assert "5 of 5 checks failed" in text
    assert "ends TLS: expected reencrypt, saw edge" in text
    assert "waits for an agent's answer: expected 60 s or more, saw 30 s" in text
    assert "is verified, and lasts: expected 7 days or more, saw 0 days" in text
    assert "redirects plain HTTP: expected to https://" in text
    assert "tells browsers to use only HTTPS: expected max-age=..." in text


def test_a_redirection_to_https_is_right_and_an_answer_is_not(tmp_path):
    with OpenAIServer(moved="https://llama-stack.example.com/") as server:
        said = plain_http(Endpoint(server.url.removesuffix("/v1")))
        assert said == "HTTP 302 to https://llama-stack.example.com/"
    with OpenAIServer(page=(200, "hello")) as server:
        said = plain_http(Endpoint(server.url.removesuffix("/v1")))
        assert said == "HTTP 200, an answer without TLS"
