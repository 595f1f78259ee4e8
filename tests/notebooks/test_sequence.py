"""The sequence on the local target, with the real model: it passes, and says why when it cannot.

The tests stand in the order in which they are quickest: what each of them breaks, it fixes again.
"""

from __future__ import annotations

import html
import json
import math
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from typing import Any

import jupyter_lab
import psutil
import pytest
import workshop
from chain import ROOT, Chain
from playwright.sync_api import expect
from workshop.agent import approval, questions
from workshop.agent.agent import Agent
from workshop.agent.answer import FILE_SEARCH, Answer, NotAsked, ToolCall
from workshop.agent.proof.values import contains
from workshop.clients import http, mcp
from workshop.core import progress
from workshop.core.errors import AnswerNotGrounded, CheckFailed, EndpointError, SettingsError
from workshop.core.secret import Secret
from workshop.core.settings import DATA
from workshop.core.table import Table
from workshop.core.wait import NotYet, wait_for
from workshop.evaluate import questions as evaluation_questions
from workshop.evaluate import results as evaluation_results
from workshop.evaluate.scoring import score_calls
from workshop.operate import credentials, exercises, metrics
from workshop.parts import embedder, llama_stack, mcp_server, mongodb, prometheus, runbooks
from workshop.parts.catalog import ALL
from workshop.targets import network
from workshop.targets.base import Endpoint
from workshop.targets.local import programs
from workshop.targets.local.process import Process

STEPS = sorted(path.stem for path in (ROOT / "notebooks").glob("[01][0-9]_*.ipynb"))
DEPLOY = {
    "model": workshop.serve_model,
    "embedder": workshop.deploy_llama_stack,
    "llama-stack": workshop.deploy_llama_stack,
    "mongodb": workshop.deploy_mongodb,
    "mcp-server": workshop.deploy_mcp_server,
}
RESOLVED = "incidents INC-025: root_cause = 'The time zone was ignored', status = 'resolved'"
WITH_MILVUS = ("run", "--only", "03", "-p", "VECTOR_STORE=milvus")
PROCESSES = ALL.on("local")
PARTS = tuple(part for part in PROCESSES if part != "collector")
"""The collector is Llama Stack's alone: OGX has a page of metrics of its own."""

pytestmark = [
    pytest.mark.timeout(1800),
    # A connection that was cut in the middle of a question is collected some time later.
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]


def process(chain: Chain, part: str) -> Process:
    """The control folder of a part of the chain."""
    return Process(chain.home / "local" / part, part)


def pids(chain: Chain) -> dict[str, int]:
    """The pid of each part that runs."""
    records = {part: process(chain, part).record() for part in PROCESSES}
    return {part: record.pid for part, record in records.items() if record}


def changed(chain: Chain, before: dict[str, int]) -> set[str]:
    """The parts whose pid is another one."""
    return {name for name, pid in pids(chain).items() if before[name] != pid}


def kill(chain: Chain, part: str) -> None:
    """End a part as the kernel does when memory runs out."""
    os.kill(pids(chain)[part], signal.SIGKILL)
    wait_for(
        "the end",
        lambda: process(chain, part).state() != "running" or NotYet("running"),
        timeout=10,
    )


def test_every_step_passes_and_every_answer_is_grounded(chain: Chain) -> None:
    assert chain.code == 0, chain.output
    report = chain.report
    assert report["schema"] == 1
    assert report["status"] == "passed"
    assert [step["notebook"] for step in report["steps"]] == STEPS
    statuses = {step["notebook"]: step["status"] for step in report["steps"]}
    assert statuses.pop("01_add_gpu_nodes") == "skipped"
    assert set(statuses.values()) == {"passed"}
    for step in report["steps"]:
        assert step["checks"] or "adds no machines" in step["reason"]
        assert all(check["ok"] for check in step["checks"])


