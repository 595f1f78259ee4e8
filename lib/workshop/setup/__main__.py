"""The command line of set-up: ``./bootstrap`` finds a Python and runs this."""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from workshop.core.errors import WorkshopError
from workshop.setup import fetch, found
from workshop.setup.components import COMPONENTS, DEFAULT, SPARE
from workshop.setup.context import Context
from workshop.setup.progress import Board, Lines, Screen, Silent
from workshop.setup.schedule import Outcome, attempt

INTERRUPTED = 130
"""The exit code of a program that Ctrl-C ended, as shells expect it."""


def main(argv: Sequence[str] | None = None, context: Context | None = None) -> int:
    """Install the components that the arguments name; gives the exit code."""
    options = _parser().parse_args(argv)
    signal.signal(signal.SIGTERM, _end_as_ctrl_c)
    board = _board(quiet=options.quiet)
    began = time.monotonic()
    names = list(options.only or DEFAULT) + list(options.with_ or [])
    try:
        context = context or Context.from_env()
        if options.verify:
            verify_weights(context, board)
        outcomes = attempt(context, names, board, () if options.only else SPARE)
    except KeyboardInterrupt:
        sys.stderr.write("\nstopped; run again to go on\n")
        return INTERRUPTED
    except WorkshopError as error:
        sys.stderr.write(f"\n{error}\n")
        return 1
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        sys.stderr.write(f"\n{outcome.name}: {outcome.error}\n")
    if not options.quiet:
        sys.stdout.write(_summary(context, outcomes, time.monotonic() - began))
    return 1 if failed else 0


def _parser() -> argparse.ArgumentParser:
    rows = "\n".join(f"  {c.name:<18} {c.what}" for c in COMPONENTS)
    parser = argparse.ArgumentParser(
        prog="bootstrap",
        description="Installs what the kit needs: its own environment in the checkout, all else "
        "in a cache that every checkout of this user shares (WORKSHOP_CACHE).",
        epilog=f"components:\n{rows}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    names = [component.name for component in COMPONENTS]
    parser.add_argument(
        "--with",
        dest="with_",
        action="append",
        choices=names,
        metavar="NAME",
        help="install this one too: llama-stack is not part of the default",
    )
    parser.add_argument(
        "--only", nargs="+", choices=names, metavar="NAME", help="install these components alone"
    )
    parser.add_argument("--quiet", action="store_true", help="show errors alone")
    parser.add_argument("--verify", action="store_true", help="check the weights' hashes again")
    return parser


def _board(*, quiet: bool) -> Board:
    stream = sys.stderr
    if quiet:
        return Silent()
    if stream.isatty():
        return Screen(stream, shutil.get_terminal_size().columns)

    def write(text: str) -> None:
        stream.write(f"{text}\n")
        stream.flush()

    return Lines(write)


def _summary(context: Context, outcomes: Sequence[Outcome], seconds: float) -> str:
    if any(outcome.error is not None for outcome in outcomes):
        return f"\nset-up failed after {seconds:.1f} s; what is complete is kept\n"
    installed = [outcome for outcome in outcomes if outcome.name != "kit"]
    if not installed:
        return f"everything was installed already ({seconds:.1f} s)\n"
    rows = [f"  {o.name:<18} {o.seconds:6.1f} s  {o.note}" for o in outcomes]
    notes = [
        f"  {name}: {record.note}"
        for name in ("node", "mongodb")
        if (record := found.read(context, name))
    ]
    return "\n".join(
        [
            "",
            f"set-up done in {seconds:.1f} s",
            *rows,
            f"cache: {context.cache}",
            *notes,
            "",
        ]
    )


def _end_as_ctrl_c(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _leave(code: int) -> NoReturn:
    """End now, without the threads that a silent server keeps: what they wrote stays good."""
    sys.stdout.flush()
    sys.stderr.flush()
    if threading.active_count() > 1:
        os._exit(code)
    sys.exit(code)


def verify_weights(context: Context, board: Board) -> None:
    """Forget the record of every weights file whose hash is no longer right."""
    table = {"chat-weights": context.pins.chat, "embedding-weights": context.pins.embedding}
    for name, wanted in table.items():
        if found.fault(context, name):
            continue
        board.say(name, "checking the hash")
        seen = fetch.sha256_of(found.locate(context, name))
        if seen == wanted.sha256:
            board.end(name, "the hash is right")
        else:
            found.forget(context, name)
            board.end(name, "the hash is wrong; it will be fetched again")


if __name__ == "__main__":
    _leave(main())
