"""An answer of the agent, with the tool calls that it rests on, as a table people can read."""

import html
import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from workshop.clients import llama_stack, mcp
from workshop.core.table import shortened

MIME = "application/vnd.workshop.answer+json"
"""How the runner finds an answer in an executed notebook."""

FILE_SEARCH = "file_search"  # The tool that searches the runbooks.
WAITS = "mcp_approval_request"  # The type of a call that a person must approve first.
NO_TOOL = "it is not among the agent's tools"  # The result of a call of a tool that is not there.
PRE = "<pre style='background:none;margin:0;padding:0;white-space:pre-wrap'>"
SHOWN = 600  # Characters of a tool's result in the table: the whole would hide the answer.


@dataclass(frozen=True)
class ToolCall:
    """One call of a tool, with the arguments that the model gave."""

    name: str
    arguments: Mapping[str, Any]
    ok: bool  # Whether the tool ran without error.
    result: str
    hint: str = ""  # What to do about one that failed, where that is known.
    made: int = 1  # How often: once more by the kit, where the agent's server hid the reason.
    # Of a search, how near the best hit is to what was searched for, as the cosine of the angle
    # between them: 1 is the same. None where the server does not say it.
    nearness: float | None = None


@dataclass(frozen=True)
class Tokens:
    """What a model had to read and write for an answer, over all rounds, as its server counts."""

    read: int  # All that it was given: instructions, tools, question and results, once per round.
    known: int | None  # Of these, what it had read before and kept; None where it is not said.
    written: int

    def __str__(self) -> str:
        read = f"{self.read} tokens" if self.new is None else f"{self.new} new tokens"
        return f"{read} read, {self.written} written"

    @property
    def new(self) -> int | None:
        """What it really had to read."""
        return None if self.known is None else self.read - self.known


@dataclass(frozen=True)
class Answer:
    """What the agent said, with the tool calls in their order, and the proof."""

    question: str
    text: str
    seconds: float = 0.0  # From asking to the last word.
    tool_calls: tuple[ToolCall, ...] = ()
    grounded: bool = False  # Whether it rests on the calls and on what the data says.
    proof: str = "not proven"  # Why it is grounded, or why not, in one sentence.
    cut: str = ""  # Why it ended before it was complete; empty when it is complete.
    tokens: Tokens | None = None  # None where the server does not count them.

    @property
    def time(self) -> str:
        """How long it took, and what for."""
        return f"{self.seconds:.1f} s" + (f": {self.tokens}" if self.tokens else "")

    def as_dict(self) -> dict[str, Any]:
        """What the report stores."""
        calls = self.tool_calls
        return {
            "question": self.question,
            "text": self.text,
            "seconds": round(self.seconds, 2),
            "grounded": self.grounded,
            "proof": self.proof,
            "tool_calls": [
                {"name": one.name, "arguments": dict(one.arguments), "ok": one.ok} for one in calls
            ],
        }

    def __repr__(self) -> str:
        lines = [f"Question: {self.question}"]
        for call in self.tool_calls:
            mark = "" if call.ok else "  FAILED"
            lines.append(f"Tool:     {call.name} {json.dumps(call.arguments)}{mark}")
            lines.append(f"Result:   {shortened(readable(call.result), 200)}")
        lines.append(f"Answer:   {self.text}")
        lines.append(f"Proof:    {'grounded' if self.grounded else 'NOT GROUNDED'}: {self.proof}")
        lines.append(f"Time:     {self.time}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        escape = html.escape
        rows = [("question", f"<b>{escape(self.question)}</b>")]
        for call in self.tool_calls:
            arguments = json.dumps(call.arguments, indent=1, ensure_ascii=False)
            failed = "" if call.ok else " <b>failed</b>"
            rows += [
                ("tool", f"<code>{escape(call.name)}</code>{failed}"),
                ("arguments", f"{PRE}{escape(arguments)}</pre>"),
                ("result", f"{PRE}{escape(shortened(readable(call.result), SHOWN))}</pre>"),
            ]
        mark = "&#10003; grounded" if self.grounded else "&#10007; <b>not grounded</b>"
        rows += [
            ("answer", escape(self.text).replace("\n", "<br>")),
            ("proof", f"{mark}: {escape(self.proof)}"),
            ("time", self.time),
        ]
        style = "text-align:left;vertical-align:top;white-space:pre-wrap"
        cells = "".join(
            f"<tr><th style='{style}'>{name}</th><td style='{style}'>{cell}</td></tr>"
            for name, cell in rows
        )
        return f"<table>{cells}</table>"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, object]:
        return {MIME: self.as_dict(), "text/html": self._repr_html_(), "text/plain": repr(self)}


