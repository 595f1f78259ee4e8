"""What the agent is told before each question."""

import json
from pathlib import Path
from typing import Any

import yaml

from workshop.agent.answer import FILE_SEARCH
from workshop.parts import mcp_server, mcp_writer, mongodb

CHOICES = 4  # A field with at most this many different values is listed with them.
_TOLD = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text("utf-8"))
EXAMPLES: list[tuple[str, str, dict[str, Any]]] = [
    (one["ask"], tool, {"collection": collection, **dict(rest)})
    for one in _TOLD["examples"]
    for (tool, collection), *rest in [one["call"].items()]
]
"""Questions, each with the tool and the arguments of its first call."""

SOUGHT = "image cannot be pulled"
"""What is searched for in the example: its few words are found where a whole question is not."""

NOT_IMPLEMENTED = 238
"""The code with which FerretDB, and MongoDB, refuse an operator that they do not have."""


def text(described: str, *, may_propose: bool = False) -> str:
    """What the agent is told before each question; ``described`` is "" without a database.

    With ``may_propose`` it is told of the one change that it may propose.
    """
    lines = [_TOLD["begin"]]
    examples = []
    if described:
        shown = json.dumps(mcp_server.ALWAYS)[1:-1]
        lines += [_TOLD["database"].format(name=mongodb.DATABASE, always=shown), described]
        examples += [
            (ask, tool, mcp_server.ALWAYS | arguments) for ask, tool, arguments in EXAMPLES
        ]
    search = f"Search the runbooks: what are the steps when an {SOUGHT}?"
    examples.append((search, FILE_SEARCH, {"query": SOUGHT}))
    if may_propose:
        ask, *change = _TOLD["change"].values()
        examples.append((ask, mcp_writer.TOOL, mcp_writer.Change(*change).arguments))
    lines.append("Examples:")
    for question, name, arguments in examples:
        lines += [question, json.dumps({"name": name, "arguments": arguments})]
    may = "proposes" if may_propose else "reads"
    return "\n".join([*lines, *(_TOLD[about] for about in ("runbooks", may, "end"))])


def describe(database: Any) -> str:
    """A line for each collection, with its fields, and one for what the database lacks."""
    lines = []
    for name in sorted(database.list_collection_names()):
        first = database[name].find_one() or {}
        first.pop("_id", None)
        fields = []
        for field, value in first.items():
            values = database[name].distinct(field) if isinstance(value, str) else []
            few = 1 < len(values) <= CHOICES
            fields.append(f"{field} ({', '.join(map(str, sorted(values)))})" if few else field)
        lines.append(f"{name}: {', '.join(fields)}")
    if lacks := lacking(database):
        lines.append(f"aggregate has no {', '.join(lacks)} here.")
    return "\n".join(lines)


def lacking(database: Any) -> list[str]:
    """Which of the operators that models like to write the database does not have."""
    from pymongo.errors import OperationFailure

    def lacks(stage: dict[str, Any]) -> bool:
        try:
            # No such collection: a stage is refused before any document is read.
            list(database["none"].aggregate([stage]))
        except OperationFailure as error:
            if error.code != NOT_IMPLEMENTED:
                raise
            return True
        return False

    return [name for name, stage in _TOLD["operators"].items() if lacks(stage)]
