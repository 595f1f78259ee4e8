"""A read-only cache is used as it is; one that lacks things, or cannot be made, is told.

Root may write whatever the modes say, until it is started without that right.
"""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from registry import Registry, pins_of, write_lock
from test_setup_programs import small_package
from uv import find_uv_bin
from workshop.core.errors import SetupError
from workshop.setup import attempt
from workshop.setup.components import HERE, Context
from workshop.setup.kit import sync
from workshop.setup.lines import Lines

RUN = """
import pickle, sys
from workshop.setup.__main__ import main
from workshop.setup.components import Context
from workshop.setup.kit import sync
from workshop.setup.lines import Lines
context = Context(**pickle.load(open(sys.argv[1], "rb")))
sync(context, Lines(lambda text: print(text, file=sys.stderr)))
sys.exit(main(["--in-kit", *sys.argv[2:]], context) if sys.argv[2:] else 0)
"""
OBEDIENT = ["setpriv", "--bounding-set=-dac_override"] if os.geteuid() == 0 else []
PROJECT = """
[project]
name = "a-kit"
version = "0"
requires-python = ">=3.12"
dependencies = ["tiny==1.0"]

[dependency-groups]
dev = ["linter==1.0"]
"""
LOCK = """
version = 1
revision = 3
requires-python = ">=3.12"

[[package]]
name = "a-kit"
version = "0"
source = {{ virtual = "." }}
dependencies = [{{ name = "tiny" }}]

[package.dev-dependencies]
dev = [{{ name = "linter" }}]

[package.metadata]
requires-dist = [{{ name = "tiny", specifier = "==1.0" }}]

[package.metadata.requires-dev]
dev = [{{ name = "linter", specifier = "==1.0" }}]

[[package]]
name = "linter"
version = "1.0"
source = {{ registry = "{index}" }}
wheels = [{linter}]

[[package]]
name = "tiny"
version = "1.0"
source = {{ registry = "{index}" }}
wheels = [{wheel}]
"""


@pytest.fixture
def context(registry: Registry, tmp_path: Path) -> Context:
    """A small kit, and a cache with uv from which it was installed once."""
    tiny = small_package(registry)
    pins, _parts = pins_of(registry, tmp_path / "sources")
    write_lock(tmp_path / "sources", "model-server", tiny)
    shutil.copy(HERE / "environments" / "uv.txt", tmp_path / "sources" / "environments")
    (tmp_path / "kit").mkdir()
    (tmp_path / "kit" / "pyproject.toml").write_text(PROJECT)
    (tmp_path / "tmp").mkdir()
    made = Context(
        cache=tmp_path / "cache",
        checkout=tmp_path / "kit",
        env={
            "PATH": f"{Path(find_uv_bin()).parent}:{os.environ['PATH']}",
            "HOME": str(tmp_path / "kit" / "pyproject.toml"),  # Nobody can make a folder in it.
            "UV_DEFAULT_INDEX": registry.index,
            "TMPDIR": str(tmp_path / "tmp"),
        },
        pins=pins,
        sources=tmp_path / "sources",
    )
    wheel, linter = (
        f'{{ url = "{registry.url}/files/{one.filename}", hash = "sha256:{one.sha256}" }}'
        for one in (tiny, registry.add_wheel("linter", "1.0", {"linter.py": b""}))
    )
    text = LOCK.format(index=registry.index, wheel=wheel, linter=linter)
    (made.checkout / "uv.lock").write_text(text)
    return made


@pytest.fixture
def closed(context: Context) -> Iterator[Context]:
    if OBEDIENT and shutil.which(OBEDIENT[0]) is None:
        pytest.skip("root obeys no modes, and setpriv is not there")
    sync(context, Lines())
    folders = [context.cache, *(path for path in context.cache.rglob("*") if path.is_dir())]
    for folder in folders:
        if not folder.is_symlink():
            folder.chmod(0o555)
    yield context
    for folder in folders:
        if not folder.is_symlink():
            folder.chmod(0o755)


