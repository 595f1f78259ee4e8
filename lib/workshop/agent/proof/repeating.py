"""What a tool call gave, and the same call made again: by pymongo, or from the runbook on disk."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from workshop.agent.answer import ToolCall
from workshop.agent.proof.evidence import Returned
from workshop.agent.proof.values import plain
from workshop.clients import mcp
from workshop.parts import mongodb

COUNT = re.compile(r"Found (\d+) documents")
"""How MCP server 3.x words the result of ``count``; the Responses API hands on the text alone."""

LIMIT = 10
"""How many documents ``find`` gives by default: MCP server 3.0."""

ORDERS = {"asc": 1, "ascending": 1, "desc": -1, "descending": -1, "1": 1, "-1": -1}


def read_again(call: ToolCall, default: Any) -> tuple[Any, str]:
    """What pymongo gives for the same arguments, and how it was asked.

    Gives None and "" for a tool that it cannot repeat.
    """
    arguments = call.arguments
    name = str(arguments.get("collection", ""))
    database = default.client[str(arguments.get("database") or mongodb.DATABASE)]
    if call.name == "list-collections":
        return sorted(database.list_collection_names()), "pymongo's list_collection_names"
    if call.name == "count":
        query = _typed(arguments.get("query") or {})
        return database[name].count_documents(query), f"pymongo's count_documents({query})"
    if call.name == "find":
        query = _typed(arguments.get("filter") or {})
        found = database[name].find(query, arguments.get("projection") or None)
        if sort := arguments.get("sort"):
            found = found.sort([(k, ORDERS.get(str(v).lower(), v)) for k, v in sort.items()])
        return list(found.limit(int(arguments.get("limit") or LIMIT))), f"pymongo's find({query})"
    if call.name == "aggregate":
        pipeline = _typed(arguments.get("pipeline") or [])
        return list(database[name].aggregate(pipeline)), f"pymongo's aggregate({pipeline})"
    return None, ""


def _typed(query: Any) -> Any:
    """The tool takes dates and ids as Extended JSON, pymongo as objects."""
    from bson import json_util

    return json_util.loads(json.dumps(query))


def result(call: ToolCall) -> Any:
    """The data in the tool's text, in the shape in which pymongo gives it."""
    if call.name == "count":
        found = COUNT.search(call.result)
        return int(found.group(1)) if found else call.result
    try:
        data = _typed(mcp.json_in(call.result))
    except ValueError:
        # A reading without a match has no data section.
        nothing = call.name in ("find", "aggregate") and "resulted in 0" in call.result
        return [] if nothing else call.result
    if call.name == "list-collections":
        try:
            return sorted(entry["name"] for entry in data["collections"])
        except (KeyError, TypeError):
            return call.result
    return data


def returned(call: ToolCall, found: Any, *, cut: bool) -> Returned:
    """What the call returned, for those who hold an answer against it."""
    listed = found if isinstance(found, list) else [found]
    documents = tuple(one for one in listed if isinstance(one, dict))
    rest = tuple(str(one) for one in listed if not isinstance(one, dict))
    asked = [call.arguments.get(name) for name in ("query", "filter")]
    asked += [stage.get("$match") for stage in call.arguments.get("pipeline") or []]
    names = (str(call.arguments.get("database", "")), *_equal(asked))
    collection = str(call.arguments.get("collection") or call.name)
    return Returned(collection, documents, rest, names, cut)


def _equal(query: Any) -> Iterator[str]:
    """The values for which a query asks: not those that it shuts out, or compares with."""
    if isinstance(query, dict):
        for name, value in query.items():
            if not name.startswith("$") or name in ("$eq", "$in", "$and", "$or"):
                yield from _equal(value)
    elif isinstance(query, list):
        for value in query:
            yield from _equal(value)
    elif isinstance(query, str | int | float) and not isinstance(query, bool):
        yield str(query)


def chunks(result: str) -> list[str]:
    """The texts that a search gave, as ``answer.read`` keeps them."""
    try:
        return [str(text) for text in json.loads(result)]
    except (TypeError, ValueError):
        return []


def runbook_with(chunk: str, folder: Path) -> str:
    """The name of the runbook in which the text stands. Servers name the file differently."""
    for path in sorted(folder.glob("*.md")):
        if plain(chunk) in plain(path.read_text(encoding="utf-8")):
            return path.name
    return ""
