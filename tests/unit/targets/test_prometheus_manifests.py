"""Prometheus on a cluster: which pages its configuration names, and where the credentials go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from workshop.core.secret import Secret
from workshop.targets.base import Endpoint, Part
from workshop.targets.cluster.manifests import Plan, prometheus

SERVICE = "svc.cluster.local"


class Kindless:
    """A plain Kubernetes, as far as a plan asks."""

    def kind(self, _api_version: str, _kind: str) -> None:
        return None


def at(host: str, scheme: str = "http", **more: Any) -> Endpoint:
    return Endpoint("http://127.0.0.1:5555", inside=f"{scheme}://{host}", **more)


NEEDS = {
    "llama-stack": at(f"collector.ns.{SERVICE}:4318"),
    "model": at(f"model-predictor.ns.{SERVICE}:80", token=Secret("canary-model")),
    "embedder": at(f"embedder.ns.{SERVICE}:8081"),
    "mcp-server": at(f"mongodb-mcp-server.ns.{SERVICE}:3000"),
    "mongodb": at(f"mongodb.ns.{SERVICE}:27017", "mongodb"),
}
PORTS = {"llama-stack": 0, "model": 0, "embedder": 0, "mcp-server": 3001, "mongodb": 9216}


def plan(needs: dict[str, Endpoint] = NEEDS, **ports: int) -> Plan:
    secrets = {"monitor password": Secret("canary/monitor")} if "mongodb" in needs else {}
    wanted = PORTS | {name.replace("_", "-"): port for name, port in ports.items()}
    settings: dict[str, str | int] = {"interval": 2, "monitor": "workshop-monitor"}
    settings |= {f"port of {name}": port for name, port in wanted.items()}
    settings |= {f"path of {name}": "/metrics" for name in wanted}
    part = Part("prometheus", 9090, settings=settings, secrets=secrets, needs=needs)
    return prometheus.plan(part, Kindless())  # type: ignore[arg-type]


def found(made: Plan, kind: str, name: str = "prometheus") -> dict[str, Any]:
    (one,) = [o for o in made.objects if (o["kind"], o["metadata"]["name"]) == (kind, name)]
    return one


def jobs(made: Plan) -> dict[str, dict[str, Any]]:
    config = yaml.safe_load(found(made, "ConfigMap")["data"]["prometheus.yml"])
    return {job["job_name"]: job for job in config["scrape_configs"]}


def test_each_page_is_where_its_part_is() -> None:
    made = jobs(plan())
    # Of the MCP server the page of each replica.
    (pods,) = made.pop("mcp-server")["dns_sd_configs"]
    assert (pods["names"], pods["port"]) == (["prometheus-mcp-server"], 3001)
    assert found(plan(), "Service", *pods["names"])["spec"]["clusterIP"] == "None"
    targets = {name: job["static_configs"][0]["targets"] for name, job in made.items()}
    assert targets == {
        "llama-stack": ["collector:4318"],
        "model": [f"model-predictor.ns.{SERVICE}:80"],
        "embedder": [f"embedder.ns.{SERVICE}:8081"],
        "mongodb": ["mongodb-exporter:9216"],
    }


def test_ogx_has_a_page_of_its_own() -> None:
    ogx = NEEDS | {"llama-stack": at(f"llama-stack-service.ns.{SERVICE}:8321")}
    job = jobs(plan(ogx, llama_stack=9464))["llama-stack"]
    assert job["static_configs"][0]["targets"] == [f"llama-stack-service.ns.{SERVICE}:9464"]


def test_a_part_that_the_manifest_does_not_name_is_read_by_its_service() -> None:
    needs = NEEDS | {
        "cache": at(f"cache.ns.{SERVICE}:11211", "memcached", token=Secret("canary-cache")),
        "front": at(f"front.ns.{SERVICE}:8000"),
    }
    made = plan(needs, cache=9150, front=0)
    cache, front = jobs(made)["cache"], jobs(made)["front"]
    assert cache["static_configs"] == [
        {"targets": [f"cache.ns.{SERVICE}:9150"], "labels": {"part": "cache"}}
    ]
    assert (cache["scheme"], cache["metrics_path"]) == ("http", "/metrics")
    assert front["static_configs"][0]["targets"] == [f"front.ns.{SERVICE}:8000"]
    assert cache["authorization"] == {"credentials_file": "/run/secrets/prometheus/cache"}
    assert found(made, "Secret")["stringData"]["cache"] == "canary-cache"
    assert "authorization" not in front


def test_credentials_are_in_the_secret_alone() -> None:
    made = plan()
    secret = found(made, "Secret")["stringData"]
    assert secret["model"] == "canary-model"
    assert secret["mongodb-uri"].startswith("mongodb://workshop-monitor:canary%2Fmonitor@mongodb:")
    others = json.dumps([one for one in made.objects if one["kind"] != "Secret"])
    assert "canary" not in others
    assert jobs(made)["model"]["authorization"] == {
        "credentials_file": "/run/secrets/prometheus/model"
    }
    assert "authorization" not in jobs(made)["embedder"], "it asks for none, and has no file"


def test_without_mongodb_there_is_no_exporter() -> None:
    some = {name: NEEDS[name] for name in ("llama-stack", "model")}
    made = plan(some)
    assert list(jobs(made)) == ["llama-stack", "model"]
    assert not [one for one in made.objects if one["metadata"]["name"] == "mongodb-exporter"]
    assert "mongodb-uri" not in found(made, "Secret")["stringData"]


@pytest.mark.parametrize("port", [8443])
def test_a_page_behind_tls_is_read_with_the_parts_own_ca(tmp_path: Path, port: int) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_text("a certificate")
    model = at(f"model-predictor.ns.{SERVICE}:{port}", "https", token=Secret("t"), ca_file=ca)
    made = plan(NEEDS | {"model": model})
    job = jobs(made)["model"]
    assert job["scheme"] == "https"
    assert job["tls_config"] == {"ca_file": "/etc/prometheus/ca-model.crt"}
    assert found(made, "ConfigMap")["data"]["ca-model.crt"] == "a certificate"


def test_the_alerts_go_along() -> None:
    rules = json.loads(found(plan(), "ConfigMap")["data"]["rules.json"])
    assert "PartDown" in json.dumps(rules)
    assert set(rules) == {"groups"}
