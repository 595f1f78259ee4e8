"""The local model's chat template: how an answer begins, which a small model goes by."""

from __future__ import annotations

from typing import Any

import jinja2
import pytest
from workshop.local.programs import llamacpp

TOOL = {"type": "function", "function": {"name": "find", "parameters": {"properties": {}}}}


def begun(*calls: tuple[str, dict[str, Any]]) -> str:
    """What the model finds written already of its answer, after these calls."""
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Which one?"}]
    for name, arguments in calls:
        call = {"function": {"name": name, "arguments": arguments}}
        messages.append({"role": "assistant", "content": "", "tool_calls": [call]})
        messages.append({"role": "tool", "content": "a result"})
    # As transformers and llama.cpp set it.
    engine = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)  # noqa: S701 - no HTML
    template = engine.from_string(llamacpp.TEMPLATE.read_text(encoding="utf-8"))
    text = template.render(messages=messages, tools=[TOOL], add_generation_prompt=True)
    return text.rpartition("<|im_start|>assistant\n")[2]


BY_ID = {"collection": "incidents", "filter": {"incident_id": "INC-007"}}
FIRST = {"collection": "incidents", "limit": 1}


@pytest.mark.parametrize(
    ("calls", "beginning"),
    [
        ((), "The call:\n"),
        ((("find", FIRST),), "Its fields and values:"),
        ((("find", {**FIRST, "filter": {}}),), "Its fields and values:"),
        ((("find", BY_ID),), ""),
        ((("count", {"collection": "incidents"}),), ""),
        ((("find", FIRST), ("find", BY_ID)), "From the result above:"),
        ((("file_search", {"query": "a node"}),), "From the runbook:"),
    ],
)
def test_an_answer_begins_as_its_last_call_needs(
    calls: tuple[tuple[str, dict[str, Any]], ...], beginning: str
) -> None:
    assert begun(*calls) == beginning
