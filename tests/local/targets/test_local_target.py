"""The local target brings real processes up, finds them again, and heals what can be healed."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from serving import gone
from standin import tiny
from workshop import create_agent
from workshop.clients import http, llama_stack
from workshop.core import versions
from workshop.core.errors import (
    EndpointError,
    PartFailed,
    PartTooSlow,
    SettingsError,
    StepMissing,
    WorkshopError,
)
from workshop.core.progress import Stages
from workshop.core.secret import Secret
from workshop.core.wait import NotYet, wait_for
from workshop.parts.catalog import ALL
from workshop.targets.base import Endpoint, Part
from workshop.targets.local import ports
from workshop.targets.local.process import Process

pytestmark = pytest.mark.timeout(60)

CANARY = "canary-0f4b2d77a1"
PROCESSES = ALL.on("local")


@pytest.fixture
def make(tmp_path):
    """A target on the same state with other programs; its parts are stopped in the end."""
    made = []

    def target(**programs):
        made.append(tiny.target(tmp_path, **programs))
        return made[-1]

    yield target
    for target in made:
        target.stop()


def chain(where, first, *, token=CANARY):
    """Bring up all parts as the sequence does: each knows how to reach the one before it."""
    deployed, needs = {}, {}
    for number, name in enumerate(PROCESSES):
        part = Part(
            name,
            first + number,
            settings={"number": number},
            secrets={"token": Secret(f"{token}-{number}")},
            needs=needs,
        )
        deployed[name] = tiny.ensure(where, part)
        needs = {name: deployed[name].endpoint}
    return deployed


# --- deploying, and deploying again --------------------------------------------------------------


def test_a_part_is_created_and_then_reused(where, port, capsys):
    part = Part("model", port, settings={"name": "a"}, secrets={"token": Secret(CANARY)})
    first = tiny.ensure(where, part)
    assert (first.action, first.endpoint.url) == ("created", f"http://127.0.0.1:{port}")
    assert first.endpoint.token == Secret(CANARY)
    assert tiny.environment_of(first.endpoint)["NAME"] == "a"
    pid = tiny.pid_of(where, "model")
    second = tiny.ensure(tiny.target(where.store.root.parent), part)
    assert second.action == "reused"
    assert tiny.pid_of(where, "model") == pid
    assert repr(second) == f"model: reused in {second.seconds:.1f} s, http://127.0.0.1:{port}"
    assert f"ready at http://127.0.0.1:{port} (reused)" in capsys.readouterr().err


def test_changed_settings_are_applied_on_the_same_port(where, port, capsys):
    part = Part("model", port, settings={"name": "a"})
    tiny.ensure(where, part)
    pid = tiny.pid_of(where, "model")
    changed = tiny.ensure(where, replace(part, settings={"name": "b"}))
    assert (changed.action, changed.endpoint.port) == ("changed", port)
    assert tiny.environment_of(changed.endpoint)["NAME"] == "b"
    assert not psutil.pid_exists(pid)
    assert "its settings have changed: starting it again with the new ones" in (
        capsys.readouterr().err
    )


def test_a_changed_secret_is_applied(where, port):
    part = Part("model", port, secrets={"token": Secret("one-of-these")})
    tiny.ensure(where, part)
    changed = tiny.ensure(where, replace(part, secrets={"token": Secret("another-one")}))
    assert changed.action == "changed"
    assert tiny.environment_of(where.find("model"))["TOKEN"] == "another-one"


def test_a_part_that_gets_a_further_port_is_started_again(where, port):
    tiny.ensure(where, Part("model", port))
    further = tiny.ensure(where, Part("model", port, extra_ports={"monitoring": port + 40}))
    assert further.action == "changed"
    assert further.endpoint.also == {"monitoring": f"http://127.0.0.1:{port + 40}"}
    assert where.find("model").also == further.endpoint.also


def test_two_notebooks_that_deploy_the_same_part_get_the_same_process(where, port):
    part, found = Part("model", port), []

    def deploy():
        target = tiny.target(where.store.root.parent)
        found.append((tiny.ensure(target, part).endpoint, tiny.pid_of(target, "model")))

    threads = [threading.Thread(target=deploy) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] == found[1]


def test_a_part_without_a_program_is_refused(where):
    with pytest.raises(SettingsError) as error:
        tiny.ensure(where, Part("coffee", 1))
    assert str(error.value) == (
        "The local target has no program for coffee.\n"
        "  Last state: there is no module workshop.targets.local.programs.coffee"
    )


# --- ports ---------------------------------------------------------------------------------------


def test_a_port_that_a_stranger_holds_is_left_to_it_and_downstream_follows(
    where, port, script, capsys
):
    stranger = script("stealer.py", port)
    model = tiny.ensure(where, Part("model", port, secrets={"token": Secret(CANARY)}))
    assert model.endpoint.port > port
    assert stranger.poll() is None
    name = psutil.Process(stranger.pid).name()
    assert (
        f"port {port} is taken by {name} (pid {stranger.pid}): using {model.endpoint.port}\n"
        in capsys.readouterr().err
    )
    stack = Part("llama-stack", port + 50, needs={"model": where.find("model")})
    assert tiny.environment_of(tiny.ensure(where, stack).endpoint)["model_url"] == (
        f"http://127.0.0.1:{model.endpoint.port}"
    )


def test_a_dependent_is_started_again_when_what_it_needs_has_moved(where, port, script):
    tiny.ensure(where, Part("model", port))
    stack = Part("llama-stack", port + 50, needs={"model": where.find("model")})
    assert tiny.ensure(where, stack).action == "created"
    assert tiny.ensure(where, stack).action == "reused"
    where.stop("model")
    script("stealer.py", port)
    moved = tiny.ensure(where, Part("model", port)).endpoint
    assert moved.port != port
    again = tiny.ensure(where, replace(stack, needs={"model": where.find("model")}))
    assert again.action == "changed"
    assert tiny.environment_of(again.endpoint)["model_url"] == moved.url


def thief(script, times, program):
    """A program whose port a stranger takes after it was chosen, and before it is bound."""
    stolen = []

    def command(part, chosen, folder):
        if len(stolen) < times:
            stolen.append(chosen["main"])
            script("stealer.py", chosen["main"])
        return program(part, chosen, folder)

    return command, stolen


def test_a_port_that_is_stolen_before_it_is_bound_is_given_up(make, port, script, capsys):
    program, stolen = thief(script, 1, tiny.server())
    where = make(model=program)
    deployed = tiny.ensure(where, Part("model", port))
    assert stolen == [port]
    assert deployed.action == "created"
    # The next free one: a connection may have the port between.
    assert port < deployed.endpoint.port < port + 20
    assert where.find("model") == deployed.endpoint
    assert f"port {port} is held by " in (said := capsys.readouterr().err)
    assert ", and was free a moment ago: starting it again\n" in said


def test_a_stolen_port_is_noticed_though_the_part_itself_lives_on(make, port, script, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    waiting, _ = thief(script, 1, tiny.server("--gate", str(gate)))
    programs = iter([waiting, tiny.server()])
    where = make(model=lambda *arguments: next(programs)(*arguments))
    asked = []

    def ready(endpoint):
        asked.append(endpoint.port)
        return tiny.ready(endpoint)

    deployed = where.ensure(Part("model", port), ready=ready, timeout=20, stage=Stages("Model"))
    assert port < deployed.endpoint.port < port + 20
    # The stranger was asked nothing: a request would have carried the credential.
    assert port not in asked
    # The one that was waiting for its port has ended.
    assert [process.pid for process in tiny.ours(where)] == [tiny.pid_of(where, "model")]


def test_a_further_port_may_be_stolen_too(make, port, script):
    def command(part, chosen, folder):
        if ports.is_free(port + 40):
            script("stealer.py", port + 40)
        flags = ["--crash", "no port for monitoring"] if chosen["monitoring"] == port + 40 else []
        return tiny.server(*flags)(part, chosen, folder)

    deployed = tiny.ensure(
        make(model=command), Part("model", port, extra_ports={"monitoring": port + 40})
    )
    assert deployed.endpoint.also == {"monitoring": f"http://127.0.0.1:{port + 41}"}


def test_after_three_thefts_it_gives_up(make, port, script):
    program, stolen = thief(script, 99, tiny.server())
    where = make(model=program)
    with pytest.raises(PartFailed) as error:
        tiny.ensure(where, Part("model", port))
    log = where.store.folder("model") / "log"
    # Each is the next free one: some program may have one of those between.
    first, second, last = stolen
    assert first == port < second < last < port + 20
    assert str(error.value).startswith(
        "model did not get its port: each time another program took it first.\n"
        f"  Where: {log}\n"
        f"  Last state: port {last} is held by {ports.holder(last)}\n"
        "  Last log lines:\n"
    )
    assert list(tiny.ours(where)) == []
    assert str(error.value).endswith("\n  Hint: end that program, then run 02_serve_model again")


# --- parts that crash, are slow, or say nothing --------------------------------------------------


def test_a_part_that_crashes_fails_at_once_with_its_own_words(make, port):
    where = make(model=tiny.server("--crash", "weights are not a GGUF file", "--exit-code", "3"))
    with pytest.raises(PartFailed) as error:
        tiny.ensure(where, Part("model", port), timeout=1000)
    log = where.store.folder("model") / "log"
    first, *_ = log.read_text().splitlines()
    assert str(error.value) == (
        "model ended while it started.\n"
        f"  Where: {log}\n"
        "  Last state: ended with exit code 3\n"
        "  Last log lines:\n"
        f"    {first}\n"
        "    weights are not a GGUF file\n"
        "  Hint: fix what the log says, then run 02_serve_model again"
    )
    with pytest.raises(StepMissing, match=r"^model was not deployed yet, or was stopped\.\n"):
        where.find("model")


def test_a_part_that_crashed_is_started_again(make, port, capsys):
    with pytest.raises(PartFailed):
        tiny.ensure(make(mongodb=tiny.server("--crash", "no")), Part("mongodb", port))
    capsys.readouterr()
    assert tiny.ensure(make(), Part("mongodb", port)).action == "restarted"
    assert "it does not run any more (ended with exit code 1): starting it again" in (
        capsys.readouterr().err
    )


def test_a_slow_part_is_left_running_and_the_next_try_waits_on(make, port, tmp_path, capsys):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    where = make(model=tiny.server("--gate", str(gate)))
    with pytest.raises(PartTooSlow) as error:
        tiny.ensure(where, Part("model", port), timeout=1.5)
    log = where.store.folder("model") / "log"
    assert str(error.value) == (
        "Waited 1.5 s for model to answer.\n"
        f"  Where: http://127.0.0.1:{port}, log {log}\n"
        f"  Last state: it does not listen on port {port} yet\n"
        "  Last log lines:\n"
        f"    {log.read_text().strip()}\n"
        "  Hint: run 02_serve_model again to go on waiting, or start over: workshop stop model, "
        "then the notebook"
    )
    waiting = f"waiting for model to answer: it does not listen on port {port} yet"
    assert waiting in capsys.readouterr().err
    pid = where.process("model").record().pid
    with pytest.raises(StepMissing) as missing:
        where.find("model")
    assert str(missing.value) == (
        "model was started, and was not ready when its notebook stopped.\n"
        f"  Where: {log}\n"
        f"  Last state: running (pid {pid})\n"
        "  Last log lines:\n"
        f"    {log.read_text().strip()}\n"
        "  Hint: run 02_serve_model again: it goes on from there"
    )
    gate.write_text("")
    assert tiny.ensure(where, Part("model", port)).action == "reused"
    assert tiny.pid_of(where, "model") == pid


def test_a_silent_part_is_too_slow_and_says_what_was_seen(make, port):
    where = make(mcp_server=tiny.server("--silent"))
    with pytest.raises(PartTooSlow) as error:
        tiny.ensure(where, Part("mcp-server", port), timeout=1.2)
    log = where.store.folder("mcp-server") / "log"
    assert error.value.state == "No answer within 0.5 s."
    assert error.value.log[-1] == f"listening on 127.0.0.1:{port}"
    assert error.value.hint == (
        "run 05_deploy_mcp_server again to go on waiting, or start over: workshop stop mcp-server, "
        "then the notebook"
    )
    assert error.value.where == f"http://127.0.0.1:{port}, log {log}"
    # As the hint says.
    assert where.stop("mcp-server") == ["mcp-server"]
    assert tiny.ensure(make(), Part("mcp-server", port)).action == "created"


def test_ctrl_c_while_it_waits_leaves_nothing_half_made(make, port, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    where = make(model=tiny.server("--gate", str(gate)))
    script = Path(__file__).parents[1] / "standin" / "interrupted.py"
    cell = subprocess.Popen(
        [sys.executable, str(script), str(tmp_path), str(port), str(gate)],
        stderr=subprocess.PIPE,
        text=True,
    )
    process = where.process("model")

    def started():
        return process.state() == "running" or NotYet(process.describe())

    wait_for("the part's process", started, timeout=20, every=0.05)
    for line in cell.stderr:
        if "starting on" in line:
            break
    cell.send_signal(signal.SIGINT)
    said = cell.communicate(timeout=20)[1]
    assert cell.returncode == -signal.SIGINT
    assert said.splitlines()[-1] == "KeyboardInterrupt"
    pid = process.record().pid
    assert process.state() == "running"
    with pytest.raises(StepMissing, match="was not ready when its notebook stopped"):
        where.find("model")
    assert [row.state for row in where.status()] == ["running"]
    gate.write_text("")
    assert tiny.ensure(where, Part("model", port)).action == "reused"
    assert tiny.pid_of(where, "model") == pid


def test_a_restart_that_fails_leaves_no_old_address_behind(make, port):
    tiny.ensure(make(), Part("model", port, settings={"name": "a"}))
    where = make(model=tiny.server("--crash", "bad setting"))
    with pytest.raises(PartFailed):
        tiny.ensure(where, Part("model", port, settings={"name": "b"}))
    with pytest.raises(StepMissing, match="was not deployed yet"):
        where.find("model")


# --- processes that were killed, and strangers ---------------------------------------------------


def test_each_killed_part_alone_is_started_again(where, port):
    before = chain(where, port)
    assert {one.action for one in before.values()} == {"created"}
    pids = {name: tiny.pid_of(where, name) for name in PROCESSES}
    assert len(set(pids.values())) == len(PROCESSES)
    for victim in PROCESSES:
        os.kill(pids[victim], signal.SIGKILL)
        gone(pids[victim])
        with pytest.raises(StepMissing):
            where.find(victim)
        again = chain(where, port)
        assert {name: one.action for name, one in again.items()} == {
            name: "restarted" if name == victim else "reused" for name in PROCESSES
        }
        assert [one.endpoint for one in again.values()] == [one.endpoint for one in before.values()]
        now = {name: tiny.pid_of(where, name) for name in PROCESSES}
        assert {name for name in PROCESSES if now[name] != pids[name]} == {victim}
        pids = now


def test_a_part_that_ends_while_it_is_looked_at_is_started_again(where, port, capsys):
    part = Part("mongodb", port)
    tiny.ensure(where, part)
    victims = [tiny.pid_of(where, "mongodb")]

    def ready(endpoint):
        if victims:
            os.kill(victims[0], signal.SIGKILL)
            gone(victims.pop())
        return tiny.ready(endpoint)

    again = where.ensure(part, ready=ready, timeout=20, stage=Stages("MongoDB"))
    assert (again.action, again.endpoint.port) == ("restarted", port)
    said = capsys.readouterr().err
    assert "it does not run any more (killed by SIGKILL): starting it again\n" in said


def test_a_killed_part_comes_back_on_the_port_that_it_had(where, port, script):
    stranger = script("stealer.py", port)
    moved = tiny.ensure(where, Part("model", port)).endpoint
    pid = tiny.pid_of(where, "model")
    stranger.kill()
    stranger.wait()
    os.kill(pid, signal.SIGKILL)
    gone(pid)
    # The wanted port is free now. What depends on this part knows the other one.
    assert tiny.ensure(where, Part("model", port)).endpoint == moved


def test_a_killed_part_is_named_with_the_notebook_that_starts_it(where, port):
    tiny.ensure(where, Part("llama-stack", port))
    pid = tiny.pid_of(where, "llama-stack")
    os.kill(pid, signal.SIGKILL)
    gone(pid)
    log = where.store.folder("llama-stack") / "log"
    with pytest.raises(StepMissing) as error:
        where.find("llama-stack")
    first, second = log.read_text().splitlines()
    assert str(error.value) == (
        "llama-stack does not run any more.\n"
        f"  Where: {log}\n"
        "  Last state: killed by SIGKILL\n"
        "  Last log lines:\n"
        f"    {first}\n"
        f"    {second}\n"
        "  Hint: run 03_deploy_llama_stack again: it starts what has ended"
    )
    assert [(row.name, row.state) for row in where.status()] == [("llama-stack", "ended")]


def test_a_stale_record_whose_pid_is_a_strangers_harms_nobody(where, port, script):
    deployed = tiny.ensure(where, Part("mongodb", port))
    pid = tiny.pid_of(where, "mongodb")
    os.kill(pid, signal.SIGKILL)
    gone(pid)
    stranger = script("stubborn.py")
    path = where.store.folder("mongodb") / "process.json"
    record = json.loads(path.read_text())
    # Pids come round after minutes at the earliest, not within this test's second.
    record |= {"pid": stranger.pid, "exit_code": None, "create_time": record["create_time"] - 60}
    path.write_text(json.dumps(record))
    with pytest.raises(StepMissing) as error:
        where.find("mongodb")
    assert error.value.state == (f"ended; its pid {stranger.pid} now belongs to another program")
    assert [row.state for row in where.status()] == ["stranger"]
    assert where._own_ports() == {}
    again = tiny.ensure(where, Part("mongodb", port))
    assert (again.action, again.endpoint) == ("restarted", deployed.endpoint)
    assert stranger.poll() is None
    path.write_text(json.dumps(record))
    where.clean_up(data=True)
    assert stranger.poll() is None
    assert list(tiny.ours(where)) == []


# --- what an earlier notebook should have left ---------------------------------------------------


@pytest.mark.parametrize(
    ("name", "notebook"),
    [
        ("model", "02_serve_model"),
        ("embedder", "03_deploy_llama_stack"),
        ("llama-stack", "03_deploy_llama_stack"),
        ("mongodb", "04_deploy_mongodb"),
        ("mcp-server", "05_deploy_mcp_server"),
    ],
)
def test_a_part_that_was_never_deployed_names_its_notebook(where, name, notebook):
    with pytest.raises(StepMissing) as error:
        where.find(name)
    assert str(error.value) == (
        f"{name} was not deployed yet, or was stopped.\n"
        "  Where: this checkout's local target\n"
        f"  Hint: run {notebook} first"
    )
    assert not where.store.root.exists()


def test_the_last_notebook_run_first_names_the_one_to_run(where):
    with pytest.raises(StepMissing) as error:
        create_agent(where)
    assert str(error.value) == (
        "The MCP server was not registered yet.\n  Hint: run 06_register_mcp_server first"
    )
    with pytest.raises(StepMissing) as error:
        create_agent(where, use_mongodb=False)
    assert str(error.value) == (
        "The runbooks were not loaded yet.\n  Hint: run 03_deploy_llama_stack first"
    )


def test_an_agent_whose_server_ended_names_the_notebook(where):
    where.store.remember("runbooks' vector store", "vs_1")
    with pytest.raises(StepMissing) as error:
        create_agent(where, use_mongodb=False)
    assert str(error.value) == (
        "llama-stack was not deployed yet, or was stopped.\n"
        "  Where: this checkout's local target\n"
        "  Hint: run 03_deploy_llama_stack first"
    )


def test_a_part_that_breaks_off_the_answer_before_it_is_over_is_named(where, port):
    for number, name in enumerate(("model", "embedder", "llama-stack")):
        tiny.ensure(where, Part(name, port + number, settings={"version": versions.LLAMA_STACK}))
    where.store.remember("runbooks' vector store", "vs_1")
    where.store.remember("model name", "small")
    agent = create_agent(where, use_mongodb=False)
    with pytest.raises(EndpointError) as error:
        agent.ask("What should be done when a certificate has expired?", quiet=True)
    log = where.store.folder("llama-stack") / "log"
    assert error.value.what == "The agent got no answer."
    assert error.value.where == str(log)
    assert error.value.state.startswith(
        "llama-stack does not run any more. killed by SIGKILL; RemoteProtocolError: "
    )
    assert error.value.hint == "run 03_deploy_llama_stack again: it starts what has ended"


# --- somebody else's endpoint --------------------------------------------------------------------


def test_an_endpoint_of_ones_own_takes_the_parts_place_and_gives_it_back(where, port):
    tiny.ensure(where, Part("model", port))
    pid = tiny.pid_of(where, "model")
    yours = Endpoint("https://model.example.com", token=Secret(CANARY))
    adopted = where.adopt("model", yours)
    assert repr(adopted) == "model: adopted in 0.0 s, https://model.example.com"
    gone(pid)
    assert where.find("model") == yours
    assert [(row.name, row.state, row.url) for row in where.status()] == [
        ("model", "yours", "https://model.example.com")
    ]
    assert where.stop() == []
    assert where.find("model") == yours
    assert tiny.ensure(where, Part("model", port)).action == "created"
    assert where.find("model").url == f"http://127.0.0.1:{port}"


def test_cleaning_up_forgets_an_endpoint_of_ones_own_and_its_token(where):
    where.adopt("model", Endpoint("https://model.example.com", token=Secret(CANARY)))
    where.clean_up(data=False)
    assert CANARY not in where.store.secrets_path.read_text()
    with pytest.raises(StepMissing):
        where.find("model")


# --- status, logs, stop, clean-up ----------------------------------------------------------------


def test_status_shows_each_part_and_stop_ends_one_or_all_of_them(where, port):
    assert where.status() == []
    deployed = chain(where, port)
    rows = where.status()
    assert [row.name for row in rows] == list(PROCESSES)
    assert [row.url for row in rows] == [one.endpoint.url for one in deployed.values()]
    assert {row.state for row in rows} == {"running"}
    pid = where.process("model").record().pid
    assert re.fullmatch(rf"pid {pid}, since \d\d \w+ \d\d:\d\d", rows[0].detail)

    assert where.stop("model") == ["model"]
    with pytest.raises(StepMissing):
        where.find("model")
    assert where.find("mongodb") == deployed["mongodb"].endpoint
    # Those first that depend on others.
    assert where.stop() == [name for name in reversed(PROCESSES) if name != "model"]
    assert where.stop() == []
    assert where.status() == []
    assert list(tiny.ours(where)) == []


def test_an_unknown_part_is_refused_with_those_that_there_are(where):
    for ask in (where.stop, lambda name: list(where.logs(name))):
        with pytest.raises(SettingsError) as error:
            ask("modle")
        assert str(error.value) == (
            "There is no part 'modle'.\n"
            f"  Last state: parts: {', '.join(PROCESSES)}\n"
            "  Hint: did you mean model?"
        )
    with pytest.raises(SettingsError, match="Hint: workshop status"):
        where.stop("xyz")


def test_logs_are_shown_without_secrets(make, port):
    where = make(model=tiny.server("--say-env", "TOKEN", "--noise", "20"))
    where.store.secret("model token", lambda: CANARY)
    tiny.ensure(where, Part("model", port, secrets={"token": Secret(CANARY)}))
    assert list(where.logs("model", lines=2)) == [
        "my secret is ****",
        f"listening on 127.0.0.1:{port}",
    ]
    following = where.logs("model", lines=1, follow=True)
    assert next(following) == f"listening on 127.0.0.1:{port}"
    tiny.http.call(where.find("model"), f"/print/{CANARY}")
    assert next(following) == "****"
    following.close()


def test_cleaning_up_keeps_the_data_or_not(where, port):
    for name in ("model", "mongodb"):
        tiny.ensure(where, Part(name, port))
    where.store.secret("mongodb password", lambda: "kept-with-the-data")
    data = where.store.folder("mongodb") / "data" / "documents"
    data.parent.mkdir()
    data.write_text("42")
    assert "process model" in where.leftovers()
    removed = where.clean_up(data=False)
    assert removed[:2] == ["process mongodb", "process model"]
    assert {"mongodb/log", "mongodb/turn"} < set(removed)
    assert where.leftovers() == []
    assert list(tiny.ours(where)) == []
    assert data.read_text() == "42"
    assert where.store.secret("mongodb password", lambda: "new") == Secret("kept-with-the-data")
    assert [path.name for path in where.store.local.iterdir() if path.is_dir()] == ["mongodb"]

    assert where.leftovers(data=True) == ["mongodb/data"]
    assert where.clean_up(data=True) == ["mongodb/data", "facts.json", "secrets.json"]
    assert where.leftovers() == []
    assert not where.store.folder("mongodb").exists()
    assert not where.store.secrets_path.exists()
    assert where.clean_up(data=True) == []


def test_data_that_lies_on_another_disk_is_not_deleted_through_the_link(where, tmp_path):
    elsewhere = tmp_path / "big-disk"
    elsewhere.mkdir()
    (elsewhere / "documents").write_text("42")
    folder = where.store.folder("mongodb")
    folder.mkdir(parents=True)
    (folder / "data").symlink_to(elsewhere)
    assert where.clean_up(data=True) == ["mongodb/data"]
    assert (elsewhere / "documents").read_text() == "42"


def test_what_is_left_is_named(where, port):
    tiny.ensure(where, Part("model", port))
    assert where.leftovers() == ["process model", "model/log", "model/process.json", "model/turn"]


def test_parts_can_be_stopped_though_the_state_is_damaged(where, port):
    tiny.ensure(where, Part("model", port))
    tiny.ensure(where, Part("mongodb", port))
    where.store.facts_path.write_text("{")
    where.store.secrets_path.write_text("[]")
    (where.store.folder("model") / "process.json").write_text("")
    with pytest.raises(WorkshopError, match=r"^A file of this checkout's state is damaged"):
        where.find("mongodb")
    assert where.stop() == ["mongodb", "model"]
    assert list(tiny.ours(where)) == []


# --- secrets -------------------------------------------------------------------------------------


def test_no_credential_stands_where_it_can_be_read(where, port, capsys):
    deployed = chain(where, port)
    where.store.secret("canary", lambda: f"{CANARY}-kept")
    where.adopt("model", Endpoint("http://127.0.0.1:1", token=Secret(f"{CANARY}-yours")))
    chain(where, port)
    place = port + PROCESSES.index("mongodb")
    tiny.ensure(where, Part("mongodb", place, secrets={"password": Secret(f"{CANARY}-pw")}))

    files = [path for path in where.store.root.rglob("*") if path.is_file()]
    with_canary = {path.name for path in files if CANARY in path.read_text()}
    assert with_canary == {"secrets.json"}
    assert where.store.secrets_path.stat().st_mode & 0o777 == 0o600
    processes = list(tiny.ours(where))
    assert len(processes) == len(PROCESSES)
    assert not any(CANARY in word for process in processes for word in process.cmdline())
    shown = [
        *(repr(one) for one in deployed.values()),
        *(repr(one.endpoint) for one in deployed.values()),
        *(repr(row) for row in where.status()),
        *(line for name in PROCESSES for line in where.logs(name)),
        repr([where.process(name).record() for name in PROCESSES]),
        capsys.readouterr().err,
    ]
    assert CANARY not in "\n".join(shown)
    # The parts have them all the same.
    number = PROCESSES.index("mcp-server")
    assert tiny.environment_of(where.find("mcp-server"))["TOKEN"] == f"{CANARY}-{number}"


def test_an_error_shows_no_credential(make, port):
    where = make(model=tiny.server("--say-env", "TOKEN", "--crash", "cannot log in"))
    where.store.secret("model token", lambda: CANARY)
    with pytest.raises(PartFailed) as error:
        tiny.ensure(where, Part("model", port, secrets={"token": Secret(CANARY)}))
    assert error.value.log[-2:] == ("my secret is ****", "cannot log in")
    assert CANARY not in str(error.value)


def test_a_process_object_and_the_target_agree(where, port):
    tiny.ensure(where, Part("model", port))
    assert Process(where.store.folder("model"), "model").state() == "running"
    assert where.machines.skip_reason() == (
        "the local target adds no machines: the model runs on this machine's CPU"
    )
    assert where.skip_reason("model") is None


# --- the environment -----------------------------------------------------------------------------


def test_a_proxy_of_the_shell_changes_no_part_on_loopback(where, port, monkeypatch):
    part = Part("model", port)
    tiny.ensure(where, part)
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1,fd00:1234::/32")
    assert tiny.ensure(where, part).action == "reused"


def test_an_error_of_a_server_has_the_end_of_its_log(where, port):
    endpoint = tiny.ensure(where, Part("llama-stack", port)).endpoint
    with pytest.raises(EndpointError) as error:
        llama_stack.telling(
            where, "llama-stack", lambda: http.call(endpoint, "/fail/Invalid port")
        )()
    assert error.value.kind == "server error"
    assert error.value.log[-1] == "Invalid port"
    # Others say by themselves what is wrong.
    with pytest.raises(EndpointError) as error:
        llama_stack.telling(
            where, "llama-stack", lambda: http.call(endpoint, "/", timeout=9, expect=404)
        )()
    assert error.value.log == ()
