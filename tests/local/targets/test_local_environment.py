"""What the local target needs of this machine, told all at once and each with its remedy."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from standin import tiny
from workshop import add_gpu_nodes, check_environment, connect, verify_gpu_nodes
from workshop.core.checks import MOST
from workshop.core.errors import CheckFailed, SettingsError
from workshop.core.settings import default_target
from workshop.parts.catalog import ALL
from workshop.targets.base import Part
from workshop.targets.local import preflight
from workshop.targets.spec import Parts

pytestmark = pytest.mark.timeout(60)


PORTS = (8080, 8081, 8321, 27017, 3000, 3002)
"""The architecture's, of the parts that answer; those that watch take any."""


def seen(state, ports=(), pids=()):
    return {check.name: check for check in preflight.checks(state, PORTS, dict(ports), pids)}


def test_every_requirement_has_a_line(tmp_path):
    found = seen(tmp_path / "state")
    assert list(found) == [
        *("Python", "memory", "cores", "disk", "state folder"),
        *("model-server", "chat-weights", "embedding-weights", "ogx", "tokenizer"),
        *("mongodb", "node", "mcp-server"),
        *(f"port {port}" for port in PORTS),
    ]
    assert found["Python"].ok
    assert found["Python"].seen == ".".join(map(str, sys.version_info[:3]))
    assert found["state folder"].seen == str(tmp_path / "state")
    assert found["disk"].seen.endswith(f" GiB at {tmp_path}")
    assert not (tmp_path / "state").exists()


def test_all_that_is_not_installed_is_listed_with_one_remedy(where, tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_CACHE", str(tmp_path / "empty"))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CheckFailed) as error:
        check_environment(where)
    told, more = preflight.COMPONENTS[:MOST], preflight.COMPONENTS[MOST:]
    for name in told:
        assert f"{name}: expected installed, saw " in error.value.state
    assert error.value.state.endswith(f"; also {', '.join(more)}")
    assert error.value.hint == "make setup"


def test_too_little_memory_or_disk_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(preflight, "MEMORY", 2**60)
    monkeypatch.setattr(preflight, "DISK", 2**60)
    found = seen(tmp_path)
    assert not found["memory"].ok
    assert found["memory"].seen.endswith((" GiB: end other programs", ": give the container more"))
    assert not found["disk"].ok
    assert found["disk"].seen.endswith(
        f" GiB at {tmp_path}: free space, or set WORKSHOP_HOME to another disk"
    )


def test_memory_that_our_own_parts_hold_is_not_missing():
    held = preflight._held(os.getpid())
    assert held >= psutil.Process().memory_info().rss > 2**20
    assert preflight._held(2**22 + 1) == 0
    free = psutil.virtual_memory().available
    ok, shown = preflight._memory([os.getpid()] * 50)
    assert ok
    most = preflight.memory_left().limit or 2**60
    assert float(shown.split()[0]) > min(free + 25 * held, 0.9 * most) / 2**30


@pytest.mark.parametrize("place", ["notes.txt", "notes.txt/state"])
def test_a_state_folder_that_cannot_be_made(tmp_path, place):
    (tmp_path / "notes.txt").write_text("")
    found = seen(tmp_path / place)
    assert not found["state folder"].ok
    assert found["state folder"].seen == (
        f"{tmp_path / 'notes.txt'} is not a folder that you can write to: set WORKSHOP_HOME to one"
    )


def test_every_port_of_a_part_that_answers_is_looked_at(where):
    assert [c.name for c in where.environment() if c.name.startswith("port ")] == [
        f"port {port}" for port in PORTS
    ]


def test_ports_say_who_holds_them(where, port, script):
    tiny.ensure(where, Part("model", port))
    stranger = script("stealer.py", port + 1)
    names = ("model", "embedder", "mongodb")
    where.parts = Parts(replace(ALL.get(name), port=port + n) for n, name in enumerate(names))
    found = {check.name: check for check in where.environment()}
    assert found[f"port {port}"].seen == "held by this kit's model"
    assert found[f"port {port + 1}"].seen == (
        f"taken by {psutil.Process(stranger.pid).name()} (pid {stranger.pid}): "
        "the next free one will be used"
    )
    assert found[f"port {port + 2}"].seen == "free"
    assert all(found[f"port {port + offset}"].ok for offset in range(3))


def test_gpu_nodes_are_left_out_with_the_reason(where, capsys):
    reason = "the local target adds no machines: the model runs on this machine's CPU"
    assert add_gpu_nodes(where) == reason
    assert verify_gpu_nodes(where).skipped == reason
    assert f"skipped: {reason}" in capsys.readouterr().err


def test_an_unknown_target_is_refused_with_the_nearest():
    with pytest.raises(SettingsError) as error:
        connect("locla")
    assert str(error.value) == (
        "There is no target 'locla'.\n"
        "  Where: the parameter TARGET\n"
        "  Last state: targets: local, cluster\n"
        '  Hint: set TARGET = "local"'
    )


def test_the_state_is_where_the_environment_says(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path / "mine"))
    target = connect()
    assert target.name == "local"
    target.store.remember("fact", "value")
    assert (tmp_path / "mine" / "local" / "facts.json").exists()


