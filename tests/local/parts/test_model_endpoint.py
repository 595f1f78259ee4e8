"""The user's own model endpoint: what can be wrong with it, and how each is told."""

from __future__ import annotations

import os
import re

import pytest
from serving import gone
from standin import tiny
from standin.openai_server import LOGIN, OpenAIServer, certificate
from standin.proxy import Proxy
from workshop import ask_model, serve_model, verify_llama_stack, verify_model
from workshop.clients import http
from workshop.core.checks import Checks
from workshop.core.errors import (
    CheckFailed,
    EndpointError,
    SettingsError,
    StepMissing,
    WorkshopError,
)
from workshop.core.secret import Secret
from workshop.parts.model import check_paths
from workshop.targets.base import Endpoint, Part

pytestmark = pytest.mark.timeout(60)

TOKEN = "canary-91c2e6"
MODELS = "http://127.0.0.1:PORT/v1/models"
NOT_OPENAI = "This is not an OpenAI-compatible endpoint."
ADDRESS = (
    "MODEL_URL is the address before /v1/chat/completions, and no login page may come before it"
)
EXPORT = "export MODEL_TOKEN with this endpoint's token, and start JupyterLab or the run again"
NO_TOOLS = (
    "choose a model that calls tools, and start its server with tool calling on "
    "(vLLM: --enable-auto-tool-choice and the --tool-call-parser of this model)"
)


