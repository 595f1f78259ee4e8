"""A new part is three files and one line: it is deployed, shown, watched, secured and removed."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any

import pytest
from exercise import checkout

pytestmark = pytest.mark.timeout(300)

PROGRAM = """
import json
from workshop import connect, deploy_prometheus, verify_network
from workshop.core.progress import Stages
from workshop.operate.credentials import rotate_credential
from workshop.parts import prometheus
from workshop.parts.cache import deploy_cache

target = connect("local")
actions = [deploy_cache(target).action for _ in range(2)]
deploy_prometheus(target)
checks = verify_network(target, target.network.tried(stage=Stages("try")))
pages = prometheus.pages(target.find("prometheus"))
rotated = rotate_credential(target, "cache")
print(json.dumps({
    "actions": actions,
    "checks": [check.name for check in checks],
    "pages": {page.part: page.state for page in pages},
    "old": rotated.old,
    "secrets": [secret.reveal() for secret in target.store.secrets()],
}))
"""

REMOVED = """
import json
from workshop import connect

target = connect("local")
print(json.dumps([target.clean_up(data=True), target.leftovers()]))
"""

Run = Callable[..., CompletedProcess[str]]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, home: Path) -> Any:
    """The checkout with the cache; whatever a test leaves running is stopped."""
    folder = checkout.made(tmp_path_factory.mktemp("checkout"))
    yield folder
    checkout.workshop(folder, "stop", WORKSHOP_HOME=str(home))


@pytest.fixture(scope="module")
def told(folder: Path, home: Path) -> dict[str, Any]:
    """What came of deploying the cache and Prometheus, and of securing both."""
    done = checkout.python(folder, "-c", PROGRAM, WORKSHOP_HOME=str(home))
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture
def workshop(folder: Path, home: Path) -> Run:
    return lambda *words: checkout.workshop(folder, *words, WORKSHOP_HOME=str(home))


def test_it_is_three_files_and_one_line() -> None:
    assert [str(path) for path in checkout.FILES] == [
        "lib/workshop/parts/cache.py",
        "lib/workshop/targets/cluster/manifests/cache.py",
        "lib/workshop/targets/local/programs/cache.py",
    ]
    assert checkout.LINE.count("\n") == 1


def test_it_is_deployed_and_reused(told: dict[str, Any]) -> None:
    assert told["actions"] == ["created", "reused"]


def test_its_page_is_read(told: dict[str, Any]) -> None:
    assert told["pages"] == {"cache": "read"}


def test_its_ports_are_tried_and_it_refuses_who_has_no_password(told: dict[str, Any]) -> None:
    assert "cache refuses requests without a credential" in told["checks"]
    for who in ("this machine", "another machine"):
        ports = [name for name in told["checks"] if name.startswith(f"{who} to cache:")]
        assert len(ports) == 2


def test_its_password_is_rotated(told: dict[str, Any]) -> None:
    assert told["old"] == "refused: CLIENT_ERROR authentication failure"


def test_it_is_shown(told: dict[str, Any], workshop: Run) -> None:
    shown = workshop("status").stdout
    assert re.search(r"^cache +running +memcached://127\.0\.0\.1:\d+ ", shown, re.M), shown
    log = workshop("logs", "cache").stdout
    assert "memcached 1.6.0-standin listens on 127.0.0.1:" in log
    assert not [secret for secret in told["secrets"] if secret in shown + log]


def test_the_doctor_asks_it(told: dict[str, Any], workshop: Run) -> None:
    shown = workshop("doctor").stdout
    assert "port 11211" in shown
    assert "\n  [ OK ] cache: memcached 1.6.0-standin\n" in shown
    assert "cause: " not in shown


def test_the_doctor_names_it_when_it_has_ended(told: dict[str, Any], workshop: Run) -> None:
    found = re.search(r"^cache .* pid (\d+),", workshop("status").stdout, re.M)
    assert found
    os.kill(int(found[1]), signal.SIGKILL)
    done = workshop("doctor")
    assert done.returncode == 1
    assert "\ncause: cache: " in done.stdout, done.stdout
    assert "run 12_deploy_cache again: it starts what has ended" in done.stdout


def test_it_is_removed(told: dict[str, Any], folder: Path, home: Path) -> None:
    done = checkout.python(folder, "-c", REMOVED, WORKSHOP_HOME=str(home))
    removed, left = json.loads(done.stdout)
    assert {"process prometheus", "cache/log"} <= set(removed)
    assert left == []


def test_a_name_that_is_no_parts_is_refused_with_those_that_there_are(workshop: Run) -> None:
    done = workshop("logs", "redis")
    assert done.returncode == 1
    assert "There is no part 'redis'." in done.stderr
    assert "mcp-server, mcp-writer, cache, prometheus" in done.stderr