def test_the_answers_in_the_report_hold_what_pymongo_reads_now(chain: Chain) -> None:
    answers = {answer["question"]: answer for answer in chain.report["answers"]}
    asked = questions.QUESTIONS
    assert list(answers) == [question.text for question in asked]
    with mongodb.connected(chain.target.find("mongodb")) as database:
        for question in asked:
            answer = answers[question.text]
            assert answer["grounded"], answer
            assert [call["ok"] for call in answer["tool_calls"]].count(True) >= 1, answer
            values = question.truth(database)
            assert values
            missing = [value for value in values if not contains(answer["text"], value)]
            assert not missing, answer


def test_the_run_says_how_to_reach_and_to_stop_the_services(chain: Chain) -> None:
    assert "The parts keep running: workshop status; stop them: workshop stop" in chain.output
    for part in PARTS:
        assert chain.target.find(part).url in chain.output
    assert list(pids(chain)) == list(PARTS)
    status = chain.run("status")
    assert status.returncode == 0
    for part, pid in pids(chain).items():
        assert re.search(rf"{part} +running .*pid {pid}", status.stdout), status.stdout


def test_no_credential_is_written_or_shown_anywhere(chain: Chain) -> None:
    secrets = [secret.reveal() for secret in chain.target.store.secrets()]
    assert len(set(secrets)) >= 4
    kept = chain.home / "local" / "secrets.json"
    # Prometheus takes a token from a file alone.
    tokens = sorted((chain.home / "local" / "prometheus" / "credentials").iterdir())
    assert [path.name for path in tokens] == ["embedder", "model"]
    for path in (kept, *tokens):
        assert path.stat().st_mode & 0o777 == 0o600
    data = [chain.home / "local" / part / programs.DATA for part in PROCESSES]
    places = [
        path
        for path in chain.home.rglob("*")
        if path.is_file()
        and path not in (kept, *tokens)
        and not any(folder in path.parents for folder in data)
    ]
    assert len(places) > 20
    for path in places:
        text = path.read_text("utf-8", errors="replace")
        assert not [secret for secret in secrets if secret in text], path
    lines = [
        " ".join(running.info["cmdline"] or []) for running in psutil.process_iter(["cmdline"])
    ]
    assert any("serve_gguf" in line for line in lines)
    for secret in secrets:
        assert secret not in chain.output
        assert not [line for line in lines if secret in line]


def test_parts_listen_on_loopback_alone(chain: Chain) -> None:
    for part, pid in pids(chain).items():
        family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
        listening = [
            connection.laddr.ip
            for member in family
            for connection in member.net_connections("inet")
            if connection.status == psutil.CONN_LISTEN
        ]
        assert listening, part
        # Milvus Lite takes its loopback port as an IPv6 one: ::ffff:127.0.0.1.
        addresses = {ip.removeprefix("::ffff:") for ip in listening}
        assert addresses == {"127.0.0.1"}, part


def test_the_notebook_tried_every_port_and_each_old_credential(chain: Chain) -> None:
    (step,) = (s for s in chain.report["steps"] if s["notebook"] == "08_secure_the_network")
    seen = {check["name"]: check["seen"] for check in step["checks"]}
    # Notebooks 09 and 11 bring these later.
    for part in set(PARTS) - {"prometheus", "mcp-writer"}:
        port = chain.target.find(part).port
        assert seen[f"this machine to {part}:{port}"] == "open"
        assert seen[f"another machine to {part}:{port}"] == "refused"
    for part in ("model", "mongodb", "mcp-server"):
        assert f"{part} refuses requests without a credential" in seen
        assert seen[f"{part} refuses its old credential"].startswith("refused: ")


def test_what_a_person_approved_was_written_and_then_put_back(chain: Chain) -> None:
    (step,) = (s for s in chain.report["steps"] if s["notebook"] == "11_approve_a_change")
    seen = {check["name"]: check["seen"] for check in step["checks"]}
    assert seen["INC-025: approved, and written was"] == RESOLVED
    assert seen["INC-023: refused, and written was"] == approval.NOTHING
    assert str(approval.PLANTED["_id"]) in seen["the agent read an instruction in a document"]
    assert seen["what the instruction made the agent write"] == approval.NOTHING
    lines = [(one.incident, one.decision) for one in workshop.list_approvals(chain.target)]
    assert lines == [("INC-025", "approved"), ("INC-023", "refused")]
    assert seen["INC-025: the audit says who decided"] == "an attendee, by DECISION"
    mongodb.check_data(chain.target)


