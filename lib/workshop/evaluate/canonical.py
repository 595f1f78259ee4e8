"""Tool calls in one form, so that two that ask the same of the database compare as equal.

``count``, ``find`` and ``aggregate`` overlap: a count with a filter is an aggregation that matches
and counts. Each call therefore becomes the stages of an aggregation. What changes nothing is left
out: the connection, the order of keys, a tool's default, the names that a pipeline gives to its
own fields.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from workshop.agent.proof.evidence import LIMIT, ORDERS
from workshop.parts import mongodb

KNOWN = {
    "list-collections": set[str](),
    "count": {"collection", "query"},
    "find": {"collection", "filter", "projection", "limit", "sort"},
    "aggregate": {"collection", "pipeline"},
}
"""The tools that read, and the arguments that say what is read."""

IGNORED = {"connectionId", "database", "responseBytesLimit"}
"""Arguments that every call has, or that bound a result in bytes."""

Stage = tuple[str, str]
"""An operator such as ``$match``, and its argument as JSON with sorted keys."""


@dataclass(frozen=True)
class Canonical:
    """What a call asks for.

    Args:
        subject: The collection; ``list-collections``; or another tool's name.
        stages: What is done with its documents.
        strange: Names of arguments that the tool does not have.
    """

    subject: str
    stages: tuple[Stage, ...] = ()
    strange: tuple[str, ...] = ()


def canonical(name: str, arguments: Mapping[str, Any]) -> Canonical:
    """The canonical form of a call.

    Example:
        >>> canonical("count", {"collection": "alerts"}) == canonical(
        ...     "aggregate", {"collection": "alerts", "pipeline": [{"$count": "n"}]}
        ... )
        True
    """
    known = KNOWN.get(name)
    database = arguments.get("database") or mongodb.DATABASE
    if known is None or database != mongodb.DATABASE:
        return Canonical(f"{name} in {database}")
    strange = tuple(sorted(set(arguments) - known - IGNORED))
    if name == "list-collections":
        return Canonical(name, (), strange)
    collection = str(arguments.get("collection", ""))
    return Canonical(collection, _simplified(collection, _stages(name, arguments)), strange)


def _stages(name: str, arguments: Mapping[str, Any]) -> list[Any]:
    if name == "aggregate":
        pipeline = arguments.get("pipeline")
        return pipeline if isinstance(pipeline, list) else []
    if name == "count":
        return [{"$match": arguments.get("query")}, {"$count": "n"}]
    limit = arguments.get("limit")
    return [
        {"$match": arguments.get("filter")},
        {"$sort": arguments.get("sort")},
        {"$limit": None if limit == LIMIT else limit},
        {"$project": arguments.get("projection")},
    ]


def _simplified(collection: str, stages: Sequence[Any]) -> tuple[Stage, ...]:
    names: dict[str, str] = {}
    found: list[Stage] = []
    one = False
    for stage in stages:
        if not isinstance(stage, dict) or len(stage) != 1:
            found.append(("?", _json(stage)))
            continue
        ((operator, value),) = stage.items()
        if value in (None, {}, []) or (one and operator in ("$sort", "$limit")):
            # One document stays one, in any order.
            continue
        if operator == "$match":
            value = _query(collection, value)
            # The filter names one document by its unique field.
            key = mongodb.IDS.get(collection, "")
            one = one or (isinstance(value, dict) and isinstance(value.get(key), str))
        elif operator == "$sort" and isinstance(value, dict):
            value = {names.get(k, k): ORDERS.get(str(v).lower(), v) for k, v in value.items()}
            # Here the order of the keys counts.
            value = list(value.items())
        elif operator == "$count":
            operator, value = "$group", _counted(names, {"_id": None, str(value): {"$sum": 1}})
        elif operator == "$group" and isinstance(value, dict):
            value = _counted(names, value)
        found.append((operator, _json(value)))
    return tuple(found)


def _counted(names: dict[str, str], group: dict[str, Any]) -> list[Any]:
    """By what is grouped, and what each field is, sorted; notes the fields' places as names."""
    fields = [(_json(how), field) for field, how in group.items() if field != "_id"]
    counted = {_json({"$count": {}}): _json({"$sum": 1})}
    ordered = sorted(((counted.get(how, how), field) for how, field in fields), key=lambda f: f[0])
    names |= {field: f"#{place}" for place, (_, field) in enumerate(ordered)}
    by = group.get("_id")
    if isinstance(by, dict) and len(by) == 1:
        # {"_id": {"service": "$service"}} groups as {"_id": "$service"} does.
        (by,) = by.values()
    return [by or None, *(how for how, _ in ordered)]


def _query(collection: str, query: Any) -> Any:
    """A filter without the ways of saying the same in more words."""
    if not isinstance(query, dict):
        return query
    flat: dict[str, Any] = {}
    for field, value in query.items():
        if field == "$and" and isinstance(value, list):
            parts = [_query(collection, part) for part in value]
            names = [name for part in (flat, *parts) if isinstance(part, dict) for name in part]
            # Two parts about the same field are together not one filter.
            if not all(isinstance(part, dict) for part in parts) or len(names) != len(set(names)):
                flat[field] = parts
                continue
            for part in parts:
                flat |= part
        else:
            key = mongodb.IDS.get(collection, "_id") if field == "_id" else str(field)
            flat[key] = _condition(value)
    return flat


def _condition(value: Any) -> Any:
    if not isinstance(value, dict) or len(value) != 1:
        return value
    ((operator, operand),) = value.items()
    if operator == "$eq":
        return operand
    if operator in ("$in", "$nin") and isinstance(operand, list):
        if len(operand) == 1:
            return operand[0] if operator == "$in" else {"$ne": operand[0]}
        return {operator: sorted(operand, key=_json)}
    return value


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, default=str)
