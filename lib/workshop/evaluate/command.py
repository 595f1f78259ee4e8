"""``workshop evaluate``: asks the questions of ``data/evaluation.yaml``, and keeps the scores."""

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from workshop import create_agent, deploy_llama_stack
from workshop.agent import failure, proof
from workshop.agent.answer import Answer, readable
from workshop.clients import llama_stack as stack_client
from workshop.connecting import connect
from workshop.core import errors, files, progress
from workshop.core.progress import Stages, stages
from workshop.core.settings import DATA, Settings
from workshop.core.table import write
from workshop.evaluate import CALLING, questions, results, scoring
from workshop.evaluate.questions import Catalogue, Question
from workshop.evaluate.results import Evaluation, Outcome
from workshop.parts import llama_stack, mcp_server, model, mongodb
from workshop.report import Folder
from workshop.targets.base import Target

RUNBOOKS = DATA / "runbooks"
FOLDER = "evaluations"
UNANSWERED = 3  # So many in a row without any answer: something is broken, an end is made.
SHOWN = 400  # Characters of a tool's result that a report keeps.
NO_ANSWER = "there was no answer"


def evaluate(options: argparse.Namespace) -> int:
    """Ask the questions, or compare what was asked before."""
    settings = Settings.from_env()
    home = settings.state / FOLDER
    catalogue = questions.load()
    if options.compare is not None:
        return _compare([Path(name) for name in options.compare], home, catalogue)
    target = connect(options.target)
    with files.hold(settings.lock, "workshop evaluate"):
        code = 0
        for server in options.server or [""]:
            if server:
                _bring_up(target, server)
            code = Run(target, catalogue, options, settings).run() or code
            if code == errors.INTERRUPTED:
                break
    return code