@pytest.fixture(autouse=True)
def _no_settings_of_mine(monkeypatch):
    for name in ("MODEL_TOKEN", "MODEL_CA_FILE", "WORKSHOP_HOME"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def model():
    """Start a model server with these faults."""
    running = []

    def start(**options):
        running.append(OpenAIServer(**options).__enter__())
        return running[-1]

    yield start
    for server in running:
        server.__exit__()


def refusal(where, url, kind=EndpointError, **options):
    """The whole text of the error, with the port of the test's server left out."""
    with pytest.raises(kind) as error:
        serve_model(where, url=url, **options)
    with pytest.raises(StepMissing):
        where.find("model")
    return re.sub(r"(127\.0\.0\.1):\d+", r"\1:PORT", str(error.value))


def text(what, state, hint, at=MODELS):
    return f"{what}\n  Where: {at}\n  Last state: {state}\n  Hint: {hint}"


# --- endpoints that work -------------------------------------------------------------------------


def test_an_open_endpoint_is_taken_with_its_only_model(where, model):
    server = model()
    deployed = serve_model(where, url=server.url)
    assert repr(deployed) == f"model: adopted in 0.0 s, http://127.0.0.1:{server.port}"
    checks = verify_model(where)
    assert [(check.name, check.seen) for check in checks] == [
        ("is the one that was asked for", "granite-8b"),
        ("answers a question", "Hello!"),
        ("calls a tool when asked", 'count_documents {"collection": "incidents"}'),
    ]
    assert all(check.ok for check in checks)
    assert where.store.recall("model name") == "granite-8b"
    assert ask_model(where, "How are you?") == "Hello!"


def test_the_token_comes_from_the_environment_and_shows_nowhere(where, model, monkeypatch, capsys):
    server = model(token=TOKEN, models=("small", "large"))
    monkeypatch.setenv("MODEL_TOKEN", f" {TOKEN}\n")
    shown = repr(serve_model(where, url=server.url, name="large"))
    checks = verify_model(where)
    assert [check.name for check in checks if check.ok] == [
        "is the one that was asked for",
        "answers a question",
        "refuses without the token",
        "calls a tool when asked",
    ]
    assert where.find("model").token == Secret(TOKEN)
    assert server.requests[0][1] == f"Bearer {TOKEN}"
    assert {body["model"] for _, _, body in server.requests if body} == {"large"}
    shown += repr(checks) + repr(where.status()) + repr(where.find("model"))
    assert TOKEN not in shown + capsys.readouterr().err
    holding = [path.name for path in where.store.root.rglob("*") if path.is_file()
               and TOKEN in path.read_text()]  # fmt: skip
    assert holding == ["secrets.json"]


@pytest.mark.parametrize("ending", ["", "/", "/v1/"])
def test_the_address_may_be_written_in_several_ways(where, model, ending):
    server = model()
    deployed = serve_model(where, url=f"  {server.url.removesuffix('/v1')}{ending} ")
    assert deployed.endpoint.url == f"http://127.0.0.1:{server.port}"


def test_a_certificate_of_ones_own_is_accepted_with_its_ca(where, model, tmp_path, monkeypatch):
    both, ca = certificate(tmp_path / "tls")
    monkeypatch.chdir(ca.parent)
    monkeypatch.setenv("MODEL_CA_FILE", ca.name)
    serve_model(where, url=model(certificate=both).url)
    # Absolute: Llama Stack reads it too, and runs elsewhere.
    assert where.find("model").ca_file == ca
    assert all(check.ok for check in verify_model(where))


def test_a_slow_first_word_is_waited_for(where, model):
    serve_model(where, url=model(pause=0.4).url)
    assert all(check.ok for check in verify_model(where))


def test_ones_own_endpoint_replaces_the_local_model(where, model, port):
    tiny.ensure(where, Part("model", port))
    pid = tiny.pid_of(where, "model")
    serve_model(where, url=model().url)
    gone(pid)
    assert [row.state for row in where.status()] == ["yours"]


def test_an_endpoint_that_cannot_be_used_leaves_the_local_model_alone(where, model, port):
    tiny.ensure(where, Part("model", port))
    before = where.find("model")
    with pytest.raises(EndpointError):
        serve_model(where, url=model(page=(404, "")).url)
    assert where.find("model") == before
    assert where.store.recall("model name") is None


# --- endpoints that do not -----------------------------------------------------------------------


def test_nothing_listens(where, port):
    assert refusal(where, f"http://127.0.0.1:{port}/v1") == text(
        "Nothing listens at this address.",
        "[Errno 111] Connection refused",
        "start the model server there, or correct MODEL_URL in 02_serve_model",
    )


def test_the_host_is_not_known(where):
    said = refusal(where, "http://no-such-host.invalid/v1")
    first, place, state, hint = said.splitlines()
    assert first == "The host name is not known."
    assert place == "  Where: http://no-such-host.invalid/v1/models"
    assert state.startswith("  Last state: [Errno ")
    assert hint == "  Hint: correct the host name in MODEL_URL in 02_serve_model"


def test_a_token_is_wanted_and_none_is_there(where, model):
    assert refusal(where, model(token=TOKEN).url) == text(
        "The model endpoint wants a token, and MODEL_TOKEN is not set.",
        'HTTP 401: {"error": {"message": "Incorrect API key provided."}}',
        EXPORT,
    )


def test_a_wrong_token_is_refused_and_not_quoted(where, model, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", f"wrong-{TOKEN}")
    assert refusal(where, model(token=TOKEN, echo=True).url) == text(
        "The model endpoint refused the token.",
        'HTTP 401: {"error": {"message": "Incorrect API key provided. You sent \'Bearer ****\'."}}',
        EXPORT,
    )


@pytest.mark.parametrize(
    ("options", "what", "state", "hint"),
    [
        ({"page": (404, "Not Found")}, NOT_OPENAI, "HTTP 404: Not Found", ADDRESS),
        ({"page": (200, LOGIN)}, NOT_OPENAI, f"HTTP 200: {LOGIN}", ADDRESS),
        (
            {"moved": "https://login.example.com/oauth"},
            NOT_OPENAI,
            "HTTP 302 to https://login.example.com/oauth",
            ADDRESS,
        ),
        ({"models_body": {"up": True}}, NOT_OPENAI, "its answer lists no models", ADDRESS),
        ({"models_body": ["a", "b"]}, NOT_OPENAI, "its answer lists no models", ADDRESS),
        ({"models_body": {"data": "ab"}}, NOT_OPENAI, "its answer lists no models", ADDRESS),
        (
            {"models": ()},
            "The endpoint serves no model.",
            "the list is empty",
            "load a model into its server, then run 02_serve_model again",
        ),
        (
            {"page": (503, "loading the model")},
            "The server is not ready yet.",
            "HTTP 503: loading the model",
            "wait a minute and run this cell again",
        ),
        (
            {"page": (500, "out of\n memory")},
            "The server failed.",
            "HTTP 500: out of memory",
            "read the model server's own log",
        ),
        (
            {"hang_up": True},
            "The connection broke.",
            "Server disconnected without sending a response.",
            "write https:// in MODEL_URL if the server wants TLS, or read its log",
        ),
    ],
    ids=[
        *("404", "login page", "redirection", "other JSON", "a list", "a text", "no model"),
        *("loading", "failing", "hangs up"),
    ],
)
def test_what_answers_is_no_use(where, model, options, what, state, hint):
    assert refusal(where, model(**options).url) == text(what, state, hint)


def test_it_does_not_answer_in_time(where, model):
    assert refusal(where, model(pause=3).url, timeout=0.3) == text(
        "No answer within 0.3 s.",
        "connected, but no answer came",
        "the model may still be loading: run this cell again in a minute",
    )


def test_the_model_that_was_asked_for_is_not_there(where, model):
    assert refusal(where, model().url, SettingsError, name="gpt-x") == text(
        "The endpoint has no model 'gpt-x'.",
        "it has: granite-8b",
        "set MODEL_NAME in 02_serve_model to one of these",
        "http://127.0.0.1:PORT",
    )


def test_there_are_several_models(where, model):
    assert refusal(where, model(models=("small", "large")).url, SettingsError) == text(
        "MODEL_NAME is needed: there are several models.",
        "it has: small, large",
        "set MODEL_NAME in 02_serve_model to one of these",
        "http://127.0.0.1:PORT",
    )


@pytest.mark.parametrize(
    ("url", "what", "shown"),
    [
        ("model.example.com/v1", "MODEL_URL is not a URL.", "model.example.com/v1"),
        ("http://", "MODEL_URL is not a URL.", "http://"),
        ("http://host:port/v1", "MODEL_URL is not a URL.", "http://host:port/v1"),
        ("ftp://host/v1", "MODEL_URL is not a URL.", "ftp://host/v1"),
        (f"https://me:{TOKEN}@host/v1", "MODEL_URL holds more than an address.", "host/v1"),
        (f"me:{TOKEN}@host/v1", "MODEL_URL is not a URL.", "host/v1"),
        ("https://host/v1?v=3", "MODEL_URL holds more than an address.", "https://host/v1?v=3"),
    ],
)
def test_what_is_no_address_is_refused(where, url, what, shown):
    with pytest.raises(SettingsError) as error:
        serve_model(where, url=url)
    assert str(error.value) == text(
        what,
        f"MODEL_URL = {shown!r}",
        'write it like "https://model.example.com/v1", and the token in the environment variable '
        "MODEL_TOKEN",
        "the parameters of 02_serve_model",
    )


# --- TLS -----------------------------------------------------------------------------------------


def secure(what, state, hint):
    return text(what, state, hint, MODELS.replace("http:", "https:"))


NOT_VERIFIED = "The server's certificate was not verified."


def test_a_self_signed_certificate_is_not_trusted(where, model, tmp_path):
    both, _ = certificate(tmp_path / "tls")
    assert refusal(where, model(certificate=both).url) == secure(
        NOT_VERIFIED,
        "self-signed certificate",
        "name the CA that signed it, as a PEM file, in MODEL_CA_FILE",
    )


def test_a_certificate_for_another_host_is_not_trusted(where, model, tmp_path, monkeypatch):
    both, ca = certificate(tmp_path / "tls", address="127.0.0.2")
    monkeypatch.setenv("MODEL_CA_FILE", str(ca))
    assert refusal(where, model(certificate=both).url) == secure(
        NOT_VERIFIED,
        "IP address mismatch, certificate is not valid for '127.0.0.1'.",
        "use the host name that the certificate was made for",
    )


def test_an_expired_certificate_is_not_trusted(where, model, tmp_path, monkeypatch):
    both, ca = certificate(tmp_path / "tls", expired=True)
    monkeypatch.setenv("MODEL_CA_FILE", str(ca))
    assert refusal(where, model(certificate=both).url) == secure(
        NOT_VERIFIED, "certificate has expired", "the server needs a new certificate"
    )


def test_https_to_a_server_without_tls(where, model):
    said = refusal(where, model().url.replace("http:", "https:")).splitlines()
    assert said[0] == "The server does not speak TLS here."
    assert said[-1] == "  Hint: write http:// instead of https://"


def test_http_to_a_server_with_tls(where, model, tmp_path):
    both, _ = certificate(tmp_path / "tls")
    said = refusal(where, model(certificate=both).url.replace("https:", "http:")).splitlines()
    assert said[0] == "The connection broke."
    assert said[-1] == (
        "  Hint: write https:// in MODEL_URL if the server wants TLS, or read its log"
    )


def test_a_ca_file_that_is_none(where, model, tmp_path, monkeypatch):
    both, _ = certificate(tmp_path / "tls")
    notes = tmp_path / "notes.txt"
    notes.write_text("the CA is in the drawer")
    monkeypatch.setenv("MODEL_CA_FILE", str(notes))
    said = refusal(where, model(certificate=both).url).splitlines()
    assert said[:2] == ["The CA file cannot be used.", f"  Where: {notes}"]
    assert said[-1] == (
        "  Hint: MODEL_CA_FILE must be a PEM file, which starts with -----BEGIN CERTIFICATE-----"
    )


# --- models that do not do what the agent needs --------------------------------------------------


@pytest.mark.parametrize(
    ("calls", "seen"),
    [
        ("prose", "no tool call, but text: There are about forty documents."),
        (
            "content",
            'no tool call, but text: <tool_call> {"name": "count_documents", "arguments": '
            '"{\\"collection\\": \\"inciden',
        ),
        (
            "refused",
            'HTTP 400: {"error": {"message": "\\"auto\\" tool choice requires a tool parser"}}',
        ),
    ],
)
def test_a_model_that_never_calls_tools(where, model, calls, seen, capsys):
    serve_model(where, url=model(calls=calls).url)
    with pytest.raises(CheckFailed) as error:
        verify_model(where)
    assert str(error.value) == (
        "Model: 1 of 3 checks failed.\n"
        '  Last state: calls a tool when asked: expected count_documents {"collection": '
        f'"incidents"}}, saw {seen}\n'
        f"  Hint: {NO_TOOLS}"
    )
    assert "[ OK ] answers a question: Hello!" in capsys.readouterr().err


def test_an_open_endpoint_though_a_token_was_given(where, model, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", TOKEN)
    serve_model(where, url=model().url)
    with pytest.raises(CheckFailed) as error:
        verify_model(where)
    assert str(error.value) == (
        "Model: 1 of 4 checks failed.\n"
        "  Last state: refuses without the token: expected 401 or 403, saw HTTP 200\n"
        "  Hint: anybody can use this model: protect it with the token, or unset MODEL_TOKEN if it "
        "is meant to be open, and run 02_serve_model again"
    )


@pytest.mark.parametrize(
    ("body", "failed", "state"),
    [
        ({"answer": "yes"}, 2, "its answer has no choices"),
        ({"choices": []}, 2, "its answer has no choices"),
        ({"choices": [{"message": "hello"}]}, 2, "its answer has no choices"),
        (
            {"choices": [{"message": {"content": "Hi", "tool_calls": [{"id": 1}]}}]},
            1,
            "its tool call has no function",
        ),
    ],
)
def test_chat_completions_in_another_shape(where, model, body, failed, state):
    server = model(chat_body=body)
    serve_model(where, url=server.url)
    with pytest.raises(CheckFailed) as error:
        verify_model(where)
    assert error.value.what == f"Model: {failed} of 3 checks failed."
    assert error.value.hint == ADDRESS
    assert (
        f"{NOT_OPENAI} Where: http://127.0.0.1:{server.port}/v1/chat/completions "
        f"Last state: {state}" in error.value.state
    )


def test_an_answer_that_a_server_broke_off_as_it_was_stopped_is_none(where, model):
    choice = {"message": {"content": "The cause"}, "finish_reason": "abort"}
    server = model(chat_body={"choices": [choice]})
    serve_model(where, url=server.url)
    with pytest.raises(CheckFailed) as error:
        verify_model(where)
    assert error.value.what == "Model: 2 of 3 checks failed."
    assert (
        f"The server stopped in the middle of its answer. Where: http://127.0.0.1:{server.port}/v1/chat/completions"
        " Last state: finish_reason abort, after: The cause"
    ) in error.value.state


@pytest.mark.parametrize(
    ("also", "seen"),
    [
        ({}, "not found (HTTP 404)"),
        ({"/version": (200, {"version": "0.33.0"})}, "HTTP 200"),
    ],
)
def test_a_server_that_serves_more_than_its_api_is_told(model, also, seen):
    server = model(token=TOKEN, also=also)
    endpoint = Endpoint(server.url.removesuffix("/v1"), Secret(TOKEN))
    checks = Checks("Embedder")
    check_paths(endpoint, "embedder", checks)
    [check] = checks
    assert (check.name, check.seen) == ("embedder serves only /v1, /health and /metrics", seen)
    assert check.ok is (seen != "HTTP 200")
    assert server.requests[0][:2] == ("/version", f"Bearer {TOKEN}")


# --- models that think ---------------------------------------------------------------------------

COMPLETIONS = "http://127.0.0.1:PORT/v1/chat/completions"
SWITCH_OFF = (
    "serve this model with thinking switched off, or with less of it (vLLM: "
    """--default-chat-template-kwargs '{"enable_thinking": false}'), or choose one that """
    "thinks less"
)


@pytest.mark.parametrize("thoughts", ["reasoning_content", "reasoning", "content"])
def test_a_model_that_thinks_is_asked_again_with_more_tokens(where, model, thoughts):
    server = model(thinks=600, thoughts=thoughts)
    serve_model(where, url=server.url)
    seen = {check.name: check.seen for check in verify_model(where)}
    assert seen["answers a question"] == "Hello!"
    assert seen["calls a tool when asked"] == 'count_documents {"collection": "incidents"}'
    asked = [body["max_tokens"] for _, _, body in server.requests if body]
    assert asked == [512, 4096, 512, 4096]


def why_silent(where, server):
    serve_model(where, url=server.url)
    with pytest.raises(CheckFailed) as error:
        verify_model(where)
    assert error.value.what == "Model: 2 of 3 checks failed."
    first, second = error.value.state.split("; calls a tool when asked: expected ")
    said = first.removeprefix("answers a question: expected some text, saw ")
    assert second.endswith(said)
    return said.replace(f":{server.port}", ":PORT"), error.value.hint


@pytest.mark.parametrize(
    ("limit", "more"),
    [
        (10_000, "4096 tokens; it thought: So they"),
        (
            1024,
            "512 tokens; it thought: So they; asked with 4096: The server did not understand the "
            'request. HTTP 400: {"error": {"message": "max_tokens is above 1024."}}',
        ),
    ],
    ids=["asked twice", "refused the second time"],
)
def test_a_model_that_only_thinks_is_told(where, model, limit, more):
    said, hint = why_silent(where, model(thinks=5000, limit=limit))
    assert said.startswith(
        "Thinking took all of the model's tokens, and it gave no answer. "
        f"Where: {COMPLETIONS} Last state: {more}"
    )
    assert hint == SWITCH_OFF


def test_an_answer_that_its_server_takes_for_thoughts_is_told(where, model):
    message = {"content": None, "reasoning": "Hello!"}
    server = model(chat_body={"choices": [{"message": message, "finish_reason": "stop"}]})
    said, hint = why_silent(where, server)
    assert said.startswith(
        f"The model gave thoughts, and no answer. Where: {COMPLETIONS} "
        "Last state: finish_reason stop; it thought: Hello!"
    )
    assert hint.startswith("its server mistakes the answer for thoughts: start it with the")


def test_step_3_asks_a_model_that_thinks_for_more_too(where, model, capsys):
    server = model(models=("vllm/granite",), thinks=600)
    server.also = {
        "/v1/version": (200, {"version": "0.7.3"}),
        "/v1/health": (200, {"status": "OK"}),
    }
    where.adopt("llama-stack", Endpoint(server.url.removesuffix("/v1")))
    where.store.remember("model name", "granite")
    with pytest.raises(WorkshopError):
        verify_llama_stack(where)
    assert "[ OK ] completes a chat: Hello!" in capsys.readouterr().err
    assert [body["max_tokens"] for _, _, body in server.requests if "max_tokens" in body] == [
        8,
        4096,
    ]


# --- errors in a body of status 200 --------------------------------------------------------------

BROKE = {"message": "The provider is\n overloaded.", "code": 503}


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"error": BROKE}, "The server is not ready yet."),
        ({"error": {"message": "The provider is overloaded."}}, "The server failed."),
        ({"error": "The provider is overloaded."}, "The server failed."),
        ({"object": "error", **BROKE, "code": "429"}, "The server is too busy."),
        ({"choices": [{"error": BROKE, "message": {}}]}, "The server is not ready yet."),
    ],
    ids=["error", "no code", "text", "object", "choice"],
)
def test_an_error_in_a_body_of_status_200_is_quoted(where, model, body, said):
    server = model()
    serve_model(where, url=server.url)
    server.chat_body = body
    with pytest.raises(CheckFailed) as error:
        verify_model(where)
    assert (
        f"{said} Where: {COMPLETIONS} Last state: HTTP 200, and in it an error: "
        "The provider is overloaded."
    ) in error.value.state.replace(f":{server.port}", ":PORT")