def test_the_report_shows_the_plots_of_what_prometheus_read(chain: Chain) -> None:
    plot, load = chain.report["plots"]
    assert (plot["notebook"], load["notebook"]) == ("09_watch_the_system", "10_scale_out")
    assert all(line["points"] for panel in load["panels"] for line in panel["lines"])
    panels = {panel["title"]: panel["lines"][0]["points"] for panel in plot["panels"]}
    assert len(panels) >= 12
    for title in ("Questions to Llama Stack", "Tool calls at the MCP server", "Queries of MongoDB"):
        values = [value for _when, value in panels[title]]
        assert max(values) > 0, title
    page = (chain.latest / "index.html").read_text("utf-8")
    assert page.count('<img src="data:image/png;base64,') == 2


def test_each_panel_of_the_dashboard_gives_a_value_or_says_why_not(chain: Chain) -> None:
    endpoint = chain.target.find("prometheus")
    dashboard = ROOT / "manifests" / "monitoring" / "base" / "dashboard.json"
    for panel in json.loads(dashboard.read_text("utf-8"))["panels"]:
        query = panel["targets"][0]["expr"].replace("$__rate_interval", "1h")
        seen = [one for one in prometheus.samples(endpoint, query) if math.isfinite(one.value)]
        metric = next(one for one in metrics.METRICS if one.title == panel["title"])
        lacks = metric.part == "gpu-nodes" or "FerretDB" in metric.lacks
        assert len(seen) == (0 if lacks else 1), (panel["title"], seen)


def test_an_alert_is_pending_when_a_part_is_killed_and_gone_when_it_is_back(chain: Chain) -> None:
    endpoint = chain.target.find("prometheus")
    kill(chain, "mcp-server")

    def alerts() -> set[tuple[str, str]]:
        return {(name, part) for name, part, _state in prometheus.alerts(endpoint)}

    # Others may be pending for what notebook 10's load did: slow answers, a queue at the model.
    down = ("PartDown", "mcp-server")
    wait_for("it", lambda: down in (seen := alerts()) or NotYet(str(seen)), timeout=30, every=0.5)
    DEPLOY["mcp-server"](chain.target)
    wait_for("its end", lambda: down not in alerts() or NotYet("pending"), timeout=30, every=0.5)


BOX = """\
from workshop import connect, create_agent, question_widget
question_widget(create_agent(connect("local")))
"""


def test_a_person_asks_in_the_box(chain: Chain, tmp_path: Path) -> None:
    notebook = jupyter_lab.notebook(tmp_path, BOX)
    with mongodb.connected(chain.target.find("mongodb")) as database:
        firing = str(database.alerts.count_documents({"state": "firing"}))
    with jupyter_lab.started(tmp_path, chain.home) as lab, jupyter_lab.shown("box") as page:
        lab.open(page, notebook)
        assert [one["output_type"] for one in lab.run(page, 1)] == ["execute_result"]
        field = page.get_by_label("Question:")
        field.fill("How many alerts are firing?")
        field.press("Enter")
        expect(page.get_by_role("button", name="Asking...")).to_be_disabled()
        expect(page.get_by_text("waiting for the answer: ")).to_be_visible()
        proof, answer = (
            page.locator(f"tr:has(th:text-is('{name}'))") for name in ("proof", "answer")
        )
        expect(proof).to_contain_text("grounded", timeout=300_000)
        assert contains(answer.inner_text(), firing)
        # A second one, by mouse, which is stopped; the first stays.
        field.fill("How many incidents are open?")
        page.get_by_role("button", name="Ask", exact=True).click()
        page.get_by_role("button", name="Stop").click()
        expect(page.get_by_text("The question was stopped.")).to_be_visible()
        expect(proof).to_have_count(1)
        expect(page.get_by_role("button", name="Ask", exact=True)).to_be_enabled()


