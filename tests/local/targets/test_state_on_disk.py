"""The names of files, keys and variables that a state of an earlier version has: they stay."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from standin import tiny
from workshop.cli import main
from workshop.core.secret import Secret
from workshop.targets.base import Part

pytestmark = pytest.mark.timeout(60)


def test_the_state_on_disk_keeps_its_names(tmp_path: Path, port: int, monkeypatch) -> None:
    where = tiny.target(tmp_path)
    where.store.secret("mongodb password", lambda: "made-by-this-test")
    where.store.remember("server", "ogx")
    secrets = {"token": Secret("t0ken-of-this-test"), "password": Secret("passw0rd-of-this-test")}
    tiny.ensure(where, Part("mongodb", port, settings={"number": 1}, secrets=secrets))
    endpoint = tiny.ensure(where, Part("mongodb", port, secrets=secrets)).endpoint

    local = tmp_path / "state" / "local"
    part = local / "mongodb"
    assert tiny.environment_of(endpoint)["WORKSHOP_PART"] == str(part.resolve())
    assert {path.name for path in part.iterdir()} == {"log", "log.1", "process.json", "turn"}
    assert (part / "log").read_text().startswith("--- started ")
    assert set(json.loads((part / "process.json").read_text())) == {
        *("pid", "create_time", "argv", "env", "cwd", "ports", "fingerprint", "started"),
        "exit_code",
    }
    assert set(json.loads((local / "place.json").read_text())) == {"id", "path"}
    assert json.loads((local / "secrets.json").read_text()) == {
        "mongodb password": "made-by-this-test",
        "mongodb/token": "t0ken-of-this-test",
        "mongodb/password": "passw0rd-of-this-test",
    }
    facts = json.loads((local / "facts.json").read_text())
    assert facts == {"facts": {"server": "ogx"}, "endpoints": facts["endpoints"]}
    assert facts["endpoints"]["mongodb"] == {
        "url": f"http://127.0.0.1:{port}",
        "user": "",
        "ca_file": None,
        "also": {},
        "credentials": ["token", "password"],
        "adopted": False,
    }
    where.store.renew("mongodb", "mongodb password", lambda: "another")
    assert json.loads((local / "secrets.json").read_text())["mongodb password before"] == (
        "made-by-this-test"
    )

    monkeypatch.setenv("WORKSHOP_HOME", str(tmp_path / "state"))
    assert main(["stop"]) == 0
    assert {path.name for path in local.iterdir()} == {
        *(".gitignore", "facts.json", "lock", "mongodb", "place.json", "secrets.json"),
        "state.lock",
    }
