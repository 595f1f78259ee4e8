"""Prometheus, which reads every part's page of metrics and keeps what it read.

It listens on loopback. A token that a page asks for lies in a file of mode 0600 that the
configuration names: Prometheus takes it from there alone.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml

from workshop.core import files
from workshop.core.settings import CHECKOUT
from workshop.targets.base import Endpoint, Part
from workshop.targets.local.process import Command
from workshop.targets.local.programs import DATA, installed

RULES = CHECKOUT / "manifests" / "monitoring" / "base" / "rules.yaml"
"""The alerts: a PrometheusRule, whose ``spec`` is what Prometheus reads."""


def command(part: Part, ports: Mapping[str, int], folder: Path) -> Command:
    """The command line, after writing the configuration, the rules and the tokens' files."""
    credentials = folder / "credentials"
    credentials.mkdir(exist_ok=True, mode=0o700)
    every = ("scrape_interval", "scrape_timeout", "evaluation_interval")
    config = {
        "global": dict.fromkeys(every, f"{part.settings['interval']}s"),
        "rule_files": ["rules.json"],
        "scrape_configs": [
            _job(name, endpoint, str(part.settings[f"path of {name}"]), credentials)
            for name, endpoint in part.needs.items()
        ],
    }
    rules = yaml.safe_load(RULES.read_text(encoding="utf-8"))["spec"]
    # JSON is YAML.
    digest = hashlib.sha256()
    for name, content in (("prometheus.json", config), ("rules.json", rules)):
        text = json.dumps(content, indent=1)
        (folder / name).write_text(text + "\n", encoding="utf-8")
        digest.update(text.encode())
    for path in sorted(credentials.iterdir()):
        digest.update(path.read_bytes())
    data = folder / DATA
    data.mkdir(exist_ok=True, mode=0o700)
    return Command(
        argv=(
            str(installed(part.name)),
            f"--config.file={folder / 'prometheus.json'}",
            f"--storage.tsdb.path={data}",
            "--storage.tsdb.retention.time=1d",
            "--storage.tsdb.retention.size=256MB",
            f"--web.listen-address=127.0.0.1:{ports['main']}",
        ),
        # So that changed settings are applied.
        env={"CONFIG_SHA256": digest.hexdigest()},
        cwd=folder,
    )


def _job(name: str, endpoint: Endpoint, path: str, credentials: Path) -> dict[str, Any]:
    address = urlsplit(endpoint.url)
    job: dict[str, Any] = {
        "job_name": name,
        "scheme": address.scheme,
        "metrics_path": path,
        "static_configs": [{"targets": [address.netloc], "labels": {"part": name}}],
    }
    kept = credentials / name
    if endpoint.token:
        files.write_private(kept, endpoint.token.reveal())
        job["authorization"] = {"credentials_file": str(kept)}
    else:
        kept.unlink(missing_ok=True)
    if endpoint.ca_file:
        job["tls_config"] = {"ca_file": str(endpoint.ca_file)}
    return job