# --- a container's limits ------------------------------------------------------------------------

ASK = "from workshop.targets.local import preflight as e; print(*e._memory([])); print(*e._cores())"


@pytest.fixture
def group():
    """Make control groups of version 1 with these limits, and give their folders."""
    made = []

    def make(controller, **limits):
        folder = Path("/sys/fs/cgroup") / controller / f"workshop-test-{os.getpid()}"
        try:
            folder.mkdir()
            made.append(folder)
            for name, value in limits.items():
                (folder / f"{controller}.{name}").write_text(str(value))
        except OSError:
            pytest.skip("no control groups of version 1 that this user may make")
        return folder

    yield make
    for folder in made:
        folder.rmdir()


def test_in_a_container_its_own_memory_and_cores_count(group):
    groups = [
        group("memory", limit_in_bytes=256 * 2**20),
        group("cpu", cfs_period_us=100_000, cfs_quota_us=50_000),
    ]
    # A shell enters the groups before Python starts: as in a container, all is counted there.
    entered = " && ".join(f"echo $$ > {folder}/cgroup.procs" for folder in groups)
    shown = subprocess.run(
        ["sh", "-c", f'{entered} && exec {sys.executable} -c "{ASK}"'],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert shown == [
        "False 0.2 GiB of the container's 0.2 GiB: give the container more",
        "False 0.5: give the container more",
    ]


def tree(root, files):
    for name, text in files.items():
        file = root / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text + "\n")
    return root


def test_version_2_and_every_group_above_count(tmp_path):
    """The layout of a pod with its groups in sight: the limit may stand on any of them."""
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "0::/pod/app",
            "sys/fs/cgroup/pod/memory.max": str(2**31),
            "sys/fs/cgroup/pod/memory.current": str(2**30),
            "sys/fs/cgroup/pod/memory.stat": f"anon 5\nactive_file {2**28}\ninactive_file {2**28}",
            "sys/fs/cgroup/pod/cpu.max": "max 100000",
            "sys/fs/cgroup/pod/app/memory.max": "max",
            "sys/fs/cgroup/pod/app/memory.current": str(2**30),
            "sys/fs/cgroup/pod/app/cpu.max": "25000 100000",
        },
    )
    assert preflight.memory_left(root) == preflight.Memory(2**30 + 2**29, 2**31)
    assert preflight.cores_allowed(root) == 0.25


def test_a_container_that_sees_its_group_by_the_machines_name(tmp_path):
    """As Docker mounts version 1 without a namespace of control groups."""
    root = tree(
        tmp_path,
        {
            "proc/self/cgroup": "4:memory:/docker/abc\n3:cpu,cpuacct:/docker/abc\n0::/docker/abc",
            "sys/fs/cgroup/memory/memory.limit_in_bytes": str(2**20),
            "sys/fs/cgroup/memory/memory.usage_in_bytes": str(2**21),
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "10000",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000",
        },
    )
    assert preflight.memory_left(root) == preflight.Memory(0, 2**20)
    assert preflight.cores_allowed(root) == 0.1


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/../other"},
        {
            "proc/self/cgroup": "0::/",
            "sys/fs/cgroup/cpu.max": "max 100000",
            "sys/fs/cgroup/memory.max": "max",
        },
    ],
)
def test_without_a_limit_the_machines_own_counts(tmp_path, files):
    root = tree(tmp_path, files)
    assert preflight.memory_left(root).limit is None
    assert preflight.cores_allowed(root) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize(
    ("variables", "name"),
    [
        ({}, "local"),
        ({"NB_PREFIX": "/notebook/attendee-1/workshop"}, "cluster"),
        ({"NB_PREFIX": "/notebook/attendee-1/workshop", "WORKSHOP_TARGET": "local"}, "local"),
        ({"WORKSHOP_TARGET": "cluster"}, "cluster"),
    ],
)
def test_where_parts_run_by_itself(variables: dict[str, str], name: str) -> None:
    assert default_target(variables) == name


def test_a_variable_that_names_no_target(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKSHOP_TARGET", "clutser")
    with pytest.raises(SettingsError) as failed:
        connect()
    assert str(failed.value) == (
        "There is no target 'clutser'.\n"
        "  Where: the variable WORKSHOP_TARGET\n"
        "  Last state: targets: local, cluster\n"
        '  Hint: set WORKSHOP_TARGET = "cluster"'
    )
