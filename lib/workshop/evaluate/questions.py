"""The questions of the evaluation: data, with the truth that pymongo reads for each."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workshop.agent.answer import FILE_SEARCH, ToolCall
from workshop.agent.proof.evidence import read_again
from workshop.agent.proof.values import scalars
from workshop.core.errors import SettingsError, StepMissing
from workshop.core.settings import DATA
from workshop.evaluate import CALLING, HALVES, KINDS

FILE = DATA / "evaluation.yaml"
KNOWN = {
    "list-collections": set[str](),
    "count": {"collection", "query"},
    "find": {"collection", "filter", "projection", "limit", "sort"},
    "aggregate": {"collection", "pipeline"},
}
"""The tools that read, and the arguments that say what is read."""

REFERENCE = re.compile(r"<(\w+)>")

Spec = Mapping[str, Any]
Step = tuple[str, Mapping[str, Any]]
"""A tool and its arguments; a search names its runbook."""


@dataclass(frozen=True)
class Question:
    """One question."""

    name: str
    kind: str  # One of ``KINDS``.
    half: str  # One of ``HALVES``.
    text: str
    truth: tuple[Spec, ...] = ()  # How pymongo reads the values that a true answer holds, in steps.
    calls: tuple[tuple[Spec, ...], ...] = ()  # The forms that are right, each a list of steps.


@dataclass(frozen=True)
class Resolved:
    """The values that a true answer holds, and the right calls with earlier steps' values."""

    truth: tuple[str, ...]
    forms: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True)
class Catalogue:
    """All questions, what others measured with questions of their own, and the file's digest."""

    questions: tuple[Question, ...]
    published: Mapping[str, float]
    digest: str


def load(path: Path = FILE) -> Catalogue:
    """Read the questions; a ``SettingsError`` says all that the file lacks, at once."""
    import yaml

    try:
        text = path.read_text(encoding="utf-8")
        content = yaml.safe_load(text)
        found = tuple(_question(entry) for entry in content["questions"])
        published = {e["model"]: float(e["percent"]) for e in content["published"]}
    except (OSError, yaml.YAMLError, KeyError, TypeError, ValueError) as error:
        raise _unusable(path, f"{type(error).__name__}: {error}") from error
    names = [question.name for question in found]
    problems = [f"two are named {name}" for name in set(names) if names.count(name) > 1]
    problems += [problem for question in found for problem in _problems(question)]
    if problems:
        raise _unusable(path, "; ".join(sorted(problems)))
    return Catalogue(found, published, hashlib.sha256(text.encode()).hexdigest()[:12])


def choose(
    questions: Sequence[Question], *, kind: str = "", half: str = "", limit: int = 0
) -> list[Question]:
    """The questions of this kind and half; with a limit, of each kind in turn."""
    chosen = [q for q in questions if kind in ("", q.kind) and half in ("", q.half)]
    if not limit:
        return chosen
    place = {q.name: [o for o in chosen if o.kind == q.kind].index(q) for q in chosen}
    first = sorted(chosen, key=lambda q: (place[q.name], KINDS.index(q.kind)))[:limit]
    return [question for question in chosen if question in first]


def resolve(question: Question, database: Any, runbooks: Path) -> Resolved:
    """Read the true values, and fill them into the right calls.

    Raises:
        StepMissing: The sample data lacks what the question is about.
    """
    values: dict[str, list[str]] = {}
    truth: list[str] = []
    for spec in question.truth:
        for name, found in _read(spec, values, database, runbooks).items():
            if not found:
                raise StepMissing(
                    "The sample data is not loaded.",
                    where=f"data/evaluation.yaml, {question.name}",
                    state=f"pymongo reads no {name}",
                    hint="run 04_deploy_mongodb again: it loads what is missing",
                )
            values[name] = found
            if not spec.get("step"):
                truth += found
    forms = tuple(tuple(_call(step, values) for step in form) for form in question.calls)
    return Resolved(tuple(dict.fromkeys(truth)), forms)


def _read(
    spec: Spec, values: Mapping[str, list[str]], database: Any, runbooks: Path
) -> dict[str, list[str]]:
    """What one step of the truth gives, by name."""
    if "runbook" in spec:
        text = (runbooks / str(spec["runbook"])).read_text(encoding="utf-8")
        return {str(spec["as"]): re.findall(str(spec["pattern"]), text)[:1]}
    tool, arguments = _call(spec, values)
    found, _ = read_again(ToolCall(tool, arguments, True, ""), database)
    if "as" in spec:
        return {str(spec["as"]): scalars(found if isinstance(found, list) else [found])}
    return {
        name: scalars([document.get(field) for document in found])
        for name, field in spec["values"].items()
    }


def _call(spec: Spec, values: Mapping[str, list[str]]) -> Step:
    """The tool and its arguments. ``count: alerts`` names the tool and the collection."""
    if FILE_SEARCH in spec:
        return FILE_SEARCH, {"runbook": spec[FILE_SEARCH]}
    tool = next(name for name in KNOWN if name in spec)
    rest = {key: value for key, value in spec.items() if key not in (tool, "as", "values", "step")}
    subject = "database" if tool == "list-collections" else "collection"
    return tool, {subject: spec[tool], **_filled(rest, values)}


def _filled(value: Any, values: Mapping[str, list[str]]) -> Any:
    """The same with ``<name>`` replaced by the one value of that name."""
    if isinstance(value, dict):
        return {key: _filled(inner, values) for key, inner in value.items()}
    if isinstance(value, list):
        return [_filled(inner, values) for inner in value]
    if isinstance(value, str) and (reference := REFERENCE.fullmatch(value)):
        (one,) = values[reference.group(1)]
        return one
    return value


def _question(entry: Spec) -> Question:
    name, kind, half, text = (str(entry[field]) for field in ("id", "kind", "half", "ask"))
    forms = (form if isinstance(form, list) else [form] for form in entry.get("calls", ()))
    truth = tuple(entry.get("truth", ()))
    return Question(name, kind, half, text, truth, tuple(map(tuple, forms)))


def _problems(question: Question) -> list[str]:
    problems = []
    if question.kind not in KINDS:
        problems.append(f"is of the unknown kind {question.kind}")
    if question.half not in HALVES:
        problems.append(f"is in the unknown half {question.half}")
    if question.kind in CALLING and not (question.truth and question.calls):
        problems.append("has no truth or no calls")
    for step in (step for form in question.calls for step in form):
        if not any(tool in step for tool in (*KNOWN, FILE_SEARCH)):
            problems.append(f"names no known tool in {dict(step)}")
    return [f"{question.name} {problem}" for problem in problems]


def _unusable(path: Path, state: str) -> SettingsError:
    return SettingsError(
        "The evaluation's questions cannot be used.",
        where=str(path),
        state=state,
        hint="data/README.md explains the fields; or: git checkout data/evaluation.yaml",
    )
