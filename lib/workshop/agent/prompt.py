"""What the agent is told before each question."""

from __future__ import annotations

import json
from typing import Any

from workshop.agent.proof import repeating
from workshop.core import versions
from workshop.parts import mongodb

CHOICES = 4
"""A field with at most this many different values is listed with them."""

EXAMPLES: tuple[tuple[str, str, dict[str, Any]], ...] = (
    (
        "How many incidents is Chiyo working on?",
        "count",
        {"collection": "incidents", "query": {"assignee": "Chiyo"}},
    ),
    (
        "How many alerts are not cleared?",
        "count",
        {"collection": "alerts", "query": {"state": {"$ne": "cleared"}}},
    ),
    (
        "Which services are written in Rust?",
        "find",
        {"collection": "services", "filter": {"language": "Rust"}},
    ),
    (
        "Which alert was raised first?",
        "find",
        {"collection": "alerts", "sort": {"raised_at": 1}, "limit": 1},
    ),
    (
        "Which unit do the most alerts have?",
        "aggregate",
        {
            "collection": "alerts",
            "pipeline": [
                {"$group": {"_id": "$unit", "n": {"$sum": 1}}},
                {"$sort": {"n": -1}},
                {"$limit": 1},
            ],
        },
    ),
    (
        "How many replicas do the services of each tier have?",
        "aggregate",
        {
            "collection": "services",
            "pipeline": [{"$group": {"_id": "$tier", "n": {"$sum": "$replicas"}}}],
        },
    ),
    (
        "Which incident does ALT-003 belong to?",
        "find",
        {"collection": "alerts", "filter": {"alert_id": "ALT-003"}},
    ),
    (
        "Which tier was hit by INC-006?",
        "find",
        {"collection": "incidents", "filter": {"incident_id": "INC-006"}},
    ),
)
"""A question of each kind, with its first call.

A small model goes by examples more than by rules. They are about other fields, values and documents
than the questions of the evaluation.
"""

SOUGHT = "image cannot be pulled"
"""What is searched for in the example: its few words are found where a whole question is not."""

NOT_IMPLEMENTED = 238
"""The code with which FerretDB, and MongoDB, refuse an operator that they do not have."""

OPERATORS: dict[str, dict[str, Any]] = {
    **{
        name: {"$group": {"_id": None, "value": {name: "$value"}}}
        for name in ("$avg", "$min", "$max", "$first", "$last", "$push", "$addToSet")
    },
    **{name: {"$project": {"value": {name: ["$value", 1]}}} for name in ("$divide", "$subtract")},
    "$cond": {"$project": {"value": {"$cond": [True, 1, 2]}}},
    "$size": {"$project": {"value": {"$size": "$value"}}},
    "$lookup": {"$lookup": {"from": "a", "localField": "a", "foreignField": "a", "as": "found"}},
    "$facet": {"$facet": {"value": [{"$limit": 1}]}},
    "$sample": {"$sample": {"size": 1}},
    "$sortByCount": {"$sortByCount": "$value"},
}
"""Operators that models like to write in an aggregation, each with a stage that has it."""


def text(described: str) -> str:
    """What the agent is told before each question.

    A small model needs the fields' names and examples; and what it may not do, and does not know,
    it must be told to say: by itself it pretends.
    """
    lines = ["You answer questions about a running shop by calling functions; you know nothing "
             "about it yourself."]  # fmt: skip
    examples = []
    if described:
        always = {"connectionId": versions.CONNECTION_ID, "database": mongodb.DATABASE}
        lines += [
            f"The MongoDB database {mongodb.DATABASE} (always pass {json.dumps(always)[1:-1]}) has "
            "these collections:",
            described,
        ]
        examples += [(ask, tool, {**always, **arguments}) for ask, tool, arguments in EXAMPLES]
    examples.append(
        (
            f"Search the runbooks: what are the steps when an {SOUGHT}?",
            repeating.FILE_SEARCH,
            {"query": SOUGHT},
        )
    )
    lines.append("Examples:")
    for question, name, arguments in examples:
        lines += [question, json.dumps({"name": name, "arguments": arguments})]
    lines += [
        "What to do about a problem, and whom to call, is in the runbooks: search them with "
        "file_search.",
        "You can only read. When you are asked to add, change or delete something, say that you "
        "cannot.",
        "When the results do not hold the answer, say that the data does not say it.",
    ]
    return "\n".join(lines)


def describe(database: Any) -> str:
    """A line for each collection: its fields, and the values of those that have few.

    And one for what the database lacks, if anything.
    """
    lines = []
    for name in sorted(database.list_collection_names()):
        first = database[name].find_one() or {}
        fields = []
        for field, value in first.items():
            if field == "_id":
                continue
            values = database[name].distinct(field) if isinstance(value, str) else []
            few = 1 < len(values) <= CHOICES
            fields.append(f"{field} ({', '.join(map(str, sorted(values)))})" if few else field)
        lines.append(f"{name}: {', '.join(fields)}")
    lacks = lacking(database)
    if lacks:
        lines.append(f"aggregate has no {', '.join(lacks)} here.")
    return "\n".join(lines)


def lacking(database: Any) -> list[str]:
    """Which of ``OPERATORS`` the database does not have.

    It is asked on a collection without documents: a stage is refused before any is read.
    """
    from pymongo.errors import OperationFailure

    def lacks(stage: dict[str, Any]) -> bool:
        try:
            list(database["none"].aggregate([stage]))
        except OperationFailure as error:
            if error.code != NOT_IMPLEMENTED:
                raise
            return True
        return False

    return [name for name, stage in OPERATORS.items() if lacks(stage)]
