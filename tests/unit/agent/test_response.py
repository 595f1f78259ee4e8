"""What a response of the agent holds, in the servers' JSON."""

from __future__ import annotations

from typing import Any

import pytest
from workshop.agent.answer import NO_TOOL, Tokens, cut, read, tokens

pytestmark = pytest.mark.timeout(60)


def response(*output: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"id": "r", "object": "response", "status": "completed", "output": [*output], **fields}


def search(*scores: float | None) -> dict[str, Any]:
    hits = [
        {"file_id": "f", "filename": "a.txt", "text": "a", "score": score, "attributes": {}}
        for score in scores
    ]
    return {
        "type": "file_search_call",
        "id": "s",
        "status": "completed",
        "queries": ["weather"],
        "results": hits,
    }


def test_a_tool_that_is_not_there_is_a_failed_call() -> None:
    made = {
        "type": "function_call",
        "call_id": "c",
        "name": "get_weather",
        "arguments": '{"city": "Prague"}',
    }
    text, (call,) = read(response(made))
    assert (text, call.name, call.ok, call.result) == ("", "get_weather", False, NO_TOOL)
    assert call.arguments == {"city": "Prague"}


@pytest.mark.parametrize(
    ("reason", "why"),
    [
        ("max_iterations_exceeded", "the model was still calling tools after 4 rounds"),
        ("length", "the answer was cut at 512 tokens"),
        ("max_output_tokens", "the answer was cut at 512 tokens"),
        ("content_filter", "the answer is incomplete: content_filter"),
    ],
)
def test_an_incomplete_response_says_why(reason: str, why: str) -> None:
    usage = {"input_tokens": 9, "output_tokens": 512, "total_tokens": 521}
    made = response(status="incomplete", incomplete_details={"reason": reason}, usage=usage)
    assert cut(made, 4) == why
    assert cut(response(usage=usage), 4) == ""


def test_tokens_that_were_known_are_told_from_new_ones() -> None:
    usage = {"input_tokens": 2310, "output_tokens": 74, "total_tokens": 2384}
    assert tokens(response(usage=usage), "ogx") == Tokens(2310, None, 74)
    usage["input_tokens_details"] = {"cached_tokens": 2100}  # type: ignore[assignment]
    assert tokens(response(usage=usage), "ogx") == Tokens(2310, 2100, 74)
    # It says that of the last round alone.
    assert tokens(response(usage=usage), "llama-stack") == Tokens(2310, None, 74)
    assert tokens(response(), "ogx") is None


def test_an_incomplete_response_without_details_is_one_all_the_same() -> None:
    made = response(status="incomplete")
    assert cut(made, 4) == "the answer is incomplete: for no given reason"
    made = response(status="incomplete", incomplete_details={"reason": "length"})
    assert cut(made, 4) == "the answer was cut"


@pytest.mark.parametrize(
    ("store", "scores", "nearness"),
    [
        # 1 / squared distance; of a perfect hit, infinity, which JSON has not.
        ("faiss", [1.0, 0.5], 0.5),
        ("faiss", [5.0, None], 1.0),
        ("pgvector", [2.0], 0.5),
        ("milvus", [0.3, 0.5], 0.5),
        ("faiss", [], None),
        ("chroma", [1.0], None),
        ("", [1.0], None),
    ],
)
def test_the_nearness_of_a_search_is_a_cosine_whatever_the_store_calls_it(
    store: str, scores: list[float | None], nearness: float | None
) -> None:
    _, (call,) = read(response(search(*scores)), store)
    assert call.nearness == nearness
