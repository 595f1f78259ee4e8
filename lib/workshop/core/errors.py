"""Errors that say what happened, where, the last state that was seen, and how to go on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any, Self

LOG_LINES = 12
"""How many of the last log lines an error shows: enough for a traceback's end, still one screen."""

LOG_WIDTH = 300
"""Characters of a log line that an error shows: a part may log a whole request in one line."""


class WorkshopError(Exception):
    """The base of every error that the kit raises on purpose.

    Args:
        what: One sentence: what did not work.
        where: The part and place: a URL, a log file, a cell of a notebook.
        state: The last state that was seen before giving up.
        log: The last lines of the part's log, oldest first.
        hint: The command or notebook that fixes it.

    Example:
        >>> print(WorkshopError("MongoDB did not start.", hint="workshop logs mongodb"))
        MongoDB did not start.
          Hint: workshop logs mongodb
    """

    def __init__(
        self,
        what: str,
        *,
        where: str = "",
        state: str = "",
        log: Sequence[str] = (),
        hint: str = "",
    ) -> None:
        self.what = what
        self.where = where
        self.state = state
        self.log = tuple(log)[-LOG_LINES:]
        self.hint = hint
        super().__init__(self._text())

    def _text(self) -> str:
        lines = [self.what]
        if self.where:
            lines.append(f"  Where: {self.where}")
        if self.state:
            lines.append("  Last state: " + self.state.replace("\n", "\n    "))
        if self.log:
            lines.append("  Last log lines:")
            lines.extend(f"    {_short(line)}" for line in self.log)
        if self.hint:
            lines.append(f"  Hint: {self.hint}")
        return "\n".join(lines)

    def but(self, **other: Any) -> Self:
        """The same error with other words for some of its fields."""
        words = {name: getattr(self, name) for name in ("what", "where", "state", "log", "hint")}
        told = type(self)(**(words | other))
        vars(told).update(vars(self) | vars(told))
        return told

    def __reduce__(self) -> tuple[object, ...]:
        """Keep the fields when the error crosses a process, as papermill's does."""
        fields: dict[str, Any] = {"where": self.where, "state": self.state}
        fields |= {"log": self.log, "hint": self.hint}
        return (partial(type(self), self.what, **fields), (), self.__dict__)

    def _render_traceback_(self) -> list[str]:
        """Show a notebook the message alone: IPython asks this method before its own traceback."""
        return [f"{type(self).__name__}: {self._text()}"]


def _short(line: str) -> str:
    return line if len(line) <= LOG_WIDTH else line[: LOG_WIDTH - 1] + "…"


class SettingsError(WorkshopError):
    """A setting, parameter or argument cannot be used. Lists all problems at once."""


class SetupError(WorkshopError):
    """Something that the kit needs could not be installed, or is not installed yet."""


class StepMissing(WorkshopError):
    """A notebook was run before the one that it builds on."""


class PartFailed(WorkshopError):
    """A part ended or reported a failure: waiting longer would not help."""


class PartTooSlow(WorkshopError):
    """A part gave no sign of failure, and was not ready within its time."""


class EndpointError(WorkshopError):
    """A request to a part did not come back with an answer that can be used.

    Attributes:
        kind: One of ``refused``, ``dns``, ``timeout``, ``tls``, ``unauthorized``, ``not found``,
            ``busy``, ``server error``, ``proxy``, ``protocol``.
    """

    kind: str = "protocol"

    def of_kind(self, kind: str) -> EndpointError:
        """Set the kind and return the same error, so that it can be raised in one expression."""
        self.kind = kind
        return self


class CheckFailed(WorkshopError):
    """At least one check of a checkpoint failed."""


class AnswerNotGrounded(WorkshopError):
    """The agent's answer does not rest on a tool call, or differs from what the data says."""


class AlreadyRunning(WorkshopError):
    """Another run holds the lock."""
