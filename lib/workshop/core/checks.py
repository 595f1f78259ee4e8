"""A check is one fact that was tested: what was expected, what was seen, how long it took."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass

from workshop.core import progress
from workshop.core.errors import CheckFailed, WorkshopError
from workshop.core.table import as_html, shortened

MARKS = {True: "[ OK ]", False: "[FAIL]"}
MIME = "application/vnd.workshop.checks+json"
"""How the runner finds a checkpoint's result in an executed notebook; JupyterLab shows the HTML."""

WIDTH = 400  # Characters of what was seen that a check keeps.
MOST = 5  # Failed checks of which an error says more than the name; the table has all.


@dataclass(frozen=True)
class Check:
    """One fact that was tested. ``seconds`` is the time that testing it took."""

    name: str
    ok: bool
    expected: str
    seen: str
    seconds: float


Seen = tuple[bool, str]  # Whether what was tested holds, and what was seen.


def tested(name: str, expected: str, see: Callable[..., Seen], *of: object) -> Check:
    """The check of what ``see(*of)`` gives; a ``WorkshopError`` is a failed one, in its words."""
    began = time.monotonic()
    try:
        ok, seen = see(*of)
    except WorkshopError as error:
        ok, seen = False, ": ".join(filter(None, [error.what.rstrip("."), error.state]))
        seen += f". {error.hint}" if error.hint else ""
    return Check(name, ok, expected, seen, round(time.monotonic() - began, 3))


def as_lines(checks: Sequence[Check]) -> list[str]:
    """A line for each check, with what was seen, and what was expected where that is different."""
    width = max((len(check.name) for check in checks), default=0)
    return [
        f"{MARKS[check.ok]} {check.name:<{width}}  {check.seen}"
        + ("" if check.ok else f"  (expected {check.expected})")
        for check in checks
    ]


class Checks:
    """The checks of one checkpoint, in the order in which they ran; ``subject`` is what they prove.

    Example:
        >>> checks = Checks("arithmetic")
        >>> checks.equal("a sum", 4, lambda: 2 + 2)
        4
        >>> bool(checks)
        True
    """

    def __init__(self, subject: str) -> None:
        self.subject = subject
        self.skipped = ""
        self._checks: list[Check] = []
        self._hint = ""

    @classmethod
    def skip(cls, subject: str, reason: str) -> Checks:
        """A checkpoint with nothing to prove here, and why. The report shows the reason."""
        checks = cls(subject)
        checks.skipped = reason
        return checks

    def equal[T](self, name: str, expected: T, see: Callable[[], T], *, hint: str = "") -> T | None:
        """Check that ``see()`` returns ``expected``; gives back what was seen."""
        return self.that(name, str(expected), see, lambda seen: seen == expected, hint=hint)

    def that[T](
        self,
        name: str,
        expected: str,
        see: Callable[[], T],
        holds: Callable[[T], bool] = bool,
        *,
        show: Callable[[T], str] = str,
        hint: str = "",
    ) -> T | None:
        """Check that ``holds(see())``; gives back what was seen, or None when seeing it failed.

        A ``WorkshopError`` from ``see`` is a failed check, so that the other checks still run; any
        other exception is a fault of the kit and passes through.
        """
        began = time.monotonic()
        seen: T | None = None
        try:
            with progress.checking(self.subject, name):
                seen = see()
            ok, shown = bool(holds(seen)), show(seen)
        except WorkshopError as error:
            ok, shown, hint = False, str(error), error.hint or hint
        shown = shortened(" ".join(shown.split()), WIDTH)
        self.add(Check(name, ok, expected, shown, round(time.monotonic() - began, 3)), hint)
        return seen

    def add(self, check: Check, hint: str = "") -> None:
        """Add a check that was made elsewhere; ``hint`` says what to do where it failed."""
        self._checks.append(check)
        if not check.ok:
            self._hint = self._hint or hint
        progress.line(self.subject, check.seconds, f"{MARKS[check.ok]} {check.name}: {check.seen}")

    def raise_if_failed(self) -> Checks:
        """Return self when every check passed; in a notebook, show the table of a failure first.

        Raises:
            CheckFailed: With every failed check's expectation and what was seen.
        """
        failed = [check for check in self._checks if not check.ok]
        if not self._checks and not self.skipped:
            raise CheckFailed(f"{self.subject}: nothing was checked.")
        progress.done(self.subject)
        if failed:
            progress.show(self)
            seen = [f"{c.name}: expected {c.expected}, saw {c.seen}" for c in failed[:MOST]]
            if more := [check.name for check in failed[MOST:]]:
                seen.append(f"also {', '.join(more)}")
            raise CheckFailed(
                f"{self.subject}: {len(failed)} of {len(self._checks)} checks failed.",
                state="; ".join(seen),
                hint=self._hint or "fix what the table above shows, then run this notebook again",
            )
        return self

    def __iter__(self) -> Iterator[Check]:
        return iter(self._checks)

    def __len__(self) -> int:
        return len(self._checks)

    def __bool__(self) -> bool:
        return bool(self._checks or self.skipped) and all(check.ok for check in self._checks)

    def as_dict(self) -> dict[str, object]:
        """What the report stores."""
        return {
            "subject": self.subject,
            "skipped": self.skipped,
            "checks": [asdict(check) for check in self._checks],
        }

    def __repr__(self) -> str:
        if self.skipped:
            return f"{self.subject}: skipped: {self.skipped}"
        return "\n".join([self.subject, *as_lines(self._checks)])

    def _repr_html_(self) -> str:
        title = html.escape(self.subject)
        if self.skipped:
            return f"<p><b>{title}</b>: skipped: {html.escape(self.skipped)}</p>"
        rows = [("result", "check", "expected", "seen", "time")]
        rows += [
            ("\u2713" if c.ok else "\u2717", c.name, c.expected, c.seen, f"{c.seconds:.1f} s")
            for c in self._checks
        ]
        return f"<b>{title}</b>{as_html(rows)}"

    def _repr_mimebundle_(self, **_options: object) -> dict[str, object]:
        return {MIME: self.as_dict(), "text/html": self._repr_html_(), "text/plain": repr(self)}
