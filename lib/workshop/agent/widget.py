"""Two boxes in a notebook: one asks the agent a question, one decides about a change.

Both say what happens meanwhile, can be used while they do, and stay as text where there are no
widgets.
"""

import html
import threading
from collections.abc import Callable
from typing import Any

import ipywidgets

from workshop.agent.agent import Agent
from workshop.agent.approval import Proposal
from workshop.core import progress
from workshop.core.errors import AnswerNotGrounded, WorkshopError

AGAIN = "A question box: run this cell again to use it."
"""In a page, in an editor without widgets, and where the kernel was started again."""

TO_DECIDE = "A box with two buttons, Approve and Refuse: run this cell again to use it."


def question_widget(agent: Agent, question: str = "") -> Any:
    """Show a text field and a button, to ask the agent a question of your own."""
    return QuestionBox(agent, question)


def approval_widget(proposal: Proposal, name: str = "") -> Any:
    """Show a change that the agent proposes, with a button to approve it and one to refuse it."""
    return ApprovalBox(proposal, name)


class _Box(ipywidgets.VBox):  # type: ignore[misc]
    """Works in a thread of its own: the kernel is free for other cells and buttons.

    Attributes:
        told: What is done now.
    """

    again = AGAIN

    def __init__(self) -> None:
        self._lines: list[str] = []
        self.told = ipywidgets.HTML()
        super().__init__()

    def line(self, subject: str, text: str, *, replaces: bool) -> None:
        """Show one line of progress: see ``progress.Sink``."""
        if replaces and self._lines:
            self._lines.pop()
        self._lines.append(f"{subject}: {text}")
        self.told.value = _text("\n".join(self._lines))

    def _done(self, title: str, work: Callable[[], str]) -> str:
        """What ``work`` gives, or a page that says why it failed: a traceback would frighten."""
        try:
            with progress.shown_by(self):
                return work()
        except WorkshopError as error:
            return _text(f"{title}\n{error}")
        except Exception as error:
            return _text(f"{title}\n{type(error).__name__}: {error}")

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = super()._repr_mimebundle_(**options)
        return found and found | {"text/plain": self.again}


class QuestionBox(_Box):
    """A field for a question, and the history of those that were asked.

    Attributes:
        field: The question; Enter asks it.
        ask, stop: The buttons.
        history: A page for each question, the newest first.
    """

    def __init__(self, agent: Agent, question: str = "") -> None:
        super().__init__()
        self._agent, self._stopped = agent, threading.Event()
        self.field = ipywidgets.Text(
            question,
            description="Question:",
            placeholder="How many alerts are firing?",
            layout=ipywidgets.Layout(width="36em"),
        )
        self.ask = ipywidgets.Button(description="Ask", button_style="primary")
        self.stop = ipywidgets.Button(description="Stop", disabled=True)
        self.history = ipywidgets.VBox()
        self.ask.on_click(lambda _button: self.start())
        self.stop.on_click(lambda _button: self._stopped.set())
        self.field.on_msg(lambda _field, told, _data: self._enter(told))
        row = ipywidgets.HBox([self.field, self.ask, self.stop])
        self.children = (row, self.told, self.history)

    def start(self) -> threading.Thread | None:
        """Ask what stands in the field; None while another question is asked, or for nothing."""
        question = self.field.value.strip()
        if not question or self.ask.disabled:
            return None
        self._set_busy(busy=True)
        thread = threading.Thread(target=self._answer, args=(question,), daemon=True)
        thread.start()
        return thread

    def _enter(self, told: dict[str, object]) -> None:
        # The browser's word for Enter in a text field.
        if told.get("event") == "submit":
            self.start()

    def _answer(self, question: str) -> None:
        try:
            page = ipywidgets.HTML(self._done(question, lambda: self._asked(question)))
            self.history.children = (page, *self.history.children)
        finally:
            self._set_busy(busy=False)

    def _asked(self, question: str) -> str:
        try:
            return _page(self._agent.ask(question, stop=self._stopped))
        except AnswerNotGrounded as error:
            return _page(self._agent.answers[-1]) + _text(str(error))

    def _set_busy(self, *, busy: bool) -> None:
        self._stopped.clear()
        self._lines.clear()
        self.stop.disabled = not busy
        self.ask.description = "Asking..." if busy else "Ask"
        self.told.value = ""
        # Last: from now on the next question may begin, in another thread.
        self.ask.disabled = busy


class ApprovalBox(_Box):
    """A change, and two buttons to decide about it.

    Attributes:
        page: The change as it was proposed, and what was decided.
        person: Who decides; the audit has the name.
        approve, refuse: The buttons.
    """

    again = TO_DECIDE

    def __init__(self, proposal: Proposal, name: str = "") -> None:
        super().__init__()
        self._proposal = proposal
        self.page = ipywidgets.HTML(_page(proposal))
        self.person = ipywidgets.Text(
            name, description="Your name:", placeholder="it will stand in the audit"
        )
        self.approve = ipywidgets.Button(description="Approve", button_style="success")
        self.refuse = ipywidgets.Button(description="Refuse", button_style="danger")
        self.approve.on_click(lambda _button: self.start(proposal.approve))
        self.refuse.on_click(lambda _button: self.start(proposal.refuse))
        self._set_busy(busy=False)
        row = ipywidgets.HBox([self.person, self.approve, self.refuse])
        self.children = (self.page, row, self.told)

    def start(self, decide: Callable[[str], object]) -> threading.Thread:
        """Decide in the name that stands in the field."""
        self._set_busy(busy=True)
        thread = threading.Thread(target=self._decide, args=(decide,), daemon=True)
        thread.start()
        return thread

    def _decide(self, decide: Callable[[str], object]) -> None:
        try:
            page = self._done("", lambda: _page(decide(self.person.value)))
            self.page.value = _page(self._proposal) + page
        finally:
            self._set_busy(busy=False)

    def _set_busy(self, *, busy: bool) -> None:
        self._lines.clear()
        self.told.value = ""
        for button in (self.approve, self.refuse):
            button.disabled = busy or self._proposal.decision is not None


def _page(answer: Any) -> str:
    shown = getattr(answer, "_repr_html_", None)
    return str(shown()) if shown else _text(repr(answer))


def _text(text: str) -> str:
    return f"<pre>{html.escape(text.strip())}</pre>"
