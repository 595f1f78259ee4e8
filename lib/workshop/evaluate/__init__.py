"""The evaluation of an agent: many questions, each scored for its tool calls and its answer."""

KINDS = ("single", "filtered", "aggregated", "several", "runbook", "unanswerable", "write")
CALLING = KINDS[:5]
"""The kinds that are answered by tool calls; the other two are scored by what comes of them."""

HALVES = ("tuning", "held-out")
"""Instructions may be improved by looking at the first half. The second is only measured."""