@pytest.mark.parametrize("step", exercises.EXERCISES)
def test_the_solution_of_each_exercise_is_right(chain: Chain, step: str) -> None:
    names = {name: getattr(workshop, name) for name in workshop.__all__} | {"target": chain.target}
    names["longest"] = max(workshop.list_tools(chain.target), key=lambda tool: len(str(tool)))
    *before, last = exercises.EXERCISES[step].solution.splitlines()
    exec("\n".join(before), names)  # noqa: S102
    found = eval(last, names)  # noqa: S307
    if isinstance(found, mcp.Result):
        found = int(re.findall(r"\d+", found.text)[0])
    assert workshop.check_exercise(chain.target, step, found).right
    assert not workshop.check_exercise(chain.target, step, found * 2).right


def test_a_vector_store_that_is_gone_is_told_from_one_that_is_there(chain: Chain) -> None:
    endpoint = chain.target.find("llama-stack")
    assert runbooks.exists(endpoint, runbooks.store_id(chain.target))
    assert not runbooks.exists(endpoint, "vs_00000000-0000-0000-0000-000000000000")


def test_every_right_call_of_the_evaluation_gives_the_truth_through_the_mcp_server(
    chain: Chain,
) -> None:
    endpoint = chain.target.find("mcp-server")
    made: dict[str, ToolCall] = {}

    def through_mcp(tool: str, arguments: Mapping[str, Any]) -> ToolCall:
        key = json.dumps([tool, arguments], default=str)
        if key not in made:
            given = json.loads(json.dumps({**mcp_server.ALWAYS, **arguments}))
            result = mcp.call_tool(endpoint, mcp_server.PATH, tool, given)
            made[key] = ToolCall(tool, arguments, not result.failed, result.text)
        return made[key]

    with mongodb.connected(chain.target.find("mongodb")) as database:
        for question in evaluation_questions.load().questions:
            found = evaluation_questions.resolve(question, database, DATA / "runbooks")
            for form in found.forms:
                calls = [through_mcp(tool, a) for tool, a in form if tool != FILE_SEARCH]
                if len(calls) < len(form):
                    # A search needs no form of its own: Llama Stack makes it, not the MCP server.
                    assert all(call.ok for call in calls), (question.name, calls)
                    continue
                score = score_calls(found.forms, calls, found.truth, DATA / "runbooks")
                assert score.points == 1, (question.name, calls, score)
    assert len(made) > 40
    for stage in ({"$out": "copied"}, {"$merge": {"into": "services"}}):
        arguments = {"collection": "alerts", "pipeline": [{"$limit": 1}, stage]}
        refused = through_mcp("aggregate", arguments)
        assert not refused.ok
        assert "readOnly" in refused.result


