"""Which notebooks a run consists of."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workshop.core.errors import SettingsError

CLEAN_UP = "99"
"""Runs on demand only: with ``--clean-up`` after the others, or alone with ``--only``."""

WITHOUT = {"mongodb": ("04", "05", "06")}
"""The optional parts, and the notebooks that are skipped without each."""

INTERRUPTED = "interrupted"
"""The reason of a step that was, and of those after it."""

_NAME = re.compile(r"(\d\d)_\w+")


@dataclass(frozen=True)
class Step:
    """One notebook of a run.

    Args:
        path: The notebook.
        skip: Why it is not executed, or "".
        parameters: What papermill passes to it.
    """

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

    Raises:
        SettingsError: There are none, or two have the same number.
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

    A step is named by its number or its name; "" means no limit.

    Raises:
        SettingsError: A step or an optional part of that name does not exist, or nothing is left.
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
    """A notebook's JSON.

    Raises:
        SettingsError: It is no notebook.
    """
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
