"""``workshop evaluate``: asks the questions of ``data/evaluation.yaml``, and keeps the scores."""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from workshop import create_agent, deploy_llama_stack
from workshop.agent.agent import Agent
from workshop.clients import llama_stack as stack_client
from workshop.connecting import connect
from workshop.core import files, progress
from workshop.core.errors import SettingsError, WorkshopError
from workshop.core.progress import stages
from workshop.core.secret import Secret
from workshop.core.settings import DATA, Settings
from workshop.evaluate import asking, questions, results
from workshop.evaluate import page as evaluation_page
from workshop.evaluate.asking import Outcome
from workshop.evaluate.questions import Catalogue, Question
from workshop.evaluate.results import Evaluation
from workshop.parts import llama_stack, mcp_server, model, mongodb
from workshop.report.report import Folder
from workshop.targets.base import Target

FOLDER = "evaluations"
INTERRUPTED = 130
UNANSWERED = 3
"""So many questions in a row without any answer mean that something is broken: an end is made."""


def evaluate(options: argparse.Namespace) -> int:
    """Ask the questions, or compare what was asked before."""
    settings = Settings.from_env()
    home = settings.state / FOLDER
    catalogue = questions.load()
    if options.compare is not None:
        return _compare([Path(name) for name in options.compare], home, catalogue)
    chosen = questions.choose(
        catalogue.questions, kind=options.only, half=options.half, limit=options.limit
    )
    target = connect(options.target)
    with files.hold(settings.lock, "workshop evaluate"):
        code = 0
        for server in options.server or [""]:
            run = Run(target, server, chosen, catalogue, options, home, settings.model_token)
            code = run.run() or code
            if code == INTERRUPTED:
                break
    return code


class Run:
    """One evaluation, of one model behind one server.

    Args:
        target: Where the parts run.
        server: ``llama-stack`` or ``ogx``, brought up when it does not run; "" takes what runs.
        chosen: What to ask.
        catalogue: Where it comes from.
        options: Of the command line.
        home: The folder of all evaluations.
        token: The user's own, which a report must not show.
    """

    def __init__(
        self,
        target: Target,
        server: str,
        chosen: Sequence[Question],
        catalogue: Catalogue,
        options: argparse.Namespace,
        home: Path,
        token: Secret | None,
    ) -> None:
        if server:
            _bring_up(target, server)
        self._target = target
        self._chosen = chosen
        self._published = catalogue.published
        self._options = options
        self._home = home
        self._own = [token] if token else []
        self._agent = create_agent(target)
        endpoint = target.find(llama_stack.PART)
        name = target.store.recall("server") or "llama-stack"
        self._evaluation = Evaluation(
            model=model.model_name(target),
            server=f"{name} {stack_client.server_version(endpoint)}",
            target=target.name,
            label=options.label,
            started="",
            questions=catalogue.digest,
            agent=_told(target, self._agent),
            asked=[question.name for question in chosen],
        )

    def run(self) -> int:
        """Ask what was not asked yet; gives the exit code."""
        evaluation = self._evaluation
        if self._options.go_on:
            evaluation.outcomes = self._earlier()
        folder = Folder(self._home, lambda: self._target.store.secrets() + self._own)
        evaluation.started = folder.started
        done = {outcome.question for outcome in evaluation.outcomes}
        rest = [question for question in self._chosen if question.name not in done]
        _say(
            f"workshop evaluate: {len(rest)} questions to {evaluation.model} "
            f"behind {evaluation.server}"
        )
        interrupted = False
        try:
            with mongodb.connected(mongodb.find(self._target)) as database:
                self._ask(rest, database, folder)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self._keep(folder)
        _say("")
        _say(repr(results.by_kind(evaluation)))
        _say("")
        _say(repr(results.compare([evaluation], self._published)))
        _say("")
        _say(f"Report: {folder.path / evaluation_page.NAME}")
        if interrupted:
            _say("interrupted; the rest: workshop evaluate --continue, with the same options")
            return INTERRUPTED
        return self._code()

    def _ask(self, rest: Sequence[Question], database: object, folder: Folder) -> None:
        outcomes = self._evaluation.outcomes
        before = len(outcomes)
        shown = sys.stderr.isatty()
        progress.use(None if shown else progress.Silent())
        for place, question in enumerate(rest, before + 1):
            _say(f"[{place}/{before + len(rest)}] {question.kind}: {question.text}")
            with stages(question.name) as stage:
                outcome = asking.ask(
                    self._agent,
                    question,
                    database,
                    DATA / "runbooks",
                    timeout=self._options.timeout,
                    stage=stage,
                )
            outcomes.append(outcome)
            for line in _lines(outcome):
                _say(folder.masked(line))
            self._keep(folder)
            silent = [o for o in outcomes[before:][-UNANSWERED:] if o.unanswered]
            if len(silent) == UNANSWERED:
                raise WorkshopError(
                    f"{UNANSWERED} questions in a row got no answer.",
                    where=self._target.find(llama_stack.PART).url,
                    state=silent[-1].unanswered,
                    hint="workshop doctor; then workshop evaluate --continue",
                )

    def _keep(self, folder: Folder) -> None:
        folder.write_json(results.NAME, self._evaluation.as_dict())
        evaluation_page.write(folder, self._evaluation, self._published)

    def _earlier(self) -> list[Outcome]:
        """What an interrupted evaluation of the same has scored already.

        Raises:
            SettingsError: There is none, or something has changed since.
        """
        last = results.read(self._home / "latest")
        different = last.same_as(self._evaluation)
        if different:
            raise SettingsError(
                "The last evaluation cannot be continued.",
                where=str((self._home / "latest").resolve()),
                state="changed since: " + ", ".join(different),
                hint="begin anew: workshop evaluate",
            )
        # A question without an answer is asked again.
        wanted = set(self._evaluation.asked)
        return [o for o in last.outcomes if o.question in wanted and not o.unanswered]

    def _code(self) -> int:
        least = self._options.at_least
        score = self._evaluation.score
        if least is not None and score < least:
            sys.stderr.write(f"The score is {score:g} %, and --at-least asks for {least:g} %.\n")
            return 1
        return 0


