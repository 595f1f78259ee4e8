"""``make lab``: JupyterLab with the checkout as its root, so that notebooks can link to docs."""

from __future__ import annotations

import os
import re
import signal
import subprocess

from workshop.clients import http
from workshop.core.secret import Secret
from workshop.core.settings import CHECKOUT
from workshop.core.wait import wait_for
from workshop.targets.base import Endpoint


def test_notebooks_and_what_they_link_to_are_served(port: int) -> None:
    lab = subprocess.Popen(
        ["make", "--no-print-directory", "lab", f"ARGS=--no-browser --ServerApp.port={port}"],
        cwd=CHECKOUT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        assert lab.stdout
        seen, address = "", None
        for line in lab.stdout:
            seen += line
            address = re.search(r"(http://127\.0\.0\.1:\d+)/lab/tree/(\S+)\?token=(\w+)", line)
            if address:
                break
        assert address, seen
        root, first, token = address.groups()
        lab_itself = Endpoint(root, token=Secret(token))
        # It says its address a moment before it listens.
        wait_for("JupyterLab", lambda: http.ready("/api")(lab_itself), timeout=30)
        for path in (first, "README.md", "docs/settings.md"):
            assert http.call(lab_itself, f"/api/contents/{path}?content=0").json["path"] == path
        assert first == "notebooks/00_check_environment.ipynb"
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        lab.communicate(timeout=30)
