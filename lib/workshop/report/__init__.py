"""What a run leaves behind: report.json, and how it follows from the executed notebooks."""

import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from html import escape
from pathlib import Path
from typing import Any, Literal

from workshop.agent.answer import MIME as ANSWER
from workshop.core import files
from workshop.core.checks import MIME as CHECKS
from workshop.core.plots import MIME as PLOT
from workshop.core.secret import Secret, mask

SCHEMA = 1

KEPT = ("question", "text", "seconds", "grounded", "tool_calls")
"""What report.json has of an answer."""

WHAT = "The report"  # What these files are, for errors.

Status = Literal["passed", "skipped", "failed", "not run"]

ASKING = "07"  # The notebook that must give answers.
NO_CHECK = "the notebook made no check"
NO_ANSWER = "the notebook gave no answer"


@dataclass
class StepReport:
    """One notebook of the run. Each check is {name, ok, expected, seen, seconds}."""

    notebook: str
    status: Status = "not run"
    seconds: float = 0.0
    reason: str | None = None
    checks: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Report:
    """A whole run. Valid from its start on, so that a crash leaves one that says failed."""

    target: str
    started: str
    steps: list[StepReport]
    seconds: float = 0.0
    status: Literal["passed", "failed"] = "failed"
    answers: list[dict[str, Any]] = field(default_factory=list)
    plots: list[dict[str, Any]] = field(default_factory=list)
    """What notebooks plotted, as values: {notebook, title, x, panels}; and as a picture: png."""

    def as_dict(self) -> dict[str, Any]:
        """The content of report.json."""
        return {
            "schema": SCHEMA,
            "target": self.target,
            "started": self.started,
            "seconds": round(self.seconds, 2),
            "status": self.status,
            "steps": [asdict(step) for step in self.steps],
            "answers": [{key: answer[key] for key in KEPT} for answer in self.answers],
            "plots": [
                {key: value for key, value in plot.items() if key != "png"} for plot in self.plots
            ],
        }

    def conclude(self) -> None:
        """Decide the status: passed when every step passed, or was skipped with a reason."""
        good = all(
            step.status == "passed" or (step.status == "skipped" and step.reason)
            for step in self.steps
        )
        self.status = "passed" if good and self.steps else "failed"


def displays(notebook: Mapping[str, Any], mime: str) -> Iterator[dict[str, Any]]:
    """What an executed notebook displayed with this MIME type, in order; by MIME type."""
    for cell in notebook["cells"]:
        for output in cell.get("outputs", ()):
            if mime in output.get("data", {}):
                yield output["data"]


def plotted(step: StepReport, notebook: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The plots that an executed notebook displayed, each with the notebook's name and picture."""
    return [
        {"notebook": step.notebook, **shown[PLOT], "png": shown["image/png"]}
        for shown in displays(notebook, PLOT)
    ]


def judge(
    step: StepReport, notebook: Mapping[str, Any], failure: str | None
) -> list[dict[str, Any]]:
    """Give a step its checks, status and reason, from its executed notebook; gives the answers.

    ``failure`` is why the execution stopped, or None.
    """
    seen = [shown[CHECKS] for shown in displays(notebook, CHECKS)]
    answers = [shown[ANSWER] for shown in displays(notebook, ANSWER)]
    step.checks = [dict(check) for group in seen for check in group["checks"]]
    skips = [group["skipped"] for group in seen if group["skipped"]]
    wrong = [check["name"] for check in step.checks if not check["ok"]]
    if failure is not None:
        step.status, step.reason = "failed", failure
    elif wrong:
        step.status, step.reason = "failed", "failed checks: " + ", ".join(wrong)
    elif defect := _defect(answers, asked=step.notebook.startswith(ASKING) and not skips):
        step.status, step.reason = "failed", defect
    elif step.checks:
        step.status, step.reason = "passed", None
    elif skips:
        step.status, step.reason = "skipped", "; ".join(skips)
    else:
        # A green step that proved nothing is a defect of its notebook.
        step.status, step.reason = "failed", NO_CHECK
    return answers


def _defect(answers: Sequence[Mapping[str, Any]], *, asked: bool) -> str:
    problems = [NO_ANSWER] if asked and not answers else []
    for answer in answers:
        if not answer["tool_calls"]:
            problems.append(f"no tool was called for {answer['question']!r}")
        elif not answer["grounded"]:
            problems.append(f"not grounded: {answer['question']!r}")
    return "; ".join(problems)


class Folder:
    """The folder of one run, in ``runs``. Whatever is written here shows no credential.

    ``known_secrets`` gives the credentials, asked again at each write: a step may make one.
    ``started`` is when the run began, in ISO 8601 and UTC.
    """

    def __init__(self, runs: Path, known_secrets: Callable[[], Iterable[Secret]]) -> None:
        self._secrets = known_secrets
        began = datetime.now(UTC)
        self.started = began.isoformat(timespec="seconds")
        name = began.strftime("%Y-%m-%dT%H-%M-%SZ")
        with files.writing(runs, WHAT):
            self.path = _made(runs, name)
            _point(runs / "latest", self.path.name)

    def mask(self, text: str) -> str:
        """The text without credentials."""
        return mask(text, _spellings(self._secrets()))

    def clean(self, value: Any) -> Any:
        """The same structure, with every text in it masked."""
        return _walk(value, list(_spellings(self._secrets())))

    def write(self, name: str, text: str) -> Path:
        """Replace a file in one step, masked."""
        return self._replace(name, self.mask(text))

    def write_json(self, name: str, content: Any) -> Path:
        """As ``write``, of JSON."""
        return self._replace(name, json.dumps(self.clean(content), indent=1, ensure_ascii=False))

    def _replace(self, name: str, text: str) -> Path:
        files.write_private(self.path / name, text + "\n", WHAT, sync=False)
        return self.path / name


def _made(runs: Path, name: str) -> Path:
    folder = runs / name
    # Runs wait for each other: nobody makes it meanwhile.
    number = 1
    while folder.exists():
        number += 1
        folder = runs / f"{name}-{number}"
    runs.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=0o700)
    return folder


def _point(link: Path, name: str) -> None:
    fresh = link.with_name(f".{link.name}.{os.getpid()}")
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(name, target_is_directory=True)
    fresh.replace(link)


def _spellings(secrets: Iterable[Secret]) -> Iterator[Secret]:
    """Each credential as it is, and as it looks in JSON, HTML, a repr, or one inside another."""
    for secret in secrets:
        spellings = {secret.reveal()}
        for _depth in range(2):
            spellings |= {write(text) for write in _WRITERS for text in spellings}
        yield from map(Secret, spellings)


_WRITERS: tuple[Callable[[str], str], ...] = (
    escape,
    lambda text: json.dumps(text)[1:-1],
    lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    lambda text: repr(text)[1:-1],
)


def _walk(value: Any, secrets: list[Secret]) -> Any:
    if isinstance(value, str):
        return mask(value, secrets)
    if isinstance(value, Mapping):
        return {_walk(key, secrets): _walk(item, secrets) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_walk(item, secrets) for item in value]
    return value
