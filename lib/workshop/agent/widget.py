"""A question box in a notebook: what the agent does while it answers, a way to stop, a history."""

from __future__ import annotations

import html
import threading
from typing import Any

import ipywidgets

from workshop.agent.agent import Agent
from workshop.core import progress
from workshop.core.errors import AnswerNotGrounded, WorkshopError

AGAIN = "A question box: run this cell again to use it."
"""In a page, in an editor without widgets, and where the kernel was started again."""


def question_widget(agent: Agent, question: str = "") -> Any:
    """Show a text field and a button, to ask the agent a question of your own."""
    return QuestionBox(agent, question)


class QuestionBox(ipywidgets.VBox):  # type: ignore[misc]
    """Asks in a thread of its own: the kernel is free for the button that stops it.

    Attributes:
        field: The question; Enter asks it.
        ask, stop: The buttons.
        told: What the agent does now.
        history: A page for each question, the newest first.
    """

    def __init__(self, agent: Agent, question: str = "") -> None:
        self._agent, self._stopped = agent, threading.Event()
        self._lines: list[str] = []
        self.field = ipywidgets.Text(
            question,
            description="Question:",
            placeholder="How many alerts are firing?",
            layout=ipywidgets.Layout(width="36em"),
        )
        self.ask = ipywidgets.Button(description="Ask", button_style="primary")
        self.stop = ipywidgets.Button(description="Stop", disabled=True)
        self.told, self.history = ipywidgets.HTML(), ipywidgets.VBox()
        self.ask.on_click(lambda _button: self.start())
        self.stop.on_click(lambda _button: self._stopped.set())
        self.field.on_msg(lambda _field, told, _data: self._enter(told))
        row = ipywidgets.HBox([self.field, self.ask, self.stop])
        super().__init__([row, self.told, self.history])

    def start(self) -> threading.Thread | None:
        """Ask what stands in the field; None while another question is asked, or for nothing."""
        question = self.field.value.strip()
        if not question or self.ask.disabled:
            return None
        self._set_busy(busy=True)
        thread = threading.Thread(target=self._answer, args=(question,), daemon=True)
        thread.start()
        return thread

    def line(self, subject: str, text: str, *, replaces: bool) -> None:
        """Show one line of progress: see ``progress.Sink``."""
        if replaces and self._lines:
            self._lines.pop()
        self._lines.append(f"{subject}: {text}")
        self.told.value = _text("\n".join(self._lines))

    def _enter(self, told: dict[str, object]) -> None:
        # The browser's word for Enter in a text field.
        if told.get("event") == "submit":
            self.start()

    def _answer(self, question: str) -> None:
        try:
            page = ipywidgets.HTML(self._asked(question))
            self.history.children = (page, *self.history.children)
        finally:
            self._set_busy(busy=False)

    def _asked(self, question: str) -> str:
        """The page of an answer, or of why there is none: a traceback would frighten."""
        try:
            with progress.shown_by(self):
                return _page(self._agent.ask(question, stop=self._stopped))
        except AnswerNotGrounded as error:
            return _page(self._agent.answers[-1]) + _text(str(error))
        except WorkshopError as error:
            return _text(f"{question}\n{error}")
        except Exception as error:
            return _text(f"{question}\n{type(error).__name__}: {error}")

    def _set_busy(self, *, busy: bool) -> None:
        self._stopped.clear()
        self._lines.clear()
        self.stop.disabled = not busy
        self.ask.description = "Asking..." if busy else "Ask"
        self.told.value = ""
        # Last: from now on the next question may begin, in another thread.
        self.ask.disabled = busy

    def _repr_mimebundle_(self, **options: Any) -> Any:
        found = super()._repr_mimebundle_(**options)
        return found and found | {"text/plain": AGAIN}


def _page(answer: Any) -> str:
    shown = getattr(answer, "_repr_html_", None)
    return str(shown()) if shown else _text(repr(answer))


def _text(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"
