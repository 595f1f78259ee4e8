"""What a place knows to be wrong with a part, without asking the part."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Ailment:
    """One thing that is wrong.

    Args:
        part: Whose it is: a part's name, or a word for what parts rest on, such as ``network``.
        what: One sentence.
        state: What was seen, in the place's own words.
        hint: What mends it.
        log: The last lines of its log, where they say more.
        because: The parts that it may be due to; ``None``: any that this part needs; empty: it is
            nobody else's fault.
    """

    part: str
    what: str
    state: str = ""
    hint: str = ""
    log: tuple[str, ...] = ()
    because: tuple[str, ...] | None = ()