def test_an_error_in_place_of_the_models_is_quoted_without_the_token(where, model, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", TOKEN)
    server = model(models_body={"error": {"message": f"No quota for {TOKEN}.", "code": 401}})
    assert refusal(where, server.url) == text(
        "The model endpoint refused the token.",
        "HTTP 200, and in it an error: No quota for ****.",
        EXPORT,
    )


def test_an_endpoint_that_has_ended_since(where, model):
    server = model()
    serve_model(where, url=server.url)
    server.__exit__()
    with pytest.raises(CheckFailed) as error:
        verify_model(where)
    assert error.value.what == "Model: 3 of 3 checks failed."
    assert error.value.state.count("saw Nothing listens at this address.") == 3
    # Stopped once, in the test: not again in the fixture.
    server.__enter__()


def test_the_model_was_not_served_yet(where):
    with pytest.raises(StepMissing) as error:
        verify_model(where)
    assert str(error.value) == (
        "model was not deployed yet, or was stopped.\n"
        "  Where: this checkout's local target\n"
        "  Hint: run 02_serve_model first"
    )


def test_a_token_that_no_header_takes_is_refused_and_not_shown(where, model, monkeypatch):
    monkeypatch.setenv("MODEL_TOKEN", f"{TOKEN}\nand more")
    with pytest.raises(SettingsError) as error:
        serve_model(where, url=model().url)
    assert str(error.value) == (
        "The environment cannot be used.\n"
        "  Last state: MODEL_TOKEN contains a space, a line break or a letter beyond ASCII\n"
        "  Hint: correct or unset these variables"
    )
    assert "MODEL_TOKEN" in os.environ


# --- behind a proxy ------------------------------------------------------------------------------


@pytest.fixture
def proxy(monkeypatch):
    for name in [one for one in os.environ if one.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with Proxy() as running:
        yield running


def test_a_model_whose_name_the_proxy_alone_knows(where, model, proxy, monkeypatch):
    server = model(token=TOKEN)
    proxy.hosts["model.closed.test"] = server.port
    monkeypatch.setenv("MODEL_TOKEN", TOKEN)
    monkeypatch.setenv("HTTP_PROXY", proxy.url)
    # The entry on which httpx raises, whomever it asks.
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1,fd00:1234::/32")
    serve_model(where, url="http://model.closed.test/v1")
    assert all(check.ok for check in verify_model(where))
    assert set(proxy.asked) == {
        ("GET", "http://model.closed.test/v1/models"),
        ("POST", "http://model.closed.test/v1/chat/completions"),
    }
    # Another notebook finds it, and asks the proxy too.
    assert where.find("model").adopted


def test_a_model_behind_a_proxy_with_tls_and_a_login(where, model, proxy, monkeypatch, tmp_path):
    both, ca = certificate(tmp_path / "tls", address="model.closed.test")
    server = model(certificate=both)
    proxy.hosts["model.closed.test"], proxy.login = server.port, f"me:{TOKEN}"
    monkeypatch.setenv("MODEL_CA_FILE", str(ca))
    monkeypatch.setenv("https_proxy", proxy.url.replace("//", f"//me:{TOKEN}@"))
    serve_model(where, url="https://model.closed.test:8443/v1")
    assert all(check.ok for check in verify_model(where))
    assert set(proxy.asked) == {("CONNECT", "model.closed.test:8443")}
    # What a part might write of it into its log is masked.
    assert Secret(TOKEN) in where.store.secrets()
    assert not [path for path in where.store.root.rglob("*") if path.is_file()
                and TOKEN in path.read_text()]  # fmt: skip


def test_the_proxy_is_not_asked_for_what_needs_none(where, model, proxy, monkeypatch):
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, f"socks5h://me:{TOKEN}@127.0.0.1:9")
    serve_model(where, url=model().url)
    assert all(check.ok for check in verify_model(where))


@pytest.mark.parametrize(
    ("scheme", "login", "what", "state", "hint"),
    [
        ("https", "me:other", "The proxy asks for a login.",
         "407 Proxy Authentication Required, from the proxy {proxy} in HTTPS_PROXY", http.LOGIN),
        ("http", "me:other", "The proxy asks for a login.", "HTTP 407: (no text)", http.LOGIN),
        ("https", "", "The proxy did not let the request through.",
         "502 Bad Gateway, from the proxy {proxy} in HTTPS_PROXY",
         "check the URL's host; may the proxy reach it? NO_PROXY lists those that need none"),
    ],
)  # fmt: skip
def test_a_proxy_that_lets_nothing_through(
    where, proxy, monkeypatch, port, scheme, login, what, state, hint
):
    proxy.hosts["model.closed.test"], proxy.login = port, login
    monkeypatch.setenv(f"{scheme.upper()}_PROXY", proxy.url.replace("//", f"//me:{TOKEN}@"))
    said = refusal(where, f"{scheme}://model.closed.test/v1")
    assert TOKEN not in said
    shown = state.format(proxy=re.sub(r":\d+$", ":PORT", proxy.url))
    assert said == text(what, shown, hint, f"{scheme}://model.closed.test/v1/models")


def test_a_proxy_that_is_away(where, proxy, monkeypatch, port):
    monkeypatch.setenv("ALL_PROXY", f"http://me:{TOKEN}@127.0.0.1:{port}")
    assert refusal(where, "https://model.closed.test/v1") == text(
        "The proxy does not answer.",
        "[Errno 111] Connection refused, from the proxy http://127.0.0.1:PORT in ALL_PROXY",
        "correct or unset ALL_PROXY; NO_PROXY lists the hosts that need no proxy",
        "https://model.closed.test/v1/models",
    )


def test_a_socks_proxy_to_the_model_is_refused_before_anything_is_sent(where, proxy, monkeypatch):
    monkeypatch.setenv("HTTPS_PROXY", f"socks5://me:{TOKEN}@127.0.0.1:{proxy.port}")
    said = refusal(where, "https://model.closed.test/v1", SettingsError)
    assert said.splitlines()[:2] == ["The proxy cannot be used.", "  Where: HTTPS_PROXY"]
    assert TOKEN not in said
    assert proxy.asked == []