def set_up(context: Context, *names: str) -> subprocess.CompletedProcess[str]:
    """The real set-up in a process that obeys modes."""
    file = context.checkout / "context"
    kept = ("cache", "checkout", "env", "pins", "sources")
    file.write_bytes(pickle.dumps({name: getattr(context, name) for name in kept}))
    return subprocess.run(
        [*OBEDIENT, sys.executable, "-c", RUN, str(file), *names],
        env={**os.environ, "TMPDIR": context.env["TMPDIR"]},
        capture_output=True,
        text=True,
        check=False,
    )


def files(folder: Path) -> dict[str, int]:
    return {str(path): path.lstat().st_mtime_ns for path in folder.rglob("*")}


def modules(context: Context) -> list[str]:
    return sorted(path.stem for path in context.checkout.rglob("site-packages/[lt]*.py"))


def test_developers_tools_come_when_they_are_asked_for_and_stay(context: Context) -> None:
    sync(context, Lines())
    assert modules(context) == ["tiny"]
    sync(context, Lines(), dev=True)
    assert modules(context) == ["linter", "tiny"]
    sync(context, Lines())
    assert modules(context) == ["linter", "tiny"]


def test_a_complete_one_is_used_as_it_is(closed: Context, registry: Registry) -> None:
    shutil.rmtree(closed.checkout / ".venv")
    before, asked = files(closed.cache), len(registry.requests)
    done = set_up(closed)
    assert done.returncode == 0, done.stderr
    [module] = (closed.checkout / ".venv").rglob("tiny.py")
    assert module.read_text() == "VALUE = 42\n"
    assert not module.is_symlink()
    assert "taking the packages from the cache, which is read-only" in done.stderr
    assert files(closed.cache) == before
    # Offline, and without a trace.
    assert len(registry.requests) == asked
    assert list(Path(closed.env["TMPDIR"]).glob("workshop-*")) == []
    again = set_up(closed)
    assert again.returncode == 0, again.stderr
    assert "taking the packages" not in again.stderr


def test_an_environment_that_is_out_of_date_is_completed_from_it(closed: Context) -> None:
    [module] = (closed.checkout / ".venv").rglob("tiny.py")
    [about] = module.parent.glob("tiny-1.0.dist-info")
    module.unlink()
    shutil.rmtree(about)
    done = set_up(closed)
    assert done.returncode == 0, done.stderr
    assert module.read_text() == "VALUE = 42\n"


def test_one_that_lacks_something_says_what(closed: Context) -> None:
    before = files(closed.cache)
    done = set_up(closed, "--only", "model-server", "tokenizer")
    assert done.returncode == 1
    told = done.stderr[done.stderr.index("The cache lacks") :]
    assert told.strip() == (
        "The cache lacks model-server, tokenizer, and nothing can be written to it.\n"
        f"  Where: {closed.cache}\n"
        "  Last state: model-server: it is not installed; tokenizer: it is not installed; "
        f"Permission denied: {told.partition('Permission denied: ')[2].splitlines()[0]}\n"
        "  Hint: let somebody who may write to it run ./bootstrap, or "
        "WORKSHOP_CACHE=/path/to/a/folder/of/yours ./bootstrap"
    )
    assert files(closed.cache) == before


def test_one_that_cannot_be_made_is_told(context: Context, tmp_path: Path) -> None:
    (tmp_path / "home").touch()
    cache = tmp_path / "home" / ".cache"
    with pytest.raises(SetupError) as caught:
        attempt(replace(context, cache=cache), ["tokenizer"], Lines())
    assert str(caught.value) == (
        "The cache folder cannot be created.\n"
        f"  Where: {cache}\n"
        f"  Last state: Not a directory: {cache}\n"
        "  Hint: WORKSHOP_CACHE=/path/to/a/folder/of/yours ./bootstrap"
    )


def test_what_is_downloaded_lies_in_the_cache_and_not_in_the_home(context: Context) -> None:
    sync(context, Lines())
    assert any((context.cache / "uv-cache").rglob("tiny.py"))
