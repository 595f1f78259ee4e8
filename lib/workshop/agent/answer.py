"""An answer of the agent, with the tool calls that it rests on, as a table people can read."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from workshop.clients import mcp

MIME = "application/vnd.workshop.answer+json"
"""How the runner finds an answer in an executed notebook."""

SHOWN = 600
"""Characters of a tool's result in the table: the whole would hide the answer."""


@dataclass(frozen=True)
class ToolCall:
    """One call.

    Args:
        name: Of the tool.
        arguments: As the model gave them.
        ok: Whether the tool ran without error.
        result: The text that it gave.
        nearness: Of a search, how near the best hit is to what was searched for, as the cosine of
            the angle between them: 1 is the same. None where the server does not say it.
        hint: What to do about one that failed, where that is known.
        made: How often it was made: once more by the kit, where the agent's server hid the reason.
    """

    name: str
    arguments: Mapping[str, Any]
    ok: bool
    result: str
    hint: str = ""
    made: int = 1
    nearness: float | None = None


@dataclass(frozen=True)
class Answer:
    """What the agent said, and the proof.

    Args:
        question: As it was asked.
        text: The answer in words.
        seconds: From asking to the last word.
        tool_calls: In the order in which they were made.
        grounded: Whether the answer rests on them and on what the data says.
        proof: Why it is grounded, or why not, in one sentence.
        cut: Why it ended before it was complete; empty when it is complete.
    """

    question: str
    text: str
    seconds: float
    tool_calls: tuple[ToolCall, ...]
    grounded: bool
    proof: str
    cut: str = ""

    def as_dict(self) -> dict[str, Any]:
        """What the report stores."""
        return {
            "question": self.question,
            "text": self.text,
            "seconds": round(self.seconds, 2),
            "grounded": self.grounded,
            "proof": self.proof,
            "tool_calls": [
                {"name": call.name, "arguments": dict(call.arguments), "ok": call.ok}
                for call in self.tool_calls
            ],
        }

    def __repr__(self) -> str:
        lines = [f"Question: {self.question}"]
        for call in self.tool_calls:
            mark = "" if call.ok else "  FAILED"
            lines.append(f"Tool:     {call.name} {json.dumps(call.arguments)}{mark}")
            lines.append(f"Result:   {_short(readable(call.result), 200)}")
        lines.append(f"Answer:   {self.text}")
        lines.append(f"Proof:    {'grounded' if self.grounded else 'NOT GROUNDED'}: {self.proof}")
        lines.append(f"Time:     {self.seconds:.1f} s")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        rows = [("question", f"<b>{html.escape(self.question)}</b>")]
        for call in self.tool_calls:
            arguments = json.dumps(call.arguments, indent=1, ensure_ascii=False)
            failed = "" if call.ok else " <b>failed</b>"
            rows.append(("tool", f"<code>{html.escape(call.name)}</code>{failed}"))
            rows.append(("arguments", f"<pre>{html.escape(arguments)}</pre>"))
            rows.append(
                ("result", f"<pre>{html.escape(_short(readable(call.result), SHOWN))}</pre>")
            )
        rows.append(("answer", html.escape(self.text).replace("\n", "<br>")))
        mark = "&#10003; grounded" if self.grounded else "&#10007; <b>not grounded</b>"
        rows.append(("proof", f"{mark}: {html.escape(self.proof)}"))
        rows.append(("time", f"{self.seconds:.1f} s"))
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


def readable(result: str) -> str:
    """A tool's result without the two warnings that MCP server 3.x puts around data."""
    return "\n".join(filter(None, mcp.unwrap(result)))


def _short(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
