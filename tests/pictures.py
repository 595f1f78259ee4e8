"""The pictures at the top of the notebooks: run as a program, it writes them to docs/pictures."""

from __future__ import annotations

from pathlib import Path

from workshop.core.picture import BOXES, HERE, TO_COME, draw

ROOT = Path(__file__).resolve().parents[1]
FOLDER = ROOT / "docs" / "pictures"
STEPS = sorted(int(path.name[:2]) for path in (ROOT / "notebooks").glob("[0-9]*.ipynb"))

REGISTRATION = 6  # Its label is beside the arrow from Llama Stack to the MCP server.

CAPTIONS = {
    0: "0 · The place where all of it runs",
    8: "8 · These connections, and no others",
    9: "9 · Prometheus reads the metrics of each part",
    10: "10 · Scaling out, measured before and after",
    11: "11 · A change is proposed, and a person decides",
    99: "99 · Clean-up: all of it is removed",
}


def of_step(step: int) -> str:
    """What is done, this step, and what is to come."""
    states = {name: state(box.step, step) for name, box in BOXES.items()}
    under = step if step in CAPTIONS else 0
    registration = (298, 118, "6 · Registration", state(REGISTRATION, step))
    return draw(states, registration, (20, 246, CAPTIONS[under], state(under, step)))


def alt(step: int) -> str:
    """What ``of_step`` shows, for readers who cannot see it."""
    titles = {box.step: box.title for box in BOXES.values()}
    captions = {step: caption.partition("· ")[2] for step, caption in CAPTIONS.items()}
    here = titles | {REGISTRATION: "Registration"} | captions
    return (
        "The agent (7) asks Llama Stack (3). Llama Stack asks the model (2), which runs on GPU "
        "nodes (1), and the MCP server (5), which is registered with it (6) and asks MongoDB (4). "
        f"This step: {here[step]}."
    )


def state(number: int, step: int) -> str:
    if step == 99:
        return HERE if number == 99 else "removed"
    return "done" if number < step else HERE if number == step else TO_COME


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for step in STEPS:
        (FOLDER / f"{step:02d}.svg").write_text(of_step(step), encoding="utf-8")
