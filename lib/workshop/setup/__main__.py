"""The command line of set-up: ``./bootstrap`` finds a Python and runs this.

It brings up the kit's own environment with the standard library alone, and then goes on in it.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Sequence

from workshop.core.errors import INTERRUPTED, WorkshopError
from workshop.setup import Outcome, attempt, kit, verify_weights
from workshop.setup.components import COMPONENTS, DEFAULT, KIT, SPARE, Context
from workshop.setup.lines import Lines, Screen

DEV = "dev"
IN_KIT = "--in-kit"
"""Says that this is the kit's own environment, and that it is complete."""


def main(argv: Sequence[str] | None = None, context: Context | None = None) -> int:
    """Bring up the kit's environment, then install there what the arguments name.

    Gives the exit code. Tests have a context of their own.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    options = _parser().parse_args(words)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # Ends it as Ctrl-C does.
    try:
        context = context or Context()
        if options.in_kit:
            return _install(context, options)
        lines = Lines() if options.quiet else Lines(_write)
        kit.sync(context, lines, dev=DEV in [*options.only, *options.with_])
    except KeyboardInterrupt:
        _write("\nstopped; run again to go on")
        return INTERRUPTED
    except WorkshopError as error:
        _write(f"\n{error}")
        return 1
    sys.stdout.flush()
    python = str(context.checkout / ".venv" / "bin" / "python")
    os.execv(python, [python, "-m", "workshop.setup", IN_KIT, *words])  # noqa: S606


def _install(context: Context, options: argparse.Namespace) -> int:
    began = time.monotonic()
    lines = Screen() if sys.stderr.isatty() else Lines(_write)
    if options.quiet:
        lines = Lines()
    if options.verify:
        verify_weights(context, lines)
    names = [*(options.only or DEFAULT), *options.with_]
    chosen = [name for name in names if name not in (KIT, DEV)]
    outcomes = attempt(context, chosen, lines, spare=() if options.only else SPARE)
    if not options.quiet:
        sys.stdout.write(_summary(context, outcomes, time.monotonic() - began))
    failed = [outcome for outcome in outcomes if outcome.error is not None]
    for outcome in failed:
        _write(f"\n{outcome.name}: {outcome.error}")
    return 1 if failed else 0


def _write(text: str) -> None:
    sys.stderr.write(f"{text}\n")
    sys.stderr.flush()


def _parser() -> argparse.ArgumentParser:
    rows = {KIT: "the notebooks' own environment: always"} | {c.name: c.what for c in COMPONENTS}
    rows[DEV] = "what the kit's tests need in that environment"
    lines = "\n".join(f"  {name:<18} {what}" for name, what in rows.items())
    parser = argparse.ArgumentParser(
        prog="bootstrap",
        description="Installs what the kit needs: its own environment in the checkout, all else "
        "in a cache that every checkout of this user shares (WORKSHOP_CACHE).",
        epilog=f"components:\n{lines}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--with",
        dest="with_",
        action="append",
        default=[],
        choices=rows,
        metavar="NAME",
        help="install this one too: llama-stack and dev are not part of the default",
    )
    what = "install only these components"
    parser.add_argument("--only", nargs="+", default=[], choices=rows, metavar="NAME", help=what)
    parser.add_argument("--quiet", action="store_true", help="show only errors")
    parser.add_argument("--verify", action="store_true", help="check the weights' hashes again")
    parser.add_argument(IN_KIT, action="store_true", help=argparse.SUPPRESS)
    return parser


def _summary(context: Context, outcomes: Sequence[Outcome], seconds: float) -> str:
    if any(outcome.error is not None for outcome in outcomes):
        return f"\nset-up failed after {seconds:.1f} s; what is complete is kept\n"
    if not outcomes:
        return f"everything was installed already ({seconds:.1f} s)\n"
    rows = [f"  {each.name:<18} {each.seconds:6.1f} s  {each.note}" for each in outcomes]
    return "\n".join(["", f"set-up done in {seconds:.1f} s", *rows, f"cache: {context.cache}", ""])


if __name__ == "__main__":
    sys.exit(main())
