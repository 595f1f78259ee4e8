"""JSON schemas of every kind that a cluster knows, made from its own OpenAPI, for kubeconform."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from workshop.targets.cluster.api import Api

from testcluster import programs
from testcluster.pins import Program

MODULE = "github.com/yannh/kubeconform"
KUBECONFORM = (Program(MODULE, "v0.8.0", (f"{MODULE}/cmd/kubeconform",)),)

PATTERN = "{{.Group}}_{{.ResourceAPIVersion}}_{{.ResourceKind}}.json"
"""A schema's file name, as kubeconform spells it: the kind is in small letters."""


def write(api: Api, folder: Path) -> int:
    """Write a schema for each kind; gives how many. Unknown fields are errors in all of them."""
    count = 0
    for address in api.request("GET", "/openapi/v3", what="list its schemas")["paths"].values():
        path, _, query = address["serverRelativeURL"].partition("?")
        asked = dict(pair.split("=", 1) for pair in query.split("&") if pair)
        found = api.request("GET", path, query=asked, what="read its schemas")
        schemas = (found.get("components") or {}).get("schemas") or {}
        strict = {name: _strict(schema) for name, schema in schemas.items()}
        for name, schema in schemas.items():
            for kind in schema.get("x-kubernetes-group-version-kind") or []:
                whole = {"$ref": f"#/components/schemas/{name}", "components": {"schemas": strict}}
                # kubeconform takes the core group's version for its name.
                group = kind["group"] or kind["version"]
                file = f"{group}_{kind['version']}_{kind['kind'].lower()}.json"
                (folder / file).write_text(json.dumps(whole))
                count += 1
    return count


def conform(folder: Path, manifests: str, go: Path) -> subprocess.CompletedProcess[str]:
    """Run kubeconform over these YAML documents, with the schemas of this folder alone."""
    return subprocess.run(
        [go / "kubeconform", "-summary", "-schema-location", f"{folder}/{PATTERN}", "-"],
        input=manifests,
        capture_output=True,
        text=True,
        check=False,
    )


def kubeconform(say: programs.Say) -> Path:
    """The folder with the program; it is built the first time."""
    return programs.go_programs(say, KUBECONFORM)


def _strict(schema: Any) -> Any:
    """The schema, refusing fields that it does not name."""
    if isinstance(schema, list):
        return [_strict(one) for one in schema]
    if not isinstance(schema, dict):
        return schema
    made = {key: _strict(value) for key, value in schema.items()}
    if schema.get("x-kubernetes-int-or-string") or schema.get("format") == "int-or-string":
        return {"anyOf": [{"type": "string"}, {"type": "integer"}]}
    open_ended = schema.get("x-kubernetes-preserve-unknown-fields")
    named = isinstance(schema.get("properties"), dict)
    if named and not open_ended and "additionalProperties" not in schema:
        made["additionalProperties"] = False
    return made
