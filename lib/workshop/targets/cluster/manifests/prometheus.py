"""Prometheus on a cluster: ``manifests/prometheus``, on the parts that are there.

It is the notebook's own: user-workload monitoring reads every 15 to 60 seconds, and what it knows
is for those who may see it. For that one there is ``manifests/monitoring``.
"""

import json
from typing import Any
from urllib.parse import quote, urlsplit

import yaml

from workshop.targets.base import Endpoint, Part
from workshop.targets.cluster import objects
from workshop.targets.cluster.api import Api, Object
from workshop.targets.cluster.manifests import Plan, as_it_is, built, llama_stack

NAME = "prometheus"
EXPORTER = "mongodb-exporter"
RULES = objects.MANIFESTS / "monitoring" / "base" / "rules.yaml"
MOUNTED = "/etc/prometheus"


def plan(part: Part, api: Api) -> Plan:
    """The Deployment, its configuration, and a Secret with the tokens that pages ask for."""
    made = built(part, api)
    content = objects.one(made, "ConfigMap", NAME)["data"]
    config = yaml.safe_load(content["prometheus.yml"])
    secrets: dict[str, str] = {}
    jobs = [job for job in config["scrape_configs"] if job["job_name"] in part.needs]
    named = {job["job_name"] for job in jobs}
    jobs += [_job(name, part) for name in part.needs if name not in named]
    for job in jobs:
        name = job["job_name"]
        endpoint = part.needs[name]
        _fill(job, endpoint, int(part.settings[f"port of {name}"]), content)
        if endpoint.token:
            secrets[name] = endpoint.token.reveal()
        else:
            job.pop("authorization", None)
    config["scrape_configs"] = jobs
    content["prometheus.yml"] = yaml.safe_dump(config, sort_keys=False)
    content["rules.json"] = json.dumps(yaml.safe_load(RULES.read_text("utf-8"))["spec"])
    monitor = part.secrets.get("monitor password")
    if monitor:
        login = f"{quote(str(part.settings['monitor']))}:{quote(monitor.reveal(), safe='')}"
        secrets["mongodb-uri"] = f"mongodb://{login}@mongodb:27017/admin?directConnection=true"
    else:
        made = [one for one in made if one["metadata"]["name"] != EXPORTER]
    if llama_stack.serves(api) == "ogx":
        made += objects.build(objects.MANIFESTS / NAME / "ogx")
    return as_it_is(made, part, texts=secrets)


def _job(name: str, part: Part) -> dict[str, Any]:
    """How the page of a part is read that ``prometheus.yml`` does not name."""
    address, port = urlsplit(part.needs[name].peer_url), int(part.settings[f"port of {name}"])
    target = f"{address.hostname}:{port or address.port}"
    return {
        "job_name": name,
        "scheme": "http" if port else address.scheme,
        "metrics_path": str(part.settings[f"path of {name}"]),
        "authorization": {"credentials_file": f"/run/secrets/prometheus/{name}"},
        "static_configs": [{"targets": [target], "labels": {"part": name}}],
    }


def _fill(job: dict[str, Any], endpoint: Endpoint, port: int, content: Object) -> None:
    """Where the page really is, for those that are not always at the same place."""
    name, address = job["job_name"], urlsplit(endpoint.peer_url)
    if name == "llama-stack" and port:
        # OGX's own page, in place of the collector's.
        job["static_configs"][0]["targets"] = [f"{address.hostname}:{port}"]
    elif name in ("model", "embedder"):
        job["static_configs"][0]["targets"] = [address.netloc]
        if address.scheme != "https":
            return
        job["scheme"] = "https"
        if endpoint.ca_file:
            content[f"ca-{name}.crt"] = endpoint.ca_file.read_text("utf-8")
            job["tls_config"] = {"ca_file": f"{MOUNTED}/ca-{name}.crt"}
