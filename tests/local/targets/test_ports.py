"""Which ports are free, and who holds the others."""

from __future__ import annotations

import os
import pwd
import signal
import socket
import subprocess
import sys

import psutil
import pytest
from serving import gone
from workshop.core.errors import WorkshopError
from workshop.targets.local.ports import REACH, free_port, holder, is_free

pytestmark = pytest.mark.timeout(60)


def test_a_free_port_is_given_as_wanted(port):
    assert is_free(port)
    assert free_port(port) == port
    assert free_port(port) == port
    assert holder(port) == "nobody"


@pytest.mark.parametrize("address", ["127.0.0.1", "0.0.0.0"])  # noqa: S104
def test_a_stranger_s_port_is_left_to_it(script, port, address):
    stranger = script("stealer.py", port, "--address", address)
    assert not is_free(port)
    found = free_port(port)
    assert port < found < port + REACH
    assert is_free(found)
    assert holder(port) == f"{psutil.Process(stranger.pid).name()} (pid {stranger.pid})"


def test_ports_that_are_taken_already_are_left_out(port):
    assert free_port(port, {port}) > port
    found = free_port(port, [port, port + 1, port + 2])
    assert found > port + 2


def test_a_server_that_has_just_ended_leaves_its_port_free(port):
    """Its connections stay for a minute as TIME_WAIT, and must not count."""
    with (
        socket.create_server(("127.0.0.1", port)) as server,
        socket.create_connection(("127.0.0.1", port)) as client,
    ):
        accepted, _ = server.accept()
        # The side that closes first keeps the connection: the server, as when it is stopped.
        accepted.close()
        assert client.recv(1) == b""
    states = {c.status for c in psutil.net_connections("tcp") if c.laddr and c.laddr.port == port}
    assert states == {psutil.CONN_TIME_WAIT}
    assert free_port(port) == port


def test_a_killed_server_leaves_its_port_free(server, port):
    running = server("--port", str(port))
    running.get()
    pid = running.process.record().pid
    assert not is_free(port)
    os.kill(pid, signal.SIGKILL)
    gone(pid)
    assert free_port(port) == port


@pytest.mark.skipif(not hasattr(socket, "SO_REUSEPORT"), reason="no SO_REUSEPORT here")
def test_a_killed_server_with_open_connections_leaves_its_port_free(script, port):
    """As llama.cpp's, whose client, Llama Stack, keeps its connections open: FIN_WAIT2."""
    running = script("stealer.py", port, "--reuse-port", "--accept")
    with socket.create_connection(("127.0.0.1", port)) as client:
        assert client.recv(8) == b"accepted"
        assert not is_free(port)
        os.kill(running.pid, signal.SIGKILL)
        gone(running.pid)
        assert client.recv(1) == b""
        with socket.socket() as plain:
            plain.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            with pytest.raises(OSError, match="Address already in use"):
                plain.bind(("127.0.0.1", port))
        assert is_free(port)
        again = script("stealer.py", port, "--reuse-port", "--accept")
        assert not is_free(port)
        assert holder(port).endswith(f"(pid {again.pid})")


def test_looking_at_a_port_takes_no_call_from_its_server(script, port):
    script("stealer.py", port, "--reuse-port", "--accept")
    for _ in range(20):
        assert not is_free(port)
        with socket.create_connection(("127.0.0.1", port)) as client:
            assert client.recv(8) == b"accepted"


def test_a_server_that_starts_on_a_stolen_port_says_so_in_its_log(server, script, port):
    chosen = free_port(port)
    script("stealer.py", chosen)
    process = server("--port", str(chosen), wait=False).process
    gone(process.record().pid)
    assert process.describe() == "ended with exit code 1"
    assert "Address already in use" in process.log_tail()[-1]
    assert free_port(port) != chosen


def test_no_free_port_is_an_error_that_names_the_holder(script, port):
    stranger = script("stealer.py", port)
    name = psutil.Process(stranger.pid).name()
    last = min(port + REACH - 1, 65535)
    with pytest.raises(WorkshopError) as error:
        free_port(port, range(port + 1, last + 1))
    assert str(error.value) == (
        f"No port from {port} to {last} is free.\n"
        "  Where: 127.0.0.1\n"
        f"  Last state: port {port}: {name} (pid {stranger.pid})\n"
        "  Hint: end a program that listens there, or ask for another port"
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can start another user's program")
def test_another_user_s_program_is_called_that(script, port):
    stranger = script("stealer.py", port)
    name = psutil.Process(stranger.pid).name()
    assert holder(port) == f"{name} (pid {stranger.pid})"
    # The imports come first: another user may not be allowed to read this environment.
    asked = (
        "import os, sys; from workshop.targets.local.ports import holder;"
        f"os.setuid({pwd.getpwnam('nobody').pw_uid}); sys.stdout.write(holder({port}))"
    )
    seen = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)
    assert seen.stdout == "another user's program"
