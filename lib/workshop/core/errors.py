"""Errors that say what happened, where, the last state that was seen, and how to go on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Self

from workshop.core.table import shortened

LOG_LINES = 12
"""How many of the last log lines an error shows: enough for a traceback's end, still one screen."""

LOG_WIDTH = 300
"""Characters of a log line that an error shows: a part may log a whole request in one line."""


INTERRUPTED = 130  # The exit code of a program that Ctrl-C ended, as shells expect it.


class WorkshopError(Exception):
    """The base of every error that the kit raises on purpose.

    Args:
        what: One sentence: what did not work.
        where: A URL, a log file, a cell of a notebook.
        state: The last one that was seen before giving up.
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
        self.what, self.where, self.state, self.hint = what, where, state, hint
        self.log = tuple(log)[-LOG_LINES:]
        super().__init__(self._text())

    def _text(self) -> str:
        log = "".join(f"\n    {shortened(line, LOG_WIDTH)}" for line in self.log)
        told = [
            ("  Where: ", self.where),
            ("  Last state: ", self.state.replace("\n", "\n    ")),
            ("  Last log lines:", log),
            ("  Hint: ", self.hint),
        ]
        return "\n".join([self.what, *(name + text for name, text in told if text)])

    def but(self, **other: Any) -> Self:
        """The same error with other words for some of its fields."""
        words = {name: getattr(self, name) for name in ("what", "where", "state", "log", "hint")}
        told = type(self)(**(words | other))
        vars(told).update(vars(self) | vars(told))
        return told

    def _render_traceback_(self) -> list[str]:
        """Show a notebook the message alone: IPython asks this method before its own traceback."""
        return [f"{type(self).__name__}: {self._text()}"]


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


class Stopped(WorkshopError):
    """Somebody ended it before it was done."""


class AlreadyRunning(WorkshopError):
    """Another run holds the lock."""