@dataclass(frozen=True)
class NotAsked:
    """A question that was left out, and why."""

    question: str
    reason: str

    def __repr__(self) -> str:
        return f"Not asked: {self.question} ({self.reason})"


def read(response: Mapping[str, Any], store: str = "") -> tuple[str, tuple[ToolCall, ...]]:
    """The text of a response, and its tool calls; the kind of store says what a score means."""
    texts, calls = [], []
    for item in response["output"]:
        kind, name = item["type"], item.get("name", "")
        given = arguments(item["arguments"]) if "arguments" in item else {}
        if kind == "mcp_call":
            failure = item.get("error")
            result = str(item.get("output") or "") or str(failure)
            calls.append(ToolCall(name, given, not failure, result))
        elif kind == "function_call":
            # The agent has no functions of its own: the model made this tool up.
            calls.append(ToolCall(name, given, False, NO_TOOL))
        elif kind == WAITS:
            found = "it was not made: a person must approve it"
            hint = "propose_change asks for it"
            calls.append(ToolCall(name, given, False, found, hint))
        elif kind == "file_search_call":
            hits, queries = item.get("results") or [], {"queries": item["queries"]}
            found = json.dumps([hit["text"] for hit in hits])
            near = llama_stack.nearness(hits, store)
            ok = item["status"] == "completed"
            calls.append(ToolCall(FILE_SEARCH, queries, ok, found, nearness=near))
        elif kind == "message":
            texts += [part["text"] for part in item["content"] if part.get("text")]
    return " ".join(texts).strip(), tuple(calls)


def tokens(response: Mapping[str, Any], server: str) -> Tokens | None:
    """What the model read and wrote for a response of Llama Stack or OGX.

    vLLM does not say what it knew, and Llama Stack 0.7.3 only that of the last round
    (``_accumulate_chunk_usage`` in its ``streaming.py``), where it adds up all that was read.
    """
    usage = response.get("usage")
    if not usage:
        return None
    details = usage.get("input_tokens_details") or {}
    known = details.get("cached_tokens") or None
    return Tokens(usage["input_tokens"], known if server == "ogx" else None, usage["output_tokens"])


def cut(response: Mapping[str, Any], rounds: int) -> str:
    """Why a response, of so many rounds of tool calls, is not complete; "" when it is."""
    if response.get("status") != "incomplete":
        return ""
    details, usage = response.get("incomplete_details") or {}, response.get("usage") or {}
    reason = details.get("reason") or "for no given reason"
    if reason == "max_iterations_exceeded":
        return f"the model was still calling tools after {rounds} rounds"
    if reason in ("length", "max_output_tokens"):
        tokens = response.get("max_output_tokens") or usage.get("output_tokens")
        return f"the answer was cut at {tokens} tokens" if tokens else "the answer was cut"
    return f"the answer is incomplete: {reason}"


def arguments(text: str) -> dict[str, Any]:
    """A call's arguments, as the model wrote them; what is no JSON object stands in one."""
    found: Any = text
    with suppress(ValueError):
        found = json.loads(text)
    return found if isinstance(found, dict) else {"arguments": found}


def readable(result: str) -> str:
    """A tool's result without the two warnings that MCP server 3.x puts around data."""
    return "\n".join(filter(None, mcp.unwrap(result)))
