"""The command line: ``workshop``.

Modules are imported where a command needs them: ``workshop --help`` must not wait for papermill.
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from pkgutil import resolve_name

from workshop.core.errors import INTERRUPTED, WorkshopError
from workshop.core.settings import default_target, make_paths_absolute, refuse_another_checkout
from workshop.core.table import write

EXAMPLES = """\
examples:
  workshop run                                  the whole sequence on this machine
  workshop run --from 03 -p SERVER=llama-stack  from notebook 03 on, with Llama Stack
  workshop run --without mongodb                the agent and its runbooks, no database
  workshop run --only 07                        ask the questions again
  workshop run --clean-up                       run everything, then remove it
  workshop status                               what runs, and where
  workshop logs model -f                        follow one part's log
  workshop stop                                 stop all parts
  workshop room --attendees 20                  namespaces for a class, as the cluster's admin
  workshop evaluate                             how well the agent answers, question by question
  workshop doctor                               what is wrong with this machine or a part
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that the arguments name; gives the exit code.

    0: done. 1: it failed, and said why on stderr. 2: it was called wrongly. 130: Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    make_paths_absolute(Path())
    command = _chosen(arguments)
    # Names and answers may hold what the terminal cannot show.
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        refuse_another_checkout()
        code = command()
        sys.stdout.flush()
        return code
    except WorkshopError as error:
        sys.stdout.flush()
        sys.stderr.write(f"{error}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\ninterrupted\n")
        return INTERRUPTED
    except BrokenPipeError:
        # As `workshop logs model | head` ends; nothing may be written at exit either.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        from workshop.core.files import FULL, not_written

        if error.errno not in FULL:
            raise
        # Whatever was to be written: a traceback would not say what to do.
        place = Path(error.filename or "").absolute()
        sys.stderr.write(f"{not_written(place, error, 'A file')}\n")
        return 1


def _chosen(arguments: Sequence[str]) -> Callable[[], int]:
    if arguments[:1] == ["setup"]:
        # Set-up has a command line of its own, which also works before the kit is installed.
        return lambda: resolve_name("workshop.setup.__main__:main")(arguments[1:])
    options = _parser().parse_args(["version"] if arguments == ["--version"] else arguments)
    return lambda: resolve_name(options.command)(options)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="workshop",
        description="Runs the notebooks that bring up the agent, and manages what they started.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    where = argparse.ArgumentParser(add_help=False)
    what = (
        "local or cluster (default: WORKSHOP_TARGET; else cluster in a workbench, local elsewhere)"
    )
    where.add_argument("--target", default=default_target(), help=what)

    def command(
        name: str, function: str, what: str, notes: str = "", *, target: bool = True
    ) -> argparse.ArgumentParser:
        sub = commands.add_parser(
            name,
            parents=[where] if target else [],
            help=what,
            description=what[0].upper() + what[1:] + ".",
            epilog=notes,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        # By name, "module:function": what a command needs is imported when it is chosen.
        sub.set_defaults(command=function)
        return sub

    what = "execute the notebooks, and write a report"
    _run_options(command("run", "workshop.commands:run", what, RUN_NOTES))
    command("status", "workshop.commands:status", "show what runs, and how to reach it")
    logs = command("logs", "workshop.commands:logs", "show the log of one part").add_argument
    logs("name", metavar="NAME", help="a part, as `workshop status` names it")
    logs("-f", "--follow", action="store_true", help="show new lines until Ctrl-C")
    logs("-n", "--lines", type=int, default=100, metavar="N", help="how many lines (default: 100)")
    stop = command("stop", "workshop.commands:stop", "stop one part, or all of them")
    stop.add_argument("name", nargs="?", metavar="NAME", help="a part; all of them without it")
    what = "check this machine and every part, with hints"
    command("doctor", "workshop.commands:doctor", what)
    what = "ask the agent many questions, and score its tool calls and answers"
    function = "workshop.evaluate.command:evaluate"
    _evaluate_options(command("evaluate", function, what, EVALUATE_NOTES))
    what = "prepare namespaces for the attendees of a workshop, and check them"
    _room_options(command("room", "workshop.room:room", what, ROOM_NOTES, target=False))
    what = "list every image that a deployment on a cluster pulls, one per line with its part"
    command("images", "workshop.cli:images", what, IMAGES_NOTES, target=False)
    # Answered before the parser is asked; named here for the help.
    commands.add_parser("setup", help="install what is missing: workshop setup --help")
    command("version", "workshop.cli:version", "print the version", target=False)
    return parser


def _run_options(run: argparse.ArgumentParser) -> None:
    add = run.add_argument
    add("--from", dest="first", default="", metavar="STEP", help="start at this step")
    add("--to", dest="last", default="", metavar="STEP", help="end after this step")
    add("--only", default="", metavar="STEP", help="run only this step")
    what = "leave an optional part out: mongodb skips 04, 05, 06 and 11"
    add("--without", action="append", default=[], metavar="PART", help=what)
    what = "set a notebook parameter, in every notebook that has it; may be repeated"
    add("-p", dest="parameters", action="append", default=[], metavar="NAME=VALUE", help=what)
    what = "run 99 at the end, also after a failure: it removes everything"
    add("--clean-up", action="store_true", help=what)
    add("--notebooks", default="", metavar="DIR", help="run the notebooks of DIR")


def _evaluate_options(evaluate: argparse.ArgumentParser) -> None:
    from workshop.evaluate import HALVES, KINDS

    add = evaluate.add_argument
    what = "start this server if it does not run; may be repeated (default: what runs)"
    add("--server", action="append", choices=("ogx", "llama-stack"), help=what)
    add("--only", default="", choices=KINDS, metavar="KIND", help=", ".join(KINDS))
    add("--half", default="", choices=HALVES, help="one half of the questions")
    add("--limit", type=_positive, default=0, metavar="N", help="ask N, taken from all kinds")
    add("--timeout", type=_positive, default=120, metavar="S", help="seconds per question")
    add("--label", default="", metavar="TEXT", help="a name for it in the tables")
    add("--continue", action="store_true", dest="go_on", help="continue the last one")
    add("--at-least", type=float, metavar="PERCENT", help="exit with 1 when the score is lower")
    what = "ask nothing: compare these evaluations, or the newest of each model and server"
    add("--compare", nargs="*", metavar="FOLDER", help=what)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"{text} is not 1 or more")
    return number


