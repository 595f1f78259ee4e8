"""Short words for the OpenAPI schemas of our own CustomResourceDefinitions.

A field that a schema does not name is dropped by the API server, and ``kubectl apply`` refuses it:
that is how a wrong field name in a manifest shows.
"""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

TEXT: Schema = {"type": "string"}
NUMBER: Schema = {"type": "integer", "format": "int32"}
FLAG: Schema = {"type": "boolean"}
QUANTITY: Schema = {"x-kubernetes-int-or-string": True}
OPEN: Schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
"""An object whose fields are not looked at."""


def one(*rules: tuple[str, str], required: tuple[str, ...] = (), **fields: Schema) -> Schema:
    """An object with these fields, and rules as pairs of a CEL expression and its message."""
    schema: Schema = {"type": "object", "properties": fields}
    if required:
        schema["required"] = list(required)
    if rules:
        schema["x-kubernetes-validations"] = [
            {"rule": rule, "message": message} for rule, message in rules
        ]
    return schema


def many(item: Schema) -> Schema:
    """A list."""
    return {"type": "array", "items": item}


def texts(item: Schema = TEXT) -> Schema:
    """A map from strings."""
    return {"type": "object", "additionalProperties": item}


def among(*values: str) -> Schema:
    """One of these strings."""
    return {"type": "string", "enum": list(values)}


def default(schema: Schema, value: object) -> Schema:
    """The schema, with a value that the API server fills in."""
    return {**schema, "default": value}


KEY = one(required=("name", "key"), name=TEXT, key=TEXT)
"""A key of a ConfigMap or Secret."""

_REFERENCE = one(required=("key",), name=TEXT, key=TEXT, optional=FLAG)
ENV = many(
    one(
        required=("name",),
        name=TEXT,
        value=TEXT,
        valueFrom=one(
            secretKeyRef=_REFERENCE,
            configMapKeyRef=_REFERENCE,
            fieldRef=one(required=("fieldPath",), apiVersion=TEXT, fieldPath=TEXT),
            resourceFieldRef=OPEN,
        ),
    )
)
RESOURCES = one(
    requests=texts(QUANTITY), limits=texts(QUANTITY), claims=many(one(name=TEXT, request=TEXT))
)
MOUNTS = many(
    one(
        required=("name", "mountPath"),
        name=TEXT,
        mountPath=TEXT,
        subPath=TEXT,
        subPathExpr=TEXT,
        readOnly=FLAG,
        mountPropagation=TEXT,
        recursiveReadOnly=TEXT,
    )
)
CONDITIONS = many(
    one(
        required=("type", "status"),
        type=TEXT,
        status=among("True", "False", "Unknown"),
        reason=TEXT,
        message=TEXT,
        observedGeneration={"type": "integer", "format": "int64"},
        lastTransitionTime=TEXT,
        lastUpdateTime=TEXT,
        lastHeartbeatTime=TEXT,
        lastProbeTime=TEXT,
        severity=TEXT,
    )
)


def crd(
    kind: str,
    plural: str,
    group: str,
    versions: dict[str, Schema],
    *,
    status: Schema = OPEN,
    namespaced: bool = True,
    short: tuple[str, ...] = (),
    columns: tuple[tuple[str, str], ...] = (),
) -> dict[str, Any]:
    """A CustomResourceDefinition; the last of the versions is the one that is stored."""
    shown = [{"name": name, "type": "string", "jsonPath": path} for name, path in columns]
    listed = [
        {
            "name": version,
            "served": True,
            "storage": version == list(versions)[-1],
            "subresources": {"status": {}},
            "additionalPrinterColumns": shown,
            "schema": {
                "openAPIV3Schema": {
                    "type": "object",
                    "properties": {
                        "apiVersion": TEXT,
                        "kind": TEXT,
                        "metadata": {"type": "object"},
                        "spec": spec,
                        "status": status,
                    },
                }
            },
        }
        for version, spec in versions.items()
    ]
    names = {"kind": kind, "plural": plural, "singular": kind.lower(), "listKind": f"{kind}List"}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"},
        "spec": {
            "group": group,
            "scope": "Namespaced" if namespaced else "Cluster",
            "names": names | ({"shortNames": list(short)} if short else {}),
            "versions": listed,
        },
    }
