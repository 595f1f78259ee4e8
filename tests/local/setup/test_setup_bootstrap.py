"""``./bootstrap`` finds a Python that really runs, wherever it is, or says where it looked."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from registry import closed_port
from workshop.core.settings import CHECKOUT

TOOLS = ("sh", "dirname", "cat", "env")
DEAD = "#!/bin/sh\necho 'pyenv: python3.12: command not found' >&2\nexit 127\n"
# As in life, one that the kit is not installed in.
PYTHON = sys._base_executable
REAL = f'#!/bin/sh\nexec {PYTHON} "$@"\n'
MARKED = f'#!/bin/sh\necho "chosen: $0" >&2\nexec {PYTHON} "$@"\n'


def program(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A checkout without an environment, in a path with a space, a colon and an accent."""
    folder = tmp_path / "cs101:spring, checked oút"
    folder.mkdir()
    shutil.copy(CHECKOUT / "bootstrap", folder)
    (folder / "lib").symlink_to(CHECKOUT / "lib")
    return folder


@pytest.fixture
def bare(tmp_path: Path) -> Path:
    """A folder for PATH with the shell's own tools and no Python."""
    folder = tmp_path / "bare"
    folder.mkdir()
    for name in TOOLS:
        found = shutil.which(name)
        assert found
        (folder / name).symlink_to(found)
    return folder


