"""A notebook's parameters: which exist, and what the user may pass."""

from __future__ import annotations

import ast
import difflib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from workshop.core.errors import SettingsError
from workshop.core.secret import Secret
from workshop.run.sequence import Step, read

_SECRET_WORDS = frozenset(
    {"TOKEN", "PASSWORD", "PASSWD", "SECRET", "KEY", "APIKEY", "CREDENTIAL", "CREDENTIALS"}
)
_SECRET_VALUE = re.compile(
    r"\b(sk-|hf_|gh[pousr]_|sha256~|eyJ[\w-]+\.)[\w.-]{8,}|\bBearer\s|://[^/\s:@]+:[^/\s@]+@"
)
"""Keys of model providers and hubs, GitHub's and OpenShift's tokens, a JWT, a password in a URL."""


def declared(step: Step) -> dict[str, Any]:
    """The parameters of a notebook with their defaults, from its cell tagged ``parameters``.

    Raises:
        SettingsError: A default is not a plain literal.
    """
    cells = read(step.path)["cells"]
    tagged = [cell for cell in cells if "parameters" in cell.get("metadata", {}).get("tags", [])]
    source = "".join(tagged[0]["source"]) if tagged else ""
    found: dict[str, Any] = {}
    try:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Assign):
                names = [target for target in node.targets if isinstance(target, ast.Name)]
                found |= {name.id: ast.literal_eval(node.value) for name in names}
            elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
                found[node.target.id] = ast.literal_eval(node.value) if node.value else None
    except (SyntaxError, ValueError) as error:
        raise SettingsError(
            "The parameters cell of a notebook must hold plain literals only.",
            where=str(step.path),
            state=str(error),
            hint="move computed values to the next cell",
        ) from error
    return found


def assign(
    steps: Sequence[Step],
    given: Sequence[str],
    *,
    target: str,
    without: Iterable[str] = (),
    secrets: Iterable[Secret] = (),
) -> list[Step]:
    """Give each step those parameters that it declares.

    Args:
        steps: The steps that run.
        given: What stands after each ``-p``: ``name=value``.
        target: Passed to every notebook with a ``TARGET``.
        without: Optional parts that are left out: their ``USE_...`` is False.
        secrets: Credentials that must not be passed this way.

    Raises:
        SettingsError: With everything that is wrong, at once.
    """
    known = {step.name: declared(step) for step in steps}
    # A notebook's default goes before those of later ones.
    everything = {k: v for defaults in reversed(known.values()) for k, v in defaults.items()}
    texts, problems, hints = _parse(given, everything, list(secrets))
    chosen = []
    for step in steps:
        values: dict[str, Any] = {f"USE_{part.upper()}": False for part in without}
        values["TARGET"] = target
        for name, text in texts.items():
            if name in known[step.name]:
                try:
                    values[name] = _value(text, known[step.name][name])
                except ValueError as error:
                    problems.append(f"{name} of {step.name} {error}")
        mine = {name: value for name, value in values.items() if name in known[step.name]}
        chosen.append(replace(step, parameters=mine))
    if problems:
        raise SettingsError(
            "These parameters cannot be used.",
            state="; ".join(problems),
            hint="; ".join(dict.fromkeys(hints)) or "workshop run --help",
        )
    return chosen


def _parse(
    given: Sequence[str], everything: Mapping[str, Any], secrets: Sequence[Secret]
) -> tuple[dict[str, str], list[str], list[str]]:
    """The values by their names, what is wrong with the others, and hints for that."""
    texts: dict[str, str] = {}
    problems: list[str] = []
    hints: list[str] = []
    for item in given:
        name, equals, text = item.partition("=")
        name = name.strip()
        if not equals or not name.isidentifier():
            # The whole may be a credential that was typed in the wrong place.
            problems.append("-p takes name=value")
        elif _is_secret(name, text, secrets):
            # Its value stands in no error: papermill would write it into the notebook as well.
            problems.append(f"{name} looks like a credential")
            hints.append("put credentials into the environment, as MODEL_TOKEN")
        elif name == "TARGET":
            problems.append("TARGET is given by --target")
        elif name not in everything:
            close = difflib.get_close_matches(name.upper(), everything, 1)
            meant = f", did you mean {close[0]}?" if close else ""
            problems.append(f"no notebook of this run has a parameter {name}{meant}")
            rows = (f"{key} = {value!r}" for key, value in sorted(everything.items()))
            hints.append("parameters of this run: " + ", ".join(rows))
        else:
            texts[name] = text
    return texts, problems, hints


def _is_secret(name: str, text: str, secrets: Sequence[Secret]) -> bool:
    words = set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper().split("_"))
    known = any(secret.reveal() in text for secret in secrets)
    return bool(words & _SECRET_WORDS or _SECRET_VALUE.search(text)) or known


def _value(text: str, default: object) -> Any:
    """The text as the default's type; text that is no literal stands for itself.

    Raises:
        ValueError: It has another type; says which is wanted.
    """
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        value = {"true": True, "false": False}.get(text.lower(), text)
    if isinstance(default, str):
        # A model's name may look like a number.
        return value if isinstance(value, str) else text
    if isinstance(default, float) and type(value) is int:
        return float(value)
    # bool is an int to Python; to the person who typed it, it is not.
    if default is not None and type(value) is not type(default):
        wanted = type(default).__name__
        raise ValueError(f"is of type {wanted}, as in {default!r}, and {text!r} is not")
    return value
