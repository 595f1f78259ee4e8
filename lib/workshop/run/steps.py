"""Which notebooks a run consists of, and the parameters that each is given."""

import ast
import difflib
import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from workshop.core.errors import SettingsError
from workshop.core.secret import Secret

CLEAN_UP = "99"  # Runs on demand only: with `--clean-up` after the others, or alone with `--only`.
WITHOUT = {"mongodb": ("04", "05", "06", "11")}
"""The optional parts, and the notebooks that are skipped without each."""

INTERRUPTED = "interrupted"  # The reason of a step that was, and of those after it.
_NAME = re.compile(r"(\d\d)_\w+")

_SECRET_WORDS = frozenset(
    {"TOKEN", "PASSWORD", "PASSWD", "SECRET", "KEY", "APIKEY", "CREDENTIAL", "CREDENTIALS"}
)
_SECRET_VALUE = re.compile(
    r"\b(sk-|hf_|gh[pousr]_|sha256~|eyJ[\w-]+\.)[\w.-]{8,}|\bBearer\s|://[^/\s:@]+:[^/\s@]+@"
)
"""Keys of model providers and hubs, GitHub's and OpenShift's tokens, a JWT, a password in a URL."""


@dataclass(frozen=True)
class Step:
    """One notebook of a run; ``skip`` is why it is not executed, or ""."""

    path: Path
    skip: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The notebook's name without its ending, such as ``02_serve_model``."""
        return self.path.stem

    @property
    def number(self) -> str:
        """Its two digits."""
        return self.name[:2]


def find(folder: Path) -> list[Step]:
    """The numbered notebooks of a folder, in their order.

    Raises ``SettingsError`` where there are none, or two have the same number.
    """
    steps = [Step(path) for path in sorted(folder.glob("*.ipynb")) if _NAME.fullmatch(path.stem)]
    if not steps:
        raise SettingsError(
            "There is no numbered notebook to run.",
            where=str(folder),
            hint="--notebooks names the folder that holds 00_... to 99_...",
        )
    numbers = [step.number for step in steps]
    doubled = [step.name for step in steps if numbers.count(step.number) > 1]
    if doubled:
        raise SettingsError(
            "Two notebooks have the same number.",
            where=str(folder),
            state=", ".join(doubled),
            hint="rename one of them: the number is the order",
        )
    return steps


def select(
    steps: list[Step],
    *,
    first: str = "",
    last: str = "",
    only: str = "",
    without: Collection[str] = (),
    clean_up: bool = False,
) -> list[Step]:
    """The steps to run, in order; those that are left out on purpose carry their reason.

    A step is named by its number or its name; "" means no limit. Raises ``SettingsError`` where a
    step or an optional part of that name does not exist, or nothing is left.
    """
    unknown = sorted(set(without) - set(WITHOUT))
    if unknown:
        raise SettingsError(
            f"--without {unknown[0]}: this part cannot be left out.",
            state="optional parts: " + ", ".join(WITHOUT),
            hint="workshop run --without mongodb",
        )
    if only and (first or last):
        raise SettingsError(
            "--only cannot be combined with --from or --to.", hint=f"workshop run --only {only}"
        )
    chosen = [_named(steps, only)] if only else _between(steps, first, last)
    if clean_up and CLEAN_UP not in [step.number for step in chosen]:
        chosen.append(_named(steps, CLEAN_UP))
    why = {n: f"started with --without {part}" for part in without for n in WITHOUT[part]}
    return [Step(step.path, skip=why.get(step.number, "")) for step in chosen]


def _between(steps: list[Step], first: str, last: str) -> list[Step]:
    numbers = [step.number for step in steps if step.number != CLEAN_UP]
    start = _named(steps, first).number if first else "00"
    end = _named(steps, last).number if last else max(numbers, default="")
    chosen = [step for step in steps if step.number in numbers and start <= step.number <= end]
    if not chosen:
        raise SettingsError(
            "No step is left to run.",
            state=f"from {start} to {end}; steps: {', '.join(step.name for step in steps)}",
            hint="99 runs with --clean-up, or alone with --only 99",
        )
    return chosen