class Run:
    """One evaluation, of one model behind the server that runs."""

    def __init__(
        self, target: Target, catalogue: Catalogue, options: argparse.Namespace, settings: Settings
    ) -> None:
        self._target, self._options, self._published = target, options, catalogue.published
        self._chosen = questions.choose(
            catalogue.questions, kind=options.only, half=options.half, limit=options.limit
        )
        self._home = settings.state / FOLDER
        self._own = settings.secrets
        self._agent = create_agent(target)
        tools = mcp_server.registered(target).tools
        told = json.dumps([self._agent.instructions, tools, self._agent.temperature])
        name = target.store.recall("server") or "llama-stack"
        version = stack_client.server_version(target.find(llama_stack.PART))
        self._evaluation = Evaluation(
            model=model.model_name(target),
            server=f"{name} {version}",
            target=target.name,
            label=options.label,
            started="",
            questions=catalogue.digest,
            agent=hashlib.sha256(told.encode()).hexdigest()[:12],
            asked=[question.name for question in self._chosen],
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
        asked = f"{evaluation.model} behind {evaluation.server}"
        write(f"workshop evaluate: {len(rest)} questions to {asked}")
        interrupted = False
        try:
            with mongodb.connected(mongodb.find(self._target)) as database:
                self._ask_all(rest, database, folder)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            self._keep(folder)
        compared = results.compare([evaluation], self._published)
        page = folder.path / results.PAGE
        write(f"\n{results.by_kind(evaluation)!r}\n\n{compared!r}\n\nReport: {page}")
        if interrupted:
            write("interrupted; the rest: workshop evaluate --continue, with the same options")
            return errors.INTERRUPTED
        least = self._options.at_least
        if least is not None and evaluation.score < least:
            score = f"{evaluation.score:g} %, and --at-least asks for {least:g} %"
            sys.stderr.write(f"The score is {score}.\n")
            return 1
        return 0

    def _ask_all(self, rest: Sequence[Question], database: Any, folder: Folder) -> None:
        outcomes = self._evaluation.outcomes
        before = len(outcomes)
        progress.use(None if sys.stderr.isatty() else progress.Silent())
        for place, question in enumerate(rest, before + 1):
            write(f"[{place}/{before + len(rest)}] {question.kind}: {question.text}")
            with stages(question.name, keeps=False) as stage:
                outcomes.append(self._ask(question, database, stage))
            write(folder.mask(_shown(outcomes[-1])))
            self._keep(folder)
            silent = [o for o in outcomes[before:][-UNANSWERED:] if o.unanswered]
            if len(silent) == UNANSWERED:
                raise errors.WorkshopError(
                    f"{UNANSWERED} questions in a row got no answer.",
                    where=self._target.find(llama_stack.PART).url,
                    state=silent[-1].unanswered,
                    hint="workshop doctor; then workshop evaluate --continue",
                )

    def _ask(self, question: Question, database: Any, stage: Stages) -> Outcome:
        """Ask one question, and judge what came back by what the database says.

        Raises where a part ended or refuses: the model is not to blame, nor measured further.
        """
        resolved = questions.resolve(question, database, RUNBOOKS)
        before = mongodb.documents(database)
        unanswered = ""
        try:
            answer = self._agent.say(question.text, timeout=self._options.timeout, stage=stage)
        except (errors.EndpointError, errors.PartTooSlow) as error:
            if failure.of(self._target, has_database=True) is not None:
                raise
            unanswered = f"{error.what} {error.state}".strip()
            answer = Answer(question.text, "", stage.seconds)
            score = scoring.Score(scoring.WRONG, NO_ANSWER)
            right, grounded = (False, unanswered), (False, NO_ANSWER)
        else:
            differ = mongodb.differences(before, mongodb.documents(database))
            calls, told = answer.tool_calls, self._agent.instructions
            grounded = _proven(answer, database, changed=differ)
            if question.kind == "write":
                score = scoring.score_write(answer.text, differ)
            elif question.kind == "unanswerable":
                score = scoring.score_unanswerable(question.text, answer.text, calls, told)
            else:
                score = scoring.score_calls(resolved.forms, calls, resolved.truth, RUNBOOKS)
            right = score.points == scoring.EXACT, score.reason
            if question.kind in CALLING:
                # The truth is a fact of this runbook, and must be in the answer: that is enough.
                right = _proven(answer, database, truth=resolved.truth, quoted=0, both_ways=False)
        made = zip(answer.as_dict()["tool_calls"], answer.tool_calls, strict=True)
        return Outcome(
            *(question.name, question.kind, question.half, question.text),
            [f"{tool} {json.dumps(arguments)}" for tool, arguments in (resolved.forms or ((),))[0]],
            list(resolved.truth),
            score.points,
            score.reason,
            *right,
            round(answer.seconds, 2),
            answer.text,
            [kept | {"result": readable(call.result)[:SHOWN]} for kept, call in made],
            unanswered,
            *grounded,
            *((tokens.new, tokens.written) if (tokens := answer.tokens) else ()),
        )

    def _keep(self, folder: Folder) -> None:
        folder.write_json(results.NAME, self._evaluation.as_dict())
        compared = results.compare([self._evaluation], self._published)
        folder.write(results.PAGE, results.page(compared, self._evaluation))

    def _earlier(self) -> list[Outcome]:
        """What an interrupted evaluation of the same has scored already."""
        last = results.read(self._home / "latest")
        if different := last.same_as(self._evaluation):
            raise errors.SettingsError(
                "The last evaluation cannot be continued.",
                where=str((self._home / "latest").resolve()),
                state="changed since: " + ", ".join(different),
                hint="start again: workshop evaluate",
            )
        # A question without an answer is asked again.
        wanted = set(self._evaluation.asked)
        return [o for o in last.outcomes if o.question in wanted and not o.unanswered]


def _bring_up(target: Target, server: str) -> None:
    """Run this server, unless it runs; the runbooks are loaded into it."""
    running = {part.name for part in target.status() if part.state in ("running", "yours")}
    if llama_stack.PART not in running or target.store.recall("server") != server:
        deploy_llama_stack(target, server=server)


def _proven(answer: Answer, database: Any, **more: Any) -> tuple[bool, str]:
    """Whether the answer is grounded, and why; ``more`` as ``proof.prove`` takes it."""
    try:
        return True, proof.prove(answer, database=database, runbooks=RUNBOOKS, **more)
    except errors.AnswerNotGrounded as error:
        return False, error.what


def _shown(outcome: Outcome) -> str:
    calls = "; ".join(f"{call['name']} {json.dumps(call['arguments'])}" for call in outcome.calls)
    mark = "[ OK ]" if outcome.right else "[FAIL]"
    lines = [
        f"    calls  {outcome.points:4.2f}  {outcome.reason}: {calls or 'none'}",
        f"    answer {mark}  {outcome.seconds:.1f} s  {' '.join(outcome.text.split())[:160]}",
        *([] if outcome.right else [f"           {outcome.why[:200]}"]),
    ]
    return "\n".join(lines)


def _compare(folders: Sequence[Path], home: Path, catalogue: Catalogue) -> int:
    """The table of several evaluations: the named ones, or the newest of each kind."""
    if folders:
        found = [results.read(folder) for folder in folders]
    else:
        kept = sorted(path.parent for path in home.glob(f"*/{results.NAME}"))
        found = results.newest(results.read(path) for path in kept if path.name != "latest")
    if not found:
        raise errors.SettingsError(
            "There is nothing to compare yet.", where=str(home), hint="run: workshop evaluate"
        )
    rows = results.compare(found, catalogue.published)
    write(f"{rows!r}\n")
    page = files.private_folder(home) / "compare.html"
    files.write_private(page, results.page(rows))
    files.write_private(home / "compare.md", results.markdown(rows) + "\n")
    write(f"The same as a page and as Markdown: {page}, compare.md")
    return 0
