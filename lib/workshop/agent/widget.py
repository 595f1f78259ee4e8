"""A box in the notebook to ask one's own question."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from workshop.core.errors import WorkshopError

if TYPE_CHECKING:
    from workshop.agent.agent import Agent


def question_box(agent: Agent, question: str = "") -> Any:
    """Show a text field and a button, to ask the agent a question of your own.

    The answer and its proof appear below; they need a live kernel.
    """
    import ipywidgets
    from IPython.display import display

    field = ipywidgets.Text(
        value=question,
        placeholder="How many alerts are firing?",
        layout=ipywidgets.Layout(width="36em"),
    )
    button = ipywidgets.Button(description="Ask", button_style="primary")
    output = ipywidgets.Output()

    def ask(_event: object) -> None:
        if not field.value.strip() or button.disabled:
            return
        button.disabled = True
        output.clear_output()
        with output:
            try:
                display(agent.ask(field.value.strip()))  # type: ignore[no-untyped-call]
            except WorkshopError as error:
                # A box that shows a traceback frightens; the error's text says what to do.
                print(error)  # noqa: T201
            finally:
                button.disabled = False

    button.on_click(ask)
    return ipywidgets.VBox([ipywidgets.HBox([field, button]), output])
