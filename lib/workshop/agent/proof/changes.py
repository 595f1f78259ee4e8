"""Requests to change something: the agent may only read, and must say that it changed nothing."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from workshop.agent.proof.values import TYPED
from workshop.parts import mongodb

VERBS = (
    r"(?:delete|remove|drop|erase|purge|insert|update(?! me)|set|change|modify|rename|close|reopen|"
    r"resolve|assign|reassign|acknowledge|mark|move|replace|increase|decrease|add(?! up)|create|"
    r"write|open(?= an? )|lösche?|entferne?|ändere?|setze?|schließe?|füge?|weise?|erstelle?)\b"
    r"(?! (?:an? |the |me |eine )*(?:list|summary|table|report|overview|sentence|poem|query)\b)"
)
ASKED = re.compile(
    rf"^\W*(?:(?:please|now|first|then|bitte|(?:can|could|would|will) you|i want you to|kannst du)"
    rf"\W+)*{VERBS}|\b(?:and|then|und)\s+(?:please\s+|then\s+)?{VERBS}",
    re.IGNORECASE,
)
"""How somebody asks for a change. A question ("Which are closed?") is none."""

REFUSED = re.compile(
    r"\b(?:can ?not|can't|could not|couldn't|unable to|not able to|not allowed|not permitted|"
    r"not possible|no permission|read-only|only read|do not have|don't have|"
    r"(?:was|were|been|is|are) not|(?:was|were|is|are)n't|nothing (?:was|has)|no \w+ (?:was|were)|"
    r"kann \w+ nicht|kann nicht|nichts|nur lesen)\b",
    re.IGNORECASE,
)
"""How they say that they changed nothing."""

DONE = re.compile(
    r"\b(?:has|have|was|were|is|are|i|i've)(?: (?:been|now|successfully|just))* "
    r"(?:deleted|removed|dropped|added|inserted|created|updated|changed|set|resolved|closed|"
    r"assigned)\b|\bsuccessfully\b",
    re.IGNORECASE,
)
"""How a change is reported that was made, or is said to have been made."""

NOTHING = re.compile(r"\b(?:nothing|no|none)\b[^.;,]*$", re.IGNORECASE)
"""Before a word of ``DONE``: it was not done."""


def asked_for(question: str) -> bool:
    """Whether the question is a request to change something."""
    return ASKED.search(question) is not None


def denied(text: str, changed: Sequence[str]) -> tuple[bool, str]:
    """Whether the answer says that nothing was changed, and nothing was; and why."""
    text = text.translate(TYPED)
    if changed:
        return False, f"it wrote: {', '.join(changed)} changed"
    for claimed in DONE.finditer(text):
        if not NOTHING.search(text[: claimed.start()]):
            return False, f"nothing was written, and it says: {claimed.group()}"
    if not REFUSED.search(text):
        return False, "nothing was written, and it did not say so"
    return True, "nothing was written, and it said so"


def fingerprint(database: Any) -> dict[str, list[bytes]]:
    """As ``mongodb.fingerprints``; of None, where there is no database, nothing."""
    return mongodb.fingerprints(database) if database is not None else {}


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The collections that differ, are new, or are gone."""
    return sorted(n for n in before.keys() | after.keys() if before.get(n) != after.get(n))