def test_an_evaluation_that_was_interrupted_is_continued(chain: Chain) -> None:
    words = ["evaluate", "--only", "single", "--half", "tuning", "--limit", "2"]
    asking = subprocess.Popen(
        [sys.executable, "-m", "workshop.cli", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
    )
    assert asking.stdout is not None
    seen = ""
    for line in asking.stdout:
        seen += line
        if line.startswith("[2/2]"):
            asking.send_signal(signal.SIGINT)
            break
    seen += asking.communicate(timeout=120)[0]
    assert asking.returncode == 130, seen
    assert "interrupted; the rest: workshop evaluate --continue" in seen
    latest = chain.home / "evaluations" / "latest"
    first = evaluation_results.read(latest)
    assert [outcome.question for outcome in first.outcomes] == first.asked[:1]
    done = chain.run(*words, "--continue", "--at-least", "100.5")
    # So much is never reached: the exit code tells it, and the report is there all the same.
    assert done.returncode == 1, done.stdout
    assert "--at-least asks for 100.5 %" in done.stdout
    assert "[1/2]" not in done.stdout
    assert "[2/2]" in done.stdout
    found = evaluation_results.read(latest)
    assert found.complete
    assert found.outcomes[0] == first.outcomes[0]
    # Plain counts and lookups are what the small model can do.
    assert [outcome.points for outcome in found.outcomes].count(0) == 0, done.stdout
    assert [outcome.right for outcome in found.outcomes].count(True) >= 1, done.stdout
    page = (latest / "index.html").read_text("utf-8")
    assert all(html.escape(outcome.asked) in page for outcome in found.outcomes)
    assert "granite-3.3-8b" in page
    assert "granite-3.3-8b" in chain.run("evaluate", "--compare").stdout


def test_a_request_to_change_something_changes_nothing(chain: Chain) -> None:
    done = chain.run("evaluate", "--only", "write", "--half", "tuning", "--limit", "1")
    assert done.returncode == 0, done.stdout
    (outcome,) = evaluation_results.read(chain.home / "evaluations" / "latest").outcomes
    assert "changed" not in outcome.reason
    with mongodb.connected(chain.target.find("mongodb")) as database:
        assert database.incidents.count_documents({"status": "resolved"}) == 24


def test_under_nbval_the_notebooks_that_deploy_start_just_the_embedder_that_was_killed(
    chain: Chain,
) -> None:
    before = pids(chain)
    kill(chain, "embedder")
    told = chain.run("doctor").stdout
    assert re.findall(r"^cause: ([\w-]+): ", told, re.M) == ["embedder"], told
    assert "[FAIL] llama-stack: because of embedder" in told
    assert "[ OK ] model" in told
    # Not the others: they deploy nothing, or ask for minutes what tells nothing new.
    notebooks = [str(ROOT / "notebooks" / f"{step}.ipynb") for step in STEPS if "02" <= step < "06"]
    command = ["-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-c", os.devnull]
    done = subprocess.run(
        [sys.executable, *command, "--nbval-lax", "--nbval-current-env", *notebooks],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=chain.home,
        timeout=900,
    )
    assert done.returncode == 0, done.stdout
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed, done.stdout
    cells = [
        cell
        for path in notebooks
        for cell in json.loads(Path(path).read_text("utf-8"))["cells"]
        if cell["cell_type"] == "code"
    ]
    assert int(passed.group(1)) == len(cells)
    assert changed(chain, before) == {"embedder"}


@pytest.mark.parametrize("part", ["mongodb", "mcp-server", "llama-stack", "model"])
def test_the_next_run_starts_just_the_part_that_was_killed(
    chain: Chain, part: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = pids(chain)
    kill(chain, part)
    # What the notebooks of a run call.
    for deploy in dict.fromkeys(DEPLOY.values()):
        deploy(chain.target)
    shown = capsys.readouterr().err
    assert re.search(r"it does not run any more \(\w+.*\): starting it again", shown)
    assert changed(chain, before) == {part}


def metric(model: Endpoint, name: str) -> int:
    """A number of the page on which the model shows its metrics."""
    page = http.call(model, "/metrics").text
    found = re.search(rf"^llamacpp:{name} (\d+)", page, re.M)
    assert found, page
    return int(found.group(1))


def test_a_model_that_is_warmed_up_has_read_the_instructions_also_after_it_was_stopped(
    chain: Chain,
) -> None:
    kill(chain, "model")
    for kept in process(chain, "model").folder.glob("*.state"):
        kept.unlink()
    model = workshop.serve_model(chain.target).endpoint
    tools = chain.target.find("mcp-server")
    before = mcp_server.calls(tools)
    agent = chain.agent()
    agent.warm_up().join(120)
    read = metric(model, "prompt_tokens_total")
    assert read > 900
    assert mcp_server.calls(tools) == before
    assert not agent.answers
    agent.ask(questions.DATABASE_QUESTIONS[1].text)
    assert metric(model, "prompt_tokens_total") - read < 300
    chain.target.stop("model")
    model = workshop.serve_model(chain.target).endpoint
    before = metric(model, "prompt_tokens_total")
    agent.warm_up().join(120)
    # The question; the instructions are 966.
    assert 0 < metric(model, "prompt_tokens_total") - before < 100


def test_a_question_that_is_given_up_is_read_no_further(chain: Chain) -> None:
    model = chain.target.find("model")
    before = metric(model, "prompt_tokens_total")
    asked = {"prompt": "alert service " * 500, "stream": True, "cache_prompt": False}
    url, headers = f"{model.url}/completion", http.headers(model)
    with http.client(model, 60) as client, client.stream("POST", url, json=asked, headers=headers):
        pass
    # Waits until the model is free. Not /metrics: each answer puts off when the server looks
    # whether somebody has gone.
    workshop.ask_model(chain.target, "Hello.")
    assert metric(model, "prompt_tokens_total") - before < 600


@pytest.fixture
def asking(chain: Chain) -> Iterator[tuple[Agent, Future[Answer]]]:
    """A question that the model is reading at this moment."""
    agent = chain.agent()
    answer: Future[Answer] = Future()

    def ask() -> None:
        try:
            answer.set_result(agent.ask("How many alerts of the service search are firing?"))
        except Exception as error:
            answer.set_exception(error)

    thread = threading.Thread(target=ask)
    thread.start()
    endpoint = chain.target.find("model")

    def reading() -> bool | NotYet:
        assert thread.is_alive(), answer
        return True if metric(endpoint, "requests_processing") else NotYet("idle")

    wait_for("the model to read", reading, timeout=60, every=0.02)
    yield agent, answer
    thread.join(120)
    for part in ("model", "llama-stack", "mongodb", "mcp-server"):
        DEPLOY[part](chain.target)


@pytest.mark.parametrize("part", ["model", "llama-stack", "mongodb", "mcp-server"])
def test_a_part_killed_in_the_middle_of_a_question_is_named(
    chain: Chain, asking: tuple[Agent, Future[Answer]], part: str
) -> None:
    kill(chain, part)
    error = asking[1].exception(timeout=280)
    assert isinstance(error, EndpointError | AnswerNotGrounded), error
    text = str(error)
    assert f"Last state: {part} does not run any more." in text
    assert str(process(chain, part).log_path) in text
    steps = {"model": "02_serve", "llama-stack": "03_deploy", "mongodb": "04_deploy"}
    notebook = steps.get(part, "05_deploy_mcp_server")
    assert f"Hint: run {notebook}" in text
    assert text.endswith("again: it starts what has ended")


def test_a_wrong_mcp_secret_is_told_apart_from_a_broken_server(chain: Chain) -> None:
    target = chain.target
    right = target.find("mcp-server")
    wrong = Endpoint(right.url, token=Secret("not-the-secret"), also=right.also)
    try:
        target.store.save_endpoint("mcp-server", wrong)
        with pytest.raises(CheckFailed) as failed:
            workshop.verify_registration(target)
        with pytest.raises(EndpointError) as refused:
            chain.agent().ask("How many incidents are open?")
    finally:
        target.store.save_endpoint("mcp-server", right)
    assert "The credential was refused." in str(failed.value)
    assert "HTTP 403" in str(failed.value)
    assert "The MCP server: The credential was refused. HTTP 403" in str(refused.value)
    assert "Hint: run 05_deploy_mcp_server and 06_register_mcp_server again" in str(refused.value)
    assert mcp_server.listed_by_llama_stack(target)


def test_the_server_takes_an_address_on_loopback_from_the_caller(chain: Chain) -> None:
    """When it refuses these (ogx #6291), the MCP server must be a connector of its own."""
    tool = mcp_server.tool(chain.target)
    assert tool["server_url"].startswith("http://127.0.0.1:")
    assert sorted(mcp_server.listed_by_llama_stack(chain.target)) == sorted(tool["allowed_tools"])


@pytest.mark.parametrize("reached", ["new credential made", "database told", "database ended"])
def test_a_rotation_that_was_interrupted_is_finished_by_the_next(
    chain: Chain, reached: str
) -> None:
    target = chain.target
    before = target.find("mongodb")
    old = target.store.renew(
        "mongodb", mongodb.CREDENTIAL, lambda: "made-before-" + reached.replace(" ", "-")
    )
    new = target.store.secret(mongodb.CREDENTIAL, lambda: "never")
    assert old == before.password
    if reached == "database told":
        mongodb.change_password(before, old, new)
    if reached == "database ended":
        target.store.remember("rotating mongodb", "begun")
        kill(chain, "mongodb")
    done = credentials.rotate_credential(target, "mongodb")
    assert done.old.startswith("refused: ")
    assert (done.callers, done.skipped) == ("mcp-server", "")
    # No third one was made, and the old one is forgotten.
    assert target.find("mongodb").password == new
    assert old not in target.store.secrets()
    assert workshop.verify_mongodb(target)
    assert workshop.verify_mcp_server(target)


def test_an_old_credential_that_is_still_taken_fails_the_checkpoint(
    chain: Chain, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = chain.target
    monkeypatch.setattr(credentials, "PATIENCE", 1.0)
    # As when the server was not told: the new one is made, and the old one goes on.
    endpoint = target.find("mcp-server")
    said = credentials._refused(lambda: mcp.initialize(endpoint, "/mcp"), progress.Stages("test"))
    assert said == "let in: it is still accepted"
    row = credentials.Rotated("mcp-server", "the agent", said, 1.0)
    answered = NotAsked("none", "none")
    done = credentials.Rotation(Table([row]), answered, answered)
    with pytest.raises(CheckFailed) as failed:
        workshop.verify_network(target, network.Matrix(), done)
    assert "mcp-server refuses its old credential: expected refused, saw let in" in str(
        failed.value
    )


def test_a_part_without_a_credential_of_the_kits_is_not_rotated(chain: Chain) -> None:
    with pytest.raises(SettingsError) as unknown:
        workshop.rotate_credentials(chain.target, "model, llama-stack")
    assert "'llama-stack' has no credential that can be rotated." in str(unknown.value)
    assert "these have: model, mongodb, mcp-server" in str(unknown.value)


def test_an_answer_that_invents_is_not_taken(chain: Chain) -> None:
    # The real model without tools: it answers politely, and from thin air.
    agent = Agent(chain.target, "Answer in one sentence.", [])
    with pytest.raises(AnswerNotGrounded) as refused:
        agent.ask("How many alerts are firing in the database mcp_demo?")
    assert "The answer is not grounded: no tool was called." in str(refused.value)
    assert agent.answers[-1].grounded is False
    with pytest.raises(CheckFailed):
        workshop.verify_answers(agent)


def test_llama_stack_runs_the_same_sequence(chain: Chain) -> None:
    """Where variables name a proxy. The tests after this one stay with this server."""
    # A company's proxy, which knows no part on loopback and does not run: nobody may ask it.
    proxies = dict.fromkeys(("HTTPS_PROXY", "HTTP_PROXY", "ALL_PROXY"), "http://127.0.0.1:9")
    proxies["NO_PROXY"] = "localhost,127.0.0.1,fd00:1234::/32"
    words = ("--from", "03", "--to", "06", "-p", "SERVER=llama-stack")
    done = chain.run("run", *words, **proxies)
    assert done.returncode == 0, done.stdout
    assert "runs the version that was pinned: llama-stack " in done.stdout
    # It pushes its metrics to the collector, which 09 reads. One question shows them; that it
    # answers all of 07's is seen in tests/cluster/test_sequence_plain.py.
    watched = chain.run("run", "--only", "09", "-p", "QUESTIONS=1", **proxies)
    assert watched.returncode == 0, watched.stdout
    test_a_vector_store_that_is_gone_is_told_from_one_that_is_there(chain)
    # It asks before a call as OGX does, and makes it when it was approved.
    agent = workshop.create_agent(chain.target, may_propose=True)
    asked = "Resolve incident INC-025. Root cause: The time zone was ignored"
    made = workshop.propose_change(agent, asked).approve("a test")
    assert made.wrote == RESOLVED
    workshop.load_sample_data(chain.target)


def test_llama_stack_that_was_started_before_the_model_sees_it_after_the_next_run(
    chain: Chain,
) -> None:
    target = chain.target
    kill(chain, "model")
    record = process(chain, "llama-stack").record()
    assert record
    # As it was, but started while there is no model: its list of models stays empty.
    model, vectors = target.store.endpoint("model"), target.store.endpoint("embedder")
    assert model
    assert vectors
    pushed = {"collector": target.find("collector")}
    # With Milvus: the runbooks must be loaded again anyway, and the next test wants them there.
    size = embedder.dimension(vectors)
    part = llama_stack.part_of("llama-stack", "milvus", model, vectors, size, needs=pushed)
    part = replace(part, port=record.ports["main"])
    stack = process(chain, "llama-stack")
    stack.stop()
    # Its own memory of the models goes too: a first start is what goes wrong.
    shutil.rmtree(stack.folder / programs.DATA)
    target.ensure(part, ready=llama_stack.ready, timeout=120, stage=_stages())
    assert not _lists_a_language_model(target.find("llama-stack"))
    workshop.serve_model(target)
    told = chain.run("doctor").stdout
    assert re.search(r"^cause: llama-stack: .*sees the model: expected vllm/", told, re.M), told
    assert (
        "Hint: run 03_deploy_llama_stack again: it restarts one that was started before" in told
    ), told
    found = chain.run(*WITH_MILVUS)
    assert found.returncode == 0, found.stdout
    assert "it was started before the model: starting it again" in found.stdout
    assert "loading 12 runbooks into milvus" in found.stdout
    assert _lists_a_language_model(target.find("llama-stack"))


def test_with_milvus_runbooks_that_llama_stack_forgot_are_loaded_again(chain: Chain) -> None:
    """The agent of the next test then answers from Milvus. The collector was killed too."""
    before = pids(chain)
    kill(chain, "collector")
    kill(chain, "llama-stack")
    done = chain.run(*WITH_MILVUS)
    assert done.returncode == 0, done.stdout
    assert "the server is llama-stack: it was deployed last" in done.stdout
    assert "the server has lost the runbooks: loading them again" in done.stdout
    assert changed(chain, before) == {"collector", "llama-stack"}


def test_without_mongodb_the_agent_answers_from_the_runbooks(chain: Chain) -> None:
    done = chain.run("run", "--from", "04", "--to", "07", "--without", "mongodb")
    assert done.returncode == 0, done.stdout
    report = chain.report
    reasons = {step["notebook"]: step["reason"] for step in report["steps"]}
    assert reasons["05_deploy_mcp_server"] == "started with --without mongodb"
    (answer,) = report["answers"]
    assert answer["grounded"]
    assert [call["name"] for call in answer["tool_calls"]] == ["file_search"]


def test_notebook_07_run_first_names_the_notebook_to_run(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "workshop.cli", "run", "--only", "07"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env=os.environ | {"WORKSHOP_HOME": str(tmp_path)},
        timeout=120,
    )
    assert done.returncode == 1
    assert "was not deployed yet" in done.stdout or "not registered yet" in done.stdout
    assert re.search(r"Hint: run 0[346]_\w+ first", done.stdout), done.stdout
    report = json.loads((tmp_path / "runs" / "latest" / "report.json").read_text("utf-8"))
    assert report["status"] == "failed"
    assert report["answers"] == []


def test_clean_up_leaves_nothing(chain: Chain) -> None:
    running = pids(chain)
    done = chain.run("run", "--only", "99", "-p", "DELETE_DATA=True")
    assert done.returncode == 0, done.stdout
    assert chain.target.leftovers() == []
    # A zombie is what this test's own process has not yet been told of.
    left = [pid for pid in running.values() if psutil.pid_exists(pid)]
    assert not [pid for pid in left if psutil.Process(pid).status() != psutil.STATUS_ZOMBIE]
    assert not (chain.home / "local" / "secrets.json").exists()
    assert (chain.latest / "report.json").exists()


def _stages():  # type: ignore[no-untyped-def]
    from workshop.core.progress import Stages

    return Stages("test")


def _lists_a_language_model(endpoint: Endpoint) -> bool:
    listed = http.call(endpoint, "/v1/models").json["data"]
    return any(entry["id"].startswith(llama_stack.MODEL_PREFIX) for entry in listed)