def bootstrap(
    checkout: Path, path: Path | str, *words: str, **env: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [checkout / "bootstrap", *(words or ("--help",))],
        env={"PATH": str(path), "HOME": str(checkout / "home"), **env},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def chosen(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stderr
    assert "usage: bootstrap" in done.stdout
    # The first line is the probe's own run; the last one is set-up's.
    return done.stderr.splitlines()[-1].removeprefix("chosen: ")


def test_the_one_that_the_user_names_comes_first(checkout: Path, bare: Path) -> None:
    program(bare / "python3.12", MARKED)
    mine = program(checkout / "my python", MARKED)
    assert chosen(bootstrap(checkout, bare, PYTHON=str(mine))) == str(mine)


def test_one_that_the_user_names_and_that_does_not_run_is_told(checkout: Path, bare: Path) -> None:
    on_path = program(bare / "python3.12", MARKED)
    dead = program(checkout / "dead python", DEAD)
    done = bootstrap(checkout, bare, PYTHON=str(dead))
    assert chosen(done) == str(on_path)
    assert f"PYTHON is not used: {dead} is no Python >= 3.12 that runs" in done.stderr


def test_one_on_path_is_taken(checkout: Path, bare: Path) -> None:
    on_path = program(bare / "python3.13", MARKED)
    assert chosen(bootstrap(checkout, bare)) == str(on_path)


def test_a_dead_shim_on_path_is_passed_over_for_pyenvs_own(checkout: Path, bare: Path) -> None:
    for name in ("python3.12", "python3.13", "python3"):
        program(bare / name, DEAD)
    root = checkout / "py env"
    program(root / "versions" / "3.11.9" / "bin" / "python", DEAD)
    real = program(root / "versions" / "3.12.9" / "bin" / "python", MARKED)
    assert chosen(bootstrap(checkout, bare, PYENV_ROOT=str(root))) == str(real)


def test_pyenvs_usual_folder_is_searched(checkout: Path, bare: Path) -> None:
    real = program(checkout / "home/.pyenv/versions/3.13.1/bin/python", MARKED)
    assert chosen(bootstrap(checkout, bare)) == str(real)


@pytest.mark.parametrize("place", ["home/miniforge3", "home/miniconda3/envs/kit"])
def test_conda_is_searched(checkout: Path, bare: Path, place: str) -> None:
    real = program(checkout / place / "bin" / "python", MARKED)
    assert chosen(bootstrap(checkout, bare)) == str(real)


def test_the_active_conda_environment_is_searched(checkout: Path, bare: Path) -> None:
    real = program(checkout / "active" / "bin" / "python", MARKED)
    assert chosen(bootstrap(checkout, bare, CONDA_PREFIX=str(checkout / "active"))) == str(real)


@pytest.fixture
def no_system_python() -> None:
    for folder in ("/usr/local/bin", "/usr/bin", "/opt/homebrew/bin", "/opt/conda/bin"):
        for path in Path(folder).glob("python3*"):
            done = subprocess.run(
                [path, "-c", "import sys; sys.exit(sys.version_info >= (3, 12))"],
                capture_output=True,
                check=False,
            )
            if "config" not in path.name and done.returncode != 0:
                pytest.skip(f"{path} is new enough: nothing else would be tried")


@pytest.mark.usefixtures("no_system_python")
def test_uv_fetches_one_when_there_is_none(checkout: Path, bare: Path) -> None:
    real = program(checkout / "fetched" / "python", MARKED)
    program(bare / "uv", f'#!/bin/sh\ncase "$2" in find) echo "{real}";; esac\n')
    assert chosen(bootstrap(checkout, bare)) == str(real)


@pytest.mark.usefixtures("no_system_python")
def test_when_there_is_none_one_error_names_every_place(checkout: Path, bare: Path) -> None:
    program(bare / "python3.12", DEAD)
    done = bootstrap(
        checkout,
        bare,
        PYTHON="/not/there",
        PIP_INDEX_URL=f"http://127.0.0.1:{closed_port()}/simple",
        PIP_RETRIES="0",
    )
    assert done.returncode == 1
    error = done.stderr[done.stderr.index("No Python >= 3.12 was found") :]
    assert error.startswith("No Python >= 3.12 was found, and none could be fetched. Looked at:")
    assert "PYTHON: /not/there" in error
    assert f"PATH: {bare}" in error
    assert f"pyenv: {checkout}/home/.pyenv/versions" in error
    assert f"conda: {checkout}/home/miniconda3" in error
    assert "system: /usr/local/bin /usr/bin" in error
    assert "uv: not on PATH" in error
    assert "Hint: install Python 3.12, or name one: PYTHON=/path/to/python3.12 ./bootstrap" in error


@pytest.mark.usefixtures("no_system_python")
def test_a_uv_that_cannot_fetch_is_named(checkout: Path, bare: Path) -> None:
    program(bare / "uv", "#!/bin/sh\nexit 2\n")
    done = bootstrap(checkout, bare)
    assert done.returncode == 1
    assert f"uv: {bare}/uv python install 3.12 failed" in done.stderr


def test_the_arguments_reach_set_up(checkout: Path, bare: Path) -> None:
    program(bare / "python3.12", REAL)
    done = bootstrap(checkout, bare, "--only", "nothing")
    assert done.returncode == 2
    assert "invalid choice: 'nothing'" in done.stderr


def test_a_relative_path_is_taken_from_where_it_was_started(
    checkout: Path, bare: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program(bare / "python3.12", '#!/bin/sh\necho "$WORKSHOP_CHAT_WEIGHTS" >&2\n')
    monkeypatch.chdir(tmp_path)
    named = {"here.gguf": f"{tmp_path}/here.gguf", "/x/y.gguf": "/x/y.gguf", "~/z": "~/z"}
    for path, taken in named.items():
        done = bootstrap(checkout, bare, WORKSHOP_CHAT_WEIGHTS=path)
        assert done.stderr.splitlines()[-1] == taken


def test_what_another_python_wants_does_not_reach_set_up(checkout: Path, bare: Path) -> None:
    foreign = checkout / "foreign"
    for name in ("json", "argparse", "workshop"):
        program(foreign / f"{name}.py", f"raise SystemExit('the foreign {name}')\n")
    wanted = {"PYTHONPATH": str(foreign), "PYTHONHOME": str(foreign), "PYTHONSAFEPATH": "1"}
    on_path = program(bare / "python3.12", MARKED)
    assert chosen(bootstrap(checkout, bare, **wanted)) == str(on_path)


def test_a_component_that_is_not_there_says_how_to_get_it(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from workshop.setup import locate; locate('llama-stack')"],
        env={**os.environ, "WORKSHOP_CACHE": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert "llama-stack is not ready: it is not installed." in done.stderr
    assert "Hint: ./bootstrap --with llama-stack" in done.stderr