def _named(steps: list[Step], wanted: str) -> Step:
    number = wanted.zfill(2) if wanted.isdigit() else ""
    names = [wanted, wanted.removesuffix(".ipynb")]
    for step in steps:
        if step.number == number or step.name in names or step.name[3:] in names:
            return step
    close = difflib.get_close_matches(wanted, [step.name for step in steps], 1, cutoff=0.4)
    raise SettingsError(
        f"There is no step {wanted!r}.",
        state="steps: " + ", ".join(step.name for step in steps),
        hint=f"did you mean {close[0]}?" if close else "name a step by its number",
    )


def read(path: Path) -> dict[str, Any]:
    """A notebook's JSON; ``SettingsError`` where it is no notebook."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict) or not isinstance(content.get("cells"), list):
            raise ValueError("it has no list of cells")
    except (OSError, ValueError) as error:
        raise SettingsError(
            "A notebook cannot be read.",
            where=str(path),
            state=str(error),
            hint=f"git checkout -- {path.name}",
        ) from error
    return content


def declared(step: Step) -> dict[str, Any]:
    """The parameters of a notebook with their defaults, from its cell tagged ``parameters``.

    Raises ``SettingsError`` where a default is not a plain literal.
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
    secrets: Sequence[Secret] = (),
) -> list[Step]:
    """Give each step those parameters that it declares.

    ``given`` is what stands after each ``-p``: ``name=value``. The ``USE_...`` of parts that are
    left out is False. None of the ``secrets`` may be passed this way. Raises ``SettingsError`` with
    everything that is wrong, at once.
    """
    known = {step.name: declared(step) for step in steps}
    # A notebook's default goes before those of later ones.
    everything = {k: v for defaults in reversed(known.values()) for k, v in defaults.items()}
    texts: dict[str, str] = {}
    problems: dict[str, str] = {}
    for item in given:
        name, _, text = item.partition("=")
        if refusal := _refusal(item, everything, secrets):
            problems |= refusal
        else:
            texts[name.strip()] = text
    chosen = []
    for step in steps:
        defaults = known[step.name]
        values: dict[str, Any] = {f"USE_{part.upper()}": False for part in without}
        values["TARGET"] = target
        for name, text in texts.items():
            try:
                values[name] = _value(text, defaults.get(name, text))
            except ValueError as error:
                problems[f"{name} of {step.name} {error}"] = ""
        mine = {name: value for name, value in values.items() if name in defaults}
        chosen.append(replace(step, parameters=mine))
    if problems:
        raise SettingsError(
            "These parameters cannot be used.",
            state="; ".join(problems),
            hint="; ".join(dict.fromkeys(filter(None, problems.values()))) or "workshop run --help",
        )
    return chosen


def _refusal(item: str, everything: Mapping[str, Any], secrets: Sequence[Secret]) -> dict[str, str]:
    """What is wrong with this ``name=value``, with a hint, which may be empty."""
    name, equals, text = item.partition("=")
    name = name.strip()
    if not equals or not name.isidentifier():
        # The whole may be a credential that was typed in the wrong place.
        return {"-p takes name=value": ""}
    if _is_secret(name, text, secrets):
        # Its value stands in no error: papermill would write it into the notebook as well.
        hint = "put credentials into the environment, as MODEL_TOKEN"
        return {f"{name} looks like a credential": hint}
    if name == "TARGET":
        return {"TARGET is given by --target": ""}
    if name in everything:
        return {}
    close = difflib.get_close_matches(name.upper(), everything, 1)
    meant = f", did you mean {close[0]}?" if close else ""
    rows = (f"{key} = {value!r}" for key, value in sorted(everything.items()))
    hint = "parameters of this run: " + ", ".join(rows)
    return {f"no notebook of this run has a parameter {name}{meant}": hint}


def _is_secret(name: str, text: str, secrets: Sequence[Secret]) -> bool:
    words = set(re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).upper().split("_"))
    known = any(secret.reveal() in text for secret in secrets)
    return bool(words & _SECRET_WORDS or _SECRET_VALUE.search(text)) or known


def _value(text: str, default: object) -> Any:
    """The text as the default's type, or ``ValueError``; what is no literal stands for itself."""
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
