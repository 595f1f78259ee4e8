"""The command line of set-up: ``./bootstrap`` finds a Python and runs this.

It brings up the kit's own environment with the standard library alone, and then goes on in it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING

from workshop.core.errors import WorkshopError
from workshop.setup import disk, found, kit
from workshop.setup.components import COMPONENTS, DEFAULT, KIT, SPARE
from workshop.setup.context import Context
from workshop.setup.job import Job, locked
from workshop.setup.lines import Board, Lines, Screen, Silent

if TYPE_CHECKING:
    from workshop.setup.install import Outcome

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended, as shells expect it."""
IN_KIT = "--in-kit"
"""Says that this is the kit's own environment, and that it is complete."""


def main(argv: Sequence[str] | None = None) -> int:
    """Bring up the kit's environment, then install there what the arguments name."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words[:1] == [IN_KIT]:
        return installed(words[1:])
    options = _parser().parse_args(words)
    code = _guarded(lambda: sync(Context.from_env(), Silent() if options.quiet else Lines(_write)))
    if code == 0:
        python = str(Context.from_env().checkout / ".venv" / "bin" / "python")
        sys.stdout.flush()
        os.execv(python, [python, "-m", "workshop.setup", IN_KIT, *words])  # noqa: S606
    return code


def sync(context: Context, board: Board) -> None:
    """Bring the kit's own environment in line with uv.lock; also beside a read-only cache.

    Raises:
        SetupError: It could not be installed.
        Stopped: ``context.stop`` was set.
    """
    lock = f"{KIT}-{str(context.checkout).replace('/', '-')}"[-200:]
    with tempfile.TemporaryDirectory(prefix="workshop-setup-") as spare:
        if disk.closed(context.cache):
            context = replace(context, spare=Path(spare))
        with locked(context, lock, partial(board.say, KIT)) as handle:
            kit.install(Job(context, KIT, board, handle))
        board.end(KIT, "the kit")


def installed(argv: Sequence[str] | None = None, context: Context | None = None) -> int:
    """Install the components that the arguments name; gives the exit code."""
    from workshop.setup import install

    options = _parser().parse_args(argv)
    began = time.monotonic()
    names = [*(options.only or DEFAULT), *(options.with_ or [])]
    quiet = options.quiet
    board = Silent() if quiet else Screen() if sys.stderr.isatty() else Lines(_write)
    outcomes: list[Outcome] = []

    def work() -> None:
        given = context or Context.from_env()
        if options.verify:
            install.verify_weights(given, board)
        spare = () if options.only else SPARE
        chosen = [name for name in names if name != KIT]
        outcomes.extend(install.attempt(given, chosen, board, spare))
        if not quiet:
            sys.stdout.write(_summary(given, outcomes, time.monotonic() - began))

    code = _guarded(work)
    for outcome in outcomes:
        if outcome.error is not None:
            code = 1
            sys.stderr.write(f"\n{outcome.name}: {outcome.error}\n")
    return code


def _guarded(work: Callable[[], None]) -> int:
    """Do the work; gives the exit code, with the error in words."""

    def end_as_ctrl_c(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, end_as_ctrl_c)
    try:
        work()
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; run again to go on\n")
        return INTERRUPTED
    except WorkshopError as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    return 0


def _write(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    rows = [
        (KIT, "the notebooks' own environment: always"),
        *((c.name, c.what) for c in COMPONENTS),
    ]
    lines = "\n".join(f"  {name:<18} {what}" for name, what in rows)
    parser = argparse.ArgumentParser(
        prog="bootstrap",
        description="Installs what the kit needs: its own environment in the checkout, all else "
        "in a cache that every checkout of this user shares (WORKSHOP_CACHE).",
        epilog=f"components:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [name for name, _what in rows]
    parser.add_argument(
        "--with",
        dest="with_",
        action="append",
        choices=names,
        metavar="NAME",
        help="install this one too: llama-stack is not part of the default",
    )
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="NAME", help="install only these components"
    )
    parser.add_argument("--quiet", action="store_true", help="show only errors")
    parser.add_argument("--verify", action="store_true", help="check the weights' hashes again")
    return parser


def _summary(context: Context, outcomes: Sequence[Outcome], seconds: float) -> str:
    if any(outcome.error is not None for outcome in outcomes):
        return f"\nset-up failed after {seconds:.1f} s; what is complete is kept\n"
    if not outcomes:
        return f"everything was installed already ({seconds:.1f} s)\n"
    rows = [f"  {each.name:<18} {each.seconds:6.1f} s  {each.note}" for each in outcomes]
    machine = [
        f"  {name}: {record.note}"
        for name in ("node", "mongodb")
        if (record := found.read(context, name))
    ]
    lines = [f"set-up done in {seconds:.1f} s", *rows, f"cache: {context.cache}", *machine]
    return "\n".join(["", *lines, ""])


if __name__ == "__main__":
    sys.exit(main())
