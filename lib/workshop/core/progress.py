"""Progress that people can follow: in a notebook, in a terminal, and by the runner.

The library never prints. It tells this module what it is doing; a *sink* shows it. In a notebook
the sink is one output per subject, updated in place; elsewhere one line per stage on stderr.
"""

import html
import math
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from typing import Any, Protocol

from workshop.core.table import shortened

MIME = "application/vnd.workshop.progress+json"
"""How the runner recognises progress among a notebook's messages: ``{subject, lines, latest}``."""


class Sink(Protocol):
    """Shows progress somewhere."""

    def line(self, subject: str, text: str, *, replaces: bool) -> None:
        """Show one line; ``replaces`` when it brings the line before it up to date."""


class Stages:
    """The stages of one piece of work, each shown with the seconds since its start.

    Those of a ``quiet`` one are not shown: somebody else tells how the whole goes on. One that
    ``keeps`` nothing has a single waiting line, whatever is awaited.
    """

    def __init__(self, subject: str, *, quiet: bool = False, keeps: bool = True) -> None:
        self.subject = subject
        self._quiet, self._keeps = quiet, keeps
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._began

    def __call__(self, text: str) -> None:
        """Start the next stage."""
        if not self._quiet:
            line(self.subject, self.seconds, text)

    def keep(self) -> None:
        """Let the waiting line stay: the next one comes below it."""
        if self._keeps:
            with _one_at_a_time:
                _waiting.pop((id(sink()), self.subject), None)

    def waiting(self, text: str) -> None:
        """Say what is awaited and its last state; repeated calls update one line."""
        if not self._quiet:
            line(self.subject, self.seconds, text, waits=self)


# Whose waiting line is a subject's last one in a sink: only that one may be brought up to date.
_waiting: dict[tuple[int, str], Stages | None] = {}
# Pieces of work that run at the same time report from threads of their own.
_one_at_a_time = threading.Lock()


def line(subject: str, seconds: float, text: str, waits: Stages | None = None) -> None:
    """Show one line, said after so many seconds; ``waits`` is the work whose waiting line it is."""
    with _one_at_a_time:
        here = sink()
        key = (id(here), subject)
        replaces = waits is not None and _waiting.get(key) is waits
        here.line(subject, f"{seconds:6.1f} s  {text}", replaces=replaces)
        _waiting[key] = waits


@contextmanager
def stages(subject: str, *, quiet: bool = False, keeps: bool = True) -> Iterator[Stages]:
    """Show the stages of one piece of work, and whether it ended well.

    Example:
        >>> with stages("MongoDB") as stage:
        ...     stage("starting")
    """
    work = Stages(subject, quiet=quiet, keeps=keeps)
    try:
        yield work
    except BaseException as error:
        work(f"stopped: {type(error).__name__}")
        raise


@contextmanager
def checking(subject: str, what: str) -> Iterator[None]:
    """Show in a notebook or a terminal what is being checked, and for how long, until it is."""
    here, began, over = sink(), time.monotonic(), threading.Event()
    if not isinstance(here, Notebook | Terminal):
        yield
        return

    def tell() -> None:
        with _one_at_a_time:
            if not over.is_set():
                here.pending(subject, f"{time.monotonic() - began:6.1f} s  testing: {what}")

    def go_on() -> None:
        while not over.wait(1.0):
            tell()

    tell()
    ticking = threading.Thread(target=copy_context().run, args=(go_on,), daemon=True)
    ticking.start()
    try:
        yield
    finally:
        over.set()
        ticking.join()
        if isinstance(here, Terminal):
            here.erase()


def done(subject: str) -> None:
    """Take away what a notebook's cell showed of it: a table follows that says the same."""
    here = sink()
    if isinstance(here, Notebook):
        with _one_at_a_time:
            here.clear(subject)


def show(thing: object) -> None:
    """Show an object as a notebook's cell shows its result; elsewhere, nothing."""
    if shell() is not None and _own.get() is None:
        _display(thing)


class Silent:
    """Shows nothing: for work whose progress somebody else shows."""

    def line(self, subject: str, text: str, *, replaces: bool) -> None:
        """Show nothing."""


