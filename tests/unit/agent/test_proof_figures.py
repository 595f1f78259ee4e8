"""How well the proof tells answers: no false one of data/proof.yaml passes, few true ones fail."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from typing import Any

import pytest
import yaml
from bson import json_util
from workshop.agent.answer import FILE_SEARCH, Answer, ToolCall
from workshop.agent.proof import prove
from workshop.agent.proof.evidence import read_again
from workshop.core.errors import AnswerNotGrounded
from workshop.core.settings import DATA
from workshop.parts import mongodb
from workshop.targets.base import Endpoint

pytestmark = pytest.mark.timeout(120)

CASES: list[dict[str, Any]] = yaml.safe_load((DATA / "proof.yaml").read_text("utf-8"))["cases"]
RUNBOOKS = DATA / "runbooks"


def made(spec: Mapping[str, Any], database: Any) -> ToolCall:
    """The call of a case; its result is the recorded one, or else what the data gives."""
    if "result" in spec:
        arguments = spec["arguments"]
        return ToolCall(
            spec["tool"], arguments, True, spec["result"], nearness=spec.get("nearness")
        )
    tool, *_ = spec
    if tool == FILE_SEARCH:
        text = (RUNBOOKS / spec[tool]).read_text(encoding="utf-8")
        queries = {"queries": ["what to do"]}
        return ToolCall(tool, queries, True, json.dumps([text]), nearness=spec.get("nearness", 0.9))
    subject = "database" if tool == "list-collections" else "collection"
    arguments = {subject: spec[tool], **{name: spec[name] for name in spec if name != tool}}
    found, _ = read_again(ToolCall(tool, arguments, True, ""), database)
    if tool == "list-collections":
        found = {"collections": [{"name": name} for name in found]}
    tag = "untrusted-user-data-1"
    data = f"<{tag}>\n{json_util.dumps(found)}\n</{tag}>"
    return ToolCall(tool, arguments, True, f"Found {found} documents" if tool == "count" else data)


def why_not(case: Mapping[str, Any], text: str, database: Any) -> str:
    calls = tuple(made(spec, database) for spec in case["calls"])
    try:
        prove(Answer(case["ask"], text, 0.0, calls), database=database, runbooks=RUNBOOKS)
    except AnswerNotGrounded as refused:
        return refused.what
    return ""


def test_no_false_answer_passes_and_few_true_ones_are_refused(database: Endpoint) -> None:
    with mongodb.connected(database) as reading:
        true = {(c["id"], a): why_not(c, a, reading) for c in CASES for a in c.get("answers", ())}
        false = {(c["id"], a): why_not(c, a, reading) for c in CASES for a in c.get("not", ())}
    refused = {key: why for key, why in true.items() if why}
    assert [key for key, why in false.items() if not why] == []
    assert len(refused) <= 0.05 * len(true), refused
    assert len(true) + len(false) >= 120
    assert abs(len(true) - len(false)) <= 0.1 * len(true)
    # What the README says of them.
    said = (DATA.parent / "README.md").read_text("utf-8")
    assert f"{len(true)} true and {len(false)} false answers" in said
    assert f"accepted {len(true) - len(refused)} of the true ones" in said


def test_there_are_answers_of_every_kind() -> None:
    assert len({case["id"] for case in CASES}) == len(CASES)
    kinds = Counter(case["kind"] for case in CASES)
    assert len(kinds) >= 10
    assert {case.get("from", "") for case in CASES} <= {"", "llama-stack", "ogx"}
