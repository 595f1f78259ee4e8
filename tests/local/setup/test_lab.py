"""``make lab``: JupyterLab with the checkout as its root, so that notebooks can link to docs."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import urllib.request

from workshop.core.settings import CHECKOUT


def test_notebooks_and_what_they_link_to_are_served() -> None:
    lab = subprocess.Popen(
        ["make", "--no-print-directory", "lab", "ARGS=--no-browser --ServerApp.port=0"],
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
        for path in (first, "README.md", "docs/settings.md"):
            url = f"{root}/api/contents/{path}?content=0&token={token}"
            with urllib.request.urlopen(url, timeout=30) as answer:
                assert answer.status == 200
        assert first == "notebooks/00_check_environment.ipynb"
    finally:
        os.killpg(lab.pid, signal.SIGTERM)
        lab.communicate(timeout=30)