def _bring_up(target: Target, server: str) -> None:
    """Run this server, unless it runs; the runbooks are loaded into it."""
    running = {part.name for part in target.status() if part.state in ("running", "yours")}
    if llama_stack.PART not in running or target.store.recall("server") != server:
        deploy_llama_stack(target, server=server)


def _told(target: Target, agent: Agent) -> str:
    """A digest of what the agent is told: another one makes it another agent."""
    tools = mcp_server.registered(target).tools
    told = json.dumps([agent.instructions, tools, agent.temperature])
    return hashlib.sha256(told.encode()).hexdigest()[:12]


def _lines(outcome: Outcome) -> list[str]:
    calls = "; ".join(f"{call['name']} {json.dumps(call['arguments'])}" for call in outcome.calls)
    mark = "[ OK ]" if outcome.right else "[FAIL]"
    return [
        f"    calls  {outcome.points:4.2f}  {outcome.reason}: {calls or 'none'}",
        f"    answer {mark}  {outcome.seconds:.1f} s  {' '.join(outcome.text.split())[:160]}",
        *([] if outcome.right else [f"           {outcome.why[:200]}"]),
    ]


def _compare(folders: Sequence[Path], home: Path, catalogue: Catalogue) -> int:
    """The table of several evaluations: the named ones, or the newest of each kind."""
    if folders:
        found = [results.read(folder) for folder in folders]
    else:
        kept = sorted(path.parent for path in home.glob(f"*/{results.NAME}"))
        found = results.newest(results.read(path) for path in kept if path.name != "latest")
    if not found:
        raise SettingsError(
            "There is nothing to compare yet.", where=str(home), hint="run: workshop evaluate"
        )
    rows = results.compare(found, catalogue.published)
    _say(repr(rows))
    page = files.private_folder(home) / "compare.html"
    files.write_private(page, evaluation_page.compared(rows))
    files.write_private(home / "compare.md", results.markdown(rows) + "\n")
    _say("")
    _say(f"The same as a page and as Markdown: {page}, compare.md")
    return 0


def _say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()