class Terminal:
    """One line per stage on stderr; on a terminal, a waiting line is redrawn in place."""

    def __init__(self) -> None:
        self._last = ""
        self._pending = False

    def erase(self) -> None:
        """Take away what was pending."""
        if self._pending:
            sys.stderr.write("\r\x1b[K")
            self._pending = False

    def pending(self, subject: str, text: str) -> None:
        """Show what is being done, until the next line; on a terminal alone."""
        if self._pending or sys.stderr.isatty():
            width = shutil.get_terminal_size().columns - 1
            sys.stderr.write(f"\r\x1b[K{shortened(f'{subject}: {text}', width)}")
            sys.stderr.flush()
            self._pending = True

    def line(self, subject: str, text: str, *, replaces: bool) -> None:
        """Show one line."""
        stream = sys.stderr
        line = f"{subject}: {text}"
        self.erase()
        if replaces and not stream.isatty():
            return
        if replaces and self._last.startswith(f"{subject}: "):
            # Up to the last line's first row, and clear from there to the end of the screen.
            rows = math.ceil(len(self._last) / shutil.get_terminal_size().columns)
            stream.write(f"\x1b[{rows}A\r\x1b[J")
        stream.write(f"{line}\n")
        stream.flush()
        self._last = line


class Notebook:
    """One output for each subject in each cell, updated in place."""

    def __init__(self) -> None:
        self._cell: object = None
        self._subjects: dict[str, tuple[Any, list[str]]] = {}

    def line(self, subject: str, text: str, *, replaces: bool) -> None:
        """Show one line."""
        lines = self._lines(subject)
        if replaces and lines:
            lines.pop()
        lines.append(text)
        news = {"subject": subject, "lines": lines, "latest": text, "replaces": replaces}
        self._draw(subject, lines, {MIME: news})

    def pending(self, subject: str, text: str) -> None:
        """Show what is being done, below the lines that stay, until the next of them."""
        self._draw(subject, [*self._lines(subject), text], {})

    def clear(self, subject: str) -> None:
        """Show nothing of it any more."""
        self._lines(subject).clear()
        handle, _lines = self._subjects.pop(subject)
        if handle is not None:
            handle.update({"text/plain": ""}, raw=True)

    def _lines(self, subject: str) -> list[str]:
        cell = shell().execution_count
        if cell != self._cell:
            self._cell, self._subjects = cell, {}
        lines: list[str] = self._subjects.setdefault(subject, (None, []))[1]
        return lines

    def _draw(self, subject: str, shown: list[str], bundle: dict[str, Any]) -> None:
        handle, lines = self._subjects[subject]
        text = html.escape("\n".join(shown))
        bundle |= {
            "text/plain": "\n".join([subject, *shown]),
            "text/html": f"<pre><b>{html.escape(subject)}</b>\n{text}</pre>",
        }
        if handle is None:
            handle = _display(bundle, raw=True, display_id=True)
            self._subjects[subject] = (handle, lines)
        else:
            handle.update(bundle, raw=True)


_sink: Sink | None = None
_own: ContextVar[Sink | None] = ContextVar("own", default=None)


def sink() -> Sink:
    """Where progress goes: what was chosen, else a notebook's cell, else stderr."""
    global _sink
    own = _own.get()
    if own is not None:
        return own
    if _sink is None:
        _sink = Notebook() if shell() is not None else Terminal()
    return _sink


def use(chosen: Sink | None) -> None:
    """Send progress to this sink from now on; None goes back to the default."""
    global _sink
    _sink = chosen


@contextmanager
def shown_by(chosen: Sink) -> Iterator[None]:
    """Send the progress of this thread to a sink of its own."""
    before = _own.set(chosen)
    try:
        yield
    finally:
        _own.reset(before)


def shell() -> Any:
    """The notebook's own IPython; None where this is no notebook."""
    # Importing IPython costs half a second, so ask only when a kernel has loaded it already. A
    # program that starts kernels may have loaded it too, and is none.
    if "ipykernel.kernelapp" not in sys.modules:
        return None
    from IPython import get_ipython

    return get_ipython()


def _display(thing: object, **options: object) -> Any:
    from IPython.display import display

    return display(thing, **options)  # type: ignore[no-untyped-call]