def _room_options(room: argparse.ArgumentParser) -> None:
    either = room.add_mutually_exclusive_group(required=True)
    what = "prepare PREFIX-1 to PREFIX-N; safe to repeat"
    either.add_argument("--attendees", type=int, metavar="N", help=what)
    what = "show how far each attendee is: steps, the newest failure, quota"
    either.add_argument("--progress", action="store_true", help=what)
    what = "remove the room: everything with its label"
    either.add_argument("--remove", action="store_true", help=what)
    add = room.add_argument
    add("--prefix", default="attendee", help="start of their names (default: attendee)")
    add("--user-prefix", default="user", help="start of the users' names (default: user)")
    what = "a model endpoint that all attendees share"
    add("--model-url", default="", metavar="URL", help=what)
    what = "the model's name, if it has several"
    add("--model-name", default="", metavar="NAME", help=what)
    add("--no-model", action="store_true", help="remove the shared model")
    what = "remove the room's namespaces above N"
    add("--remove-extra", action="store_true", help=what)
    what = "with --progress: write a page for the browser every ten seconds, until Ctrl-C"
    add("--page", default="", metavar="FILE", help=what)
    add("--yes", action="store_true", help="do not ask before removing")


EVALUATE_NOTES = """\
The parts must run: workshop run. The questions and their true answers are in data/evaluation.yaml.
The report goes to .workshop/evaluations/latest/: index.html, report.json. The exit code is 0 also
when the score is low. After Ctrl-C the scores are kept; --continue asks the rest.
"""

ROOM_NOTES = """\
It works on the cluster that KUBECONFIG or the kubeconfig names, as its administrator.
Each namespace gets a quota, limits, and the rights that the notebooks need: for the attendee's user
and for a workbench named "workshop". Namespaces without the room's label are never touched.
The shared model's token is read from MODEL_TOKEN, its CA from MODEL_CA_FILE.
--progress needs only the right to list ConfigMaps and ResourceQuotas.
"""

RUN_NOTES = """\
A STEP is a notebook's number or name: 03, 3, 03_deploy_llama_stack.
A VALUE is read as a Python literal where the parameter's default is one: 300, True, "text".
Credentials are never parameters: MODEL_TOKEN is read from the environment.
The report goes to .workshop/runs/latest/: index.html, report.json, the executed notebooks.
The parts keep running after the run, also when it fails.
"""


IMAGES_NOTES = """\
For a mirror: workshop images | awk '{print $2}' | sort -u
"""


def images(_options: argparse.Namespace) -> int:
    """List what a cluster pulls."""
    from workshop.targets.cluster.preflight import images

    write(*(f"{one.part:<16}  {one.name}" for one in images()))
    sys.stderr.write(
        "Not listed: the images of operators (OpenShift AI, KServe, NVIDIA's). A mirror takes them "
        "with their catalogues.\n"
    )
    return 0


def version(_options: argparse.Namespace) -> int:
    """Print the version."""
    from importlib.metadata import version

    write(f"agent-workshop-kit {version('agent-workshop-kit')}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
